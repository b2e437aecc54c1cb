"""The exact encoding: what comes back is of the same type and value as what was written.

MessagePack has None, booleans, integers of 64 bits, floats, text, bytes, lists and maps; those
stand for themselves. All else is a list whose first element is an `Ext` that says what it is, and
how the rest is to be read; no list of a program's begins so. Classes are written by their names and
the names of their fields, once for a value. A byte that MessagePack never begins with marks the
whole.

One walk makes this form of a value (`lowering`), and one makes a value of it (`lifting`). A value
whose parts are all plain is not walked: MessagePack is written from it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.codec.classes import PLAIN, Classes
from ssm_cli.codec.lifting import Reader
from ssm_cli.codec.lowering import Writer, canonical_bytes

MARK = b"\xc1\x02"  # MessagePack, UTF-8 and JSON never begin with the first

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, Any]).decode


def is_exact(data: bytes) -> bool:
    """Whether bytes are of this encoding."""
    return data[:2] == MARK


def write(value: Any, classes: Classes) -> bytes:
    """The bytes of a value.

    Raises:
        Inexact: it would not come back as it is; says where and why.

    >>> read(write({1: (2.0, True)}, Classes()), Classes())
    {1: (2.0, True)}
    """
    return MARK + _written(value, classes, _encode)[0]


def canonical(value: Any, classes: Classes) -> tuple[bytes, bool]:
    """Bytes that two values share if they are the same in all but the order of dicts and sets.

    The second result says whether parts of it had to be walked, which takes longer. Raises as
    `write` does.
    """
    if type(value) is dict and _is_plain(value):
        try:
            return canonical_bytes(value), False
        except (OverflowError, UnicodeEncodeError):
            pass  # a large number, or odd text: the walk writes them apart
    return _written(value, classes, canonical_bytes)


def _is_plain(value: dict[Any, Any]) -> bool:
    """Whether a dict is one of MessagePack as it is; the usual state, looked at for each input."""
    for key, held in value.items():  # noqa: SIM110 - in a loop, as `all` takes three times as long
        if type(key) is not str or type(held) not in PLAIN:
            return False
    return True


def _written(value: Any, classes: Classes, encode: Callable[[Any], bytes]) -> tuple[bytes, bool]:
    writer = Writer(classes, canonical=encode is canonical_bytes)
    try:
        body = writer.lower(value)
        return encode((writer.head(), body)), writer.walked
    except (OverflowError, UnicodeEncodeError):  # a large number, or odd text, is somewhere
        writer = Writer(classes, canonical=encode is canonical_bytes, careful=True)
        body = writer.lower(value)
        return encode((writer.head(), body)), True


def read(data: bytes, classes: Classes) -> Any:
    """The value that bytes stand for.

    Raises:
        Inexact: the classes in it have changed, or are gone; says where.
        msgspec.MsgspecError: it is nothing that `write` has written.
    """
    head, body = _decode(data[2:])
    return Reader(classes, head).lift(body)


def read_plain(data: bytes) -> Any:
    """The same without any class: records are dicts (with their `type` where a union has others).

    Enum members are their values. Raises as `read` does.
    """
    head, body = _decode(data[2:])
    return Reader(Classes(), head, plain=True).lift(body)

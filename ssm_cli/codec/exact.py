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

from ssm_cli.codec.classes import PLAIN, Classes, Inexact, canonical_bytes
from ssm_cli.codec.lifting import Reader
from ssm_cli.codec.lowering import LARGE, Writer, in_order
from ssm_cli.codec.renames import Names

MARK = b"\xc1\x02"  # MessagePack, UTF-8 and JSON never begin with the first

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, Any]).decode


def is_exact(data: bytes) -> bool:
    """Whether bytes are of this encoding."""
    return data.startswith(MARK)


def write(value: Any, classes: Classes) -> bytes:
    """The bytes of a value.

    Raises:
        Inexact: it would not come back as it is; says where and why.

    >>> read(write({1: (2.0, True)}, Classes()), Classes())
    {1: (2.0, True)}
    """
    return MARK + _written(value, classes, _encode)[0]


def canonical(value: Any, classes: Classes, *, then: Names | None = None) -> tuple[bytes, bool]:
    """Bytes that two values share if they are the same in all but the order of dicts and sets.

    The second result says whether parts of it had to be walked, which takes longer. With `then`,
    classes and fields have the names that they had before those renames. Raises as `write`
    does.
    """
    if type(value) is dict:  # mostly one of MessagePack as it is; looked at for each input
        for key, held in value.items():
            if type(key) is not str or type(held) not in PLAIN:
                break
        else:
            try:
                return canonical_bytes(value if len(value) < LARGE else in_order(value)), False
            except (OverflowError, UnicodeEncodeError):
                pass  # a large number, or odd text: the walk writes them apart
    return _written(value, classes, canonical_bytes, then=then)


def _written(
    value: Any, classes: Classes, encode: Callable[[Any], bytes], *, then: Names | None = None
) -> tuple[bytes, bool]:
    ordered = encode is canonical_bytes
    writer = Writer(classes, canonical=ordered, then=then)
    try:
        body = writer.lower(value)
        data = encode((writer.head(), body))
    except (OverflowError, UnicodeEncodeError):  # a large number, or odd text, is somewhere
        writer = Writer(classes, canonical=ordered, careful=True, then=then)
        body = writer.lower(value)
        data = encode((writer.head(), body))
    if writer.wary and not then and not _comes_back(data, writer, encode):
        Writer(classes, canonical=ordered, careful=True, proving=True).lower(value)
        raise Inexact("what is read of it is not what was written")
    return data, writer.walked


def _comes_back(data: bytes, writer: Writer, encode: Callable[[Any], bytes]) -> bool:
    """Whether what is read of these bytes is written as they are."""
    head, body = _decode(data)
    again = Writer(writer.classes, canonical=writer.canonical, careful=writer.careful)
    try:
        body = again.lower(Reader(writer.classes, head).lift(body))
    except Inexact:
        return False
    return encode((again.head(), body)) == data


def alike(one: bytes, other: bytes) -> bool:
    """Whether two that `write` has written hold the same, whatever unions their classes are in."""
    heads, bodies = zip(*(_decode(data[len(MARK) :]) for data in (one, other)), strict=True)
    classes = [[(name, fields) for name, fields, _ in head] for head in heads]
    return classes[0] == classes[1] and _encode(bodies[0]) == _encode(bodies[1])


def renamed(data: bytes, names: Names) -> bytes:
    """Bytes of `write` in the names of now; raises `Inexact` where that cannot be."""
    return names.translated(data, MARK) if names and is_exact(data) else data


def read(data: bytes, classes: Classes) -> Any:
    """The value that bytes stand for.

    Raises:
        Inexact: the classes in it have changed, or are gone; says where.
        msgspec.MsgspecError: it is nothing that `write` has written.
    """
    head, body = _decode(data[len(MARK) :])
    return Reader(classes, head).lift(body)


def read_plain(data: bytes, *, named: bool = False) -> Any:
    """The same without any class: records are dicts (with their `type` where a union has others).

    Enum members are their values, and their names as keys of which another one is that value; with
    `named` as all keys. Raises as `read` does.
    """
    head, body = _decode(data[len(MARK) :])
    return Reader(Classes(), head, plain=True, named=named).lift(body)


def heads_in(data: bytes) -> list[tuple[str, list[str]]]:
    """The classes, and the fields of each, that bytes of `write` name."""
    head, _ = _decode(data[len(MARK) :])
    return [(kind, fields) for kind, fields, _ in head]

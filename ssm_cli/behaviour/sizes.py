"""How large a value is: a look at a few dozen objects, so that what is kept of it has a bound."""

from __future__ import annotations

import gc
import math
import types
from collections.abc import Collection, Iterable
from sys import getsizeof
from typing import Any, Literal

import msgspec

from ssm_cli.codec.json import MOST_BITS

MOST_LOOKED_AT = 64  # objects; a value of more is not kept as it is
MOST_WRITTEN_BYTES = 1024 * 1024  # a larger value is not even written as text
ESTIMATED = (2, 2, 2, 4, 8, 16, 16)
"""Parts of a container that stand for all, by the levels that are left."""
LEVELS = len(ESTIMATED) - 1
MOST_WAITING = 10_000  # objects that were seen and not looked at; nor is a value of more

MOST_LIGHT = 16  # objects in a value that is small at a glance
LIGHT_CHARACTERS = 512  # of the texts among them, each of which may take four bytes
LIGHT_NUMBER = 1 << 64
FLAT_BYTES = 2048  # of a dict or list alone: it holds no more than some 250 objects then
MOST_FLAT = 250  # objects in a tuple

ATOMS = frozenset({bool, bytearray, bytes, complex, float, int, str, type(None)})
"""Types whose objects hold no others."""

TINY = frozenset({bool, complex, float, type(None)})
"""Types whose objects are of one size."""

SHARED = frozenset(
    {type, types.BuiltinFunctionType, types.CodeType, types.ModuleType, type(msgspec.Struct)}
)
"""Types whose objects are not a value's own."""


class AsText(str):
    """What is kept of a value that is too large: the text that stands for it."""

    __slots__ = ()


def size_of(value: Any) -> float:
    """Return about how many bytes a value takes, with all it refers to; infinite if very many.

    At most `MOST_LOOKED_AT` objects are looked at; `nan` stands for a value of more. Classes,
    modules and the globals of functions count as nothing: they are not the value's own.

    >>> size_of(bytearray(5_000)) > 5_000, size_of([[0] * 1_000_000])
    (True, inf)
    """
    kind = type(value)
    parts = () if kind in ATOMS else flat_parts(value)
    if len(parts) <= MOST_LOOKED_AT and ATOMS.issuperset(map(type, parts)):
        flat = shallow(value) + sum(map(getsizeof, parts))  # mostly, and many times as quick
        return flat if flat <= MOST_WRITTEN_BYTES else math.inf
    total, waiting, seen = 0, [value], {id(value)}
    for _ in range(MOST_LOOKED_AT):
        if not waiting:
            return total
        one = waiting.pop()
        kind = type(one)
        if kind in SHARED or issubclass(kind, type):
            continue
        total += shallow(one)
        if total > MOST_WRITTEN_BYTES:
            return math.inf
        if kind not in ATOMS:
            fresh = [held for held in referents(one) if id(held) not in seen]
            seen.update(map(id, fresh))
            waiting += fresh
            if len(waiting) > MOST_WAITING:
                return math.inf
    return math.nan if waiting else total


def estimate_of(value: Any, depth: int = LEVELS) -> float:
    """Estimate how many bytes a value takes, by a look at a few parts of each of its containers.

    >>> 3_000_000 < estimate_of(list(range(100_000))) < 5_000_000, estimate_of(b"x" * 100) < 200
    (True, True)
    """
    kind = type(value)
    if kind in SHARED or issubclass(kind, type):
        return 0
    total: float = shallow(value)
    if kind in ATOMS or not depth:
        return total
    parts = [*referents(value)]
    sizes = [estimate_of(part, depth - 1) for part in parts[: ESTIMATED[depth]]]
    return total + sum(sizes) * len(parts) / max(1, len(sizes))


def estimate_new(value: Any, old: Any, depth: int = LEVELS) -> float:
    """Estimate how many bytes a value takes that another one does not share with it.

    >>> old = {n: str(n) * 100 for n in range(1000)}
    >>> 30_000 < estimate_new({**old, 7: "x"}, old) < 60_000, estimate_new(old, old)
    (True, 0)
    """
    if value is old:
        return 0
    if type(value) is not type(old) or type(value) in ATOMS or not depth:
        return estimate_of(value, depth)
    parts, others = [*referents(value)], [*referents(old)]
    known = {id(part): part for part in others}
    fresh = [part for part in parts if id(part) not in known]
    held = {id(part) for part in parts}
    gone = [part for part in others if id(part) not in held]
    looked = [
        estimate_new(part, gone[index] if index < len(gone) else None, depth - 1)
        for index, part in enumerate(fresh[: ESTIMATED[depth]])
    ]
    return shallow(value) + sum(looked) * len(fresh) / max(1, len(looked))


def is_light(value: Any) -> bool:
    """Return whether a value is small at a glance: a few atoms, in one object at most.

    It takes 4 KiB at most then. One is asked of each crash: this is many times as quick as to
    measure.

    >>> is_light({"x": 1}), is_light("x" * 9_000), is_light([[]]), is_light(1 << 70)
    (True, False, False, False)
    """
    kind, parts = type(value), value
    if kind is dict:  # the usual state: `flat_parts` would take as long as all the rest
        if value.__sizeof__() > FLAT_BYTES:
            return False
        parts = (*value, *value.values()) if value else ()
    elif kind is not tuple:
        parts = flat_parts(value)
    left = LIGHT_CHARACTERS
    if len(parts) > MOST_LIGHT:
        return False
    for part in parts:
        kind = type(part)
        if kind is str or kind is bytes:
            left -= len(part)
        elif kind is int:
            if not -LIGHT_NUMBER < part < LIGHT_NUMBER:
                return False
        elif kind not in TINY:
            return False
    return left >= 0


def flat_parts(value: Any) -> Collection[Any]:
    """Return what a small dict, list, tuple or struct holds, or the value itself."""
    kind = type(value)
    if kind is tuple:  # the only one of them whose size tells what it holds
        return value if len(value) <= MOST_FLAT else (value,)
    if kind is dict or kind is list:
        if value.__sizeof__() > FLAT_BYTES:
            return (value,)
        return [*value, *value.values()] if kind is dict and value else value
    return msgspec.structs.astuple(value) if issubclass(kind, msgspec.Struct) else (value,)


def shallow(one: object) -> int:
    """Return the bytes of one object alone; very many where user code would have to say so."""
    asked = type(type(one).__sizeof__) is types.MethodDescriptorType
    return getsizeof(one) if asked else MOST_WRITTEN_BYTES + 1


def referents(one: Any) -> Iterable[Any]:
    """Return what an object refers to; of a function, what it closes over and its defaults."""
    if type(one) is types.FunctionType:
        return (*(one.__closure__ or ()), one.__defaults__, one.__kwdefaults__)
    if issubclass(type(one), msgspec.Struct):  # one without `gc` tells the collector nothing
        return msgspec.structs.astuple(one)
    return gc.get_referents(one)


def whole_text(value: int) -> str:
    """Return a whole number as source; in hexadecimal where it has more digits than Python reads.

    >>> whole_text(255), whole_text(10**5000)[:4]
    ('255', '0x31')
    """
    return repr(value) if value.bit_length() < MOST_BITS else hex(value)


def cut(text: str, most: int = 1000) -> str:
    """Return a text of at most `most` characters; one that was cut ends in an ellipsis.

    >>> cut("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def too_large(value: object) -> AsText:
    """Return the text that stands for a value that is neither kept nor written.

    >>> too_large([1])
    '<list, too large to be kept>'
    """
    return AsText(f"<{cut(type(value).__name__, 200)}, too large to be kept>")


Form = Literal["as it is", "as text", "not at all"]


def form_of(size: float, most_bytes: int) -> Form:
    """Return how a value of that size is kept where it may take `most_bytes`.

    >>> form_of(10, 100), form_of(1000, 100), form_of(math.nan, 100), form_of(math.inf, 100)
    ('as it is', 'as text', 'as text', 'not at all')
    """
    if size <= most_bytes:
        return "as it is"
    return "not at all" if size == math.inf else "as text"

"""Names of modules, classes and fields that have become others, and what was written before.

A rename is of what was written before it: what is written later is in the names of that time. So
renames have the number of a record, and are applied one after the other, in the order in which
they were made; a later one may take back an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from ssm_cli.codec.classes import (
    DEFAULT_TAG,
    ENUM_TAG,
    FROZEN_TAG,
    RECORD_TAG,
    SET_TAG,
    Inexact,
    canonical_bytes,
)

Made = tuple[int, str, str]  # the number of a rename's record, the old name, and the new one
SETS = (SET_TAG.code, FROZEN_TAG.code)
RECORDS = (RECORD_TAG.code, ENUM_TAG.code)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, Any]).decode


class Names:
    """Renames that lie between what was written and now, in their order.

    Args:
        pairs: old and new names: `module`, `module:Class`, or `module:Class.field` and `field`.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def now(self, name: str) -> str:
        """What a name of a class or of code is called by now.

        >>> Names([("shop", "store"), ("store:Cart", "store:Box")]).now("shop:Cart")
        'store:Box'
        """
        return self.head_now(name, ())[0]

    def head_now(self, name: str, fields: Sequence[str]) -> tuple[str, list[str]]:
        """What a class and its fields are called by now.

        >>> Names([("m:C.x", "y"), ("m", "n")]).head_now("m:C", ["x"])
        ('n:C', ['y'])
        """
        held = [*fields]
        for old, new in self._pairs:
            held = _field(held, name, old, new)
            name = _moved(name, old, new)
        return name, held

    def head_then(self, name: str, fields: Sequence[str]) -> tuple[str, list[str]]:
        """What a class and its fields were called; the way back from `head_now`.

        >>> Names([("m:C.x", "y"), ("m", "n")]).head_then("n:C", ["y"])
        ('m:C', ['x'])
        """
        held = [*fields]
        for old, new in reversed(self._pairs):
            if not _is_of_field(old, new):
                name = _moved(name, new, old)
            kind, _, field = old.rpartition(".")
            held = _field(held, name, f"{kind}.{new.rpartition('.')[2]}", field)
        return name, held

    def translated(self, data: bytes, mark: bytes) -> bytes:
        """What bytes of `exact.write`, which begin with `mark`, would be in the names of now.

        Raises:
            Inexact: two classes that have other fields have one name now.
        """
        head, body = _decode(data[len(mark) :])
        walk = _Walk(self, head)
        moved = walk.form(body)
        return mark + _encode((walk.head(), moved))


class Renames:
    """All renames of a worker.

    Args:
        made: oldest first.
    """

    def __init__(self, made: Iterable[Made] = ()) -> None:
        self.made = tuple(made)
        self._known: dict[int, Names] = {}

    def since(self, number: int | None) -> Names:
        """Those behind the record of that number; None stands for now.

        >>> Renames([(3, "a", "b"), (7, "b", "c")]).since(3).now("b:X")
        'c:X'
        """
        if number is None or not self.made or number >= self.made[-1][0]:
            return NONE
        pairs = [(old, new) for at, old, new in self.made if at > number]
        return self._known.setdefault(len(pairs), Names(pairs))


NONE = Names()


def _is_of_field(old: str, new: str) -> bool:
    return ":" in old and ":" not in new


def _moved(name: str, old: str, new: str) -> str:
    """A name of a class behind one rename."""
    fits = name == old or name.startswith((f"{old}:", f"{old}."))
    return new + name[len(old) :] if fits and not _is_of_field(old, new) else name


def _field(fields: list[str], kind: str, old: str, new: str) -> list[str]:
    """The fields of a class behind one rename; one that is there already has been renamed."""
    field = new.rpartition(".")[2]
    if field in fields or not old.startswith(f"{kind}."):
        return fields
    return [field if f"{kind}.{one}" == old else one for one in fields]


class _Walk:
    """One walk that renames what a form refers to, as the walk that writes would have put it."""

    def __init__(self, names: Names, head: Any) -> None:
        self._names = names
        self._heads: list[tuple[str, list[str], bool]] = [
            (*names.head_now(name, fields), tagged) for name, fields, tagged in head
        ]
        self._by_old = {one[0]: new[0] for one, new in zip(head, self._heads, strict=True)}
        self._order: dict[str, int] = {}
        self._late: set[str] = set()

    def head(self) -> list[Any]:
        found: dict[str, Any] = {}
        for one in self._heads:
            if found.setdefault(one[0], one)[1] != one[1]:
                raise Inexact(f"two classes of other fields are called {one[0]} now")
        return [found[name] for name in [*self._order, *sorted(self._late - self._order.keys())]]

    def form(self, data: Any) -> Any:
        if type(data) is dict:
            return {key: self.form(part) for key, part in data.items()}
        if type(data) is not list:
            return data
        if not data or type(data[0]) is not Ext:
            return [self.form(part) for part in data]
        tag, rest = data[0], data[1:]
        if tag.code in RECORDS:
            return [tag, self._ref(rest[0]), *map(self.form, rest[1:])]
        if tag.code == DEFAULT_TAG.code and rest[0] is not None:
            return [tag, self._names.now(rest[0]), *map(self.form, rest[1:])]
        moved = [self.form(part) for part in rest]
        return [tag, *(sorted(moved, key=canonical_bytes) if tag.code in SETS else moved)]

    def _ref(self, ref: int | str) -> int | str:
        if type(ref) is int:
            return self._order.setdefault(self._heads[ref][0], len(self._order))
        name = self._by_old[str(ref)]
        self._late.add(name)
        return name

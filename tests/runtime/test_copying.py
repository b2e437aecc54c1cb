"""Deep copies in pieces: the same as those of `copy.deepcopy`."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from ssm_cli.behaviour.results import Ok
from ssm_cli.runtime.engine.copying import deep_copied


class Point(msgspec.Struct, kw_only=True):
    x: list[Any]
    y: Any = None


@dataclass(frozen=True, slots=True)
class Slotted:
    items: dict[int, list[int]] = field(default_factory=dict)


class Plain:
    def __init__(self) -> None:
        self.items = [[n] for n in range(100)]


class SlotsAlone:
    """Slots and no `__setstate__`: there is no `__dict__` to fill."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items = [[n] for n in range(100)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotsAlone) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]  # as of what can be changed


class CopiesItself(Plain):
    def __deepcopy__(self, memo: dict[int, Any]) -> str:
        return "its own copy"


def whole(value: Any) -> tuple[Any, int]:
    """Return a copy of a value, and in how many turns it was made."""
    pieces, turns = deep_copied(value, {}), 0
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value, turns
        turns += 1


VALUES = {
    "a dict": {n: [n, [n]] for n in range(200)},
    "a list": [[n] * 50 for n in range(200)],
    "a set": {(n, str(n)) for n in range(200)},
    "a frozen set": frozenset((n, str(n)) for n in range(200)),
    "an ordered dict": OrderedDict((n, [n]) for n in range(200)),
    "a default dict": defaultdict(list, {n: [n] for n in range(200)}),
    "a deque": deque([[n] for n in range(200)], maxlen=300),
    "a struct": Point(x=[*range(500)], y=Point(x=[[1]] * 100)),
    "slots alone": SlotsAlone(),
    "a data class": Slotted({n: [n] for n in range(200)}),
    "bytes": [bytearray(b"x" * 5_000), b"y" * 5_000],
    "others": [Decimal("1.50"), 1 << 90, "x" * 9_000, None, len, Point, Ok] * 20,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_copy_in_pieces_is_what_deepcopy_makes(value: Any) -> None:
    found, _ = whole(value)
    assert found == deepcopy(value) == value
    assert type(found) is type(value)


@pytest.mark.parametrize("value", ["a dict", "a list", "a set", "a struct", "a data class"])
def test_a_large_value_is_copied_in_many_turns_and_none_of_it_is_shared(value: str) -> None:
    found, turns = whole(VALUES[value])
    assert turns > 2
    assert found is not VALUES[value]


def test_what_is_one_object_in_two_places_is_one_again_and_cycles_close() -> None:
    part, loop = [[n] for n in range(200)], list[Any]()
    loop += [part, (loop, [1] * 100), {"x": part}]
    found, _ = whole(loop)
    assert found is not loop
    assert found[1][0] is found
    assert found[0] is found[2]["x"]
    assert found[0] is not part


def test_a_tuple_that_holds_nothing_to_copy_is_itself() -> None:
    value = tuple((n, str(n)) for n in range(200))
    assert whole(value)[0] is value


def test_an_object_of_a_class_of_python_is_taken_apart_unless_it_copies_itself() -> None:
    (found, turns), plain = whole(Plain()), Plain()
    assert type(found) is Plain
    assert vars(found) == vars(plain)
    assert turns > 0
    assert whole([CopiesItself()] * 100)[0] == ["its own copy"] * 100


def test_random_values_are_copied_as_deepcopy_does() -> None:
    chance = Random(5)

    def value(depth: int) -> Any:
        make = chance.choice([list, tuple, dict, int] if depth else [int])
        if make is int:
            return chance.choice([1, "x" * 600, None, 2.5, bytearray(3)])
        parts = [value(depth - 1) for _ in range(chance.randrange(30))]
        return dict(enumerate(parts)) if make is dict else make(parts)

    for _ in range(100):
        one = value(4)
        found = whole(one)[0]
        assert found == one
        assert repr(found) == repr(one)

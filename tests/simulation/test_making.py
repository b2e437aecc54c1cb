from __future__ import annotations

import enum
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest

from ssm_cli.machines.kv import Lookup, Store
from ssm_cli.simulation.faults import FaultKind, Weight, weights_of, weights_text
from ssm_cli.simulation.making import Maker, Pool, constants_of, maker_of
from tests.history.worlds import Colour


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Nested(msgspec.Struct):
    points: list[Point]
    names: dict[str, int | None]
    pair: tuple[int, str]
    colour: Colour
    way: Literal["up", "down"]
    few: Annotated[int, msgspec.Meta(ge=0, le=9)]
    any: Any
    raw: bytes = b""


@dataclass(frozen=True)
class Refusing:
    value: int

    def __post_init__(self) -> None:
        raise ValueError("never")


def made(inputs: Any, count: int = 200, pool: Pool | None = None) -> list[Any]:
    maker, chance = Maker(inputs, pool or Pool()), Random(1)
    return [maker.make(chance) for _ in range(count)]


def test_inputs_are_of_their_types_all_the_way_down() -> None:
    for one in made(Nested):
        assert type(one) is Nested
        assert all(type(point) is Point and type(point.x) is int for point in one.points)
        assert all(value is None or type(value) is int for value in one.names.values())
        assert (type(one.pair[0]), type(one.pair[1])) == (int, str)
        assert (one.way in ("up", "down"), type(one.colour)) == (True, Colour)
        assert type(one.raw) is bytes


def test_a_constraint_is_kept_to_where_a_value_can() -> None:
    fitting = sum(0 <= one.few <= 9 for one in made(Nested))
    assert fitting > 0


def test_all_constructors_come_up_and_the_same_seed_makes_the_same() -> None:
    ones = made(Store | Lookup)
    assert {type(one) for one in ones} == {Store, Lookup}
    assert ones == made(Store | Lookup)


def test_values_that_are_known_and_their_neighbours_come_up_often() -> None:
    pool = Pool()
    pool.add({"alice": 1730})
    ones = made(Store, 300, pool)
    assert sum(one.key == "alice" for one in ones) > 60
    assert {1729, 1730, 1731, -1730} <= {one.value for one in ones}


def test_of_what_comes_the_oldest_goes_and_what_stays_stays() -> None:
    pool = Pool()
    pool.add("stays")
    for number in range(1000):
        pool.add(f"text {number}", stays=False)
    known = {pool.any(Random(seed), str) for seed in range(3000)}
    assert "stays" in known
    assert "text 0" not in known
    assert len(known) <= 257


def test_a_class_that_refuses_its_values_gives_none_and_does_not_raise() -> None:
    assert made(Refusing, 5) == [None] * 5


@pytest.mark.parametrize("inputs", [None, Any, str, object])
def test_inputs_without_types_have_no_maker(inputs: Any) -> None:
    assert maker_of(type("Free", (), {"inputs": inputs}), Pool()) is None


LIMIT = 4711


def helper(value: int) -> bool:
    """A docstring that
    is no value."""
    return value in (LIMIT, 17)


def asks(message: Any, state: Any) -> Any:
    return helper(message), state == "open" or state in ("a", "b")


def test_constants_are_those_of_a_function_and_of_what_it_calls() -> None:
    found = [*constants_of(asks)]
    assert {LIMIT, 17, "open", ("a", "b")} <= set(found)
    assert not any("docstring" in str(one) for one in found)


def test_an_enum_of_constants_makes_each_of_them() -> None:
    kind = enum.Enum("kind", ["A", "B"])
    assert {*made(kind)} == {*kind}


def test_weights_are_written_as_they_are_typed() -> None:
    given = {"kill": "'kv*'=5%,kv1=2.5%", "late": "1%"}
    found = weights_of(given, ["kv1", "kv2"])
    assert found == [
        Weight(FaultKind.KILL, "kv*", 0.05),
        Weight(FaultKind.KILL, "kv1", 0.025),
        Weight(FaultKind.LATE, "*", 0.01),
    ]
    assert weights_text(found) == "--kill 'kv*=5%,kv1=2.5%' --late 1%"
    assert weights_text(weights_of({}, ["kv1"])) == ""

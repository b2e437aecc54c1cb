from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ssm_cli.behaviour.sizes import MOST_LOOKED_AT, MOST_WRITTEN_BYTES, cut, size_of

BIG = b"x" * 100_000


class Plain:
    def __init__(self, held: Any) -> None:
        self.held = held


class Frozen(msgspec.Struct, frozen=True, gc=False):
    held: bytes


class Lying:
    def __sizeof__(self) -> int:
        raise ValueError("no size")


def closed_over() -> Callable[[], bytes]:
    held = BIG + b"y"
    return lambda: held


HOLDERS: dict[str, Any] = {
    "dict": {"a": BIG},
    "lists": [[[BIG]]],
    "object": Plain(BIG),
    "struct without gc": Frozen(BIG),
    "closure": closed_over(),
    "default": lambda held=BIG: held,
    "exception": ValueError(BIG),
    "set": {BIG},
    "int": 1 << 800_000,
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_what_a_value_holds_counts_wherever_it_is(holder: Any) -> None:
    assert 100_000 <= size_of(holder) < 110_000


def test_what_is_held_twice_counts_once() -> None:
    assert size_of([BIG, [BIG], {1: BIG}]) < 110_000


def test_classes_and_globals_of_functions_do_not_count() -> None:
    assert size_of([Plain, len, test_classes_and_globals_of_functions_do_not_count]) < 2_000


def test_a_cycle_ends() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    assert size_of(cycle) < 1_000


def test_a_value_of_too_many_objects_is_not_looked_through() -> None:
    assert size_of([object() for _ in range(MOST_LOOKED_AT - 1)]) < 10_000
    assert math.isnan(size_of([object() for _ in range(MOST_LOOKED_AT)]))
    assert size_of([[0] * 100_000]) == math.inf


@pytest.mark.parametrize("value", [b"x" * MOST_WRITTEN_BYTES, Lying()], ids=["large", "lying"])
def test_a_value_that_is_too_large_or_does_not_say_is_infinite(value: Any) -> None:
    assert size_of(value) == math.inf


def test_a_text_is_cut_behind_its_bound_only() -> None:
    assert (cut("x" * 1000), len(cut("x" * 1001))) == ("x" * 1000, 1000)

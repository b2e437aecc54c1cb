"""Whole numbers of more digits than Python writes: nothing that shows or compares one fails."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    ManualClock,
    MemoryStore,
    Node,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.codec.json import jsonable
from ssm_cli.runtime.engine.digest import sum_of

LONG = 10**4300


@dataclass(frozen=True)
class Add:
    n: int


def step(message: Add, state: int) -> tuple[int, int]:
    return state + message.n, state + message.n


def zero(_name: str, _args: object) -> int:
    return 0


@pytest.mark.parametrize("persist", ["none", "journal", "snapshot"])
def test_a_worker_whose_state_is_one_is_served_and_seen_and_comes_back(persist: str) -> None:
    machine = StateMachine(step=step, init=zero, inputs=Add)
    tree = Supervisor("root", children=[Worker("d", machine, persist=persist)])  # type: ignore[arg-type]  # a word is one of its words
    store = MemoryStore()
    with Node(tree, clock=ManualClock(), store=store, history=64) as node:
        for _ in range(300):  # states are weighed and sealed now and then
            assert node.call("d", Add(LONG)) >= LONG
        assert node.call("d", f"Add {'9' * 4300}".encode()).startswith(b"<int that cannot")
        assert msgspec.json.encode(node.data("d", node.get_state("d")))
        assert node.digest() == node.digest()
    with Node(tree, clock=ManualClock(), store=store) as again:
        kept = again.get_state("d")
        assert kept == (0 if persist == "none" else 300 * LONG + LONG - 1)


HELD = [LONG, -LONG, [LONG], {"a": LONG}, {LONG: 1}, {LONG}]


@pytest.mark.parametrize("value", HELD, ids=["it", "less", "list", "value", "key", "set"])
def test_what_holds_one_is_shown_in_a_record(value: object) -> None:
    assert b"cannot be shown" in msgspec.json.encode(jsonable(value))


def test_two_of_them_have_digests_of_their_own() -> None:
    assert len({sum_of(n) for n in (LONG, LONG + 1, -LONG)}) == 3
    assert sum_of(LONG) == sum_of(LONG * 1)


@pytest.mark.parametrize("persist", ["none", "journal", "snapshot"])
@pytest.mark.parametrize("given", [(LONG,), (1, LONG), (-LONG, "x")], ids=["it", "two", "less"])
@pytest.mark.parametrize("kind", [ValueError, KeyError, ArithmeticError])
def test_a_step_that_raises_one_has_crashed_as_any_other(
    kind: type[Exception], given: tuple[object, ...], persist: str
) -> None:
    def fails(message: Add, state: int) -> tuple[int, int]:
        if message.n < 0:
            raise kind(*given)
        return state + 1, state

    machine = StateMachine(step=fails, init=zero, inputs=Add)
    tree = Supervisor("root", children=[Worker("d", machine, persist=persist)])  # type: ignore[arg-type]  # a word is one of its words
    with Node(tree, clock=ManualClock(), store=MemoryStore()) as node:
        assert node.call("d", Add(1)) == 0  # the first step is a timed one, which goes another way
        with pytest.raises(CalleeCrashed, match="that cannot be shown: ValueError"):
            node.call("d", Add(-1))
        assert node.call("d", Add(1)) == 0
        assert [one.event for one in node.reports()].count("restarting") == 1

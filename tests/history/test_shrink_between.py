"""Faults between workers: the fewest inputs from outside that lead to them, whoever gets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from ssm_cli import CallError, Cast, ManualClock, Node, StartTimer, StateMachine, Supervisor, Worker
from ssm_cli.errors import CommandError
from ssm_cli.history.past import with_past


@dataclass(frozen=True)
class Open:
    who: str


@dataclass(frozen=True)
class File:
    ticket: int


@dataclass(frozen=True)
class Close:
    ticket: int


@dataclass(frozen=True)
class Count:
    n: int


@dataclass(frozen=True)
class Later:
    n: int


Message = Open | File | Close | Count | Later


def desk(message: Message, state: int) -> Any:
    """Give numbers, of which no one comes again."""
    match message:
        case Open():
            return state + 7, state + 7
        case Count(n):
            return state, None, [Cast("archive", Count(n))]
        case Later(n):
            return state, None, [StartTimer("later", 5000, Count(n))]
    return state, None


def archive(message: Message, state: dict[int, int]) -> Any:
    """Keep what is open: a ticket that is closed twice, or too much, is a fault."""
    match message:
        case File(ticket):
            return {**state, ticket: 1}, "filed"
        case Close(ticket):
            left = state.get(ticket, 1) - 1
            if left < 0:
                raise KeyError(ticket)
            return {**state, ticket: left} if ticket in state else state, "closed"
        case Count(n):
            total = state.get(-1, 0) + n
            if total > 100:
                raise OverflowError(total)
            return {**state, -1: total}, total
    return state, None


TREE = Supervisor(
    "root",
    intensity=99,
    children=[
        Worker("desk", StateMachine(step=desk, init=lambda *_: 0, inputs=Message)),
        Worker("archive", StateMachine(step=archive, init=lambda *_: {}, inputs=Message)),
        Worker("other", StateMachine(step=desk, init=lambda *_: 0, inputs=Message)),
    ],
)


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(TREE, clock=ManualClock(), history=5000) as node:
        yield with_past(node, str)


def noise(node: Node, r: Random, count: int) -> None:
    """What many people do, who each use the numbers that they got."""
    tickets: list[int] = []
    for _ in range(count):
        match r.randrange(5):
            case 0 | 1:
                tickets.append(node.call("desk", Open(f"p{r.randrange(99)}")))
            case 2:
                node.call("other", Open("x"))
            case 3 if tickets:
                node.call("archive", File(tickets[-1]))
            case 4 if tickets:
                node.call("archive", Close(tickets.pop()))
        node.run(r.choice([0, 0.5]))


def shrunk(node: Node) -> tuple[list[str], str]:
    found = node.perform("shrink", every="yes")
    return found["test"].split("\n"), found["said"]


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_of_one_that_another_was_given_says_the_new_one(node: Node, seed: int) -> None:
    r = Random(seed)
    noise(node, r, 60)
    ticket = node.call("desk", Open("last"))
    noise(node, r, 10)
    node.call("archive", File(ticket))
    node.call("archive", Close(ticket))
    noise(node, r, 10)
    with pytest.raises(CallError):
        node.call("archive", Close(ticket))
    lines, said = shrunk(node)
    assert [line.split()[1] for line in lines if "Open" not in line] == ["File", "Close", "Close"]
    assert len(lines) <= 4
    assert f"{len(lines)} inputs crash archive alike" in said


@pytest.mark.parametrize("seed", range(2))
def test_what_one_sends_to_the_other_is_told_by_what_it_was_asked(node: Node, seed: int) -> None:
    r, counts = Random(seed), []
    while not node.crash_reports():
        noise(node, r, 4)
        counts.append(r.randrange(20))
        node.call("desk", Count(counts[-1]))
        node.run()
    lines, _ = shrunk(node)
    counts.sort()
    least = next(n for n in range(99) if sum(counts[-n:]) > 100 and n)
    assert least <= len(lines) <= least + 3
    assert all(line.startswith("desk Count ") for line in lines)


def test_time_passes_where_a_timer_brings_it(node: Node) -> None:
    noise(node, Random(1), 30)
    node.call("desk", Later(101))
    noise(node, Random(2), 5)
    node.run(10.0)
    lines, _ = shrunk(node)
    assert [line.split()[0] for line in lines] == ["desk", "advance"]
    assert lines[0] == "desk Later 101"


def test_it_is_about_crashes_alone(node: Node) -> None:
    node.call("desk", Open("x"))
    with pytest.raises(CommandError, match="does not go with --when"):
        node.perform("shrink", every="yes", when="state > 1")


@pytest.mark.parametrize("gone", [False, True])
def test_the_child_of_a_pool_that_crashes_is_started_first(gone: bool) -> None:
    archives = Worker("archive", StateMachine(step=archive, init=lambda *_: {}))
    pool = Supervisor("pool", "simple_one_for_one", [archives], intensity=100)
    tree = Supervisor("root", children=[Worker("desk", StateMachine(step=desk, init=lambda *_: 0)),
                                        pool], intensity=100)  # fmt: skip
    with Node(tree, clock=ManualClock(), history=1000) as node:
        with_past(node, str)
        for name in ("one", "two", "three"):
            node.start_child("pool", name)
            node.call("desk", Open(name))
            node.call(name, File(7))
        node.call("two", Close(7))
        with pytest.raises(CallError):
            node.call("two", Close(7))
        if gone:
            node.terminate_child("pool", "two")
        found = node.perform("shrink", every="yes")
    assert found["test"].splitlines()[0] == "start-child pool two"
    assert found["inputs"] <= 4
    assert all(line.startswith("two ") for line in found["test"].splitlines()[1:])

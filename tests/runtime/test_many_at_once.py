"""What is done for many children at once comes to the same as for one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ssm_cli import Ignore, ManualClock, Node, Stop, Supervisor, Worker
from ssm_cli.spec.model import Backoff, ChildSpec, StrategyName
from tests.runtime.workers import Server, events, fail, worker

A, B, SHORT, LONG = worker("a"), worker("b"), worker("t", restart="temporary"), worker("t")
GROUPS: tuple[StrategyName, ...] = ("one_for_all", "rest_for_one")


def tree_of(*children: ChildSpec, strategy: StrategyName = "one_for_all") -> Any:
    return Supervisor("root", strategy, children, intensity=1000)


def started(*children: ChildSpec, strategy: StrategyName = "one_for_all") -> Node:
    return Node(tree_of(*children, strategy=strategy), clock=ManualClock()).start()


# -- a supervisor knows whether it has had temporary children ------------------------------------


def in_the_tree(strategy: StrategyName) -> Node:
    return started(A, SHORT, B, strategy=strategy)


def by_a_request(strategy: StrategyName) -> Node:
    node = started(A, B, strategy=strategy)
    node.start_child("root", SHORT)
    return node


def new_in_another_tree(strategy: StrategyName) -> Node:
    node = started(A, B, strategy=strategy)
    node.apply(tree_of(A, B, SHORT, strategy=strategy))
    return node


def changed_by_another_tree(strategy: StrategyName) -> Node:
    node = started(A, LONG, B, strategy=strategy)
    node.apply(tree_of(A, SHORT, B, strategy=strategy))
    return node


def in_a_fork(strategy: StrategyName) -> Node:
    node = in_the_tree(strategy)
    other = node.fork()
    node.stop()
    return other


MADE = (in_the_tree, by_a_request, new_in_another_tree, changed_by_another_tree, in_a_fork)


@pytest.mark.parametrize("strategy", GROUPS)
@pytest.mark.parametrize("made", MADE)
def test_a_temporary_sibling_is_not_restarted_however_it_came(
    made: Callable[[StrategyName], Node], strategy: StrategyName
) -> None:
    node = made(strategy)
    assert sorted(node.names("worker")) == ["a", "b", "t"]
    node.cast("a", fail)
    node.run()
    assert node.names("worker") == ["a", "b"]
    node.stop()


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one"])
@pytest.mark.parametrize("backoff", [None, Backoff(initial_ms=100)])
def test_a_restart_that_concerns_one_child_alone_touches_no_other(
    strategy: StrategyName, backoff: Backoff | None
) -> None:
    last = worker("b", backoff=backoff)
    children = (A, last) if strategy == "rest_for_one" else (last, A)
    node = started(*children, strategy=strategy)
    before = len(node.reports())
    node.cast("b", fail)
    node.run(1)
    assert not [said for said in events(node, before) if said.endswith(" a")]
    node.stop()


# -- watched, everything is done one by one ------------------------------------------------------


def odd(name: str, answer: Any, **options: Any) -> ChildSpec:
    """A worker whose `init` answers that, but in its first life."""
    answers = [0, answer]
    return worker(name, args={"init": lambda _: answers.pop(0) if answers else 0}, **options)


def many() -> list[ChildSpec]:
    inner = Supervisor("inner", "rest_for_one", [worker(f"i{n}") for n in range(5)], intensity=9)
    return [
        worker("first"),
        *(worker(f"w{n}") for n in range(5)),
        odd("ignores", Ignore()),
        worker("gone", args={"init": lambda _: Ignore()}, restart="temporary"),
        Worker("server", Server),
        Worker("another", Server),
        inner,
        odd("fails", Stop("no disk")),
        worker("limited", step_timeout=77, args={"state": 5}),
        *(worker(f"x{n}", args={"state": n}) for n in range(5)),
    ]


@pytest.mark.parametrize("strategy", GROUPS)
def test_a_start_a_restart_and_a_stop_are_reported_as_if_done_one_by_one(
    strategy: StrategyName,
) -> None:
    told = []
    for watched in (False, True):
        node = Node(tree_of(*many(), strategy=strategy), clock=ManualClock())
        if watched:
            node.subscribe(lambda _: None)
        node.start()
        node.cast("i1", fail)
        node.cast("first", fail)
        node.run()
        states = {name: node.get_state(name) for name in node.names("worker") if is_up(node, name)}
        node.stop()
        told.append((states, [(one.event, one.id, one.detail) for one in node.reports()]))
    assert told[0] == told[1]
    seen = {"ignored gone", "started i4", "ignored ignores", "start_failed fails", "started x4"}
    assert seen <= {*events(node)}


def is_up(node: Node, name: str) -> bool:
    process = node.whereis(name)
    return process is not None


# -- what each of them costs ---------------------------------------------------------------------


def calls(act: Callable[[], object]) -> int:
    """How many functions written in Python run in the course of it."""
    found: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            found.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return len(found)


@pytest.mark.parametrize("strategy", GROUPS)
def test_each_further_worker_costs_its_making_its_inits_and_a_look_at_the_clock_with_each(
    strategy: StrategyName,
) -> None:
    few, more = (calls_of(count, strategy) for count in (10, 110))
    assert [(b - a) / 100 for a, b in zip(few, more, strict=True)] == [3, 2, 0]


def calls_of(workers: int, strategy: StrategyName) -> list[int]:
    """The calls of a start, of a restart of all, and of a stop."""
    children = [worker(f"w{n}") for n in range(workers)]
    node = Node(tree_of(*children, strategy=strategy), clock=ManualClock())
    start = calls(node.start)
    node.cast("w0", fail)
    return [start, calls(node.run), calls(node.stop)]

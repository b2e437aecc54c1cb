"""Seconds that a caller gives are judged before anything is done or waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, RequestIds, StateMachine, Worker, multi_call
from ssm_cli.runtime.engine.timers import Timers
from tests.runtime.workers import running

COUNTER = StateMachine(step=lambda message, state: (state + 1, state), init=lambda name, args: 0)
NO_SECONDS: list[Any] = [float("nan"), "5", True, 10**400, [1]]


def waiting(node: Node, seconds: Any) -> Any:
    ids = RequestIds(node)
    ids.send_request("w", 1, "label")
    return ids.wait_response(seconds)


GIVEN: dict[str, Callable[[Node, Any], Any]] = {
    "call": lambda node, s: node.call("w", 1, s),
    "call with an id": lambda node, s: node.call("w", 1, s, "id"),
    "call of a reference": lambda node, s: node.worker("w").call(1, s),
    "call_value": lambda node, s: node.call_value("w", b"1", s),
    "acall": lambda node, s: asyncio.run(node.acall("w", 1, s)),
    "acall_value": lambda node, s: asyncio.run(node.acall_value("w", b"1", s)),
    "send_request": lambda node, s: node.send_request("w", 1, timeout_s=s),
    "wait": lambda node, s: node.wait(node.send_request("w", 1), s),
    "wait_response": waiting,
    "wait_response of none": lambda node, s: RequestIds(node).wait_response(s),
    "receive_response": lambda node, s: RequestIds(node).receive_response(s),
    "multi_call": lambda node, s: multi_call(node, "w", b"1", [], s),
    "run": lambda node, s: node.run(s),
    "turns": lambda node, s: [*node.turns(s)],
    "run_clients": lambda node, s: node.run_clients((x for x in [("w", 1)]), timeout_s=s),
    "stop_process": lambda node, s: node.stop_process("w", "normal", s),
}


@pytest.mark.parametrize("seconds", NO_SECONDS, ids=lambda one: repr(one)[:9])
@pytest.mark.parametrize("way", GIVEN)
def test_what_is_no_number_of_seconds_is_refused_by_name(way: str, seconds: Any) -> None:
    with running(Worker("w", COUNTER)) as node:
        with pytest.raises(ValueError, match=r"_s=.* is no time: expected a number of seconds"):
            GIVEN[way](node, seconds)
        node.run()
        assert node.whereis("w") is not None
        assert node.get_state("w") in ({0, 1} if "wait" in way else {0})


@pytest.mark.parametrize("seconds", [5, 5.0, 1.5, 0.5, float("inf"), None])
def test_any_number_of_seconds_will_do(seconds: Any) -> None:
    with running(Worker("w", COUNTER)) as node:
        assert [node.call("w", 1, seconds), node.wait(node.send_request("w", 1), seconds)] == [0, 1]


@pytest.mark.parametrize("way", ["run", "turns"])
def test_there_is_no_run_without_a_number_of_seconds(way: str) -> None:
    with (
        running(Worker("w", COUNTER)) as node,
        pytest.raises(ValueError, match=r"for_s=None is no time: expected a number of seconds$"),
    ):
        GIVEN[way](node, None)


@pytest.mark.parametrize("seconds", [*NO_SECONDS, None, b"1", -1.0, -1, float("inf")])
def test_a_clock_is_not_moved_by_what_is_no_time(seconds: Any) -> None:
    clock = ManualClock()
    for way in (clock.advance_s, clock.sleep_s):
        with pytest.raises(ValueError, match="expected 0 or more"):
            way(seconds)
    assert clock.now_s() == 0.0


def test_two_times_that_have_an_end_come_to_one_that_has() -> None:
    clock = ManualClock()
    clock.advance_s(1.7e308)
    with pytest.raises(ValueError, match="expected 0 or more"):
        clock.advance_s(1.7e308)
    assert clock.now_s() == 1.7e308


@pytest.mark.parametrize("seconds", [*NO_SECONDS, None, float("inf")])
def test_a_clock_begins_at_a_time(seconds: Any) -> None:
    for name in ("wall_s", "now_s"):
        with pytest.raises(ValueError, match=r"begin at .* s; expected a number, with an end"):
            ManualClock(**{name: seconds})


@pytest.mark.parametrize("way", ["run", "turns"])
def test_a_run_without_end_serves_what_is_due_and_leaves_the_tree_whole(way: str) -> None:
    with running(Worker("w", COUNTER)) as node:
        node.cast("w", 1)
        with pytest.raises(ValueError, match="inf s; expected 0 or more, with an end"):
            GIVEN[way](node, float("inf"))
        assert node.call("w", 1) == 1
        node.run(5)
        assert node.call("w", 1, None) == 2


def test_nothing_is_due_at_the_end_of_time_where_there_is_no_timer() -> None:
    assert Timers().pop(float("inf"), 1) is None

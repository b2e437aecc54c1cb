"""`verify_pure`: every callback is run twice on copies, and what is not pure is reported."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from ssm_cli import CalleeCrashed, GenServer, Node, Reply, StateMachine, Supervisor, Worker
from ssm_cli.machines.kv import Lookup, Result, Store, kv_store


def node_of(start: Any) -> Node:
    return Node(Supervisor("root", children=[Worker("w", start)]), verify_pure=True)


def faults(node: Node) -> list[str]:
    return [report.detail["how"] for report in node.reports() if report.event == "impure"]


def test_a_pure_step_is_not_reported_and_answers_as_ever() -> None:
    with node_of(kv_store) as node:
        node.call("w", Store("x", 1))
        assert node.call("w", Lookup("x")) == Result(1)
        assert node.call("w", b"Lookup x") == b"Result 1"
        assert faults(node) == []


def test_a_step_that_changes_its_state_in_place_is_reported_and_the_state_stays_right() -> None:
    def step(message: str, state: list[str]) -> tuple[list[str], int]:
        state.append(message)
        return state, len(state)

    with node_of(StateMachine(step=step, init=lambda _name, _args: [])) as node:
        assert node.call("w", "a") == 1
        assert node.call("w", "b") == 2
        assert node.get_state("w") == ["a", "b"]
        assert "changes the state that it is given" in faults(node)[0]


def test_a_step_that_changes_its_input_in_place_is_reported() -> None:
    def step(message: list[int], state: int) -> tuple[int, int]:
        message.append(1)
        return state + 1, len(message)

    with node_of(StateMachine(step=step, init=lambda _name, _args: 0)) as node:
        node.call("w", [5])
        assert "changes the input that it is given" in faults(node)[0]


def test_a_step_that_counts_outside_its_state_is_reported_with_its_input() -> None:
    numbers = count()

    def step(_message: str, state: int) -> tuple[int, int]:
        return state, next(numbers)

    with node_of(StateMachine(step=step, init=lambda _name, _args: 0)) as node:
        assert node.call("w", b"go") == b"0"
        (report,) = [r for r in node.reports() if r.event == "impure"]
        assert report.detail["input"] == "go"
        assert "another output the second time" in report.detail["how"]


def test_a_step_that_crashes_only_once_is_reported_and_crashes() -> None:
    numbers = count()

    def step(_message: str, state: int) -> tuple[int, float]:
        return state, 1 / next(numbers)

    with node_of(StateMachine(step=step, init=lambda _name, _args: 0)) as node:
        with pytest.raises(CalleeCrashed):
            node.call("w", "go")
        assert "the first time alone" in faults(node)[0]


def test_callbacks_are_checked_too_and_their_early_replies_count_once() -> None:
    numbers = count()

    class Server(GenServer):
        def handle_call(self, message: Any, caller: Any, state: Any) -> Reply:
            caller.reply("early")
            return Reply("late", next(numbers))

    with node_of(Server) as node:
        assert node.call("w", "go") == "early"
        assert "another state the second time" in faults(node)[0]


def test_a_worker_is_reported_three_times_at_most() -> None:
    numbers = count()
    machine = StateMachine(step=lambda _message, state: (state, next(numbers)))
    with node_of(machine) as node:
        for _ in range(10):
            node.call("w", "go")
        assert len(faults(node)) == 3

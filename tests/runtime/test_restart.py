"""`restart` by hand: one node is stopped in order and started again, and nothing is counted."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

import pytest

from ssm_cli import CalleeCrashed, CallTimeout, Ignore, NoProc, SupervisorError, Worker
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Backoff, Supervisor
from tests.runtime.workers import actor, add, events, fail, get, running, worker

RestartType = Literal["permanent", "transient", "temporary"]


def starts(node: Node, name: str) -> int:
    process = node.whereis(name)
    assert process is not None
    return process.starts


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_worker_is_stopped_and_started_whatever_its_restart_type(restart: RestartType) -> None:
    with running(worker("a", restart=restart), worker("b"), intensity=0) as node:
        node.call("a", add(5))
        assert node.perform("restart", "a") == "a"
        assert node.call("a", get) == 0
        assert starts(node, "a") == 2
        assert node.names() == ["root", "a", "b"]
        assert events(node)[-4:] == ["terminating a", "terminated a", "starting a", "started a"]


def test_it_counts_in_no_intensity_and_takes_no_sibling_with_it() -> None:
    flags: dict[str, Any] = {"strategy": "one_for_all", "intensity": 0}
    with running(worker("a"), worker("b"), **flags) as node:
        for _ in range(20):
            node.perform("restart", "a")
        assert node.tree().budget_left == 0
        assert (starts(node, "a"), starts(node, "b")) == (21, 1)
        assert not node.gave_up


def test_a_worker_that_is_down_is_started() -> None:
    with running(worker("a", restart="transient")) as node:
        node.terminate_child("root", "a")
        assert node.perform("restart", "root/a") == "a"
        node.stop_process("a")
        assert node.perform("restart", "a") == "a"
        assert node.call("a", get) == 0


def test_a_supervisor_starts_anew_with_its_own_children() -> None:
    with running(Supervisor("inner", children=[worker("a")])) as node:
        node.start_child("inner", worker("more"))
        assert node.perform("restart", "inner") == "inner"
        assert (starts(node, "inner"), starts(node, "a")) == (2, 2)
        assert node.tree().budget_left == 100


def test_a_dynamic_child_keeps_its_name_and_its_place_among_the_most() -> None:
    pool = Supervisor("pool", "simple_one_for_one", [worker("a")], max_children=1)
    with running(pool) as node:
        node.start_child("pool", "ann")
        assert node.perform("restart", "ann") == "ann"
        assert starts(node, "ann") == 2


def test_what_waits_in_the_queue_is_served_by_the_new_life() -> None:
    with running(worker("a")) as node:
        node.cast("a", add(1))
        node.cast("a", add(1))
        node.perform("restart", "a")
        assert node.call("a", get) == 2


def test_a_suspended_worker_runs_again() -> None:
    with running(worker("a")) as node:
        node.suspend("a")
        node.perform("restart", "a")
        assert node.call("a", get) == 0


def test_a_back_off_is_over_at_once_also_for_the_siblings_that_wait() -> None:
    held = worker("a", backoff=Backoff(initial_ms=60_000, max_ms=60_000))
    with running(held, worker("b"), strategy="one_for_all", intensity=5) as node:
        with contextlib.suppress(CalleeCrashed):
            node.call("a", fail)
        with pytest.raises(SupervisorError, match="b starts together with a sibling") as refused:
            node.perform("restart", "b")
        assert refused.value.term == "restarting"
        assert node.perform("restart", "a") == "a"
        assert (node.call("a", get), node.call("b", get)) == (0, 0)
        assert node.tree().budget_left == 4


def test_a_start_that_fails_leaves_the_child_down_and_says_why() -> None:
    lives: list[str] = []

    def init(name: str) -> int:
        lives.append(name)
        if len(lives) == 2:
            raise ValueError("not now")
        return 7

    with running(Worker("a", actor, args={"init": init})) as node:
        with pytest.raises(SupervisorError, match="a failed to start: crash; ValueError: not"):
            node.perform("restart", "a")
        assert node.whereis("a") is None
        assert node.perform("restart", "a") == "a"
        assert node.call("a", get) == 7


def test_a_temporary_child_whose_start_fails_is_forgotten() -> None:
    answers = iter([0, Ignore()])
    spec = Worker("a", actor, args={"init": lambda _: next(answers)}, restart="temporary")
    with running(spec) as node:
        assert node.perform("restart", "a") is None
        assert node.names() == ["root"]


def test_the_root_and_what_is_not_there_are_refused() -> None:
    with running(worker("a")) as node:
        with pytest.raises(SupervisorError, match="the root has no supervisor; stop the tree"):
            node.perform("restart", "root")
        with pytest.raises(NoProc, match="no worker b"):
            node.perform("restart", "b")


def test_a_suspended_supervisor_does_it_after_resume() -> None:
    with running(worker("a")) as node:
        node.suspend("root")
        with pytest.raises(CallTimeout):
            node.perform("restart", "a")
        assert starts(node, "a") == 1
        node.resume("root")
        node.run()
        assert starts(node, "a") == 2

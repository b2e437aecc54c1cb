"""Supervision in a running node, beyond what the recordings of OTP cover."""

from __future__ import annotations

import contextlib

import pytest

from ssm_cli import CalleeCrashed, ManualClock, Node, NoProc, Supervisor, Worker
from ssm_cli.spec.model import Backoff, ChildSpec
from tests.runtime.workers import actor, events, fail, running, worker


def crash(node: Node, name: str) -> None:
    with contextlib.suppress(CalleeCrashed):
        node.call(name, fail)


def delays(node: Node) -> list[float]:
    return [r.detail["delay_ms"] for r in node.reports() if r.event == "delayed"]


def nested() -> Supervisor:  # type: ignore[valid-type]  # the builder's name reads as its class
    inner = Supervisor("inner", children=[worker("deep")], intensity=1)
    middle = Supervisor("middle", children=[inner], intensity=1)
    return Supervisor("root", children=[middle, worker("other")], intensity=1)


# -- escalation --------------------------------------------------------------------------------


def test_each_level_gives_up_after_its_own_intensity_up_to_the_root() -> None:
    with Node(nested(), clock=ManualClock()) as node:
        crashes = 0
        while node.running:
            crash(node, "deep")
            crashes += 1
        assert crashes == 8  # (1 + 1) at each of three levels
        assert node.gave_up
    gave_up = [report for report in node.reports() if report.event == "gave_up"]
    assert [report.id for report in gave_up] == [
        "inner", "inner", "middle", "inner", "inner", "middle", "root",
    ]  # fmt: skip
    assert gave_up[-1].detail == {"child": "middle", "restarts": 2, "intensity": 1, "period": 5.0}
    assert events(node)[-2:] == ["exited root", "stopped root"]


def test_siblings_are_stopped_when_the_root_gives_up() -> None:
    with running(worker("a"), worker("b"), intensity=0) as node:
        crash(node, "a")
        assert not node.running
    assert events(node)[-5:] == [
        "gave_up root", "terminating b", "terminated b", "exited root", "stopped root",
    ]  # fmt: skip


def test_callers_in_the_queue_are_told_when_the_tree_gives_up() -> None:
    with running(worker("a"), worker("b"), intensity=0) as node:
        node.cast("a", fail)
        with pytest.raises(Exception, match="the tree has stopped: shutdown"):
            node.call("b", 1)


def test_restarts_older_than_the_period_do_not_count() -> None:
    with running(worker("a"), intensity=1, period=5) as node:
        for _ in range(5):
            crash(node, "a")
            node._world.clock.sleep_s(5.1)
        assert node.running
        crash(node, "a")
        crash(node, "a")
        assert not node.running


def test_the_budget_is_what_is_left_of_the_intensity_in_this_window() -> None:
    with running(worker("a"), intensity=3, period=5) as node:
        crash(node, "a")
        crash(node, "a")
        assert node.tree().budget_left == 1
        node.run(5.5)
        assert node.tree().budget_left == 3


# -- back-off ----------------------------------------------------------------------------------


def test_delays_double_up_to_their_maximum() -> None:
    backoff = Backoff(initial_ms=100, factor=2, max_ms=1000)
    with running(worker("a", backoff=backoff), period=5) as node:
        for _ in range(6):
            crash(node, "a")
            node.run(1.0)
        assert delays(node) == [100, 200, 400, 800, 1000, 1000]
        assert node.tree().children[0].state == "running"


@pytest.mark.parametrize(
    ("strategy", "waiting"), [("one_for_all", ["0", "b"]), ("rest_for_one", ["b"])]
)
def test_who_waits_for_a_child_that_is_terminated_meanwhile_is_stopped_and_can_be_started(
    strategy: str, waiting: list[str]
) -> None:
    children = [worker("0"), worker("a", backoff=Backoff(initial_ms=500)), worker("b")]
    with running(*children, strategy=strategy, intensity=9) as node:
        crash(node, "a")
        node.terminate_child("root", "a")
        node.run(1.0)
        states = {child.id: child.state for child in node.tree().children}
        assert [name for name, state in states.items() if state == "stopped"] == sorted(
            ["a", *waiting]
        )
        for name in ("a", *waiting):
            node.restart_child("root", name)
        assert all(child.state == "running" for child in node.tree().children)


def test_a_child_is_started_exactly_when_its_delay_is_over() -> None:
    with running(worker("a", backoff=Backoff(initial_ms=300))) as node:
        crash(node, "a")
        view = node.tree().children[0]
        assert (view.state, view.delay_ms) == ("restarting", 300)
        node.run(0.2)
        assert node.tree().children[0].delay_ms == pytest.approx(100)
        node.run(0.1)
        view = node.tree().children[0]
        assert (view.state, view.delay_ms) == ("running", None)


def test_a_child_that_ran_for_a_whole_period_begins_with_the_first_delay() -> None:
    with running(worker("a", backoff=Backoff(initial_ms=100)), period=5) as node:
        for quiet_s in (0.5, 0.5, 6.0, 0.5):
            crash(node, "a")
            node.run(quiet_s)
        assert delays(node) == [100, 200, 400, 100]


@pytest.mark.parametrize(
    ("strategy", "crashes", "started"),
    [
        ("one_for_one", "b", "restarting"),  # each child has a delay of its own
        ("rest_for_one", "0", "running"),  # it stands before a: a is started with it
    ],
)
def test_a_sibling_that_crashes_during_a_delay(strategy: str, crashes: str, started: str) -> None:
    children = [worker("0"), worker("a", backoff=Backoff(initial_ms=500)), worker("b")]
    with running(*children, strategy=strategy, intensity=9) as node:
        crash(node, "a")
        crash(node, crashes)
        states = {child.id: child.state for child in node.tree().children}
        assert states["a"] == started
        starts = node.statistics("a").starts
        node.run(1.0)
        assert node.statistics("a").starts == (starts if started == "running" else starts + 1)
        assert all(child.state == "running" for child in node.tree().children)


@pytest.mark.parametrize(
    ("strategy", "down"), [("one_for_all", ["0", "a", "b"]), ("rest_for_one", ["a", "b"])]
)
def test_siblings_are_down_while_the_restart_of_one_is_delayed(
    strategy: str, down: list[str]
) -> None:
    children = [worker("0"), worker("a", backoff=Backoff(initial_ms=500)), worker("b")]
    with running(*children, strategy=strategy, intensity=9) as node:
        crash(node, "a")
        states = {child.id: child.state for child in node.tree().children}
        assert [name for name, state in states.items() if state == "restarting"] == down
        node.run(0.4)
        assert not [child for child in node.tree().children if child.id in down[1:] and child.steps]
        node.run(0.2)
        assert all(child.state == "running" for child in node.tree().children)


def test_starts_that_fail_are_delayed_and_counted_until_the_supervisor_gives_up() -> None:
    broken: list[bool] = []

    def init(_: str) -> int:
        if broken:
            raise OSError("no disk")
        return 0

    spec = Worker("a", actor, args={"init": init}, backoff=Backoff(initial_ms=100))
    with running(spec, intensity=3, period=60) as node:
        broken.append(True)
        crash(node, "a")
        node.run(10)
        assert delays(node) == [100, 200, 400]
        assert node.gave_up


def test_a_stop_between_attempts_is_served_at_once() -> None:
    with running(
        worker("a", backoff=Backoff(initial_ms=60_000, max_ms=60_000)), worker("b")
    ) as node:
        crash(node, "a")
        node.stop()
        assert node._world.clock.now_s() == 0
    assert events(node)[-5:] == [
        "terminating b", "terminated b", "terminated a", "exited root", "stopped root",
    ]  # fmt: skip


def test_a_child_between_attempts_can_be_terminated_and_started_by_hand() -> None:
    with running(worker("a", backoff=Backoff(initial_ms=1000))) as node:
        crash(node, "a")
        node.terminate_child("root", "a")
        node.restart_child("root", "a")
        node.run(5)
        assert node.statistics("a").starts == 2


def test_jitter_comes_from_the_seed_and_stays_within_its_bounds() -> None:
    def delays_with(seed: int) -> list[float]:
        child: ChildSpec = worker("a", backoff=Backoff(100, 1, 100, jitter=0.5))
        tree = Supervisor("root", children=[child], intensity=100)
        with Node(tree, clock=ManualClock(), seed=seed) as node:
            for _ in range(20):
                crash(node, "a")
                node.run(0.2)
            return delays(node)

    assert delays_with(1) == delays_with(1) != delays_with(2)
    assert all(50 <= delay <= 150 for delay in delays_with(1))
    assert len(set(delays_with(1))) > 10


# -- system messages ---------------------------------------------------------------------------


def test_a_suspended_worker_holds_its_inputs_in_order() -> None:
    with running(worker("a", args={"state": []})) as node:
        node.suspend("a")
        for number in range(3):
            node.cast("a", lambda state, n=number: ([*state, n], None))
        node.run()
        assert node.get_state("a") == []
        assert node.tree().children[0].queue == 3
        node.cast("a", lambda state: ([*state, 3], None))
        node.resume("a")
        node.run()
        assert node.get_state("a") == [0, 1, 2, 3]


def test_a_killed_worker_runs_no_callback_of_its_own_and_is_restarted() -> None:
    with running(worker("a")) as node:
        before = len(node.reports())
        node.kill("a")
        assert events(node, before) == ["killed a", "restarting root", "starting a", "started a"]


def test_replace_state_takes_a_value_or_a_function_and_keeps_the_state_if_that_raises() -> None:
    with running(worker("a", args={"state": 5})) as node:
        assert node.replace_state("a", 6) == 6
        assert node.replace_state("a", lambda state: state * 2) == 12
        with pytest.raises(Exception, match="a: the state stays: ZeroDivisionError"):
            node.replace_state("a", lambda _: 1 // 0)
        assert node.get_state("a") == 12


def test_system_messages_to_what_does_not_run_are_noproc() -> None:
    with running(worker("a")) as node:
        node.terminate_child("root", "a")
        for ask in (node.kill, node.suspend, node.resume, node.get_state, node.stop_process):
            with pytest.raises(NoProc, match="a is not running"):
                ask("a")


def test_stop_process_ends_one_worker_and_its_supervisor_decides() -> None:
    with running(worker("a", restart="transient"), worker("b")) as node:
        node.stop_process("a")
        node.stop_process("b", "oops")
        assert [(c.id, c.state) for c in node.tree().children] == [
            ("a", "stopped"), ("b", "running"),
        ]  # fmt: skip
        assert node.statistics("b").starts == 2


def test_names_are_in_start_order_and_by_kind() -> None:
    inner = Supervisor("inner", children=[worker("b")])
    with running(worker("a"), inner, worker("c")) as node:
        assert node.names() == ["root", "a", "inner", "b", "c"]
        assert node.names("worker") == ["a", "b", "c"]
        assert node.names("supervisor") == ["root", "inner"]

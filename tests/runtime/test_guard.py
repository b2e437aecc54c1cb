"""The step guard under a manual clock: cut at exactly the limit, and not a moment before."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ssm_cli import CalleeCrashed, DecodeError, ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.errors import StepTimeout
from ssm_cli.runtime.engine import alarm
from ssm_cli.runtime.engine.alarm import Spent
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.engine.timers import Timers
from tests.runtime.workers import actor, add, events, get


def node_of(clock: ManualClock, *children: Any, **flags: Any) -> Node:
    return Node(Supervisor("root", children=children, intensity=100, **flags), clock=clock)


def takes(clock: ManualClock, seconds: float) -> Callable[[int], tuple[int, str]]:
    def step(state: int) -> tuple[int, str]:
        clock.sleep_s(seconds)
        return state + 1, "done"

    return step


def test_a_step_is_cut_at_exactly_its_limit() -> None:
    clock = ManualClock()
    with node_of(clock, Worker("a", actor, step_timeout=500)) as node:
        assert node.call("a", takes(clock, 0.4999)) == "done"
        begin_s = clock.now_s()
        with pytest.raises(CalleeCrashed, match="a ran longer than 500 ms") as caught:
            node.call("a", takes(clock, 30), timeout_s=None)
        assert clock.now_s() - begin_s == 0.5
        assert caught.value.reason == "step_timeout"


def test_many_steps_together_may_take_longer_than_the_limit_of_one() -> None:
    clock = ManualClock()
    with node_of(clock, Worker("a", actor, step_timeout=500)) as node:
        for _ in range(10):
            assert node.call("a", takes(clock, 0.3)) == "done"
        assert node.call("a", get) == 10


def test_a_worker_without_a_limit_is_not_cut() -> None:
    clock = ManualClock()
    with node_of(clock, Worker("a", actor, step_timeout="infinity")) as node:
        assert node.call("a", takes(clock, 3600), timeout_s=None) == "done"


def test_a_node_without_a_guard_cuts_nothing() -> None:
    clock = ManualClock()
    tree = Supervisor("root", children=[Worker("a", actor, step_timeout=500)])
    with Node(tree, clock=clock, guard=False) as node:
        assert node.call("a", takes(clock, 3600), timeout_s=None) == "done"


def test_a_cut_step_has_time_to_clean_up_and_is_cut_again_if_it_goes_on() -> None:
    clock = ManualClock()
    cuts: list[float] = []

    def stubborn(_: int) -> Any:
        for _round in range(3):
            try:
                clock.sleep_s(30)
            except StepTimeout:
                cuts.append(clock.now_s())
        return 9, "done"

    with node_of(clock, Worker("a", actor, step_timeout=500)) as node:
        assert node.call("a", stubborn, timeout_s=None) == "done"
    assert cuts == pytest.approx([0.5, 0.55, 0.6])


def test_the_state_of_a_cut_step_is_the_one_from_before() -> None:
    clock = ManualClock()
    left: list[int] = []
    keeper = StateMachine(
        step=actor.step,
        init=lambda _name, _args: 5,
        terminate=lambda _name, state, _reason: left.append(state),
    )
    with node_of(clock, Worker("a", keeper)) as node:
        node.call("a", add(1))
        with contextlib.suppress(CalleeCrashed):
            node.call("a", takes(clock, 30))
        assert left == [6]


def test_a_terminate_is_cut_after_its_shutdown_time_and_counts_as_killed() -> None:
    clock = ManualClock()
    sleeper = StateMachine(
        step=actor.step, terminate=lambda _name, _state, _reason: clock.sleep_s(30)
    )
    with node_of(clock, Worker("a", sleeper, shutdown=200)) as node:
        node.terminate_child("root", "a")
        assert clock.now_s() == 0.2
        assert events(node)[-2:] == ["terminating a", "killed a"]


def test_a_supervisors_shutdown_time_bounds_all_its_children_together() -> None:
    clock = ManualClock()
    sleeper = StateMachine(
        step=actor.step, terminate=lambda _name, _state, _reason: clock.sleep_s(0.3)
    )
    children = [Worker(name, sleeper) for name in "abcd"]
    inner = Supervisor("inner", children=children, shutdown=500)
    with node_of(clock, inner) as node:
        before = len(node.reports())
        node.terminate_child("root", "inner")
        reports = node.reports(before)
    ends = [(r.id, r.detail["reason"]) for r in reports if r.event in ("terminated", "exited")]
    assert ends == [
        ("d", "shutdown"), ("inner", "killed"), ("c", "shutdown"), ("b", "killed"), ("a", "killed"),
    ]  # fmt: skip
    assert [r.seq for r in reports] == list(range(before + 1, before + 1 + len(reports)))


def test_a_node_started_again_under_the_same_clock_is_guarded_again() -> None:
    clock = ManualClock()
    node = node_of(clock, Worker("a", actor, step_timeout=500))
    for _ in range(2):
        with node, pytest.raises(CalleeCrashed, match="StepTimeout"):
            node.call("a", takes(clock, 30), timeout_s=None)
    assert clock._watchers == []


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="time does not run backwards: -1 s"):
        ManualClock().advance_s(-1)


def test_the_wall_clock_moves_with_the_manual_one() -> None:
    clock = ManualClock(wall_s=1000.0)
    clock.advance_s(2.5)
    assert (clock.now_s(), clock.wall_s()) == (2.5, 1002.5)


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.cancel(timers.start(float(number), print))
    assert len(timers.heap) < 200
    assert timers.next_s() == float("inf")


def test_a_codec_that_does_not_end_is_cut_and_the_worker_is_not_touched() -> None:
    clock = ManualClock()

    class Slow:
        def decode(self, data: bytes) -> str:
            clock.sleep_s(60 if data == b"long" else 0)
            return data.decode()

        def encode(self, value: object) -> bytes:
            return str(value).encode()

    echo = StateMachine(step=lambda message, state: (state, message), codec=Slow())
    with Node(Supervisor("root", children=[Worker("a", echo)]), clock=clock) as node:
        with pytest.raises(DecodeError, match="StepTimeout"):
            node.call("a", b"long", timeout_s=None)
        assert clock.now_s() == 1.0
        assert node.call("a", b"short") == b"short"
        assert node.statistics("a").starts == 1


def test_a_codec_in_c_that_writes_for_longer_than_the_limit_is_cut_when_it_returns() -> None:
    clock = ManualClock()

    class InC:
        decode = staticmethod(int)
        encode = clock.advance_s  # whose frames the guard leaves out, as if there were none

    codec: Any = InC()
    echo = StateMachine(step=lambda message, state: (state, message), codec=codec)
    with Node(Supervisor("root", children=[Worker("a", echo)]), clock=clock) as node:
        with pytest.raises(DecodeError, match="StepTimeout"):
            node.call("a", b"60", timeout_s=None)
        assert clock.now_s() == 1.0
        assert node.call("a", 3) == 3
        assert node.statistics("a").starts == 1


def test_the_time_in_steps_is_estimated_from_every_64th_and_exact_for_the_first() -> None:
    clock = ManualClock()

    def step(message: float, state: int) -> tuple[int, int]:
        clock.sleep_s(message)
        return state, state

    machine = StateMachine(step=step)
    with Node(Supervisor("root", children=[Worker("a", machine)]), clock=clock) as node:
        node.call("a", 0.25)
        assert node.tree().children[0].busy_s == 0.25
        for _ in range(127):
            node.call("a", 0.25)
        assert node.tree().children[0].busy_s == pytest.approx(128 * 0.25)


def test_the_callback_of_the_node_whose_limit_is_over_is_cut_and_not_the_innermost() -> None:
    clock = ManualClock()
    with (
        node_of(clock, Worker("a", actor, step_timeout=500)) as outer,
        node_of(clock, Worker("a", actor, step_timeout=2000)) as inner,
    ):
        with pytest.raises(CalleeCrashed, match="ran longer than 500 ms"):
            outer.call("a", lambda _: inner.call("a", takes(clock, 30)), timeout_s=None)
        assert clock.now_s() == 0.5
        crashes = [node.statistics("a").crashes for node in (outer, inner)]
        assert crashes == [1, 0]
        assert inner.call("a", takes(clock, 1.9)) == "done"


def test_an_inner_callback_whose_limit_is_over_first_is_cut_and_the_outer_one_goes_on() -> None:
    clock = ManualClock()
    with (
        node_of(clock, Worker("a", actor, step_timeout=500)) as outer,
        node_of(clock, Worker("a", actor, step_timeout=200)) as inner,
    ):

        def asks(state: int) -> tuple[int, float]:
            with pytest.raises(CalleeCrashed, match="ran longer than 200 ms"):
                inner.call("a", takes(clock, 30), timeout_s=None)
            return state, clock.now_s()

        assert outer.call("a", asks) == 0.2
        assert outer.statistics("a").crashes == 0


def test_a_callback_in_another_thread_than_the_one_that_ticks_is_not_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = ManualClock()
    entered, leave = threading.Event(), threading.Event()

    def waits(state: int) -> tuple[int, str]:
        entered.set()
        leave.wait()
        return state, "done"

    outcomes: list[str] = []
    with node_of(clock, Worker("a", actor, step_timeout=500)) as node:
        thread = threading.Thread(target=lambda: outcomes.append(node.call("a", waits)))
        thread.start()
        entered.wait()
        clock.advance_s(3)
        leave.set()
        thread.join()
    assert outcomes == ["done"]
    assert capsys.readouterr().err.count("outside the main thread") == 1


def test_a_step_at_the_prompt_of_a_debugger_is_not_cut_and_has_its_limit_again_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock()

    def prompt() -> None:
        clock.advance_s(30)

    monkeypatch.setattr(sys, "breakpointhook", prompt)

    def looked_at(state: int) -> tuple[int, str]:
        breakpoint()  # noqa: T100 - it is what the test is about
        clock.sleep_s(0.4)
        return state, "done"

    with node_of(clock, Worker("a", actor, step_timeout=500)) as node:
        assert node.call("a", looked_at, timeout_s=None) == "done"
        with pytest.raises(CalleeCrashed, match="StepTimeout"):
            node.call("a", takes(clock, 0.6))


def test_a_tighter_limit_is_known_at_once_and_a_looser_one_changes_nothing() -> None:
    armed: list[float] = []

    class Watched(Guard):
        def arm(self) -> None:
            self.armed = True
            armed.append(self._tick_s)

    guard = Watched(ManualClock())
    guard.expect(1.0)
    guard.arm()
    for limit_s in (5.0, 0.2, 0.2, 0.001, float("inf")):
        guard.expect(limit_s)
    assert armed == [0.1, 0.02, 0.002]


@pytest.mark.parametrize(
    ("now", "divided"),
    [
        ((0.01, 0.0, 1, 0), (0.0, 0.0)),  # in time
        ((0.029, 0.029, 0, 1), (0.0, 0.0)),  # a little late
        ((3.0, 2.99, 0, 0), (0.0, 2.99)),  # computing in C
        ((3.0, 0.0, 300, 0), (0.0, 2.99)),  # waiting in C, woken by each tick
        ((3.0, 0.0, 0, 0), (2.99, 0.0)),  # stopped
        ((3.0, 0.5, 0, 0), (2.49, 0.5)),  # both
        ((3.0, 2.99, 0, 1), (2.99, 0.0)),  # garbage was collected
    ],
)
def test_a_late_tick_tells_what_was_lost_from_what_was_spent_in_c(
    monkeypatch: pytest.MonkeyPatch,
    now: tuple[float, float, int, int],
    divided: tuple[float, float],
) -> None:
    spent = Spent()
    monkeypatch.setattr(spent, "begin", lambda: now)
    assert spent.divide(0.01) == pytest.approx(divided)


def test_a_step_does_not_pay_for_a_full_collection_that_it_runs_into_but_for_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_s = 0.0
    collections = 0
    spans = [(0.01, 0), (1.0, 1), (0.01, 0), (1.0, 1), (0.5, 0), (0.6, 0), (1.0, 1)]

    def stats() -> list[dict[str, int]]:
        return [{"collections": 0}, {"collections": 0}, {"collections": collections}]

    def used(cpu_s: float) -> SimpleNamespace:
        return SimpleNamespace(ru_utime=cpu_s, ru_stime=0.0, ru_nvcsw=0)

    monkeypatch.setattr(alarm, "now_s", lambda: at_s)
    monkeypatch.setattr(gc, "get_stats", stats)
    monkeypatch.setattr(resource, "getrusage", lambda _: used(at_s))
    spent = Spent()
    divided = []
    for gap_s, collected in spans:
        at_s, collections = at_s + gap_s, collections + collected
        divided.append(spent.divide(0.01))
    lost = [round(lost_s, 2) for lost_s, _ in divided]
    held = [round(held_s, 2) for _, held_s in divided]
    assert lost == [0, 0.99, 0, 0, 0, 0, 0.99]
    assert held == [0, 0, 0, 0.99, 0.49, 0.59, 0]

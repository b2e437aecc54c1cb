"""Ticks of the guard at chosen moments, its alarms, and what others do with the same signals."""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any

from ssm_cli import StepTimeout, Supervisor, SystemClock
from ssm_cli.runtime.engine import alarm, guard, ticker
from ssm_cli.runtime.engine.guard import ALARM, NoGuard
from tests.faults.scenarios import add, flat
from tests.faults.stage import Scenario, Stage


class Ahead:
    """The machine's clock, ahead by as much as is wanted."""

    ahead_s = 0.0

    def now_s(self) -> float:
        return SystemClock.now_s() + self.ahead_s

    def wall_s(self) -> float:
        return SystemClock.wall_s() + self.ahead_s

    def sleep_s(self, seconds: float) -> None:
        self.ahead_s += seconds


CLOCK = Ahead()


def tick(seconds: float) -> None:
    """A tick comes now, and that much later than the one before."""
    CLOCK.ahead_s += seconds
    signal.raise_signal(ALARM._ticker.number if ALARM._ticker is not None else signal.SIGURG)


def ticking(*gaps_s: float) -> Callable[[Any], Any]:
    def step(state: Any) -> Any:
        for gap_s in gaps_s:
            tick(gap_s)
        return state, "ticked"

    return step


def swallowing(state: Any) -> Any:
    """A step that cannot be cut."""
    for _ in range(12):
        with suppress(StepTimeout):
            tick(5.0)
    return state, "swallowed"


def as_debugger(function: Any) -> Any:
    return FunctionType(function.__code__, {**globals(), "__name__": "pdb"})


def debugged(state: Any) -> Any:
    tick(0.1)
    as_debugger(lambda: tick(5.0))()
    return state, "debugged"


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    was = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, was)


def refuse(*_: Any) -> Any:
    raise ValueError("signal only works in the main thread of the main interpreter")


def ended_late(stage: Stage) -> Any:
    """Supervisors with a time to end in, and workers whose `terminate` takes longer."""

    def slow(_name: str, _state: Any, _reason: Any) -> None:
        tick(0.1)
        tick(0.5)
        tick(3.0)

    late = stage.machine(terminate=slow)
    low = Supervisor("low", children=[stage.worker("c", start=late)], shutdown=100)
    inner = [stage.worker("b", start=late), low, stage.worker("d", start=late)]
    return Supervisor(
        "root",
        children=[
            stage.worker("a"),
            Supervisor("inner", children=inner, shutdown=1000),
            Supervisor("brutal", children=[stage.worker("e", start=late)], shutdown="brutal_kill"),
        ],
        intensity=100,
    )


def cuts(stage: Stage) -> None:
    """Steps that overrun, that cannot be cut, that a debugger stops; ticks while nothing runs."""
    CLOCK.ahead_s = 0.0
    node = stage.node

    def late() -> None:
        CLOCK.sleep_s(60.0)
        node.run()

    stage.start()
    stage.call("a", ticking(0.1, 0.1, 5.0))
    stage.call("a", swallowing)
    stage.call("a", debugged)
    with patched(guard, "DEBUGGERS", {"tests"}):
        stage.call("a", ticking(0.1, 5.0))
    stage.act("a tick outside", tick, 0.1)
    stage.act("another", tick, 0.1)
    stage.ask("a", add)
    stage.do("run")
    stage.act("late", late)
    for _ in range(70):
        node.call("a", add)
    stage.ask("a", ticking(60.0))
    stage.do("run")
    stage.do("terminate_child", "inner", "d")
    stage.do("restart_child", "inner", "d")
    stage.do("stop_process", "b")
    stage.do("terminate_child", "root", "inner")
    stage.do("terminate_child", "root", "brutal")
    stage.do("start_child", "root", stage.worker("x", step_timeout=20))
    stage.call("x", ticking(0.01, 0.1))
    stage.stop()


def in_another_thread(stage: Stage) -> None:
    """Where Python handles no signals, nothing is cut, and that is said once."""
    CLOCK.ahead_s = 0.0
    stage.start()
    with patched(signal, "signal", refuse):
        stage.act("arm", stage.node._world.guard.arm)
        stage.call("a", add)
        stage.stop()
    stage.start()
    stage.stop()


def nothing(*_: Any) -> None:
    """A tick, or a signal, that does nothing."""


def alarms(stage: Stage) -> None:
    """The alarm by itself: another owner's, late ones, of a fork, of a child, of no thread."""
    before = signal.signal(signal.SIGALRM, nothing)
    own = alarm.Alarm(nothing)
    one: Any = NoGuard(CLOCK)
    try:
        interval = ticker.IntervalTicker(CLOCK.now_s)
        own._ticker = interval
        stage.act("start", own.start, one, 50.0, 60.0)
        stage.act("start", own.start, one, 40.0, 60.0)
        stage.act("tick", own._on_signal, signal.SIGALRM, sys._getframe())
        one.used = True
        own._spent._at_s -= 1000.0
        own._tick_s = 0.001
        stage.act("late tick", own._on_signal, signal.SIGALRM, sys._getframe())
        interval._other_s = 0.0
        stage.act("another's", own._on_signal, signal.SIGALRM, sys._getframe())
        interval._other_s, interval._other_every_s = 0.0, 9.0
        own._previous = signal.SIG_IGN
        stage.act("ignored", own._on_signal, signal.SIGALRM, sys._getframe())
        stage.act("passed on", own._pass_on, signal.SIGURG, None)
        own._previous = signal.SIG_DFL
        stage.act("passed on", own._pass_on, signal.SIGURG, None)
        one.used = False
        stage.act("no work", own._on_signal, signal.SIGALRM, sys._getframe())
        stage.act("nobody", own._on_signal, signal.SIGALRM, sys._getframe())
        signal.setitimer(signal.ITIMER_REAL, 70.0)
        stage.act("start", own.start, one, 50.0, 60.0)
        with patched(signal, "signal", refuse):
            stage.act("rest", own._rest)
        own._guards[id(one)] = one
        stage.act("in a child", own._forget)
        stage.act("interval", interval.give_back)
        tickers(stage)
    finally:
        atexit.unregister(own._rest)  # it would give back a timer that is nobody's
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGURG, signal.SIG_DFL)


def tickers(stage: Stage) -> None:
    """The tickers of each system."""
    for platform in ("linux", "darwin"):
        with patched(sys, "platform", platform):
            made = stage.act("a ticker", ticker.new_ticker, CLOCK.now_s)
        if isinstance(made, ticker.PosixTicker):
            stage.act("choose", made.choose, nothing)
            stage.act("handled", made.handled)
            made._stuck_s = 1000.0
            stage.act("handled", made.handled)
            signal.signal(made.number, nothing)
            stage.act("choose", made.choose, refuse)
            stage.act("start", made.start, 50.0, 60.0)
            stage.act("stop", made.stop)
            stage.act("give back", made.give_back)


OPTIONS: dict[str, Any] = {"guard": True, "clock": CLOCK}

SCENARIOS = [
    Scenario("cuts", ended_late, cuts, frozenset("abcdex"), kills=True, options=OPTIONS),
    Scenario("in_another_thread", flat("one_for_one"), in_another_thread, kills=True,
             options=OPTIONS),
    Scenario("alarms", flat("one_for_one"), alarms, may_end=True),
]  # fmt: skip

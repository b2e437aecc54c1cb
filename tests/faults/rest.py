"""Interruptions by a store, a listener or a text; ends that others wait behind; odd settings."""

from __future__ import annotations

import signal
import sys
from typing import Any

from ssm_cli import (
    Backoff,
    Cast,
    Defer,
    MemoryStore,
    StartTimer,
    StepTimeout,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.runtime import outside
from ssm_cli.runtime.durable import remedies, sessions
from ssm_cli.runtime.engine import alarm, guard, ticker
from ssm_cli.runtime.engine.guard import NoGuard
from ssm_cli.runtime.looking import purity
from tests.faults.doors import tried
from tests.faults.recovery import Keeps, machine
from tests.faults.scenarios import add, asking, crash
from tests.faults.stage import Own, Scenario, Stage, Utf8
from tests.faults.storing import refusing
from tests.faults.ticks import CLOCK, nothing, patched


def interrupts(*_: Any, **__: Any) -> Any:
    raise Own("as asked")


class Cuts(MemoryStore):
    """A store in which an exception comes before, or after, something is written."""

    cut = ""

    def append(self, number: int, entry: bytes, done: Any) -> None:
        where = self.cut
        if where in ("before", "told"):
            self.cut = ""
        if where == "before":
            interrupts()
        super().append(number, entry, interrupts if where == "told" else done)

    def trim(self, upto: int) -> None:
        if self.cut == "trim":
            self.cut = ""
            raise StorageError("cannot be forgotten")
        super().trim(upto)

    def put(self, changes: Any, done: Any) -> None:
        if self.cut == "put":
            self.cut = ""
            interrupts()
        super().put(changes, done)


def cut_commits(stage: Stage) -> None:
    """Commits that are cut in the store, by listeners, and while they are taken back."""
    store = Cuts()
    stage.store = store
    stage.renew()
    node = stage.node
    stage.start()
    for where in ("before", "told", "put", "trim"):
        stage.act("ask", node.send_request, "a", b"cast")
        store.cut = where
        stage.do("run")
        stage.do("run")
        for _ in range(5):
            stage.call("a", b"one")
    stage.act("listener", node.send_request, "a", b"cast", interrupts)
    stage.act("ask", node.send_request, "a", b"one")
    stage.do("run")
    stage.do("run")
    for word in (b"odd", b"thing", b"one"):
        stage.act("ask", node.send_request, "a", word, interrupts)
        stage.do("run")
    store.failing = StorageError("full")
    stage.act("listener", node.send_request, "a", b"cast", interrupts)
    stage.act("listener", node.send_request, "g", "on", interrupts)
    stage.do("run")
    stage.do("cast", "a", b"self")
    stage.do("run")
    stage.do("kill", "a")
    stage.do("terminate_child", "root", "b")
    store.failing = None
    stage.act("run 9 s", node.run, 9.0)
    stage.trap = ("dropped", "a")
    stage.call("a", b"cast")
    stage.do("run")
    store.late = True
    stage.act("ask", node.send_request, "a", b"one")
    stage.do("run")
    stage.act("land", store.land)
    store.late = False
    stage.stop()


class Unwritten(Utf8):
    """A codec that cannot write some outputs."""

    def encode(self, value: object) -> bytes:
        if value in ("own", "bad"):
            raise Own("in a codec") if value == "own" else ZeroDivisionError("as asked")
        return super().encode(value)


class Goes(Keeps):
    """Begins with a time-out and a continue; its own inputs may crash it."""

    def handle_continue(self, message: Any, state: Any) -> Any:
        if message == "on" and state[0] > 1:
            raise ValueError("as asked")
        return super().handle_continue(message, state)


def unwritten(stage: Stage) -> Any:
    kept: dict[str, Any] = {"persist": "journal", "on_crash": "last_good"}
    children = [
        Worker("a", machine(codec=Unwritten()), **kept, quarantine=2),
        Worker("g", Goes, **kept),
        Worker("n", machine(), persist="journal", quarantine="never"),
        stage.worker("c"),
    ]
    flags: dict[str, Any] = {"snapshot_every": 3, "keep_records": 1}
    return Supervisor("root", children=children, intensity=3, period=0.1, **flags)


def odd_answers(stage: Stage) -> None:
    """Outputs that cannot be written, states that cannot; ids and crashes beyond their bounds."""
    stage.start()
    for word in (b"own", b"bad", b"one"):
        stage.call("a", word)
        stage.call("a", word, request_id="r" + word.decode())
    with patched(sessions, "KEPT_ANSWERS", 2):
        for number in range(5):
            stage.call("a", b"one", request_id=f"k{number}")
            stage.ask("a", b"later", f"l{number}")
            stage.do("run")
    for _ in range(3):
        stage.call("a", b"crash")
    stage.call("n", b"crash")
    for _ in range(3):
        stage.call("g", b"on")
        stage.act("run 1 s", stage.node.run, 1.0)
    stage.do("cast", "g", object())
    stage.do("run")
    stage.renew()
    stage.start()
    stage.do("release_input", 1)
    stage.call("a", b"one", request_id="k4")
    stage.stop()
    stage.renew(Supervisor("root", children=[Worker("a", machine(), persist="snapshot")]))
    stage.start()
    stage.stop()


def trap(stage: Stage) -> Any:
    slow_one = {"backoff": Backoff(100, 2, 1000)}
    children = [stage.worker("a", **slow_one), stage.worker("b"), stage.worker("c")]
    return Supervisor("root", "rest_for_one", children, intensity=100, queue=8)


def behind(stage: Stage) -> None:
    """Inputs behind workers that end, due timers, listeners and effects that interrupt."""
    node = stage.node
    stage.act("nothing", node.call, "a", add) if node.running else None
    stage.start()
    for name in "ab":
        stage.do("suspend", name)
        for _ in range(3):
            stage.ask(name, add)
        stage.do("cast", name, add)
        stage.do("run")
        stage.do("kill", name)
        stage.do("run")
    stage.act("run 2 s", node.run, 2.0)
    stage.call("a", crash)
    stage.clock._now_s += 1.0
    stage.trap = ("started", "a")
    stage.call("c", add)
    stage.do("run")
    stage.call("a", crash)
    stage.ask("a", add)
    stage.do("terminate_child", "root", "a")
    stage.do("restart_child", "root", "a")
    interrupted_below(stage)


def interrupted_below(stage: Stage) -> None:
    """Listeners, effects and answers that interrupt."""
    node = stage.node
    stage.trap = ("dropped", "c")
    stage.call("c", asking(Cast("nobody", add), StartTimer("t", 5, add), Cast("b", add)))
    stage.act("listener", node.send_request, "b", add, interrupts)
    stage.ask("b", asking(Defer("k")))
    stage.do("run")
    stage.call("b", asking(StartTimer("t", 50, add), StartTimer("u", 50, crash)))
    stage.clock._now_s += 0.2
    stage.act("begin", node.begin, "b", add)
    stage.clock._now_s += 0.2
    stage.do("fork")
    stage.do("info", "b", lambda state: interrupts())
    stage.do("run")
    stage.act("call_value", node.call_value, "b", b"word")
    stage.call("b", lambda state: (interrupts(), 1))
    stage.call("c", Nasty())
    stage.do("suspend", "c")
    stage.do("stop_process", "c", "odd")
    stage.act("stop", node.stop, drain=False)
    stage.start()


class Nasty:
    """A step whose answer interrupts when it is taken apart."""

    def __call__(self, state: Any) -> Any:
        return Pairs((state, 1))


class Pairs(tuple[Any, ...]):
    """A pair of a type of its own."""

    __slots__ = ()

    def __len__(self) -> int:
        raise Own("in an answer")


class FarAway(MemoryStore):
    """A store that no command opens."""

    afar = True


def words(stage: Stage) -> None:
    """What is said, and compared, of what went wrong."""
    for name, args in (("for_state", ("a",)), ("for_rename", ("a", "b")), ("for_input", ("a", 1))):
        stage.act(name, getattr(remedies, name), FarAway(), *args)
    crash = Outcome(0, stop=Crash(ValueError("answered")))
    stage.act("compared", purity.compared, crash)


def guards(stage: Stage) -> None:
    """Parts of the guards and their alarms, asked plainly."""
    number = signal.SIGURG
    before = signal.signal(number, nothing)
    try:
        made = stage.act("an alarm", alarm.Alarm, nothing)
        stage.act("spent", alarm.Spent)
        if isinstance(made, alarm.Alarm):
            stage.act("is set", made.is_set)
            stage.act("number", lambda: made.number)
        own = alarm.Alarm(nothing)
        one: Any = NoGuard(CLOCK)
        own._ticker = interval = ticker.IntervalTicker(CLOCK.now_s)
        own._guards[id(one)] = one
        stage.act("number", lambda: own.number)
        own._spent._at_s -= 1000.0
        own._tick_s, own._previous = 0.001, nothing
        own._spent._collections -= 1
        stage.act("collected", own._spent.divide, 0.001)
        own._spent._at_s -= 1000.0
        stage.act("late", own._spent.divide, 0.001)
        own._spent._at_s -= 1000.0
        interval._other_s = 0.0
        stage.act("tick", own._on_signal, number, sys._getframe())
        interval._other_s, interval._other_every_s = 0.0, 9.0
        stage.act("handled", interval.handled)
        stage.act("passed on", own._pass_on, number, None)
        stage.act("forgive", one.forgive, 1.0)
        stage.act("tick", one.tick, sys._getframe())
        stage.act("elsewhere", guard.find_owner, [one], None)
        stage.act("no frame", guard.is_interruptible, None)
        overruns(stage, one)
        stage.act("signal", outside.in_signal_handler)
        stage.act("inside", handler, number, None)
        stage.act("debugged", debugged)
        stage.stop()
    finally:
        signal.signal(number, before)


def overruns(stage: Stage, one: Any) -> None:
    """A guard whose callback has overrun."""
    stage.start()
    one.cell = stage.node._world.names["a"]
    one.phase, one._again_s = guard.OTHER, -1.0
    one._other_s = -1e9
    stage.act("cut", tried, guarded_tick, one)
    one._raises, one._tick_s = 0, 0.001
    stage.act("held", tried, guarded_cut, one)


def guarded_tick(one: Any) -> None:
    try:
        one.tick(None)
    except StepTimeout as error:
        raise ValueError from error


def guarded_cut(one: Any) -> None:
    try:
        one.cut(sys._getframe(), 100.0)
    except StepTimeout as error:
        raise ValueError from error


def handler(_number: int, _frame: object) -> Any:
    return outside.in_signal_handler()


def debugged() -> Any:
    with patched(guard, "DEBUGGERS", {"tests"}), patched(sys, "gettrace", lambda: overruns):
        return guard.is_debugged()


DURABLE: dict[str, Any] = {"durable": True, "kills": True, "defers": True}
OUTSIDE = (KeyboardInterrupt,)

SCENARIOS = [
    Scenario("cut_commits", refusing, cut_commits, frozenset("abgc"), may_end=True, **DURABLE),
    Scenario("odd_answers", unwritten, odd_answers, frozenset("agnc"), may_end=True, **DURABLE),
    Scenario("behind", trap, behind, frozenset("abc"), kills=True, defers=True, may_end=True,
             kinds=OUTSIDE),
    Scenario("words", trap, words, may_end=True, kinds=OUTSIDE),
    Scenario("guards", trap, guards, may_end=True, kinds=OUTSIDE),
]  # fmt: skip

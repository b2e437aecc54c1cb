"""The step guard: cuts a callback that overruns its limit, on the same thread.

Theory of operation. Before the engine calls user code it stores the worker in `guard.cell`, and
clears it afterwards: that is all a message costs. Ticks come at intervals while there is work (see
`alarm`); each looks whether the *same* callback has been running since an earlier tick, and once it
has done so for its limit, raises `StepTimeout` into it, again at each further tick until it ends.

A tick interrupts whatever the main thread does, so `cut` reads the interrupted stack first, from
the inside out. The functions that call user code are marked (`engine_code`) and hold their guard in
a local variable; the first marked frame tells whose callback it is.

- No frame of this guard: the callback runs in another thread. Nothing is raised; that is said once.
- The interrupted frame is code of the runtime: the engine is at work, within a call that the
  callback made or just before or after it. The next tick looks again.
- A callback of another node is further inside, made by this one (a step called a node): the
  exception passes through that node, which takes it for one from outside (`runtime/outside.py`).
- A debugger is at work in the callback: its limit begins anew.

User code may swallow the exception with a bare `except`: it is raised again at each tick. After
`STUCK_RAISES` of them the place is printed, since one thread can do no more. A call into C that
does not return cannot be cut; it is printed, too, and cut when it returns.

The times come from the node's clock. With a `ManualClock` the twin `ManualGuard` ticks at exactly
the instants of interest, so that limits are tested without waiting.
"""

from __future__ import annotations

import contextlib
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

from ssm_cli.errors import StepTimeout
from ssm_cli.runtime.clock import Clock, ManualClock, SystemClock
from ssm_cli.runtime.engine.alarm import Alarm
from ssm_cli.runtime.engine.cell import Cell
from ssm_cli.runtime.traces import calls_user

STEP, INIT, TERMINATE, OTHER = range(4)  # what kind of callback runs: which limit is its own
STUCK_RAISES = 10
MIN_TICK_S = 0.002
MAX_TICK_S = 0.1
MIN_STUCK_S = 0.1  # of processor time in one call into C, before its place is printed
OVERDUE_TICKS = 4  # intervals without a tick after which the alarm is set anew
RUNTIME = "ssm_cli.runtime."
DEBUGGERS = ("bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy", "IPython")
ENGINE_CODE: set[CodeType] = set()
WAITING_CODE: set[CodeType] = set()


def engine_code(function: Callable[..., object]) -> None:
    """Mark a function that sets `guard.cell` and calls user code, as the local variable `guard`."""
    code = calls_user(function).__code__
    assert "guard" in code.co_varnames, f"{code.co_name} has no local variable `guard`"
    ENGINE_CODE.add(code)


def waiting_code(function: Callable[..., object]) -> None:
    """Mark a function of the runtime that leaves nothing half changed: it may be interrupted."""
    WAITING_CODE.add(function.__code__)


waiting_code(SystemClock.sleep_s)


class Guard:
    """What runs, since when, and what is due; `tick` is called by an alarm or a manual clock.

    Attributes:
        cell: the worker whose callback runs now, or None. The engine writes it.
        phase: which kind of callback it is; the engine writes it with `cell`, `STEP` otherwise.
        armed: whether ticks come; the engine calls `arm` before it runs callbacks.
        overdue_s: when ticks have been missing for too long; the engine, where it reads the clock
            anyway, calls `arm` then.
        used: set by the engine whenever it looks for work.
        tried: what runs is code that is tried, as in a scratch tree: a `KeyboardInterrupt` that it
            raises itself is its own.
        ticked: set by each tick; the engine clears it when it begins a batch, and ends one early.
        looks: how many callbacks ticks have found running. One that no tick has found took less
            than a tick, which nobody had to read a clock for.
    """

    __slots__ = (
        "_again_s", "_deadlines", "_most_s", "_other_s", "_raises", "_said", "_seen", "_since_s",
        "_tick_s", "_token", "armed", "cell", "clock", "looks", "overdue_s", "phase", "ticked",
        "tried", "used",
    )  # fmt: skip

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cell: Cell | None = None
        self.armed = False
        self.overdue_s = math.inf
        self.used = self.ticked = self.tried = False
        self.phase = STEP
        self.looks = 0
        self._other_s = 0.0
        self._token = 0
        self._seen: tuple[object, ...] | None = None
        self._since_s = 0.0
        self._raises = 0
        self._again_s = -math.inf
        self._deadlines: list[tuple[float, Callable[[], None]]] = []
        self._tick_s = MAX_TICK_S
        self._most_s = MIN_STUCK_S
        self._said = False

    def arm(self) -> None:
        """Have ticks come while there is work; set them up anew if they should come already."""

    def disarm(self) -> None:
        """Learn that no more ticks come until the next `arm`."""
        self.armed = False
        self.overdue_s = math.inf

    def expect(self, limit_s: float) -> None:
        """Learn of a limit there will be, so that ticks are fine enough for it, at once."""
        self._most_s = max(self._most_s, limit_s)
        tick_s = max(MIN_TICK_S, min(self._tick_s, limit_s / 10))
        if tick_s < self._tick_s:
            self._tick_s = tick_s
            if self.armed:
                self.arm()

    def expect_as(self, other: Guard) -> None:
        """Learn of all limits that `other` knows of."""
        self._tick_s, self._most_s = other._tick_s, other._most_s

    def begin(self, cell: Cell, phase: int, limit_s: float = 0.0) -> None:
        """Watch a callback of `cell` that is no step; `limit_s` is the limit of an `OTHER` one."""
        self._token += 1
        self._other_s = limit_s
        self.used = True
        if not self.armed:
            self.arm()
        self.phase = phase
        self.cell = cell

    def allow(self, limit_s: float) -> None:
        """Let the `OTHER` callback that runs now have at least that limit."""
        self._other_s = max(self._other_s, limit_s)

    def end(self) -> None:
        """It has ended, or was interrupted: the next callback is another one."""
        self.cell = self._seen = None
        self.phase = STEP

    def push_deadline(self, deadline_s: float, passed: Callable[[], None]) -> None:
        """Call `passed` once `deadline_s` is reached, even in the middle of a callback."""
        self._deadlines.append((deadline_s, passed))

    def pop_deadline(self) -> None:
        """Forget the deadline pushed last, whether it has passed or not."""
        self._deadlines.pop()

    def forget_deadlines(self) -> None:
        """Forget all deadlines: whoever set them was interrupted."""
        self._deadlines.clear()

    def has_no_deadline(self) -> bool:
        """Whether no supervisor is being ended within a time of its own."""
        return not self._deadlines

    def pass_deadlines(self) -> None:
        """Tell those whose deadline is reached, each once."""
        if not self._deadlines:
            return
        now_s = self.clock.now_s()
        for index, (deadline_s, passed) in enumerate(self._deadlines):
            if now_s >= deadline_s:
                self._deadlines[index] = (math.inf, passed)
                passed()

    def tick(self, frame: FrameType | None) -> None:
        """Look at what runs, and cut it if it has overrun. Raises `StepTimeout` to do so."""
        tick((self,), frame)

    def is_idle(self) -> bool:
        """Return whether no callback runs."""
        return self.cell is None

    def overruns(self, held_s: float) -> bool:
        """Note what runs; return whether it is to be cut now.

        Args:
            held_s: for how long no Python code has run on the main thread. A callback that is found
                for the first time has run for that long.
        """
        cell = self.cell
        self.ticked = True
        if cell is None:
            self._seen = None
            return False  # the engine itself runs, and looks at its deadlines where it is safe
        self.pass_deadlines()
        now_s = self.clock.now_s()
        self._look(cell, now_s, held_s)
        return now_s >= max(self._since_s + self._limit_s(cell), self._again_s)

    def _look(self, cell: Cell, now_s: float, held_s: float = 0.0) -> None:
        """Note since when the callback has been seen to run."""
        identity = (cell, cell.steps, cell.starts, self.phase, self._token)
        if identity != self._seen:
            self.looks += 1
            self._seen, self._since_s = identity, now_s - held_s
            self._raises, self._again_s = 0, -math.inf

    def cut(self, frame: FrameType | None, held_s: float = 0.0) -> None:
        """Raise `StepTimeout` into the callback, which the caller knows to run in `frame`."""
        cell = self.cell
        assert cell is not None
        self._raises += 1
        if self._raises == STUCK_RAISES:
            why = "swallows every interruption (a bare `except:` in a loop?)"
            say_stuck(f"{cell.spec.id} {why}; nothing else can run until it ends", frame)
        elif held_s > STUCK_RAISES * self._tick_s:
            why = f"could not be cut for {held_s:.1f} s, in a call that is no Python code"
            say_stuck(f"{cell.spec.id} {why}; nothing else ran", frame)
        self.wait_a_tick()
        error = StepTimeout(f"{cell.spec.id} ran longer than {self._limit_s(cell) * 1000:g} ms")
        error.owner = id(self)
        raise error

    def wait_a_tick(self) -> None:
        """Leave the callback alone until the next tick."""
        self._again_s = self.clock.now_s() + self._tick_s

    def begin_limit_anew(self) -> None:
        """Give the callback that runs its whole limit from now on."""
        self._since_s = self.clock.now_s()

    def forgive(self, lost_s: float) -> None:
        """Do not count time that the process was kept from running, for callbacks nor deadlines."""
        self._since_s += lost_s
        self._deadlines = [(until_s + lost_s, passed) for until_s, passed in self._deadlines]

    def say_elsewhere(self) -> None:
        """Say, once, that a callback runs where it cannot be cut."""
        if not self._said:
            self._said = True
            say(
                "a node runs outside the main thread, where Python handles no signals: "
                "steps are not cut at their limits there (guard=False: they need not be)"
            )

    def seen_s(self) -> float:
        """How long ago the callback that was found last was found first, in seconds."""
        return self.clock.now_s() - self._since_s

    def _limit_s(self, cell: Cell) -> float:
        return self._other_s if self.phase == OTHER else cell.limit_s(self.phase)

    def close(self) -> None:
        """No more ticks."""


def tick(guards: Sequence[Guard], frame: FrameType | None, held_s: float = 0.0) -> None:
    """Look at what runs under each guard; raise `StepTimeout` into one callback that has overrun.

    Args:
        guards: those that tick together.
        frame: where the thread was interrupted; None: in a callback of the only guard.
        held_s: for how long before it no Python code has run.
    """
    due = [guard for guard in guards if guard.overruns(held_s)]
    if not due:
        return
    if frame is None:
        due[0].cut(frame)
    owner = find_owner(due, frame)
    if owner is not None:
        owner.cut(frame, held_s)
    for guard in due:
        guard.wait_a_tick()


def find_owner(due: Sequence[Guard], frame: FrameType | None) -> Guard | None:
    """Return the innermost of the guards in whose callback `frame` is, if it can be cut there."""
    inner = frame
    safe = True
    while frame is not None:
        if is_debugger(frame):
            break
        if frame.f_code in ENGINE_CODE:
            guard: Guard | None = frame.f_locals.get("guard")
            safe = safe and guard is not None and guard.cell is not None
            if guard in due:
                if is_debugged():
                    break
                return guard if safe and is_interruptible(inner) else None
        frame = frame.f_back
    for guard in due:
        if frame is None:
            guard.say_elsewhere()
        else:
            guard.begin_limit_anew()
    return None


def is_interruptible(frame: FrameType | None) -> bool:
    """Return whether no structure of the runtime is left half changed by an exception here."""
    if frame is None or frame.f_code in WAITING_CODE:
        return True
    return not str(frame.f_globals.get("__name__")).startswith(RUNTIME)


def is_debugger(frame: FrameType) -> bool:
    """Return whether a frame is code of a debugger, or of what `breakpoint()` calls."""
    name = str(frame.f_globals.get("__name__")).partition(".")[0]
    return name in DEBUGGERS or frame.f_code is getattr(sys.breakpointhook, "__code__", None)


def is_debugged() -> bool:
    """Return whether a debugger is attached: it traces this thread, or has its tool id.

    Measuring coverage and profiling trace as well; they are no debuggers.
    """
    trace = sys.gettrace()
    kind = type(getattr(trace, "__self__", trace))
    modules = {base.__module__.partition(".")[0] for base in kind.__mro__}
    modules.add(str(getattr(trace, "__module__", "")).partition(".")[0])
    if not modules.isdisjoint(DEBUGGERS):
        return True
    monitoring = getattr(sys, "monitoring", None)
    return monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None


def guarded(guard: Guard, cell: Cell, limit_s: float, call: Callable[..., Any], *args: Any) -> Any:
    """Run user code that is no step, `init` or `terminate` under the guard."""
    try:
        try:
            guard.begin(cell, OTHER, limit_s)
            return call(*args)
        finally:
            guard.end()
    except BaseException:
        guard.end()  # as the first one may be interrupted
        raise


engine_code(guarded)


def say(text: str) -> None:
    """Write a line to standard error, if there is one that takes it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"ssm: {text}\n")


def say_stuck(text: str, frame: FrameType | None) -> None:
    """Print who is stuck, and where."""
    stack = "".join(traceback.format_stack(frame))
    say(f"{text}. It is here, innermost last:\n{stack}")


class NoGuard(Guard):
    """A guard that never cuts: for callers outside the main thread, which get no signals."""

    __slots__ = ()


CLOCKWORK = (__name__, ManualClock.__module__)  # whose frames are between a callback and a tick


class ManualGuard(Guard):
    """The twin for tests: ticks come from a `ManualClock`."""

    __slots__ = ("_clock", "_unwatch")

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._clock = clock
        self._unwatch: Callable[[], None] | None = None

    def arm(self) -> None:
        """Watch the clock."""
        self.armed = True
        if self._unwatch is None:
            self._unwatch = self._clock.watch(self)

    def next_s(self) -> float:
        """The next deadline, or the end of the limit of what runs."""
        instants = [deadline_s for deadline_s, _ in self._deadlines]
        if self.cell is not None:
            self._look(self.cell, self._clock.now_s())
            instants.append(max(self._since_s + self._limit_s(self.cell), self._again_s))
        return min(instants, default=math.inf)

    def reached(self) -> None:
        """Tick."""
        self.pass_deadlines()
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the stack, as a signal gives it
        while frame is not None and frame.f_globals.get("__name__") in CLOCKWORK:
            frame = frame.f_back
        self.tick(frame)

    def close(self) -> None:
        """Let go of the clock."""
        self.armed = False
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()


class AlarmGuard(Guard):
    """The guard of a node on the main thread: ticks come from the process's alarm."""

    __slots__ = ()

    def arm(self) -> None:
        """Start the ticks, or set them up anew. In another thread there are none, which is said."""
        self.armed = ALARM.start(self, self._tick_s, self._most_s)
        self._put_off()
        if not self.armed:
            self.say_elsewhere()

    def overruns(self, held_s: float) -> bool:
        """Note that a tick came, too."""
        self._put_off()
        return super().overruns(held_s)

    def _put_off(self) -> None:
        self.overdue_s = self.clock.now_s() + OVERDUE_TICKS * self._tick_s

    def close(self) -> None:
        """Leave the alarm to others."""
        ALARM.remove(self)
        self.disarm()


ALARM: Alarm[Guard] = Alarm(tick)

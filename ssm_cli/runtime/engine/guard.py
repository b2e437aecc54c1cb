"""The step guard: cuts a callback that overruns its limit, on the same thread.

Theory of operation. Before the engine calls user code it stores the worker in `guard.cell`, and
clears it afterwards: that is all a message costs. A periodic alarm (SIGALRM) ticks while there is
work; each tick looks whether the *same* callback has been running since an earlier tick, and once
it has done so for its limit, raises `StepTimeout` into it, again at each further tick until it
ends. After a tick interval without work the alarm is switched off, so an idle node is not woken.

Two hazards, and what is done about them. The alarm may strike when the callback has just returned
but `guard.cell` is not cleared yet: the handler then finds the engine's own code in the
interrupted frame and leaves it alone (`ENGINE_CODE`). And user code may swallow the exception with
a bare `except`: it is raised again at each tick; after `STUCK_RAISES` of them the place is printed,
since one thread can do no more. A C call that does not return to the interpreter cannot be cut.

The times come from the node's clock. With a `ManualClock` the twin `ManualGuard` ticks at exactly
the instants of interest, so that limits are tested without waiting.
"""

from __future__ import annotations

import atexit
import faulthandler
import math
import signal
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from ssm_cli.errors import StepTimeout
from ssm_cli.runtime.clock import Clock, ManualClock
from ssm_cli.runtime.engine.cell import Cell

STEP, INIT, TERMINATE, OTHER = range(4)  # what kind of callback runs: which limit is its own
STUCK_RAISES = 10
MIN_TICK_S = 0.002
MAX_TICK_S = 0.1
ENGINE_CODE: set[CodeType] = set()


def engine_code(function: Callable[..., object]) -> None:
    """Mark a function that calls user code itself: the guard never raises into its frame."""
    ENGINE_CODE.add(function.__code__)


class Guard:
    """What runs, since when, and what is due; `tick` is called by an alarm or a manual clock.

    Attributes:
        cell: the worker whose callback runs now, or None. The engine writes it.
        phase: which kind of callback it is; the engine writes it with `cell`, `STEP` otherwise.
        armed: whether ticks come; the engine calls `arm` before it runs callbacks.
        used: set by the engine whenever it looks for work.
        ticked: set by each tick; the engine clears it when it begins a batch, and ends one early.
        looks: how many callbacks ticks have found running. One that no tick has found took less
            than a tick, which nobody had to read a clock for.
    """

    __slots__ = (
        "_again_s", "_deadlines", "_other_s", "_raises", "_seen", "_since_s", "_tick_s", "_token",
        "armed", "cell", "clock", "looks", "phase", "ticked", "used",
    )  # fmt: skip

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cell: Cell | None = None
        self.armed = False
        self.used = self.ticked = False
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

    def arm(self) -> None:
        """Have ticks come while there is work."""

    def expect(self, limit_s: float) -> None:
        """Learn of a limit there will be, so that ticks are fine enough for it."""
        self._tick_s = max(MIN_TICK_S, min(self._tick_s, limit_s / 10))

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
        """It has ended."""
        self.cell = None
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
        cell = self.cell
        self.ticked = True
        if cell is None:
            self._seen = None
            return  # the engine itself runs, and looks at its deadlines where it is safe
        self.pass_deadlines()
        now_s = self.clock.now_s()
        self._look(cell, now_s)
        limit_s = self._limit_s(cell)
        due = now_s >= max(self._since_s + limit_s, self._again_s)
        if due and not (frame and frame.f_code in ENGINE_CODE):
            self._raises += 1
            if self._raises == STUCK_RAISES:
                say_stuck(cell)
            self._again_s = self.clock.now_s() + self._tick_s  # what it cleans up takes time too
            raise StepTimeout(f"{cell.spec.id} ran longer than {limit_s * 1000:g} ms")

    def _look(self, cell: Cell, now_s: float) -> None:
        """Note since when the callback has been seen to run."""
        identity = (cell, cell.steps, cell.starts, self.phase, self._token)
        if identity != self._seen:
            self.looks += 1
            self._seen, self._since_s = identity, now_s
            self._raises, self._again_s = 0, -math.inf

    def seen_s(self) -> float:
        """How long ago the callback that was found last was found first, in seconds."""
        return self.clock.now_s() - self._since_s

    def _limit_s(self, cell: Cell) -> float:
        return self._other_s if self.phase == OTHER else cell.limit_s(self.phase)

    def close(self) -> None:
        """No more ticks."""


def guarded(guard: Guard, cell: Cell, limit_s: float, call: Callable[..., Any], *args: Any) -> Any:
    """Run user code that is no step, `init` or `terminate` under the guard."""
    guard.begin(cell, OTHER, limit_s)
    try:
        return call(*args)
    finally:
        guard.end()


for _function in (guarded, Guard.begin, Guard.end):
    engine_code(_function)


def say_stuck(cell: Cell) -> None:
    """Print where a worker is stuck that does not let itself be cut."""
    sys.stderr.write(
        f"ssm: {cell.spec.id} swallows every interruption (a bare `except:` in a loop?); "
        "nothing else can run until it ends. It is here:\n"
    )
    faulthandler.dump_traceback(sys.stderr)


class NoGuard(Guard):
    """A guard that never cuts: for callers outside the main thread, which get no signals."""

    __slots__ = ()


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
            self._look(self.cell, self.clock.now_s())
            instants.append(max(self._since_s + self._limit_s(self.cell), self._again_s))
        return min(instants, default=math.inf)

    def reached(self) -> None:
        """Tick."""
        self.pass_deadlines()
        self.tick(None)

    def close(self) -> None:
        """Let go of the clock."""
        self.armed = False
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None


class AlarmGuard(Guard):
    """The guard of a node on the main thread: ticks come from the process's alarm."""

    __slots__ = ()

    def arm(self) -> None:
        """Start the ticks."""
        self.armed = ALARM.start(self, self._tick_s)

    def close(self) -> None:
        """Leave the alarm to others."""
        self.armed = False
        ALARM.remove(self)


class Alarm:
    """SIGALRM and its interval timer: a process has one, so it has one owner, shared by all nodes.

    It knows the guards that are armed. A tick that finds no work since the last one disarms them
    all and puts back the handler that was there before, as does the last guard that closes.
    """

    def __init__(self) -> None:
        self._guards: dict[int, Guard] = {}
        self._tick_s = math.inf
        self._previous: Any = signal.SIG_DFL

    def start(self, guard: Guard, tick_s: float) -> bool:
        """Tick `guard` too, at least every `tick_s`; False where signals do not reach us."""
        try:
            previous = signal.signal(signal.SIGALRM, self._on_alarm)
        except ValueError:  # not the main thread: Python runs handlers there only
            return False
        if previous != self._on_alarm:
            self._previous = signal.SIG_DFL if previous is None else previous
        if not self._guards:
            atexit.register(self._rest)  # an alarm that outlives its handler would kill the process
        self._guards[id(guard)] = guard
        if tick_s < self._tick_s:
            self._tick_s = tick_s
            signal.setitimer(signal.ITIMER_REAL, tick_s, tick_s)
        return True

    def remove(self, guard: Guard) -> None:
        """Forget `guard`; the last one out puts things back as they were."""
        if self._guards.pop(id(guard), None) is not None and not self._guards:
            self._rest()

    def _rest(self) -> None:
        atexit.unregister(self._rest)
        self._tick_s = math.inf
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGALRM) == self._on_alarm:
            signal.signal(signal.SIGALRM, self._previous)

    def _on_alarm(self, _number: int, frame: FrameType | None) -> None:
        """Tick all guards; without work since the last tick, rest."""
        guards = tuple(self._guards.values())
        busy = False
        for guard in guards:
            busy = busy or guard.used or guard.cell is not None
            guard.used = False
        if not busy:
            for guard in guards:
                guard.armed = False
            self._guards.clear()
            self._rest()
            return
        for guard in guards:
            guard.tick(frame)


ALARM = Alarm()

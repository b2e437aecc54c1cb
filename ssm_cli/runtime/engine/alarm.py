"""The alarm: the one source of ticks in a process, shared by the guards of all its nodes.

Theory of operation. The process is not ours alone. User code may take our handler away, block our
signal, fork, or be stopped in the middle of a step, so nothing of what was set is taken to be still
so. Three rules keep the alarm right:

- `start` sets everything anew (handler, signal mask, timer) and may be called at any time. The
  guard calls it when it is armed, when a tighter limit comes, and when the engine looks at the
  clock and finds that ticks are missing.
- A child of a fork begins without an alarm: its guards are not armed, and arm at their next use.
- A tick that comes late is looked into. Time in which the main thread neither used the processor
  nor was woken by ticks was taken by somebody else (the process was stopped, the machine
  suspended), and does not count. The rest of it was spent in a call into C, since a tick is handled
  between any two steps of Python code; it counts in full for the callback that made the call. A
  full collection of garbage is nobody's call: whoever happens to run does not pay for it.

A tick that finds no work since the last one stops the timer and puts back the handler that was
there before, as does the last guard that closes, so that an idle node is not woken. Where the
timer is shared with another owner (`IntervalTicker`), its handler is called when its alarm is due.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import resource
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.engine.ticker import Ticker, new_ticker

LATE_TICKS = 3  # a tick that comes so many intervals after the last one is late
now_s = SystemClock.now_s


class Ticked(Protocol):
    """What the alarm knows of a guard."""

    used: bool

    def is_idle(self) -> bool:
        """Return whether no callback runs."""
        ...

    def forgive(self, lost_s: float) -> None:
        """Do not count time that the process was kept from running."""
        ...

    def disarm(self) -> None:
        """Learn that no more ticks come."""
        ...


Guard = TypeVar("Guard", bound=Ticked)


class Spent:
    """How the main thread has spent its time since the last tick, from the kernel's accounts."""

    def __init__(self) -> None:
        self._who = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)
        self._at_s = self._cpu_s = 0.0
        self._waits = self._collections = 0
        self._forgiven_s = -math.inf  # when a collection was lost time the last time
        self.begin()

    def begin(self) -> tuple[float, float, int, int]:
        """Begin anew; return seconds, processor seconds, waits and full collections since then."""
        usage, at_s = resource.getrusage(self._who), now_s()
        cpu_s, waits = usage.ru_utime + usage.ru_stime, usage.ru_nvcsw
        collections = gc.get_stats()[-1]["collections"]
        since = (
            at_s - self._at_s, cpu_s - self._cpu_s, waits - self._waits,
            collections - self._collections,
        )  # fmt: skip
        self._at_s, self._cpu_s, self._waits = at_s, cpu_s, waits
        self._collections = collections
        return since

    def divide(self, tick_s: float) -> tuple[float, float]:
        """Divide the time since the last tick: seconds lost, and seconds in one call into C.

        Both are 0 for a tick in time. A wait that a signal wakes goes to sleep again at once, so
        that a thread which waits in C waits about once an interval; a stopped one does not. A gap
        with a full collection is lost as well, unless the last such one ended less than its length
        before it began: code that does nothing but collect is cut.
        """
        gap_s, cpu_s, waits, collections = self.begin()
        if gap_s < LATE_TICKS * tick_s:
            return 0.0, 0.0
        if collections and self._forgiven_s + gap_s < self._at_s - gap_s:
            self._forgiven_s = self._at_s
            return gap_s - tick_s, 0.0
        counted_s = min(gap_s, tick_s + cpu_s + waits * tick_s)
        return gap_s - counted_s, counted_s - tick_s


class Alarm(Generic[Guard]):
    """The ticker and its handler; it knows the guards that are armed.

    Args:
        tick: called at each tick with the guards, the interrupted frame, and how many seconds
            before it were spent in one call into C.
    """

    def __init__(self, tick: Callable[[Sequence[Guard], FrameType | None, float], None]) -> None:
        self._tick = tick
        self._guards: dict[int, Guard] = {}
        self._tick_s = self._stuck_s = math.inf
        self._previous: Any = signal.SIG_DFL
        self._ticker: Ticker | None = None
        self._spent = Spent()
        self._sees_forks = False

    @property
    def number(self) -> int:
        """The signal that ticks come by; 0 before the first one."""
        return 0 if self._ticker is None else self._ticker.number

    def is_set(self) -> bool:
        """Return whether ticks come."""
        return bool(self._guards)

    def start(self, guard: Guard, tick_s: float, stuck_s: float) -> bool:
        """Tick `guard` too, and set everything anew.

        Args:
            guard: it gets ticks until it is removed, or the alarm rests.
            tick_s: the longest interval that serves it.
            stuck_s: print where the main thread is once it has spent that much processor time in
                one call into C; inf: never. The longest of all guards counts.

        Returns:
            False where Python handles no signals: outside the main thread and interpreter.
        """
        ticker = self._ticker = self._ticker or new_ticker(now_s)
        number = ticker.choose(self._on_signal)
        try:
            previous = signal.signal(number, self._on_signal)
        except ValueError:
            return False
        if previous != self._on_signal:
            self._previous = signal.SIG_DFL if previous is None else previous
        if not self._guards:
            self._begin()
        self._stuck_s = max(self._stuck_s, stuck_s) if self._guards else stuck_s
        self._guards[id(guard)] = guard
        self._tick_s = min(self._tick_s, tick_s)
        ticker.start(self._tick_s, self._stuck_s)
        return True

    def _begin(self) -> None:
        self._spent.begin()
        atexit.register(self._rest)  # a timer that outlives its handler may kill the process
        if not self._sees_forks:
            self._sees_forks = True
            os.register_at_fork(after_in_child=self._forget)

    def remove(self, guard: Guard) -> None:
        """Forget `guard`; the last one out puts things back as they were."""
        if self._guards.pop(id(guard), None) is not None and not self._guards:
            self._rest()

    def _rest(self) -> None:
        """Stop the ticks, and give handler and timer back to their owner."""
        atexit.unregister(self._rest)
        if self._ticker is not None:
            self._ticker.stop()
            self._restore(self._ticker)
        self._disarm()

    def _restore(self, ticker: Ticker) -> None:
        if signal.getsignal(ticker.number) == self._on_signal:
            try:
                signal.signal(ticker.number, self._previous)
            except ValueError:
                return  # closed by another thread: the handler stays, and finds nothing to do
        ticker.give_back()

    def _disarm(self) -> None:
        for guard in tuple(self._guards.values()):
            guard.disarm()
        self._guards.clear()
        self._tick_s = self._stuck_s = math.inf

    def _forget(self) -> None:
        """Begin anew in the child of a fork: timers stay behind, and this is its main thread."""
        ticker, self._ticker = self._ticker, None
        if self._guards and ticker is not None:
            atexit.unregister(self._rest)
            signal.signal(ticker.number, self._previous)
            self._disarm()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Tick all guards; without work since the last tick, rest."""
        if self._ticker is None or not self._guards or is_ticking(frame):
            return
        if self._ticker.handled():
            self._pass_on(number, frame)
        lost_s, held_s = self._spent.divide(self._tick_s)
        busy = False
        guards = tuple(self._guards.values())
        for guard in guards:
            busy = busy or guard.used or not guard.is_idle()
            guard.used = False
            if lost_s:
                guard.forgive(lost_s)
        if busy:
            self._tick(guards, frame, held_s)
        else:
            self._rest()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Do what the other owner's alarm does without us."""
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


TICK_CODE = Alarm._on_signal.__code__  # noqa: SLF001 - to find its frames


def is_ticking(frame: FrameType | None) -> bool:
    """Return whether a tick was interrupted: the next one would use up what that has found.

    The stack tells it, and not a flag: an exception between two lines would leave a flag set.
    """
    while frame is not None and frame.f_code is not TICK_CODE:
        frame = frame.f_back
    return frame is not None

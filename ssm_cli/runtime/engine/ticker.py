"""Tickers: timers that interrupt the main thread at intervals by a signal.

Two kinds, with the same operations. `PosixTicker` (Linux) makes a timer of our own with
`timer_create`, which the C library offers and Python does not. It has properties that the
process's interval timer lacks: nobody else can change it; a child of a fork does not inherit it;
`exec` deletes it, and with it a signal that is pending. Its signal is one that nobody handles:
SIGURG, which is ignored by default, so that a stray one kills nothing; or else a real-time signal.
A second timer counts the processor time of the main thread. It runs out only when no tick has been
handled for long, which means a call into C that does not return; a handler in C then prints the
stack (`faulthandler`), since Python code cannot run.

`IntervalTicker` is for systems without `timer_create` (macOS): SIGALRM and ITIMER_REAL, of which a
process has one. It keeps the timer of another owner, says when that is due, and puts it back with
what is left of it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID = 1, 3  # of <time.h> on Linux
SIGEV_THREAD_ID = 4
SIGEVENT_BYTES = 64
STDERR = 2


class Ticker(Protocol):
    """What sends the signal `number` to the main thread at intervals."""

    number: int

    def choose(self, handler: object) -> int:
        """Return the signal to handle by `handler`: one that is free, or handled so already."""
        ...

    def start(self, tick_s: float, stuck_s: float) -> None:
        """Send it every `tick_s` from now on; print the stack after `stuck_s` in C (inf: never)."""
        ...

    def handled(self) -> bool:
        """Note that a signal was handled; return whether another owner's alarm is due as well."""
        ...

    def stop(self) -> None:
        """Send no more."""
        ...

    def give_back(self) -> None:
        """Put another owner's timer back, whose handler is in place again."""
        ...


class PosixTicker:
    """Two timers of our own, made at the first start. Linux only.

    Raises:
        OSError, AttributeError, ImportError: this system has no such timers.
    """

    def __init__(self) -> None:
        ctypes = importlib.import_module("ctypes")  # 3 ms that a program without a node saves
        self._ctypes = ctypes
        self._library = find_library(ctypes)
        self._setting = setting_type(ctypes)
        self.number = free_signals()[0]
        self._ticks = self._create(CLOCK_MONOTONIC, self.number)
        self._stuck_number = free_signals()[-1]
        self._stuck = self._create(CLOCK_THREAD_CPUTIME_ID, self._stuck_number)
        self._stuck_s = math.inf

    def _create(self, clock: int, number: int) -> Any:
        """Make a timer that signals the main thread, whose number is the process's."""
        ctypes = self._ctypes
        event = (ctypes.c_byte * SIGEVENT_BYTES)()
        head = ctypes.sizeof(ctypes.c_void_p)  # the value for a handler, which we leave empty
        fields = (ctypes.c_int * 3).from_buffer(event, head)
        fields[:] = (number, SIGEV_THREAD_ID, os.getpid())
        timer = ctypes.c_void_p()
        if self._library.timer_create(clock, event, ctypes.byref(timer)) != 0:
            raise OSError("timer_create refused")
        return timer

    def choose(self, handler: object) -> int:
        """Move to another signal if somebody else handles ours by now."""
        if signal.getsignal(self.number) not in {handler, signal.SIG_DFL}:
            self._library.timer_delete(self._ticks)
            self.number = free_signals()[0]
            self._ticks = self._create(CLOCK_MONOTONIC, self.number)
        return self.number

    def _set(self, timer: Any, first_s: float, every_s: float) -> None:
        setting = self._setting(*parts(every_s), *parts(first_s))
        self._library.timer_settime(timer, 0, self._ctypes.byref(setting), None)

    def start(self, tick_s: float, stuck_s: float) -> None:
        """Tick, and watch for calls into C. The main thread may have blocked the signals."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (self.number, self._stuck_number))
        self._set(self._ticks, tick_s, tick_s)
        self._watch(stuck_s if self._stuck_number != self.number else math.inf)

    def _watch(self, stuck_s: float) -> None:
        """Print the stack after so much processor time of the main thread; inf: do not."""
        if stuck_s < math.inf:
            faulthandler.register(self._stuck_number, STDERR, all_threads=False)
            self._set(self._stuck, stuck_s, 0.0)
        elif self._stuck_s < math.inf:
            self._set(self._stuck, 0.0, 0.0)
            faulthandler.unregister(self._stuck_number)
        self._stuck_s = stuck_s

    def handled(self) -> bool:
        """Begin the time after which the main thread counts as stuck anew."""
        if self._stuck_s < math.inf:
            self._set(self._stuck, self._stuck_s, 0.0)
        return False

    def stop(self) -> None:
        """Stop both timers. A signal that is under way is ignored by default."""
        self._set(self._ticks, 0.0, 0.0)
        self._watch(math.inf)

    def give_back(self) -> None:
        """Do nothing: nobody else's timer was taken."""


def find_library(ctypes: Any) -> Any:
    """The library that has `timer_create`: the C library, or an older one's `librt`."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8:
        raise OSError("the layout of sigevent and timespec is known for 64-bit Linux only")
    library = ctypes.PyDLL(None)  # keeps the interpreter lock: the calls are short
    return library if hasattr(library, "timer_create") else ctypes.PyDLL("librt.so.1")


def setting_type(ctypes: Any) -> Any:
    """`struct itimerspec`: interval and first expiry, each in seconds and nanoseconds."""
    return ctypes.c_long * 4


def parts(seconds: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds.

    >>> parts(1.25)
    (1, 250000000)
    """
    whole = int(seconds)
    return whole, int((seconds - whole) * 1e9)


def free_signals() -> list[int]:
    """The signals that no Python code handles, of those we may use; SIGURG where none is free."""
    last = signal.SIGRTMAX
    wanted = (signal.SIGURG, *range(last - 2, last - 10, -1))
    free = [number for number in wanted if signal.getsignal(number) is signal.SIG_DFL]
    return free or [signal.SIGURG]


class IntervalTicker:
    """The interval timer of the process, shared with another owner. The way without POSIX timers.

    It has a signal whose default action ends the process, so that `stop` must come before the
    handler is taken away.
    """

    number: int = signal.SIGALRM

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._tick_s = 0.0
        self._other_s = math.inf  # when the alarm of another owner is due
        self._other_every_s = 0.0

    def choose(self, handler: object) -> int:  # noqa: ARG002 - there is one such timer
        """Take SIGALRM: the timer knows no other signal."""
        return self.number

    def start(self, tick_s: float, stuck_s: float) -> None:  # noqa: ARG002 - no second timer here
        """Tick; what is left of another owner's timer is kept."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (self.number,))
        left_s, every_s = signal.setitimer(signal.ITIMER_REAL, tick_s, tick_s)
        ours = self._tick_s and abs(every_s - self._tick_s) < 1e-5  # it is rounded to microseconds
        if left_s and not ours:
            self._other_s, self._other_every_s = self._now_s() + left_s, every_s
        self._tick_s = tick_s

    def handled(self) -> bool:
        """Return whether the other owner's alarm is due; if it repeats, set when it is next."""
        now_s = self._now_s()
        if now_s < self._other_s:
            return False
        self._other_s = now_s + self._other_every_s if self._other_every_s else math.inf
        return True

    def stop(self) -> None:
        """Stop the timer."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        self._tick_s = 0.0

    def give_back(self) -> None:
        """Start the other owner's timer with what is left of it."""
        if self._other_s < math.inf:
            left_s = max(self._other_s - self._now_s(), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, left_s, self._other_every_s)
        self._other_s = math.inf


def new_ticker(now_s: Callable[[], float]) -> Ticker:
    """The ticker that this system has. Call it in the main thread."""
    with contextlib.suppress(OSError, AttributeError, ImportError):
        return PosixTicker()
    return IntervalTicker(now_s)

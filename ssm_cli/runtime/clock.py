"""Clocks. This is the one file that reads them."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from ssm_cli.behaviour.sizes import cut

LONGEST_SLEEP_S = 0.05


class Clock(Protocol):
    """What the node knows of time. Seconds throughout."""

    def now_s(self) -> float:
        """Monotonic seconds; the origin means nothing."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970 in UTC, for people."""
        ...

    def sleep_s(self, seconds: float) -> None:
        """Let `seconds` pass, or less: whoever waits looks at the time again."""
        ...


class SystemClock:
    """The clock of the machine."""

    now_s = staticmethod(time.monotonic)
    wall_s = staticmethod(time.time)

    @staticmethod
    def sleep_s(seconds: float) -> None:
        """Sleep for `seconds`, or `LONGEST_SLEEP_S` if that is shorter: see what signals asked."""
        time.sleep(min(seconds, LONGEST_SLEEP_S))


class ManualClock:
    """A clock that moves only when it is told to. Part of the public API, for tests.

    `advance_s` moves it; what watches it (a `ManualGuard`) is asked for its next instant and told
    when it is reached, so an overrun is cut at exactly its limit. `sleep_s` advances.

    >>> clock = ManualClock()
    >>> clock.advance_s(2.5); clock.now_s()
    2.5
    """

    def __init__(self, wall_s: float = 1_767_225_600.0, now_s: float = 0.0) -> None:
        for seconds in (wall_s, now_s):
            fine = is_number_of_seconds(seconds) and math.isfinite(seconds)
            need_time(seconds, "begin at", "a number", fine=fine)
        self._now_s = now_s
        self._epoch_s = wall_s - now_s
        self._watchers: list[Watcher] = []

    def now_s(self) -> float:
        """Seconds since it was made, and what it began with."""
        return self._now_s

    def wall_s(self) -> float:
        """The wall time it was made with, plus what has passed."""
        return self._epoch_s + self._now_s

    def sleep_s(self, seconds: float) -> None:
        """Advance by `seconds`."""
        self.advance_s(seconds)

    def advance_s(self, seconds: float) -> None:
        """Let `seconds` pass, stopping at each instant that a watcher waits for.

        Raises:
            ValueError: they are no number of seconds, less than 0, or without an end: no time has
                passed.
        """
        is_number = is_number_of_seconds(seconds)
        fine = is_number and seconds >= 0 and self._now_s + seconds < math.inf
        what = "run backwards:" if is_number and seconds < 0 else "pass by"
        need_time(seconds, what, "0 or more", fine=fine)
        end_s = self._now_s + seconds
        while True:
            instants = [(w.next_s(), w.reached) for w in self._watchers]
            instant_s, reached = min(instants, key=lambda i: i[0], default=(end_s, None))
            if reached is None or instant_s > end_s:
                break
            self._now_s = max(instant_s, self._now_s)
            reached()
        self._now_s = end_s

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Have `watcher` told of its instants; the result ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)


class Watcher(Protocol):
    """What waits for instants of a `ManualClock`."""

    def next_s(self) -> float:
        """The next instant of interest (`inf` for none)."""
        ...

    def reached(self) -> None:
        """It has come. `next_s` must lie later from now on, or this must raise."""
        ...


def is_number_of_seconds(seconds: Any) -> bool:
    """Return whether a value is a number of seconds, which may be infinite.

    >>> is_number_of_seconds(5), is_number_of_seconds(True), is_number_of_seconds(10**400)
    (True, False, False)
    """
    if isinstance(seconds, float):
        return not math.isnan(seconds)
    whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    return whole and abs(seconds) <= sys.float_info.max


def need_time(seconds: Any, what: str, wanted: str, *, fine: bool) -> None:
    """Raise `ValueError` for seconds that no clock can do, unless they are fine."""
    if not fine:
        said = cut(ascii(seconds))
        raise ValueError(f"time does not {what} {said} s; expected {wanted}, with an end")

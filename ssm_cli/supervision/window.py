"""Restart intensity: how many restarts lie in the period that ends now."""

from __future__ import annotations

from collections import deque


class RestartWindow:
    """The times of the restarts in the period, oldest first; owned by one supervisor.

    A restart exactly `period_s` old still counts. Amortised O(1) per restart, and never more
    entries than restarts within one period. Source: OTP `supervisor:add_restart/3`.

    >>> window = RestartWindow(5.0)
    >>> [window.add(now) for now in (0.0, 1.0, 6.0, 6.5)]
    [1, 2, 2, 2]
    >>> window.count(99.0)
    0
    """

    __slots__ = ("_times_s", "period_s")

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self._times_s: deque[float] = deque()

    def shifted(self, by_s: float) -> RestartWindow:
        """Return a copy whose restarts are `by_s` seconds later."""
        other = RestartWindow(self.period_s)
        other._times_s.extend(time_s + by_s for time_s in self._times_s)
        return other

    def within(self, now_s: float) -> list[float]:
        """Return the times of the restarts in the period that ends at `now_s`, oldest first."""
        self.count(now_s)
        return list(self._times_s)

    def add(self, now_s: float) -> int:
        """Count a restart at `now_s`; how many there are in the period now, with this one."""
        self._times_s.append(now_s)
        return self.count(now_s)

    def count(self, now_s: float) -> int:
        """How many restarts lie in the period that ends at `now_s`."""
        times_s = self._times_s
        oldest_s = now_s - self.period_s
        while times_s and times_s[0] < oldest_s:
            times_s.popleft()
        return len(times_s)

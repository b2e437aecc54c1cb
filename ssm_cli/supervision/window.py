"""Restart intensity: how many restarts lie in the period that ends now."""

from __future__ import annotations

from collections import deque


class RestartWindow:
    """The times of the restarts in the period, oldest first; owned by one supervisor.

    A restart exactly `period_s` old still counts. Amortised O(1) per restart, and never more
    entries than restarts between two counts, one of which precedes each restart.
    Source: OTP `supervisor:add_restart/3`.

    >>> window = RestartWindow(5.0)
    >>> for now_s in (0.0, 1.0, 6.0, 6.5): window.add(now_s)
    >>> window.count(6.5), window.count(99.0)
    (2, 0)
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

    def over(self, period_s: float) -> RestartWindow:
        """Return a window with the same restarts and another period."""
        other = self.shifted(0.0)
        other.period_s = period_s
        return other

    def within(self, now_s: float) -> list[float]:
        """Return the times of the restarts in the period that ends at `now_s`, oldest first."""
        self.count(now_s)
        return list(self._times_s)

    def add(self, now_s: float) -> None:
        """Count a restart at `now_s`, not before that of the last one."""
        self._times_s.append(now_s)

    def count(self, now_s: float) -> int:
        """Return how many restarts lie in the period that ends at `now_s`; forget older ones."""
        times_s = self._times_s
        oldest_s = now_s - self.period_s
        while times_s and times_s[0] < oldest_s:
            times_s.popleft()
        return len(times_s)

"""When records were served, and which reports are about which of them; as near as is known.

To read the clock for each input would cost as much as to record it. It is noted where it is read
anyway: at each turn of the loop, at the first call after a pause, at whatever is no plain step.
"""

from __future__ import annotations

import math
from bisect import bisect_left

from ssm_cli.runtime.clock import Clock

WALL_STEP_S = 0.001  # by which the wall clock may drift, and nothing is noted
MOST_WALLS = 1000  # steps of the wall clock that are known


class Instants:
    """The times of records: (record, monotonic seconds); it was served then, or not before."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._now_s = clock.now_s
        self._most = most
        self._times: list[tuple[int, float]] = []
        self._walls = [
            (-math.inf, clock.wall_s() - clock.now_s())
        ]  # ahead of the other, since when

    def take_over(self, other: Instants) -> None:
        """Know the times that `other` knows."""
        self._times, self._walls = other._times.copy(), [*other._walls]

    def take_earlier(self, other: Instants, record: int) -> None:
        """Know as well the times of records up to one that `other` knows."""
        since_s = self._times[0][1] if self._times else self._now_s()
        earlier = other._times[: bisect_left(other._times, (record + 1,))]
        walls = [wall for wall in other._walls if wall[0] <= since_s]
        self._times = [*earlier, *self._times]
        self._walls = [*walls, (since_s, self._walls[0][1]), *self._walls[1:]]

    def note(self, record: int) -> None:
        """Note that a record is served now."""
        self.note_at(record, self._now_s())

    def note_at(self, record: int, now_s: float) -> None:
        """Note that a record is served at `now_s` or later."""
        times = self._times
        if times and times[-1][0] == record:
            times[-1] = (record, now_s)
        elif not times or times[-1][1] != now_s:
            times.append((record, now_s))
            if len(times) > 2 * self._most + 64:
                del times[: self._most]

    def note_wall(self) -> None:
        """Note a step of the wall clock, if there was one."""
        now_s = self._now_s()
        ahead_s = self._clock.wall_s() - now_s
        if abs(self._walls[-1][1] - ahead_s) > WALL_STEP_S:
            self._walls = [*self._walls[-MOST_WALLS:], (now_s, ahead_s)]

    def of(self, record: int) -> tuple[float, float]:
        """Return when a record was served: monotonic and wall seconds."""
        times = self._times
        index = max(0, bisect_left(times, (record + 1,)) - 1)
        now_s = times[index][1] if times else self._now_s()
        walls = self._walls
        ahead_s = walls[max(0, bisect_left(walls, (now_s, math.inf)) - 1)][1]
        return now_s, now_s + ahead_s

    def until(self, record: int) -> float:
        """Return the last record that is known to have been served when this one was."""
        index = bisect_left(self._times, (record + 1,))
        return self._times[index][0] - 1 if index < len(self._times) else math.inf


class Marks:
    """Which record each report is about, or follows."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._marks: list[tuple[int, int]] = []  # the last report before a record, and the record

    def note(self, seq: int, record: int) -> None:
        """Note that the reports behind number `seq` are about a record."""
        marks = self._marks
        if marks and marks[-1][0] == seq:
            marks[-1] = (seq, record)
            return
        marks.append((seq, record))
        if len(marks) > 2 * self._most + 64:
            del marks[: self._most]

    def record_of(self, seq: int) -> int:
        """Return the record that a report is about, or follows; 0 where that is not known."""
        index = bisect_left(self._marks, (seq,)) - 1
        return self._marks[index][1] if index >= 0 else 0

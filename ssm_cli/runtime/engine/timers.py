"""Timers: what is due when. A heap; cancelled timers are skipped when they come up."""

from __future__ import annotations

import heapq
from typing import Any


class Timers:
    """Entries that are due at instants of the node's clock, in order of time, then of making.

    >>> timers = Timers()
    >>> _ = timers.start(2.0, "later"); _ = timers.start(1.0, "sooner")
    >>> timers.pop(1.5, 2), timers.pop(1.5, 2)
    ('sooner', None)
    """

    __slots__ = ("cancelled", "heap", "number")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Any]] = []
        self.cancelled: set[int] = set()
        self.number = 0

    def take_over(self, other: Timers, heap: list[tuple[float, int, Any]]) -> None:
        """Become a copy of `other`, whose entries in their order of time are `heap`."""
        self.heap, self.cancelled, self.number = heap, set(other.cancelled), other.number

    def next_number(self) -> int:
        """Return the number of a timer to be, for an entry that carries it; see `start`."""
        self.number += 1
        return self.number

    def start(self, due_s: float, entry: Any, number: int = 0) -> int:
        """Have `entry` come up at `due_s`; return its number, which is for `cancel`."""
        number = number or self.next_number()
        heapq.heappush(self.heap, (due_s, number, entry))
        return number

    def cancel(self, number: int) -> None:
        """Forget a timer. One that has come up already is not affected."""
        self.cancelled.add(number)
        if len(self.cancelled) > 64 and len(self.cancelled) * 2 > len(self.heap):
            self.heap = [due for due in self.heap if due[1] not in self.cancelled]
            heapq.heapify(self.heap)
            self.cancelled.clear()

    def waiting(self) -> list[tuple[float, int, Any]]:
        """Return all that are under way as (due, number, entry), in no order."""
        return [due for due in self.heap if due[1] not in self.cancelled]

    def next_s(self) -> float:
        """Return when the next one is due; infinite where there is none."""
        heap = self.heap
        while heap and heap[0][1] in self.cancelled:
            self.cancelled.discard(heapq.heappop(heap)[1])
        return heap[0][0] if heap else float("inf")

    def pop(self, now_s: float, newest: int) -> Any:
        """Take out the next entry that is due at `now_s`; None where none is.

        One with a number greater than `newest` is left, and with it all that are due later.
        """
        if self.next_s() > now_s or self.heap[0][1] > newest:
            return None
        return heapq.heappop(self.heap)[2]

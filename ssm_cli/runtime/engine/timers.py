"""Timers: what is due when. A heap of numbers; cancelled timers are skipped when they come up."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any


class Timers:
    """Entries that are due at instants of the node's clock, in order of time, then of making.

    >>> timers = Timers()
    >>> _ = timers.start(2.0, "later"); _ = timers.start(1.0, "sooner")
    >>> timers.pop(1.5, 2), timers.pop(1.5, 2)
    ('sooner', None)
    >>> Timers().pop(inf, 2)
    """

    __slots__ = ("entries", "heap", "number")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int]] = []
        self.entries: dict[int, tuple[float, Any]] = {}
        self.number = 0

    def take_over(self, other: Timers, waiting: Iterable[tuple[float, int, Any]]) -> None:
        """Become a copy of `other`, whose timers under way are `waiting`."""
        self.entries = {number: (due_s, entry) for due_s, number, entry in waiting}
        self.number = other.number
        self.rebuild()

    def next_number(self) -> int:
        """Return the number of a timer to be, for an entry that carries it; see `start`."""
        self.number += 1
        return self.number

    def start(self, due_s: float, entry: Any, number: int = 0) -> int:
        """Have `entry` come up at `due_s`; return its number, which is for `cancel`."""
        number = number or self.next_number()
        self.entries[number] = (due_s, entry)
        heapq.heappush(self.heap, (due_s, number))
        return number

    def cancel(self, number: int) -> None:
        """Forget a timer. One that has come up already is not affected."""
        self.entries.pop(number, None)
        if len(self.heap) > 64 + 2 * len(self.entries):
            self.rebuild()

    def rebuild(self) -> None:
        """Forget the places of those that are cancelled."""
        self.heap = [(due_s, number) for number, (due_s, _) in self.entries.items()]
        heapq.heapify(self.heap)

    def find(self, number: int) -> tuple[float, Any] | None:
        """Return when a timer is due and its entry; None if it is not under way."""
        return self.entries.get(number)

    def waiting(self) -> Iterator[tuple[float, int, Any]]:
        """Yield all that are under way as (due, number, entry), in no order."""
        for number, (due_s, entry) in self.entries.items():
            yield due_s, number, entry

    def next_s(self) -> float:
        """Return when the next one is due; infinite where there is none."""
        heap, entries = self.heap, self.entries
        while heap and heap[0][1] not in entries:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def pop(self, now_s: float, newest: int) -> Any:
        """Take out the next entry that is due at `now_s`; None where none is.

        One with a number greater than `newest` is left, and with it all that are due later.
        """
        if self.next_s() > now_s or not self.heap or self.heap[0][1] > newest:
            return None
        return self.entries.pop(heapq.heappop(self.heap)[1])[1]

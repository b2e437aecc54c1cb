"""Timers: what is due when. A heap; cancelled timers are skipped when they come up."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

Due = tuple[float, int, Callable[..., None], tuple[Any, ...]]


class Timers:
    """Functions to be called at instants of the node's clock, in order of time, then of making.

    >>> timers = Timers()
    >>> _ = timers.start(2.0, print, "later"); _ = timers.start(1.0, print, "sooner")
    >>> [args for _, args in timers.pop_due(1.5)]
    [('sooner',)]
    """

    __slots__ = ("_cancelled", "_heap", "_next")

    def __init__(self) -> None:
        self._heap: list[Due] = []
        self._cancelled: set[int] = set()
        self._next = 0

    def start(self, due_s: float, function: Callable[..., None], *args: Any) -> int:
        """Have `function(*args)` called at `due_s`; the number is for `cancel`."""
        self._next += 1
        heapq.heappush(self._heap, (due_s, self._next, function, args))
        return self._next

    def cancel(self, number: int) -> None:
        """Forget a timer that has not come up yet. Call it at most once, and not after it has."""
        self._cancelled.add(number)
        if len(self._cancelled) > 64 and len(self._cancelled) * 2 > len(self._heap):
            self._heap = [due for due in self._heap if due[1] not in self._cancelled]
            heapq.heapify(self._heap)
            self._cancelled.clear()

    def waiting(self) -> list[Due]:
        """All that are under way, in no order."""
        return [due for due in self._heap if due[1] not in self._cancelled]

    def next_s(self) -> float:
        """When the next one is due; infinite where there is none."""
        heap = self._heap
        while heap and heap[0][1] in self._cancelled:
            self._cancelled.discard(heapq.heappop(heap)[1])
        return heap[0][0] if heap else float("inf")

    def pop_due(self, now_s: float) -> list[tuple[Callable[..., None], tuple[Any, ...]]]:
        """Take out all that is due at `now_s`."""
        due: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        while self.next_s() <= now_s:
            _, _, function, args = heapq.heappop(self._heap)
            due.append((function, args))
        return due

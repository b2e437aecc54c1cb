"""Weights: about how many bytes a ring of records holds, from a look at some of them."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

from ssm_cli.behaviour.sizes import estimate_new, estimate_of, is_light

LIGHT_BYTES = 200  # what a record with small values takes
NEAR = 8  # entries in which the last input of a worker is looked for
LARGE_BYTES = 64 * 1024  # a worker with values of that size is weighed at each input


class Weights:
    """Estimates by record, and their sum.

    Attributes:
        bytes: the sum.
    """

    def __init__(self) -> None:
        self.bytes = 0.0
        self._of: deque[tuple[int, float]] = deque()

    def add(self, record: int, size: float, stands_for: int) -> None:
        """Note the size of a record, which stands for so many if it is no large one."""
        size *= 1 if size > LARGE_BYTES else stands_for
        self._of.append((record, size))
        self.bytes += size

    def drop(self) -> int:
        """Forget the oldest weight but the last; return the record that the next one is of."""
        if len(self._of) > 1:
            self.bytes -= self._of.popleft()[1]
        return self._of[0][0]

    def is_last(self) -> bool:
        """Return whether one weight is left."""
        return len(self._of) < 2

    def forget_before(self, record: int) -> None:
        """Forget the records before one; the last weight stays."""
        while len(self._of) > 1 and self._of[0][0] < record:
            self.bytes -= self._of.popleft()[1]

    def clear(self) -> None:
        """Forget all."""
        self._of.clear()
        self.bytes = 0.0


def weight_of(message: Any, state: Any, before: Any, output: Any) -> float:
    """Return about how many bytes a record takes: what its state does not share with `before`."""
    light = state is before or is_light(state)
    size = LIGHT_BYTES if light else estimate_new(state, before)
    for value in (message, output):
        size += 0 if is_light(value) else estimate_of(value)
    return size


def input_before(entries: deque[Any], cell: object) -> tuple[Any, Any]:
    """Return the state before the last input of a worker, and its output, if that was just so."""
    for _, of, kind, _, before, what in islice(reversed(entries), NEAR):
        if of is cell and kind is not None:
            if type(what) is tuple:
                return before, what[1]
            return before, None if what.outcome is None else what.outcome.reply
    return None, None

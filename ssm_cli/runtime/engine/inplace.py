"""States that are changed in place: found by a look at a few of them, not trusted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from ssm_cli.behaviour.sizes import flat_parts, is_light
from ssm_cli.runtime.engine.digest import sum_of

WATCHED_BYTES = 16 * 1024  # of a state that is compared with what it was
MOST_WATCHED = 16  # of them at once


class InPlace:
    """States with what seals them, to be compared with what they were later.

    Attributes:
        found: the workers that change their states in place: in which record that was noticed.
    """

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self._watched: list[tuple[str, int, Any, object]] = []

    def watch(self, worker: str, record: int, state: Any, size: float) -> None:
        """Look at the state before a record again later, if it is small and there is room."""
        if size <= WATCHED_BYTES and len(self._watched) < MOST_WATCHED:
            self._watched.append((worker, record, state, seal_of(state)))

    def compare(self) -> None:
        """Compare the states that are watched with what they were."""
        for worker, record, state, seal in self._watched:
            if seal_of(state) != seal:
                self.found.setdefault(worker, record)
        self._watched.clear()

    def watch_last(self, entries: Iterable[Any]) -> None:
        """Watch the states before the last inputs of a few workers, given newest first."""
        known: set[object] = set()
        for number, cell, kind, _, before, _ in islice(entries, MOST_WATCHED * 2):
            if kind is not None and cell not in known and len(known) < MOST_WATCHED // 4:
                known.add(cell)
                if is_light(before):
                    self.watch(cell.spec.id, number, before, 0)


def seal_of(state: Any) -> object:
    """Return what is another for a state that was changed: what it holds, if small, else a digest.

    >>> seal_of({"x": 1}) == seal_of({"x": 1}), seal_of({"x": 1}) == seal_of({"x": True})
    (True, False)
    """
    return repr(flat_parts(state)) if is_light(state) else sum_of(state)

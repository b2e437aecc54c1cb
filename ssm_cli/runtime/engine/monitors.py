"""Monitors: which worker is to hear of the end of which (`erlang:monitor/2`); for one life each."""

from __future__ import annotations

from collections.abc import Iterable

MOST_MONITORED = 10_000  # workers that one worker may monitor


class Monitors:
    """All monitors of a world, by the names of workers. Each change can be repeated.

    Who asks for one worker by two names has two monitors, each of its own name.

    Attributes:
        watchers: by who is watched: who is to hear of the end, and by what names it has asked.
        watched: by watcher, whom it watches.
    """

    __slots__ = ("watched", "watchers")

    def __init__(self) -> None:
        self.watchers: dict[str, dict[str, tuple[str, ...]]] = {}
        self.watched: dict[str, tuple[str, ...]] = {}

    def add(self, watcher: str, worker: str, given: str) -> None:
        """Have a worker hear of the end of another, once by each name that it has given."""
        names = self.watchers.setdefault(worker, {})
        if given not in names.get(watcher, ()):
            names[watcher] = (*names.get(watcher, ()), given)
        watched = self.watched.get(watcher, ())
        if worker not in watched:
            self.watched[watcher] = (*watched, worker)

    def remove(self, watcher: str, worker: str) -> None:
        """Have it hear of that no more, by no name."""
        self._forget(watcher, worker)
        left = tuple(name for name in self.watched.get(watcher, ()) if name != worker)
        if left:
            self.watched[watcher] = left
        else:
            self.watched.pop(watcher, None)

    def end(self, watcher: str) -> None:
        """A life of a watcher has ended: it hears of nobody any more."""
        for worker in self.watched.get(watcher, ()):
            self._forget(watcher, worker)
        self.watched.pop(watcher, None)

    def _forget(self, watcher: str, worker: str) -> None:
        watchers = self.watchers.get(worker)
        if watchers is not None:
            watchers.pop(watcher, None)
            if not watchers:
                self.watchers.pop(worker, None)

    def too_many(self, watcher: str, asked: Iterable[str]) -> bool:
        """Return whether a worker would watch too many once it has asked for these as well."""
        names = {*asked}
        for worker in self.watched.get(watcher, ()):
            names.update(self.watchers[worker][watcher])
        return len(names) > MOST_MONITORED

    def copy(self) -> Monitors:
        """Return the monitors of a fork."""
        other = Monitors()
        other.watchers = {worker: {**asked} for worker, asked in self.watchers.items()}
        other.watched = {**self.watched}
        return other

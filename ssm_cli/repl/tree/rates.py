"""Inputs a second: of the rows that are seen, and by census of all workers together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssm_cli.repl.tree.source import Source
from ssm_cli.runtime.looking.listing import Census

OVER_S = 1.0  # a rate is that of about the last second
KEPT = 2_000  # workers whose counts are remembered; those not seen for longest go


class Rates:
    """How fast things go. `now` is a monotonic clock in seconds.

    Attributes:
        census: the last complete one.
        total: inputs served a second by the whole tree; None: not known yet.
    """

    def __init__(self, source: Source, now: Callable[[], float]) -> None:
        self._source = source
        self._now = now
        self._seen: dict[str, tuple[float, int, float | None]] = {}
        self._running: Iterator[Census] | None = None
        self._at_s = now()
        self._coming = self.census = Census()
        self._groups: dict[str, float] = {}
        self._moved = -1  # the source, when the last census began
        self.recount()

    def recount(self) -> None:
        """Take a whole census at once: there is nothing to show before the first."""
        self._moved = self._source.moved()
        for census in self._source.census():
            self.census = census
        self._running, self._at_s = None, self._now()

    @property
    def total(self) -> float | None:
        """Inputs served a second by the whole tree; None: not known yet."""
        return self._groups.get(self._source.root)

    def of_group(self, supervisor: str) -> float | None:
        """The same for the workers below a supervisor."""
        return self._groups.get(supervisor)

    def of_worker(self, name: str, steps: int) -> float | None:
        """The same for one worker that has served `steps` inputs by now; called when it is seen."""
        now_s = self._now()
        since_s, before, rate = self._seen.pop(name, (now_s, steps, None))
        if now_s - since_s >= OVER_S:
            rate = max(steps - before, 0) / (now_s - since_s)
            since_s, before = now_s, steps
        self._seen[name] = (since_s, before, rate)
        if len(self._seen) > KEPT:
            del self._seen[next(iter(self._seen))]
        return rate

    def count(self) -> bool:
        """Go on with the census for one step; whether one was completed by it.

        None is taken while nothing has happened since the last one.
        """
        if self._running is None:
            if self._now() - self._at_s < OVER_S:
                return False
            moved = self._source.moved()
            if moved == self._moved:
                return self._rest()
            self._moved = moved
            self._running = self._source.census()
        counted = next(self._running, None)
        if counted is not None:
            self._coming = counted
            return False
        self._running = None
        self._complete(self._coming)
        return True

    def _rest(self) -> bool:
        """Nothing was served meanwhile; whether that is news."""
        if self._groups and not any(self._groups.values()):
            self._at_s = self._now()
            return False
        self._complete(self.census)
        return True

    def _complete(self, census: Census) -> None:
        now_s = self._now()
        took_s = now_s - self._at_s
        before = self.census.steps
        self._groups = {
            name: max(steps - before.get(name, steps), 0) / took_s
            for name, steps in census.steps.items()
        }
        self.census, self._at_s = census, now_s

"""The tree as it is looked at: what is open, chosen, sought and sorted; rows on demand."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ssm_cli.render.columns import Row
from ssm_cli.repl.tree.index import GROUP, GROUP_INTERESTING, Index, Wish
from ssm_cli.repl.tree.rates import Rates
from ssm_cli.repl.tree.source import Source
from ssm_cli.runtime.views import NodeView

DEEP_QUEUE = 32  # so many waiting inputs make a worker worth looking at
AHEAD = 60  # rows that are prepared for with the first of them
SORTED = 10_000  # children at most that are put in order; more stay in start order
SOUGHT = 2_000  # rows at most among which one that flashes is looked for


class TreeView:
    """What is seen of a tree.

    Args:
        source: where it comes from.
        now: a monotonic clock, in seconds.

    Attributes:
        index: which rows there are.
        chosen: the row that the keys act on, or None.
        flashing: the names of what was just restarted.
        counts_down: a row that was seen says when its worker is tried again.
        sort: the title of the column that children are sorted by; empty: start order.
    """

    def __init__(self, source: Source, now: Callable[[], float]) -> None:
        self.source = source
        self._now = now
        self.rates = Rates(source, now)
        self.chosen: int | None = None
        self._left = "", 0  # the name of the row that was chosen last, and its place
        self.sort = ""
        self.flashing: frozenset[str] = frozenset()
        self.counts_down = False
        self._wish = Wish()
        self._stale = False
        self._interesting: dict[str, list[str]] = {}
        self._rows: dict[int, Row] = {}
        self.index = Index(source, self._wish, {})

    def show(self, source: Source) -> None:
        """Show another tree: the same one at another time."""
        self.source, self.rates = source, Rates(source, self._now)
        self._interesting = {}
        self._rebuild()

    # --- what there is ----------------------------------------------------------------------

    @property
    def needle(self) -> str:
        """What the names shown contain; empty: all are shown."""
        return self._wish.needle

    def root(self) -> NodeView:
        """The root, without its children."""
        found = self.source.glance(self.source.root)
        assert found is not None, "a tree has a root"
        return found.view

    def row(self, number: int) -> Row:
        """What a row shows, as of the last refresh or of when it was first seen since."""
        if number not in self._rows:
            last = min(number + AHEAD, self.index.count)
            self.source.need([self.index.place(i).name for i in range(number, last)])
            self._rows[number] = self._look_at(number)
        return self._rows[number]

    def _look_at(self, number: int) -> Row:
        place = self.index.place(number)
        found = self.source.glance(place.name)
        if found is None:
            self._stale = True  # it went since the index was made
            gone = NodeView(place.name, place.name, "worker", "stopped")
            return Row(place.guide, gone)
        view = found.view
        if view.kind != "supervisor":
            rate = self.rates.of_worker(view.id, view.steps)
        else:
            rate = self.rates.of_group(view.id)
        self.counts_down = self.counts_down or view.delay_ms is not None
        closed = place.name in self._wish.closed
        return Row(place.guide, view, place.hidden, found.size, rate, closed)

    def flashing_row(self) -> int | None:
        """The first row that flashes, in a tree of not too many rows."""
        if not self.flashing or self.index.count > SOUGHT:
            return None
        place, flashing = self.index.place, self.flashing
        return next((i for i in range(self.index.count) if place(i).name in flashing), None)

    def count(self) -> bool:
        """Go on with counting for one step; whether a count was completed that can be seen."""
        if not self.rates.count():
            return False
        self._stale = self._stale or bool(self.sort)
        return True

    def refresh(self, flashing: frozenset[str], restarted: dict[str, list[str]]) -> None:
        """Take over how things stand.

        Args:
            flashing: the names of what was just restarted.
            restarted: the same by supervisor.
        """
        self.flashing = flashing
        self._rows.clear()
        self.counts_down = False
        self.source.look()
        interesting = self._find_interesting(restarted)
        changed = interesting != self._interesting or not self.index.fits()
        if self._stale or changed:
            self._interesting = interesting
            self._rebuild()

    def _find_interesting(self, restarted: dict[str, list[str]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        deep = self.source.deep(DEEP_QUEUE)
        for names in (restarted, self.rates.census.troubled, deep):
            for supervisor, children in names.items():
                kept = found.setdefault(supervisor, [])
                kept += [c for c in children if c not in kept and self.source.glance(c)]
                del kept[GROUP_INTERESTING:]
        return found

    def _rebuild(self) -> None:
        before = None if self.chosen is None else self.index.place(self.chosen).name
        wish = msgspec.structs.replace(self._wish, sort=self._in_order if self.sort else None)
        self.index = Index(self.source, wish, self._interesting)
        self._stale = False
        self._rows.clear()
        if self.chosen is not None and before is not None:
            found = self.index.row_of(before, self.chosen)
            self.chosen = min(self.chosen, self.index.count - 1) if found is None else found

    def _in_order(self, names: list[str]) -> list[str]:
        """Children by the column that is sorted by: names upwards, numbers downwards."""
        if len(names) > SORTED:
            return names
        if self.sort == "NODE":
            return sorted(names)
        self.source.need(names)
        return sorted(names, key=self._weight)

    def _weight(self, name: str) -> float:
        found = self.source.glance(name)
        if found is None:
            return 0.0
        view = found.view
        match self.sort:
            case "RST":
                return -view.restarts
            case "QUEUE":
                return -view.queue
            case "UP":
                return view.uptime_s  # what was started last comes first
            case _:
                is_worker = view.kind == "worker"
                return -((self.rates.of_worker(name, view.steps) if is_worker else 0.0) or 0.0)

    # --- what is wished -----------------------------------------------------------------------

    def changed(self) -> None:
        """Children may have come or gone: look again with the next refresh."""
        self._stale = True

    def seek(self, needle: str) -> None:
        """Show only the nodes whose name contains `needle`; empty: all."""
        self._wish_for(needle=needle)

    def _wish_for(self, **changes: object) -> None:
        self._wish = msgspec.structs.replace(self._wish, **changes)
        self._rebuild()

    def sort_by(self, title: str) -> None:
        """Sort children by a column, by its title; empty: start order."""
        self.sort = title
        self._rebuild()

    def open(self, name: str) -> None:
        """Show all children of a supervisor."""
        wish = self._wish
        opened = wish.opened | {name} if self.source.size(name) > GROUP else wish.opened
        self._wish_for(opened=opened, closed=wish.closed - {name})

    def close(self, name: str) -> None:
        """Show no more than some of the children of a large supervisor; of another none."""
        wish = self._wish
        if name in wish.opened:
            self._wish_for(opened=wish.opened - {name})
        else:
            self._wish_for(closed=wish.closed | {name})

    def toggle(self, row: int) -> str | None:
        """Open or close what is in a row; None, or the name of the worker that is there."""
        place = self.index.place(row)
        found = self.source.glance(place.name)
        if found is None or found.view.kind != "supervisor":
            return place.name
        is_closed = place.hidden or place.name in self._wish.closed
        (self.open if is_closed else self.close)(place.name)
        return None

    def move(self, rows: int) -> None:
        """Choose another row, so many further down.

        Where none is, the one that was left is chosen again; the first time, or where that is
        gone, the top one.
        """
        if self.chosen is None:
            self.chosen = self.index.row_of(*self._left) or 0
        else:
            self.chosen = max(0, min(self.chosen + rows, self.index.count - 1))

    def leave(self) -> None:
        """Choose no row, until the next `move`."""
        if (name := self.chosen_name()) is not None:
            self._left = name, self.chosen or 0
        self.chosen = None

    def chosen_name(self) -> str | None:
        """The name of the node in the row that is chosen."""
        if self.chosen is None or self.chosen >= self.index.count:
            return None
        return self.index.place(self.chosen).name


def workers_below(source: Source, name: str, most: int) -> int:
    """How many workers there are below a node, itself included; not many more than `most`."""
    waiting, count = [name], 0
    while waiting and count <= most:
        at = waiting.pop()
        size = source.size(at)
        inner = source.supervisors(at) if size else []
        count += size - len(inner) if size else 1
        waiting += inner
    return count

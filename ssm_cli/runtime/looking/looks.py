"""Looking at a node: its names, its tree, its reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.listing import Listing
from ssm_cli.runtime.looking.readiness import Readiness
from ssm_cli.runtime.looking.show import view_tree, walk
from ssm_cli.runtime.outside import forgive
from ssm_cli.runtime.views import Kind, NodeView, Report

FAILED = "a report reader failed and is unsubscribed"


class Looks:
    """The part of a node that shows what is there and changes nothing."""

    def __init__(self, world: World) -> None:
        self._world = world

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """The names of all nodes in start order; `kind` picks those of one kind."""
        cells = walk(self._world.root)
        return [cell.spec.id for cell in cells if kind is None or cell.kind == kind]

    def tree(self) -> NodeView:
        """The whole tree, as it stands."""
        return view_tree(self._world)

    def id_of(self, name: str) -> str | None:
        """The id of the node of that id or path, running or not; None for none."""
        cell = self._world.find(name)
        return None if cell is None else str(cell.spec.id)

    def readiness(self) -> Readiness:
        """What tells, again and again, whether every node that should run does."""
        return Readiness(self._world)

    def listing(self) -> Listing:
        """The tree piece by piece, for who shows a part of it at a time."""
        return Listing(self._world)

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        """The kept reports with a `seq` greater than `after`, oldest first; at most `last`."""
        return self._world.reports.since(after, last)

    def next_reports(self, after: int, most: int) -> Sequence[Report]:
        """The next kept reports behind number `after`, oldest first, at most `most`.

        It costs time for these alone, however many come later.
        """
        return self._world.reports.following(after, most)

    def subscribe(self, reader: Callable[[Report], None]) -> Callable[[], None]:
        """Call `reader` with every report from now on, in order; the result ends that.

        A reader that raises is let go. It must not call the node (`stop` excepted).
        """
        return self._world.reports.subscribe(reader, partial(forgive, FAILED))

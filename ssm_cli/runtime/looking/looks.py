"""Looking at a node: its names, its tree, its reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.listing import Listing
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

    def listing(self) -> Listing:
        """The tree piece by piece, for who shows a part of it at a time."""
        return Listing(self._world)

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        """The kept reports with a `seq` greater than `after`, oldest first; at most `last`."""
        return self._world.reports.since(after, last)

    def subscribe(self, reader: Callable[[Report], None]) -> Callable[[], None]:
        """Call `reader` with every report from now on, in order; the result ends that.

        A reader that raises is let go. It must not call the node (`stop` excepted).
        """
        return self._world.reports.subscribe(reader, partial(forgive, FAILED))

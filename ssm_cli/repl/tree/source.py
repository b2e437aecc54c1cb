"""Sources of rows: a listing, one that is asked for from afar, or a whole view of the past."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ssm_cli.commands.records import each_node
from ssm_cli.repl.tree.far import FarSource
from ssm_cli.repl.tree.index import Children
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.looking.listing import Census, Glance
from ssm_cli.runtime.views import NodeView


class Source(Children, Protocol):
    """A tree that is read incrementally; see `runtime.looking.listing`."""

    @property
    def queue(self) -> int:
        """The number of inputs that wait."""
        ...

    def moved(self) -> int:
        """Return a number that stays the same only while nothing happens but that time passes."""
        ...

    def look(self) -> None:
        """Refresh the snapshot that later calls read."""
        ...

    def need(self, names: Sequence[str]) -> None:
        """Prepare for glances at these nodes."""
        ...

    def deep(self, least: int) -> dict[str, list[str]]:
        """Return by supervisor the workers for which at least `least` inputs wait."""
        ...

    def glance(self, name: str) -> Glance | None:
        """Return one node; None if unknown."""
        ...

    def census(self) -> Iterator[Census]:
        """Yield counts over the whole tree, refined incrementally."""
        ...


@runtime_checkable
class Listed(Protocol):
    """A node that can be read incrementally."""

    def listing(self) -> Source:
        """Return its tree."""
        ...


def source_of(api: NodeApi, now: Callable[[], float] | None) -> Source:
    """Return the source of any tree: the node's listing if it has one.

    `now` is a monotonic clock, in seconds; None: the tree stands still, and is asked once.
    """
    if isinstance(api, Listed):
        return api.listing()
    return ViewSource(api) if now is None else FarSource(api, now)


class ViewSource:
    """A source over the whole view of a tree that stands still: it is asked for once."""

    def __init__(self, api: NodeApi) -> None:
        tree = api.tree()
        self.root = tree.id
        self._views = {view.id: view for view in each_node(tree)}
        self.queue = sum(view.queue for view in self._views.values())

    def moved(self) -> int:
        """See `Source`."""
        return 0

    def look(self) -> None:
        """See `Source`; nothing is new."""

    def need(self, names: Sequence[str]) -> None:
        """See `Source`; all is there."""

    def deep(self, least: int) -> dict[str, list[str]]:
        """See `Source`."""
        below = (
            (v.id, [c.id for c in v.children if c.queue >= least]) for v in self._views.values()
        )
        return {name: deep for name, deep in below if deep}

    def glance(self, name: str) -> Glance | None:
        """See `Source`."""
        view = self._views.get(name)
        if view is None:
            return None
        return Glance(msgspec.structs.replace(view, children=()), len(view.children))

    def _below(self, name: str) -> tuple[NodeView, ...]:
        return self._views[name].children if name in self._views else ()

    def size(self, name: str) -> int:
        """See `Source`."""
        return len(self._below(name))

    def children(self, name: str, most: int | None = None) -> list[str]:
        """See `Source`."""
        return [child.id for child in self._below(name)[:most]]

    def supervisors(self, name: str) -> list[str]:
        """See `Source`."""
        return [child.id for child in self._below(name) if child.kind == "supervisor"]

    def census(self) -> Iterator[Census]:
        """See `Source`; in one step, as the whole view is there."""
        census = Census()
        _count(self._views[self.root], census)
        yield census


def _count(view: NodeView, census: Census) -> int:
    """Add the subtree of a supervisor to a census; return the steps of its workers."""
    steps = 0
    for child in view.children:
        if child.kind == "supervisor":
            steps += _count(child, census)
            continue
        census.workers += 1
        steps += child.steps
        if child.state != "running":
            census.troubled.setdefault(view.id, []).append(child.id)
    census.steps[view.id] = steps
    return steps

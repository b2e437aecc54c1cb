"""Where rows come from: a node's own listing, or for a tree elsewhere its whole view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import msgspec

from ssm_cli.commands.records import each_node
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.looking.listing import Census, Glance
from ssm_cli.runtime.views import NodeView


class Source(Protocol):
    """What can be seen of a tree, piece by piece; `runtime.looking.listing` says how."""

    @property
    def root(self) -> str:
        """The name of the root."""
        ...

    @property
    def queue(self) -> int:
        """How many inputs wait."""
        ...

    def look(self) -> None:
        """Take over how things stand, for the questions that follow."""
        ...

    def deep(self, least: int) -> dict[str, list[str]]:
        """By supervisor, the workers for which at least so many inputs wait."""
        ...

    def glance(self, name: str) -> Glance | None:
        """One node."""
        ...

    def size(self, name: str) -> int:
        """How many children it has."""
        ...

    def children(self, name: str, most: int | None = None) -> list[str]:
        """Its first children in start order."""
        ...

    def supervisors(self, name: str) -> list[str]:
        """Those of them that are supervisors."""
        ...

    def census(self) -> Iterator[Census]:
        """Counts over the whole tree, bit by bit."""
        ...


@runtime_checkable
class Listed(Protocol):
    """A node that can be looked at piece by piece."""

    def listing(self) -> Source:
        """Its tree."""
        ...


def source_of(api: NodeApi) -> Source:
    """The pieces of any tree: from the node itself where it has them."""
    return api.listing() if isinstance(api, Listed) else ViewSource(api)


class ViewSource:
    """The pieces of a tree that can only be asked for as a whole, as it was at the last `look`."""

    def __init__(self, api: NodeApi) -> None:
        self._api = api
        self._views: dict[str, NodeView] = {}
        self.root = ""
        self.queue = 0
        self.look()

    def look(self) -> None:
        """See `Source`."""
        tree = self._api.tree()
        self.root = tree.id
        self._views = {view.id: view for view in each_node(tree)}
        self.queue = sum(view.queue for view in self._views.values())

    def deep(self, least: int) -> dict[str, list[str]]:
        """See `Source`."""
        found: dict[str, list[str]] = {}
        for view in self._views.values():
            deep = [child.id for child in view.children if child.queue >= least]
            if deep:
                found[view.id] = deep
        return found

    def glance(self, name: str) -> Glance | None:
        """See `Source`."""
        view = self._views.get(name)
        if view is None:
            return None
        return Glance(msgspec.structs.replace(view, children=()), len(view.children))

    def size(self, name: str) -> int:
        """See `Source`."""
        view = self._views.get(name)
        return 0 if view is None else len(view.children)

    def children(self, name: str, most: int | None = None) -> list[str]:
        """See `Source`."""
        view = self._views.get(name)
        return [] if view is None else [child.id for child in view.children[:most]]

    def supervisors(self, name: str) -> list[str]:
        """See `Source`."""
        view = self._views.get(name)
        children = () if view is None else view.children
        return [child.id for child in children if child.kind == "supervisor"]

    def census(self) -> Iterator[Census]:
        """See `Source`; in one step, as the whole view is there."""
        census = Census()
        _count(self._views[self.root], census)
        yield census


def _count(view: NodeView, census: Census) -> int:
    """Add what is below a supervisor; the inputs that its workers have served."""
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

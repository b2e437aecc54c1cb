"""What answers the routes about the shape of a tree: all of it, names, some rows, its counts."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ssm_cli.codec.words import RepeatedKey, reading_once
from ssm_cli.commands.routes import FIRST
from ssm_cli.errors import NoProc
from ssm_cli.http.exchange import Request, Stream
from ssm_cli.http.slices import SLICE, array_parts, each_name, finished, tree_parts, with_steps
from ssm_cli.http.statuses import HttpError
from ssm_cli.runtime.looking.listing import Glance, Rows
from ssm_cli.runtime.node import Node


class RowsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which nodes are asked for.

    Attributes:
        names: their ids.
        since: the `seen` of the answer that showed all of them last.
        deep: so many inputs that wait for a worker are many.
    """

    names: Annotated[list[str], msgspec.Meta(max_length=SLICE)]
    since: str | None = None
    deep: int = 32


read_asked = reading_once(msgspec.json.Decoder(RowsAsked).decode)


class ShapeRequests:
    """Handlers of routes that only look at where nodes are and how they stand.

    Args:
        node: the tree.
        instance: of this run of the tree; empty: what has happened to it cannot be told apart.
    """

    def __init__(self, node: Node, instance: str) -> None:
        self._node, self._instance = node, instance
        self._listing = node.listing()

    def tree(self, _request: Request) -> object:
        """Return the tree as in `ssm tree -o json`, with the steps of its workers."""
        listing = self._node.listing()
        if listing.nodes <= SLICE:
            return with_steps(self._node.tree())
        return Stream(tree_parts(listing))

    def names(self, request: Request) -> object:
        """Return the names of all nodes, or of the children of one."""
        below = above = request.query.get("below")
        if above is not None and (below := self._node.id_of(above)) is None:
            raise NoProc(f"no supervisor {above}", worker=above, reason="noproc")
        names = each_name(self._node.listing(), request.query.get("kind"), below)
        return Stream(array_parts(names))

    def rows(self, request: Request) -> object:
        """Return some nodes as they stand, at most `SLICE`."""
        try:
            asked = read_asked(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RepeatedKey) as error:
            raise HttpError(400, f"the body does not ask for rows: {error}") from error
        listing = self._listing
        seen = self._seen()
        rows: list[Glance | None] | None = None
        if not seen or seen != asked.since:
            listing.look()
            rows = [listing.glance(name) for name in asked.names]
        deep = listing.deep(asked.deep)
        return Rows(seen, listing.root, listing.nodes, listing.queue, deep, rows)

    def _seen(self) -> str:
        """Return what stands for all that has happened; empty: it cannot be told."""
        return self._instance and f"{self._instance}-{self._listing.moved()}"

    def branches(self, request: Request) -> object:
        """Return each supervisor with its first children."""
        first: Any = request.query.get(FIRST.name, FIRST.default)
        return Stream(array_parts(self._node.listing().branches(first)))

    async def census(self, _request: Request) -> object:
        """Return counts over the whole tree."""
        return await finished(self._node.listing().census())

"""Answers about many nodes, made in slices: the loop serves the node between two of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import msgspec

from ssm_cli.commands.records import tree_record
from ssm_cli.http.exchange import Parts
from ssm_cli.runtime.looking.listing import Listing
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import Kind, NodeView, Report

SLICE = 200  # nodes or reports; about 2 ms

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


def each_named(listing: Listing) -> Iterator[tuple[str, Kind] | None]:
    """Yield the name of each node and what it is, depth-first in start order.

    None ends the children of a supervisor. The tree may change between two steps: a node that has
    gone when it would be reached is left out.
    """
    above: list[Iterator[str]] = [iter((listing.root,))]
    while above:
        name = next(above[-1], None)
        if name is None:
            above.pop()
            if above:
                yield None
            continue
        kind = listing.kind(name)
        if kind is not None:
            yield name, kind
            if kind == "supervisor":
                above.append(iter(listing.children(name)))


def each_seen(listing: Listing) -> Iterator[NodeView | None]:
    """Yield each node without its children, as `each_named`, as it is when it is reached."""
    listing.look()
    for named in each_named(listing):
        glance = None if named is None else listing.glance(named[0])
        if named is None or glance is not None:
            yield None if glance is None else glance.view


async def rested(steps: Iterator[T]) -> AsyncIterator[list[T]]:
    """Yield the items in lists of `SLICE`; let the loop go round after each."""
    batch: list[T] = []
    for item in steps:
        batch.append(item)
        if len(batch) >= SLICE:
            yield batch
            batch = []
            await asyncio.sleep(0)
    yield batch


async def finished(steps: Iterator[T]) -> T | None:
    """Take all steps; let the loop go round after each. Return what the last one gave."""
    last = None
    for step in steps:
        last = step
        await asyncio.sleep(0)
    return last


async def tree_parts(listing: Listing) -> Parts:
    """Yield the text of the whole tree, as `with_steps` would give it."""
    comma = b""
    async for views in rested(each_seen(listing)):
        parts: list[bytes] = []
        for view in views:
            if view is None:
                parts.append(b"]}")
                comma = b","
                continue
            text = _encode(with_steps(view))
            opens = view.kind == "supervisor"
            parts += (comma, text.removesuffix(b"]}") if opens else text)
            comma = b"" if opens else b","
        yield b"".join(parts)


async def array_parts(items: Iterator[Any]) -> Parts:
    """Yield the text of an array of whatever JSON can show; None is looked at and left out."""
    before = b"["
    async for batch in rested(items):
        shown = [item for item in batch if item is not None]
        if shown:
            yield before + _encode(shown)[1:-1]
            before = b","
    yield b"]" if before == b"," else b"[]"


def each_report(node: Node, after: int, last: int) -> Iterator[Report]:
    """Yield the kept reports behind number `after`, at most the `last` ones, oldest first.

    Those that come meanwhile are not among them, nor those that are forgotten before their turn.
    """
    end = node.last_seq
    at = max(after, end - last)
    while at < end and (reports := node.next_reports(at, min(SLICE, end - at))):
        at = reports[-1].seq
        yield from (report for report in reports if report.seq <= end)


def each_name(
    listing: Listing, kind: Kind | None, below: str | None = None
) -> Iterator[str | None]:
    """Yield the names of all nodes in start order, or of the children of one.

    None stands for one that is not of that kind.
    """
    if below is None:
        every = each_named(listing)
    else:
        named = ((name, listing.kind(name)) for name in listing.children(below))
        every = ((name, found) for name, found in named if found is not None)
    for one in every:
        yield one[0] if one is not None and kind in (None, one[1]) else None


def with_steps(view: NodeView) -> dict[str, Any]:
    """Return the record of a subtree with the steps of its workers."""
    record = tree_record(view)
    if view.kind == "worker":
        record["steps"] = view.steps
    elif view.kind == "supervisor":
        record["children"] = [with_steps(child) for child in view.children]
    return record

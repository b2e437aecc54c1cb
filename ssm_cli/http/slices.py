"""Answers about many nodes, made in slices: the loop serves the node between two of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from ssm_cli.commands.records import tree_record
from ssm_cli.http.exchange import Parts, Stream
from ssm_cli.runtime.looking.listing import Listing
from ssm_cli.runtime.views import NodeView

SLICE = 200  # nodes or reports; about 2 ms

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


def each_seen(listing: Listing) -> Iterator[NodeView | None]:
    """Yield each node without its children, depth-first in start order.

    None ends the children of a supervisor. The tree may change between two steps: a node is shown
    as it was when it was reached; one that has gone by then is left out.
    """
    listing.look()
    above: list[Iterator[str]] = [iter((listing.root,))]
    while above:
        name = next(above[-1], None)
        if name is None:
            above.pop()
            if above:
                yield None
            continue
        glance = listing.glance(name)
        if glance is not None:
            yield glance.view
            if glance.view.kind == "supervisor":
                above.append(iter(listing.children(name)))


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


def array_of(items: Sequence[T], record: Callable[[T], Any]) -> Stream | list[Any]:
    """Return the records of some items: as they are, or as a stream where they are many."""
    if len(items) <= SLICE:
        return [record(item) for item in items]
    return Stream(_array_parts(items, record))


async def _array_parts(items: Sequence[T], record: Callable[[T], Any]) -> Parts:
    before = b"["
    async for batch in rested(iter(items)):
        if batch:
            yield before + b",".join(_encode(record(item)) for item in batch)
            before = b","
    yield b"]"


def with_steps(view: NodeView) -> dict[str, Any]:
    """Return the record of a subtree with the steps of its workers."""
    record = tree_record(view)
    if view.kind == "worker":
        record["steps"] = view.steps
    elif view.kind == "supervisor":
        record["children"] = [with_steps(child) for child in view.children]
    return record

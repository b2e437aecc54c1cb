"""Whether a flat list of events agrees with a recorded trace, whose strands may interleave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Event = list[Any]
Trace = list[Any]  # events, and {"par": [strand, ...]}


@dataclass
class Node:
    """An expected event, what must come before it, and whether it has come."""

    event: Event
    before: set[int]
    seen: bool = field(default=False)


def expected_nodes(trace: Trace) -> list[Node]:
    """The partial order of a trace: what follows a `par` waits for all of its strands."""
    nodes: list[Node] = []

    def build(sequence: Trace, before: set[int]) -> set[int]:
        for item in sequence:
            if isinstance(item, dict):
                strands = [build(strand, before) for strand in item["par"]]
                before = set().union(*strands)
            else:
                nodes.append(Node(item, before))
                before = {len(nodes) - 1}
        return before

    build(trace, set())
    return nodes


def matches(trace: Trace, actual: list[Event]) -> bool:
    """Whether `actual` is one of the orders that the trace allows."""
    nodes = expected_nodes(trace)
    for event in actual:
        for node in nodes:
            if not node.seen and node.event == event and all(nodes[i].seen for i in node.before):
                node.seen = True
                break
        else:
            return False
    return all(node.seen for node in nodes)

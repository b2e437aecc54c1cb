"""A simulation as the data of a page: what was served, what supervisors did, and the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ssm_cli.history.page import numbered_reports
from ssm_cli.history.records import served_in
from ssm_cli.history.shrink_tree import TreeInput
from ssm_cli.history.telling import Teller
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import NodeView, Report
from ssm_cli.simulation.simulated import Simulated
from ssm_cli.simulation.stand_ins import world_of
from ssm_cli.simulation.told import Data

MOST_STEPS = 10_000  # of a run that are on its page
MOST_REPORTS = 10_000
DRAWN = ("strategy", "child", "children")


def page_of(start: Simulated, given: Sequence[TreeInput], instant: Callable[[float], str]) -> Data:
    """Give a tree the steps of a run again, and return what a page shows of them."""
    tree = start.fork(remembers=MOST_STEPS)
    node, seq = tree.node, tree.node.last_seq
    begun = lives_begun(node, instant)
    for one in islice(given, MOST_STEPS):
        tree.give(one)
    recorder = node.recorder()
    assert recorder is not None, "it remembers"
    teller = Teller(recorder)
    ones = {one.record: one for one in served_in(recorder) if one.numbered}
    reports = node.reports(seq, MOST_REPORTS)
    return {
        "tree": drawn(node.tree()),
        "records": [teller.record(one, instant) for one in ones.values()],
        "reports": numbered_reports([*begun, *(reported(report, instant) for report in reports)]),
    }


def lives_begun(node: Node, instant: Callable[[float], str]) -> list[Data]:
    """Return a start for each worker that runs, as reports: the page begins with these lives."""
    at = instant(world_of(node).clock.wall_s())
    running = [one for one in each_view(node.tree()) if one.kind == "worker"]
    first = node.last_seq - len(running)
    return [
        {"seq": first + number, "at": at, "event": "started", "record": 0,
         "id": one.id, "path": one.path, "kind": one.kind}
        for number, one in enumerate(running, 1)
        if one.state == "running"
    ]  # fmt: skip


def each_view(view: NodeView) -> Iterator[NodeView]:
    """Yield a node of the tree, and all below it, in start order."""
    yield view
    for child in view.children:
        yield from each_view(child)


def drawn(view: NodeView) -> Data:
    """Return the part of a node of the tree that a page draws."""
    own = {"id": view.id, "path": view.path, "kind": view.kind, "strategy": view.strategy or ""}
    return own | {"children": [drawn(child) for child in view.children]}


def reported(report: Report, instant: Callable[[float], str]) -> Data:
    """Return the part of a report that a page draws."""
    own = {name: report.detail[name] for name in DRAWN if name in report.detail}
    return {
        "seq": report.seq,
        "at": instant(report.at_s),
        "event": report.event,
        "id": report.id,
        "path": report.path,
        "kind": report.kind,
        "record": report.record,
        **own,
    }

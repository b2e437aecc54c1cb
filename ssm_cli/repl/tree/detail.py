"""What there is to know of one node: the detail pane beside the tree."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ssm_cli.errors import SsmError
from ssm_cli.render.columns import Row, restarts, span, status
from ssm_cli.render.sanitize import lines_of, one_line
from ssm_cli.repl.tree.view import TreeView
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import CrashReport, NodeView

STATE_CHARACTERS = 2_000  # of a state that are shown
STATE_LINES = 10  # of these
EVENTS = 5  # of the last inputs that are shown
STACK = 4  # of the innermost frames of a crash


def detail_of(api: NodeApi, tree: TreeView) -> tuple[Text, ...]:
    """The lines about the chosen node, or how to choose one."""
    name = tree.chosen_name()
    found = None if name is None else tree.source.glance(name)
    if name is None or found is None:
        return (Text("F6 goes to the tree; up and down choose a node", "muted"),)
    lines = list(_head(Row("", found.view, size=found.size)))
    if found.view.kind == "worker":
        lines += _asked(api, name)
    return tuple(lines)


def _head(row: Row) -> Iterator[Text]:
    """What the row says, and where the node is."""
    node: NodeView = row.node
    state, style = status(row)
    count, _ = restarts(row)
    yield Text.assemble((one_line(node.id), "bold"), "  ", (state, style))
    yield _pair("path", node.path)
    if node.kind == "supervisor":
        yield _pair("strategy", f"{node.strategy}, {node.intensity} in {node.period:g} s")
        yield _pair("restarts in that time", count)
    if node.kind == "remote":
        yield _pair("node", f"{node.node}, epoch {node.epoch}")
        yield _pair("last seen", "not known" if node.age_s is None else f"{node.age_s:.1f} s ago")
        if node.why:
            yield _pair("why", node.why)
    yield _pair("restarts", f"{node.restarts:,}")
    yield _pair("up", span(node.uptime_s))
    if node.kind == "worker":
        yield _pair("queue", f"{node.queue:,}")
        yield _pair("inputs served", f"{node.steps:,}")


def _asked(api: NodeApi, name: str) -> Iterator[Text]:
    """State, last inputs and last crash of a worker; what cannot be had says why."""
    try:
        state = api.shown(name, api.get_state(name))
        yield Text("state", "muted")
        lines = lines_of(state[:STATE_CHARACTERS])
        yield from (Text(f"  {line}") for line in lines[:STATE_LINES])
        if len(state) > STATE_CHARACTERS or len(lines) > STATE_LINES:
            yield Text(f"  \u2026 more; `state {one_line(name)}` shows all", "muted")
        events = api.get_status(name).log[-EVENTS:]
        if events:
            yield Text("last events", "muted")
            said = (f"{event.kind} {api.shown(name, event.value)}" for event in events)
            yield from (Text(f"  {one_line(line, 200)}") for line in said)
        for crash in api.crash_reports(name, 1):
            yield from _crash(crash)
    except SsmError as error:
        yield Text(one_line(str(error)), "warn")


def _crash(crash: CrashReport) -> Iterator[Text]:
    yield Text("last crash", "muted")
    yield Text(f"  {one_line(crash.error_type)}: {one_line(crash.error_message, 300)}", "bad")
    yield Text(f"  on {one_line(crash.input, 300)}")
    for frame in crash.stack[-STACK:]:
        yield from (Text(f"  {line}", "muted") for line in lines_of(frame))


def _pair(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "muted"), one_line(value))

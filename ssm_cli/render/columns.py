"""The columns of the tree: title, width, from which width on they are shown, and what they say."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ssm_cli.runtime.views import NodeView

Words = tuple[str, str]
"""A text and its style."""

NONE: Words = ("·", "bright_black")
STATE_STYLES = {
    "running": "green",
    "restarting": "yellow",
    "stopped": "bright_black",
    "suspended": "cyan",
    "unreachable": "red",
}


class Column(msgspec.Struct, frozen=True):
    """One column: shown where the tree is at least `from_width` cells wide."""

    title: str
    width: int
    from_width: int
    show: Callable[[NodeView], Words]
    right: bool = True


def span(seconds: float) -> str:
    """A length of time in at most six characters.

    >>> [span(s) for s in (0.4, 59, 125, 7980, 90061)]
    ['0s', '59s', '2m05', '2h13', '1d01h']
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def status(node: NodeView) -> Words:
    """The state in words; of a running supervisor how many children it has.

    >>> status(NodeView("kv2", "root/kv2", "worker", "restarting", delay_ms=1500.0))
    ('retry in 1.5s', 'yellow')
    """
    style = STATE_STYLES[node.state]
    if node.state == "restarting" and node.delay_ms is not None:
        return f"retry in {node.delay_ms / 1000:.1f}s", style
    if node.kind == "worker" or node.state != "running":
        return node.state, style
    count = len(node.children)
    again = f" ↻{node.restarts:,}" if node.restarts else ""
    return f"{count:,} {'child' if count == 1 else 'children'}{again}", "bright_black"


def restarts(node: NodeView) -> Words:
    """How often a worker was restarted; of a supervisor its budget, `used/intensity`.

    A supervisor that has used some of it and can take at most one more restart in its period is
    marked with `!`: the next crash may be the one it gives up over.

    >>> sup = NodeView("s", "s", "supervisor", "running", intensity=3, budget_left=1)
    >>> restarts(sup), restarts(NodeView("kv1", "s/kv1", "worker", "running", restarts=2))
    (('2/3!', 'bold yellow'), ('2', 'yellow'))
    """
    if node.kind == "worker":
        return (f"{node.restarts:,}", "yellow") if node.restarts else NONE
    if node.intensity is None or node.budget_left is None:
        return NONE
    used = node.intensity - node.budget_left
    if used and node.budget_left <= 1:
        return f"{used}/{node.intensity}!", "bold yellow"
    return f"{used}/{node.intensity}", "yellow" if used else "bright_black"


def queue(node: NodeView) -> Words:
    """How many inputs wait."""
    return (f"{node.queue:,}", "bold") if node.queue else NONE


def uptime(node: NodeView) -> Words:
    """How long it has been running since its last start."""
    if node.state in ("stopped", "restarting"):
        return "—", "bright_black"
    return span(node.uptime_s), "bright_black"


COLUMNS = (
    Column("STATUS", 15, 44, status, right=False),
    Column("RST", 6, 0, restarts),
    Column("QUEUE", 5, 0, queue),
    Column("UP", 6, 58, uptime),
)


def columns_for(width: int) -> tuple[list[Column], int]:
    """The columns that have room in `width` cells, and how many cells are left for the name.

    >>> [column.title for column in columns_for(50)[0]], columns_for(50)[1]
    (['STATUS', 'RST', 'QUEUE'], 21)
    """
    columns = [column for column in COLUMNS if width >= column.from_width]
    taken = sum(column.width + 1 for column in columns)
    return columns, max(width - taken, 0)

"""The columns of the tree: title, width, from which width on they are shown, and what they say."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ssm_cli.commands.text import brief, duration
from ssm_cli.errors import counted
from ssm_cli.runtime.views import NodeView


class Row(msgspec.Struct, frozen=True):
    """One visible row of the tree.

    Attributes:
        guide: the lines that lead to the node from its supervisor.
        node: what is shown, without its children; for a folded rest its supervisor.
        hidden: 0, or how many children this row stands for.
        size: how many children it has.
        rate: inputs served a second, of a supervisor by all workers below it; None: not known.
        closed: none of its children are shown.
    """

    guide: str
    node: NodeView
    hidden: int = 0
    size: int = 0
    rate: float | None = None
    closed: bool = False


Words = tuple[str, str]
"""A text and its style."""

NONE: Words = ("·", "muted")
STATE_STYLES = {
    "running": "good",
    "starting": "warn",
    "restarting": "warn",
    "stopped": "muted",
    "suspended": "info",
    "unreachable": "bad",
}


class Column(msgspec.Struct, frozen=True):
    """One column: shown where the tree is at least `from_width` cells wide."""

    title: str
    width: int
    from_width: int
    show: Callable[[Row], Words]
    right: bool = True


def span(seconds: float) -> str:
    """A length of time in at most six characters.

    >>> [span(s) for s in (0.4, 59, 125, 7980, 90061)]
    ['0s', '59s', '2m05', '2h13', '1d01h']
    """
    shown = duration(seconds)
    return shown[:-1] if 60 <= int(seconds) < 86_400 else shown


def status(row: Row) -> Words:
    """The state in words; of a running supervisor how many children it has.

    Of a remote child also how old its last sign of life is.

    >>> status(Row("", NodeView("kv2", "root/kv2", "worker", "restarting", delay_ms=1500.0)))
    ('retry in 1.5s', 'warn')
    """
    node = row.node
    style = STATE_STYLES[node.state]
    if node.state == "restarting" and node.delay_ms is not None:
        return f"retry in {node.delay_ms / 1000:.1f}s", style
    if node.age_s is not None:
        return f"{node.state} {span(node.age_s)}", style
    if node.at or node.runs:
        return f"{node.state}, {brief(node.at, 12) or counted(node.runs, 'run')}", style
    if node.kind != "supervisor" or node.state != "running":
        return node.state, style
    again = f" ↻{node.restarts:,}" if node.restarts else ""
    return f"{row.size:,} {'child' if row.size == 1 else 'children'}{again}", "muted"


def restarts(row: Row) -> Words:
    """How often a worker was restarted; of a supervisor its budget, `used/intensity`.

    A supervisor that has used some of it and can take at most one more restart in its period is
    marked with `!`: the next crash may be the one it gives up over.

    >>> sup = NodeView("s", "s", "supervisor", "running", intensity=3, budget_left=1)
    >>> kv1 = NodeView("kv1", "s/kv1", "worker", "running", restarts=2)
    >>> restarts(Row("", sup)), restarts(Row("", kv1))
    (('2/3!', 'alert'), ('2', 'warn'))
    """
    node = row.node
    if node.kind != "supervisor":
        return (f"{node.restarts:,}", "warn") if node.restarts else NONE
    if node.intensity is None or node.budget_left is None:
        return NONE
    used = node.intensity - node.budget_left
    if used and node.budget_left <= 1:
        return f"{used}/{node.intensity}!", "alert"
    return f"{used}/{node.intensity}", "warn" if used else "muted"


def queue(row: Row) -> Words:
    """How many inputs wait."""
    return (f"{row.node.queue:,}", "bold") if row.node.queue else NONE


def short(number: float) -> str:
    """A rate in at most five characters.

    >>> [short(n) for n in (0, 7.4, 999.6, 48_123, 1.25e6)]
    ['0', '7', '1.0k', '48k', '1.2M']
    """
    if number < 999.5:
        return f"{number:.0f}"
    for unit in "kMG":
        number /= 1000
        if number < 999.5:
            return f"{number:.1f}{unit}" if number < 9.95 else f"{number:.0f}{unit}"
    return "many"


def rate(row: Row) -> Words:
    """How many inputs it serves a second."""
    return NONE if not row.rate else (short(row.rate), "")


def uptime(row: Row) -> Words:
    """How long it has been running since its last start."""
    node = row.node
    if node.state in ("stopped", "restarting"):
        return "—", "muted"
    return span(node.uptime_s), "muted"


COLUMNS = (
    Column("STATUS", 15, 44, status, right=False),
    Column("RST", 6, 0, restarts),
    Column("QUEUE", 5, 0, queue),
    Column("MSG/S", 5, 52, rate),
    Column("UP", 6, 60, uptime),
)


def columns_for(width: int) -> tuple[list[Column], int]:
    """The columns that have room in `width` cells, and how many cells are left for the name.

    >>> [column.title for column in columns_for(50)[0]], columns_for(50)[1]
    (['STATUS', 'RST', 'QUEUE'], 21)
    """
    columns = [column for column in COLUMNS if width >= column.from_width]
    taken = sum(column.width + 1 for column in columns)
    return columns, max(width - taken, 0)

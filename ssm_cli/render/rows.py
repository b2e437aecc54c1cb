"""The live tree, row by row: a `NodeView` to the rows that are seen, a row to one line.

Rows are made one at a time because a screen asks for the ones it shows only; building a table of
the whole tree for each frame would cost milliseconds at a hundred workers and seconds at many
thousands. A row is a value, so its line can be kept for as long as nothing in it changes.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec
from rich.text import Text

from ssm_cli.render.columns import COLUMNS, Column, columns_for
from ssm_cli.render.sanitize import fit, one_line
from ssm_cli.runtime.views import NodeView

GROUP = 20  # a supervisor with more children than this is shown folded
GROUP_FIRST = 6  # ... to so many of its first children
GROUP_INTERESTING = 4  # ... and so many of those that need looking at
DEEP_QUEUE = 64  # so many waiting inputs make a worker interesting

GLYPHS = {
    "running": ("●", "green"),
    "restarting": ("↻", "yellow"),
    "stopped": ("○", "bright_black"),
    "suspended": ("‖", "cyan"),
    "unreachable": ("?", "red"),
}


class Row(msgspec.Struct, frozen=True):
    """One visible row of the tree.

    Attributes:
        guide: the lines that lead to the node from its supervisor.
        node: what is shown; for a folded rest its supervisor.
        hidden: 0, or how many children this row stands for.
    """

    guide: str
    node: NodeView
    hidden: int = 0


def visible_rows(tree: NodeView, flashing: AbstractSet[str] = frozenset()) -> tuple[Row, ...]:
    """The rows of a tree, depth-first in start order, large groups folded.

    Args:
        tree: the whole tree, or one supervisor of it.
        flashing: the paths that were just restarted; they are never folded away while there is
            room among the interesting ones.

    >>> kv1 = NodeView("kv1", "root/kv1", "worker", "running")
    >>> rows = visible_rows(NodeView("root", "root", "supervisor", "running", children=(kv1,)))
    >>> [row.guide + row.node.id for row in rows]
    ['root', '└─ kv1']
    """
    rows = [Row("", tree)]
    _children(tree, "", flashing, rows)
    return tuple(rows)


def _children(parent: NodeView, lead: str, flashing: AbstractSet[str], rows: list[Row]) -> None:
    shown = _unfolded(parent, flashing)
    hidden = len(parent.children) - len(shown)
    for place, child in enumerate(shown):
        last = place == len(shown) - 1 and not hidden
        rows.append(Row(lead + ("└─ " if last else "├─ "), child))
        if child.children:
            _children(child, lead + ("   " if last else "│  "), flashing, rows)
    if hidden:
        rows.append(Row(f"{lead}└─ ", parent, hidden))


def _unfolded(parent: NodeView, flashing: AbstractSet[str]) -> tuple[NodeView, ...]:
    """The children that get a row of their own."""
    children = parent.children
    if len(children) <= GROUP:
        return children
    picked: list[NodeView] = []
    for child in children[GROUP_FIRST:]:
        if _interesting(child, flashing):
            picked.append(child)
            if len(picked) == GROUP_INTERESTING:
                break
    return (*children[:GROUP_FIRST], *picked)


def _interesting(node: NodeView, flashing: AbstractSet[str]) -> bool:
    return node.state != "running" or node.queue >= DEEP_QUEUE or node.path in flashing


def header(width: int) -> Text:
    """The line of column titles, exactly `width` cells."""
    columns, name_width = columns_for(width)
    text = Text(fit("NODE", name_width))
    for column in columns:
        text.append(" " + fit(column.title, column.width, right=column.right))
    text.stylize("bright_black underline")
    return text


def row_text(row: Row, width: int, *, flash: bool = False) -> Text:
    """One row of the tree, exactly `width` cells; a flashing one is shown in reverse.

    >>> row_text(Row("", NodeView("kv1", "root/kv1", "worker", "running", uptime_s=7)), 60).plain
    '● kv1                    running              ·     ·     7s'
    """
    columns, name_width = columns_for(width)
    text = _name_cell(row, name_width)
    for column in columns:
        text.append(" ")
        text.append_text(_cell(row, column))
    if flash:
        text.stylize("reverse yellow")
    return text


def row_key(row: Row) -> tuple[object, ...]:
    """Everything in a row that can be seen, and nothing else: what its line may be kept under."""
    node = row.node
    cells = () if row.hidden else tuple(column.show(node) for column in COLUMNS)
    return (row.guide, row.hidden, node.id, node.kind, node.state, node.strategy, node.label, cells)


def _name_cell(row: Row, width: int) -> Text:
    """Guide, glyph, name, and strategy or label, in `width` cells."""
    guide = row.guide
    if len(guide) > width // 2:  # a deep tree: the name matters more than the lines to it
        guide = "…" + guide[len(guide) - width // 2 + 1 :]
    text = Text()
    text.append(guide, "bright_black")
    node = row.node
    if row.hidden:
        text.append(f"… {row.hidden:,} more", "bright_black italic")
    else:
        glyph, style = GLYPHS[node.state]
        supervisor = node.kind == "supervisor"
        if supervisor and node.state == "running":
            glyph, style = "▾", "blue"
        text.append(f"{glyph} ", style)
        text.append(one_line(node.id), "bold blue" if supervisor else "")
        note = " ".join(word for word in (node.strategy, node.label) if word)
        if note:
            text.append(f" {one_line(note)}", "bright_black")
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _cell(row: Row, column: Column) -> Text:
    words, style = ("", "") if row.hidden else column.show(row.node)
    text = Text()
    text.append(fit(words, column.width, right=column.right), style)
    return text

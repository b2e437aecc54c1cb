"""The live tree, row by row: each row to one line.

Rows are made one at a time because a screen asks for the ones it shows only; building a table of
the whole tree for each frame would cost milliseconds at a hundred workers and seconds at many
thousands. A row is a value, so its line can be kept for as long as nothing in it changes.
"""

from __future__ import annotations

from rich.text import Text

from ssm_cli.render.columns import COLUMNS, Column, Row, columns_for
from ssm_cli.render.sanitize import fit, one_line

GLYPHS = {
    "running": ("●", "good"),
    "starting": ("…", "warn"),
    "restarting": ("↻", "warn"),
    "stopped": ("○", "muted"),
    "suspended": ("‖", "info"),
    "unreachable": ("?", "bad"),
}


def header(width: int, sort: str = "") -> Text:
    """The line of column titles, exactly `width` cells; that of the column sorted by has `*`."""
    columns, name_width = columns_for(width)
    text = Text(fit("NODE", name_width))
    for column in columns:
        title = f"*{column.title}"[: column.width] if column.title == sort else column.title
        text.append(" " + fit(title, column.width, right=column.right))
    text.stylize("muted underline")
    return text


def row_text(row: Row, width: int, *, flash: bool = False, chosen: bool = False) -> Text:
    """One row of the tree, exactly `width` cells; a flashing one is shown in reverse.

    >>> from ssm_cli.runtime.views import NodeView
    >>> row_text(Row("", NodeView("kv1", "root/kv1", "worker", "running", uptime_s=7)), 60).plain
    '● kv1              running              ·     ·     ·     7s'
    """
    columns, name_width = columns_for(width)
    text = _name_cell(row, name_width)
    for column in columns:
        text.append(" ")
        text.append_text(_cell(row, column))
    if flash:
        text.stylize("reverse warn")
    if chosen and flash:
        text.stylize("bold underline")
    elif chosen:
        text = Text(text.plain)
        text.stylize("reverse bold")
    return text


def row_key(row: Row) -> tuple[object, ...]:
    """Everything in a row that can be seen, and nothing else: what its line may be kept under."""
    node = row.node
    cells = () if row.hidden else tuple(column.show(row) for column in COLUMNS)
    said = (node.id, node.kind, node.state, node.strategy, node.label, node.node, node.epoch)
    return (row.guide, row.hidden, row.closed, *said, cells)


def _name_cell(row: Row, width: int) -> Text:
    """Guide, glyph, name, and strategy or label, in `width` cells."""
    guide = row.guide
    if len(guide) > width // 2:  # a deep tree: the name matters more than the lines to it
        guide = "…" + guide[len(guide) - width // 2 + 1 :]
    text = Text()
    text.append(guide, "muted")
    node = row.node
    if row.hidden:
        text.append(f"… {row.hidden:,} more", "hint")
    else:
        glyph, style = GLYPHS[node.state]
        supervisor = node.kind == "supervisor"
        if supervisor and node.state == "running":
            glyph, style = "▸" if row.closed else "▾", "name"
        text.append(f"{glyph} ", style)
        text.append(one_line(node.id), "name" if supervisor else "")
        where = f"@{node.node} #{node.epoch}" if node.node else ""
        note = " ".join(word for word in (node.strategy, node.label, where) if word)
        if note:
            text.append(f" {one_line(note)}", "muted")
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _cell(row: Row, column: Column) -> Text:
    words, style = ("", "") if row.hidden else column.show(row)
    text = Text()
    text.append(fit(words, column.width, right=column.right), style)
    return text

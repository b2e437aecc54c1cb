"""The timeline on the screen: one row, whose marks can be clicked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType

from ssm_cli.commands.timeline import HERE, timeline_row
from ssm_cli.render.sanitize import fit, one_line
from ssm_cli.repl.timeline import TimelineRow

TITLE = " timeline  "
TITLED = 40  # columns; a narrower row has no title
PLACE = "class:alert reverse"


def timeline_words(row: TimelineRow, columns: int, go: Callable[[str], None]) -> StyleAndTextTuples:
    """Return the row in `columns` cells; a click at a mark goes to its record."""
    title = TITLE if columns >= TITLED else " "
    if row.found is None:
        return [("class:bad", fit(f"{title}{one_line(row.trouble)}", columns))]
    words: StyleAndTextTuples = [("class:muted", title)]
    inside = False
    for piece in timeline_row(row.found, columns - len(title) - 1):
        inside = inside or piece.text == "["
        style = PLACE if piece.role == HERE or inside else f"class:{piece.role}" * bool(piece.role)
        inside = inside and piece.text != "]"
        if piece.record is None:
            words.append((style, piece.text))
        else:
            words.append((style, piece.text, partial(_clicked, go, str(piece.record))))
    return words


def _clicked(go: Callable[[str], None], record: str, event: MouseEvent) -> object:
    if event.event_type is not MouseEventType.MOUSE_UP:
        return NotImplemented
    go(record)
    return None

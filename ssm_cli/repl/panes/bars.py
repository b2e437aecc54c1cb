"""The rows of the screen that are no panes: state, titles, the timeline, keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType
from rich.cells import cell_len

from ssm_cli.commands.timeline import HERE, timeline_row
from ssm_cli.errors import is_number
from ssm_cli.render.columns import short, span
from ssm_cli.render.sanitize import fit, one_line
from ssm_cli.repl.keymap import BARS, Place
from ssm_cli.repl.model import Model
from ssm_cli.repl.timeline import TimelineRow

TITLE = " timeline  "
TITLED = 40  # columns; a narrower row has no title
PLACE = "class:alert reverse"


def status_line(model: Model, columns: int) -> StyleAndTextTuples:
    """Which tree, for how long, and how it is, in exactly `columns` cells."""
    rate = model.tree.rates.total
    words = [
        f" ssm  {one_line(model.title)}",
        f"up {span(model.root.uptime_s)}",
        *([] if rate is None else [f"{short(rate)} msg/s"]),
        f"restarts {model.restarts:,}",
        f"queue {model.queue:,}",
        f"workers {model.workers:,}",
    ]
    if model.frozen:
        words.insert(1, "FROZEN (F5 goes on)")
    if model.tree.needle:
        words.insert(1, f"only `{one_line(model.tree.needle)}` (F3)")
    if model.place:
        then = f"AT {model.place}, as it was then (`now` comes back)"
        scratch = f"IN {model.place}, a scratch tree (`drop` leaves it)"
        words.insert(1, then if is_number(model.place) else scratch)
    return [("class:alert" if model.place else "", fit("  ".join(words), columns))]


def log_title(model: Model) -> str:
    """Of which place the restart log is, or of how many restarts, and what was sought in it."""
    title = f"restarts at {model.place}" if model.place else f"restarts {model.restarts:,}"
    return f"{title} with `{one_line(model.needle)}`" if model.needle else title


def hidden(what: str, rows: int) -> str:
    """How many rows of something have no room; nothing where all have.

    >>> hidden("tree: ", 1_200), hidden("tree: ", 0)
    ('tree: 1,200 more', '')
    """
    return f"{what}{rows:,} more" if rows > 0 else ""


def rule(title: str, end: str, style: str, width: int) -> StyleAndTextTuples:
    """A line with a title at its beginning and a text at its end, exactly `width` cells.

    >>> "".join(part[1] for part in rule("restarts 2", " tree: 3 more", "", 34))
    '── restarts 2 ───── tree: 3 more ─'
    """
    end = f"{end} ─" if end and len(end) + 4 <= width else ""
    title = fit(f" {title} ", min(cell_len(title) + 2, max(width - 2 - len(end), 0)))
    line = "─" * max(width - 2 - cell_len(title) - len(end), 0)
    return [("class:rule", "──"), (style, title), ("class:rule", f"{line}{end}")]


def key_words(place: Place, columns: int, press: Callable[[str], None]) -> StyleAndTextTuples:
    """As many of the keys of a place as `columns` cells have room for; a click presses them.

    An ellipsis stands for those that have none.
    """
    words: StyleAndTextTuples = []
    keys = [key for key in BARS[place] if key.bar]
    for key in keys:
        is_last = key is keys[-1]
        columns -= len(key.first) + len(key.bar) + (1 if is_last else 3)
        if columns < (0 if is_last else 1):  # a cell is kept for the ellipsis
            return [*words, ("", "\u2026")]
        clicked = partial(_clicked, press, key.action)
        words += [("class:key", key.first, clicked), ("", f" {key.bar}  ", clicked)]
    return words


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


def _clicked(act: Callable[[str], None], on: str, event: MouseEvent) -> object:
    """Act on what a click was at; nothing comes of one at an empty text."""
    if not on or event.event_type is not MouseEventType.MOUSE_UP:
        return NotImplemented
    act(on)
    return None

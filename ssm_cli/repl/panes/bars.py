"""The first line of the screen and its last: how the tree is, and the keys of the place."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType

from ssm_cli.render.columns import short, span
from ssm_cli.render.sanitize import fit, one_line
from ssm_cli.repl.keymap import BARS, Place
from ssm_cli.repl.model import Model


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
        words.insert(1, then if model.place.isdecimal() else scratch)
    return [("class:alert" if model.place else "", fit("  ".join(words), columns))]


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


def _clicked(press: Callable[[str], None], action: str, event: MouseEvent) -> object:
    if not action or event.event_type is not MouseEventType.MOUSE_UP:
        return NotImplemented
    press(action)
    return None

"""The panes: lines that Rich rendered, cached as prompt_toolkit's fragments.

prompt_toolkit asks a control for the lines that are on the screen only, so each pane hands out
just those, and a tree of a hundred thousand workers costs what one of twenty does. Rich renders
one line at a time; a line in which nothing changed is taken from the cache.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import UIContent, UIControl
from rich.console import Console
from rich.style import Style
from rich.text import Text

from ssm_cli.render.log import log_text
from ssm_cli.render.rows import header, row_key, row_text
from ssm_cli.repl.model import Model

CACHED_LINES = 5_000  # of each pane; the cache is dropped when it is full
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan")
ANSI = (
    *(f"ansi{colour}" for colour in (*COLOURS, "gray")),
    *(f"ansibright{colour}" for colour in COLOURS),
    "ansiwhite",
)
_CONSOLE = Console(file=io.StringIO(), width=1000, color_system="standard", force_terminal=True)


def style_of(style: Style | None) -> str:
    """A Rich style as one of prompt_toolkit's; of the colours, the sixteen of every terminal.

    >>> style_of(Style.parse("bold red on blue reverse"))
    'fg:ansired bg:ansiblue bold reverse'
    """
    if style is None:
        return ""
    words = [
        f"{ground}:{ANSI[color.number]}"
        for ground, color in (("fg", style.color), ("bg", style.bgcolor))
        if color is not None and color.number is not None and color.number < len(ANSI)
    ]
    words += [w for w in ("bold", "italic", "underline", "reverse") if getattr(style, w)]
    return " ".join(words)


def fragments(text: Text) -> StyleAndTextTuples:
    """A line of Rich text as prompt_toolkit's fragments.

    >>> fragments(Text.assemble(("kv2", "bold"), " runs"))
    [('bold', 'kv2'), ('', ' runs')]
    """
    return [(style_of(s.style), s.text) for s in text.render(_CONSOLE) if s.text]


def wrapped(text: Text, width: int) -> list[Text]:
    """The lines that a line of text takes in `width` cells; long words are broken."""
    if text.cell_len <= width:
        return [text]
    return list(text.wrap(_CONSOLE, max(width, 1), overflow="fold", tab_size=4))


def cropped(text: Text, width: int) -> Text:
    """A line of text in at most `width` cells, with `…` where it goes on."""
    if text.cell_len > width:
        text = text.copy()
        text.truncate(width, overflow="ellipsis")
    return text


class Pane(UIControl):
    """A window on lines: shows those from `top` on, or keeps to the last ones (`follow`).

    Subclasses say how many lines there are in a width and what line `index` is.
    """

    def __init__(self, *, follow: bool) -> None:
        self.follow = follow
        self._follows = follow
        self._top = 0
        self._height = 1
        self._count = 0
        self._cache: dict[Hashable, StyleAndTextTuples] = {}

    def count(self, width: int) -> int:
        """How many lines there are in `width` cells."""
        raise NotImplementedError

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """Line `index`, from 0, in at most `width` cells."""
        raise NotImplementedError

    def first(self, height: int) -> int:
        """The index of the first line shown in `height` rows."""
        last = max(self._count - height, 0)
        return last if self.follow else min(self._top, last)

    def scroll(self, lines: int) -> None:
        """Move down by so many lines (up if negative); at the end, follow again."""
        top = self.first(self._height) + lines
        last = max(self._count - self._height, 0)
        self._top = max(0, min(top, last))
        self.follow = self._follows and self._top >= last

    def page(self, direction: int) -> None:
        """Move by a screenful: 1 is down, -1 is up."""
        self.scroll(direction * max(self._height - 1, 1))

    def cached(self, key: Hashable, make: Callable[[], Text]) -> StyleAndTextTuples:
        """The fragments kept under `key`, or those of the text that `make` makes."""
        kept = self._cache.get(key)
        if kept is None:
            if len(self._cache) >= CACHED_LINES:
                self._cache.clear()
            kept = self._cache[key] = fragments(make())
        return kept

    def create_content(self, width: int, height: int) -> UIContent:
        """The lines that are on the screen; called by prompt_toolkit for each frame."""
        self._count, self._height = self.count(width), max(height, 1)
        first = self.first(self._height)
        shown = [self.line(i, width) for i in range(first, min(first + height, self._count))]
        return UIContent(shown.__getitem__, line_count=len(shown), show_cursor=False)


class TreePane(Pane):
    """The live tree. Rows that were just restarted are brought into view."""

    def __init__(self, model: Model) -> None:
        super().__init__(follow=False)
        self._model = model

    def count(self, width: int) -> int:
        """See `Pane`."""
        del width
        return len(self._model.rows)

    def first(self, height: int) -> int:
        """See `Pane`; moved if no row that was just restarted would be seen."""
        first = super().first(height)
        flashing = self._model.flashing
        places = [i for i, row in enumerate(self._model.rows) if row.node.path in flashing]
        if not places or any(first <= place < first + height for place in places):
            return first
        return max(0, min(places[0] - height // 2, self._count - height))

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        row = self._model.rows[index]
        flash = not row.hidden and row.node.path in self._model.flashing
        key = (row_key(row), flash, width)
        return self.cached(key, lambda: row_text(row, width, flash=flash))


class HeaderLine(Pane):
    """The titles of the tree's columns."""

    def __init__(self) -> None:
        super().__init__(follow=False)

    def count(self, width: int) -> int:
        """See `Pane`."""
        del width
        return 1

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        return self.cached((index, width), lambda: header(width))


class LogPane(Pane):
    """The restart log, newest last."""

    def __init__(self, model: Model) -> None:
        super().__init__(follow=True)
        self._model = model

    def count(self, width: int) -> int:
        """See `Pane`."""
        del width
        return len(self._model.log)

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        report = self._model.log[index]
        return self.cached((report.seq, width), lambda: cropped(log_text(report), width))


class OutputPane(Pane):
    """What was typed and what came of it, newest last; long lines are wrapped.

    The wrapped lines are kept for one width and added to as output comes.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(follow=True)
        self._model = model
        self._width = 0
        self._seen = 0
        self._lines: list[StyleAndTextTuples] = []

    def count(self, width: int) -> int:
        """See `Pane`. Wraps what has come since the last frame."""
        model = self._model
        new = model.output_seq - self._seen
        if width != self._width or new > len(model.output):
            self._lines, self._width, new = [], width, len(model.output)
        if new:
            for text in list(model.output)[-new:]:
                self._lines.extend(fragments(line) for line in wrapped(text, width))
            del self._lines[: -2 * (model.output.maxlen or 1)]
            self._seen = model.output_seq
        return len(self._lines)

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """See `Pane`."""
        del width
        return self._lines[index]

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
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType
from rich.console import Console
from rich.style import Style
from rich.text import Text

WHEEL_LINES = 3  # that one notch of the wheel scrolls
FAR = 10**9  # more lines than there are
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
    """The lines that a line of text takes in `width` cells; long words are broken.

    All of them are indented as far as the first.

    >>> [line.plain for line in wrapped(Text("  kv2 crashed"), 9)]
    ['  kv2', '  crashed']
    """
    if text.cell_len <= width:
        return [text]
    indent = min(len(text.plain) - len(text.plain.lstrip(" ")), width // 2)
    lines = text[indent:].wrap(_CONSOLE, max(width - indent, 1), overflow="fold", tab_size=4)
    for line in lines:
        line.rstrip()
    return [Text.assemble(" " * indent, line) for line in lines]


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

    def ends(self, direction: int) -> None:
        """Go to the last line (1) or to the first (-1)."""
        self.scroll(direction * FAR)

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

    def pressed(self, line: int) -> None:
        """Line `line` was clicked at; nothing comes of it unless a subclass says so."""

    def mouse_handler(self, mouse_event: MouseEvent) -> object:
        """The wheel scrolls, a click presses; called by prompt_toolkit."""
        match mouse_event.event_type:
            case MouseEventType.SCROLL_UP:
                self.scroll(-WHEEL_LINES)
            case MouseEventType.SCROLL_DOWN:
                self.scroll(WHEEL_LINES)
            case MouseEventType.MOUSE_UP:
                line = self.first(self._height) + mouse_event.position.y
                if line < self._count:
                    self.pressed(line)
            case _:
                return NotImplemented
        return None

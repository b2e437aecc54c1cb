"""The panes: lines of text, cached as prompt_toolkit's fragments.

prompt_toolkit asks a control for the lines that are on the screen only, so each pane hands out
just those, and a tree of a hundred thousand workers costs what one of twenty does. Each line is
made alone; one in which nothing changed is taken from the cache. A fragment names the role of its
text, as a class; what that looks like is up to the theme, and may change at any time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from itertools import groupby, pairwise
from operator import itemgetter

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import UIContent, UIControl
from prompt_toolkit.mouse_events import MouseEvent, MouseEventType
from rich.console import Console
from rich.containers import Lines
from rich.text import Text

from ssm_cli.render.theme import ATTRIBUTES

WHEEL_LINES = 3  # that one notch of the wheel scrolls
FAR = 10**9  # more lines than there are
CACHED_LINES = 5_000  # of each pane; the cache is dropped when it is full
_CONSOLE = Console(file=io.StringIO(), width=1000)


@lru_cache(256)
def style_of(*words: str) -> str:
    """The roles and attributes that lie over each other, as a style of prompt_toolkit's.

    >>> style_of("reverse warn", "bold")
    'reverse class:warn bold'
    """
    split = " ".join(words).split()
    return " ".join(word if word in ATTRIBUTES else f"class:{word}" for word in split)


def fragments(text: Text) -> StyleAndTextTuples:
    """A line of text, its styles roles and attributes, as prompt_toolkit's fragments.

    >>> fragments(Text.assemble(("kv2", "bold"), " runs"))
    [('bold', 'kv2'), ('', ' runs')]
    """
    plain, spans = text.plain, text.spans
    cuts = {0, len(plain)}.union(*((span.start, min(span.end, len(plain))) for span in spans))
    parts: StyleAndTextTuples = []
    for start, end in pairwise(sorted(cuts)):
        over = (str(span.style) for span in spans if span.start <= start and end <= span.end)
        parts.append((style_of(str(text.style), *over), plain[start:end]))
    return parts


def wrapped(text: Text, width: int, hang: int = 0) -> list[Text]:
    """The lines that a line of text takes in `width` cells; long words are broken.

    All of them are indented as far as the first, those behind it by `hang` cells more.

    >>> [line.plain for line in wrapped(Text("  kv2 crashed"), 9)]
    ['  kv2', '  crashed']
    >>> [line.plain for line in wrapped(Text("kv2 has crashed"), 9, hang=1)]
    ['kv2 has', ' crashed']
    """
    if text.cell_len <= width:
        return [text]
    indent = min(len(text.plain) - len(text.plain.lstrip(" ")), width // 2)
    hang = indent + min(hang, width // 2)
    text = text[indent:]
    first = _folded(text, width - indent)[0]
    rest = text[len(first) :]
    first.rstrip()
    rest = rest[len(rest.plain) - len(rest.plain.lstrip(" ")) :]
    lines = list(_folded(rest, width - hang)) if rest else []
    for line in lines:
        line.rstrip()
    return [
        Text.assemble(" " * indent, first),
        *(Text.assemble(" " * hang, line) for line in lines),
    ]


def _folded(text: Text, width: int) -> Lines:
    return text.wrap(_CONSOLE, max(width, 1), overflow="fold", tab_size=4)


def lit(line: StyleAndTextTuples, needle: str) -> StyleAndTextTuples:
    """A line with a text shown in reverse wherever it stands, in capitals or not.

    >>> lit([("bold", "kv2 k"), ("", "v3")], "KV")
    [('bold reverse', 'kv'), ('bold', '2 '), ('bold reverse', 'k'), (' reverse', 'v'), ('', '3')]
    """
    text = "".join(part[1] for part in line)
    places: set[int] = set()
    for found in re.finditer(re.escape(needle), text, re.IGNORECASE):
        places.update(range(*found.span()))
    cells = [(part[0], character) for part in line for character in part[1]]
    styled = ((f"{s} reverse" if at in places else s, c) for at, (s, c) in enumerate(cells))
    return [
        (style, "".join(c for _, c in group)) for style, group in groupby(styled, itemgetter(0))
    ]


class Pane(UIControl):
    """A window on lines: shows those from `top` on, or keeps to the last ones (`follow`).

    Subclasses say how many lines there are in a width, and what line `index` is unless all of them
    are in `made` once they are counted.
    """

    def __init__(self, *, follow: bool) -> None:
        self.made: list[StyleAndTextTuples] = []
        self.follow = follow
        self._follows = follow
        self._top = 0
        self._height = 1
        self._count = 0
        self._width = 1
        self._needle = ""
        self._found: int | None = None
        self._cache: dict[Hashable, StyleAndTextTuples] = {}

    def count(self, width: int) -> int:
        """How many lines there are in `width` cells."""
        raise NotImplementedError

    def line(self, index: int, width: int) -> StyleAndTextTuples:
        """Line `index`, from 0, in at most `width` cells."""
        del width
        return self.made[index]

    def make(self, lines: Iterable[Text], width: int) -> int:
        """Make all lines there are, wrapped; return how many these are."""
        self.made = [fragments(part) for line in lines for part in wrapped(line, width)]
        return len(self.made)

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

    def find(self, needle: str) -> bool:
        """Show the line above the one found last that contains a text, in capitals or not.

        The search begins at the last line, and goes on there from the first. The text is lit
        wherever it stands until `forget`. Returns whether it was found. The lines are those of now,
        which may be fewer than those of the last frame.
        """
        if needle != self._needle:
            self.forget()
        self._needle, self._count = needle, self.count(self._width)
        start = self._count if self._found is None else self._found
        for step in range(1, self._count + 1):
            index = (start - step) % self._count
            text = "".join(part[1] for part in self.line(index, self._width))
            if needle.casefold() in text.casefold() and self.is_answer(text):
                self._found = index
                self.scroll(index - self._height // 2 - self.first(self._height))
                return True
        return False

    def is_answer(self, text: str) -> bool:
        """Whether a line that contains what is sought counts; the search itself does not."""
        del text
        return True

    def forget(self) -> None:
        """Light nothing any longer; the next search begins at the last line."""
        self._needle, self._found = "", None

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
        self._width, self._height = width, max(height, 1)
        self._count = self.count(width)
        first = self.first(self._height)
        shown = [self.line(i, width) for i in range(first, min(first + height, self._count))]
        if self._needle:
            shown = [lit(line, self._needle) for line in shown]
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
                if line < min(self._count, self.count(self._width)):  # of the frame, and of now
                    self.pressed(line)
            case _:
                return NotImplemented
        return None

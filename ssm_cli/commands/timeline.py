"""The timeline as a row: a mark a record, and the place where one stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

GLYPHS = {
    "changed": ("", "│"), "same": ("muted", "·"), "crashed": ("alarm", "✖"),
    "stopped": ("warn", "○"), "started": ("warn", "↻"), "by_hand": ("info", "■"),
}  # fmt: skip
"""By what a record was: its role in a theme, and its character."""
LEAST_MARKS = 5  # cells; in fewer nothing but the place is shown
MOST_HERE = 3  # marks in the brackets: a record, and starts and failures that followed from it
HERE = "here"


class Piece(msgspec.Struct, frozen=True):
    """A stretch of the row: its text, its role in a theme, the record that it stands for."""

    text: str
    role: str = ""
    record: int | None = None


def timeline_row(found: dict[str, Any], columns: int) -> list[Piece]:
    """Return the row of a timeline in at most `columns` cells.

    From the left: the first record that is shown, its marks, that where one stands in brackets,
    the last one shown and the last there is. An ellipsis stands for marks without room.

    >>> marks = [{"record": n, "mark": "same", "worker": "kv"} for n in range(3, 9)]
    >>> found = {"place": "4", "here": 4, "first": 1, "last": 12, "marks": marks}
    >>> "".join(piece.text for piece in timeline_row(found, 40))
    '3 …·[·]····… 8 of 12'
    """
    marks, here = found["marks"], found["here"]
    edges = 2 * len(f"{found['last']:,}") + len(_end(found, found["last"], 0)) + 2
    stand = _place(found, marks)
    room = columns - edges - sum(len(piece.text) for piece in stand)
    if room < LEAST_MARKS:
        return _cut(stand, columns)
    before = [mark for mark in marks if mark["record"] < here]
    behind = [mark for mark in marks if mark["record"] > here]
    if not found["place"]:
        before, behind = marks, []
    first, last = _window(len(before), len(behind), room)
    shown = [*before[first:], *behind[:last]]
    numbers = [*(mark["record"] for mark in shown), here]
    low, high = min(numbers), max(numbers)
    return [
        Piece(f"{low:,} {'…' if low > found['first'] + 1 else ''}", "muted"),
        *map(_piece, before[first:]),
        *stand,
        *map(_piece, behind[:last]),
        Piece(_end(found, high, 1 if high < found["last"] else 0), "muted"),
    ]


def _piece(mark: dict[str, Any]) -> Piece:
    role, glyph = GLYPHS.get(mark["mark"], ("", "·"))
    return Piece(glyph, role, mark["record"])


def _place(found: dict[str, Any], marks: Sequence[dict[str, Any]]) -> list[Piece]:
    """Return where one stands: its marks in brackets, or its number; `now` behind the last."""
    here = found["here"]
    if not found["place"]:
        return [Piece("[now]", HERE)]
    pieces = [_piece(mark) for mark in marks if mark["record"] == here][-MOST_HERE:]
    pieces = pieces or [Piece(f"{here}", "", here)]
    return [Piece("[", HERE), *pieces, Piece("]", HERE)]


def _end(found: dict[str, Any], last: int, more: int) -> str:
    """Return what stands behind the marks: the last record shown, and of how many."""
    if not found["place"]:
        return ""
    return f"{'…' * more} {last:,} of {found['last']:,}"


def _window(before: int, behind: int, room: int) -> tuple[int, int]:
    """Return from which mark before the place to which behind it there is room.

    >>> _window(10, 10, 8), _window(2, 10, 8), _window(10, 1, 8), _window(1, 2, 8)
    ((6, 4), (0, 6), (3, 1), (0, 2))
    """
    right = min(behind, max(room // 2, room - before))
    left = min(before, room - right)
    return before - left, right


def _cut(pieces: Sequence[Piece], columns: int) -> list[Piece]:
    kept: list[Piece] = []
    for piece in pieces:
        columns -= len(piece.text)
        if columns < 0:
            break
        kept.append(piece)
    return kept

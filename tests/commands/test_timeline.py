"""The row of a timeline, at every width."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli.commands.timeline import GLYPHS, HERE, MOST_HERE, timeline_row
from ssm_cli.render.ascii import TABLE


def told(place: str, first: int, last: int, *, total: int = 0) -> dict[str, Any]:
    """A timeline whose records change something, but that every tenth crashes and restarts."""
    marks = []
    for record in range(first, last + 1):
        crashed = record % 10 == 0
        marks.append({"record": record, "mark": "crashed" if crashed else "changed"})
        if crashed:
            marks.append({"record": record, "mark": "started"})
    total = total or last
    return {"place": place, "here": int(place or total), "first": 0, "last": total, "marks": marks}


def text(found: dict[str, Any], columns: int) -> str:
    return "".join(piece.text for piece in timeline_row(found, columns))


@pytest.mark.parametrize("place", ["", "1", "10", "55", "99", "100"])
@pytest.mark.parametrize("columns", [0, 1, 2, 7, 20, 40, 80, 120, 250])
def test_the_row_fits_and_has_the_place_wherever_there_is_room_for_it(
    place: str, columns: int
) -> None:
    row = text(told(place, 1, 100), columns)
    assert len(row) <= columns
    if columns >= 20:
        assert "[now]" in row if not place else ("[" in row and "]" in row)


def test_the_marks_around_the_place_are_those_that_are_shown() -> None:
    assert text(told("55", 1, 100), 40) == "47 …│││✖↻││││[│]││││✖↻│││… 63 of 100"


def test_now_is_behind_the_last_mark() -> None:
    assert text(told("", 1, 5), 40) == "1 │││││[now]"


def test_a_crash_and_what_followed_from_it_are_one_place() -> None:
    assert text(told("10", 8, 12), 40) == "8 …││[✖↻]││ 12 of 12"


def test_a_place_without_a_mark_is_its_number() -> None:
    assert text(told("0", 1, 5), 40) == "0 [0]│││││ 5 of 5"


def test_what_follows_from_one_record_without_end_is_cut() -> None:
    found = told("5", 1, 5)
    found["marks"] += [
        {"record": 5, "mark": what} for _ in range(500) for what in ("crashed", "started")
    ]
    row = text(found, 60)
    assert row.index("]") - row.index("[") == 1 + MOST_HERE
    assert len(row) <= 60


def test_a_mark_of_a_later_version_is_a_dot() -> None:
    found = told("", 1, 2)
    found["marks"][0]["mark"] = "unheard_of"
    assert text(found, 40) == "1 ·│[now]"


def test_each_piece_but_the_brackets_and_numbers_stands_for_its_record() -> None:
    pieces = timeline_row(told("3", 1, 5), 60)
    assert [piece.record for piece in pieces if piece.record is not None] == [1, 2, 3, 4, 5]
    assert {piece.text for piece in pieces if piece.role == HERE} == {"[", "]"}


def test_every_mark_has_a_likeness_in_ascii() -> None:
    assert all(glyph.translate(TABLE).isascii() for _, glyph in GLYPHS.values())

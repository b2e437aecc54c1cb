from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ssm_cli.render.sanitize import fit, lines_of, one_line


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\nb\r", "a\\nb\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028separator", "line\\u2028separator"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("no-break\u00a0space", "no-break space"),
        ("数据 café", "数据 café"),
    ],
)
def test_what_does_not_print_is_written_as_its_escape(given_text: str, shown: str) -> None:
    assert one_line(given_text) == shown


def test_an_over_long_text_says_how_much_is_left_out() -> None:
    assert one_line("x" * 10_000, limit=10) == "x" * 10 + "… (9,990 more)"


def test_lines_are_kept_apart_and_each_is_safe() -> None:
    assert lines_of("a\nb\x1b\tc") == ["a", "b\\x1b    c"]
    assert lines_of("") == []


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert one_line(text).isprintable()


@given(st.text(), st.integers(0, 30))
def test_a_fitted_text_has_exactly_that_many_cells(text: str, width: int) -> None:
    assert cell_len(fit(one_line(text), width)) == width

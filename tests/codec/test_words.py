from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli import DecodeError
from ssm_cli.codec.json import JsonCodec
from ssm_cli.codec.schema import word_type
from ssm_cli.codec.words import (
    RepeatedKey,
    escape,
    is_bare,
    json_of,
    quote,
    shorten,
    suggestion,
    tokenize,
    unescape,
)  # fmt: skip


def test_words_are_split_at_any_white_space() -> None:
    assert [word.text for word in tokenize(" Store\tx\u00a0 1 ")] == ["Store", "x", "1"]


def test_a_quote_inside_a_word_is_a_letter() -> None:
    assert [word.text for word in tokenize("Say it's C:\\tmp")] == ["Say", "it's", "C:\\tmp"]


def test_single_quotes_hold_double_ones() -> None:
    (word,) = tokenize("""'say "hi"'""")
    assert word.text == 'say "hi"'
    assert word.quoted


def test_brackets_hold_spaces_and_strings_hold_brackets() -> None:
    assert [word.text for word in tokenize('[1, "]", {"a": 2}] x')] == ['[1, "]", {"a": 2}]', "x"]


def test_a_keyword_keeps_its_offsets() -> None:
    _, word = tokenize('Store key="a b"')
    assert (word.keyword, word.text) == ("key", "a b")
    assert (word.start, word.value_start, word.end) == (6, 10, 15)


@pytest.mark.parametrize("line", ['"a', "'a", '"a\\', "[1", '{"a', '{"a": [1]', "[", '"'])
def test_what_is_not_closed_is_unfinished(line: str) -> None:
    (word,) = tokenize(line)
    assert word.unfinished
    assert "not closed" in word.flaw
    assert word.end == len(line)


@pytest.mark.parametrize("line", ['"a"b', "[1]x", "'a''b'"])
def test_a_word_ends_at_its_quote_or_bracket(line: str) -> None:
    (word,) = tokenize(line)
    assert "a space is missing" in word.flaw
    assert not word.unfinished


@pytest.mark.parametrize(
    ("escaped", "problem"),
    [
        (r"\q", "unknown escape"),
        (r"\x1", "unknown escape"),
        (r"\ud800", "half of a surrogate pair"),
        (r"\U7fffffff", "is no character"),
        (r"\Uffffffff", "is no character"),
    ],
)
def test_a_bad_escape_is_refused(escaped: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        unescape(escaped)
    assert problem in tokenize(f'"{escaped}"')[0].flaw


@given(st.text())
def test_quoting_is_undone_by_the_tokenizer(text: str) -> None:
    (word,) = tokenize(quote(text))
    assert (word.text, word.quoted, word.flaw) == (text, True, "")


@given(st.text())
def test_a_quoted_word_is_printable(text: str) -> None:
    assert quote(text).isprintable()


@given(st.text().filter(is_bare))
def test_a_bare_word_is_one_word(text: str) -> None:
    (word,) = tokenize(text)
    assert (word.text, word.keyword, word.quoted, word.flaw) == (text, None, False, "")


@given(st.text(alphabet="ab \"'\\[]{}=,:1\n"))
def test_words_cover_the_line_in_order(line: str) -> None:
    at = 0
    for word in tokenize(line):
        assert not line[at : word.start].strip()
        assert word.start <= word.value_start <= word.end
        at = word.end
    assert not line[at:].strip()


def test_escapes_are_as_long_as_the_character_needs() -> None:
    assert [escape(c) for c in "\x07\u2028\U000e0001"] == ["\\x07", "\\u2028", "\\U000e0001"]


def test_a_long_word_is_shown_short_and_printable() -> None:
    assert shorten("\x1b" + "a" * 100, 5) == "\\x1baaa…"


def test_the_nearest_word_is_found_in_either_case() -> None:
    assert suggestion("store", ["Lookup", "Store"]) == "; did you mean `Store`?"
    assert suggestion("q", ["Lookup", "Store"]) == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}', '{"a":1,"b":{"c":1,"c":1}}', '[{"a":1,"a":1}]', '{"a":":","a":1}',
        '{"\\u0061":1,"a":2}', '{"a" : 1, "a"\n:2}', '{"a":[{"b":1},{"c":1,"c":2}]}',
    ],
)  # fmt: skip
def test_json_that_says_something_twice_is_read_nowhere(text: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(RepeatedKey, match="is there twice"):
            json_of(data)
    for kind in (dict[str, Any], list[Any], Any):
        with pytest.raises(ValueError, match=r"twice|Expected"):
            word_type(kind).read(text)
    with pytest.raises(DecodeError, match="is there twice"):
        JsonCodec(None).decode(text.encode())


@pytest.mark.parametrize("text", ['{"a": "b:c"}', '[":"]', '":::"', "1", '{"a": {"a": {"a": 1}}}'])
def test_json_that_says_nothing_twice_is_read(text: str) -> None:
    assert json_of(text) == json.loads(text)
    assert JsonCodec(None).decode(text.encode()) == json.loads(text)

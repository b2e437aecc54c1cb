from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.codec.analysis import Analysis, analyse
from ssm_cli.codec.build import codec_for, constructors_of
from ssm_cli.codec.port import Codec
from ssm_cli.errors import DecodeError


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Store(NamedTuple):
    key: str
    value: int


class Paint(NamedTuple):
    color: Color | None
    on: bool = True
    numbers: list[int] | dict[str, float] = []  # noqa: RUF012 - never changed
    mode: Literal["fast", "slow"] = "fast"
    size: float = 1.0


class Tag(NamedTuple):
    id: UUID
    point: Store | None = None


INPUTS = Store | Paint | Tag | Color
CONSTRUCTORS = constructors_of(INPUTS)
CODEC = codec_for("text", INPUTS, None)


def look(text: str, cursor: int | None = None) -> Analysis:
    return analyse(text, CONSTRUCTORS, cursor)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", "partial"),
        ("  ", "partial"),
        ("Sto", "partial"),
        ("Stox", "wrong"),
        ("Sto ", "wrong"),
        ('"Sto', "wrong"),
        ("Store", "partial"),
        ("Store x", "partial"),
        ("Store x ", "partial"),
        ("Store x -", "partial"),
        ("Store x - ", "wrong"),
        ("Store x 1", "ok"),
        ("Store x 1 ", "ok"),
        ("Store x 1 2", "wrong"),
        ("Store x a", "wrong"),
        ("Store x val", "partial"),
        ("Store x value=", "partial"),
        ("Store x value=1", "ok"),
        ('Store "x', "partial"),
        ('Store x "1', "wrong"),
        ("Store [x", "partial"),
        ("Paint R", "partial"),
        ("Paint r", "partial"),
        ("Paint B", "wrong"),
        ("Paint No", "partial"),
        ("Paint RED", "ok"),
        ("Paint red Tr", "partial"),
        ("Paint red true [1,", "partial"),
        ("Paint red true [1]", "ok"),
        ('Paint red true {"a": 1}', "ok"),
        ('Paint red true ["a"]', "wrong"),
        ("Paint red true x", "wrong"),
        ("Paint red mode=f", "partial"),
        ("Paint red size=1e", "partial"),
        ("Paint red size=1x", "wrong"),
        ("Tag 1234", "ok"),
        ('Tag x {"key": "a", "value": 1}', "ok"),
        ("RED", "ok"),
        ("RED now", "wrong"),
    ],
)
def test_partial_is_told_apart_from_wrong(text: str, status: str) -> None:
    assert look(text).status == status


def test_tokens_have_a_kind_and_a_place() -> None:
    text = 'Store value=a "x'
    tokens = [(token.kind, text[token.start : token.end]) for token in look(text).tokens]
    assert tokens == [
        ("constructor", "Store"),
        ("keyword", "value="),
        ("bad", "a"),
        ("argument", '"x'),
    ]


def test_a_wrong_line_has_the_message_of_the_codec_at_its_place() -> None:
    analysis = look("Store x a")
    assert analysis.message == "Store: value: expected an integer, got `a`"
    assert analysis.span == (8, 9)


def test_an_unknown_constructor_is_wrong_as_a_word() -> None:
    analysis = look("Stroe x")
    assert "did you mean `Store`?" in analysis.message
    assert analysis.span == (0, 5)
    assert [token.kind for token in analysis.tokens] == ["bad", "argument"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Store", 0),
        ("Store x", 0),
        ("Store x ", 1),
        ("Store x 1", 1),
        ("Store x 1 ", None),
        ("Store value=1 ", 0),
        ("Store value=1", 1),
        ("Sto", None),
        ("RED ", None),
    ],
)
def test_the_current_field_is_the_one_at_the_cursor(text: str, field: int | None) -> None:
    assert look(text).field == field


@pytest.mark.parametrize(
    ("text", "candidates", "replace"),
    [
        ("", ("Store", "Paint", "Tag", "RED", "GREEN"), (0, 0)),
        ("S", ("Store",), (0, 1)),
        ("Paint ", ("RED", "GREEN", "None"), (6, 6)),
        ("Paint G", ("GREEN",), (6, 7)),
        ("Paint color=G", ("GREEN",), (12, 13)),
        ("Paint RED ", ("true", "false"), (10, 10)),
        ("Paint RED mo", ("mode=",), (10, 12)),
        ("Paint mode=", ("fast", "slow"), (11, 11)),
        ("Store x v", ("value=",), (8, 9)),
        ('Store "S', (), (8, 8)),
        ("Store x 1 ", (), (10, 10)),
        ("Nothing ", (), (8, 8)),
    ],
)
def test_candidates_fit_what_is_typed(
    text: str, candidates: tuple[str, ...], replace: tuple[int, int]
) -> None:
    analysis = look(text)
    assert analysis.candidates == candidates
    assert analysis.replace == replace


def test_candidates_are_those_at_the_cursor() -> None:
    analysis = look("Paint G true", cursor=7)
    assert analysis.candidates == ("GREEN",)
    assert analysis.field == 0
    assert analysis.status == "wrong"


def test_without_constructors_every_line_is_an_input() -> None:
    analysis = analyse('any "thing', ())
    assert analysis.status == "ok"
    assert [token.kind for token in analysis.tokens] == ["argument", "argument"]


LINES = st.text(alphabet="StorePaintRED x1truefalse-.=[]{}\"',:") | st.lists(
    st.sampled_from(["Store", "Paint", "x", "1", "-1", "RED", "true", "[1]", "value=1", '"x"', ""])
).map(" ".join)


def refused(codec: Codec, data: bytes) -> DecodeError | None:
    """The decode error of some bytes; None where they are an input."""
    try:
        codec.decode(data)
    except DecodeError as error:
        return error
    return None


@given(LINES)
def test_the_analysis_agrees_with_the_codec(line: str) -> None:
    analysis = look(line)
    error = refused(CODEC, line.encode())
    if error is None:
        assert analysis.status == "ok"
    elif analysis.status == "wrong":
        assert analysis.message == str(error)
    else:  # only the codec knows what an id looks like
        assert analysis.status == "partial" or line.split(maxsplit=1)[0] == "Tag"


@given(LINES, st.integers(0, 50))
def test_tokens_and_spans_lie_within_the_line(line: str, cursor: int) -> None:
    analysis = look(line, cursor)
    ends = [0]
    for token in analysis.tokens:
        assert ends[-1] <= token.start < token.end <= len(line)
        ends.append(token.end)
    assert (analysis.span is None) == (analysis.status != "wrong")
    assert analysis.replace[0] <= analysis.replace[1] <= len(line)

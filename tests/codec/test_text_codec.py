from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.codec.build import codec_for
from ssm_cli.codec.json import MAX_INPUT_BYTES, jsonable
from ssm_cli.codec.port import Codec
from ssm_cli.codec.text import show
from ssm_cli.errors import DecodeError


class Color(Enum):
    RED = "red"
    GREEN = "dark green"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Store(msgspec.Struct, frozen=True):
    """Store a value under a key."""

    key: str
    value: int


@dataclass(frozen=True)
class Lookup:
    key: str


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Ok(msgspec.Struct, frozen=True):
    pass


class Result(msgspec.Struct, frozen=True):
    value: object


class Paint(msgspec.Struct, frozen=True, kw_only=True):
    color: Color
    level: Level | int | None = None
    mode: Literal["fast", "slow", 3] = "fast"
    on: bool = False


@dataclass(frozen=True)
class Bag:
    numbers: list[int] = field(default_factory=list)
    names: dict[str, Point | None] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    either: int | str | None = None
    octets: bytes = b""
    anything: Any = None


class Meeting(msgspec.Struct, frozen=True):
    at: datetime | None
    id: UUID
    seats: Annotated[int, msgspec.Meta(ge=1)] = 1


@dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


class Callback(msgspec.Struct, frozen=True):
    run: type[int]


T = TypeVar("T")
Age = NewType("Age", int)


class Box(msgspec.Struct, Generic[T], frozen=True):
    content: T
    age: Age = Age(0)


INPUTS = Store | Lookup | Point | Paint | Bag | Meeting | Even | Ok | Level
CODEC = codec_for("text", INPUTS, Ok | Result)


def refused(codec: Codec, data: bytes) -> DecodeError | None:
    """The decode error of some bytes; None where they are an input."""
    try:
        codec.decode(data)
    except DecodeError as error:
        return error
    return None


def refusal(line: str | bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(line.encode() if isinstance(line, str) else line)
    return caught.value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("Store x 1", Store("x", 1)),
        ("  Store\tx  1 ", Store("x", 1)),
        ('Store "a key" -1', Store("a key", -1)),
        ("Store 'a \\'key' 1", Store("a 'key", 1)),
        ("Store key=x value=1", Store("x", 1)),
        ("Store value=1 x", Store("x", 1)),
        ('Store key="\\u00e9\\x41\\n" value=1', Store("éA\n", 1)),
        ("Store 1 1", Store("1", 1)),
        ("Lookup [a]", Lookup("[a]")),
        ('Lookup "a=b"', Lookup("a=b")),
        ("Point 1 2.5e3", Point(1.0, 2500.0)),
        ("Point -inf", Point(-math.inf)),
        ("Paint RED", Paint(color=Color.RED)),
        ("Paint red 7", Paint(color=Color.RED, level=7)),
        ('Paint "dark green" LOW slow', Paint(color=Color.GREEN, level=Level.LOW, mode="slow")),
        ("Paint on=true color=RED mode=3", Paint(color=Color.RED, mode=3, on=True)),
        ("Paint RED None fast True", Paint(color=Color.RED, on=True)),
        ("Bag [1, 2]", Bag([1, 2])),
        ('Bag names={"a": [1, 2], "b": null}', Bag(names={"a": Point(1, 2), "b": None})),
        ('Bag pair=[1,"x y"] either=5', Bag(pair=(1, "x y"), either=5)),
        ('Bag either="5" octets="\\xff"', Bag(either="5", octets=b"\xff")),
        ("Bag either=five anything=1.5", Bag(either="five", anything=1.5)),
        ('Bag anything={"a":[true]}', Bag(anything={"a": [True]})),
        ("Bag anything=plain", Bag(anything="plain")),
        ('Bag anything="1"', Bag(anything="1")),
        ("Bag anything=None", Bag(anything=None)),
        ("Ok", Ok()),
        ("HIGH", Level.HIGH),
        ("Even 2", Even(2)),
    ],
)
def test_a_line_is_taken_as_its_fields_say(line: str, value: object) -> None:
    decoded = CODEC.decode(line.encode())
    assert decoded == value
    assert type(decoded) is type(value)


def test_dates_and_ids_are_read_from_their_text() -> None:
    id_ = "12345678-1234-5678-1234-567812345678"
    decoded = CODEC.decode(f"Meeting 2026-01-31T12:00:00Z {id_} 3".encode())
    assert decoded == Meeting(datetime(2026, 1, 31, 12, tzinfo=UTC), UUID(id_), 3)


def test_fields_of_a_generic_class_have_its_arguments() -> None:
    assert codec_for("text", Box[int], None).decode(b"Box 1 age=2") == Box(1, Age(2))


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("", 1, "the input is empty: expected Store key:str value:int, Lookup key:str"),
        ("Frobnicate", 1, "no input `Frobnicate`: expected Store key:str value:int"),
        ("store x 1", 1, "did you mean `Store`?"),
        ('"Store" x 1', 1, '"Store" is text, not an input'),
        ("Store= x", 1, "no input `Store=`"),
        ("Store x a", 9, "Store: value: expected an integer, got `a`"),
        ("Store x 1.0", 9, "Store: value: expected an integer, got `1.0`"),
        ('Store x "1"', 9, 'Store: value: expected an integer, got the text "1"'),
        ("Store x", 8, "Store: value is missing: expected Store key:str value:int"),
        ("Store value=1", 14, "Store: key is missing"),
        ("Store x 1 z", 11, "Store: `z` is one too many"),
        ("Store x key=y", 9, "Store: key is given twice: expected value:int"),
        (
            "Store valeu=1 x",
            7,
            "Store: no field `valeu`: expected key, value; did you mean `value`?",
        ),
        ('Store "x 1', 7, 'Store: key: the quote is not closed: expected "'),
        ('Store "x"1 1', 7, "a space is missing after"),
        (r'Store "\q" 1', 7, "unknown escape \\q"),
        ("Store [x 1", 7, "the bracket is not closed: expected ]"),
        ("Point x", 7, "Point: x: expected a number, got `x`"),
        (
            "Paint Red",
            7,
            "Paint: color: expected one of RED, GREEN, got `Red`; did you mean `red`?",
        ),
        ("Paint RED x", 11, "Paint: level: expected one of LOW, HIGH, an integer or None, got `x`"),
        ("Paint RED on=yes", 14, "Paint: on: expected true or false, got `yes`"),
        ("Bag [1,x]", 5, "Bag: numbers: expected list[int] as JSON, got `[1,x]`"),
        ('Bag ["a"]', 5, "Expected `int`, got `str` - at `$[0]`"),
        ("Bag 1", 5, "Bag: numbers: expected list[int] as JSON, got `1`"),
        ("Bag octets=€", 12, "Bag: octets: expected bytes (characters up to \\xff)"),
        ("Meeting tomorrow x", 9, "Meeting: at: expected datetime or None, got `tomorrow`"),
        ("Even 3", 1, "Even: refused: 3 is odd"),
        ("Ok now", 4, "Ok: `now` is one too many: expected Ok"),
    ],
)
def test_what_is_wrong_is_named_with_its_column(line: str, column: int, problem: str) -> None:
    error = refusal(line)
    assert problem in str(error)
    assert error.column == column


def test_a_refusal_carries_the_fields_that_would_be_right() -> None:
    assert refusal("Store x a").expected == ("value:int",)
    assert refusal("Store").expected == ("key:str", "value:int")
    assert "Store key:str value:int" in refusal("Frobnicate").expected


def test_constraints_hold_for_words() -> None:
    error = refusal("Meeting None 12345678-1234-5678-1234-567812345678 0")
    assert "Expected `int` >= 1" in str(error)


def test_bytes_that_are_no_utf8_are_refused_at_their_column() -> None:
    error = refusal("Lookup é".encode() + b"\xff")
    assert "byte 0xff at column 9 is no UTF-8" in str(error)
    assert error.column == 9


def test_an_input_longer_than_a_mebibyte_is_refused() -> None:
    fits = b"Lookup " + b"x" * (MAX_INPUT_BYTES - 7)
    assert CODEC.decode(fits) == Lookup("x" * (MAX_INPUT_BYTES - 7))
    assert "expected at most 1048576 bytes (1 MiB)" in str(refusal(fits + b"x"))


def test_a_line_of_very_many_words_is_refused_at_the_first_too_many() -> None:
    error = refusal("Store x 1" + " z=" * 100_000)
    assert "Store: no field `z`" in str(error)
    assert error.column == 11


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    error = refusal("Bag " + "[" * 100_000 + "]" * 100_000)
    assert "Bag: numbers: expected list[int] as JSON" in str(error)
    assert len(str(error)) < 1000


def test_a_number_with_more_digits_than_python_reads_is_refused() -> None:
    assert "expected an integer" in str(refusal("Store x " + "9" * 10_000))


def test_an_input_that_only_python_can_send_does_not_hinder_the_others() -> None:
    codec = codec_for("text", Store | Callback, None)
    assert codec.decode(b"Store x 1") == Store("x", 1)
    with pytest.raises(DecodeError, match="which only Python can send"):
        codec.decode(b"Callback int")


def test_free_inputs_are_the_text_itself() -> None:
    codec = codec_for("text", None, None)
    assert codec.decode(b'a "line"') == 'a "line"'
    assert codec.encode("a\nb") == b"a\nb"


class Silent:
    def __repr__(self) -> str:
        raise KeyError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Ok(), "Ok"),
        (Result(1), "Result 1"),
        (Result(None), "Result None"),
        (Result("x"), "Result x"),
        (Result("1"), 'Result "1"'),
        (Result("None"), 'Result "None"'),
        (Result("a key"), 'Result "a key"'),
        (Result(""), 'Result ""'),
        (Result("\x1b[2J"), 'Result "\\x1b[2J"'),
        (Result(value=True), "Result true"),
        (Result({"a": (1, "x")}), 'Result {"a": [1, "x"]}'),
        (Result(["\x9b"]), 'Result ["\\u009b"]'),
        (Result(Level.LOW), "Result LOW"),
        (Result(Store("x", 1)), 'Result {"key": "x", "value": 1}'),
        (Store("1", 1), "Store 1 1"),
        (Point(1.0), "Point 1.0 0.0"),
        (Level.HIGH, "HIGH"),
        (None, "None"),
        (True, "true"),
        (3, "3"),
        ({"x": 1}, '{"x": 1}'),
        ({(1, 2): 3}, '{"(1, 2)": 3}'),
        ([], "[]"),
        ("a text", "a text"),
        (b"\xff\x00", b"\xff\x00"),
        ("\ud800", "\\ud800"),
        (Silent(), "<Silent that cannot be shown: KeyError>"),
        (Result(Silent()), 'Result "<Silent that cannot be shown: KeyError>"'),
        ([Silent(), 1], '["<Silent that cannot be shown: KeyError>", 1]'),
    ],
)
def test_values_print_in_the_same_syntax(value: object, text: str | bytes) -> None:
    assert CODEC.encode(value) == (text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({Level.LOW: 1}, '{"LOW": 1}'),
        ([Level.LOW, b"xx", float("nan")], '["LOW", "xx", "nan"]'),
        ({1: "a", "1": "b"}, """{"1": "a", "'1'": "b"}"""),
        ({"a": {3, 1, 2}}, '{"a": [1, 2, 3]}'),
        (Result({"a": Result(Level.HIGH)}), 'Result {"a": {"value": "HIGH"}}'),
        (Result([1.5, None, {"a": (True,)}]), 'Result [1.5, null, {"a": [true]}]'),
        ([Store("x", 1)], '[{"key": "x", "value": 1}]'),
        ("a text", "a text"),
        (Level.HIGH, "HIGH"),
        ([Silent()], '["<Silent that cannot be shown: KeyError>"]'),
    ],
)
def test_the_parts_of_a_state_are_in_text_as_they_are_in_json(state: object, text: str) -> None:
    assert show(state, state=True) == text


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3)
    | st.sampled_from(Level) | st.builds(Store, st.text(max_size=3), st.sampled_from(Level))
)  # fmt: skip
KEYS = st.text(max_size=2) | st.integers(0, 9) | st.sampled_from(Level) | st.booleans()
STATES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=8
).filter(lambda value: isinstance(value, list | dict))


@given(STATES)
def test_a_state_as_text_says_what_it_says_as_json(state: object) -> None:
    assert json.loads(show(state, state=True)) == jsonable(state, tagged=False)


def test_a_number_too_long_for_python_to_print_is_named() -> None:
    assert CODEC.encode(10**5000) == b"<int that cannot be shown: ValueError>"


def test_a_value_that_holds_itself_is_shown() -> None:
    knot: list[object] = []
    knot.append(knot)
    assert len(CODEC.encode(knot)) < 20_000


WORDS = st.text() | st.sampled_from(["None", "1", "true", "RED", "red", "a=b", "[1]", '"', "\\"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
VALUES = st.one_of(
    st.builds(Store, WORDS, st.integers()),
    st.builds(Lookup, WORDS),
    st.builds(Point, st.floats(allow_nan=False), st.floats(allow_nan=False)),
    st.builds(
        Paint,
        color=st.sampled_from(Color),
        level=st.none() | st.integers() | st.sampled_from(Level),
        mode=st.sampled_from(["fast", "slow", 3]),
        on=st.booleans(),
    ),
    st.builds(
        Bag,
        st.lists(st.integers(-(2**63), 2**63)),
        st.dictionaries(st.text(), st.none() | st.just(Point(1.5, -2.0))),
        st.tuples(st.integers(0, 9), st.text()),
        st.none() | st.integers() | WORDS,
        st.binary(),
        JSON,
    ),
    st.builds(
        Meeting, st.none() | st.datetimes(timezones=st.just(UTC)), st.uuids(), st.integers(1, 9)
    ),
    st.builds(Even, st.integers().map(lambda number: number * 2)),
    st.just(Ok()),
    st.sampled_from(Level),
)


@given(VALUES)
def test_every_input_is_read_back_from_what_it_is_shown_as(value: object) -> None:
    shown = CODEC.encode(value)
    assert CODEC.decode(shown) == value
    assert shown.decode().isprintable()


@given(st.binary() | st.text(alphabet="StoreLookup x1\"'\\[]{}=,").map(str.encode))
def test_any_bytes_are_an_input_or_a_decode_error(data: bytes) -> None:
    error = refused(CODEC, data)
    if error:
        assert error.expected or "too many" in str(error)
        assert 1 <= error.column <= len(data) + 1

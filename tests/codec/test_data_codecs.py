from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli.codec.build import codec_for
from ssm_cli.codec.json import (
    MAX_DEPTH,
    MAX_INPUT_BYTES,
    MAX_REPR_CHARACTERS,
    jsonable,
    safe_repr,
)
from ssm_cli.codec.port import Codec
from ssm_cli.errors import DecodeError


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Store(msgspec.Struct, frozen=True):
    key: str
    value: int


class Point(NamedTuple):
    x: float
    y: float = 0.0


ORIGIN = Point(0.0)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@dataclass(frozen=True)
class Draw:
    type: str
    at: Point = ORIGIN
    color: Color | None = None
    octets: bytes = b""
    by_number: dict[int, list[str]] = field(default_factory=dict)
    anything: Any = None


class Ok(msgspec.Struct, frozen=True):
    pass


class Result(msgspec.Struct, frozen=True):
    value: object


@dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


class Silent:
    def __repr__(self) -> str:
        raise KeyError("no")


INPUTS = Store | Draw | Ok | Even | Color
JSON = codec_for("json", INPUTS, None)
MSGPACK = codec_for("msgpack", INPUTS, None)


def refused(codec: Codec, data: bytes) -> DecodeError | None:
    """The decode error of some bytes; None where they are an input."""
    try:
        codec.decode(data)
    except DecodeError as error:
        return error
    return None


def refusal(data: str) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        JSON.decode(data.encode())
    return caught.value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ('{"type": "Store", "key": "x", "value": 1}', Store("x", 1)),
        ('{"value": 1, "type": "Store", "key": "x"}', Store("x", 1)),
        ('"Ok"', Ok()),
        ('{"type": "Ok"}', Ok()),
        ('"RED"', Color.RED),
        ('{"type": "Draw", "type_": "circle"}', Draw("circle")),
        ('{"type": "Draw", "type_": "o", "at": [1, 2]}', Draw("o", Point(1.0, 2.0))),
        ('{"type": "Draw", "type_": "o", "color": "GREEN"}', Draw("o", color=Color.GREEN)),
        ('{"type": "Draw", "type_": "o", "color": "green"}', Draw("o", color=Color.GREEN)),
        ('{"type": "Draw", "type_": "o", "octets": "/w=="}', Draw("o", octets=b"\xff")),
        (
            '{"type": "Draw", "type_": "o", "by_number": {"1": ["a"]}}',
            Draw("o", by_number={1: ["a"]}),
        ),
    ],
)
def test_the_type_names_the_constructor(data: str, value: object) -> None:
    assert JSON.decode(data.encode()) == value
    assert MSGPACK.decode(msgspec.msgpack.encode(msgspec.json.decode(data))) == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "the input is not JSON"),
        ("{", "the input is not JSON"),
        ("[]", 'expected an object with a field "type", one of Store, Draw, Ok, Even, RED'),
        ('{"type": 1}', "the input has no constructor"),
        ('{"type": "store"}', "no input `store`: expected Store key:str value:int"),
        ('{"type": "store"}', "did you mean `Store`?"),
        ('"Store"', "Store: key is missing: expected Store key:str value:int"),
        ('{"type":"Store","key":"x","value":"1"}', "Store: value: expected an integer, got `'1'`"),
        ('{"type":"Store","key":1,"value":1}', "Store: key: expected text, got `1`"),
        ('{"type":"Store","key":"x","value":1,"ttl":1}', "Store: no field `ttl`"),
        ('{"type":"Draw","type_":"o","color":"blue"}', "Draw: color: expected one of RED, GREEN"),
        ('{"type":"Draw","type_":"o","at":[]}', "Draw: at: expected Point as JSON, got `[]`"),
        ('{"type":"Even","number":3}', "Even: refused: 3 is odd"),
        ('{"type":"RED","x":1}', "RED: no field `x`"),
        ("[" * 100_000, "the input is not JSON"),
    ],
)
def test_what_is_wrong_is_named(data: str, problem: str) -> None:
    assert problem in str(refusal(data))


def test_a_refusal_carries_what_was_expected() -> None:
    assert refusal('"Store"').expected == ("key:str",)
    assert "Store key:str value:int" in refusal("[]").expected


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_an_input_longer_than_a_mebibyte_is_refused(codec: Codec) -> None:
    with pytest.raises(DecodeError, match="expected at most 1048576 bytes"):
        codec.decode(b" " * (MAX_INPUT_BYTES + 1))


def test_without_inputs_the_data_is_the_input() -> None:
    assert codec_for("json", None, None).decode(b'{"a": [1]}') == {"a": [1]}
    assert codec_for("msgpack", None, None).decode(b"\x93\x01\x02\xc0") == [1, 2, None]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Store("x", 1), '{"type":"Store","key":"x","value":1}'),
        (Ok(), '{"type":"Ok"}'),
        (Color.RED, '"RED"'),
        (Result(None), '{"type":"Result","value":null}'),
        ({"a": 1}, '{"a":1}'),
        (Result(Silent()), '{"type":"Result","value":"<Silent that cannot be shown: KeyError>"}'),
        ("\ud800", '"\\\\ud800"'),
    ],
)
def test_outputs_are_written_in_the_same_shape(value: object, data: str) -> None:
    assert JSON.encode(value) == data.encode()


def test_a_number_that_messagepack_cannot_hold_is_named() -> None:
    shown = msgspec.msgpack.decode(MSGPACK.encode(2**80))
    assert shown == "<int that cannot be shown: OverflowError>"


@given(
    st.builds(Store, st.text(), st.integers(-(2**63), 2**63))
    | st.builds(
        Draw,
        st.text(),
        st.builds(Point, FINITE, FINITE),
        st.none() | st.sampled_from(Color),
        st.binary(),
        st.dictionaries(st.integers(0, 9), st.lists(st.text())),
        st.none() | st.integers(0, 9) | st.lists(st.text()),
    )
    | st.sampled_from([Ok(), *Color])
)
def test_every_input_is_read_back_from_what_it_is_written_as(value: object) -> None:
    assert JSON.decode(JSON.encode(value)) == value
    assert MSGPACK.decode(MSGPACK.encode(value)) == value


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_input_or_a_decode_error(data: bytes) -> None:
    for codec in (JSON, MSGPACK):
        error = refused(codec, data)
        assert error is None or error.column == 0


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Result(1), {"type": "Result", "value": 1}),
        (Result(Point(1.0)), {"type": "Result", "value": {"type": "Point", "x": 1.0, "y": 0.0}}),
        ({1: Color.RED, Color.GREEN: 2, (1,): None}, {"1": "RED", "GREEN": 2, "(1,)": None}),
        (OrderedDict(a={3, 1, 2}), {"a": [1, 2, 3]}),
        ([float("inf"), b"x\xff", True], ["inf", "x\\xff", True]),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00Z"),
        (Decimal("1.50"), "1.50"),
        (int, "<class 'int'>"),
        (Store, f"<class '{Store.__module__}.Store'>"),
        (Silent(), "<Silent that cannot be shown: KeyError>"),
        ("\ud800", "\\ud800"),
    ],
)
def test_records_hold_values_as_json_data(value: object, data: object) -> None:
    assert jsonable(value) == data


def test_what_is_nested_too_deeply_is_cut_off() -> None:
    knot: list[object] = []
    knot.append(knot)
    shown = jsonable(knot)
    for _ in range(MAX_DEPTH):
        assert isinstance(shown, list)
        shown = shown[0]
    assert shown == "[[...]]"


def test_a_long_repr_is_cut_off() -> None:
    assert len(safe_repr("x" * 100_000)) == MAX_REPR_CHARACTERS


@given(st.recursive(st.none() | st.floats() | st.text() | st.binary() | st.integers(), st.lists))
def test_record_data_is_json(value: object) -> None:
    msgspec.json.encode(jsonable(value))

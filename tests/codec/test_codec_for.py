from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple

import msgspec
import pytest

from ssm_cli.codec.build import codec_for, constructors_of
from ssm_cli.codec.port import Constructor, Field


class Store(msgspec.Struct, frozen=True):
    """Store a value under a key.

    The value replaces an older one.
    """

    key: str
    value: int = 0


@dataclass(frozen=True)
class Lookup:
    key: str


class Move(NamedTuple):
    x: float
    maybe: list[int] | None = None


class Light(Enum):
    ON = 1
    OFF = 2


class Store2(msgspec.Struct, frozen=True):
    light: Light
    sure: bool


class Shout:
    def decode(self, data: bytes) -> str:
        return data.decode().upper()

    def encode(self, value: object) -> bytes:
        return str(value).encode()


def test_workers_with_the_same_inputs_share_a_codec() -> None:
    assert codec_for("text", Store | Lookup, None) is codec_for("text", Store | Lookup, Store)
    assert codec_for("text", Store, None) is not codec_for("json", Store, None)


def test_an_object_with_decode_and_encode_is_a_codec() -> None:
    shout = Shout()
    assert codec_for(shout, Store, None) is shout


def test_an_unknown_codec_is_refused_with_the_nearest() -> None:
    problem = "no codec `jsn`: expected text, json, msgpack; did you mean `json`?"
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        codec_for("jsn", None, None)


def test_an_object_without_decode_is_no_codec() -> None:
    with pytest.raises(TypeError, match="int is no codec: expected text, json, msgpack, or an"):
        codec_for(1, None, None)


@pytest.mark.parametrize("codec", ["text", "json", "msgpack"])
def test_an_input_that_is_no_constructor_is_refused(codec: str) -> None:
    with pytest.raises(TypeError, match="inputs: int is no constructor"):
        codec_for(codec, Store | int, None)


def test_two_constructors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two constructors are called `ON`"):
        codec_for("text", Light | Literal["ON"], None)


def test_a_field_whose_type_cannot_be_resolved_is_refused() -> None:
    @dataclass
    class Local:
        field: Unknown  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(TypeError, match="Local: the type of a field cannot be resolved"):
        codec_for("text", Local, None)
    assert codec_for("text", None, None).encode(Local(1)) == b"Local 1"


def test_constructors_describe_the_inputs_in_order() -> None:
    assert constructors_of(Store | Move | Light) == (
        Constructor(
            "Store",
            (Field("key", "str"), Field("value", "int", required=False, default="0")),
            "Store a value under a key.",
        ),
        Constructor(
            "Move",
            (
                Field("x", "float"),
                Field("maybe", "list[int]|None", required=False, choices=("None",), default="None"),
            ),
        ),
        Constructor("ON"),
        Constructor("OFF"),
    )


def test_fields_offer_their_choices() -> None:
    (constructor,) = constructors_of(Store2)
    assert constructor.fields == (
        Field("light", "Light", choices=("ON", "OFF"), accepts=("1", "2")),
        Field("sure", "bool", choices=("true", "false"), accepts=("True", "False")),
    )
    assert constructor.signature == "Store2 light:Light sure:bool"


@pytest.mark.parametrize("inputs", [None, Any, object, str])
def test_free_inputs_have_no_constructors(inputs: object) -> None:
    assert constructors_of(inputs) == ()


def test_none_and_texts_are_constructors_in_a_union() -> None:
    inputs = Literal["inc", "get"] | None
    assert [constructor.name for constructor in constructors_of(inputs)] == ["inc", "get", "None"]
    codec = codec_for("text", inputs, None)
    assert codec.decode(b"inc") == "inc"
    assert codec.decode(codec.encode(None)) is None

"""A dataclass that was read is written with all its fields, whoever gave them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ssm_cli.codec.build import codec_for
from ssm_cli.codec.shown import read_shown
from ssm_cli.commands.values import state_of
from ssm_cli.errors import CommandError


@dataclass(frozen=True)
class Put:
    item: str
    quantity: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slotted:
    item: str
    quantity: int = 1


class Held(msgspec.Struct, frozen=True):
    put: Put


def carrying(said: Any) -> type:
    """An input whose one field is of a type."""
    return dataclass(frozen=True)(type("Carry", (), {"__annotations__": {"what": said}}))


ALL = {"item": "a", "quantity": 1, "tags": []}


@pytest.mark.parametrize(
    ("said", "given", "shown"),
    [
        (Put, {"item": "a"}, ALL),
        (list[Put], [{"item": "a"}], [ALL]),
        (dict[str, tuple[Put, ...]], {"x": [{"item": "a"}]}, {"x": [ALL]}),
        (Held, {"put": {"item": "a"}}, {"put": ALL}),
        (Put | None, {"item": "a"}, ALL),
        (list[Slotted], [{"item": "a"}], [{"item": "a", "quantity": 1}]),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["text", "json", "msgpack"])
def test_a_default_that_was_left_out_is_written(
    name: str, said: Any, given: Any, shown: Any
) -> None:
    codec = codec_for(name, carrying(said), None)
    data = {
        "text": b"Carry " + msgspec.json.encode(given),
        "json": msgspec.json.encode({"type": "Carry", "what": given}),
        "msgpack": msgspec.msgpack.encode({"type": "Carry", "what": given}),
    }[name]
    what = codec.decode(data).what
    assert msgspec.json.decode(msgspec.json.encode(what)) == shown


def test_a_state_that_is_set_has_all_its_fields_and_none_by_default() -> None:
    with pytest.raises(CommandError, match="quantity is missing"):
        state_of('{"item": "b"}', Put("a", 5))
    state = state_of('{"item": "b", "quantity": 1, "tags": ["x"]}', Put("a"))
    assert vars(state) == {"item": "b", "quantity": 1, "tags": ["x"]}
    assert vars(read_shown(Put, {"item": "b"})) == {"item": "b", "quantity": 1, "tags": []}

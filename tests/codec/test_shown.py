"""A value is read again from the JSON that shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import msgspec
import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.codec.json import jsonable
from ssm_cli.codec.shown import read_shown
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.exit_codes import ExitCode


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Span(NamedTuple):
    first: int
    last: int


class Stay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    guest: str
    span: Span
    type: str = "double"


@dataclass(frozen=True)
class Hotel:
    stays: dict[int, Stay] = field(default_factory=dict)
    free: frozenset[int] = frozenset()
    colour: Colour = Colour.RED
    seal: bytes = b""
    best: Stay | Span | None = None


HOTEL = Hotel(
    {7: Stay("ann", Span(1, 3))}, frozenset({1, 2}), Colour.BLUE, b"x\n", Stay("bo", Span(2, 2)),
)  # fmt: skip
VALUES: list[tuple[Any, Any]] = [
    (Hotel, HOTEL),
    (dict[int, Hotel], {1: HOTEL}),
    (dict[Colour, list[Colour]], {Colour.RED: [Colour.BLUE]}),
    (Mapping[float, Decimal], {1.5: Decimal("2.50")}),
    (tuple[Span, Stay], (Span(1, 2), Stay("cy", Span(0, 9)))),
    (tuple[Colour, ...], (Colour.RED, Colour.BLUE)),
    (dict[str, set[date]], {"x": {date(2026, 1, 2)}}),
    (list[float], [math.inf, 1.0]),
    (Span, Span(1, 2)),
    (Colour, Colour.BLUE),
    (bytes, b"abcd"),
]


@pytest.mark.parametrize(("said", "value"), VALUES, ids=lambda one: str(one)[:40])
def test_what_is_shown_is_read_again(said: Any, value: Any) -> None:
    shown = msgspec.json.decode(msgspec.json.encode(jsonable(value)))
    read = read_shown(said, shown)
    assert (type(read), read) == (type(value), value)


def step(message: str, state: Any) -> tuple[Any, str]:
    return state, message


def reading(said: Any) -> Any:
    """A step whose annotations say the type of its state."""

    def declared(message: str, state: Any) -> tuple[Any, str]:
        return state, message

    declared.__annotations__["state"] = said
    return declared


@pytest.mark.parametrize(("said", "value"), VALUES, ids=lambda one: str(one)[:40])
def test_a_state_that_is_set_to_what_is_shown_of_it_stays_what_it_was(
    said: Any, value: Any
) -> None:
    machine = StateMachine(step=reading(said), init=lambda *_: value)
    with Node(Supervisor("root", children=[Worker("a", machine)]), clock=ManualClock()) as node:
        (shown,) = run(node, "state a -o json").records
        text = msgspec.json.encode(shown).decode()
        assert run(node, f"set a {text}").exit_code == 0
        state = node.get_state("a")
        assert (type(state), state) == (type(value), value)


def test_keys_of_a_state_without_a_declared_type_are_what_they_were() -> None:
    machine = StateMachine(step=step, init=lambda *_: {1: "x"})
    with Node(Supervisor("root", children=[Worker("a", machine)]), clock=ManualClock()) as node:
        run(node, 'set a {"2": "y"}')
        assert node.get_state("a") == {2: "y"}
        refused = run(node, 'set a {"z": "y"}')
        assert (refused.exit_code, "VALUE is no dict" in refused.lines[0]) == (ExitCode.USAGE, True)
        assert node.get_state("a") == {2: "y"}


def run(node: Node, line: str) -> Any:
    command = parse_line(line, ("a",))
    assert command is not None
    return execute(command, node)

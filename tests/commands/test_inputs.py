"""What `help WORKER` says of inputs: their signatures, docstrings, choices and defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Literal, NamedTuple

import msgspec
import pytest

from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.codec.build import constructors_of
from ssm_cli.commands.execute import execute
from ssm_cli.commands.inputs import SHOWN_CHOICES, input_lines
from ssm_cli.commands.parse import parse_line
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker


class Light(Enum):
    ON = 1
    OFF = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 9


Many = Enum("Many", [f"M{n}" for n in range(SHOWN_CHOICES + 3)])  # type: ignore[misc]  # its members are made


@dataclass
class Turn:
    """Turn it."""

    light: Light
    level: Level = Level.HIGH
    sure: bool = False
    note: str = ""
    name: str = "the hall"
    more: list[int] = field(default_factory=list)


class Move(NamedTuple):
    how: Literal["fast", "slow"] = "slow"
    by: float = 1.5
    to: Light | None = None


class Choose(msgspec.Struct):
    one: Many


def said(inputs: object) -> list[str]:
    return list(input_lines("hall", constructors_of(inputs)))


def test_members_of_enums_and_defaults_are_said_below_the_signature() -> None:
    assert said(Turn)[2:] == [
        "    Turn it.",
        "    light: ON, OFF",
        "    level: LOW, HIGH; default HIGH",
        "    sure: true, false; default false",
        '    note: default ""',
        '    name: default "the hall"',
    ]


def test_what_the_signature_says_is_not_said_again() -> None:
    assert [line for line in said(Move) if line.startswith("    ")][-3:] == [
        "    how: default slow",
        "    by: default 1.5",
        "    to: ON, OFF; default None",
    ]


def test_of_many_members_it_is_said_how_many_more_there_are() -> None:
    assert said(Choose)[-1].endswith(f"M{SHOWN_CHOICES - 1} and 3 more")


@pytest.mark.parametrize("word", ["hall", "root/hall"])
def test_help_of_a_worker_is_the_same_by_name_and_by_path(word: str) -> None:
    step = StateMachine(step=lambda message, state: (state, message), inputs=Turn)
    with Node(Supervisor("root", children=[Worker("hall", step)])) as node:
        command = parse_line(f"help {word}", ["hall"])
        assert command is not None
        assert list(execute(command, node).lines) == said(Turn)


def test_the_usage_of_help_names_workers() -> None:
    step = StateMachine(step=lambda message, state: (state, message), inputs=Turn)
    with Node(Supervisor("root", children=[Worker("hall", step)])) as node:
        command = parse_line("help help", ["hall"])
        assert command is not None
        assert execute(command, node).lines[0].startswith("help [VERB|WORKER] ")

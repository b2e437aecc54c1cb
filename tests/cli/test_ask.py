"""Commands that are carried out from another process."""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.cli.ask import carry_out
from ssm_cli.commands.parse import Command, parse_line


class Far:
    """A tree elsewhere, and its trees at other places."""

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.started: list[str] = []
        self.others: dict[str, Far] = {}

    def perform(self, effect: str, at: str, **_: Any) -> Far:
        assert effect == "standing"
        return self.others.setdefault(at, Far(at))

    def start_child(self, sup: str, spec: str) -> str:
        self.started.append(f"{sup} {spec}")
        return spec


def test_a_child_that_is_started_in_a_fork_is_started_there_alone() -> None:
    far: Any = Far()
    command = parse_line("start-child pool new", [])
    assert isinstance(command, Command)
    assert not carry_out(command, far).exit_code
    there = msgspec.structs.replace(command, at="fork1")
    assert not carry_out(there, far).exit_code
    assert (far.started, far.others["fork1"].started) == (["pool new"], ["pool new"])

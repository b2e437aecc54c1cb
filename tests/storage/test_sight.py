"""What a repair shows of stored states: nothing that the code hides, where that is known."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ssm_cli import (
    Answer,
    GenServer,
    KeepStateAndData,
    ManualClock,
    MemoryStore,
    Next,
    Node,
    Ok,
    Reply,
    Statem,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.storage.repair import Repairing
from ssm_cli.storage.sight import AS_STORED


@dataclass(frozen=True)
class Pay:
    card: str
    times: int = 1


@dataclass(frozen=True)
class Paid:
    card: str = ""
    count: int = 0


def hidden(value: Any) -> Any:
    return replace(value, card="***") if isinstance(value, Pay | Paid) else value


def pay(message: Pay, state: Paid) -> Any:
    return Paid(message.card, state.count + message.times), state.count


def pay_twice(message: Pay, state: Paid) -> Any:
    return Paid(message.card, state.count + 2 * message.times), state.count


def first(_name: str, _args: Any) -> Paid:
    return Paid()


class Till(GenServer):
    def init(self, _name: str, _args: Any) -> Any:
        return Ok(Paid())

    def handle_call(self, message: Pay, _caller: Any, state: Paid) -> Any:
        return Reply(state.count, Paid(message.card, state.count + 1))

    def format_status(self, value: Any) -> Any:
        return hidden(value)


class Door(Statem):
    def init(self, _name: str, _args: Any) -> Any:
        return Next("shut", Paid())

    def shut(self, event: Any, data: Paid) -> Any:
        if event.type == "call":
            paid = Paid(event.content.card, data.count + 1)
            return Next("shut", paid, [Answer(event.caller, paid.count)])
        return KeepStateAndData()

    def format_status(self, value: Any) -> Any:
        return hidden(value)


machine = StateMachine(step=pay, init=first, inputs=Pay, state=Paid, redact=hidden)
other = StateMachine(step=pay_twice, init=first, inputs=Pay, state=Paid, redact=hidden)


def tree(worker: Any) -> Any:
    return Supervisor("root", children=[Worker("till", worker, persist="journal")])


def kept(worker: Any) -> MemoryStore:
    """What is left of a tree: a saved state, and inputs behind it."""
    store = MemoryStore()
    with Node(tree(worker), clock=ManualClock(), store=store) as node:
        node.call("till", Pay("SECRET1"))
    node = Node(tree(worker), clock=ManualClock(), store=store).start()
    for number in (2, 3):
        node.call("till", Pay(f"SECRET{number}"))
    return store


def ways(found: Repairing) -> list[str]:
    given = '{"card": "***", "count": 9}'
    lines = [*found.look(), *found.from_saved(), *found.as_new()]
    try:
        lines += found.state(given)
    except StorageError as error:
        lines.append(str(error))
    return lines


@pytest.mark.parametrize("worker", [machine, Till, Door])
def test_with_its_code_a_repair_shows_nothing_that_a_worker_hides(worker: Any) -> None:
    lines = ways(Repairing(kept(worker), "till", tree(worker), 0.0))
    assert "SECRET" not in "\n".join(lines)
    assert any('"card": "***"' in line for line in lines)
    assert AS_STORED not in lines


def test_what_differs_by_other_code_is_told_without_the_inputs_that_it_hides() -> None:
    lines = Repairing(kept(machine), "till", tree(other), 0.0).as_new()
    assert lines[0] == "differing: 2 records"
    assert re.fullmatch(r"  record \d: it comes to another state than it came to then", lines[1])
    assert "SECRET" not in "\n".join(lines)


def test_a_state_that_the_code_here_does_not_read_is_not_shown_by_it() -> None:
    @dataclass(frozen=True)
    class Grown:
        card: str
        name: str

    grown = StateMachine(step=pay, init=first, inputs=Pay, state=Grown, redact=hidden, version="2")
    found = Repairing(kept(machine), "till", tree(grown), 0.0)
    (line,) = [line for line in found.look() if line.startswith("saved state: ")]
    assert "bytes that the code that is here does not show: Unrecovered>" in line
    assert "SECRET" not in line


def test_without_its_code_it_is_said_that_nothing_is_hidden() -> None:
    found = Repairing(kept(machine), "till", None, 0.0)
    for lines in (found.look(), found.from_saved()):
        assert "SECRET1" in lines[0]
        assert AS_STORED in lines

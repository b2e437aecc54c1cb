"""A state that a repair is given is read exactly, and the worker goes on with it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ssm_cli import (
    Answer,
    KeepStateAndData,
    ManualClock,
    MemoryStore,
    Next,
    Node,
    SetTimeout,
    Statem,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.storage.repair import Repairing

SECRET = "4111"  # noqa: S105 - made up


@dataclass(frozen=True)
class Held:
    n: int = 0
    pin: str = SECRET


def hide(value: Any) -> Any:
    return replace(value, pin="***") if isinstance(value, Held) else value


class Door(Statem):
    def init(self, name: str, args: Any) -> Any:
        return Next("closed", Held())

    def closed(self, event: Any, data: Held) -> Any:
        return Next(
            "opened",
            replace(data, n=data.n + 1),
            [Answer(event.caller, data.pin), SetTimeout("state_timeout", 3000)],
        )

    def opened(self, event: Any, data: Held) -> Any:
        if event.type == "state_timeout":
            return Next("closed", data)
        return KeepStateAndData([Answer(event.caller, data.pin)])

    def format_status(self, value: Any) -> Any:
        return hide(value)


MACHINE = StateMachine(
    step=lambda _, held: (held, held.pin), init=lambda *_: Held(), redact=hide, state=Held
)


def tree() -> Any:
    children = [Worker("door", Door, persist="journal"), Worker("m", MACHINE, persist="journal")]
    return Supervisor("root", children=children)


def started(store: MemoryStore) -> Node:
    return Node(tree(), clock=ManualClock(), store=store).start()


@pytest.fixture
def store() -> MemoryStore:
    """Two workers, the door opened once; the tree was killed."""
    made = MemoryStore()
    node = started(made)
    assert node.call("door", "open") == SECRET
    node.call("m", "x")
    return made


def repaired(store: MemoryStore, worker: str, data: Any) -> Node:
    repairing = Repairing(store, worker, tree(), 0.0)
    repairing.state(data if isinstance(data, str) else json.dumps(data))
    repairing.carry_out()
    return started(store)


@pytest.mark.parametrize(
    "data",
    [
        {"type": "StateData", "state": "opened", "data": {"n": 5, "pin": "***"}},
        {"state": "opened", "data": {"n": 5, "pin": "***"}},
        ["opened", {"n": 5, "pin": "***"}],
    ],
    ids=["as shown", "bare", "a pair"],
)
def test_a_statem_goes_on_with_the_state_and_the_data_given(store: MemoryStore, data: Any) -> None:
    node = repaired(store, "door", data)
    assert node.get_state("door") == ("opened", Held(5, "***"))
    assert node.call("door", "again") == SECRET
    node.run(4.0)
    assert node.get_state("door").state == "closed"


def test_hidden_parts_of_a_repaired_state_stay(store: MemoryStore) -> None:
    assert repaired(store, "m", {"n": 7, "pin": "***"}).call("m", "x") == SECRET


@pytest.mark.parametrize(
    ("worker", "data"),
    [
        ("door", 5),
        ("door", {"state": "closed"}),
        ("door", {"state": "nowhere", "data": {"n": 5, "pin": "x"}}),
        ("door", {"state": "closed", "data": {"n": 5}}),
        ("door", {"state": "closed", "data": {"n": 5, "pin": "x", "more": 1}}),
        ("door", {"state": "closed", "data": None, "postponed": []}),
        ("m", {"n": 7}),
        ("m", {"n": "***", "pin": "x"}),
        ("m", {"n": 7, "pin": "x", "pim": "y"}),
        ("m", '{"n": 7, "pin": "x", "pin": "y"}'),
        ("m", '{"n": NaN, "pin": "x"}'),
    ],
    ids=str,
)
def test_what_is_no_state_is_refused_and_nothing_changes(
    store: MemoryStore, worker: str, data: Any
) -> None:
    with pytest.raises(StorageError, match="--state is no state"):
        repaired(store, worker, data)
    node = started(store)
    assert node.get_state("door") == ("opened", Held(1, "***"))
    assert node.get_state("m") == Held(0, "***")

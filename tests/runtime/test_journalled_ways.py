"""The straight way of a journalled input and the careful one leave the same behind."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    CallError,
    Cast,
    ManualClock,
    MemoryStore,
    Node,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.runtime.durable.records import Record
from ssm_cli.storage.contents import history


def step(message: str, state: list[str]) -> Any:
    match message:
        case "crash":
            raise ValueError(message)
        case "nonsense":
            return "no pair"
        case "unwritable":
            return [object()], "never"
        case "again":
            return [*state, message], "sent", [Cast(None, "from me")]
    return [*state, message], f"{len(state) + 1}"


MACHINE = StateMachine(step=step, init=lambda _name, _args: [], state=list[str])
LINES = ("a", "b", "crash", "c", "nonsense", "again", "d", "unwritable", "e")


def run(on_crash: Any, *, careful: bool) -> tuple[list[Any], list[tuple[int, Record]], Any]:
    """What callers were told, what was recorded, and the state in the end."""
    store = MemoryStore()
    worker = Worker("w", MACHINE, persist="journal", on_crash=on_crash)
    tree = Supervisor("root", children=[worker], intensity=10)
    told: list[Any] = []
    with Node(tree, clock=ManualClock(), store=store) as node:
        for line in LINES:
            if careful:
                node.keep("w", 1)  # a worker whose events are kept is served with care
            node.cast("w", f"cast {line}".encode())
            try:
                told.append(node.call("w", line.encode()))
            except CallError as error:
                told.append((type(error).__name__, str(error)))
        node.run()
        state = node.get_state("w")
    return told, list(history(store)), state


@pytest.mark.parametrize("on_crash", ["init", "saved", "last_good"])
def test_both_ways_tell_and_record_the_same(on_crash: str) -> None:
    straight, careful = run(on_crash, careful=False), run(on_crash, careful=True)
    assert straight == careful
    assert len(straight[1]) > len(LINES)
    assert straight[2][-1] == "e"

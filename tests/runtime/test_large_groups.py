"""A publish to 100,000: it holds up nobody, and each member has it once, or is told of."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import Join, ManualClock, Node, Ok, Publish, StateMachine, Supervisor, Worker
from ssm_cli.runtime.performer.loop import NEVER, pump
from tests.runtime.workers import actor, get

COUNT = 100_000


def count(message: Any, state: int) -> tuple[int, int]:
    """Count what is published; 0 asks how many that were."""
    return state + message, state + message


LISTENER: Any = StateMachine(step=count, init=lambda *_: Ok(0, effects=[Join("g")]))


@pytest.fixture
def node() -> Node:
    names = [f"w{number}" for number in range(COUNT)]
    workers = [Worker(name, LISTENER) for name in names]
    tree = Supervisor("root", children=[Worker("a", actor), *workers], intensity=10)
    return Node(tree, clock=ManualClock(), guard=False).start()


def test_calls_get_in_between_members_end_meanwhile_and_all_others_have_it_once(node: Node) -> None:
    node.call("a", lambda state: (state, "told", [Publish("g", 1)]))
    assert node.queue == 1, "it waits as one entry"
    asked = node.send_request("a", get)
    served = 0
    while not asked.done:
        pump(node._world, NEVER, 0.0)  # a batch
        served += 1
        assert served < 1000
    assert node.call(f"w{COUNT - 1}", 0) == 1, "what comes behind it reaches a member behind it"
    gone = [f"w{COUNT - number}" for number in range(2, 12)]
    for name in gone:
        node.terminate_child("root", name)
    while node.queue:
        node.run()
    reached = [name for name in node.get_members("g") if node.call(name, 0) == 1]
    assert len(reached) == COUNT - len(gone)
    dropped = [report.detail["to"] for report in node.reports() if report.event == "dropped"]
    assert sorted(dropped) == sorted(gone)
    node.stop()

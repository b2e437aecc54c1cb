"""What a durable worker was held with at a break stays dropped, or edited, after a restart."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ssm_cli import (
    Cast,
    Continue,
    Done,
    GenServer,
    ManualClock,
    MemoryStore,
    Node,
    NoReply,
    Ok,
    Reply,
    Run,
    StartTimer,
    StateMachine,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.runtime.durable.records import Input
from ssm_cli.runtime.engine.runs import end_run, run_of
from ssm_cli.runtime.performer.breaking import Break
from ssm_cli.spec.model import WorkerOptions
from ssm_cli.storage.contents import history as records_of
from tests.runtime.outside_work import aforever

Message = str | Done
State = tuple[str, ...]


def step(message: Message, state: State) -> Any:
    match message:
        case "run":
            return state, None, [Run("x", aforever)]
        case "timer":
            return state, None, [StartTimer("t", 1000, "brought")]
        case "send":
            return state, None, [Cast("b", "brought")]
    return (*state, str(message)), None


class Going(GenServer):
    """Goes on with itself, or times out."""

    def init(self, name: str, args: Any) -> Any:
        del name, args
        return Ok(())

    def handle_call(self, message: Any, caller: Any, state: State) -> Any:
        del caller
        then = Continue("brought") if message == "continue" else TimeoutAfter(1000)
        return Reply(None, state, then=then)

    def handle_continue(self, message: Any, state: State) -> Any:
        return NoReply((*state, message))

    def handle_info(self, message: Any, state: State) -> Any:
        return NoReply((*state, str(message)))


MACHINE = StateMachine(step=step, init=lambda *_: (), inputs=str)
TREE = Supervisor(
    "root",
    children=[
        *(Worker(name, MACHINE, persist="journal") for name in "ab"),
        Worker("c", Going, persist="journal"),
    ],
)
ASKED = {"run": "a", "timer": "a", "send": "a", "continue": "c", "timeout": "c"}


def opened(store: MemoryStore | None) -> Node:
    """Return a node over a store; without one nothing of it is durable."""
    tree = TREE
    if store is None:
        children = [msgspec.structs.replace(one, options=WorkerOptions()) for one in TREE.children]
        tree = msgspec.structs.replace(TREE, children=tuple(children))
    node = Node(tree, clock=ManualClock(), store=store, history=100)
    node._world.outside.runner = None
    return node.start()


def hold(node: Node, what: str) -> str:
    """Have something be asked for, and a worker be held with what that brings; who that is."""
    asks = ASKED[what]
    held = "b" if what == "send" else asks
    found = Break(1, "all", lambda _c, _k, m, _o: None if m == what else ("it", ""))
    node.set_breaks(held, (found,))
    node.call(asks, what)
    if what == "run" and (asked := run_of(node._world.names["a"], "x")) is not None:
        end_run(node._world, asked, Done("x", "brought"))
    node.run(2.0)
    extra = node._world.names[held].extra
    assert extra is not None
    assert extra.suspended
    return held


@pytest.mark.parametrize("how", ["drop", "edit", "continue"])
@pytest.mark.parametrize("what", ASKED)
def test_what_was_held_is_over_for_the_next_process_as_well(what: str, how: str) -> None:
    store = MemoryStore()
    node = opened(store)
    held = hold(node, what)
    node.set_breaks(held, ())
    if how == "edit":
        node.leave_break(held, given="other")
    else:
        node.leave_break(held, drop=how == "drop")
    node.run(2.0)
    state = node.get_state(held)
    assert state == {"drop": (), "edit": ("other",), "continue": state}[how]
    assert how != "continue" or len(state) == 1
    assert not node._world.timers.entries
    following = opened(store)  # the process was killed
    following.run(2.0)
    assert following.get_state(held) == state
    assert not following._world.timers.entries


def test_a_record_of_the_journal_says_that_an_input_was_dropped() -> None:
    store = MemoryStore()
    node = opened(store)
    held = hold(node, "timer")
    node.leave_break(held, drop=True)
    dropped = [
        (record.worker, record.how, record.key)
        for _, record in records_of(store)
        if isinstance(record, Input) and record.outcome == "dropped"
    ]
    assert dropped == [("a", "timer", "t")]


@pytest.mark.parametrize("what", ["run", "timer"])
def test_what_is_held_counts_until_it_goes_on(what: str) -> None:
    node = opened(MemoryStore())
    held = hold(node, what)
    extra = node._world.names[held].extra
    assert extra is not None
    assert [*extra.runs, *extra.timers] == ["x" if what == "run" else "t"]
    node.leave_break(held, drop=True)
    assert not extra.runs
    assert not extra.timers


@pytest.mark.parametrize("what", ["run", "timer", "continue"])
@pytest.mark.parametrize("how", ["drop", "edit"])
def test_the_tree_at_each_record_of_it_can_be_shown(what: str, how: str) -> None:
    node = opened(None)
    seen = {node.record: node.digest()}
    held = hold(node, what)
    seen[node.record] = node.digest()
    node.leave_break(held, drop=how == "drop", **({} if how == "drop" else {"given": "other"}))
    node.set_breaks(held, ())
    node.run()
    seen[node.record] = node.digest()
    for record, digest in seen.items():
        assert node.at(record).digest() == digest

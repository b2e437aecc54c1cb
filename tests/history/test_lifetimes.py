from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from ssm_cli import CallError, ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.history.lifetimes import life_of
from ssm_cli.history.past import with_past


def step(message: str, total: int) -> tuple[int, int]:
    total += len(message)
    if total > 9:
        raise OverflowError(total)
    return total, total


@pytest.fixture
def node() -> Iterator[Node]:
    machine = StateMachine(step=step, init=lambda *_: 1)
    tree = Supervisor("root", intensity=99, children=[Worker("w", machine)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        yield with_past(node, str)


def give(node: Node, *words: bytes) -> None:
    for word in words:
        with suppress(CallError):
            node.call("w", word)


def test_a_life_begins_with_what_init_gave(node: Node) -> None:
    give(node, b"12", b"3", b"1234567", b"1", b"12")
    recorder = node.recorder()
    assert recorder is not None
    ended = life_of(recorder, "w", 3)
    assert (ended.state, [m for _, m in ended.inputs]) == (1, ["12", "3", "1234567"])
    goes_on = life_of(recorder, "w", 5, ended=False)
    assert (goes_on.state, goes_on.inputs) == (1, [(Kind.CALL, "1"), (Kind.CALL, "12")])
    assert life_of(recorder, "w", 3, ended=False).inputs == []


def test_a_restart_with_the_last_good_state_goes_on_with_the_life() -> None:
    machine = StateMachine(step=step, init=lambda *_: 1)
    worker = Worker("w", machine, on_crash="last_good")
    with Node(Supervisor("root", intensity=99, children=[worker]), history=100) as node:
        with_past(node, str)
        give(node, b"12", b"1234567", b"123", b"1234")
        recorder = node.recorder()
        assert recorder is not None
        life = life_of(recorder, "w", 4)
        assert (life.state, [m for _, m in life.inputs]) == (1, ["12", "123", "1234"])
        assert node.get_state("w") == 6
        assert life_of(recorder, "w", 4, ended=False).inputs == life.inputs[:-1]
        told = node.perform("shrink")
        assert "from init" in told["said"]
        assert "state = 1\n" in told["test"]
        node.replace_state("w", lambda _: 7)
        give(node, b"1234567")
        give(node, b"1")
        put = life_of(recorder, "w", node.record)
        assert (put.state, len(put.inputs), put.from_init) == (7, 1, False)


def test_a_state_that_was_put_in_place_begins_a_life_which_is_not_that_of_init(node: Node) -> None:
    give(node, b"12")
    node.replace_state("w", lambda _: 7)
    give(node, b"1", b"12")
    recorder = node.recorder()
    assert recorder is not None
    life = life_of(recorder, "w", 4)
    assert (life.state, len(life.inputs), life.from_init) == (7, 2, False)
    told = node.perform("shrink")
    assert "state = 7\n" in told["test"]

"""What durable workers send to one that is not there: dropped is dropped, also after a kill."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ssm_cli import StateMachine, Supervisor
from ssm_cli.spec.model import SupervisorSpec
from tests.runtime.durable.parts import (
    Boom,
    End,
    Message,
    Seen,
    Send,
    World,
    init,
    step,
    tree,
    worker,
)

Act = Callable[[World], object]


def sends(to: str = "a", n: int = 1) -> Act:
    return lambda w: w.node.call("b", Send(to, n))


def asks(verb: str, *args: str) -> Act:
    return lambda w: getattr(w.node, verb)(*args)


def becomes(*children: object) -> Act:
    return lambda w: w.node.apply(tree(*children))


POOL = Supervisor("carts", "simple_one_for_one", [worker("cart", on_crash="init")])
A, B = worker("a", restart="transient"), worker("b")
NEWER = StateMachine(step=step, init=init, inputs=Message, outputs=Seen, version="2")
PLAIN = worker("a", persist="none", on_crash="init")
TERMINATED, RESTARTED = asks("terminate_child", "root", "a"), asks("restart_child", "root", "a")
BEGUN = asks("start_child", "carts", "ann")
GIVEN_UP = asks("terminate_child", "carts", "carts:ann")
ENDED: Act = lambda w: w.node.call("a", End())  # noqa: E731 - one of many

DROPPED: dict[str, tuple[str, list[Act]]] = {
    "to a child that was stopped": ("a", [TERMINATED, sends(), RESTARTED]),
    "to a child that had ended": ("a", [ENDED, sends(), RESTARTED]),
    "to a suspended one that was stopped": (
        "a", [asks("suspend", "a"), sends(), TERMINATED, RESTARTED],
    ),
    "to a pool's child before it began": ("carts:ann", [sends("carts:ann"), BEGUN]),
    "to a pool's child that was ended": (
        "carts:ann", [BEGUN, GIVEN_UP, sends("carts:ann"), BEGUN],
    ),
    "to one that was gone from the file": ("a", [becomes(B, POOL), sends(), becomes(A, B, POOL)]),
}  # fmt: skip


@pytest.mark.parametrize("row", DROPPED.values(), ids=DROPPED)
def test_what_was_dropped_does_not_come_after_a_kill(row: tuple[str, list[Act]]) -> None:
    name, acts = row
    w = World(tree(A, B, POOL))
    for act in acts:
        act(w)
        w.node.run()
    assert (w.peek(name), w.node.dropped) == ([], 1)
    w.crash(w.node.spec)
    w.node.run()
    assert w.peek(name) == []


def test_what_was_served_by_a_worker_that_was_not_durable_does_not_come_again() -> None:
    w = World(tree(PLAIN, B))
    sends()(w)
    w.node.run()
    assert w.peek() == [1]
    becomes(A, B)(w)
    w.crash(w.node.spec)
    w.node.run()
    assert w.peek() == []


@pytest.mark.parametrize("times", [1, 3])
def test_what_waits_for_a_life_to_begin_comes_after_a_kill(times: int) -> None:
    w = World(tree(worker("a", on_crash="init"), B))
    w.node.suspend("a")
    for n in range(times):
        sends(n=n)(w)
    w.node.kill("a")
    pending = w.node.send_request("b", Send("a", 9))
    w.node.wait(pending)
    w.crash(w.node.spec)
    w.node.run()
    assert w.peek() == [*range(times), 9]


def test_what_waits_behind_a_crash_comes_once_after_two_kills() -> None:
    w = World(tree(worker("a", on_crash="init"), B))
    for n in (1, 2):
        sends(n=n)(w)
    w.node.cast("a", Boom())
    w.crash(w.node.spec)
    w.crash(w.node.spec)
    w.node.run()
    assert w.peek() == [1, 2]
    w.crash(w.node.spec)
    w.node.run()
    assert w.peek() == [1, 2]


def under_way() -> World:
    """What `b` has sent to `a` is under way, and its process is lost."""
    w = World(tree(A, B))
    w.node.suspend("a")
    sends()(w)
    return w


def test_what_a_worker_has_sent_comes_once_though_that_is_gone() -> None:
    w = under_way()
    for spec in (tree(A), tree(A, B)):
        w.crash(spec)
        w.node.run()
        assert w.peek() == [1]
    w.restart()
    assert w.peek() == [1]


@pytest.mark.parametrize("left", [tree(B), tree(worker("c"))], ids=["its sender", "neither"])
def test_what_was_sent_to_one_that_is_gone_is_told_and_does_not_come(left: SupervisorSpec) -> None:
    w = under_way()
    w.crash(left)
    w.node.run()
    assert w.events("dropped") == ["dropped root"]
    w.crash(tree(A, B))
    w.node.run()
    assert (w.peek(), w.events("dropped")) == ([], [])


def test_what_has_been_served_does_not_come_from_a_sender_that_was_gone_for_long() -> None:
    w = World(tree(A, B))
    sends()(w)
    w.node.run()
    w.crash(tree(A))
    for _ in range(2):
        w.restart(tree(A))
    becomes(A, B)(w)
    w.crash(tree(A, B))
    w.node.run()
    assert w.peek() == [1]


def test_what_waits_for_a_worker_that_is_down_comes_when_it_starts() -> None:
    w = under_way()
    w.crash(tree(worker("a", NEWER), B))
    w.node.run()
    assert w.events("down") == ["down a"]
    w.node.apply(tree(A, B))
    w.node.run()
    assert w.peek() == [1]


def test_what_waits_at_an_orderly_stop_is_not_told_as_dropped() -> None:
    w = under_way()
    w.node.stop()
    assert w.events("dropped") == []
    w.crash()
    w.node.run()
    assert w.peek() == [1]

"""Records that come straight one behind the other are stepped again as the tree would step them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.runtime.engine.recorder import FarNews
from ssm_cli.runtime.recording import restep
from tests.runtime.test_restep import stepped_from


def step(message: Any, state: tuple[Any, ...]) -> Any:
    """Keep what came; some inputs crash, end, answer badly, or are too much without a key."""
    match message:
        case "crash":
            raise ValueError("as asked")
        case "bad":
            return [state, "no pair"]
        case "timer":
            return state, "Ok", ()
        case "endless unless 0" if 0 not in state:
            while True:
                pass
    return (*state, message), len(state)


MACHINE = StateMachine(step=step, init=lambda *_: ())
WORDS = ("crash", "bad", "timer")


def node_of(clock: ManualClock | None = None, **options: Any) -> Node:
    """A node of three workers that may crash as often as they like."""
    children = [Worker(name, MACHINE, **options) for name in "abc"]
    tree = Supervisor("root", children=children, intensity=10_000)
    return Node(tree, clock=clock or ManualClock(), history=10_000).start()


def serve(node: Node, one: tuple[str, str, Any, float]) -> None:
    """Give a node one input."""
    how, worker, message, pause_s = one
    if how == "cast":
        node.cast(worker, message)
    else:
        node.send_request(worker, message)
    node.run(pause_s)


def inputs_of(seed: int, count: int) -> list[tuple[str, str, Any, float]]:
    """Random inputs, mostly plain, by call and by cast, sometimes with time between them."""
    chance = Random(seed)
    plain = "abcdefgh"
    found = []
    for _ in range(count):
        message: Any = chance.choice(plain)
        if chance.random() < 0.05:
            message = chance.choice(WORDS)
        pause_s = 1.0 if chance.random() < 0.05 else 0.0
        found.append((chance.choice(["call", "cast"]), chance.choice("abc"), message, pause_s))
    return found


def numbered(node: Node) -> list[Any]:
    """What a node remembers of inputs: number, worker, kind, input, state before, and after."""
    recorder = node.recorder()
    assert recorder is not None
    return [
        (number, cell.spec.id, kind, message, before, what[0] if type(what) is tuple else None)
        for number, cell, kind, message, before, what in recorder.ring
        if kind is not None
    ]


@pytest.mark.parametrize("seed", range(20))
def test_without_a_record_all_is_as_if_it_had_not_come_but_for_its_number(seed: int) -> None:
    inputs = inputs_of(seed, 400)
    node, other = node_of(), node_of()
    left_out = Random(seed).randint(1, len(inputs))
    for number, one in enumerate(inputs, 1):
        serve(node, one)
        if number != left_out:
            serve(other, one)
        else:
            other.run(one[3])
    assert node.record == len(inputs)
    fork = stepped_from(node, 0, {left_out: None})
    then = [(n + (n >= left_out), *rest) for n, *rest in numbered(other)]
    assert [tuple(one) for one in numbered(fork)] == then
    for name in "abc":
        assert fork.get_state(name) == other.get_state(name)
        assert fork._world.names[name].steps == other._world.names[name].steps


def test_runs_of_plain_records_go_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one: list[int] = []

    def counted(recorder: Any, world: Any, entry: Any, *args: Any) -> None:
        one_by_one.append(entry[0])
        do_again(recorder, world, entry, *args)

    do_again = restep.do_again
    monkeypatch.setattr(restep, "do_again", counted)
    node = node_of()
    for number in range(1000):
        serve(node, ("call", "abc"[number % 3], number, 0.0))
    fork = stepped_from(node, 0, {500: None})
    assert len(one_by_one) < 30
    assert fork.get_state("a") == tuple(n for n in range(0, 1000, 3) if n != 499)


def test_news_of_remote_children_end_a_run_that_goes_straight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[int] = []

    def hear(leading: Any, _: FarNews) -> Iterator[None]:
        heard.append(len(leading._world.names["a"].state))
        return iter(())

    monkeypatch.setattr(restep.Leading, "_hear", hear)
    node = node_of()
    recorder = node.recorder()
    assert recorder is not None
    for number in range(10):
        serve(node, ("call", "a", number, 0.0))
        if number == 4:
            recorder.add(None, FarNews(None, node.now_s()))
    fork = stepped_from(node, 0, {1: None})
    assert heard == [4], "behind the fifth, of which one was left out"
    assert fork.get_state("a") == tuple(range(1, 10))


def test_a_run_that_never_ends_without_what_was_left_out_is_cut_at_the_limit_of_a_step() -> None:
    node = node_of(step_timeout=300)
    for message in (0, 1, "endless unless 0", 2, 3):
        serve(node, ("call", "a", message, 0.0))
    assert node.get_state("a") == (0, 1, "endless unless 0", 2, 3)
    fork = stepped_from(node, 0, {1: None})
    assert fork.get_state("a") == (2, 3)
    crashed = [report for report in fork.reports() if report.event == "crashed"]
    assert [report.record for report in crashed] == [3]

"""Forks of durable workers: the next life begins as it would in the tree, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import pytest

from ssm_cli import (
    Backoff,
    CallError,
    ManualClock,
    MemoryStore,
    Node,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.history.rerun import entries_between
from ssm_cli.history.scratch import scratch_of, waiting_in
from ssm_cli.history.turns import all_turns


class Options(TypedDict):
    """What says what a life leaves."""

    persist: str
    on_crash: str


KEEPS: list[Options] = [
    {"persist": "journal", "on_crash": "last_good"},
    {"persist": "journal", "on_crash": "saved"},
    {"persist": "snapshot", "on_crash": "last_good"},
    {"persist": "none", "on_crash": "last_good"},
]
FORGETS: list[Options] = [
    {"persist": "journal", "on_crash": "init"},
    {"persist": "snapshot", "on_crash": "init"},
    {"persist": "none", "on_crash": "init"},
]


def step(message: str, state: tuple[str, ...]) -> Any:
    if message == "crash":
        raise ValueError("as asked")
    if message == "timer":
        return (*state, message), message, [StartTimer("t", 1000, "tick")]
    return (*state, message), message


def init(_name: str, _args: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


MACHINE = StateMachine(step=step, init=init)


def a_tree(code: Any = MACHINE, strategy: Any = "one_for_one", **options: Any) -> Node:
    children = [Worker("a", code, **options), Worker("b", MACHINE)]
    spec = Supervisor("root", strategy, children, intensity=100)
    return Node(spec, clock=ManualClock(), store=MemoryStore(), history=1000).start()


def crash(node: Node, worker: str = "a") -> None:
    with pytest.raises(CallError):
        node.call(worker, "crash")
    node.run()


def stepped_from(node: Node, record: int, instead: dict[int, Any]) -> Node:
    recorder = node.recorder()
    assert recorder is not None
    fork: Node = all_turns(scratch_of(node.at(record), record))
    for _ in fork.step_again(recorder, entries_between(recorder, record, node.record), instead):
        pass
    return fork


@pytest.mark.parametrize("options", [*KEEPS, *FORGETS], ids=str)
def test_a_crash_in_a_fork_leaves_what_it_leaves_in_the_tree(options: Options) -> None:
    node = a_tree(**options)
    node.call("a", "one")
    with node.fork() as fork:
        crash(fork)
        crash(node)
        assert fork.get_state("a") == node.get_state("a") == (("one",) if options in KEEPS else ())
        assert fork.digest() == node.digest()


@pytest.mark.parametrize("options", [*KEEPS, *FORGETS], ids=str)
def test_an_orderly_end_in_a_fork_leaves_what_it_leaves_in_the_tree(
    options: Options,
) -> None:
    node = a_tree(**options)
    node.call("a", "one")
    with node.fork() as fork:
        for one in (fork, node):
            one.terminate_child("root", "a")
            assert one.fork().digest() == one.digest(), "also of one that is down"
            one.restart_child("root", "a")
        kept = ("one",) if options["persist"] != "none" else ()
        assert fork.get_state("a") == node.get_state("a") == kept


def test_a_worker_that_goes_down_with_another_keeps_its_state_in_a_fork() -> None:
    node = a_tree(strategy="one_for_all", persist="journal")
    node.call("a", "one")
    with node.fork() as fork:
        for one in (fork, node):
            crash(one, "b")
        assert fork.get_state("a") == node.get_state("a") == ("one",)


@pytest.mark.parametrize("options", KEEPS, ids=str)
def test_what_is_left_out_stays_out_behind_a_crash(options: Options) -> None:
    node = a_tree(**options)
    for word in ("one", "two"):
        node.call("a", word)
    crash(node)
    node.call("a", "three")
    assert node.get_state("a") == ("one", "two", "three")
    assert stepped_from(node, 0, {2: None}).get_state("a") == ("one", "three")
    assert stepped_from(node, 0, {2: "other"}).get_state("a") == ("one", "other", "three")
    assert stepped_from(node, 0, {}).get_state("a") == ("one", "two", "three")


def test_a_fork_restores_a_state_by_the_code_of_the_worker() -> None:
    code = StateMachine(step=step, init=init, restore=lambda _name, _args, state: (*state, "again"))
    node = a_tree(code, persist="journal", on_crash="last_good")
    for word in ("one", "two"):
        node.call("a", word)
    with node.fork() as fork:
        for one in (fork, node):
            crash(one)
        assert fork.get_state("a") == node.get_state("a") == ("one", "two", "again")
    assert stepped_from(node, 0, {1: None}).get_state("a") == ("two", "again")


@pytest.mark.parametrize("waits_s", [0.5, 3.0], ids=["due later", "due meanwhile"])
def test_timers_of_a_journalled_worker_go_on_behind_a_crash_in_a_fork_and_in_the_past(
    waits_s: float,
) -> None:
    node = a_tree(persist="journal", on_crash="last_good", backoff=Backoff(2000, 1, 2000, 0.0))
    node.call("a", "timer")
    with node.fork() as fork:
        for one in (node, fork):
            crash(one)
            one.run(waits_s)
            one.run(3.0)
            one.call("a", "end")
        assert fork.get_state("a") == node.get_state("a") == ("timer", "tick", "end")
        assert fork.digest() == node.digest()
    then = node.at(node.record)
    assert (waiting_in(then), then.digest()) == (0, node.digest())
    for record in range(node.record + 1):
        assert stepped_from(node, record, {}).get_state("a") == ("timer", "tick", "end"), record


@pytest.mark.parametrize("waits_s", [0.5, 3.0], ids=["due later", "due meanwhile"])
@pytest.mark.parametrize("end", ["crash", "terminate"])
def test_a_fork_of_a_moment_at_which_a_worker_is_down_has_the_timers_that_its_journal_keeps(
    waits_s: float, end: str
) -> None:
    node = a_tree(persist="journal", on_crash="last_good", backoff=Backoff(2000, 1, 2000, 0.0))
    node.call("a", "timer")
    node.terminate_child("root", "a") if end == "terminate" else crash(node)
    down = node.record
    with node.fork() as fork, fork.fork() as other, node.at(down).fork() as past:
        assert fork.digest() == other.digest() == past.digest() == node.digest()
        for one in (node, fork, other, past):
            one.run(waits_s)
            if end == "terminate":
                one.restart_child("root", "a")
            one.run(3.0)
            one.call("a", "end")
            assert one.get_state("a") == ("timer", "tick", "end")
        assert fork.digest() == other.digest() == past.digest() == node.digest()


def test_a_timer_that_came_up_once_does_not_come_up_in_a_fork_of_a_later_end() -> None:
    node = a_tree(persist="journal", on_crash="last_good", backoff=Backoff(2000, 1, 2000, 0.0))
    node.call("a", "timer")
    crash(node)
    node.run(3.0)
    assert node.get_state("a") == ("timer", "tick")
    crash(node)
    with node.fork() as fork:
        fork.run(9.0)
        assert fork.get_state("a") == ("timer", "tick")


def test_the_past_of_a_durable_worker_is_what_was_seen() -> None:
    node = a_tree(persist="journal", on_crash="last_good")
    saw = []
    for word in ("one", "crash", "two", "crash", "three"):
        if word == "crash":
            crash(node)
        else:
            node.call("a", word)
        saw.append((node.record, node.get_state("a"), node.digest()))
    for record, state, digest in saw:
        assert (node.at(record).get_state("a"), node.at(record).digest()) == (state, digest)

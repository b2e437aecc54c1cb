"""Stepping again: a fork that is given what followed comes to what followed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ssm_cli import Cast, Join, ManualClock, Node, Ok, StartTimer, StateMachine, Supervisor, Worker
from ssm_cli.history.rerun import entries_between
from ssm_cli.history.scratch import scratch_of, waiting_in
from ssm_cli.history.turns import all_turns
from ssm_cli.runtime.engine.recorder import Moment
from tests.runtime.test_fork import an_act, an_act_by_bytes
from tests.runtime.test_rewind import Act, a_remembered_history, last_entry
from tests.thorough import tries


def stepped_from(node: Node, record: int, instead: dict[int, Any] | None = None) -> Node:
    """A fork of a record that was given all that followed."""
    recorder = node.recorder()
    assert recorder is not None
    fork: Node = all_turns(scratch_of(node.at(record), record))
    then = entries_between(recorder, record, node.record)
    for _ in fork.step_again(recorder, then, instead or {}):
        assert not fork._world.pumping, "others may get in between"
    return fork


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("act", [an_act, an_act_by_bytes])
@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_a_fork_that_is_given_what_followed_comes_to_what_followed(hundred: int, act: Act) -> None:
    compared = 0
    for seed in range(hundred * 100, hundred * 100 + 100):
        saw = a_remembered_history(seed, 30, act)
        if not saw or saw[0][2].first_record() >= saw[0][2].record:
            continue
        node = saw[0][2]
        fork = stepped_from(node, Random(seed).randint(node.first_record(), node.record))
        then = node.at(node.record)
        world = then._world
        recorder = node.recorder()
        assert recorder is not None
        last = [e for e in recorder.ring if type(e[5]) is not Moment][-1]
        if last_entry(node, node.record) is not last:
            continue  # something has come later, which the fork has been given
        due = world.queue or world.retries or world.timers.next_s() <= fork.now_s()
        if due or not world.running or world.clock.now_s() != fork.now_s():
            continue  # the fork has gone on with what was due
        assert fork.digest() == then.digest(), seed
        compared += 1
    assert compared > 10


def step(message: Any, state: tuple[Any, ...]) -> Any:
    effects: list[Any] = []
    match message:
        case ("send", to, what):
            effects = [Cast(to, what)]
        case ("later", what):
            effects = [StartTimer("t", 1000, what)]
        case ("now", what):
            effects = [StartTimer("t", 0, what)]
        case "crash":
            raise ValueError("as asked")
    return (*state, message), "Ok", effects


MACHINE = StateMachine(step=step, init=lambda *_: ())


@pytest.fixture
def node() -> Node:
    tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
    return Node(tree, clock=ManualClock(), history=1000).start()


def test_what_an_input_has_sent_goes_with_it(node: Node) -> None:
    node.call("a", ("send", "b", "hello"))
    node.run()
    node.call("b", "own")
    fork = stepped_from(node, 0, {1: None})
    assert (fork.get_state("a"), fork.get_state("b")) == ((), ("own",))
    assert node.get_state("b") == ("hello", "own")


def test_an_input_in_the_place_of_another_has_its_own_consequences(node: Node) -> None:
    node.call("a", ("later", "tick"))
    node.run(2.0)
    node.call("a", "end")
    fork = stepped_from(node, 0, {1: ("send", "b", "tock")})
    assert fork.get_state("a") == (("send", "b", "tock"), "end")
    assert fork.get_state("b") == ("tock",)


def test_a_crash_that_is_left_out_leaves_the_state(node: Node) -> None:
    node.call("a", 1)
    node.cast("a", "crash")
    node.run()
    node.call("a", 2)
    assert node.get_state("a") == (2,)
    assert stepped_from(node, 0, {2: None}).get_state("a") == (1, 2)


def test_a_fork_leaves_the_node_as_it_was(node: Node) -> None:
    node.call("a", ("later", "tick"))
    node.run(2.0)
    before = node.digest(), node.record, [report.seq for report in node.reports()]
    fork = stepped_from(node, 1)
    fork.call("a", "more")
    fork.run(60.0)
    assert (node.digest(), node.record, [r.seq for r in node.reports()]) == before


def test_inputs_on_their_way_to_a_worker_that_was_ended_reach_it_without_that(node: Node) -> None:
    node.cast("a", "on its way")
    node.cast("a", ("send", "b", "through"))
    node.terminate_child("root", "a")
    node.call("b", "own")
    assert stepped_from(node, 0).get_state("b") == ("own",)
    fork = stepped_from(node, 0, {1: None})
    assert fork.get_state("a") == ("on its way", ("send", "b", "through"))
    assert set(fork.get_state("b")) == {"own", "through"}


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("hundred", [1])
def test_a_publish_under_way_reaches_each_once() -> None:
    machine = StateMachine(step=step, init=lambda name, _: Ok((), effects=[Join("g", name)]))
    tree = Supervisor("root", children=[Worker(name, machine) for name in "abc"])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        node.publish("g", "news")
        recorder = node.recorder()
        assert recorder is not None
        recorder.moment()  # while it is under way
        node.run()
        for record in range(node.record):
            fork = stepped_from(node, record)
            assert [fork.get_state(name) for name in "abc"] == [("news",)] * 3


def test_a_timer_of_no_time_comes_up_where_it_did(node: Node) -> None:
    node.cast("a", ("now", "tick"))
    node.cast("a", "behind")
    node.cast("b", "beside")
    node.run()
    assert node.get_state("a") == (("now", "tick"), "behind", "tick")
    for record in range(node.record):
        assert stepped_from(node, record).get_state("a") == node.get_state("a")


def test_a_timer_that_a_fork_alone_has_comes_up_in_its_time(node: Node) -> None:
    node.call("a", "first")
    node.run(5.0)
    node.call("a", "last")
    fork = stepped_from(node, 0, {1: ("later", "tick")})
    assert fork.get_state("a") == (("later", "tick"), "tick", "last")


class Words:
    """A codec of text."""

    def decode(self, data: bytes) -> str:
        return data.decode()

    def encode(self, value: object) -> bytes:
        return str(value).encode()


@pytest.fixture
def held() -> Node:
    """A worker that was suspended while clients wrote to it."""
    machine = StateMachine(step=step, init=lambda *_: (), codec=Words())
    node = Node(
        Supervisor("root", children=[Worker("a", machine)]), clock=ManualClock(), history=1000
    ).start()
    node.call("a", b"one")
    node.suspend("a")
    for word in (b"two", b"three"):
        node.cast("a", word)
    node.run(1.0)
    node.resume("a")
    node.run(1.0)
    node.call("a", b"four")
    return node


ALL = ("one", "two", "three", "four")


def test_what_clients_wrote_to_a_suspended_worker_waits_no_longer_than_it_did(held: Node) -> None:
    assert held.get_state("a") == ALL
    waiting = [waiting_in(held.at(record)) for record in range(1, held.record + 1)]
    assert (max(waiting), waiting[-1]) == (2, 0)


def test_it_is_stepped_once_in_a_fork_of_each_record(held: Node) -> None:
    for record in range(held.record + 1):
        assert stepped_from(held, record).get_state("a") == ALL, record


def test_it_is_stepped_once_where_something_is_left_out_or_in_its_place(held: Node) -> None:
    recorder = held.recorder()
    assert recorder is not None
    entries = entries_between(recorder, 0, held.record)
    served = {message: number for number, _, kind, message, _, _ in entries if kind is not None}
    for word in ALL:
        without = stepped_from(held, 0, {served[word]: None}).get_state("a")
        assert without == tuple(one for one in ALL if one != word)
        other = stepped_from(held, 0, {served[word]: "other"}).get_state("a")
        assert other == tuple("other" if one == word else one for one in ALL)

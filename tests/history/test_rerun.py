"""A fork that is stepped again keeps what it was given itself."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ssm_cli import CalleeCrashed, ManualClock, Node, StartTimer, StateMachine, Supervisor, Worker
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, Forgotten
from ssm_cli.history.past import with_past
from tests.history.ledger import LEDGER, Hold, Release, Total
from tests.runtime.test_restep import MACHINE
from tests.thorough import tries

Ask = Callable[..., Any]


def held(ask: Ask, place: str) -> int:
    amount: int = ask("standing", place, reading=True).get_state("ledger")["held"]
    return amount


def numbers(ask: Ask, place: str) -> list[int]:
    found = ask("history", at=place)["records"]
    return [record["record"] for record in found if record["how"] != "start"]


def test_without_keeps_the_inputs_and_the_changes_of_the_fork(node: Node, ask: Ask) -> None:
    place = ask("fork")["place"]
    fork = ask("standing", place, reading=False)
    fork.call("ledger", Hold("d", 1000))
    fork.replace_state("other", lambda state: {**state, "held": 7})
    ask("advance", span="60s", at=place)
    then_s = fork.now_s()
    ask("without", records="2", at=place)
    fork = ask("standing", place, reading=False)
    assert (held(ask, place), fork.get_state("other")["held"]) == (1101, 7)
    assert fork.now_s() == then_s
    ask("without", records="1", at=place)
    assert held(ask, place) == 1001
    assert node.get_state("ledger")["held"] == 151


def test_what_lies_between_two_records_of_a_fork_is_that_of_the_fork(node: Node, ask: Ask) -> None:
    place = ask("fork", at="2")["place"]
    ask("standing", place, reading=False).call("ledger", Hold("d", 1000))

    def held_in(one: str, other: str) -> list[tuple[Any, Any]]:
        found = ask("diff", one=one, other=other, at=place)["changes"]
        return [(c["before"], c["after"]) for c in found if c["path"] == "held"]

    assert held_in("2", "3") == [(150, 1150)]  # the third of the live tree added 1
    assert held_in("1", "3") == [(100, 1150)]  # and the first is before the fork
    with pytest.raises(Forgotten, match="there is no record 4; the last one is 3"):
        held_in("3", "4")
    ask("without", records="1", at=place)
    assert held_in("2", "3") == [(50, 1050)]
    assert node.get_state("ledger")["held"] == 151


@pytest.mark.parametrize("verb", ["history", "step", "step_back", "timeline"])
def test_a_place_that_is_not_there_is_refused_by_each_verb(ask: Ask, verb: str) -> None:
    with pytest.raises(Forgotten, match="there is no record 99999; the last one is 3"):
        ask(verb, at="99999")


@pytest.mark.parametrize("verb", ["step", "step_back"])
def test_no_number_of_records_is_no_step(ask: Ask, verb: str) -> None:
    with pytest.raises(CommandError, match="from 1, not `0`"):
        ask(verb, by=0)


def test_a_record_keeps_its_number_and_one_that_is_left_out_leaves_a_gap(ask: Ask) -> None:
    place = ask("fork")["place"]
    ask("standing", place, reading=False).call("ledger", Hold("d", 1000))
    assert ask("without", records="1", at=place)["number"] == 4
    assert numbers(ask, place) == [2, 3, 4]
    ask("without", records="3", at=place)
    assert numbers(ask, place) == [2, 4]
    assert held(ask, place) == 1050


def test_without_and_edit_take_records_of_the_fork(ask: Ask) -> None:
    place = ask("fork", record="2")["place"]
    fork = ask("standing", place, reading=False)
    fork.call("ledger", Hold("d", 1000))
    fork.call("ledger", Hold("e", 10_000))
    ask("edit", record="3", given="Hold d 2000", at=place)
    assert held(ask, place) == 12_150
    ask("without", records="4 1", at=place)
    assert held(ask, place) == 2050
    assert ask("forks")["forks"][0]["instead"] == [1]
    with pytest.raises(Forgotten, match="record 4 is not remembered in fork1"):
        ask("without", records="4", at=place)
    with pytest.raises(Forgotten, match="record 9 is not remembered in fork1"):
        ask("edit", record="9", given="Hold d 1", at=place)


def test_a_fork_of_a_fork_names_the_records_of_that(node: Node, ask: Ask) -> None:
    first = ask("fork", record="1")["place"]
    ask("standing", first, reading=False).call("ledger", Hold("x", 7))
    second = ask("fork", at=first)["place"]
    ask("standing", second, reading=False).call("ledger", Hold("y", 70))
    ask("without", records="1", at=first)
    ask("edit", record="2", given="Hold x 8", at=second)
    assert (held(ask, first), held(ask, second), held(ask, "")) == (7, 178, 151)
    assert ask("drop", at=second) == {"place": first, "number": 2}


@pytest.mark.parametrize("first_goes_on", [False, True])
def test_a_fork_of_a_fork_is_stepped_again_from_records_of_the_live_tree(
    node: Node, ask: Ask, *, first_goes_on: bool
) -> None:
    first = ask("fork", record="2")["place"]
    ask("standing", first, reading=False).call("ledger", Hold("x", 1000))
    second = ask("fork", at=first)["place"]
    ask("standing", second, reading=False).call("ledger", Hold("y", 10_000))
    third = ask("fork", at=second)["place"]
    ask("standing", third, reading=False).call("ledger", Hold("z", 100_000))
    if first_goes_on:
        ask("standing", first, reading=False).call("ledger", Hold("later", 7))
        ask("without", records="1", at=first)
        ask("drop", worker=first)
    ask("without", records="1", at=third)
    assert held(ask, third) == 111_050
    ask("edit", record="2", given="Hold b 60", at=third)
    assert held(ask, third) == 111_060, "what was left out before stays left out"
    ask("without", records="3", at=third)
    assert held(ask, third) == 110_060
    ask("without", records="5", at=third)
    assert (held(ask, third), held(ask, second), held(ask, "")) == (10_060, 11_150, 151)
    with pytest.raises(Forgotten, match="record 9 is not remembered in fork3; its last one is 4"):
        ask("without", records="9", at=third)


def test_a_record_that_is_forgotten_says_from_which_one_on_a_fork_remembers() -> None:
    tree = Supervisor("root", children=[Worker("ledger", LEDGER)])
    with Node(tree, clock=ManualClock(), history=64) as node:
        for number in range(200):
            node.call("ledger", Hold(str(number), 1))
            node.run(1)
        ask = with_past(node, instant).perform
        first = ask("fork")["place"]
        ask("standing", first, reading=False).call("ledger", Hold("x", 7))
        for place in (first, ask("fork", at=first)["place"]):
            with pytest.raises(
                Forgotten, match=r"record 1 is not remembered in .*; those from 1\d\d"
            ):
                ask("without", records="1", at=place)
            ask("without", records="199", at=place)
            assert held(ask, place) == 206


def test_a_fork_whose_source_fork_is_gone_leads_to_now(node: Node, ask: Ask) -> None:
    first = ask("fork", record="1")["place"]
    second = ask("fork", at=first)["place"]
    ask("drop", worker=first)
    assert ask("drop", at=second) == {"place": "", "number": node.record}


def test_what_crashes_in_a_fork_of_its_own_is_mended_there(ask: Ask) -> None:
    place = ask("fork")["place"]
    fork = ask("standing", place, reading=False)
    fork.call("ledger", Release("a"))
    fork.call("ledger", Release("a"))
    fork.cast("ledger", Total())
    fork.run(0)
    fork.call("ledger", Hold("z", 5))
    assert held(ask, place) == 5
    ask("without", records="5", at=place)
    assert held(ask, place) == 56


def test_inputs_that_waited_when_a_moment_was_kept_are_left_out_and_served_once() -> None:
    machine = StateMachine(step=lambda m, s: ((*s, *m), None), init=lambda *_: ())
    tree = Supervisor("root", children=[Worker("a", machine)])
    with Node(tree, clock=ManualClock(), history=400) as node:
        with_past(node, str)
        for i in range(120):
            node.cast("a", [i])  # can be changed in place: forks copy it
        node.run(0)
        place = node.perform("fork")["place"]
        node.perform("without", records="111", at=place)
        fork = node.perform("standing", place, reading=True)
        assert fork.get_state("a") == (*range(110), *range(111, 120))


def test_what_waits_in_a_fork_is_served_once_or_goes_with_what_has_sent_it() -> None:
    tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, str)
        node.call("a", ("send", "b", "sent"))
        node.cast("b", "given")
        place = node.perform("fork", record="1")["place"]
        node.perform("advance", span="1s", at=place)
        node.perform("standing", place, reading=False).call("b", "own")
        node.perform("without", records="1", at=place)
        assert node.perform("standing", place, reading=True).get_state("b") == ("given", "own")


def act(chance: Random, tree: Any) -> None:
    """Give a tree one input, or a change by hand, or time."""
    name = chance.choice("ab")
    message = chance.choice([("send", "ab"[name == "a"], chance.random()), ("later", "tick"), "hi"])
    match chance.randrange(6):
        case 0:
            tree.cast(name, message)
        case 1:
            tree.run(chance.random() * 3)
        case 2:
            tree.replace_state(name, lambda _: ())
        case _:
            tree.call(name, message)
    tree.run(0)


@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_what_is_left_out_first_or_last_is_the_same(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 60):
        chance = Random(seed)
        tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
        with Node(tree, clock=ManualClock(), history=100) as node:
            with_past(node, str)
            for _ in range(8):
                act(chance, node)
            record = str(chance.randint(1, max(1, node.record)))
            begun = node.perform("history")["records"]
            outer = [r["record"] for r in begun if r["how"] in ("call", "cast") and not r["cause"]]
            outer = [number for number in outer if number <= int(record)]
            if not outer:
                continue
            left_out, after = str(chance.choice(outer)), chance.random()
            states = []
            for first in (True, False):
                place = node.perform("fork", record=record)["place"]
                if first:
                    node.perform("without", records=left_out, at=place)
                own = Random(after)
                for _ in range(6):
                    act(own, node.perform("standing", place, reading=False))
                if not first:
                    node.perform("without", records=left_out, at=place)
                fork = node.perform("standing", place, reading=True)
                states.append((fork.get_state("a"), fork.get_state("b"), fork.now_s()))
            assert states[0] == states[1], seed


@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_what_is_left_out_of_a_fork_of_a_fork_first_or_last_is_the_same(hundred: int) -> None:
    compared = 0
    for seed in range(hundred * 100, hundred * 100 + 60):
        chance = Random(seed)
        tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
        with Node(tree, clock=ManualClock(), history=100) as node:
            ask = with_past(node, str).perform
            for _ in range(8):
                act(chance, node)
            record = chance.randint(1, max(1, node.record))
            begun = [r for r in ask("history")["records"] if r["record"] <= record]
            outer = [r["record"] for r in begun if r["how"] in ("call", "cast") and not r["cause"]]
            if not outer:
                continue
            left_out, after = str(chance.choice(outer)), chance.random()
            states = []
            for first in (True, False):
                place = ask("fork", record=str(record))["place"]
                if first:
                    ask("without", records=left_out, at=place)
                own = Random(after)
                for level in range(3):
                    place = ask("fork", at=place)["place"] if level else place
                    for _ in range(3):
                        act(own, ask("standing", place, reading=False))
                if not first:
                    ask("without", records=left_out, at=place)
                fork = ask("standing", place, reading=True)
                states.append((fork.get_state("a"), fork.get_state("b"), fork.now_s()))
            assert states[0] == states[1], seed
            compared += 1
    assert compared > 30


def test_a_record_that_others_have_brought_in_a_fork_is_not_edited() -> None:
    tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
    with Node(tree, clock=ManualClock(), history=100) as node:
        with_past(node, str)
        node.call("a", "one")
        place = node.perform("fork")["place"]
        fork = node.perform("standing", place, reading=False)
        fork.call("a", ("send", "b", "sent"))
        fork.run(0)
        with pytest.raises(CommandError, match="record 3 was brought by record 2"):
            node.perform("edit", record="3", given="x", at=place)
        node.perform("without", records="3", at=place)
        fork = node.perform("standing", place, reading=True)
        assert (len(fork.get_state("a")), fork.get_state("b")) == (2, ())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_whatever_a_step_raises_in_a_fork_is_its_crash(kind: type[BaseException]) -> None:
    def step(message: Any, state: int) -> Any:
        if message == "raise":
            raise kind
        return state + 1, "ok", [StartTimer("t", 1000, "raise")] if message == "later" else []

    machine = StateMachine(step=step, init=lambda *_: 0)
    tree = Supervisor("root", children=[Worker("a", machine)], intensity=100)
    with Node(tree, history=100) as node:
        with_past(node, instant)
        node.call("a", "one")
        place = node.perform("fork")["place"]
        fork = node.perform("standing", place, reading=False)
        with pytest.raises(CalleeCrashed):
            fork.call("a", "raise")
        fork.call("a", "later")
        brought = node.perform("advance", span="2s", at=place)["records"]
        assert brought[0]["error"]["type"] == kind.__name__
        node.perform("edit", record="1", given="raise", at=place)
        assert node.perform("standing", place, reading=True).get_state("a") == 0
        assert node.get_state("a") == 1

"""A fork that is stepped again has the records of what was done by hand, and what waited waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from ssm_cli import CalleeCrashed, ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError, Forgotten, SysError
from ssm_cli.history.past import with_past
from tests.history.ledger import LEDGER, Hold, Total
from tests.history.test_rerun import act
from tests.runtime.test_restep import MACHINE
from tests.thorough import tries

Ask = Callable[..., Any]


def refused(node: Node) -> None:
    with pytest.raises(SysError, match="the state stays"):
        node.replace_state("other", lambda state: state[1])


ACTS: dict[str, Callable[[Node], Any]] = {
    "set": lambda node: node.replace_state("other", lambda state: {**state, "held": 7}),
    "kill": lambda node: node.kill("other"),
    "suspend": lambda node: node.suspend("other"),
    "resume": lambda node: (node.suspend("other"), node.resume("other")),
    "trace": lambda node: node.trace("other"),
    "stop": lambda node: node.stop_process("other", "normal"),
    "exit": lambda node: node.exit("other", "gone"),
    "keep": lambda node: node.keep("other", 3),
    "start_child": lambda node: node.start_child("root", Worker("new", LEDGER)),
    "terminate_child": lambda node: node.terminate_child("root", "other"),
    "restart": lambda node: node.perform("restart", "other"),
    "refused": refused,
}


def by_hand(ask: Ask, place: str) -> list[tuple[Any, ...]]:
    """What is told of the records that were made by hand, with their changes."""
    parts = ("record", "how", "worker", "input", "outcome", "by", "changed")
    told = (tuple(map(one.get, parts)) for one in ask("history", last=100, at=place)["records"])
    return [one for one in told if one[1] not in ("call", "cast", "start", "timer")]


@pytest.mark.parametrize("where", ["live", "fork", "fork of a fork"])
@pytest.mark.parametrize("act", ACTS)
def test_what_was_done_by_hand_keeps_its_record_and_who_asked(
    node: Node, act: str, where: str
) -> None:
    ask = node.perform
    place = "" if where == "live" else ask("fork")["place"]
    tree = ask("standing", place, reading=False)
    behind = tree.record
    ACTS[act](tree)
    tree.note_changes(behind, "ann, because of b")
    tree.call("ledger", Hold("d", 1000))
    tree.note_asker(tree.record, "ann, too")
    before = by_hand(ask, place)
    place = place if where == "fork" else ask("fork", at=place)["place"]
    assert (len(before), before[0][0]) == (1 + (act == "resume"), 4)
    assert all(one[5] == "ann, because of b" for one in before)
    ask("without", records="2", at=place)
    assert by_hand(ask, place) == before
    assert ask("history", last=100, at=place)["records"][-1]["by"] == "ann, too"
    ask("edit", record=str(tree.record), given="Hold d 2000", at=place)
    assert by_hand(ask, place) == before
    assert ask("standing", place, reading=True).get_state("ledger")["held"] == 2101


def test_an_adopted_state_keeps_its_reason(node: Node) -> None:
    ask = node.perform
    place = ask("fork")["place"]
    ask("standing", place, reading=False).replace_state("other", lambda s: {**s, "held": 9})
    ask("adopt", worker="other", why="counted twice", sure="yes", at=place)
    place = ask("fork")["place"]
    before = by_hand(ask, "")
    assert [(one[0], one[1], one[5]) for one in before] == [(4, "adopted", "counted twice")]
    ask("without", records="1", at=place)
    assert by_hand(ask, place) == before


def test_the_tree_behind_a_record_by_hand_can_be_shown_in_a_fork_that_was_stepped_again(
    node: Node,
) -> None:
    ask = node.perform
    node.replace_state("other", lambda state: {**state, "held": 7})
    node.call("ledger", Hold("d", 1000))
    place = ask("fork")["place"]
    ask("without", records="2", at=place)
    fork = ask("standing", place, reading=True)
    assert [fork.at(n).get_state("other")["held"] for n in (3, 4, 5)] == [0, 7, 7]
    assert ask("blame", worker="other", path="held", at=place)["records"][0]["record"] == 4


NUMBERS = StateMachine(step=lambda m, s: ((*s, m), "ok"), init=lambda *_: ())


@contextmanager
def busy() -> Iterator[Node]:
    """A tree whose workers have served inputs while others waited."""
    tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        for number in range(60):
            node.cast("a", ("send", "b", number))
        node.run(0)
        yield with_past(node, instant)


def test_a_fork_in_which_inputs_wait_stays_where_it_is() -> None:
    with busy() as node:
        ask = node.perform
        place = ask("fork", record="70")
        waiting, place = place["waiting"], place["place"]
        assert waiting == 50
        told = ask("without", records="5", at=place)
        fork = ask("standing", place, reading=True)
        assert told["number"] == 70
        assert fork.get_state("b") == (0, 1, 2, 3, 5, 6, 7, 8, 9)
        assert ask("forks")["forks"][0]["waiting"] == waiting
        ask("advance", span="1s", at=place)
        fork = ask("standing", place, reading=True)
        assert fork.get_state("b") == tuple(n for n in range(60) if n != 4)


def test_what_is_done_by_hand_while_inputs_wait_stays_ahead_of_them() -> None:
    with busy() as node:
        ask = node.perform
        place = ask("fork", record="70")["place"]
        fork = ask("standing", place, reading=False)
        fork.replace_state("b", lambda _: ())
        ask("settle", at=place)
        assert fork.get_state("b") == tuple(range(10, 60))
        ask("without", records="5 15", at=place)
        assert by_hand(ask, place)[0][:3] == (71, "replace_state", "b")
        fork = ask("standing", place, reading=True)
        assert fork.get_state("b") == (*range(10, 14), *range(15, 60))


def test_an_input_that_has_come_later_and_waits_still_waits() -> None:
    tree = Supervisor("root", children=[Worker("a", NUMBERS), Worker("b", NUMBERS)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        ask = with_past(node, instant).perform
        node.call("a", 1)
        node.call("a", 2)
        node.cast("b", 3)
        place = ask("fork")["place"]
        assert ask("without", records="1", at=place)["number"] == 2
        ask("advance", span="1s", at=place)
        assert ask("standing", place, reading=True).get_state("b") == (3,)
        ask("standing", place, reading=False).cast("b", 4)
        for record in ("2", "3"):
            ask("without", records=record, at=place)
            assert ask("forks")["forks"][0]["waiting"] == 1
        ask("advance", span="1s", at=place)
        fork = ask("standing", place, reading=True)
        assert (fork.get_state("a"), fork.get_state("b")) == ((), (4,))


def test_where_the_last_record_goes_that_goes_which_it_had_sent() -> None:
    with busy() as node:
        ask = node.perform
        place = ask("fork", record="60")["place"]
        before = ask("forks")["forks"][0]["waiting"]
        tree = ask("standing", place, reading=True)
        assert before == tree.queue == 60
        ask("without", records="60", at=place)
        fork = ask("standing", place, reading=True)
        assert (fork.record, fork.queue) == (59, 59)


def random_fork(chance: Random, node: Node) -> tuple[str, list[str]]:
    """Serve inputs while others wait; return a record, and records up to it from outside."""
    for _ in range(chance.randint(3, 6)):
        for _ in range(chance.randint(1, 6)):
            name = chance.choice("ab")
            sends = ("send", "ab"[name == "a"], chance.random())
            node.cast(name, chance.choice([sends, ("later", "tick"), chance.random()]))
        node.run(chance.choice([0, 0, 1.5]))
    record = chance.randint(1, node.record)
    ones = node.perform("history", last=1000)["records"]
    outer = [str(r["record"]) for r in ones if r["how"] == "cast" and not r["cause"]]
    return str(record), [number for number in outer if int(number) <= record]


def random_forks(hundred: int) -> Iterator[tuple[int, Random, Ask, str, list[str]]]:
    """Yield seeds with their chance, a way to ask a node, and what `random_fork` returns of it."""
    for seed in range(hundred * 100, hundred * 100 + 60):
        chance = Random(seed)
        tree = Supervisor("root", children=[Worker("a", MACHINE), Worker("b", MACHINE)])
        with Node(tree, clock=ManualClock(), history=1000) as node:
            ask = with_past(node, instant).perform
            yield seed, chance, ask, *random_fork(chance, node)


def states_of(fork: Node) -> list[Any]:
    return [fork.get_state("a"), fork.get_state("b")]


@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_what_is_left_out_where_inputs_wait_is_as_if_it_had_never_been(hundred: int) -> None:
    compared = 0
    for seed, chance, ask, record, outer in random_forks(hundred):
        if len(outer) < 2:
            continue
        first, second = chance.sample(outer, 2)
        found: list[tuple[list[Any], int]] = []
        for ways in ((f"{first} {second}",), (first, second), (second, first)):
            place = ask("fork", record=record)["place"]
            for records in ways:
                ask("without", records=records, at=place)
            fork = ask("standing", place, reading=True)
            waits = fork.queue
            ask("advance", span="9s", at=place)
            found.append((states_of(fork), waits))
        assert found[0] == found[1] == found[2], seed
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("again", [False, True])
def test_a_fork_knows_what_it_was_made_of_up_to_where_that_was(
    node: Node, ask: Ask, *, again: bool
) -> None:
    first = ask("fork", record="2")["place"]
    ask("standing", first, reading=False).call("ledger", Hold("x", 7))
    place = ask("fork", at=first)["place"]
    ask("standing", place, reading=False).call("ledger", Hold("y", 70))
    ask("standing", first, reading=False).call("ledger", Hold("later", 1))
    node.call("ledger", Hold("later", 2))
    if again:
        ask("edit", record="2", given="Hold b 60", at=place)
    found = ask("history", at=place)
    told = [(one["record"], one["input"], one.get("fork")) for one in found["records"]]
    b, own = ("Hold b 60", place) if again else ("Hold b 50", None)
    assert told[-4:] == [
        (1, "Hold a 100", None), (2, b, own), (3, "Hold x 7", own), (4, "Hold y 70", place),
    ]  # fmt: skip
    assert (found["first"], found["last"]) == (0, 4)
    wrote = ask("blame", worker="ledger", path="held", at=place)
    assert [one["record"] for one in wrote["records"]] == [4, 3, 2, 1]
    assert wrote["largest"] == 1
    assert ask("when", worker="ledger", expr="state.held > 105", at=place)["record"]["record"] == 2
    assert ask("why", record="1", at=place)["records"][0]["input"] == "Hold a 100"
    assert [one["path"] for one in ask("diff", one="1", at=place)["changes"]] == [
        "holds.a", "held",
    ]  # fmt: skip
    with pytest.raises(Forgotten, match="record 5 is not remembered here; records 0 to 4 are"):
        ask("why", record="5", at=place)
    times = [one["at"] for one in found["records"]]
    assert times == sorted(times)
    assert [one["at"] for one in ask("history", at="2")["records"]] == times[:2]


def test_a_fork_knows_the_crash_that_it_was_made_behind(node: Node, ask: Ask) -> None:
    node.replace_state("ledger", lambda state: {**state, "held": -1})
    with pytest.raises(CalleeCrashed):
        node.call("ledger", Total())
    place = ask("fork")["place"]
    assert ask("why", record="crash", at=place)["records"][0]["record"] == 5
    with pytest.raises(Forgotten, match=r"record 5 is not remembered here; a fork has records of"):
        ask("shrink", record="crash", at=place)
    ask("standing", place, reading=False).call("ledger", Hold("x", 7))
    with pytest.raises(Forgotten, match=r"record 3 is before fork1; `now` leaves it, then `fork 3"):
        ask("fork", record="3", at=place)


@pytest.mark.parametrize("where", ["2", "crash", "start", "17:51"])
def test_at_leads_out_of_no_fork_unless_it_says_so(ask: Ask, where: str) -> None:
    place = ask("fork", record="2")["place"]
    with pytest.raises(CommandError, match=f"then `at {where}` goes there, and `at fork1` comes"):
        ask("go", where=where, at=place)
    assert ask("go", where="now", at=place)["place"] == ""
    for come_from in ("", "1", "fork1"):
        found = ask("go", where="fork1", at=come_from)
        assert (found["place"], found["number"]) == ("fork1", 2)
    with pytest.raises(Forgotten, match="there is no fork `fork2`; there is fork1"):
        ask("go", where="fork2")


@pytest.mark.parametrize(("line", "waiting"), [("state b", 50), ("tree", 50), ("trace b", 0)])
def test_a_command_that_only_reads_serves_nothing_in_a_fork(line: str, waiting: int) -> None:
    with busy() as node:
        place = node.perform("fork", record="70")["place"]
        command = parse_line(line, ("a", "b"))
        assert command is not None
        assert not execute(msgspec.structs.replace(command, at=place), node).error
        assert node.perform("forks")["forks"][0]["waiting"] == waiting


@pytest.mark.parametrize("hundred", range(tries(1, 5)))
def test_where_inputs_wait_what_is_left_out_first_or_last_is_the_same(hundred: int) -> None:
    compared = 0
    for seed, chance, ask, record, outer in random_forks(hundred):
        if not outer:
            continue
        left_out, own = chance.choice(outer), chance.random()
        found: list[Any] = []
        for first in (True, False):
            place = ask("fork", record=record)["place"]
            if first:
                ask("without", records=left_out, at=place)
            acting = Random(own)
            for _ in range(4):
                act(acting, ask("standing", place, reading=False))
            if not first:
                ask("without", records=left_out, at=place)
            fork = ask("standing", place, reading=True)
            made = [one[1:3] for one in by_hand(ask, place)]
            found.append((states_of(fork), fork.queue, fork.now_s(), made))
        assert found[0] == found[1], seed
        compared += 1
    assert compared > 30

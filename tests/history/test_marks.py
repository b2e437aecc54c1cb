"""Marks: what a timeline shows of a tree, one mark a record, and how one steps along it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ssm_cli import CalleeCrashed, Forgotten, ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError
from ssm_cli.history.marks import MOST_MARKS
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import Lookup, Store, kv_store


@pytest.fixture
def node() -> Iterator[Node]:
    """Six records: a write, a read, a crash with its restart, two writes, a change by hand."""
    tree = Supervisor("root", "one_for_all", [Worker("a", kv_store), Worker("b", kv_store)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        with_past(node, instant)
        node.call("a", Store("x", 1))
        node.call("a", Lookup("x"))
        with pytest.raises(CalleeCrashed):
            node.call("a", Lookup("crash"))
        node.call("b", Store("y", 1))
        node.call("b", Store("z", 1))
        node.replace_state("b", lambda _: {"y": 2})
        yield node


def marks(node: Node, **given: Any) -> list[tuple[int, str]]:
    return [(one["record"], one["mark"]) for one in node.perform("timeline", **given)["marks"]]


ALL = [
    (1, "changed"), (2, "same"), (3, "crashed"), (3, "started"),
    (4, "changed"), (5, "changed"), (6, "by_hand"),
]  # fmt: skip


def test_each_record_is_a_mark_and_starts_that_followed_from_one_are_one(node: Node) -> None:
    assert marks(node) == ALL
    found = node.perform("timeline")
    assert [one.get("count") for one in found["marks"]] == [1, 1, 1, 2, 1, 1, 1]
    assert (found["place"], found["here"], found["first"], found["last"]) == ("", 6, 0, 6)


@pytest.mark.parametrize(
    ("at", "last", "shown"),
    [
        ("3", 4, ALL[2:6]),
        ("0", 4, ALL[:4]),
        ("6", 3, ALL[4:]),
        ("now", 2, ALL[5:]),
        ("3", 1, ALL[3:4]),
        ("3", 10**9, ALL),
        ("3", 0, ALL[3:4]),
    ],
)
def test_the_place_is_in_the_middle_and_at_an_end_more_is_shown_of_the_other_side(
    node: Node, at: str, last: int, shown: list[tuple[int, str]]
) -> None:
    assert marks(node, at=at, last=last) == shown


def test_marks_have_a_bound_whatever_is_asked_for() -> None:
    with Node(Supervisor("root", children=[Worker("a", kv_store)]), history=5000) as node:
        with_past(node, instant)
        for value in range(MOST_MARKS + 10):
            node.call("a", Store("x", value))
        assert len(marks(node, last=10**6)) == MOST_MARKS
        assert marks(node, last=10**6, at="500")[-1] == (MOST_MARKS // 2 + 500, "changed")


def test_what_is_forgotten_has_no_mark_and_the_first_record_says_so() -> None:
    with Node(Supervisor("root", children=[Worker("a", kv_store)]), history=16) as node:
        with_past(node, instant)
        for value in range(50):
            node.call("a", Store("x", value))
        found = node.perform("timeline")
        assert found["marks"][0]["record"] > 30
        assert found["first"] >= found["marks"][0]["record"] - 1


def test_a_worker_that_changes_its_state_in_place_has_no_mark_that_says_the_same() -> None:
    def step(message: str, state: list[str]) -> tuple[list[str], str]:
        state.append(message)
        return state, "Ok"

    machine = StateMachine(step=step, init=lambda *_: [])
    with Node(Supervisor("root", children=[Worker("w", machine)]), history=1000) as node:
        with_past(node, instant)
        for value in range(200):
            node.call("w", str(value))
        assert {what for _, what in marks(node, last=100)} == {"changed"}


def test_a_node_that_remembers_nothing_says_how_it_would() -> None:
    with (
        Node(Supervisor("root", children=[Worker("a", kv_store)])) as node,
        pytest.raises(Forgotten, match="--history N"),
    ):
        with_past(node, instant).perform("timeline")


def test_a_fork_has_marks_of_its_own(node: Node) -> None:
    fork = node.perform("fork", at="2")["place"]
    node.perform("standing", fork, reading=False).call("a", Store("x", 9))
    assert marks(node, at=fork) == [(3, "changed")]
    assert node.perform("timeline", at=fork)["place"] == fork


# --- from crash to crash --------------------------------------------------------------------------


def crash(node: Node) -> None:
    with pytest.raises(CalleeCrashed):
        node.call("b", Lookup("crash"))


def test_one_steps_to_the_moments_before_crashes_in_both_directions(node: Node) -> None:
    crash(node)  # record 7
    assert node.perform("step_back", crash="yes")["place"] == "6"
    assert node.perform("step_back", crash="yes", at="6")["place"] == "2"
    assert node.perform("step_back", by=2, crash="yes")["place"] == "2"
    assert node.perform("step", crash="yes", at="2")["place"] == "6"
    assert node.perform("step", crash="yes", at="0")["place"] == "2"


def test_the_crash_itself_is_told_of_the_moment_before_it(node: Node) -> None:
    found = node.perform("step_back", crash="yes")
    assert (found["place"], found["number"], found["record"]["outcome"]) == ("2", 3, "crashed")
    assert node.perform("go", where="crash") == found


@pytest.mark.parametrize(
    ("effect", "at", "where"), [("step", "2", "behind"), ("step_back", "2", "before")]
)
def test_where_there_is_no_other_crash_that_is_said(
    node: Node, effect: str, at: str, where: str
) -> None:
    with pytest.raises(Forgotten, match=f"no crash is remembered {where} record 2"):
        node.perform(effect, crash="yes", at=at)


def test_to_the_next_crash_goes_with_no_other_condition(node: Node) -> None:
    with pytest.raises(CommandError, match="`--crash` goes alone"):
        node.perform("step", crash="yes", worker="a", at="0")


@pytest.mark.parametrize("effect", ["step", "step_back"])
def test_a_fork_is_where_it_has_got_to(node: Node, effect: str) -> None:
    fork = node.perform("fork", at="2")["place"]
    with pytest.raises(CommandError, match=f"{fork} is where it has got to; `drop` leaves it"):
        node.perform(effect, at=fork)


def test_from_a_fork_one_goes_to_the_crash_of_the_live_tree_by_way_of_now(node: Node) -> None:
    fork = node.perform("fork", at="2")["place"]
    tree = node.perform("standing", fork, reading=False)
    for _ in range(3):
        tree.call("b", Store("x", 1))
    with pytest.raises(CalleeCrashed):
        tree.call("b", Lookup("crash"))
    with pytest.raises(CommandError, match="so does `now`: then `at crash` goes there"):
        node.perform("go", where="crash", at=fork)
    now = node.perform("go", where="now", at=fork)["place"]
    assert node.perform("go", where="crash", at=now)["place"] == "2"

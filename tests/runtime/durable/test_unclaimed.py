"""A worker that is new to the folder does not begin anew beside a state that may be its own."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import NoProc, StateMachine, StorageError, Supervisor, Unrecovered
from ssm_cli.storage.repair import Repairing
from tests.runtime.durable.parts import Add, Boom, Message, World, init, step, tree, worker


def other_step(message: Message, state: list[int]) -> Any:
    return step(message, state)


other = StateMachine(step=other_step, init=init, inputs=Message, state=list[int])
ENDS = pytest.mark.parametrize("end", ["kill", "stop"])


def lived(*children: Any, end: str = "kill", **flags: Any) -> World:
    """A world in which `a` and `b` have 1 in their state, and whose process is gone."""
    w = World(tree(*(children or (worker("a"), worker("b", other))), **flags))
    for name in ("a", "b"):
        w.node.call(name, Add(1))
    if end == "stop":
        w.node.stop()
    return w


def is_down(w: World, name: str) -> str:
    with pytest.raises(NoProc) as told:
        w.node.call(name, Add(2))
    assert w.events("down") == [f"down {name}"]
    return str(told.value)


def repaired(w: World, name: str, how: str, *given: str) -> None:
    found = Repairing(w.store, name, w.spec, w.clock.wall_s())
    getattr(found, how)(*given)
    found.carry_out()


@ENDS
@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_a_renamed_worker_is_down_and_says_the_ways_out(end: str, persist: str) -> None:
    w = lived(worker("a", persist=persist), worker("b", other), end="stop")
    if end == "kill":
        w.crash()
    w.crash(tree(worker("c", persist=persist), worker("b", other)))
    said = is_down(w, "c")
    for way in ("--rename a c", "repair c --as-new", "repair a --forget", "state of a"):
        assert way in said
    assert w.node.call("b", Add(2)), "the others run"
    w.restart()
    is_down(w, "c")
    w.restart(tree(worker("a", persist=persist), worker("b", other)))
    assert w.peek("a") == [1], "nothing of it is gone"


def test_a_worker_of_other_code_in_the_very_place_of_one_that_is_gone_is_asked_about() -> None:
    w = lived()
    w.crash(tree(worker("a"), worker("a2")))
    assert "a state of b" in is_down(w, "a2")


def test_code_that_was_renamed_with_its_worker_is_known_by_its_place() -> None:
    w = lived()
    moved = StateMachine(step=lambda m, s: (s, 0), init=init, inputs=Message, state=list[int])
    w.crash(tree(worker("c", moved), worker("b", other)))
    assert "--rename a c" in is_down(w, "c")


@ENDS
@pytest.mark.parametrize(
    ("name", "how", "given", "state"),
    [("a", "rename", ("a", "c"), [1]), ("c", "as_new", (), []), ("a", "forget", (), [])],
)
def test_each_way_out_works_and_lasts(
    name: str, how: str, given: tuple[str, ...], state: list[int], end: str
) -> None:
    w = lived(end=end)
    w.crash(tree(worker("c"), worker("b", other)))
    is_down(w, "c")
    w.node.stop()
    repaired(w, name, how, *given)
    for again in (w.crash, w.crash, w.restart, w.restart):
        again()
        assert w.peek("c") == state
        assert w.events("down") == []
    w.node.call("c", Add(2))
    w.crash()
    assert w.peek("c") == [*state, 2]
    assert w.peek("b") == [1]


def test_a_new_worker_starts_where_nothing_is_left_over() -> None:
    w = lived()
    w.crash(tree(worker("a"), worker("b", other), worker("c"), worker("d", other)))
    assert (w.peek("a"), w.peek("c"), w.peek("d")) == ([1], [], [])
    w.crash(tree(worker("d", other), worker("a"), worker("c"), worker("b", other)))
    assert (w.peek("a"), w.peek("b"), w.peek("c")) == ([1], [1], [])


def test_a_new_worker_starts_beside_a_state_of_other_code_at_another_place() -> None:
    w = lived()
    w.crash(tree(worker("b", other), Supervisor("deep", children=[worker("e", other)])))
    assert w.peek("e") == []


def test_a_worker_that_is_only_not_durable_any_more_is_still_in_the_tree() -> None:
    w = lived()
    w.crash(tree(worker("a", persist="none"), worker("b", other), worker("c")))
    assert w.peek("c") == []


def test_a_state_that_a_crash_dropped_on_purpose_claims_nobody() -> None:
    w = lived(worker("a", on_crash="init", restart="temporary"), worker("b", other))
    with pytest.raises(Exception, match="boom"):
        w.node.call("a", Boom())
    w.node.run()
    w.crash(tree(worker("c"), worker("b", other)))
    assert w.peek("c") == []


@ENDS
def test_states_of_dynamic_children_claim_nobody(end: str) -> None:
    w = lived()
    w.node.start_child("root", worker("extra"))
    w.node.call("extra", Add(5))
    if end == "stop":
        w.node.stop()
    w.crash(tree(worker("a"), worker("b", other), worker("c")))
    assert w.peek("c") == []
    w.node.start_child("root", worker("extra"))
    assert w.peek("extra") == [5]


def test_a_template_is_no_new_worker() -> None:
    w = lived()
    pool = Supervisor("pool", "simple_one_for_one", [worker("a2")])
    w.crash(tree(worker("b", other), pool, on_replay_difference="stop"))
    assert w.node.running


def test_consent_in_the_trees_file_counts() -> None:
    w = lived()
    w.crash(tree(worker("c", on_unrecoverable="init"), worker("b", other)))
    assert w.peek("c") == []
    assert w.events("fell_back") == ["fell_back c"]
    w.restart()
    assert w.events("fell_back") == [], "once is enough"


def test_where_a_difference_stops_the_tree_this_does_too() -> None:
    w = lived()
    with pytest.raises(Unrecovered, match="c does not start"):
        w.crash(tree(worker("c"), worker("b", other), on_replay_difference="stop"))


@pytest.mark.parametrize("how", ["from_saved", "rename"])
def test_what_takes_a_stored_state_is_refused_for_a_new_worker(how: str) -> None:
    w = lived()
    w.spec = tree(worker("c"), worker("b", other))
    with pytest.raises(StorageError, match=r"nothing is stored of c|no state of c is saved"):
        repaired(w, "c", how, *(("c", "d") if how == "rename" else ()))


def test_a_worker_that_is_neither_stored_nor_in_the_tree_is_told_as_misspelt() -> None:
    w = lived()
    w.node.stop()
    with pytest.raises(StorageError, match=r"nothing is stored of aa .* there is of a, b"):
        Repairing(w.store, "aa", w.spec, 0.0)

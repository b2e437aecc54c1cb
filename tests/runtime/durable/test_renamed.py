"""A worker that has another name keeps its answers, its quarantine and its crashes."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import CalleeCrashed, Denied, StorageError
from ssm_cli.storage.repair import Repairing
from tests.runtime.durable.parts import Add, Boom, Seen, World, tree, worker

ENDS = pytest.mark.parametrize("end", ["kill", "stop"])


def asked(w: World, name: str, n: int, request: str) -> Any:
    return w.node.call(name, Add(n), request_id=request)


def gone(w: World, end: str) -> None:
    if end == "stop":
        w.node.stop()


def renamed(w: World, old: str, new: str) -> list[str]:
    found = Repairing(w.store, old, w.spec, w.clock.wall_s())
    lines = found.rename(old, new)
    found.carry_out()
    return lines


@ENDS
def test_a_call_with_a_request_id_is_not_stepped_again_under_the_new_name(end: str) -> None:
    w = World(tree(worker("a")))
    first = asked(w, "a", 5, "r1")
    gone(w, end)
    renamed(w, "a", "b")
    for again in (w.crash, w.crash, w.restart):
        again(tree(worker("b")))
        assert asked(w, "b", 5, "r1") == first
        assert w.peek("b") == [5]
        with pytest.raises(Denied, match="belongs to another input of b"):
            asked(w, "b", 6, "r1")


@ENDS
def test_a_new_worker_of_the_old_name_has_none_of_its_answers(end: str) -> None:
    w = World(tree(worker("a")))
    asked(w, "a", 5, "r1")
    gone(w, end)
    renamed(w, "a", "b")
    w.crash(tree(worker("b"), worker("a", on_unrecoverable="init")))
    assert asked(w, "a", 7, "r1") == Seen([7])
    w.crash()
    assert asked(w, "a", 7, "r1") == Seen([7])
    assert asked(w, "b", 5, "r1") == Seen([5])
    assert (w.peek("a"), w.peek("b")) == ([7], [5])


@ENDS
def test_answers_come_back_with_the_old_name(end: str) -> None:
    w = World(tree(worker("a")))
    asked(w, "a", 5, "r1")
    gone(w, end)
    for pair in (("a", "b"), ("b", "a")):
        renamed(w, *pair)
    for again in (w.crash, w.crash, w.restart):
        again()
        assert asked(w, "a", 5, "r1") == Seen([5])
        assert w.peek("a") == [5]


@ENDS
def test_quarantine_has_the_new_name(end: str) -> None:
    w = World(tree(worker("a", quarantine=2, on_crash="saved")))
    for _ in range(2):
        with pytest.raises(CalleeCrashed):
            w.node.call("a", Boom())
        w.node.run()
    gone(w, end)
    renamed(w, "a", "b")
    for again in (w.crash, w.crash, w.restart):
        again(tree(worker("b", quarantine=2, on_crash="saved")))
        assert [one.worker for one in w.node.quarantined()] == ["b"]
        with pytest.raises(Denied, match="has crashed b 2 times and is in quarantine"):
            w.node.call("b", Boom())


@ENDS
def test_crashes_on_the_way_to_quarantine_are_counted_under_the_new_name(end: str) -> None:
    w = World(tree(worker("a", quarantine=2, on_crash="saved")))
    with pytest.raises(CalleeCrashed):
        w.node.call("a", Boom())
    w.node.run()
    gone(w, end)
    renamed(w, "a", "b")
    w.crash(tree(worker("b", quarantine=2, on_crash="saved")))
    with pytest.raises(CalleeCrashed):
        w.node.call("b", Boom())
    w.node.run()
    with pytest.raises(Denied, match="has crashed b 2 times and is in quarantine"):
        w.node.call("b", Boom())


@ENDS
def test_a_state_in_the_way_of_a_name_is_told_and_set_aside(end: str) -> None:
    w = World(tree(worker("a"), worker("b")))
    w.node.call("a", Add(1))
    w.node.call("b", Add(2))
    gone(w, end)
    said = "\n".join(renamed(w, "a", "b"))
    assert "what was stored of b is set aside as 2: the state " in said
    assert ("[2]" in said) == (end == "stop"), "else it is in the records"
    assert " records behind it" in said
    w.crash(tree(worker("b")))
    assert w.peek("b") == [1]


def test_nothing_of_a_name_is_emptied_by_itself() -> None:
    w = World(tree(worker("a")))
    w.node.call("a", Add(1))
    for wrong in ("a", "", "b/c", "x" * 201):
        with pytest.raises(StorageError, match="called"):
            renamed(w, "a", wrong)
    w.crash()
    assert w.peek("a") == [1]

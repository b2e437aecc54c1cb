"""What is stored of a worker that is down: all that look at a folder tell the same of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import (
    CallError,
    FolderStore,
    ManualClock,
    Node,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.cli.data import shown
from ssm_cli.history.journalled import journalled_node
from ssm_cli.history.past import with_past
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.turns import all_turns
from ssm_cli.storage.contents import history, stored_text
from ssm_cli.storage.repair import Repairing
from ssm_cli.storage.verify import verify


class Add(msgspec.Struct, frozen=True):
    n: int


class Get(msgspec.Struct, frozen=True):
    pass


def step(message: Add | Get, state: int) -> tuple[int, int]:
    match message:
        case Add(n):
            return state + n, state + n
        case Get():
            return state, state


def other_step(message: Add | Get, state: int) -> tuple[int, int]:
    state, _ = step(message, state)
    return state + isinstance(message, Add), state


other_step.__qualname__ = other_step.__name__ = "step"  # the same code, changed


def a_tree(stepping: Any = step) -> Any:
    machine = StateMachine(step=stepping, init=lambda *_: 0, inputs=Add | Get, reads=Get)
    workers = [Worker(name, machine, persist="journal") for name in ("a", "b", "room")]
    pool = Supervisor("rooms", "simple_one_for_one", [workers.pop()])
    return Supervisor("root", children=[*workers, pool], intensity=99)


def started(store: FolderStore, tree: Any = None, **options: Any) -> Node:
    clock = ManualClock()
    return Node(tree or a_tree(), clock=clock, store=store, history=1000, **options).start()


def begun(store: FolderStore) -> Node:
    """A tree that was stopped once, and has served reads and inputs since; it is not stopped."""
    node = started(store)
    node.start_child("rooms", "r")
    for worker in ("a", "b", "rooms:r"):
        node.call(worker, Add(1))
    node.stop()
    node = started(store)
    for worker in ("a", "rooms:r"):
        for _ in range(3):
            node.call(worker, Get())
        node.call(worker, Add(2))
        node.call(worker, Get())
        node.call(worker, Add(3))
    return node


def numbers(node: Node) -> dict[str, list[int]]:
    """The numbers of the inputs that each worker has served since, and that changed something."""
    records = all_turns(Timeline(node, str).history(last=99))["records"]
    found = [(one["worker"], one["record"]) for one in records if one["input"].startswith("Add")]
    return {name: [n for worker, n in found if worker == name] for name in ("a", "rooms:r")}


@pytest.fixture(params=["killed", "stopped"])
def down(tmp_path: Path, request: Any) -> tuple[Path, dict[str, list[int]]]:
    """A folder whose workers are down by another code, in a tree that was killed, or stopped."""
    with FolderStore(tmp_path) as store:
        had = numbers(begun(store))
    with FolderStore(tmp_path) as store:
        node = started(store, a_tree(other_step))
        if request.param == "stopped":
            node.stop()
    return tmp_path, had


def test_a_down_message_names_the_record_that_callers_and_history_have(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        had = numbers(begun(store))
    assert had["a"] == [8, 10], "reads have numbers, and are in no journal"
    with FolderStore(tmp_path) as store:
        node = started(store, a_tree(other_step))
        for worker, (first, _) in had.items():
            with pytest.raises(CallError) as caught:
                node.call(worker, Get())
            assert f"(differs): record {first}: it comes to another" in str(caught.value)
        [said] = {r.detail["error"]["message"] for r in node.reports() if r.id == "a" and
                  r.event == "down"}  # fmt: skip
        assert f"record {had['a'][0]}: " in said


def test_each_record_of_a_journal_has_the_number_of_the_history(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        node = begun(store)
        node.replace_state("a", 7)
        changed = node.record
        had = numbers(node)
    with FolderStore(tmp_path, writing=False) as store:
        records = [stored_text(*one) for one in history(store)]
    tail = [one["number"] for one in records if one["worker"] == "a"][-4:]
    assert tail == [had["a"][0] - 4, *had["a"], changed], "its start, its inputs, and the change"
    with FolderStore(tmp_path) as store:
        again = started(store)
        again.call("b", Add(1))
        assert again.record == changed + 1, "what was done by hand has its number for itself"


def test_a_past_of_a_folder_has_the_numbers_of_the_node(
    down: tuple[Path, dict[str, list[int]]],
) -> None:
    folder, had = down
    with FolderStore(folder, writing=False) as store:
        node, troubles = journalled_node(store, a_tree(), "root")
    assert not troubles
    assert numbers(node) == had
    first, last = had["a"]
    saw = [node.at(record).get_state("a") for record in (first - 1, first, last)]
    assert saw == [1, 3, 6]
    assert (node.get_state("a"), node.get_state("rooms:r"), node.get_state("b")) == (6, 6, 1)
    found = with_past(node, str).perform("replay", worker="all")
    assert (found["total"], found["same"]) == (4, 4)


def test_what_waits_behind_a_saved_state_is_counted_alike_everywhere(
    down: tuple[Path, dict[str, list[int]]],
) -> None:
    folder, had = down
    with FolderStore(folder, writing=False) as store:
        verdict = verify(store, a_tree())
        repairs = {w: Repairing(store, w, None, 0.0).look() for w in had}
        [behind] = [line for line in shown.one(store) if line.startswith("behind:")]
    waits = {w: int(lines[1].split()[2]) for w, lines in repairs.items()}
    assert all(count >= 2 for count in waits.values())
    assert not verdict.problems
    assert verdict.stepped >= sum(waits.values())
    assert int(behind.split()[1]) >= sum(waits.values())
    before = {
        w: int(lines[0].partition("(record ")[2].split(",")[0]) for w, lines in repairs.items()
    }
    assert all(before[w] < first for w, (first, _) in had.items()), before


def test_a_repair_has_a_number_of_its_own_behind_all_others(
    down: tuple[Path, dict[str, list[int]]],
) -> None:
    folder, had = down
    repaired = []
    for worker in had:
        with FolderStore(folder) as store:
            repair = Repairing(store, worker, a_tree(other_step), 0.0)
            notes = repair.as_new()
            repaired.append(repair.carry_out())
        assert [f"record {n} " in "\n".join(notes) for n in had[worker]] == [True, True], notes
    assert repaired == [max(had["rooms:r"]) + 1, max(had["rooms:r"]) + 2]
    with FolderStore(folder) as store:
        node = started(store, a_tree(other_step))
        node.call("a", Add(1))
        assert node.record == repaired[-1] + 1


def test_a_folder_of_a_tree_that_was_stopped_has_its_states_at_their_record(
    tmp_path: Path,
) -> None:
    with FolderStore(tmp_path) as store:
        node = begun(store)
        last = node.record
        node.stop()
    with FolderStore(tmp_path, writing=False) as store:
        past, _ = journalled_node(store, a_tree(), "root")
    assert past.first_record() == past.record == last
    assert [past.get_state(worker) for worker in ("a", "b", "rooms:r")] == [6, 1, 6]
    assert past.at(last).get_state("rooms:r") == 6

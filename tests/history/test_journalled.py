"""The past that a journal holds: what a killed tree has served, without starting it."""

from __future__ import annotations

import gc
import io
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ssm_cli import (
    CallError,
    Cast,
    FolderStore,
    Forgotten,
    ManualClock,
    Node,
    NoProc,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.effects import Exit
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.past import opened
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.text import crash_lines
from ssm_cli.history import journalled
from ssm_cli.history.journalled import journalled_node
from ssm_cli.history.past import with_past
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.turns import all_turns
from ssm_cli.runtime.durable.records import Change, Code
from ssm_cli.runtime.engine.crashes import KEPT_CRASHES
from ssm_cli.spec.load import load_tree
from ssm_cli.storage.contents import history, stored_text
from tests.program import ssm


def step(message: str, state: dict[str, int]) -> Any:
    if message == "crash":
        raise ValueError("as asked")
    return {**state, message: state.get(message, 0) + 1}, "Ok"


def other_step(message: str, state: dict[str, int]) -> Any:
    return {**state, message: state.get(message, 0) + 2}, "Ok"


def a_tree(stepping: Any = step) -> Any:
    machine = StateMachine(step=stepping, init=lambda *_: {})
    return Supervisor(
        "root",
        intensity=99,
        children=[Worker(name, machine, persist="journal") for name in ("one", "two")],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data of a tree that was killed: nothing of it was stopped."""
    with FolderStore(tmp_path / "data") as store:
        node = Node(a_tree(), clock=ManualClock(), store=store, history=1000).start()
        for name, message in [("one", "a"), ("two", "b"), ("one", "a"), ("one", "crash"),
                                 ("one", "c")]:  # fmt: skip
            try:
                node.call(name, message)
            except CallError:
                continue
        node.replace_state("two", {"b": 7})
        node.call("two", "b")
    return tmp_path / "data"


def timeline(folder: Path, tree: Any) -> tuple[Node, Timeline, list[Any]]:
    with FolderStore(folder, writing=False) as store:
        node, troubles = journalled_node(store, tree, "root")
    return node, Timeline(node, str), troubles


def records_of(past: Timeline) -> list[Any]:
    """All that a past tells."""
    found: list[Any] = all_turns(past.history(last=99))["records"]
    return found


def test_records_have_the_numbers_and_the_changes_that_the_node_gave(folder: Path) -> None:
    _, past, troubles = timeline(folder, a_tree())
    assert not troubles
    records = [one for one in records_of(past) if one["how"] != "start"]
    assert [(one["record"], one["worker"], one["input"], one["outcome"]) for one in records] == [
        (1, "one", "a", "replied"), (2, "two", "b", "replied"), (3, "one", "a", "replied"),
        (4, "one", "crash", "crashed"), (5, "one", "c", "replied"),
        (6, "two", '{"b": 7}', "replied"),
        (7, "two", "b", "replied"),
    ]  # fmt: skip
    assert [one["changed"] for one in records][2] == [{"path": "a", "before": 1, "after": 2}]
    assert [one["changed"] for one in records][5:] == [
        [{"path": "b", "before": 1, "after": 7}],
        [{"path": "b", "before": 7, "after": 8}],
    ]


class Counting:
    """Text as it is, and how many inputs it was asked to decode."""

    decoded = 0

    def decode(self, data: bytes) -> str:
        self.decoded += 1
        return data.decode()

    def encode(self, value: object) -> bytes:
        return str(value).encode()


def test_an_input_is_decoded_once_to_be_stepped_and_to_be_shown(tmp_path: Path) -> None:
    codec = Counting()
    machine = StateMachine(step=step, init=lambda *_: {})
    tree = Supervisor("root", children=[Worker("one", machine, persist="journal", codec=codec)])
    with FolderStore(tmp_path) as store:
        node = Node(tree, clock=ManualClock(), store=store, history=100).start()
        for number in range(20):
            node.cast("one", str(number))
        node.run()
    codec.decoded = 0
    _, past, _ = timeline(tmp_path, tree)
    inputs = [one["input"] for one in records_of(past) if one["how"] == "cast"]
    assert inputs == [str(number) for number in range(20)]
    assert codec.decoded == 20


class Reading(FolderStore):
    """A folder that counts how often its journal is read."""

    reads = 0

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        self.reads += 1
        return super().read(after)


def test_a_journal_of_no_pools_is_read_once(folder: Path) -> None:
    with Reading(folder, writing=False) as store:
        node, _ = journalled_node(store, a_tree(), "root")
    assert node.record == 7
    assert store.reads == 1


def test_what_was_frozen_for_the_collector_stays_frozen(folder: Path) -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        timeline(folder, a_tree())
        assert frozen - gc.get_freeze_count() < frozen / 2  # some of it may have died
    finally:
        gc.unfreeze()
    timeline(folder, a_tree())
    assert gc.get_freeze_count() == 0


def test_questions_are_answered_and_what_a_journal_does_not_hold_is_said(folder: Path) -> None:
    node, past, _ = timeline(folder, a_tree())
    assert [one["record"] for one in past.blame("two", "b")["records"]] == [7, 6, 2]
    assert past.when("one", "state.a > 1")["record"]["record"] == 3
    assert past.why("3")["records"][0]["input"] == "a"
    with pytest.raises(Forgotten, match="record 8 is not in the journal, which holds 0 to 7"):
        node.at(8)


def test_at_a_record_the_tree_has_its_durable_workers_with_their_states_of_then(
    folder: Path,
) -> None:
    node, _, _ = timeline(folder, a_tree())
    saw = [(node.at(n).get_state("one"), node.at(n).get_state("two")) for n in (1, 2, 3, 5, 6, 7)]
    assert saw == [
        ({"a": 1}, {}), ({"a": 1}, {"b": 1}), ({"a": 2}, {"b": 1}), ({"c": 1}, {"b": 1}),
        ({"c": 1}, {"b": 7}), ({"c": 1}, {"b": 8}),
    ]  # fmt: skip
    assert (node.get_state("one"), node.first_record()) == ({"c": 1}, 0)


def test_what_no_journal_holds_does_not_run_there(folder: Path) -> None:
    tree = a_tree()
    plain = Worker("plain", StateMachine(step=step, init=lambda *_: pytest.fail("init ran")))
    node, _, _ = timeline(folder, replace(tree, children=(*tree.children, plain)))
    assert [(view.id, view.state) for view in node.at(2).tree().children] == [
        ("one", "running"), ("two", "running"), ("plain", "stopped"),
    ]  # fmt: skip
    for asked in (node, node.at(2)):
        with pytest.raises(NoProc, match="plain is not running: no start of it is known here"):
            asked.get_state("plain")


def a_hotel() -> Any:
    """A pool of workers, a pool of supervisors, and a pool that keeps nobody."""
    machine = StateMachine(step=step, init=lambda *_: {})
    room, bed = (Worker(name, machine, persist="journal") for name in ("room", "bed"))
    wing = Supervisor("wing", children=[bed, Worker("plain", machine)])
    pools: list[tuple[str, Any]] = [
        ("rooms", room), ("wings", wing), ("guests", Worker("guest", machine)),
    ]  # fmt: skip
    return Supervisor("root", children=[Supervisor(n, "simple_one_for_one", [t]) for n, t in pools])


def hotel_run(store: FolderStore) -> Node:
    """A tree whose pools get children between its inputs; killed, as nothing of it is stopped."""
    node = Node(a_hotel(), clock=ManualClock(), store=store, history=1000).start()
    node.start_child("rooms", "a")
    node.start_child("guests", "g")
    node.call("rooms:a", "x")
    node.start_child("wings", "w")
    node.call("wings:w/bed", "y")
    node.call("rooms:a", "x")
    node.start_child("rooms", "b")
    node.replace_state("rooms:a", {"x": 7})
    node.call("rooms:b", "z")
    return node


def of_pools(node: Any) -> Any:
    """The children of the durable pools, and the states of their durable workers."""
    ids = [child.id for pool in node.tree().children[:2] for child in pool.children]
    beds = [f"{one}/bed" if one.startswith("wings") else one for one in ids]
    return [(one, node.get_state(one)) for one in beds]


def test_at_each_record_pools_have_the_children_that_the_live_tree_had(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        live = hotel_run(store)
        had = [of_pools(live.at(record)) for record in range(live.record + 1)]
    assert [len(one) for one in had] == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    node, _, troubles = timeline(tmp_path, a_hotel())
    assert not troubles
    assert [of_pools(node.at(record)) for record in range(live.record + 1)] == had
    assert of_pools(node) == had[-1]
    assert [pool.children for pool in node.tree().children[2:]] == [()], "nobody is kept there"


def test_who_has_left_a_pool_since_is_there_until_then(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        live = hotel_run(store)
        live.terminate_child("rooms", "rooms:a")
        live.terminate_child("wings", "wings:w")
        live.call("rooms:b", "z")
        numbers = range(live.record + 1)
        had = [sorted(of_pools(live.at(record))) for record in numbers]
    assert [len(one) for one in had[-4:]] == [3, 2, 1, 1]
    node, past, troubles = timeline(tmp_path, a_hotel())
    assert not troubles
    assert [sorted(of_pools(node.at(record))) for record in numbers] == had
    assert of_pools(node) == had[-1]
    assert [one["record"] for one in past.blame("rooms:a", "x")["records"]] == [8, 6, 3]


@pytest.mark.parametrize("last", ["killed", "killed again", "stopped", "killed once more"])
def test_who_was_ended_last_is_gone_and_the_others_are_known_in_each_life(
    tmp_path: Path, last: str
) -> None:
    def life() -> Node:
        return Node(a_hotel(), clock=ManualClock(), store=store, history=1000).start()

    with FolderStore(tmp_path) as store:
        node = hotel_run(store)
        node.terminate_child("rooms", "rooms:b")
        if last != "killed":
            node = life()
            node.call("rooms:a", "x")
        if last in ("stopped", "killed once more"):
            node.stop()
        if last == "killed once more":
            node = life()
            node.call("rooms:a", "x")
        number = node.record
    past, _, troubles = timeline(tmp_path, a_hotel())
    count = {"killed": 7, "killed again": 8, "stopped": 8, "killed once more": 9}[last]
    for tree in (past, past.at(number)):
        assert of_pools(tree) == [("rooms:a", {"x": count}), ("wings:w/bed", {"y": 1})]
    assert (past.record, troubles) == (number, [])


@pytest.mark.parametrize("name", ["rooms:a", "root/rooms/a", "a"])
def test_a_child_of_a_pool_is_asked_and_forked_by_each_of_its_names(
    tmp_path: Path, name: str
) -> None:
    with FolderStore(tmp_path) as store:
        hotel_run(store)
    node, _, _ = timeline(tmp_path, a_hotel())
    assert node.at(3).get_state(name) == {"x": 1}
    fork = with_past(node, str).perform("fork", at="3")["place"]
    there = with_past(node, str).perform("standing", fork, reading=False)
    there.call(name, "x")
    assert there.get_state(name) == {"x": 2}


def test_a_fork_of_a_journal_goes_on_and_steps_again_without_an_input(folder: Path) -> None:
    node, _, _ = timeline(folder, a_tree())
    ask = with_past(node, str).perform
    place = ask("fork", at="3")["place"]
    fork = ask("standing", place, reading=False)
    fork.call("one", "a")
    assert fork.get_state("one") == {"a": 3}
    place = ask("fork", at="3")["place"]
    assert [c["path"] for c in ask("without", records="1", at=place)["changes"]] == ["a"]
    assert ask("standing", place, reading=True).get_state("one") == {"a": 1}
    assert node.get_state("one") == {"c": 1}


def test_how_an_input_crashed_is_found_by_its_step_and_shrunk(folder: Path) -> None:
    node, past, _ = timeline(folder, a_tree())
    crash = next(r for r in records_of(past) if r["outcome"] == "crashed")
    assert crash["error"] == {"type": "ValueError", "message": "as asked"}
    found = with_past(node, str).perform("shrink")
    assert found["said"].startswith("3 inputs -> 1 input from init")


def test_crash_tells_of_the_crashes_in_a_journal_as_their_steps_come_out(folder: Path) -> None:
    node, past, _ = timeline(folder, a_tree())
    (record,) = [r["record"] for r in records_of(past) if r["outcome"] == "crashed"]
    (report,) = node.crash_reports()
    assert (report.record, report.worker, report.path) == (record, "one", "root/one")
    assert (report.error_type, report.error_message) == ("ValueError", "as asked")
    assert (report.input, report.state) == ("crash", '{"a": 2}')
    assert [frame.partition(" in ")[2] for frame in report.stack] == [
        'step: raise ValueError("as asked")'
    ]
    assert crash_lines(report)[-1] == "decision  unknown"
    assert (report.decision, report.strategy, report.seq) == ("unknown", "", 0)
    assert node.crash_reports("root/one", 5) == [report]
    assert node.crash_reports("two") == node.crash_reports(last=0) == []
    assert node.at(record).crash_reports() == [report]
    assert node.at(record - 1).crash_reports() == []
    with pytest.raises(CallError, match="no worker three"):
        node.crash_reports("three")


def test_only_so_many_crashes_of_a_journal_are_told_as_a_running_tree_keeps(
    tmp_path: Path,
) -> None:
    def crashing(message: str, state: dict[str, int]) -> Any:
        return step("crash" if message.startswith("crash") else message, state)

    with FolderStore(tmp_path / "data") as store:
        tree = replace(a_tree(crashing), intensity=1000)
        node = Node(tree, clock=ManualClock(), store=store, history=1000).start()
        for number in range(KEPT_CRASHES + 5):
            with pytest.raises(CallError):
                node.call("one", f"crash {number}")
        node.call("one", "a")
    there, _, _ = timeline(tmp_path / "data", tree)
    reports = there.crash_reports()
    assert len(reports) == KEPT_CRASHES
    assert [report.record for report in reports][-2:] == [KEPT_CRASHES + 4, KEPT_CRASHES + 5]


def test_a_crash_that_the_code_here_no_longer_has_says_that_it_is_not_known(folder: Path) -> None:
    _, past, _ = timeline(folder, a_tree(other_step))
    crash = next(r for r in records_of(past) if r["outcome"] == "crashed")
    assert crash["error"]["message"] == "the journal does not say why"
    (report,) = with_past(timeline(folder, a_tree(other_step))[0], str).crash_reports()
    assert report.error_message == "the journal does not say why"


def test_a_replay_does_not_compare_outputs_that_no_journal_holds(folder: Path) -> None:
    node, _, _ = timeline(folder, a_tree())
    found = with_past(node, str).perform("replay", worker="all")
    assert (found["total"], found["same"]) == (6, 6)


def test_nothing_is_written_and_a_running_tree_is_no_hindrance(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with FolderStore(folder) as writing:
        held = {path: path.read_bytes() for path in before if path.exists()}
        timeline(folder, a_tree())
        assert {path: path.read_bytes() for path in held} == held
        assert writing.last() > 0


def test_a_record_older_than_the_saved_states_is_told_of_as_that(
    tmp_path: Path,
) -> None:
    tree, data = tmp_path / "t.yaml", tmp_path / "data"
    tree.write_text(
        "supervisor: root\nchildren:\n"
        "- {worker: a, start: 'ssm_cli.machines.kv:kv_store', persist: journal}\n"
    )
    with FolderStore(data) as store:
        node = Node(load_tree(str(tree)), clock=ManualClock(), store=store, history=16).start()
        node.call("a", b"Store x 1")
        node.call("a", b"Store x 5")
        node.stop()
    run = ssm("open", str(data), "--tree", str(tree), "--", "state", "a", "--at", "1")
    assert run.stdout == ""
    assert run.stderr.splitlines()[-1] == (
        "record 1 is older than the saved states: the tree can be shown from record 2 on; "
        "`ssm data export` prints the older inputs that are kept"
    )
    assert '"Store x 1"' in ssm("data", "export", "--data", str(data)).stdout


BULK, MOST = 100_000, 2_000_000


def bulky(message: str, state: dict[str, str]) -> Any:
    if message == "end":
        return state, "Ok", [Exit("normal")]
    return {"last": message, "bulk": message.ljust(BULK)}, "Ok"


def bulky_tree() -> Any:
    machine = StateMachine(step=bulky, init=lambda *_: {"last": ""})
    workers = [Worker(name, machine, persist="journal") for name in ("one", "two", "idle")]
    pool = Supervisor("pool", "simple_one_for_one", [Worker("w", machine, persist="journal")])
    return Supervisor("root", intensity=99, children=[*workers, pool])


@pytest.fixture
def bulk(tmp_path: Path) -> Path:
    """The data of a tree whose states are large; one child of its pool has gone early on."""
    with FolderStore(tmp_path / "bulk") as store:
        node = Node(bulky_tree(), clock=ManualClock(), store=store, history=1000).start()
        for label in "xy":
            node.start_child("pool", label)
        node.call("idle", "once")
        node.call("pool:x", "x")
        node.terminate_child("pool", "pool:y")
        for number in range(90):
            node.call("one" if number % 3 else "two", f"m{number}")
    return tmp_path / "bulk"


def opened_bulk(folder: Path, most: int) -> tuple[Node, Timeline, list[int]]:
    left = list[int]()
    with FolderStore(folder, writing=False) as store:
        node, troubles = journalled_node(store, bulky_tree(), "root", most, left.append)
    assert troubles == []
    return node, Timeline(node, str), left


def test_of_a_journal_with_large_states_the_last_records_are_held_and_the_others_told_of(
    bulk: Path,
) -> None:
    whole, all_of_it, none = opened_bulk(bulk, 10**9)
    node, past, left = opened_bulk(bulk, MOST)
    every, kept = records_of(all_of_it), records_of(past)
    assert none == []
    assert MOST // BULK // 2 < len(kept) < 2 * MOST // BULK
    assert kept == every[-len(kept) :]
    assert left[0] >= len(every) - len(kept)
    first, last = node.first_record(), node.record
    assert first == kept[0]["record"] - 1
    for record in range(first, last + 1):
        then, all_then = node.at(record), whole.at(record)
        for name in ("one", "two", "idle", "pool:x"):
            assert then.get_state(name) == all_then.get_state(name), (record, name)
        assert [one.id for one in then.which_children("pool")] == [
            one.id for one in all_then.which_children("pool")
        ]
    with pytest.raises(Forgotten, match=f"left out here, .* from record {first} on; `ssm data exp"):
        node.at(first - 1)


def test_what_a_large_journal_holds_does_not_grow_with_it(bulk: Path) -> None:
    with FolderStore(bulk, writing=False) as store:
        tracemalloc.start()
        try:
            node, _ = journalled_node(store, bulky_tree(), "root", MOST)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert node.record > 90
    assert held < 2 * MOST < 90 * BULK


@pytest.mark.parametrize("most", [1, 16, 90])
def test_only_so_many_records_are_held(
    bulk: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = records_of(opened_bulk(bulk, 10**9)[1])
    monkeypatch.setattr(journalled, "MOST_RECORDS", max(16, most))
    node, past, left = opened_bulk(bulk, 10**9)
    kept = records_of(past)
    assert kept == every[-len(kept) :]
    assert 1 <= len(kept) <= max(16, most)
    assert left[0] > 0
    assert node.get_state("idle")["last"] == "once"


def test_opening_a_large_journal_says_what_is_left_out(
    bulk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journalled, "MOST_RECORDS", 20)
    stderr = io.StringIO()
    env = Environment(io.StringIO(), io.StringIO(), stderr, {})
    tree = bulk.parent / "t.py"
    tree.write_text("from tests.history.test_journalled import bulky_tree as tree\n")
    opened(env, bulk, str(tree))
    said = r"\d+ older records of these left out, as at most 20 records, and about 64 MiB of inputs"
    assert re.search(said, stderr.getvalue())


def test_code_that_steps_to_something_else_is_named(folder: Path) -> None:
    _, _, troubles = timeline(folder, a_tree(other_step))
    assert {trouble.worker for trouble in troubles} == {"one", "two"}


def test_a_folder_is_opened_from_the_command_line(folder: Path) -> None:
    run = ssm("open", str(folder), "--", "history")
    assert run.returncode == 2
    assert "name the tree that steps it, by --tree FILE" in run.stderr
    run = ssm("open", str(folder.parent), "--tree", "trees/kv.yaml", "--", "history")
    assert run.returncode == 74
    assert "holds no data of a tree" in run.stderr


def test_the_verbs_that_look_take_a_folder_too_and_say_what_is_not_known(tmp_path: Path) -> None:
    tree, data = tmp_path / "t.yaml", tmp_path / "data"
    kv = "start: ssm_cli.machines.kv:kv_store"
    tree.write_text(
        f"supervisor: root\nchildren:\n- {{worker: a, {kv}, persist: journal}}\n"
        f"- {{worker: b, {kv}}}\n"
    )
    with FolderStore(data) as store:
        node = Node(load_tree(str(tree)), clock=ManualClock(), store=store, history=16).start()
        node.call("a", b"Store x 1")
        node.call("a", b"Store x 5")
    run = ssm("state", "a", "--at", "1", "--data", str(data), "--tree", str(tree))
    assert (run.returncode, run.stdout) == (0, '{"x": 1}\n')
    assert "nothing is known of b: no journal holds a state of theirs" in run.stderr
    run = ssm("tree", "--data", str(data), "--name", "kv")
    assert run.returncode == 2
    assert "--data asks no running tree; leave out --url and --name" in run.stderr
    run = ssm("open", str(data), "--tree", str(tree), "--", "adopt", "a", "--why", "x", "--yes")
    assert run.returncode == 2
    assert "nobody runs here to adopt it" in run.stderr


def test_who_asked_for_a_change_and_why_is_in_the_journal(tmp_path: Path) -> None:
    with FolderStore(tmp_path / "data") as store:
        node = with_past(
            Node(a_tree(), clock=ManualClock(), store=store, history=1000).start(), str
        )
        node.call("one", b"a")
        command = parse_line("set one {}", ("one",))
        assert command is not None
        execute(command, node)
        place = node.perform("fork")["place"]
        given = {"worker": "one", "why": "counted twice", "sure": "yes", "at": place}
        node.perform("standing", place, reading=False).replace_state("one", {"a": 7})
        adopted = node.perform("adopt", **given)["number"]
        with node.asked_by("http"):
            node.replace_state("two", {"b": 3})
        live = records_of(Timeline(node, str))
        changes = [stored_text(*one) for one in history(store) if type(one[1]) is Change]
    told = [(one["how"], one["by"]) for one in live if one["by"]]
    assert told == [("replace_state", "prompt"), ("adopted", "counted twice"),
                    ("replace_state", "http")]  # fmt: skip
    assert [(one["how"], one["by"]) for one in changes] == told
    _, past, troubles = timeline(tmp_path / "data", a_tree())
    assert not troubles
    assert [(one["how"], one["by"]) for one in records_of(past) if one["by"]] == told
    assert all_turns(past.why(str(adopted)))["records"][0]["by"] == "counted twice"


def test_a_change_of_a_journal_of_before_is_read_and_one_of_now_by_an_older_ssm() -> None:
    class Before(msgspec.Struct, frozen=True, array_like=True, tag="set"):
        worker: str
        at_s: float
        state: bytes
        code: Code = Code()
        number: int = 0

    old, new = Before("kv", 1.0, b"s", number=3), Change("kv", 1.0, b"s", number=3, by="why")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Change) == replace(new, by="")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(new), type=Before) == old


def asking(message: str, state: int) -> Any:
    match message:
        case "cast":
            return state + 1, None, [Cast("two", "one")]
        case "timer":
            return state, None, [StartTimer("t", 1000, "came")]
    return state + 1, None


def asking_twice(message: str, state: int) -> Any:
    state, output, *effects = asking(message, state)
    return state, output, [*effects[0], *effects[0]] if effects else []


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """The data of a tree whose workers ask for effects, and was started three times."""
    for number in range(3):
        with FolderStore(tmp_path / "data") as store:
            clock = ManualClock(wall_s=1000.0 * number)
            node = Node(asking_tree(asking), clock=clock, store=store, history=100).start()
            for message in ("cast", "timer", "none"):
                node.call("one", message)
                node.run(2.0)
    return tmp_path / "data"


def asking_tree(stepping: Any) -> Any:
    machine = StateMachine(step=stepping, init=lambda *_: 0)
    return Supervisor(
        "root", children=[Worker(name, machine, persist="journal") for name in ("one", "two")]
    )


def test_a_replay_of_a_journal_knows_effects_and_outputs_of_none(asked: Path) -> None:
    node, _, _ = timeline(asked, asking_tree(asking))
    found = with_past(node, str).perform("replay", worker="all")
    assert (found["total"], found["same"]) == (15, 15)


def test_another_code_that_asks_for_more_is_found_in_a_journal(asked: Path, tmp_path: Path) -> None:
    node, _, _ = timeline(asked, asking_tree(asking))
    code = tmp_path / "other.py"
    text = "from tests.history.test_journalled import asking_twice\nasking = asking_twice\n"
    code.write_text(text, encoding="utf-8")
    found = with_past(node, str).perform("replay", worker="one", code=str(code))
    assert (found["same"], found["effects"]) == (6, 6)
    assert [change["path"] for change in found["firsts"][0]["changes"]] == ["[1]"]


def test_a_record_keeps_its_time_when_the_tree_starts_again_behind_it(asked: Path) -> None:
    node, _, _ = timeline(asked, asking_tree(asking))
    recorder = node.recorder()
    assert recorder is not None
    times_s = [recorder.instants.of(number)[1] for number in range(1, 11)]
    assert times_s == [0, 0, 2, 3, 4, 1000, 1000, 1002, 1003, 1004]

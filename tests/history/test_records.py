"""Records: what a node has served, told as values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import msgspec
import pytest

from ssm_cli import (
    CallError,
    Forgotten,
    ManualClock,
    Node,
    StateMachine,
    Strategy,
    Supervisor,
    Worker,
    load_tree,
)
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.history.past import with_past
from ssm_cli.history.records import Served, latest_of, served_in
from ssm_cli.machines.kv import Lookup, Store, kv_store


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(load_tree("trees/kv.yaml"), clock=ManualClock(), history=1000) as node:
        yield node


def records(node: Node) -> list[Served]:
    recorder = node.recorder()
    assert recorder is not None
    return list(served_in(recorder))


def latest(node: Node) -> Served:
    recorder = node.recorder()
    assert recorder is not None
    one = latest_of(recorder, node.record)
    assert one is not None
    return one


def test_a_record_says_what_came_and_what_came_of_it(node: Node) -> None:
    node.call("kv2", Store("x", 1))
    one = latest(node)
    assert (one.record, one.worker, one.how, one.input) == (1, "kv2", "call", Store("x", 1))
    assert (one.before, one.after, one.outcome) == ({}, {"x": 1}, "replied")


def test_a_crash_is_a_record_with_its_place_and_keeps_the_state_from_before(node: Node) -> None:
    node.call("kv2", Store("x", 1))
    with pytest.raises(CallError):
        node.call("kv2", Lookup("crash"))
    one = latest(node)
    assert (one.record, one.outcome, one.after) == (2, "crashed", {"x": 1})
    assert one.failure is not None
    assert one.failure.type == "ZeroDivisionError"
    assert "in step" in one.failure.stack[-1]
    assert [r.how for r in records(node)[-2:]] == ["start", "start"]  # of kv2, and of kv3 behind


def test_what_is_done_by_hand_has_a_number_and_says_what_it_changed(node: Node) -> None:
    node.replace_state("kv2", {"y": 2})
    one = latest(node)
    assert (one.record, one.how, one.before, one.after) == (1, "replace_state", {}, {"y": 2})


def test_reports_and_crash_reports_carry_the_record(node: Node) -> None:
    node.call("kv2", Store("x", 1))
    with pytest.raises(CallError):
        node.call("kv2", Lookup("crash"))
    assert {r.record for r in node.reports() if r.event == "crashed"} == {2}
    assert [crash.record for crash in node.crash_reports()] == [2]
    assert {r.record for r in node.reports() if r.seq < 11} == {0}


def test_a_call_tells_the_number_of_its_record(node: Node) -> None:
    node.call("kv2", Store("x", 1))
    node.call_value("kv2", b"Lookup x")
    assert node.answered() == node.record == 2


def test_a_record_that_is_not_there_is_told_with_those_that_are(node: Node) -> None:
    with pytest.raises(Forgotten, match="no record 7; the last one is 0"):
        node.at(7)
    with pytest.raises(Forgotten, match="remembers nothing"):
        node.at(0).at(0)


def test_old_records_are_forgotten_and_the_bound_holds() -> None:
    with Node(load_tree("trees/kv.yaml"), clock=ManualClock(), history=64) as node:
        for number in range(1000):
            node.call("kv2", Store("x", number))
        recorder = node.recorder()
        assert recorder is not None
        assert len(recorder.ring) <= 64
        assert node.record == 1000
        assert 936 <= node.first_record() <= 984
        assert node.at(990).get_state("kv2") == {"x": 989}
        with pytest.raises(Forgotten, match="record 3 is forgotten"):
            node.at(3)


def test_large_states_are_bounded_by_their_bytes() -> None:
    with Node(load_tree("trees/kv.yaml"), clock=ManualClock(), history=10_000) as node:
        recorder = node.recorder()
        assert recorder is not None
        recorder.most_bytes = 8_000_000
        for number in range(100):
            node.call("kv2", Store(f"{number:0500000}", number))
        assert len(recorder.ring) < 30


def test_a_worker_that_changes_its_state_in_place_is_noticed() -> None:

    def step(message: str, state: list[str]) -> tuple[list[str], int]:
        state.append(message)
        return state, len(state)

    tree = Supervisor("root", children=[Worker("w", StateMachine(step=step, init=lambda *_: []))])
    with Node(tree, clock=ManualClock(), history=100) as node:
        for word in "abc":
            node.call("w", word)
        recorder = node.recorder()
        assert recorder is not None
        recorder.impure.compare()
        assert list(recorder.impure.found) == ["w"]


@pytest.mark.parametrize("wrong", [-1, 1, 15, True, "many", 10**9])
def test_a_number_of_records_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="no number of records"):
        Node(load_tree("trees/kv.yaml"), history=wrong)  # type: ignore[arg-type]  # the claim


def test_the_tree_is_there_at_the_last_record_whatever_has_happened_at_once() -> None:
    children = [Worker(f"w{number}", StateMachine(step=crash)) for number in range(50)]
    tree = Supervisor("root", "one_for_all", children)
    with Node(tree, clock=ManualClock(), history=16) as node:
        node.cast("w7", "crash")
        node.run()
        assert node.at(node.record).tree() == node.tree()


def crash(message: str, _: object) -> NoReturn:
    raise ValueError(message)


def test_crashes_with_large_inputs_are_bounded_as_all_else_is() -> None:
    tree = Supervisor("root", children=[Worker("w", StateMachine(step=crash))], intensity=10**6)
    with Node(tree, clock=ManualClock(), history=1000) as node:
        recorder = node.recorder()
        assert recorder is not None
        recorder.most_bytes = 500_000
        for number in range(600):
            node.cast("w", "x" * 5000 + str(number))
            node.run()
        assert node.record == 600
        assert 20 < len(recorder.ring) < 600


def test_states_that_are_made_anew_each_time_are_bounded_by_their_bytes() -> None:
    def step(message: int, _: object) -> tuple[list[list[int]], int]:
        return [[message * 1000 + number for number in range(300)] for _ in range(30)], message

    machine = StateMachine(step=step, init=lambda *_: [])
    tree = Supervisor("root", children=[Worker("w", machine)])
    with Node(tree, clock=ManualClock(), history=10_000) as node:
        recorder = node.recorder()
        assert recorder is not None
        recorder.most_bytes = 4_000_000
        for number in range(200):
            node.call("w", number)
        assert 3 < len(recorder.ring) < 60  # of some 300 kB each


def test_a_large_state_of_which_little_changes_is_not_weighed_at_each_input() -> None:
    machine = StateMachine(
        step=lambda last, state: ({**state, "last": last}, None),
        init=lambda *_: {"all": dict.fromkeys(range(5000), "x" * 100), "last": None},
    )
    tree = Supervisor("root", children=[Worker("shop", machine)])
    with Node(tree, clock=ManualClock(), history=1000) as node:
        for number in range(400):
            node.call("shop", number)
        cell = node._world.names["shop"]
        assert cell.extra is None or cell.extra.weighed == 0
        for number in range(300):
            node.call("shop", f"{number}" * 50_000)
        assert cell.extra is not None
        assert cell.extra.weighed > 0


def test_a_refused_input_has_not_the_record_of_the_one_before(node: Node) -> None:
    pool = Supervisor("users", Strategy.SIMPLE_ONE_FOR_ONE, [Worker("user", kv_store)])
    node.start_child("root", pool)
    node.cast("kv2", b"Store x 1")
    node.cast("kv2", b"Nonsense 1")
    node.cast("users:nobody", b"Store x 1")
    node.run(0)
    with pytest.raises(CallError):
        node.call("kv2", b"Lookup crash")
    told = [(r.event, r.record) for r in node.reports() if r.event in ("undecodable", "dropped")]
    assert told == [("dropped", 0), ("undecodable", 0)]
    assert {r.record for r in node.reports() if r.event in ("crashed", "restarting")} == {3}


@pytest.mark.parametrize("line", ["call nobody Lookup x", "call kv2 Nonsense x"])
def test_a_refused_call_has_no_record_and_does_not_say_who_asked_for_another(
    node: Node, line: str
) -> None:
    with_past(node, str)
    first, second = (parse_line(line, ["kv2"]) for line in ("kv2 Store x 1", line))
    assert first is not None
    assert second is not None
    assert execute(first, node).records[0]["record"] == 1  # type: ignore[index]  # a reply
    refused = execute(msgspec.structs.replace(second, place="other.ssm:1"), node)
    assert "record" not in refused.records[0]  # type: ignore[operator]  # a reply
    assert node.perform("history")["records"][-1]["by"] == "prompt"


def test_changes_by_hand_say_who_has_asked_for_them(node: Node) -> None:
    with_past(node, str)
    node.replace_state("kv2", lambda _: {})
    for line in ("set kv2 {}", "kill kv2", "terminate-child root kv1", "suspend kv3"):
        command = parse_line(line, node.names("worker"))
        assert command is not None
        execute(msgspec.structs.replace(command, place=f"night.ssm:{line}"), node)
    told = {r["how"]: r["by"] for r in node.perform("history")["records"] if r["record"] > 1}
    by_hand = {how: by for how, by in told.items() if how not in ("start", "exit")}
    assert list(by_hand.values()) == [
        "night.ssm:set kv2 {}", "night.ssm:kill kv2", "night.ssm:terminate-child root kv1",
        "night.ssm:suspend kv3",
    ]  # fmt: skip
    assert node.perform("why", record="1")["records"][0]["by"] == ""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    CalleeStopped,
    Ignore,
    ManualClock,
    Node,
    SsmError,
    StartFailed,
    Stop,
    Supervisor,
    Worker,
)
from ssm_cli.spec.model import ChildSpec, SupervisorSpec
from tests.runtime.workers import Server, actor, events, running, worker


def refusing(name: str, answer: object, start: Any = actor) -> ChildSpec:
    return Worker(name, start, args={"init": lambda _: answer})


def raising(name: str) -> ChildSpec:
    def init(_: str) -> object:
        raise OSError("no disk")

    return Worker(name, actor, args={"init": init})


def failing(tree: SupervisorSpec) -> tuple[Node, StartFailed]:
    node = Node(tree, clock=ManualClock())
    with pytest.raises(StartFailed) as caught:
        node.start()
    return node, caught.value


def test_children_start_depth_first_in_order_and_stop_in_reverse() -> None:
    inner = Supervisor("inner", children=[worker("b"), worker("c")])
    with running(worker("a"), inner, worker("d")) as node:
        assert [e for e in events(node) if e.startswith("started")] == [
            "started a", "started b", "started c", "started inner", "started d", "started root",
        ]  # fmt: skip
        before = len(node.reports())
    assert [e for e in events(node, before) if not e.startswith("terminating")] == [
        "terminated d", "terminated c", "terminated b", "exited inner", "terminated a",
        "exited root", "stopped root",
    ]  # fmt: skip


@pytest.mark.parametrize("start", [actor, Server])
def test_a_child_that_answers_ignore_is_kept_without_a_process(start: object) -> None:
    with running(refusing("a", Ignore(), start), worker("b")) as node:
        assert "ignored a" in events(node)
        assert [(c.id, c.state) for c in node.which_children("root")] == [
            ("b", "running"), ("a", "undefined"),
        ]  # fmt: skip


@pytest.mark.parametrize("start", [actor, Server])
def test_a_child_that_answers_stop_fails_the_start_with_its_reason(start: object) -> None:
    bad = refusing("b", Stop("no paper"), start)
    _, error = failing(Supervisor("root", children=[worker("a"), bad]))
    assert error.term == {"shutdown": {"failed_to_start_child": ["b", "no paper"]}}
    assert not error.ignored


def test_a_child_that_raises_fails_the_start_and_the_report_says_what_it_raised() -> None:
    node, error = failing(Supervisor("root", children=[raising("a")]))
    assert error.term == {"shutdown": {"failed_to_start_child": ["a", "crash"]}}
    (report, _) = (report for report in node.reports() if report.event == "start_failed")
    assert report.detail["error"] == {"type": "OSError", "message": "no disk"}


def test_a_gen_server_whose_init_answers_nonsense_fails_to_start() -> None:
    _, error = failing(Supervisor("root", children=[refusing("a", 5, Server)]))
    assert error.term == {"shutdown": {"failed_to_start_child": ["a", "bad_return_value"]}}


def test_something_that_is_no_behaviour_is_refused_before_anything_starts() -> None:
    with pytest.raises(SsmError, match=r"root/a\.start: is an object; expected a StateMachine or"):
        Node(Supervisor("root", children=[Worker("a", object())]))  # type: ignore[arg-type]  # that is what is wrong


def test_what_had_started_is_stopped_in_reverse_through_all_levels() -> None:
    inner = Supervisor("inner", children=[worker("b"), worker("c"), raising("d"), worker("e")])
    node, error = failing(Supervisor("root", children=[worker("a"), inner, worker("f")]))
    assert error.term == {
        "shutdown": {
            "failed_to_start_child": [
                "inner",
                {"shutdown": {"failed_to_start_child": ["d", "crash"]}},
            ]
        }
    }
    failed = events(node).index("start_failed d")
    assert events(node, failed + 1) == [
        "terminating c", "terminated c", "terminating b", "terminated b",
        "start_failed inner", "terminating a", "terminated a", "start_failed root",
    ]  # fmt: skip
    assert not node.running


def test_a_root_that_answers_ignore_does_not_start_and_says_so() -> None:
    _, error = failing(Supervisor("root", init=lambda _: Ignore()))
    assert error.ignored
    assert error.term == "ignore"


def test_a_node_whose_start_failed_can_be_started_once_the_cause_is_gone() -> None:
    tries: list[str] = []

    def init(name: str) -> int:
        tries.append(name)
        if len(tries) == 1:
            raise OSError("no disk")
        return 5

    node, _ = failing(Supervisor("root", children=[Worker("a", actor, args={"init": init})]))
    with node:
        assert node.get_state("a") == 5


def test_a_node_can_be_started_again_after_it_was_stopped() -> None:
    node = Node(Supervisor("root", children=[worker("a")]), clock=ManualClock())
    for _ in range(2):
        with node:
            assert node.call("a", lambda state: (state + 1, state)) == 0
    numbers = [report.seq for report in node.reports()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_node_that_runs_cannot_be_started_twice() -> None:
    with running(worker("a")) as node, pytest.raises(SsmError, match="root runs already"):
        node.start()


def test_a_tree_is_a_supervisor() -> None:
    with pytest.raises(TypeError, match="a tree is a Supervisor"):
        Node(worker("a"))  # type: ignore[arg-type]  # the point of the test


def test_stop_twice_does_nothing_the_second_time() -> None:
    with running(worker("a")) as node:
        node.stop()
        before = len(node.reports())
        node.stop()
        assert events(node, before) == []


def test_a_name_is_unique_in_the_whole_tree() -> None:
    inner = Supervisor("inner", children=[worker("a")])
    _, error = failing(Supervisor("root", children=[worker("a"), inner]))
    assert error.term == {
        "shutdown": {
            "failed_to_start_child": ["inner", {"start_spec": {"duplicate_child_name": "a"}}]
        }
    }


def test_a_name_that_another_supervisor_has_taken_meanwhile_is_refused_at_a_restart() -> None:
    inner = Supervisor("inner", children=[worker("a", restart="temporary"), worker("b")])
    with running(inner, worker("c"), intensity=1) as node:
        node.stop_process("a")
        node.start_child("root", worker("a", args={"state": "taken"}))
        node.kill("inner")
        assert node.gave_up
        (first, *_) = (r for r in node.reports() if r.event == "start_failed")
        assert first.id == "inner"
        assert "duplicate_child_name" in first.detail["reason"]


def test_children_of_a_spec_start_in_its_order_though_one_was_replaced_in_the_last_life() -> None:
    inner = Supervisor("inner", children=[worker("a", restart="temporary"), worker("b")])
    with running(inner) as node:
        node.stop_process("a")
        node.start_child("inner", worker("a"))
        assert node.names("worker") == ["b", "a"]
        node.kill("inner")
        assert node.names("worker") == ["a", "b"]


def test_a_request_that_waits_for_a_suspended_supervisor_is_not_carried_out_as_it_ends() -> None:
    with running(worker("a")) as node:
        node.suspend("root")
        pending = node.request("root", "start_child", worker("late"))
        node.stop()
        with pytest.raises(CalleeStopped, match="root ended: shutdown"):
            pending.result()
        assert "starting late" not in events(node)

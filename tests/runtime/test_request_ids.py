"""Waiting for any of several requests, one child of many, and one request to many subtrees."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ssm_cli import (
    CallTimeout,
    FakeLinks,
    ManualClock,
    Node,
    NoProc,
    Remote,
    RequestIds,
    Response,
    Supervisor,
    SupervisorError,
    Worker,
    multi_call,
)
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.remote.ports import Outcome
from tests.runtime.workers import actor, add, fail, get, running


def asked(node: Any, **messages: Any) -> RequestIds:
    ids = RequestIds(node)
    for worker, message in messages.items():
        ids.send_request(worker, message, f"to {worker}")
    return ids


@pytest.mark.parametrize("delete", [True, False])
def test_responses_come_one_by_one_with_their_labels_and_each_once(delete: bool) -> None:
    with running(Worker("a", actor), Worker("b", actor)) as node:
        ids = asked(node, a=add(1), b=fail)
        assert (len(ids), len(ids.to_list())) == (2, 2)
        first, second = (ids.wait_response(delete=delete) for _ in range(2))
        assert first is not None
        assert second is not None
        assert (first.label, first.error, second.label) == ("to a", None, "to b")
        assert second.error is not None
        assert second.error.outcome == "crashed"  # type: ignore[attr-defined]  # of a call
        assert ids.wait_response() is ids.check_response() is None
        assert len(ids) == (0 if delete else 2)


def test_who_answers_first_is_handed_out_first() -> None:
    with running(Worker("a", actor), Worker("b", actor)) as node:
        node.suspend("a")
        ids = asked(node, a=get, b=get)
        assert ids.check_response() is None
        found = ids.wait_response()
        assert found is not None
        assert found.label == "to b"
        with pytest.raises(CallTimeout):
            ids.wait_response(0.01)
        node.resume("a")
        last = ids.wait_response()
        assert last is not None
        assert last.label == "to a"


def test_a_time_out_of_receive_abandons_what_is_left_and_one_of_wait_does_not() -> None:
    with running(Worker("a", actor)) as node:
        node.suspend("a")
        ids = asked(node, a=get)
        with pytest.raises(CallTimeout):
            ids.receive_response(0.01)
        node.resume("a")
        node.run()
        assert ids.check_response() is ids.receive_response() is None


def test_a_listener_of_a_request_hears_of_it_all_the_same() -> None:
    heard: list[Any] = []
    with running(Worker("a", actor)) as node:
        ids = RequestIds(node)
        request = node.send_request("a", get, heard.append)
        ids.add(request, 1)
        with pytest.raises(ValueError, match="is in the collection already"):
            ids.add(request, 2)
        ids.wait_response()
        assert heard == [request]


def test_what_cannot_be_sent_is_not_added() -> None:
    with running(Worker("a", actor)) as node:
        ids = RequestIds(node)
        with pytest.raises(NoProc):
            ids.send_request("nobody", get, 1)
        assert len(ids) == 0


def steps_for(count: int, *, delete: bool) -> int:
    """How many lines it takes to add so many requests and to wait for each of them."""
    seen = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        seen += event == "line"
        return trace if frame.f_code.co_filename.endswith("request_ids.py") else None

    with Node(Supervisor("root", children=[Worker("a", actor)]), guard=False) as node:
        ids, before = RequestIds(node), sys.gettrace()
        sys.settrace(trace)
        try:
            for number in range(count):
                ids.send_request("a", get, number)
            for number in range(count):
                assert ids.wait_response(delete=delete) == Response(number, 0)
        finally:
            sys.settrace(before)
        assert len(ids) == (0 if delete else count)
    return seen


@pytest.mark.parametrize("delete", [True, False])
def test_ten_times_the_requests_take_ten_times_the_steps(delete: bool) -> None:
    few, many = (steps_for(count, delete=delete) for count in (20, 200))
    assert 5 * few < many < 15 * few


def test_what_is_no_request_is_refused_and_nothing_is_added() -> None:
    with running(Worker("a", actor)) as node:
        ids = asked(node, a=get)
        for wrong in (5, None, Pending, "a" * 5000):
            with pytest.raises(TypeError, match="is no request: expected what send_request") as no:
                ids.add(wrong, "x")  # type: ignore[arg-type]  # of the caller
            assert len(str(no.value)) < 1200
        assert len(ids) == 1
        assert ids.wait_response() == Response("to a", 0)


def test_a_request_that_was_let_go_may_be_added_again_and_in_two_collections_at_once() -> None:
    with running(Worker("a", actor)) as node:
        request, one, two = node.send_request("a", get), RequestIds(node), RequestIds(node)
        one.add(request, 1)
        two.add(request, 2)
        assert one.wait_response(delete=True) == Response(1, 0)
        assert two.check_response() == Response(2, 0)
        one.add(request, 3)
        assert one.wait_response() == Response(3, 0)
        node.suspend("a")
        request = node.send_request("a", get)
        one.add(request, 4)
        with pytest.raises(CallTimeout):
            one.receive_response(0.01)
        one.add(request, 5)
        node.resume("a")
        assert one.wait_response() == Response(5, 0)
        assert one.wait_response() is None


def test_responses_that_are_there_are_handed_out_in_the_order_of_sending() -> None:
    with running(Worker("a", actor), Worker("b", actor)) as node:
        node.suspend("a")
        ids = asked(node, a=get, b=get)
        node.run()
        node.resume("a")
        node.run()
        assert [ids.check_response(), ids.check_response()] == [
            Response("to a", 0),
            Response("to b", 0),
        ]


def test_one_child_is_asked_about() -> None:
    with running(Worker("a", actor), Worker("b", actor, restart="temporary")) as node:
        assert node.which_child("root", "a") == node.which_children("root")[-1]
        node.terminate_child("root", "a")
        assert node.which_child("root", "a").state == "undefined"
        with pytest.raises(SupervisorError) as refused:
            node.which_child("root", "nobody")
        assert refused.value.term == "not_found"


def test_subtrees_that_do_not_reply_are_told_with_their_reason() -> None:
    with running(Worker("a", actor)) as node:
        found = multi_call(node, "a", get, [node.name, "eu"])
        assert found.replies.keys() == {node.name}
        assert isinstance(found.bad["eu"], NoProc)
        assert multi_call(node, "a", get) == multi_call(node, "a", get, [node.name])
        assert multi_call(node, "nobody", get).replies == {}


def test_remote_subtrees_are_asked_by_the_name_of_their_worker() -> None:
    clock = ManualClock()
    workers = {"eu.kv": lambda data: Outcome("replied", data), "us.kv": crashed}
    links = FakeLinks(clock, workers)
    tree = Supervisor("root", children=[Remote("eu", "./eu.yaml"), Remote("us", "./us.yaml")])
    with Node(tree, clock=clock, links=links) as node:
        found = multi_call(node, "kv", b"Lookup x")
        assert found.replies == {"eu": b"Lookup x"}
        assert [*found.bad] == ["us"]


def crashed(_data: bytes) -> Outcome:
    return Outcome("crashed", b"", "ZeroDivisionError", "crash")

"""Changes of a tree with children on other computers."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    FakeLinks,
    Join,
    ManualClock,
    Node,
    Remote,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.errors import NoTree, SupervisorError
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.remote.ports import Outcome

ELSEWHERE = "; it ends first, and runs again where a node fits: see `ssm check`"
LATER = ", from its next start on"


def shop(*remotes: Any) -> Any:

    return Supervisor("shop", children=[Worker("cart", kv_store), *remotes])


def billing(**options: Any) -> Any:
    return Remote("billing", options.pop("tree", "billing.yaml"), **options)


@pytest.fixture
def links() -> FakeLinks:
    return FakeLinks(ManualClock(), {"billing.invoice": lambda _: Outcome("replied", b"Ok")})


@pytest.mark.parametrize(
    ("before", "wanted", "expected", "stopped"),
    [
        (shop(), shop(billing()), ["start billing: new"], []),
        (shop(billing()), shop(), ["stop billing: gone from the file"], ["billing"]),
        (shop(billing()), shop(billing()), [], []),
        (
            shop(billing()), shop(billing(tree="other.yaml")),
            [f"restart billing: tree billing.yaml -> other.yaml{ELSEWHERE}"], ["billing"],
        ),
        (
            shop(billing()), shop(billing(place={"zone": "b"})),
            [f"restart billing: place none -> zone=b{ELSEWHERE}"], ["billing"],
        ),
        (
            shop(billing()), shop(billing(orphan="stop", shutdown=1000)),
            [f"change billing: orphan keep -> stop{LATER}, shutdown 10000 -> 1000"], [],
        ),
        (
            shop(billing()), shop(Worker("billing", kv_store)),
            ["stop billing: it becomes a worker", "start billing: now a worker"], ["billing"],
        ),
    ],
)  # fmt: skip
def test_a_remote_child_is_touched_only_if_it_is_another_one(
    links: FakeLinks, before: Any, wanted: Any, expected: list[str], stopped: list[str]
) -> None:
    with Node(before, clock=ManualClock(), links=links) as node:
        done = node.apply(wanted)
        assert [f"{step.act} {step.id}: {step.why}" for step in done.done] == expected
        assert (done.failed, links.stopped, node.plan(wanted).todo) == (None, stopped, ())


def test_the_links_are_made_at_the_first_remote_child_and_hear_of_the_groups_that_are_there(
    links: FakeLinks,
) -> None:
    made: list[str] = []

    def linking() -> FakeLinks:
        made.append("links")
        return links

    joined = StateMachine(step=lambda _, n: (n, None, [Join("room")]), init=lambda _n, _a: 0)
    tree = Supervisor("shop", children=[Worker("cart", joined)])
    with Node(tree, clock=ManualClock(), links=linking) as node:
        node.call("cart", b"join")
        assert [member.worker for member in node.members("room")] == ["cart"]
        assert (made, links.interests) == ([], set())
        with_child = Supervisor("shop", children=[Worker("cart", joined), billing()])
        assert node.apply(with_child).failed is None
        assert (made, links.interests) == (["links"], {"room"})
        assert node.call("billing.invoice", b"x") == b"Ok"
        assert node.apply(tree).failed is None
        assert node.apply(with_child).failed is None
        assert made == ["links"]


def test_links_that_cannot_be_made_now_are_made_by_a_later_start(links: FakeLinks) -> None:
    answers: list[FakeLinks] = []

    def linking() -> FakeLinks:
        if not answers:
            raise NoTree("no cluster: start a node")
        return answers[0]

    with Node(shop(), clock=ManualClock(), links=linking) as node:
        assert "no cluster: start a node" in node.apply(shop(billing())).reason
        answers.append(links)
        assert node.apply(shop(billing())).failed is None
        assert node.call("billing.invoice", b"x") == b"Ok"


def test_without_a_cluster_a_remote_child_does_not_start_and_the_tree_goes_on() -> None:
    with Node(shop(), clock=ManualClock()) as node:
        done = node.apply(shop(billing()))
        assert done.failed is not None
        assert "no cluster" in done.reason
        assert node.call("cart", b"Store x 1") == b"Ok"


def test_a_remote_child_that_no_node_has_taken_yet_is_told_as_coming(links: FakeLinks) -> None:
    nowhere = shop(billing(place={"zone": "c"}))
    with Node(shop(billing()), clock=ManualClock(), links=links) as node:
        links.slow.add("billing")
        done = node.apply(nowhere)
        assert [(one.path, "asked for" in one.why) for one in done.coming] == [
            ("shop/billing", True)
        ]
        assert node.whereis("billing") is None
        links.arrive("billing")
        node.run(0)
        assert node.whereis("billing") is not None
        assert node.apply(nowhere).coming == ()


WHY = "n1 has zone=a, wanted zone=c"


def test_a_child_that_no_node_would_take_again_is_not_ended_and_the_plan_says_why(
    links: FakeLinks,
) -> None:
    wanted = shop(billing(place={"zone": "c"}), Worker("mail", kv_store))
    with Node(shop(billing()), clock=ManualClock(), links=links, history=100) as node:
        links.nowhere["billing"] = WHY
        refused = node.plan(wanted).refused
        assert refused == (f"shop/billing: it would end, and no node takes it then: {WHY}",)
        with pytest.raises(SupervisorError, match="no node takes it then") as caught:
            node.apply(wanted)
        assert (caught.value.term, caught.value.complaints) == ("refused", refused)
        assert node.call("billing.invoice", b"x") == b"Ok"
        assert (links.stopped, node.whereis("mail")) == ([], None), "nothing is done by halves"
        assert node.at(node.record).whereis("mail") is None
        links.nowhere.clear()
        assert node.apply(wanted).failed is None
        assert links.stopped == ["billing"]


def test_a_child_that_does_not_run_may_become_one_that_no_node_takes_yet(links: FakeLinks) -> None:
    wanted = shop(billing(place={"zone": "c"}))
    with Node(shop(billing()), clock=ManualClock(), links=links) as node:
        links.slow.add("billing")
        links.end("billing", "killed")
        node.run(0)
        links.nowhere["billing"] = WHY
        assert node.plan(wanted).refused == ()


def test_a_new_child_that_no_node_takes_is_told_in_the_plan_and_asked_for_all_the_same(
    links: FakeLinks,
) -> None:
    """It harms nobody: it runs once a node has come that takes it."""
    below = Supervisor("stock", children=[Remote("parts", "parts.yaml")])
    with Node(shop(billing()), clock=ManualClock(), links=links) as node:
        links.nowhere |= {"parts": WHY, "billing": WHY}
        plan = node.plan(shop(billing(), below))
        (step,) = plan.todo
        assert step.why == f"new, with the 1 below it; no node takes parts now: {WHY}"
        links.slow.add("parts")
        done = node.apply(shop(billing(), below), plan=plan)
        assert [one.id for one in done.coming] == ["parts"]
        assert node.call("billing.invoice", b"x") == b"Ok"


def test_a_plan_without_a_cluster_says_so(links: FakeLinks) -> None:
    def linking() -> FakeLinks:
        raise NoTree("no cluster: start a node")

    del links
    for known, said in ((None, "no cluster: give `ssm run` one"), (linking, "start a node")):
        with Node(shop(), clock=ManualClock(), links=known) as node:
            (step,) = node.plan(shop(billing())).todo
            assert "no node takes billing now" in step.why
            assert said in step.why


def test_local_workers_are_served_while_nodes_are_asked(links: FakeLinks) -> None:
    wanted = shop(billing(tree="other.yaml"))
    with Node(shop(billing()), clock=ManualClock(), links=links) as node:
        links.mute = True
        pending = node.request("shop", "apply_tree", node.wanted_tree(wanted), "", False)
        node.run(0)
        assert node.call("cart", b"Store x 1") == b"Ok"
        assert not pending.done
        assert links.stopped == []
        links.mute = False
        node.run(0)
        assert pending.result().failed is None
        assert links.stopped == ["billing"]

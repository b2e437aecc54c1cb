"""What goes on through an `apply`: inputs that wait, arguments of a child's own, forks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, StateMachine, SupervisorError
from tests.runtime.test_apply import other, pool, root, s, w
from tests.runtime.workers import add, step


def held(node: Node) -> tuple[Any, Any]:
    """A suspended worker, behind which a call and a cast wait; and one in the queue."""
    node.suspend("a")
    call = node.send_request("a", add(1))
    node.cast("a", add(1))
    node.run()
    return call, node.send_request("a", add(1))


MOVES = {
    "moved": (root(w("a"), s("s")), root(s("s", w("a")))),
    "restarted": (root(w("a"), s("s")), root(w("a", 5), s("s"))),
    "moved with its supervisor": (
        root(s("p", s("q", w("a"))), s("s")),
        root(s("p"), s("s", s("q", w("a")))),
    ),
}


@pytest.mark.parametrize("row", MOVES.values(), ids=MOVES)
def test_what_a_suspended_worker_holds_goes_along(row: tuple[Any, Any]) -> None:
    before, after = row
    with Node(before, clock=ManualClock()) as node:
        calls = held(node)
        assert node.apply(after).failed is None
        first = node.get_state("a")
        assert [node.wait(call) for call in calls] == [first + 1, first + 3]
        assert node.dropped == 0


def test_what_a_suspended_worker_holds_that_is_gone_is_told() -> None:
    with Node(root(w("a"), w("b")), clock=ManualClock()) as node:
        call, later = held(node)
        node.apply(root(w("b")))
        node.run()
        assert (type(call.error).__name__, type(later.error).__name__) == ("CalleeStopped",) * 2
        assert node.dropped == 1


OWN: list[tuple[Any, Any, Any]] = [(3, 3, 9), (3, 4, 9), ([3], [3], [9]), ("x", "x", "y")]


@pytest.mark.parametrize(("template", "own", "later"), OWN)
def test_arguments_of_a_childs_own_stay_whatever_the_template_says(
    template: Any, own: Any, later: Any
) -> None:
    with Node(root(pool("pool", w("t", template))), clock=ManualClock()) as node:
        node.start_child("pool", "one", {"state": own})
        node.start_child("pool", "two")
        for state in (later, template, later):
            node.apply(root(pool("pool", w("t", state))))
        node.perform("restart", "one")
        node.perform("restart", "two")
        assert (node.get_state("one"), node.get_state("two")) == (own, later)


def test_a_pool_with_more_children_than_it_may_have_says_what_becomes_of_them() -> None:
    def wanted(most: int) -> Any:
        return root(pool("pool", w("t"), max_children=most))

    with Node(wanted(3), clock=ManualClock()) as node:
        for label in "abc":
            node.start_child("pool", label)
        plan = node.plan(wanted(2))
        assert [one.why for one in plan.steps] == [
            "max_children 3 -> 2", "its 3 children stay; none comes while it has 2 or more",
        ]  # fmt: skip
        assert [one.act for one in node.plan(wanted(4)).steps] == ["change"]
        node.apply(plan=plan, tree=wanted(2))
        for ends in "ab":
            node.terminate_child("pool", node.whereis(ends) or "")
            if ends == "a":
                with pytest.raises(SupervisorError, match="max_children"):
                    node.start_child("pool", "d")
        node.start_child("pool", "d")
        assert [child.id for child in node.which_children("pool")] == ["d", "c"]


def fails(_name: str, _args: Any) -> Any:
    raise OSError("no printer")


bad = StateMachine(step=step, init=fails)
FAILS = {
    "a new one": root(w("a"), w("p", start=bad), w("z")),
    "a restart": root(w("a", 1, start=bad), w("z")),
    "below a new supervisor": root(w("a"), s("sub", w("k"), w("p", start=bad)), w("z")),
}
GOOD = root(w("a", start=other), w("p"), w("z"))


@pytest.mark.parametrize("wanted", FAILS.values(), ids=FAILS)
@pytest.mark.parametrize("copied", [Node.fork, lambda node: node.at(node.record)])
def test_a_fork_after_a_start_that_failed_goes_on_as_the_tree_does(
    wanted: Any, copied: Callable[[Node], Node]
) -> None:
    with Node(root(w("a")), clock=ManualClock(), history=64) as node:
        node.apply(wanted)
        fork = copied(node)
        for tree in (wanted, root(w("a")), GOOD):
            assert fork.plan(tree) == node.plan(tree)
        assert fork.apply(wanted) == node.apply(wanted)
        assert fork.apply(GOOD) == node.apply(GOOD)
        assert fork.digest() == node.digest()


def test_a_fork_after_specs_alone_were_changed_restarts_by_them() -> None:
    with Node(root(w("a")), clock=ManualClock()) as node:
        node.apply(root(w("a", 7)), specs_only=True)
        fork = node.fork()
        assert fork.plan(root(w("a", 7))) == node.plan(root(w("a", 7)))
        for one in (node, fork):
            one.perform("restart", "a")
            assert one.get_state("a") == 7


def test_two_worlds_that_an_apply_would_change_differently_have_two_digests() -> None:
    with Node(root(w("a")), clock=ManualClock()) as node, Node(root(w("a"))) as other:
        node.apply(root(w("a", 7)), specs_only=True)
        assert node.digest() != other.digest()

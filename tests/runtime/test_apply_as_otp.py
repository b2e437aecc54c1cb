"""`apply` with specs alone: the cases of OTP's supervisor suite about its `code_change`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, SpecError, Supervisor, SupervisorError, Worker
from ssm_cli.errors import TreeFileError
from ssm_cli.spec.model import ChildSpec, SupervisorSpec
from tests.runtime.workers import actor


def root(*children: ChildSpec, **flags: Any) -> SupervisorSpec:
    return Supervisor("root", children=children, **flags)


def child(name: str, **options: Any) -> ChildSpec:
    return Worker(name, actor, **options)


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(root(intensity=0, period=1), clock=ManualClock()) as node:
        yield node


def upgrade(node: Node, tree: Any) -> None:
    assert node.apply(tree, specs_only=True).failed is None


def with_both(node: Node) -> None:
    """Add two children, and start them."""
    upgrade(node, root(child("child1", shutdown=2000), child("child2"), intensity=0, period=1))
    assert (node.restart_child("root", "child1"), node.restart_child("root", "child2")) == (
        "child1", "child2",
    )  # fmt: skip


def table(node: Node) -> list[tuple[str, str]]:
    return [(one.id, one.state) for one in node.which_children("root")]


def test_1_flags_are_changed(node: Node) -> None:
    upgrade(node, root(intensity=1, period=3))
    view = node.tree()
    assert (view.intensity, view.period, view.budget_left) == (1, 3.0, 1)


def test_2_a_faulty_child_spec_is_refused_and_nothing_is_changed(node: Node) -> None:
    was = node.digest()
    with pytest.raises(SpecError) as raised:
        node.apply(root(Worker("child1", None)), specs_only=True)  # type: ignore[arg-type]  # that is the fault
    assert ["root/child1.start" in one for one in raised.value.complaints] == [True]
    assert (table(node), node.digest()) == ([], was)


def test_3_children_that_are_added_are_not_started(node: Node) -> None:
    upgrade(node, root(child("child1"), child("child2"), intensity=0, period=1))
    assert table(node) == [("child2", "undefined"), ("child1", "undefined")]
    counts = node.count_children("root")
    assert (counts.specs, counts.active) == (2, 0)


def test_4_what_was_added_is_started_by_restart_child(node: Node) -> None:
    with_both(node)
    assert table(node) == [("child2", "running"), ("child1", "running")]


def test_5_a_child_is_changed_one_removed_one_added_and_all_stay(node: Node) -> None:
    with_both(node)
    lives = [node.whereis(name) for name in ("child1", "child2")]
    upgrade(node, root(child("child1", shutdown=1000), child("child3"), intensity=0, period=1))
    assert table(node) == [
        ("child2", "running"), ("child3", "undefined"), ("child1", "running"),
    ], "one that is gone from the specs is kept, behind the others"  # fmt: skip
    assert [node.whereis(name) for name in ("child1", "child2")] == lives


def test_6_get_childspec_gives_the_new_spec_of_a_child_that_runs(node: Node) -> None:
    with_both(node)
    assert node.get_childspec("root", "child1").shutdown == 2000
    upgrade(node, root(child("child1", shutdown=1000), child("child2"), intensity=0, period=1))
    assert node.get_childspec("root", "child1").shutdown == 1000


def test_7_a_tree_that_is_the_same_changes_nothing(node: Node) -> None:
    """The `init` of OTP's supervisor may answer `ignore` there: then its specs stay."""
    with_both(node)
    was, seq = node.digest(), node.last_seq
    upgrade(node, node.spec)
    assert (node.digest(), node.last_seq) == (was, seq)


def test_8_something_that_is_no_tree_is_refused(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "tree.py"
    file.write_text("def tree():\n    return 'faulty_return'\n")
    with pytest.raises(TreeFileError, match="answers with the text"):
        node.apply(file, specs_only=True)


@pytest.mark.parametrize(
    ("flags", "field"),
    [({"intensity": "faulty"}, "intensity"), ({"strategy": "faulty"}, "strategy")],
)
def test_9_faulty_flags_are_refused(node: Node, flags: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as raised:
        node.apply(root(**flags), specs_only=True)
    assert ([f"root.{field}" in one for one in raised.value.complaints], table(node)) == (
        [True], [],
    )  # fmt: skip
    assert node.tree().intensity == 0


@pytest.fixture
def pool() -> Iterator[Node]:
    tree = root(child("child1", shutdown="brutal_kill"), strategy="simple_one_for_one")
    with Node(tree, clock=ManualClock()) as node:
        node.start_child("root", "one", {"state": 5})
        yield node


def test_10_the_template_of_a_pool_is_changed_and_its_children_stay(pool: Node) -> None:
    life = pool.whereis("one")
    upgrade(pool, root(child("child1", shutdown=1000, args={"state": 3, "more": 1}),
                       strategy="simple_one_for_one"))  # fmt: skip
    assert pool.get_childspec("root", "child1").shutdown == 1000
    assert (pool.whereis("one"), pool.get_state("one")) == (life, 5)
    pool.start_child("root", "two")
    assert pool.get_state("two") == 3
    pool.kill("one")
    pool.run()
    assert dict(pool._world.names["one"].spec.args) == {"state": 5, "more": 1}
    assert pool.get_state("one") == 5, "its own arguments are put over those of the new template"


@pytest.mark.parametrize("children", [("child1", "child2"), ()])
def test_11_no_child_is_added_to_the_specs_of_a_pool_or_taken_from_it(
    pool: Node, children: tuple[str, ...]
) -> None:
    with pytest.raises(SpecError, match="simple_one_for_one"):
        pool.apply(root(*map(child, children), strategy="simple_one_for_one"), specs_only=True)
    assert [one.id for one in pool.which_children("root")] == ["one"]


# -- what these rules come to with `apply` itself --------------------------------------------------


def test_a_child_that_runs_takes_its_new_spec_at_its_next_start_and_no_sooner(node: Node) -> None:
    upgrade(node, root(child("a", args={"state": 1}), intensity=9))
    node.restart_child("root", "a")
    upgrade(node, root(child("a", args={"state": 2}), intensity=9))
    assert node.get_state("a") == 1
    node.kill("a")
    node.run()
    assert node.get_state("a") == 2


def test_apply_goes_on_from_specs_alone(node: Node) -> None:
    wanted = root(child("a", args={"state": 1}), child("b"), intensity=9)
    upgrade(node, root(child("a"), intensity=9))
    node.restart_child("root", "a")
    upgrade(node, wanted)
    assert [(step.act, step.id) for step in node.plan(wanted).todo] == [
        ("restart", "a"), ("start", "b"),
    ]  # fmt: skip
    node.apply(wanted)
    assert (node.get_state("a"), table(node)) == (1, [("b", "running"), ("a", "running")])
    assert node.plan(wanted).todo == ()


def test_specs_that_came_back_need_no_restart(node: Node) -> None:
    first, second = root(child("a"), intensity=9), root(child("a", args={"state": 1}), intensity=9)
    node.apply(first)
    life = node.whereis("a")
    upgrade(node, second)
    node.apply(first)
    assert (node.whereis("a"), node.plan(first).todo) == (life, ())


def test_a_move_takes_more_than_specs(node: Node) -> None:
    node.apply(root(child("a"), Supervisor("s"), intensity=9))
    with pytest.raises(SupervisorError, match="takes more than another spec") as raised:
        node.apply(root(Supervisor("s", children=[child("a")]), intensity=9), specs_only=True)
    assert raised.value.term == "refused"

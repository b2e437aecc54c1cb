"""What cannot be applied, and what fails half way: it is said exactly, and the tree goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    Backoff,
    CalledFromStep,
    Ignore,
    ManualClock,
    Node,
    Ok,
    SpecError,
    StateMachine,
    Stop,
    Supervisor,
    SupervisorError,
    Worker,
)
from ssm_cli.errors import CommandError, TreeFileError
from ssm_cli.spec.model import ChildSpec, SupervisorSpec
from tests.runtime.workers import actor, add, events, fail


def root(*children: ChildSpec, **flags: Any) -> SupervisorSpec:
    return Supervisor("root", children=children, **({"intensity": 9} | flags))


def w(name: str, state: Any = 0, **options: Any) -> ChildSpec:
    return Worker(name, actor, args={"state": state}, **options)


def begins(name: str, init: Callable[[str], Any], **options: Any) -> ChildSpec:
    return Worker(name, actor, args={"init": init}, **options)


def node_of(*children: ChildSpec, **flags: Any) -> Node:
    return Node(root(*children, **flags), clock=ManualClock())


def pool(template: ChildSpec) -> ChildSpec:
    return Supervisor("pool", "simple_one_for_one", [template])


REFUSED = {
    "another root": (Supervisor("shop"), "root is called `shop`"),
    "a pool for a root": (root(w("a"), strategy="simple_one_for_one"), "root becomes a pool"),
    "a durable worker without a store": (root(w("a", persist="journal")), "has no store"),
    "a durable template without a store": (
        root(w("a"), pool(w("t", persist="journal"))),
        "root/pool/t: has `persist`, and the tree",
    ),
    "a pool that is to be durable, with children that are not called by its name": (
        root(w("a"), pool(w("t", persist="journal"))),
        "found by pool:LABEL, which one is not",
    ),
    "the name of a pool's child": (
        root(w("a"), pool(w("t")), Supervisor("s", children=[w("one")])),
        "root/pool/one is called one already; end that first, by `terminate-child pool one`",
    ),
    "a template of another kind": (
        root(w("a"), pool(Supervisor("t", children=[w("c")]))),
        "root/pool: its template becomes a supervisor, and each of its children (1) is a worker",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_cannot_be_applied_is_in_the_plan_and_nothing_is_touched(wrong: str) -> None:
    tree, said = REFUSED[wrong]
    with node_of(w("a"), Supervisor("pool", "simple_one_for_one", [w("t")])) as node:
        node.start_child("pool", "one")
        was = node.digest()
        assert any(said in complaint for complaint in node.plan(tree).refused)
        with pytest.raises(SupervisorError, match="root: ") as raised:
            node.apply(tree)
        assert (raised.value.term, node.digest()) == ("refused", was)
        assert any(said in complaint for complaint in raised.value.complaints)


def test_a_name_is_free_once_who_has_it_is_ended_or_goes_with_its_pool() -> None:
    with node_of(pool(w("t"))) as node:
        node.start_child("pool", "one")
        node.start_child("pool", "two")
        node.terminate_child("pool", "one")
        assert node.apply(root(pool(w("t")), w("one"))).failed is None
        assert node.apply(root(w("one"), w("two"))).failed is None
        assert sorted(node.names("worker")) == ["one", "two"]


BY_HAND: dict[str, tuple[str, Any, str]] = {
    "below a supervisor": ("h", w("c"), "`terminate-child root h` and `delete-child root h`"),
    "in a pool": ("h", pool(w("t")), "`terminate-child pool c`"),
    "beside its own": ("h", w("d"), "`terminate-child h c` and `delete-child h c`"),
}


@pytest.mark.parametrize("where", BY_HAND)
def test_a_name_that_somebody_has_below_a_supervisor_started_by_hand_is_told(where: str) -> None:
    name, child, ending = BY_HAND[where]
    with node_of(w("a")) as node:
        node.start_child("root", Supervisor(name, children=[child]))
        if child.id != "c":
            of_pool = child.id == "pool"
            node.start_child("pool" if of_pool else name, "c" if of_pool else w("c"))
        was = node.digest()
        plan = node.plan(root(w("a"), w("c")))
        assert (len(plan.refused), ending in plan.refused[0], node.digest()) == (1, True, was)
        assert not [step for step in plan.todo if step.act == "stop"]


def test_a_template_of_another_kind_counts_once_the_children_are_ended() -> None:
    wanted = root(pool(Supervisor("t", children=[w("c")])))
    with node_of(pool(w("t"))) as node:
        node.start_child("pool", "one")
        assert [step.act for step in node.plan(wanted).steps] == ["change"]
        node.terminate_child("pool", "one")
        assert node.apply(wanted).done[0].why == "template t: a worker becomes a supervisor"
        node.start_child("pool", "one")
        assert node.names("worker") == ["one/c"]
        assert len(node.plan(root(pool(w("t")))).refused) == 1


def test_every_complaint_of_a_plan_is_told_at_once() -> None:
    with node_of(w("a"), Supervisor("s", children=[w("b")])) as node:
        node.suspend("s")
        refused = node.plan(root(w("a", persist="journal"), Supervisor("s"))).refused
        assert [one.partition(":")[0] for one in refused] == ["root/a", "root/s"]
        node.resume("s")


def test_a_file_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text("supervisor: root\nintensty: 3\nchildren:\n  - {worker: a}\n  - {wrker: b}\n")
    with node_of(w("a")) as node:
        was = node.digest()
        with pytest.raises(TreeFileError) as raised:
            node.apply(file)
        assert {one.split(":")[1] for one in raised.value.complaints} == {"2", "4", "5"}
        assert node.digest() == was


def test_the_same_name_twice_is_refused() -> None:
    with node_of(w("a")) as node, pytest.raises(SpecError, match="root/s/a"):
        node.apply(root(w("a"), Supervisor("s", children=[w("a")])))


def test_a_node_of_a_program_knows_no_file() -> None:
    with node_of(w("a")) as node, pytest.raises(CommandError, match="of no file: name one"):
        node.apply()


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_step_cannot_apply_a_tree_to_its_own_node(verb: str) -> None:
    with node_of(w("a"), w("b")) as node:
        caught: list[BaseException] = []

        def asks(state: Any) -> Any:
            try:
                getattr(node, verb)(root())
            except CalledFromStep as error:
                caught.append(error)
            return state, "went on"

        assert (node.call("a", asks), len(caught)) == ("went on", 1)
        assert [one.id for one in node.which_children("root")] == ["b", "a"]


def test_an_init_cannot_apply_a_tree_to_its_own_node() -> None:
    node = node_of(w("a"))
    with node:
        done = node.apply(root(w("a"), begins("b", lambda _: node.apply(root()))))
        assert done.failed is not None
        assert "CalledFromStep" in done.reason or "called its own" in done.reason
        assert node.call("a", add(1)) == 1


CHANGES: dict[str, Callable[[Node], object]] = {
    "a restart": lambda node: node.kill("a"),
    "a child that was started by hand": lambda node: node.start_child("root", w("c")),
    "a child that was deleted by hand": lambda node: (
        node.terminate_child("root", "b"), node.delete_child("root", "b"),
    ),
    "another apply": lambda node: node.apply(root(w("a", 1), w("b"))),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_is_stale_once_what_it_is_about_has_changed(change: str) -> None:
    wanted = root(w("a", 1))
    with node_of(w("a"), w("b")) as node:
        plan = node.plan(wanted)
        CHANGES[change](node)
        node.run()
        was = node.digest()
        with pytest.raises(SupervisorError, match="plan again") as raised:
            node.apply(wanted, plan=plan)
        assert (raised.value.term, node.digest()) == ("stale", was)
        assert node.apply(wanted, plan=node.plan(wanted)).failed is None


def test_another_value_in_the_file_makes_a_plan_stale_though_its_steps_say_the_same() -> None:
    with node_of(w("a")) as node:
        plan, later = node.plan(root(w("a", 1))), node.plan(root(w("a", 2)))
        assert (plan.steps, plan.digest != later.digest) == (later.steps, True)
        with pytest.raises(SupervisorError, match="another than it was"):
            node.apply(root(w("a", 2)), plan=plan)


def test_inputs_and_restarts_of_others_make_no_plan_stale() -> None:
    wanted = root(w("a", 1), w("b"), Supervisor("s", children=[w("c")]))
    with node_of(w("a"), w("b"), Supervisor("s", children=[w("c")])) as node:
        plan = node.plan(wanted)
        node.call("a", add(1))
        node.kill("c")
        node.run()
        assert node.apply(wanted, plan=plan.digest).done == plan.todo


# -- what fails half way ---------------------------------------------------------------------------


def crashing(_: str) -> Any:
    raise ValueError("no disk")


@pytest.mark.parametrize(
    ("init", "reason"), [(crashing, "no disk"), (lambda _: Stop("no licence"), "no licence")]
)
def test_a_start_that_fails_ends_the_apply_and_a_second_one_goes_on(
    init: Callable[[str], Any], reason: str
) -> None:
    def wanted(begun: ChildSpec) -> SupervisorSpec:
        return root(w("b", 1), begun, w("d"), w("e", 1))

    with node_of(w("a"), w("b"), w("e")) as node:
        done = node.apply(wanted(begins("c", init)))
        assert [(step.act, step.id) for step in done.done] == [("stop", "a"), ("restart", "b")]
        assert done.failed is not None
        assert (done.failed.act, done.failed.id, reason in done.reason) == ("start", "c", True)
        assert [(step.act, step.id) for step in done.left] == [("start", "d"), ("restart", "e")]
        assert {v.id: v.state for v in node.tree().children} == {
            "b": "running", "c": "stopped", "d": "stopped", "e": "running",
        }  # fmt: skip
        assert (node.call("b", add(1)), node.call("e", add(1))) == (2, 1), "the tree goes on"
        life = node.whereis("b")
        again = node.apply(wanted(w("c")))
        assert [(step.act, step.id) for step in again.done] == [
            ("start", "c"), ("start", "d"), ("restart", "e"),
        ]  # fmt: skip
        assert (again.failed, node.whereis("b") == life) == (None, True)
        assert node.plan(wanted(w("c"))).todo == ()


def test_a_restart_that_fails_leaves_the_child_down_and_is_tried_again_by_a_second_apply() -> None:
    allowed: list[bool] = []

    def init(_: str) -> Any:
        return Ok(5) if allowed else crashing("")

    wanted = root(begins("a", init), w("b"))
    with node_of(w("a"), w("b")) as node:
        assert node.apply(wanted).failed is not None
        assert node.whereis("a") is None
        allowed.append(True)
        assert [(step.act, step.id) for step in node.apply(wanted).done] == [("start", "a")]
        assert node.get_state("a") == 5


def test_a_restart_during_a_back_off_that_fails_is_tried_again_by_its_supervisor() -> None:
    slow = Backoff(initial_ms=10_000)
    with node_of(w("a", backoff=slow), w("b")) as node:
        with pytest.raises(Exception, match="as asked"):
            node.call("a", fail)
        done = node.apply(root(begins("a", crashing, backoff=slow), w("b")))
        assert done.failed is not None
        assert [v.state for v in node.tree().children] == ["restarting", "running"]


def test_what_answers_ignore_is_done_and_is_not_tried_again() -> None:
    wanted = root(w("a"), begins("b", lambda _: Ignore()))
    with node_of(w("a")) as node:
        assert node.apply(wanted).failed is None
        assert node.plan(wanted).todo == ()


def test_a_shutdown_that_is_over_time_is_killed_and_the_apply_goes_on() -> None:
    clock = ManualClock()

    def terminate(_name: str, _state: Any, _reason: Any) -> None:
        clock.advance_s(60.0)

    hangs = StateMachine(step=actor.step, init=actor.init, terminate=terminate)
    tree = root(Worker("a", hangs, shutdown=100), w("b"))
    with Node(tree, clock=clock) as node:
        done = node.apply(root(w("b"), w("c")))
        assert [(step.act, step.id) for step in done.done] == [("stop", "a"), ("start", "c")]
        assert "killed a" in events(node)
        assert node.whereis("a") is None


def test_siblings_that_waited_for_one_that_is_gone_are_started() -> None:
    slow = Backoff(initial_ms=10_000)
    children = [w("a", backoff=slow), w("b"), w("c")]
    with node_of(*children, strategy="one_for_all") as node:
        with pytest.raises(Exception, match="as asked"):
            node.call("a", fail)
        assert node.whereis("b") is None
        node.apply(root(*children[1:], strategy="one_for_all"))
        assert [v.state for v in node.tree().children] == ["running", "running"]


def test_below_a_supervisor_that_is_down_only_specs_change_and_count_when_it_starts() -> None:
    def tree(*children: ChildSpec, **flags: Any) -> SupervisorSpec:
        return root(w("a"), Supervisor("s", children=children, **flags))

    wanted = tree(w("b", 1), w("d"), intensity=7)
    with Node(tree(w("b"), w("c")), clock=ManualClock()) as node:
        node.terminate_child("root", "s")
        done = node.apply(wanted)
        assert {step.act for step in done.done} == {"stop", "change"}
        assert (node.plan(wanted).todo, node.whereis("d")) == ((), None)
        node.restart_child("root", "s")
        assert (node.get_state("b"), node.whereis("d") is not None) == (1, True)
        assert (node.exists("c"), node.tree().children[1].intensity) == (False, 7)


def test_each_step_is_a_report_and_the_whole_a_record() -> None:
    with Node(root(w("a"), w("b")), clock=ManualClock(), history=100) as node:
        before, seq = node.record, node.last_seq
        node.apply(root(w("b", 1), w("c")))
        told = [(r.id, r.detail["act"]) for r in node.reports(seq) if r.event == "applied"]
        assert told == [("a", "stop"), ("b", "restart"), ("c", "start")]
        assert node.record == before + 1
        failed = node.apply(root(w("b", 1), w("c"), begins("d", crashing), w("e")))
        report = next(r for r in node.reports() if r.event == "apply_failed")
        assert (report.id, report.detail["error"]["message"]) == ("d", "no disk")
        assert failed.failed is not None


@pytest.mark.parametrize("begun", [True, False])
def test_an_apply_that_is_interrupted_leaves_a_whole_tree_and_a_second_one_goes_on(
    begun: bool,
) -> None:
    pressed: list[bool] = []

    def init(_: str) -> Any:
        if not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return Ok(7)

    wanted = root(w("b", 1), begins("c", init), w("d"))
    with node_of(w("a"), w("b"), *([w("c")] if begun else [])) as node:
        with pytest.raises(KeyboardInterrupt):
            node.apply(wanted)
        assert (node.call("b", add(1)), node.whereis("c"), node.whereis("a")) == (2, None, None)
        life = node.whereis("b")
        done = node.apply(wanted)
        assert [(step.act, step.id) for step in done.done] == [("start", "c"), ("start", "d")]
        assert (node.get_state("c"), node.whereis("b")) == (7, life)
        assert node.plan(wanted).todo == ()

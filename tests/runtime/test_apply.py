"""Changes of trees: what is planned, what is done, and that nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import (
    Backoff,
    CalleeStopped,
    ManualClock,
    Node,
    NoProc,
    SsmError,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.runtime.views import NodeView
from ssm_cli.spec.model import ChildSpec, SupervisorSpec
from tests.runtime.workers import actor, add, init, step

MORE = 7  # what each worker has beyond its first state, when a change comes


def other_step(message: Any, state: Any) -> Any:
    return step(message, state)


other = StateMachine(step=other_step, init=init)


def w(name: str, state: int = 0, start: Any = actor, **more: Any) -> ChildSpec:
    return Worker(name, start, args={"state": state}, **more)


def s(name: str, *children: ChildSpec, strategy: Any = "one_for_one", **more: Any) -> Any:
    return Supervisor(name, strategy, children, **more)


def root(*children: ChildSpec, **more: Any) -> SupervisorSpec:
    tree: SupervisorSpec = s("root", *children, **more)
    return tree


def pool(name: str, template: ChildSpec, **more: Any) -> Any:
    return s(name, template, strategy="simple_one_for_one", **more)


def with_dynamic(node: Node) -> None:
    node.start_child("pool", "one")
    node.start_child("pool", "two", {"state": 3})


def crashes(worker: str) -> Callable[[Node], None]:
    def crash(node: Node) -> None:
        with pytest.raises(SsmError):
            node.call(worker, lambda state: 1 / 0)

    return crash


def ends(worker: str) -> Callable[[Node], None]:
    return lambda node: node.stop_process(worker)


def is_stopped(worker: str) -> Callable[[Node], None]:
    return lambda node: node.terminate_child("root", worker)


def is_deleted(worker: str) -> Callable[[Node], None]:
    def delete(node: Node) -> None:
        node.terminate_child("root", worker)
        node.delete_child("root", worker)

    return delete


def by_hand(spec: ChildSpec, at: str = "root", **then: Any) -> Callable[[Node], None]:
    """A child is started there, and then others below the supervisors that are named."""

    def start(node: Node) -> None:
        for supervisor, child in {at: spec, **then}.items():
            node.start_child(supervisor, child)

    return start


def nobody(_: Node) -> None:
    """Nothing has happened to the tree."""


A, B, C = w("a"), w("b"), w("c")
SLOW = Backoff(initial_ms=10_000)
MANY = {"intensity": 9, "period": 60}

Row = tuple[str, SupervisorSpec, SupervisorSpec, str, Callable[[Node], None]]
CHANGES: dict[str, tuple[SupervisorSpec, SupervisorSpec, str, Callable[[Node], None]]] = {
    "nothing": (root(A, B), root(w("a"), w("b")), "", nobody),
    "a new worker": (root(A), root(A, B), "start root/b", nobody),
    "a new worker before others": (root(A), root(B, A), "start root/b", nobody),
    "a worker is gone": (root(A, B, C), root(A, C), "stop root/b", nobody),
    "all are gone": (root(A, B), root(), "stop root/b, stop root/a", nobody),
    "two change places": (root(A, B, C), root(B, A, C), "change root", nobody),
    "other args": (root(A, B), root(w("a", 1), B), "restart root/a", nobody),
    "args of another type": (root(w("a", 1)), root(w("a", True)), "restart root/a", nobody),
    "other code": (root(A, B), root(w("a", start=other), B), "restart root/a", nobody),
    "restart": (root(A), root(w("a", restart="transient")), "change root/a", nobody),
    "shutdown": (root(A), root(w("a", shutdown="brutal_kill")), "change root/a", nobody),
    "significant": (
        root(w("a", restart="transient"), B),
        root(w("a", restart="transient", significant=True), B, auto_shutdown="any_significant"),
        "change root, change root/a",
        nobody,
    ),
    "backoff": (root(A), root(w("a", backoff=SLOW)), "change root/a", nobody),
    "step_timeout": (root(A), root(w("a", step_timeout=50)), "change root/a", nobody),
    "init_timeout": (root(A), root(w("a", init_timeout="infinity")), "change root/a", nobody),
    "on_crash": (root(A), root(w("a", on_crash="last_good")), "change root/a", nobody),
    "codec": (root(A), root(w("a", codec="json")), "change root/a", nobody),
    "label": (root(A), root(w("a", label="the first")), "change root/a", nobody),
    "options beside other args": (
        root(A), root(w("a", 1, restart="temporary", shutdown=1)), "restart root/a", nobody,
    ),
    "strategy": (root(A, B), root(A, B, strategy="one_for_all"), "change root", nobody),
    "intensity and period": (root(A), root(A, intensity=9, period=60), "change root", nobody),
    "auto_shutdown": (root(A), root(A, auto_shutdown="all_significant"), "change root", nobody),
    "queue": (root(A), root(A, queue=500), "change root", nobody),
    "a new supervisor": (root(A), root(A, s("s", B, C)), "start root/s", nobody),
    "a supervisor is gone": (root(A, s("s", B, s("t", C))), root(A), "stop root/s", nobody),
    "a worker moves up": (
        root(A, s("s", B, C)), root(A, B, s("s", C)), "stop root/s/b, start root/b", nobody,
    ),
    "a worker moves down": (
        root(A, B, s("s", C)), root(A, s("s", C, B)), "stop root/b, start root/s/b", nobody,
    ),
    "a worker moves into a new supervisor": (
        root(A, B), root(A, s("s", B)), "stop root/b, start root/s", nobody,
    ),
    "a worker moves out of a supervisor that goes": (
        root(A, s("s", B, C)), root(A, B), "stop root/s/b, stop root/s, start root/b", nobody,
    ),
    "a supervisor moves": (
        root(A, s("s", B), s("t", C)),
        root(A, s("t", C, s("s", B))),
        "stop root/s/b, stop root/s, start root/t/s",
        nobody,
    ),
    "a worker becomes a supervisor": (
        root(A, B), root(A, s("b", C)), "stop root/b, start root/b", nobody,
    ),
    "a supervisor becomes a worker": (
        root(A, s("b", C)), root(A, B), "stop root/b, start root/b", nobody,
    ),
    "other args deep below": (
        root(A, s("s", B, s("t", C))), root(A, s("s", B, s("t", w("c", 1)))),
        "restart root/s/t/c", nobody,
    ),
    "flags deep below": (
        root(A, s("s", B, s("t", C))), root(A, s("s", B, s("t", C, intensity=8))),
        "change root/s/t", nobody,
    ),
    "the first of rest_for_one": (
        root(A, B, C, strategy="rest_for_one"), root(w("a", 1), B, C, strategy="rest_for_one"),
        "restart root/a", nobody,
    ),
    "one of one_for_all": (
        root(A, B, C, strategy="one_for_all"), root(A, w("b", 1), C, strategy="one_for_all"),
        "restart root/b", nobody,
    ),
    "another name": (root(A, B), root(A, C), "stop root/b, start root/c", nobody),
    "a pool is new": (root(A), root(A, pool("pool", B)), "start root/pool", nobody),
    "a pool is gone": (root(A, pool("pool", B)), root(A), "stop root/pool", with_dynamic),
    "the template of a pool": (
        root(A, pool("pool", B)), root(A, pool("pool", w("b", 5, restart="transient"))),
        "change root/pool", with_dynamic,
    ),
    "the bound of a pool": (
        root(A, pool("pool", B)), root(A, pool("pool", B, max_children=2)),
        "change root/pool", with_dynamic,
    ),
    "a pool becomes a supervisor": (
        root(A, pool("pool", B)), root(A, s("pool", B)),
        "stop root/pool, start root/pool", with_dynamic,
    ),
    "more partitions": (
        root(A, s("p", B, partitions=2)), root(A, s("p", B, partitions=3)),
        "change root/p, start root/p/b-3", nobody,
    ),
    "fewer partitions": (
        root(A, s("p", B, partitions=3)), root(A, s("p", B, partitions=2)),
        "stop root/p/b-3, change root/p", nobody,
    ),
    "a temporary worker has ended": (
        root(A, w("b", restart="temporary")), root(A, w("b", restart="temporary")), "", ends("b"),
    ),
    "a transient worker has ended": (
        root(A, w("b", restart="transient")), root(w("a", 1), w("b", restart="transient")),
        "restart root/a", ends("b"),
    ),
    "it was stopped by hand": (root(A, B), root(w("a", 1), B), "restart root/a", is_stopped("b")),
    "it was stopped by hand, and has other args": (
        root(A, B), root(A, w("b", 1)), "change root/b", is_stopped("b"),
    ),
    "it was deleted by hand": (root(A, B), root(A, B), "start root/b", is_deleted("b")),
    "it was started by hand": (root(A), root(w("a", 1)), "restart root/a", by_hand(B)),
    "it was started by hand, and is in the file now": (root(A), root(A, B), "", by_hand(B)),
    "it was started by hand with other args": (
        root(A), root(A, w("b", 1)), "restart root/b", by_hand(B),
    ),
    "a supervisor was started by hand, with all below it": (
        root(A), root(w("a", 1)), "restart root/a", by_hand(s("h", B, s("i", w("c")))),
    ),
    "a pool was started by hand, and has children": (
        root(A), root(w("a", 1)), "restart root/a", by_hand(s("h", pool("pool", B)), pool="one"),
    ),
    "a child was started by hand below one that was": (
        root(A), root(w("a", 1)), "restart root/a", by_hand(s("h", B), h=C),
    ),
    "started by hand below a supervisor that goes": (
        root(A, s("s")), root(A), "stop root/s",
        by_hand(s("h", B), "s"),
    ),
    "the template of an empty pool becomes a supervisor": (
        root(A, pool("pool", B)), root(A, pool("pool", s("b", w("c")))), "change root/pool", nobody,
    ),
    "other args during a back-off": (
        root(w("a", backoff=SLOW), B), root(w("a", 1, backoff=SLOW), B), "restart root/a",
        crashes("a"),
    ),
    "gone during a back-off": (
        root(w("a", backoff=SLOW), B), root(B), "stop root/a", crashes("a"),
    ),
    "no back-off any more, during one": (
        root(w("a", backoff=SLOW), B), root(A, B), "change root/a", crashes("a"),
    ),
}  # fmt: skip


def each(view: NodeView) -> list[NodeView]:
    return [view, *(below for child in view.children for below in each(child))]


def lives(node: Node) -> dict[str, tuple[int, str, Any]]:
    """Of each node how often it was started, its state as seen from outside, and its own."""
    cells = node._world.names  # the state itself, not a copy
    return {
        view.id: (view.restarts, view.state, getattr(cells[view.id], "state", None))
        for view in each(node.tree())
    }


def touched(node: Node, steps: Any) -> set[str]:
    """The ids of what is stopped or started, with all that is below."""
    paths = [step.path for step in steps if step.act in ("stop", "start", "restart")]
    below = [view.id for view in each(node.tree())
             if any(f"{view.path}/".startswith(f"{path}/") for path in paths)]  # fmt: skip
    return {*below, *(step.id for step in steps if step.act in ("stop", "start", "restart"))}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_planned_is_done_and_nothing_else_is_touched(change: str) -> None:
    old, new, expected, before = CHANGES[change]
    with Node(old, clock=ManualClock()) as node:
        for name in node.names("worker"):
            node.call(name, add(MORE))
        before(node)
        was = lives(node)
        plan = node.plan(new)
        assert ", ".join(f"{step.act} {step.path}" for step in plan.todo) == expected
        assert lives(node) == was, "a plan changes nothing"
        gone = touched(node, plan.todo)
        done = node.apply(new, plan=plan)
        assert (done.done, done.failed, done.left) == (plan.todo, None, ())
        gone |= touched(node, plan.todo)
        now = lives(node)
        assert {n: one for n, one in now.items() if n not in gone} == {
            n: one for n, one in was.items() if n not in gone
        }
        assert node.plan(new).todo == (), "what was applied needs no more"
        assert [c.id for c in node.spec.children] == [c.id for c in new.children]


@pytest.mark.parametrize("change", CHANGES)
def test_a_call_that_waits_gets_the_outcome_of_before_or_of_after(change: str) -> None:
    old, new, _, before = CHANGES[change]
    with Node(old, clock=ManualClock()) as node:
        for name in node.names("worker"):
            node.call(name, add(MORE))
        before(node)
        states = {n: state for n, (_, up, state) in lives(node).items() if up == "running"}
        waiting = {
            name: node.send_request(name, add(1)) for name in node.names("worker") if name in states
        }
        steps = node.apply(new).done
        stopped = {step.path for step in steps if step.act == "stop"}
        begins = {name: first_state(node, name) for name in node.names("worker")}
        for name, pending in waiting.items():
            try:
                outcome: Any = node.wait(pending)
            except (NoProc, CalleeStopped):
                outcome = None
            after = None if name not in begins else begins[name] + 1
            assert outcome in (states[name] + 1, after), name
            assert outcome is not None or stopped, name


def first_state(node: Node, name: str) -> int:
    """The state that a life of a worker begins with."""
    args = getattr(node._world.names[name].spec, "args", {})
    return int(args.get("state", 0))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_can_be_looked_back_on_record_by_record(change: str) -> None:
    old, new, _, before = CHANGES[change]
    with Node(old, clock=ManualClock(), history=100) as node:
        for name in node.names("worker"):
            node.call(name, add(MORE))
        before(node)
        first, was = node.record, node.tree()
        node.apply(new)
        last, now = node.record, node.digest()
        for name in node.names("worker"):
            if node.whereis(name) is not None:
                node.call(name, add(1))
        assert node.at(last).digest() == now
        assert [v.path for v in each(node.at(first).tree())] == [v.path for v in each(was)]

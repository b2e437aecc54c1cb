"""Random trees, random things done to them: what must hold whatever happens."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ssm_cli import (
    Answer,
    Defer,
    ManualClock,
    Node,
    SsmError,
    StartFailed,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.errors import CallError
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.spec.model import DEFAULT_QUEUE, Backoff, ChildSpec, SupervisorSpec
from ssm_cli.spec.model import walk as walk_specs
from tests.properties.model import Folded, disagreements, walk
from tests.runtime.workers import add, fail, step
from tests.thorough import tries

DEPTH = 2  # levels of supervisors below the root
BROKEN = "broken"  # the key under which a tree's workers find the names that must not start


def init(name: str, args: Mapping[str, Any]) -> int:
    if name in args[BROKEN]:
        raise OSError(f"{name} is broken")
    return 0


machine = StateMachine(step=step, init=init)


@st.composite
def workers(draw: st.DrawFn, name: str, broken: set[str]) -> ChildSpec:
    return Worker(
        name,
        machine,
        args={BROKEN: broken},
        restart=draw(st.sampled_from(["permanent", "permanent", "transient", "temporary"])),
        backoff=draw(st.sampled_from([None, None, Backoff(initial_ms=300)])),
        shutdown=draw(st.sampled_from([5000, 5000, "brutal_kill"])),
    )


@st.composite
def supervisors(draw: st.DrawFn, name: str, depth: int, broken: set[str]) -> SupervisorSpec:
    children: list[ChildSpec] = []
    for number in range(draw(st.integers(1, 3))):
        id_ = f"{name}{number}"
        if depth and draw(st.booleans()):
            children.append(draw(supervisors(id_, depth - 1, broken)))
        else:
            children.append(draw(workers(id_, broken)))
    if depth == DEPTH and draw(st.booleans()):
        template = draw(workers("template", broken))
        pool = Supervisor("pool", "simple_one_for_one", [template], max_children=3, intensity=2)
        children.insert(draw(st.integers(0, len(children))), pool)
    return Supervisor(
        name,
        draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])),
        children,
        intensity=draw(st.integers(0, 3)),
        period=draw(st.sampled_from([1.0, 5.0])),
        restart=draw(st.sampled_from(["permanent", "permanent", "transient"])),
        queue=16 if depth == DEPTH else DEFAULT_QUEUE,
    )


class TreeMachine(RuleBasedStateMachine):
    """A node, what is done to it, and two opinions of what has become of it."""

    node: Node

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.broken: set[str] = set()
        self.folded = Folded()
        self.outcomes: Counter[int] = Counter()
        self.calls: list[Pending] = []
        self.order: dict[tuple[str, int], list[str]] = {}

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        tree = data.draw(supervisors("s", DEPTH, self.broken), label="tree")
        self.node = Node(tree, clock=self.clock)
        self.node.subscribe(self.folded.read)
        self.ids = [spec.id for _, spec in walk_specs(tree)]
        self.static = {
            spec.id: [child.id for child in spec.children]
            for _, spec in walk_specs(tree)
            if isinstance(spec, SupervisorSpec)
        }
        self.node.start()

    def teardown(self) -> None:
        if hasattr(self, "node"):
            self.node.stop()
            assert [self.outcomes[n] for n in range(len(self.calls))] == [1] * len(self.calls)
            assert disagreements(self.folded, self.node.tree()) == []

    def pick(self, data: st.DataObject, kind: Any = None) -> str:
        return data.draw(st.sampled_from(self.node.names(kind) or ["nobody"]), label="name")

    def send(self, worker: str, message: Any) -> None:
        number = len(self.calls)

        def count(_: Pending) -> None:
            self.outcomes[number] += 1

        with contextlib.suppress(CallError):
            self.calls.append(self.node.send_request(worker, message, count))

    # -- things to do --------------------------------------------------------------------------

    @precondition(lambda self: self.node.running)
    @rule(data=st.data(), crash=st.booleans(), run=st.booleans())
    def call(self, data: st.DataObject, crash: bool, run: bool) -> None:
        self.send(self.pick(data, "worker"), fail if crash else add(1))
        if run:
            self.node.run()

    @precondition(lambda self: self.node.running)
    @rule(data=st.data(), key=st.integers(0, 3))
    def defer(self, data: st.DataObject, key: int) -> None:
        self.send(self.pick(data, "worker"), lambda state: (state, None, [Defer(str(key))]))

    @precondition(lambda self: self.node.running)
    @rule(data=st.data(), key=st.integers(0, 3))
    def answer(self, data: st.DataObject, key: int) -> None:
        effects = [Answer(str(key), "answered")]
        self.send(self.pick(data, "worker"), lambda state: (state, "given", effects))

    @precondition(lambda self: self.node.running)
    @rule(
        data=st.data(),
        verb=st.sampled_from(["kill", "suspend", "resume", "stop_process"]),
    )
    def to_one(self, data: st.DataObject, verb: str) -> None:
        with contextlib.suppress(SsmError):
            getattr(self.node, verb)(self.pick(data))
        if verb == "resume":  # any number of requests may have waited
            self.order = {life: [] for life in self.order}

    @precondition(lambda self: self.node.running)
    @rule(
        data=st.data(),
        verb=st.sampled_from(["terminate_child", "restart_child", "delete_child", "start_child"]),
    )
    def to_a_supervisor(self, data: st.DataObject, verb: str) -> None:
        supervisor = self.pick(data, "supervisor")
        names = [*self.node.names(), "new", *self.ids]
        child: Any = data.draw(st.sampled_from(names), label="child")
        if supervisor == "pool" and verb == "terminate_child":
            child = self.node.whereis(child) or child
        elif supervisor != "pool" and verb == "start_child":
            child = data.draw(workers(child, self.broken))
        with contextlib.suppress(SsmError):
            getattr(self.node, verb)(supervisor, child)

    @rule(data=st.data(), whole=st.booleans())
    def break_or_mend(self, data: st.DataObject, whole: bool) -> None:
        name = data.draw(st.sampled_from(self.ids), label="name")
        if whole:
            self.broken.discard(name)
        else:
            self.broken.add(name)

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.5, 6.0]))
    def wait(self, seconds: float) -> None:
        self.node.run(seconds)

    @precondition(lambda self: not self.node.running)
    @rule()
    def start_again(self) -> None:
        with contextlib.suppress(StartFailed):
            self.node.start()

    @rule(drain=st.booleans())
    def stop(self, drain: bool) -> None:
        self.node.stop(drain=drain)

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def a_running_child_has_a_running_parent(self) -> None:
        for view in walk(self.node.tree()):
            for child in view.children:
                if child.state != "stopped":
                    assert view.state in ("running", "suspended"), (view.path, child.path)

    @invariant()
    def the_start_order_is_kept(self) -> None:
        for view in walk(self.node.tree()):
            if view.kind == "supervisor":
                now = [child.id for child in view.children]
                life = (view.id, view.restarts)
                before = self.order.get(life, self.static.get(view.id, []))
                stay = [id_ for id_ in before if id_ in now]
                assert now[: len(stay)] == stay, (view.id, before, now)
                self.order[life] = now

    @invariant()
    def no_window_holds_more_than_its_intensity(self) -> None:
        for view in walk(self.node.tree()):
            if view.kind == "supervisor" and view.state == "running":
                assert view.budget_left is not None
                assert view.budget_left >= 0

    @invariant()
    def no_call_has_more_than_one_outcome(self) -> None:
        assert all(count == 1 for count in self.outcomes.values())
        assert all(pending.done == (self.outcomes[n] == 1) for n, pending in enumerate(self.calls))

    @invariant()
    def the_reports_alone_tell_the_same_story(self) -> None:
        assert disagreements(self.folded, self.node.tree()) == []


TreeMachine.TestCase.settings = settings(
    max_examples=tries(40, 60),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


TestTrees = TreeMachine.TestCase

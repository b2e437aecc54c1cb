"""Whatever happens to a tree and its process, a state is the plain fold of the accepted inputs.

The model is a list for each worker: what was accepted, folded by hand. The tree is real, and so is
its store but for the disk. States are saved every few records, and old records are forgotten soon,
so that all of it happens in a short run.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ssm_cli import CalleeCrashed, CalleeStopped, Supervisor
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.spec.model import SupervisorSpec
from tests.runtime.durable.parts import (
    Add,
    Book,
    Boom,
    Later,
    Send,
    Shelf,
    World,
    failing,
    log,
    worker,
)
from tests.thorough import tries

ON_CRASH = {
    "keep": "last_good",
    "saved": "saved",
    "fresh": "init",
    "book": "last_good",
    "shelf": "last_good",
}
CODES: dict[str, Any] = {"book": Book, "shelf": Shelf}
NAMES = sorted(ON_CRASH)
AT_ONCE = [name for name in NAMES if name != "shelf"]  # a later answer has no memory for retries
LONG_MS = 1_000_000
SLICE_S = checkpoints.SLICE_S


def tree_of(snapshot_every: int, keep_records: int, strategy: Any) -> SupervisorSpec:
    """Workers of all kinds that crash in different ways, some below a supervisor of their own."""
    found = [worker(name, CODES.get(name, log), on_crash=how) for name, how in ON_CRASH.items()]
    inner = Supervisor("inner", strategy, found[2:], intensity=10**6)
    return Supervisor(
        "root",
        strategy,
        [*found[:2], inner],
        intensity=10**6,
        snapshot_every=snapshot_every,
        keep_records=keep_records,
        on_storage_error="refuse",
        queue=512,
    )


class Durable(RuleBasedStateMachine):
    """A world, and what its workers must have."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.model: dict[str, list[int]] = {name: [] for name in NAMES}
        self.answers: dict[str, tuple[str, int, list[int]]] = {}
        self.timers: list[tuple[str, int]] = []

    @initialize(
        snapshot_every=st.integers(1, 12),
        keep_records=st.sampled_from([0, 3, 100]),
        strategy=st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
        slice_s=st.sampled_from([SLICE_S, -1.0]),
    )
    def start(self, snapshot_every: int, keep_records: int, strategy: str, slice_s: float) -> None:
        checkpoints.SLICE_S = slice_s  # one state at a time where it is less than nothing
        self.world = World(tree_of(snapshot_every, keep_records, strategy))

    def next(self) -> int:
        self.number += 1
        return self.number

    def crashed(self, name: str) -> None:
        """Its crash drops a state where it says so, and with it its timers."""
        if ON_CRASH[name] == "init":
            self.model[name] = []

    @rule(name=st.sampled_from(NAMES), many=st.integers(1, 8))
    def call(self, name: str, many: int) -> None:
        numbers = [self.next() for _ in range(many)]
        pending = self.world.ask(name, *map(Add, numbers))
        self.world.node.run()
        for number, one in zip(numbers, pending, strict=True):
            self.model[name].append(number)
            assert one.result().ns == self.model[name]

    @rule(name=st.sampled_from(AT_ONCE))
    def call_once(self, name: str) -> None:
        request, number = f"r{len(self.answers)}", self.next()
        answer = self.world.node.call(name, Add(number), request_id=request)
        self.model[name].append(number)
        assert answer.ns == self.model[name]
        self.answers[request] = (name, number, list(self.model[name]))

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        if self.answers:
            request = data.draw(st.sampled_from(sorted(self.answers)))
            name, number, answer = self.answers[request]
            assert self.world.node.call(name, Add(number), request_id=request).ns == answer

    @rule(name=st.sampled_from(NAMES), others=st.integers(0, 3))
    def crash(self, name: str, others: int) -> None:
        """An input that crashes it, among others in one batch."""
        before = [self.next() for _ in range(others)]
        asked = self.world.ask(name, *map(Add, before), Boom(self.next()))
        self.world.node.run()
        self.model[name] += before
        assert [one.error is None for one in asked] == [True] * others + [False]
        self.crashed(name)

    @rule(name=st.sampled_from(NAMES))
    def kill(self, name: str) -> None:
        self.world.node.kill(name)
        self.world.node.run()
        self.crashed(name)

    @rule(sender=st.sampled_from(NAMES), to=st.sampled_from(NAMES), served=st.booleans())
    def send(self, sender: str, to: str, served: bool) -> None:
        """One durable worker sends to another, and the process may be lost in between."""
        number = self.next()
        self.world.node.call(sender, Send(to, number))
        if not served:
            self.world.crash()
        self.world.node.run()
        self.model[to].append(number)

    @rule(name=st.sampled_from(NAMES), lost=st.booleans())
    def later(self, name: str, lost: bool) -> None:
        """A timer, and the process may be lost before it runs out."""
        number = self.next()
        self.world.node.call(name, Later(f"k{number}", 1000, number))
        if lost:
            self.world.crash(jump_s=0.5)
        self.world.node.run(1.5)
        self.model[name].append(number)

    @rule(name=st.sampled_from(NAMES), many=st.integers(1, 5), crash=st.booleans())
    def cannot_write(self, name: str, many: int, crash: bool) -> None:
        failing(self.world.store)
        asked = self.world.ask(name, *[Add(self.next()) for _ in range(many)])
        if crash:
            asked += self.world.ask(name, Boom(self.next()))
        self.world.node.run()
        failing(self.world.store, None)
        self.refused(asked)

    @rule(name=st.sampled_from(NAMES), flights=st.integers(1, 4), written=st.booleans())
    def late(self, name: str, flights: int, written: bool) -> None:
        """Entries that are under way while others gather; the process may be lost, or they fail."""
        store = self.world.store
        store.late = True
        if not written:
            failing(store)
        numbers = [self.next() for _ in range(flights)]
        asked: list[Pending] = []
        for number in numbers:
            asked += self.world.ask(name, Add(number))
            self.world.node.run()
        while not all(pending.done for pending in asked):
            store.land()
            self.world.node.run()
        store.late = False
        failing(store, None)
        store.land()
        if written:
            assert [pending.error for pending in asked] == [None] * flights
            self.model[name] += numbers
        else:
            self.refused(asked)

    def refused(self, asked: list[Pending]) -> None:
        for pending in asked:
            with contextlib.suppress(CalleeStopped):
                raise AssertionError(f"acknowledged, and not written: {pending.result()}")

    @rule()
    def lose_the_process(self) -> None:
        self.world.crash()

    @rule(drain=st.booleans())
    def stop_in_order(self, drain: bool) -> None:
        self.world.node.stop(drain=drain)
        self.world.crash()

    @rule(name=st.sampled_from(NAMES), data=st.lists(st.integers(-9, -1), max_size=3))
    def replace(self, name: str, data: list[int]) -> None:
        self.world.node.replace_state(name, ("here", [*data]) if name == "shelf" else [*data])
        self.model[name] = list(data)

    @invariant()
    def every_state_is_the_fold_of_what_was_accepted(self) -> None:
        if hasattr(self, "world"):
            self.world.node.run()
            found: dict[str, Any] = {name: self.world.peek(name) for name in NAMES}
            assert found == self.model

    def teardown(self) -> None:
        checkpoints.SLICE_S = SLICE_S
        if hasattr(self, "world"):
            self.world.crash()
            self.every_state_is_the_fold_of_what_was_accepted()
            for request, (name, number, answer) in self.answers.items():
                again = self.world.node.call(name, Add(number), request_id=request)
                assert again.ns == answer
            with contextlib.suppress(CalleeCrashed):
                self.world.node.stop()


TestDurable = Durable.TestCase
TestDurable.settings = settings(
    max_examples=tries(40, 150),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

"""What durable workers send to durable workers is served once, or told as dropped, never both.

The model is the numbers that were sent to each worker, by calls that were answered. They come by
`apply` with and without a worker, by children of a pool that end and come back, by kills of the
process and by orderly stops. Each number is one of its receiver's state, or one report.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ssm_cli import Supervisor
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.spec.model import SupervisorSpec
from tests.runtime.durable.parts import Get, Send, World, tree, worker
from tests.thorough import tries

NAMES = ("a", "b", "c", "d")
LABELS = ("p", "q")
CHILDREN = tuple(f"pool:{label}" for label in LABELS)
EVERYBODY = NAMES + CHILDREN
SOME = st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)


class Sends(RuleBasedStateMachine):
    """A world, what was sent in it, and what it has told of."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.sent: dict[str, list[int]] = {name: [] for name in EVERYBODY}
        self.told: Counter[str] = Counter()
        self.heard = 0

    @initialize(every=st.integers(1, 8), keep=st.sampled_from([0, 3, 100]), slices=st.booleans())
    def begin(self, every: int, keep: int, *, slices: bool) -> None:
        self.options = {"snapshot_every": every, "keep_records": keep, "queue": 512}
        self.slice_s, checkpoints.SLICE_S = checkpoints.SLICE_S, 0.0 if slices else 1.0
        self.world = World(self.tree_of(NAMES))

    def teardown(self) -> None:
        checkpoints.SLICE_S = self.slice_s
        self.settle()
        for name in self.there():
            self.world.node.resume(name)
        self.settle()
        for name in self.there():
            got = self.world.peek(name)
            assert len(got) + self.told[name] == len(self.sent[name]), (name, got, self.told)

    def tree_of(self, names: tuple[str, ...] | list[str]) -> SupervisorSpec:
        pool = Supervisor("pool", "simple_one_for_one", [worker("p")], intensity=10**6)
        found = [worker(name, on_unrecoverable="init") for name in names]
        return tree(*found, pool, **self.options)

    def there(self) -> list[str]:
        return [name for name in EVERYBODY if name in self.world.node._world.names]

    def settle(self) -> None:
        self.world.node.run()
        self.listen()

    def listen(self) -> None:
        new = [one for one in self.world.node.reports() if one.seq > self.heard]
        self.told.update(one.detail["to"] for one in new if one.event == "dropped")
        self.heard = max([self.heard, *(one.seq for one in new)])

    # -- what happens --------------------------------------------------------------------------

    @rule(by=st.sampled_from(EVERYBODY), to=st.sampled_from(EVERYBODY))
    def send(self, by: str, to: str) -> None:
        """One sends to another, which may be there or not; nothing waits for it to arrive."""
        if by in self.there() and not self.world.node._world.names[by].suspended:
            self.number += 1
            self.sent[to].append(self.number)
            self.world.node.call(by, Send(to, self.number))

    @rule(name=st.sampled_from(EVERYBODY))
    def suspend(self, name: str) -> None:
        if name in self.there():
            self.world.node.suspend(name)

    @rule(name=st.sampled_from(EVERYBODY))
    def resume(self, name: str) -> None:
        if name in self.there():
            self.world.node.resume(name)

    @rule(name=st.sampled_from(EVERYBODY))
    def work(self, name: str) -> None:
        """Something else is recorded, so that states are saved."""
        if name in self.there() and not self.world.node._world.names[name].suspended:
            self.world.node.call(name, Get())

    @rule(name=st.sampled_from(EVERYBODY))
    def kill_worker(self, name: str) -> None:
        if name in self.there():
            self.world.node.kill(name)

    @rule(names=SOME)
    def apply(self, names: list[str]) -> None:
        self.world.node.apply(self.tree_of(names))

    @rule(label=st.sampled_from(LABELS))
    def begin_child(self, label: str) -> None:
        if f"pool:{label}" not in self.there():
            self.world.node.start_child("pool", label)

    @rule(label=st.sampled_from(LABELS))
    def end_child(self, label: str) -> None:
        if f"pool:{label}" in self.there():
            self.world.node.terminate_child("pool", f"pool:{label}")

    @rule(names=st.none() | SOME)
    def kill_process(self, names: list[str] | None) -> None:
        self.listen()
        self.heard = 0
        self.world.crash(self.world.node.spec if names is None else self.tree_of(names))

    @rule(names=st.none() | SOME)
    def restart(self, names: list[str] | None) -> None:
        self.world.node.stop()
        self.listen()
        self.heard = 0
        self.world.crash(self.world.node.spec if names is None else self.tree_of(names))

    @rule()
    def rest(self) -> None:
        self.settle()

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def none_is_served_twice_or_told_of_and_served(self) -> None:
        self.listen()
        for name in self.there():
            got = self.world.peek(name)
            assert len(got) == len({*got}), (name, got)
            assert {*got} <= {*self.sent[name]}, (name, got)
            assert len(got) + self.told[name] <= len(self.sent[name]), (name, got, self.told)


TestSends = Sends.TestCase
TestSends.settings = settings(
    max_examples=tries(60, 300), stateful_step_count=30, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip

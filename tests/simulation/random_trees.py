"""Random small trees, and a naive way to place faults in them: real workers, no fork, no digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from ssm_cli import CalleeCrashed, Node, StateMachine, Supervisor, SupervisorSpec, Worker
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.simulation.placements import CRASH, INIT_FAILS, changes_of
from ssm_cli.simulation.stand_ins import come_to_rest, world_of
from ssm_cli.spec.model import Backoff, Restart, Strategy

MARGIN_S = 0.001
ARMED: dict[str, int] = {}
Fault = tuple[float, str, str]


def init(name: str, _args: Mapping[str, Any]) -> int:
    if ARMED.get(name, 0):
        ARMED[name] -= 1
        raise RuntimeError("init fails")
    return 0


def step(message: object, state: int) -> tuple[int, None]:
    if message == "crash":
        raise RuntimeError("crash")
    return state, None


fragile = StateMachine(step=step, init=init)


def random_tree(chance: Random, workers: int) -> SupervisorSpec:
    """A tree of that many workers, some of them alike, in up to three supervisors."""
    groups: list[list[Any]] = [[], [], []]
    for number in range(workers):
        groups[chance.randrange(3)].append(random_worker(chance, f"w{number}"))
    below = [
        random_supervisor(chance, f"s{number}", group)
        for number, group in enumerate(groups[1:])
        if group
    ]
    return random_supervisor(chance, "root", [*groups[0], *below], root=True)


def random_worker(chance: Random, name: str) -> Any:
    delays = chance.random() < 0.15
    return Worker(
        name,
        fragile,
        restart=chance.choice([*[Restart.PERMANENT] * 3, Restart.TRANSIENT, Restart.TEMPORARY]),
        backoff=Backoff(2000, 2, 8000) if delays else None,
    )


def random_supervisor(
    chance: Random, name: str, children: list[Any], *, root: bool = False
) -> SupervisorSpec:
    one, others = Strategy.ONE_FOR_ONE, (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)
    strategy = chance.choice([one, one, *others])
    below = chance.choice([Restart.PERMANENT, Restart.PERMANENT, Restart.TRANSIENT])
    restart = Restart.PERMANENT if root else below
    return Supervisor(
        name,
        strategy,
        children,
        intensity=chance.randrange(3),
        period=chance.choice([1, 5, 10]),
        restart=restart,
    )


class Naive:
    """One node on which faults are put one after the other."""

    def __init__(self, tree: SupervisorSpec, faults: list[Fault]) -> None:
        ARMED.clear()
        self.node = Node(tree, clock=ManualClock(), guard=False).start()
        for fault in faults:
            self.put(*fault)

    def put(self, after_s: float, fault: str, worker: str) -> None:
        if after_s:
            self.node.run(after_s)
            come_to_rest(self.node)
        if not self.node.running:
            return
        if fault == INIT_FAILS:
            ARMED[worker] = ARMED.get(worker, 0) + 1
            return
        try:
            self.node.call(worker, "crash")
        except CalleeCrashed:
            come_to_rest(self.node)

    def instants(self) -> list[float]:
        now_s = self.node.now_s()
        left = [s for cell in world_of(self.node).names.values() for s in changes_of(cell, now_s)]
        both = {round(s + way, 6) for s in left for way in (-MARGIN_S, MARGIN_S)}
        return sorted(s for s in both if s > 0)

    def workers(self) -> list[str]:
        return [name for name in self.node.names("worker") if self.node.whereis(name) is not None]


def all_ways(tree: SupervisorSpec, most: int) -> Iterator[tuple[list[Fault], bool]]:
    """Every placement of up to so many faults, and whether it takes the root down."""
    waiting: list[list[Fault]] = [[]]
    while waiting:
        faults = waiting.pop(0)
        for fault in next_faults(tree, faults):
            longer = [*faults, fault]
            if fault[1] == INIT_FAILS and len(longer) == most:
                continue  # no crash comes behind it
            down = not Naive(tree, longer).node.running
            yield longer, down
            if not down and len(longer) < most:
                waiting.append(longer)


def next_faults(tree: SupervisorSpec, faults: list[Fault]) -> Iterator[Fault]:
    for after_s in (0.0, *Naive(tree, faults).instants()):
        later = Naive(tree, faults)
        if after_s:
            later.node.run(after_s)
            come_to_rest(later.node)
        if not later.node.running:
            yield after_s, CRASH, ""
            continue
        for worker in later.workers():
            yield after_s, CRASH, worker
            if not after_s:
                yield after_s, INIT_FAILS, worker

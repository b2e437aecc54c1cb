"""Thousands of random operations on a tree of two hundred nodes, ten times over.

Crashes, inits that fail or ignore, steps that overrun: no invariant breaks, nothing is raised that
is not ours, and the tenth run needs no more memory than the second.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Mapping
from random import Random
from typing import Any

from ssm_cli import Ignore, ManualClock, Node, SsmError, StateMachine, Supervisor, Worker
from ssm_cli.runtime.reports import KEPT_REPORTS
from ssm_cli.spec.model import SupervisorSpec
from tests.properties.model import Folded, disagreements, walk
from tests.thorough import tries

NODES = 200
OPERATIONS = tries(2_000, 10_000)
RUNS = 10
GROWTH_BLOCKS = 2_000  # of memory; a run that kept its reports would add a hundred thousand


class Weather:
    """What befalls the workers of one run, from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.clock = ManualClock()
        self.foul = False

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        throw = self.chance.random() if self.foul else 1.0
        if throw < 0.02:
            raise OSError("no luck at the start")
        return Ignore() if throw < 0.03 else 0

    def step(self, message: str, state: int) -> tuple[int, int]:
        if message == "crash":
            raise ValueError("as asked")
        if message == "overrun":
            self.clock.sleep_s(60.0)
        return state + 1, state


def tree_of(weather: Weather) -> SupervisorSpec:
    """Two hundred nodes: supervisors of all strategies over workers of all restart types."""
    machine = StateMachine(step=weather.step, init=weather.init)
    chance, groups = weather.chance, []
    for group in range(19):
        workers = [
            Worker(
                f"w{group}-{n}",
                machine,
                restart=chance.choice(["permanent", "permanent", "transient", "temporary"]),
            )
            for n in range(9)
        ]
        strategy: Any = chance.choice(["one_for_one", "one_for_all", "rest_for_one"])
        groups.append(Supervisor(f"s{group}", strategy, workers, intensity=5, period=60))
    pool = Supervisor("pool", "simple_one_for_one", [Worker("t", machine)], max_children=9)
    return Supervisor("root", children=[*groups, pool], intensity=10**6)


def operate(node: Node, weather: Weather, number: int) -> None:
    """Do one thing to the tree, whatever comes of it."""
    chance = weather.chance
    names = node.names()
    name = chance.choice(names)
    supervisor = chance.choice(node.names("supervisor"))
    match chance.randrange(12):
        case 0 | 1 | 2 | 3 | 4:
            node.call(name, chance.choice(["add", "add", "add", "crash"]))
        case 5:
            node.call(name, "overrun")
        case 6:
            node.cast(name, "crash")
        case 7:
            node.kill(name if name != "root" else "s0")
        case 8:
            node.terminate_child(supervisor, name)
        case 9:
            node.restart_child(supervisor, name)
        case 10:
            node.start_child("pool", f"d{number % 40}")
        case _:
            node.run(1.0)


def soak(seed: int) -> None:
    """One run; every invariant is looked at every hundred operations, and at the end."""
    weather = Weather(seed)
    node, folded, seen = Node(tree_of(weather), clock=weather.clock), Folded(), 0
    node.start()
    weather.foul = True
    for number in range(OPERATIONS):
        with contextlib.suppress(SsmError):
            operate(node, weather, number)
        reports = node.reports(after=seen)
        assert len(reports) < KEPT_REPORTS
        for report in reports:
            folded.read(report)
        seen = reports[-1].seq if reports else seen
        if number % 100 == 0:
            look(node, folded)
    node.stop()
    for report in node.reports(after=seen):
        folded.read(report)
    assert disagreements(folded, node.tree()) == []


def look(node: Node, folded: Folded) -> None:
    """What must hold whatever happens."""
    tree = node.tree()
    assert folded.wrong == []
    assert disagreements(folded, tree) == []
    for view in walk(tree):
        if view.budget_left is not None and view.state == "running":
            assert view.budget_left >= 0
        for child in view.children:
            assert child.state == "stopped" or view.state in ("running", "suspended")


def test_ten_runs_of_thousands_of_operations_break_nothing_and_grow_nothing() -> None:
    blocks = []
    for seed in range(RUNS):
        soak(seed)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert blocks[-1] - blocks[1] < GROWTH_BLOCKS, blocks

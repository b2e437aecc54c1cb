"""The cost of simulations: chaos on fifty workers, placements in ten, inputs of a fuzz.

    python -m tests.benchmarks.simulation

By processor time, each once, in one process.
"""

from __future__ import annotations

import time
from typing import Any

from ssm_cli import ManualClock, Node, Supervisor, SupervisorSpec, Worker
from ssm_cli.machines.counter import counter
from ssm_cli.machines.kv import kv_store
from ssm_cli.simulation.asking import chaos_in, check_policy_in
from ssm_cli.simulation.fuzz import Fuzzing, fuzz
from ssm_cli.simulation.pace import Pace

STEPS = 10_000


def fifty() -> SupervisorSpec:
    """Return a tree of fifty workers under ten supervisors, with room for all that happens."""
    groups = [
        Supervisor(
            f"group{n}",
            children=[Worker(f"counter{n}-{m}", counter) for m in range(5)],
            intensity=20,
        )
        for n in range(10)
    ]
    return Supervisor("root", children=groups, intensity=100)


def ten() -> SupervisorSpec:
    """Return a tree of ten workers under three supervisors, of each strategy one."""

    def some(name: str, count: int) -> list[Any]:
        return [Worker(f"{name}{n}", kv_store) for n in range(count)]

    one = Supervisor("all", "one_for_all", some("all", 3), intensity=3, period=10)
    rest = Supervisor("rest", "rest_for_one", some("rest", 3))
    return Supervisor("root", children=[*some("kv", 4), one, rest], intensity=4)


def chaotic() -> None:
    """Print how long 10,000 steps take."""
    begun_s = time.process_time()
    told = chaos_in(fifty(), "fifty", {"seed": "1", "steps": str(STEPS), "span": "2h"}, str)
    took_s = time.process_time() - begun_s
    print(f"chaos, 50 workers: {told['taken']:,} steps in {took_s:.2f} s, "
          f"survived {told['survived']}")  # fmt: skip


def placed() -> None:
    """Print how long it takes to place faults in all ways."""
    for faults in (1, 2, 3):
        begun_s = time.process_time()
        told = check_policy_in(ten(), "ten", faults)
        took_s = time.process_time() - begun_s
        print(f"check-policy, 10 workers, K={faults}: {told['placements']:,} placements in "
              f"{told['states']:,} states, {took_s:.2f} s {told['stopped']}")  # fmt: skip


def fuzzed() -> None:
    """Print how many inputs are tried in a second."""
    tree = Supervisor("root", children=[Worker("counter", counter)])
    node = Node(tree, clock=ManualClock()).start()
    begun_s = time.process_time()
    told = fuzz(node, Fuzzing("counter", 1, 20_000), Pace(60.0, time.perf_counter))
    took_s = time.process_time() - begun_s
    print(f"fuzz: {told['steps'] / took_s:,.0f} inputs a second, found {told['found']}")


if __name__ == "__main__":
    chaotic()
    placed()
    fuzzed()

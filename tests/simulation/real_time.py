"""`check-policy` against brute force in real time: every placement on a node with a real clock.

    python -m tests.simulation.real_time [TREES]

No test of the suite, as it takes minutes. The machine cannot change the answer: how late each
fault came is measured by the clock that the node counts restarts by, and a placement in which one
was so late that it may count otherwise is tried again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import msgspec

from ssm_cli import CallError, Node, StateMachine, SupervisorSpec
from ssm_cli.simulation import placements
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.placements import INIT_FAILS, Searching
from ssm_cli.simulation.stand_ins import Stand, has_more, world_of
from tests.simulation import random_trees
from tests.simulation.random_trees import Fault, all_ways, random_tree, step

FACTOR = 0.04  # periods and delays of 1 to 10 s become 40 to 400 ms
MARGIN_S = 0.015  # what just inside and just outside of a period mean
LATE_S = 0.010  # that a fault may come, and count as it was meant to
AT_ONCE = 16  # placements
FAULTS = 2
TREES = 500


def with_init(spec: Any, init: Any) -> Any:
    """Return a tree whose workers have that init."""
    if not isinstance(spec, SupervisorSpec):
        return msgspec.structs.replace(spec, start=StateMachine(step=step, init=init))
    below = tuple(with_init(child, init) for child in spec.children)
    return msgspec.structs.replace(spec, children=below)


def short(spec: Any) -> Any:
    """Return a tree with short periods and delays."""
    if not isinstance(spec, SupervisorSpec):
        backoff = spec.options.backoff
        if backoff is None:
            return spec
        lengths = {"initial_ms": backoff.initial_ms * FACTOR, "max_ms": backoff.max_ms * FACTOR}
        backoff = msgspec.structs.replace(backoff, jitter=0.0, **lengths)
        options = msgspec.structs.replace(spec.options, backoff=backoff)
        return msgspec.structs.replace(spec, options=options)
    below = tuple(map(short, spec.children))
    period_s = spec.period_s * FACTOR
    return msgspec.structs.replace(spec, children=below, period_s=period_s)


class RealTime:
    """One placement, in real time."""

    def __init__(self, tree: SupervisorSpec) -> None:
        self._armed: dict[str, int] = {}
        self._node = Node(with_init(tree, self._init), guard=False)

    def _init(self, name: str, _args: Any) -> int:
        if self._armed.get(name, 0):
            self._armed[name] -= 1
            raise RuntimeError("init fails")
        return 0

    async def is_down(self, faults: list[Fault]) -> bool | None:
        """Whether the root goes down; None if a fault came too late to tell."""
        node = self._node.start()
        serving = asyncio.create_task(node.serve())
        begun_s, meant_s, late_s = node.now_s(), 0.0, 0.0
        for after_s, fault, worker in faults:
            meant_s += after_s
            await asyncio.sleep(max(0.0, begun_s + meant_s - node.now_s()))
            if fault == INIT_FAILS:
                self._armed[worker] = self._armed.get(worker, 0) + 1
            elif worker and node.running:
                with suppress(CallError):
                    await node.acall(worker, "crash")
                while has_more(world_of(node)):  # noqa: ASYNC110 - it tells nobody that it rests
                    await asyncio.sleep(0)
            late_s = max(late_s, node.now_s() - begun_s - meant_s)
        down = not node.running
        if not down:
            node.stop()
        await serving
        return down if late_s < LATE_S else None


async def agrees(tree: SupervisorSpec, at_once: asyncio.Semaphore) -> tuple[bool, int, int]:
    """Whether search and real time agree on a tree; of how many placements, tried how often."""
    found = Searching(Stand.of_spec(tree), FAULTS, Pace(600.0, float)).run()
    ways = [faults for faults, _ in all_ways(tree, FAULTS)]
    tries = 0

    async def way_down(faults: list[Fault]) -> bool:
        nonlocal tries
        down = None
        while down is None:
            async with at_once:
                tries += 1
                down = await RealTime(tree).is_down(faults)
        return down

    down = sum(await asyncio.gather(*map(way_down, ways)))
    return (found.placements, found.down) == (len(ways), down), len(ways), tries


def trees(count: int) -> Iterator[SupervisorSpec]:
    for seed in range(count):
        chance = Random(f"real time {seed}")
        yield short(random_tree(chance, chance.choice([1, 2, 2, 3])))


async def main(count: int) -> None:
    at_once, agreed, ways, tries = asyncio.Semaphore(AT_ONCE), 0, 0, 0
    for number, tree in enumerate(trees(count)):
        is_right, of_tree, tried = await agrees(tree, at_once)
        agreed, ways, tries = agreed + is_right, ways + of_tree, tries + tried
        if not is_right:
            print(f"tree {number} differs: {tree}")
    print(f"{agreed} of {count} trees agree: {ways:,} placements, {tries:,} tried in real time")


if __name__ == "__main__":
    placements.MARGIN_S = random_trees.MARGIN_S = MARGIN_S
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else TREES))

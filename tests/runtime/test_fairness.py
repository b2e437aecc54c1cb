"""No worker, reader or client starves another: batches are bounded, system messages go first."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ssm_cli import Cast, ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.runtime.driver import TURN_S
from tests.runtime.workers import add, get, worker


def busy() -> StateMachine:
    """A worker that is never done: each input sends it the next."""

    def step(message: Any, state: int) -> tuple[int, int, list[Cast]]:
        return state + 1, state, [Cast(None, message)]

    return StateMachine(step=step, init=lambda name, args: 0)


def test_a_flood_to_one_worker_does_not_keep_another_waiting() -> None:
    with Node(Supervisor("root", children=[Worker("flood", busy()), worker("b")])) as node:
        for _ in range(100):
            node.cast("flood", 1)
        assert node.call("b", get, timeout_s=1.0) == 0


def test_a_request_to_a_supervisor_goes_ahead_of_what_waits() -> None:
    tree = Supervisor("root", children=[worker("a"), worker("b")])
    with Node(tree, clock=ManualClock()) as node:
        for _ in range(100):
            node.cast("a", add(1))
        node.terminate_child("root", "b")
        assert node.statistics("a").queue == 100


def test_the_loop_of_asyncio_gets_its_turn_while_the_tree_is_busy() -> None:
    async def main() -> tuple[int, float]:
        with Node(Supervisor("root", children=[Worker("flood", busy())])) as node:
            serving = asyncio.create_task(node.serve())
            node.cast("flood", 1)
            turns, begun_s = 0, time.monotonic()
            while turns < 20:
                await asyncio.sleep(0)
                turns += 1
            took_s = time.monotonic() - begun_s
            node.stop(drain=False)
            await serving
            return turns, took_s

    turns, took_s = asyncio.run(main())
    assert took_s < turns * TURN_S * 50  # far from a measurement: a starved loop takes for ever

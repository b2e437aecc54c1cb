"""No worker, reader or client starves another: batches are bounded, system messages go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ssm_cli import Cast, ManualClock, Node, StateMachine, Supervisor, Worker
from ssm_cli.runtime.performer.loop import NEVER, TURN_S, pump, run_batch
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


def slow(clock: ManualClock) -> Callable[[int], tuple[int, int]]:
    """A message whose step takes five milliseconds."""

    def step(state: int) -> tuple[int, int]:
        clock.advance_s(0.005)
        return state + 1, state

    return step


def turns(node: Node, until: int) -> list[int]:
    """How many inputs each turn of a driver serves, until `until` are served."""
    counts, before = [], node.get_state("a")
    while before < until:
        pump(node._world, NEVER, TURN_S)
        counts.append(node.get_state("a") - before)
        before += counts[-1]
    return counts


def test_a_turn_ends_about_when_its_time_is_over_however_long_the_steps_take() -> None:
    clock = ManualClock()
    with Node(Supervisor("root", children=[worker("a")]), clock=clock) as node:
        for _ in range(100):
            node.send_request("a", slow(clock))
        assert turns(node, 100) == [1] * 100


def test_steps_that_turn_slow_make_one_turn_long_and_then_no_more() -> None:
    clock = ManualClock()
    with Node(Supervisor("root", children=[worker("a")], queue=1000), clock=clock) as node:
        for _ in range(500):
            node.send_request("a", add(1))
        assert turns(node, 500) == [500]  # of one step after the other, as all are quick
        for _ in range(100):
            node.send_request("a", slow(clock))
        assert turns(node, 600) == [64, 16, 4, *[1] * 16]


def test_a_tick_of_the_guard_ends_a_batch() -> None:
    clock = ManualClock()
    with Node(Supervisor("root", children=[worker("a")], queue=1000), clock=clock) as node:
        for _ in range(500):
            node.send_request("a", add(1))
        node.run()
        guard = node._world.guard

        def ticked(state: int) -> tuple[int, int]:
            guard.tick(None)
            return state + 1, state

        for message in [add(1), ticked, *[add(1)] * 50]:
            node.cast("a", message)
        assert run_batch(node._world, NEVER, 64)
        assert node.get_state("a") == 502
        node.run()
        assert node.get_state("a") == 552


def test_the_loop_of_asyncio_gets_its_turn_while_the_tree_is_busy() -> None:
    async def main() -> float:
        with Node(Supervisor("root", children=[Worker("flood", busy())])) as node:
            serving = asyncio.create_task(node.serve())
            node.cast("flood", 1)
            begun_s = time.monotonic()
            for _ in range(20):
                await asyncio.sleep(0)
            took_s = time.monotonic() - begun_s
            node.stop(drain=False)
            await serving
            return took_s

    assert asyncio.run(main()) < 60  # far from a measurement: a starved loop takes for ever

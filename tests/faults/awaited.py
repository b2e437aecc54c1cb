"""The doors of asyncio at odd moments: no room, no time, timers, restarts that fail, the end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ssm_cli import Defer, SsmError, StartTimer, Supervisor
from ssm_cli.runtime.driver import watch_links
from tests.faults.doors import slow
from tests.faults.scenarios import add, asking, crash
from tests.faults.stage import Own, Scenario, Stage
from tests.faults.ticks import patched


def within(stage: Stage, name: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """An act inside asyncio."""
    if stage.loop is None:
        stage.loop = asyncio.new_event_loop()
    stage.act(name, stage.loop.run_until_complete, main())


async def heard(coming: Awaitable[Any]) -> Any:
    try:
        return await coming
    except SsmError as error:
        return error


async def waits(stage: Stage, *coming: Awaitable[Any], times: int = 3) -> None:
    """Wait for all of these a little, while the clock goes on."""
    tasks = [asyncio.ensure_future(heard(one)) for one in coming]
    stage.tasks += tasks
    for _ in range(times):
        await asyncio.sleep(0)
        stage.clock.advance_s(0.3)
    await asyncio.wait(tasks, timeout=0.005)


def tree(stage: Stage) -> Any:
    def failing(life: int) -> None:
        if 1 < life < 5:
            stage.clock.advance_s(0.05)
            raise RuntimeError("not yet")

    late = stage.worker("b", args={"init": failing})
    return Supervisor("root", children=[stage.worker("a"), late], intensity=100, queue=2)


def at_odd_moments(stage: Stage) -> None:
    """Calls with each sort of end, no room, no loop."""
    node, world = stage.node, stage.node._world
    stage.start()

    async def first() -> None:
        await waits(
            stage,
            node.acall("a", asking(StartTimer("t", 900, add), StartTimer("u", 400, add))),
            node.acall("a", add, request_id="r"),
            node.acall("a", asking(Defer("k")), 0.2),
            node.acall("a", asking(Defer("l")), 0.7),
            node.acall_value("a", b"word", answered=lambda _answer: None),
        )

    async def failing() -> None:
        await waits(stage, node.acall("b", crash), node.acall("b", add), times=6)

    async def full() -> None:
        with patched(world, "bound", 0):
            coming = [node.acall("a", add, 0.001), node.acall("a", add, 9.0)]
            coming.append(node.acall_value("a", b"word", 0.001))
            await waits(stage, *coming)
        node.suspend("a")
        for _ in range(3):
            await waits(stage, node.acall("a", add, 0.2), node.acall_value("a", b"word", 0.2))
        node.resume("a")

    for name, main in (("first", first), ("failing", failing), ("full", full)):
        within(stage, name, main)
    at_once(stage)
    at_the_end(stage)


def at_once(stage: Stage) -> None:
    """Calls that are served on the spot, or not; a driver that lets go of its loop."""
    world = stage.node._world
    driver, cell = world.outside.driver, world.names["a"]

    async def spot() -> None:
        await waits(stage, asyncio.sleep(0))
        answers = [driver.serve(cell, add, 0.0)]
        stage.clock.advance_s(1.0)
        answers.append(driver.serve(cell, add, None))
        answers.append(driver.serve(cell, slow(stage, 1.0), 0.5))
        answers.append(driver.serve(cell, lambda _state: "no pair", 0.5))
        await waits(stage, *[answer for answer in answers if answer is not None])
        reader, writer = os.pipe()
        try:
            for number in (reader, -1, reader):
                watch_links(driver, number)
            driver.close()
        finally:
            os.close(reader)
            os.close(writer)
            driver.watched = -1

    within(stage, "spot", spot)
    stage.act("outside", driver.serve, cell, add, None)


def at_the_end(stage: Stage) -> None:
    """A step that is interrupted, a tree that stops, a loop that is closed."""
    node = stage.node

    def own(_state: Any) -> Any:
        raise Own("in a step")

    async def interrupted() -> None:
        await node.acall("a", own)

    async def ends() -> None:
        down = asyncio.ensure_future(node.serve())
        await asyncio.sleep(0)
        node.cast("a", add)
        node.stop()
        await asyncio.wait([down], timeout=0.005)
        await heard(node.acall("a", add))
        await heard(node.serve())

    within(stage, "interrupted", interrupted)
    stage.do("resume", "a")
    within(stage, "ends", ends)
    stage.start()
    if stage.loop is not None:
        stage.loop.close()
        stage.loop = None
        stage.tasks.clear()
    stage.act("wake", node._world.outside.driver.wake)
    stage.call("a", add)
    stage.stop()


SCENARIOS = [
    Scenario("at_odd_moments", tree, at_odd_moments, frozenset("ab"), kills=True, may_end=True,
             kinds=(KeyboardInterrupt,), defers=True, failing_inits=3),
]  # fmt: skip

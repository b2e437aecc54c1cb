"""Async functions as tasks: of the loop that serves the node, or of one of our own while it rests.

Each slice of a coroutine, from one `await` to the next, is user code like a step, on the same
thread: it runs under the guard, and is cut at the limit of a step. With the driver, this is the one
file of the runtime that knows asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from functools import partial
from types import coroutine
from typing import Any

from ssm_cli.behaviour.runs import Done, Ended, Failed, RunError
from ssm_cli.runtime.engine.contained import said_by
from ssm_cli.runtime.engine.entries import RunDue
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_ctrl_c

Tell = Callable[[RunDue, Ended], None]


class Tasks:
    """The runs of a node that are async functions."""

    def __init__(self, world: World, tell: Tell) -> None:
        self._world = world
        self._tell = tell
        self._tasks: dict[int, tuple[RunDue, asyncio.Task[Ended]]] = {}

    def start(self, entry: RunDue, loop: asyncio.AbstractEventLoop) -> None:
        """Make a task of it."""
        task = loop.create_task(carried_out(self._world, entry))
        self._tasks[entry.number] = entry, task
        task.add_done_callback(partial(self._over, entry))

    def cancel(self, number: int) -> bool:
        """Cancel a task; one that does not end by that keeps its place until it ends."""
        _, task = self._tasks.get(number, (None, None))
        if task is not None and not task.get_loop().is_closed() and not task.cancelling():
            task.cancel()
        return task is not None

    def has_work(self) -> bool:
        """Whether a task goes on."""
        return bool(self._tasks)

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up the tasks whose loop is closed: it will never end them."""
        del loop
        for entry, task in [*self._tasks.values()]:
            if task.get_loop().is_closed():
                self._end(entry, cancelled(entry, "its event loop was closed"))

    def close(self) -> None:
        """Cancel all tasks."""
        for number in [*self._tasks]:
            self.cancel(number)

    def _over(self, entry: RunDue, task: asyncio.Task[Ended]) -> None:
        if task.cancelled():
            self._end(entry, cancelled(entry, "its task was cancelled"))
        elif (error := task.exception()) is not None:
            self._end(entry, failed_by(self._world, entry, error))
        else:
            self._end(entry, task.result())

    def _end(self, entry: RunDue, ended: Ended) -> None:
        if self._tasks.pop(entry.number, None) is not None:
            self._tell(entry, ended)


async def carried_out(world: World, entry: RunDue) -> Ended:
    """Call the function of a run and wait for its end; raises what Ctrl-C raises, and no more."""
    run = entry.run
    try:
        return Done(run.key, await slices(world, entry))
    except asyncio.CancelledError:
        return cancelled(entry, "it was cancelled")
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return failed_by(world, entry, error)


@coroutine
def slices(world: World, entry: RunDue) -> Generator[Any, Any, Any]:
    """Run a coroutine slice by slice, each under the guard.

    One that was cancelled and goes on is left where it is once its loop cancels it, too: else the
    program would not end.
    """
    run, cell, guard = entry.run, entry.cell, world.guard
    limit_s = cell.step_limit_s()
    made = guarded(guard, cell, limit_s, run.function, *run.args)
    inner = made.__await__()
    call, given = inner.send, None
    while True:
        try:
            waits = guarded(guard, cell, limit_s, call, given)
        except StopIteration as stop:
            return stop.value
        try:
            call, given = inner.send, (yield waits)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_left(world, entry):
                raise
            call, given = inner.throw, error


def is_left(world: World, entry: RunDue) -> bool:
    """Return whether a run that does not count any more is cancelled for a second time."""
    task = asyncio.current_task()
    return world.timers.find(entry.number) is None and task is not None and task.cancelling() > 1


def cancelled(entry: RunDue, why: str) -> Failed:
    """Return the end of a run that somebody else has cancelled."""
    return Failed(entry.run.key, RunError("cancelled", "CancelledError", why))


def failed_by(world: World, entry: RunDue, error: BaseException) -> Failed:
    """Return the end of a run that has raised."""
    said = said_by(world, entry.cell, error)
    return Failed(entry.run.key, RunError("raised", type(error).__name__, said))


class OwnLoop:
    """The event loop of a node without asyncio: it goes on while the node rests."""

    ROUNDS = 10  # of the loop, in a turn that does not wait
    LAST_S = 0.5  # for tasks that were cancelled, to end

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Handle  # of the turn

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop; it is made at first use."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        return self._loop

    def turn(self, seconds: float) -> None:
        """Let the loop go on for `seconds`, or until `stop`; for some rounds where that is 0."""
        loop = self.loop()
        if seconds > 0:
            self._end = loop.call_later(seconds, loop.stop)
        else:
            self._round(self.ROUNDS)
        try:
            loop.run_forever()
        finally:
            self._end.cancel()

    def _round(self, left: int) -> None:
        loop = self.loop()
        self._end = loop.call_soon(self._round, left - 1) if left else loop.call_soon(loop.stop)

    def stop(self) -> None:
        """End a turn early: something is to be done."""
        if self._loop is not None and self._loop.is_running():
            self._loop.stop()

    def close(self) -> None:
        """Close the loop, once all in it has ended, or was given some time to do so."""
        loop = self._loop
        if loop is None or loop.is_running() or loop.is_closed():
            return
        for _ in range(self.ROUNDS):
            self.turn(0)
            if not asyncio.all_tasks(loop):
                break
            self.turn(self.LAST_S / self.ROUNDS)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread; None where none does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

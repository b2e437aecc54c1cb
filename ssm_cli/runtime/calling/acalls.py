"""Calls from asyncio: the running loop serves the node while they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ssm_cli.errors import CallError, DecodeError, SsmError
from ssm_cli.runtime.calling.calls import as_asked
from ssm_cli.runtime.calling.casts import written
from ssm_cli.runtime.calling.waiting import TIMEOUT_S
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending, checked_request_id, checked_seconds
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import need_worker
from ssm_cli.runtime.remote.calling import acall_far
from ssm_cli.runtime.remote.far import far_of

if TYPE_CHECKING:
    from ssm_cli.runtime.driver import Driver


class AsyncCalls:
    """The part of a node that is called, and served, with `await`."""

    _attach: Callable[[World], Driver] | None = None

    def __init__(self, world: World) -> None:
        self._world = world

    async def acall(
        self,
        worker: str,
        message: Any,
        timeout_s: float | None = TIMEOUT_S,
        request_id: str = "",
    ) -> Any:
        """`call` for asyncio: the running loop serves the node while this waits.

        Each call lets the loop go round once at least, whether it had to wait or not. While the
        queue is full, callers wait their turn.
        """
        world = self._world
        if timeout_s is not TIMEOUT_S:
            checked_seconds(timeout_s)
        if request_id != "":
            checked_request_id(request_id, worker)
        cell = world.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                driver = self.attached()
                return await acall_far(
                    world, driver, far, message, timeout_s=timeout_s, request_id=request_id
                )
            cell = need_worker(world, worker)
        driver = world.outside.driver
        answer = None
        if driver is not None and not request_id:
            answer = driver.serve(cell, message, timeout_s)
        if answer is None:
            driver = self.attached()
            if driver.is_full():
                await driver.room(timeout_s)
            answer = driver.ask(cell, message, timeout_s, request_id=request_id)
        output = await answer
        return (
            as_asked(world, cell, message, output)
            if request_id or type(message) is bytes
            else output
        )

    async def acall_value(
        self,
        worker: str,
        data: bytes,
        timeout_s: float | None = TIMEOUT_S,
        answered: Callable[[tuple[bytes, Any] | SsmError], None] | None = None,
    ) -> tuple[bytes, Any]:
        """`call_value` for asyncio.

        `answered` is called with the answer, or with the error, at the very moment of the outcome:
        of a crash before the worker has even terminated, long before this coroutine goes on.
        """
        checked_seconds(timeout_s)
        world, driver = self._world, self.attached()
        answers: list[tuple[bytes, Any] | SsmError] = []

        def heard(answer: tuple[bytes, Any] | SsmError) -> None:
            answers.append(answer)
            if answered is not None:
                answered(answer)

        if (far := far_of(world, worker)) is not None:
            output = await acall_far(world, driver, far, data, timeout_s=timeout_s)
            heard((output, str(output, "utf-8", "replace")))
        else:
            cell = need_worker(world, worker)
            if driver.is_full():
                await driver.room(timeout_s)
            try:
                await driver.ask(
                    cell, data, timeout_s, lambda pending: heard(answer_of(world, cell, pending))
                )
            except CallError:
                if not answers:  # it never got into the queue
                    raise
        if isinstance(answers[0], SsmError):
            raise answers[0]
        return answers[0]

    async def serve(self) -> None:
        """Run inside asyncio until the tree is down."""
        await self.attached().until(lambda: not self._world.running)

    async def until_up(self) -> None:
        """Wait inside asyncio until the tree has come up, or is down; see `start(wait=False)`."""
        await self.attached().until(lambda: not self._world.is_coming_up())

    def attached(self) -> Driver:
        """Return the driver for the running loop."""
        if self._attach is None:
            from ssm_cli.runtime.driver import attach  # noqa: PLC0415 - asyncio only if used

            self._attach = attach
        return self._attach(self._world)


def answer_of(world: World, cell: WorkerCell, pending: Pending) -> tuple[bytes, Any] | SsmError:
    """Return what a call came to: the encoded output and the output, or the error."""
    if world.history is not None:
        world.history.answered = pending.record
    if pending.error is not None:
        return pending.error
    try:
        return written(world, cell, pending.value), pending.value
    except DecodeError as error:
        return error

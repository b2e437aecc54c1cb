"""Calls from asyncio: the running loop serves the node while they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ssm_cli.errors import CallError, DecodeError, SsmError
from ssm_cli.runtime.calling.calls import as_asked
from ssm_cli.runtime.calling.casts import written
from ssm_cli.runtime.calling.clients import Clients
from ssm_cli.runtime.calling.waiting import TIMEOUT_S
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import need_worker
from ssm_cli.runtime.remote.far import far_of

if TYPE_CHECKING:
    from ssm_cli.runtime.driver import Driver


class AsyncCalls(Clients):
    """The part of a node that is called with `await`."""

    _attach: Callable[[World], Driver] | None = None

    async def acall(
        self,
        worker: str,
        message: Any,
        timeout_s: float | None = TIMEOUT_S,
        request_id: str = "",
    ) -> Any:
        """`call` for asyncio: the running loop serves the node while this waits.

        Each call lets the loop go round once at least, whether it had to wait or not.
        """
        world = self._world
        cell = world.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                return await self._acall_far(self._attached(), far, message, timeout_s, request_id)
            cell = need_worker(world, worker)
        driver = world.driver
        answer = None
        if driver is not None and not request_id:
            answer = driver.serve(cell, message, timeout_s)
        if answer is None:
            driver = self._attached()
            while len(world.queue) >= world.bound:
                await driver.room()
            answer = driver.ask(cell, message, timeout_s, request_id=request_id)
        output = await answer
        return as_asked(cell, message, output) if request_id or type(message) is bytes else output

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
        answers: list[tuple[bytes, Any] | SsmError] = []

        def heard(pending: Pending) -> None:
            answers.append(answer_of(cell, pending))
            if answered is not None:
                answered(answers[0])

        world, driver = self._world, self._attached()
        if (far := far_of(world, worker)) is not None:
            return await self._acall_far_value(driver, far, data, timeout_s, answered)
        cell = need_worker(world, worker)
        while len(world.queue) >= world.bound:
            await driver.room()
        try:
            await driver.ask(cell, data, timeout_s, heard)
        except CallError:
            if not answers:  # it never got into the queue
                raise
        answer = answers[0]
        if isinstance(answer, SsmError):
            raise answer
        return answer

    def _attached(self) -> Driver:
        """The driver for the running loop."""
        if self._attach is None:
            from ssm_cli.runtime.driver import attach  # noqa: PLC0415 - asyncio only if used

            self._attach = attach
        return self._attach(self._world)


def answer_of(cell: WorkerCell, pending: Pending) -> tuple[bytes, Any] | SsmError:
    """What a call came to: the encoded output and the output, or the error."""
    if pending.error is not None:
        return pending.error
    try:
        return written(cell, pending.value), pending.value
    except DecodeError as error:
        return error

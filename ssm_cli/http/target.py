"""`Target`: a node as the HTTP application sees it: nothing it offers may block the loop."""

from __future__ import annotations

import asyncio
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.codec.build import codec_for
from ssm_cli.errors import CallError, CallTimeout, DecodeError
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.intake import need_worker, put
from ssm_cli.runtime.performer.loop import TURN_S, pump, step_one
from ssm_cli.runtime.remote.far import far_of, send_far

FAR_S = 60.0  # how long a call of a worker on another computer is under way at most
REQUEST_S = 5.0  # how long a supervisor may take to get to a request


class Target(Node):
    """A node that is asked from coroutines of the loop that serves it.

    Its methods are called between two turns of the node, never from within a step.
    """

    def begin(self, worker: str, message: Any, request_id: str = "") -> Pending:
        """Put a call into the queue and give the node one turn; mostly it is done then.

        What has to be written first is written in the node's next turn, together with what other
        clients ask until then. With a `request_id` a durable worker steps it once.

        Raises:
            QueueFull: there is no room; nothing was put.
            NoProc: no such worker.
            CalleeStopped: the tree is down.
        """
        world = self._world
        pending = Pending()
        if request_id:
            pending.request = request_id
        if (far := far_of(world, worker)) is not None:
            return send_far(world, far, message, pending, FAR_S)
        cell = need_worker(world, worker)
        if world.queue or world.lane or world.pumping or not world.running:
            put(world, cell, Kind.CALL, message, pending, wait=False)
            if not world.pumping:
                pump(world, pending, TURN_S)
            return pending
        before_s = world.timers.next_s()
        world.pumping = True
        try:
            step_one(world, cell, Kind.CALL, message, pending)
        finally:
            world.pumping, world.guard.cell = False, None
        changed = world.lane or world.queue or world.timers.next_s() != before_s
        if world.outside.keeper is not None:
            changed = changed or world.outside.keeper.has_work()
        if changed and world.outside.wake is not None:
            world.outside.wake()
        return pending

    async def ask(self, supervisor: str, verb: str, *args: Any) -> Any:
        """What a supervisor answers to a request; `verb` is a method name of `NodeApi`.

        Raises:
            SupervisorError: it refuses.
            CallTimeout: it is suspended, and was not resumed within `REQUEST_S` seconds.
        """
        pending = self.request(supervisor, verb, *args)
        if not pending.done and not self._world.pumping:
            pump(self._world, pending, TURN_S)
        if not await outcome(pending, REQUEST_S):
            raise CallTimeout(
                f"{supervisor} did not answer within {REQUEST_S:g} s; it is busy or suspended",
                worker=supervisor,
                reason="timeout",
            )
        return pending.result()

    def typed(self, worker: str, data: bytes) -> Any:
        """The input that JSON stands for, whatever the worker's own codec is.

        Raises:
            DecodeError: it is none of this worker's inputs.
        """
        inputs = need_worker(self._world, worker).spec.start.inputs
        try:
            return codec_for("json", inputs, None).decode(data)
        except DecodeError as error:
            error.worker = worker
            raise

    def written(self, worker: str, value: Any) -> str:
        """An output or a state as the worker's codec writes it; shown by its type if it cannot."""
        try:
            return self.encode(worker, value).decode("utf-8", "backslashreplace")
        except CallError as error:
            return f"<{type(value).__name__} that cannot be shown: {error}>"

    def now_s(self) -> float:
        """The node's monotonic clock, in seconds."""
        return self._world.clock.now_s()

    @property
    def last_seq(self) -> int:
        """The number of the last report."""
        return self._world.reports.seq


async def outcome(pending: Pending, timeout_s: float | None) -> bool:
    """Wait until a call has its outcome; False if the time is up first.

    The call itself goes on. Several may wait for the same one.
    """
    if pending.done:
        return True
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    before = pending.notify

    def notify(done: Pending) -> None:
        if before is not None:
            before(done)
        if not future.done():
            future.set_result(None)

    pending.notify = notify
    await asyncio.wait({future}, timeout=timeout_s)
    return pending.done

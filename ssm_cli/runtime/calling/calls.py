"""Calls: an input and its outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.runtime.calling.casts import Casts, written
from ssm_cli.runtime.calling.waiting import TIMEOUT_S, Waiting
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending, late
from ssm_cli.runtime.performer.intake import forbid_reentry, need_worker, put
from ssm_cli.runtime.performer.loop import Odd, deal_with, step_now, step_one
from ssm_cli.runtime.remote.calling import FarCalls
from ssm_cli.runtime.remote.far import far_of, send_far

CALL = Kind.CALL
EXACT_S = 1.0  # shorter time-outs are measured by the clock; longer ones, to a tick of the guard


class Calls(Casts, Waiting, FarCalls):
    """The part of a node that waits for outcomes."""

    def call(
        self, worker: str, message: Any, timeout_s: float | None = TIMEOUT_S, request_id: str = ""
    ) -> Any:
        """Step `worker` with `message` and return its output (`gen_server:call/3`).

        Bytes are decoded by the worker's codec, and its output encoded: bytes in, bytes out; any
        other value goes in and out as it is. Runs the node's loop until the outcome is there;
        while the queue is full it serves what waits first. With a `request_id` a retry of a call to
        a journalled worker is answered as the first was, and not stepped again.

        Raises:
            CallError: any outcome but `replied`; see `errors.py` for the classes.
            CalledFromStep: a step called its own node.
        """
        world = self._world
        cell = world.names.get(worker)
        busy = world.queue or world.lane or world.pumping or not world.guard.armed
        timed = request_id or (timeout_s is not None and timeout_s < EXACT_S)
        if busy or timed or type(cell) is not WorkerCell or cell.step is None:
            return self._call_in_turn(worker, message, timeout_s, request_id)
        guard, pending = world.guard, None
        looks = guard.looks
        world.pumping = True
        try:
            output = step_now(world, cell, message)
            if type(output) is Odd:
                pending = Pending()
                deal_with(world, cell, message, pending, output)
        finally:
            world.pumping, guard.cell = False, None
        spent_s = 0.0 if guard.looks == looks else guard.seen_s()
        if pending is not None:
            return self._outcome(cell, message, pending, timeout_s, spent_s)
        if timeout_s is not None and spent_s > timeout_s:
            raise late(worker, timeout_s)
        return written(cell, output) if type(message) is bytes else output

    def _call_in_turn(
        self, worker: str, message: Any, timeout_s: float | None, request_id: str
    ) -> Any:
        """A call that has to wait, or of which more is to be looked at than of a plain step."""
        world = self._world
        begun_s = world.clock.now_s()
        cell = world.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                return self._call_far(far, message, timeout_s, request_id)
            cell = need_worker(world, worker)
        if request_id:
            pending = self.send_request(worker, message, None, timeout_s, request_id=request_id)
        elif world.queue or world.lane or world.pumping or not world.running:
            pending = self.send_request(worker, message)
            forbid_reentry(world)
        else:
            pending = Pending()
            world.pumping = True
            try:
                step_one(world, cell, CALL, message, pending)
            finally:
                world.pumping, world.guard.cell = False, None
        spent_s = world.clock.now_s() - begun_s
        return self._outcome(cell, message, pending, timeout_s, spent_s)

    def _outcome(
        self,
        cell: WorkerCell,
        message: Any,
        pending: Pending,
        timeout_s: float | None,
        spent_s: float,
    ) -> Any:
        """Serve what waits, until a call that began `spent_s` ago has its outcome; what that is."""
        world = self._world
        now_s, keeper = world.clock.now_s, world.keeper
        begun_s = now_s() - spent_s
        if world.lane or not pending.done or (keeper is not None and keeper.has_work()):
            self._serve_until(pending, None if timeout_s is None else timeout_s - spent_s)
        if world.queue and world.wake is not None:
            world.wake()
        error = pending.error
        if error is not None:
            pending.error = None
            try:
                raise error
            finally:
                del error  # the error holds this frame, which must not hold the error
        if timeout_s is not None and now_s() - begun_s > timeout_s:
            raise late(cell.spec.id, timeout_s)
        return as_asked(cell, message, pending.value)

    def call_value(
        self, worker: str, data: bytes, timeout_s: float | None = TIMEOUT_S
    ) -> tuple[bytes, Any]:
        """`call` with bytes, answering both the encoded output and the output itself."""
        now_s = self._world.clock.now_s
        begun_s = now_s()
        if (far := far_of(self._world, worker)) is not None:
            output = self._call_far(far, data, timeout_s, "")
            return output, str(output, "utf-8", "replace")
        output = self.wait(self.send_request(worker, data), timeout_s)
        if timeout_s is not None and now_s() - begun_s > timeout_s:
            raise late(worker, timeout_s)
        return self.encode(worker, output), output

    def send_request(
        self,
        worker: str,
        message: Any,
        notify: Callable[[Pending], None] | None = None,
        timeout_s: float | None = None,
        request_id: str = "",
    ) -> Pending:
        """Put a call into the queue and go on (`gen_server:send_request/2`).

        `notify` is called with the `Pending` at the very moment of its outcome. With `timeout_s`
        an answer that comes later than that counts as `timeout`. `request_id` as for `call`.
        """
        pending = Pending()
        if request_id:
            pending.request = request_id
        if notify is not None:
            pending.notify = notify
        if timeout_s is not None:
            pending.limit(worker, self._world.clock.now_s, timeout_s)
        world = self._world
        cell = world.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                return send_far(world, far, message, pending, timeout_s)
            cell = need_worker(world, worker)
        queue = world.queue
        quick = world.running and world.wake is None and world.guard.cell is None
        if quick and len(queue) < world.bound:
            queue.append((cell, CALL, message, pending))
        else:
            put(world, cell, CALL, message, pending, wait=True)
        return pending


def as_asked(cell: WorkerCell, message: Any, output: Any) -> Any:
    """An output in the form of its input: bytes for bytes, or where it is known by them alone."""
    if type(output) is Replayed:
        return output.data
    return written(cell, output) if type(message) is bytes else output

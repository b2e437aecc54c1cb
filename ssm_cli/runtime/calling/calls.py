"""Calls: an input and its outcome."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Odd
from ssm_cli.errors import CallTimeout
from ssm_cli.runtime.calling.casts import written
from ssm_cli.runtime.calling.waiting import TIMEOUT_S, Serving
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.pending import Pending, checked_request_id, checked_seconds, late
from ssm_cli.runtime.engine.world import World, answered_call, call_of
from ssm_cli.runtime.performer.ending import early_replies
from ssm_cli.runtime.performer.intake import forbid_reentry, need_worker, put
from ssm_cli.runtime.performer.loop import deal_with, leave, step_now, step_one
from ssm_cli.runtime.performer.mend import loop_code, mend
from ssm_cli.runtime.remote.far import Far, far_of, send_far

CALL, RUNNING = Kind.CALL, CellStatus.RUNNING  # globals are quick
EXACT_S = 1.0  # shorter time-outs are measured by the clock; longer ones, to a tick of the guard
LINK_S = 0.5  # how much longer than its time-out the answer of a link is waited for


def is_long(timeout_s: Any) -> bool:
    """Whether a tick of the guard is exact enough for a time-out; what is none is not long."""
    return timeout_s is None or (
        type(timeout_s) in (float, int) and EXACT_S <= timeout_s <= sys.float_info.max
    )


class Calls:
    """The part of a node that steps a worker for a caller that waits."""

    def __init__(self, world: World, serving: Serving) -> None:
        self._world = world
        self._serving = serving

    @loop_code
    def call(
        self, worker: str, message: Any, timeout_s: float | None = TIMEOUT_S, request_id: str = ""
    ) -> Any:
        """Step `worker` with `message` and return its output (`gen_server:call/3`).

        Bytes are decoded by the worker's codec, and its output encoded: bytes in, bytes out; any
        other value goes in and out as it is. Runs the node's loop until the outcome is there. With
        a `request_id` a retry of a call to a journalled worker is answered as the first was.

        Raises:
            CallError: any outcome but `replied`. `DecodeError`, too, where the request id is none.
            CalledFromStep: a step called its own node.
        """
        world = self._world
        cell, guard = world.names.get(worker), world.guard
        busy = world.queue or world.lane or world.pumping or not guard.armed
        timed = request_id != "" or not (timeout_s is TIMEOUT_S or is_long(timeout_s))
        if busy or timed or type(cell) is not WorkerCell or cell.step is None:
            return self._call_in_turn(worker, message, timeout_s, request_id)
        looks, pending = guard.looks, None
        world.pumping = True
        try:
            output = step_now(world, cell, message)
            if type(output) is Odd:
                pending = Pending()
                deal_with(world, cell, message, pending, output)
            if world.outbox:
                early_replies(world)
        except BaseException:
            mend(world)
            leave(world)
            raise
        world.pumping = False
        if pending is not None or guard.looks != looks:  # else no tick has come: it took no time
            spent_s = 0.0 if guard.looks == looks else guard.seen_s()
            if pending is not None:
                return self._outcome(cell, message, pending, timeout_s, spent_s)
            if timeout_s is not None and spent_s > timeout_s:
                raise late(worker, timeout_s)
        return written(world, cell, output) if type(message) is bytes else output

    def _call_in_turn(
        self, worker: str, message: Any, timeout_s: float | None, request_id: str
    ) -> Any:
        """Make a call that has to wait, or that is more than a plain step."""
        world = self._world
        forbid_reentry(world)
        checked_seconds(timeout_s)
        begun_s = world.clock.now_s()
        cell = world.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                return self._call_far(far, message, timeout_s, request_id)
            cell = need_worker(world, worker)
        if world.history is not None:
            world.history.next_at(begun_s)
        if world.timers.next_s() <= begun_s:
            self._serving.fire(begun_s)
        if request_id != "":
            pending = self.send_request(worker, message, None, timeout_s, request_id)
        elif world.queue or world.lane or cell.status is not CellStatus.RUNNING or cell.suspended:
            pending = call_of(world)
            within_s = math.inf if timeout_s is None else timeout_s
            put(world, cell, CALL, message, pending, wait=True, within_s=within_s)
        else:
            pending = call_of(world)
            step_at_once(world, cell, message, pending)
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
        keeper = world.outside.keeper
        unwritten = keeper is not None and keeper.has_work()
        if world.lane or world.retries or not pending.done or unwritten:
            begun_s = world.clock.now_s() - spent_s
            self._serving.end(pending, None if timeout_s is None else timeout_s - spent_s)
            spent_s = world.clock.now_s() - begun_s
        if world.queue and world.outside.wake is not None:
            world.outside.wake()
        error = pending.error
        if world.history is not None:
            world.history.answered = pending.record
        if error is not None:
            pending.error = None
            if isinstance(error, CallTimeout):
                error.worker = cell.spec.id
            try:
                raise error
            finally:
                del error  # the error holds this frame, which must not hold the error
        if timeout_s is not None and spent_s > timeout_s:
            raise late(cell.spec.id, timeout_s)
        return as_asked(world, cell, message, pending.value)

    def _call_far(self, far: Far, message: Any, timeout_s: float | None, request_id: str) -> Any:
        """Call a worker on another computer: the call ends in one outcome, as any does."""
        pending = Pending(request=checked_request_id(request_id, far[1]))
        send_far(self._world, far, message, pending, timeout_s)
        self._serving.end(pending, None if timeout_s is None else timeout_s + LINK_S)
        return pending.result()

    def call_value(
        self, worker: str, data: bytes, timeout_s: float | None = TIMEOUT_S
    ) -> tuple[bytes, Any]:
        """`call` with bytes, returning both the encoded output and the output itself."""
        world = self._world
        checked_seconds(timeout_s)
        if world.history is not None:
            world.history.answered = 0
        if (far := far_of(world, worker)) is not None:
            output = self._call_far(far, data, timeout_s, "")
            return output, str(output, "utf-8", "replace")
        begun_s = world.clock.now_s()
        forbid_reentry(world)
        cell = need_worker(world, worker)
        if world.timers.next_s() <= begun_s:
            self._serving.fire(begun_s)
        pending = self.send_request(worker, data)
        spent_s = world.clock.now_s() - begun_s
        self._outcome(cell, None, pending, timeout_s, spent_s)
        return written(world, cell, pending.value), pending.value

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
        world = self._world
        pending = Pending() if world.history is None else call_of(world)
        if request_id != "":
            pending.request = checked_request_id(request_id, worker)
        if notify is not None:
            pending.notify = notify
        if timeout_s is not None:
            checked_seconds(timeout_s)
            pending.limit(worker, world.clock.now_s, timeout_s)
        cell = world.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                return send_far(world, far, message, pending, timeout_s)
            cell = need_worker(world, worker)
        queue = world.queue
        if (  # as `put` would, without a call for each
            cell.status is RUNNING
            and not ((extra := cell.extra) and extra.suspended)
            and world.outside.wake is None
            and world.guard.cell is None
            and len(queue) < world.bound
        ):
            queue.append((cell, CALL, message, pending))
        else:
            within_s = math.inf if timeout_s is None else timeout_s
            put(world, cell, CALL, message, pending, wait=True, within_s=within_s)
        return pending

    @loop_code
    def begin(
        self, worker: str, message: Any, request_id: str = "", far_s: float = 60.0
    ) -> Pending:
        """Put a call into the queue and give the node one turn; mostly it is done then.

        For whoever serves the node and must not wait. What has to be written first is written in
        the node's next turn, with what other clients ask until then. `far_s` limits a call of a
        worker on another computer.

        Raises:
            QueueFull: there is no room; nothing was put.
            NoProc: no such worker.
            CalleeStopped: the tree is down.
        """
        world = self._world
        cell = world.names.get(worker)
        busy = world.queue or world.lane or world.pumping or not world.guard.armed
        if busy or request_id != "" or type(cell) is not WorkerCell or cell.step is None:
            return self._begin_in_turn(worker, message, request_id, far_s)
        world.pumping = True
        try:
            output = step_now(world, cell, message)
            if type(output) is Odd:
                pending = call_of(world)
                deal_with(world, cell, message, pending, output)
            else:
                quick = world.history is None
                pending = Pending(True, output) if quick else answered_call(world, output)
            if world.outbox:
                early_replies(world)
        except BaseException:
            mend(world)
            leave(world)
            raise
        world.pumping = False
        if type(output) is Odd:
            leave(world)
            if world.outside.wake is not None:
                world.outside.wake()
        return pending

    def _begin_in_turn(self, worker: str, message: Any, request_id: str, far_s: float) -> Pending:
        """Begin a call that may have to wait, or that is more than a plain step."""
        world = self._world
        pending = call_of(world, checked_request_id(request_id, worker))
        if (far := far_of(world, worker)) is not None:
            return send_far(world, far, message, pending, far_s)
        cell = need_worker(world, worker)
        if world.history is not None:
            world.history.next_at(world.clock.now_s())
        if world.timers.next_s() <= world.clock.now_s() and not world.pumping:
            self._serving.fire(world.clock.now_s())
        if world.queue or world.lane or world.pumping or cell.suspended or not world.running:
            put(world, cell, CALL, message, pending, wait=False)
            self._serving.turn(pending)
            return pending
        if not step_at_once(world, cell, message, pending) and world.outside.wake is not None:
            world.outside.wake()
        return pending


@loop_code
def step_at_once(world: World, cell: WorkerCell, message: Any, pending: Pending) -> bool:
    """Step a worker: nothing waits ahead of it.

    Returns whether a pure step has answered, and asked for nothing else.
    """
    plain = False
    world.pumping = True
    try:
        if cell.step is None:
            step_one(world, cell, CALL, message, pending)
        else:
            output = step_now(world, cell, message)
            plain = type(output) is not Odd
            if plain:
                pending.resolve(output)
            else:
                deal_with(world, cell, message, pending, output)
        if world.outbox:
            early_replies(world)
    except BaseException:
        mend(world)
        leave(world)
        raise
    leave(world)
    return plain


def as_asked(world: World, cell: WorkerCell, message: Any, output: Any) -> Any:
    """Return an output in the form of its input: bytes for bytes, or where it is known by them."""
    if type(output) is Replayed:
        return output.data
    return written(world, cell, output) if type(message) is bytes else output

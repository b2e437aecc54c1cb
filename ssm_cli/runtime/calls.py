"""Calls and casts: how inputs get into the queue, and how callers wait for outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import (
    CallError,
    CallTimeout,
    DecodeError,
    SsmError,
)
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.pending import Pending, late
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.intake import find, forbid_reentry, need_worker, put
from ssm_cli.runtime.performer.loop import NEVER, pump, rest, step_one
from ssm_cli.runtime.remote.calling import FarCalls
from ssm_cli.runtime.remote.far import cast_far, far_of, send_far
from ssm_cli.runtime.reports import error_text

if TYPE_CHECKING:
    from ssm_cli.runtime.driver import Driver

DEFAULT_TIMEOUT_S = 5.0
BUSY_S = 1.0  # how long `run` serves workers that are never done
CALL, CAST = Kind.CALL, Kind.CAST


class Casts:
    """The part of a node that takes inputs nobody waits for."""

    _core: Core

    def cast(self, worker: str, message: Any) -> None:
        """Write `message` to the queue and go on (`gen_server:cast/2`).

        While the queue is full, what waits is served first. A name without a worker is dropped
        without a word, as in OTP; use `exists` to ask.
        """
        core = self._core
        cell = core.names.get(worker) or find(core, worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(core, worker)) is not None:
                cast_far(core, far, message)
            return
        queue = core.queue
        if (  # as `put` would, without a call for each
            core.running
            and core.wake is None
            and core.guard.cell is None
            and len(queue) < core.bound
        ):
            queue.append((cell, CAST, message, None))
        else:
            put(core, cell, CAST, message, None, wait=True)

    def cast_nowait(self, worker: str, message: Any) -> None:
        """`cast`, but a full queue raises `QueueFull` instead of being served."""
        put(self._core, need_worker(self._core, worker), CAST, message, None, wait=False)

    def info(self, worker: str, message: Any) -> None:
        """Send a plain message, which a `GenServer` gets in `handle_info`; else as `cast`."""
        cell = find(self._core, worker)
        if isinstance(cell, WorkerCell):
            put(self._core, cell, Kind.INFO, message, None, wait=True)

    def exists(self, name: str) -> bool:
        """Whether the tree knows the name (or path), running or not."""
        return find(self._core, name) is not None

    def run(self, for_s: float = 0.0) -> None:
        """Serve what waits, and the timers that come due within `for_s` seconds.

        Workers that send to each other without end are left at it after `for_s`, or after a
        second if that is longer.
        """
        core = self._core
        forbid_reentry(core)
        now_s = core.clock.now_s
        end_s = now_s() + for_s
        busy_end_s = now_s() + max(for_s, BUSY_S)
        while core.running:
            pump(core, NEVER, busy_end_s - now_s())
            if core.queue and now_s() >= busy_end_s:
                return
            next_s = min(core.timers.next_s(), end_s)
            if next_s > now_s():
                rest(core, next_s - now_s())
            elif now_s() >= end_s and core.timers.next_s() > now_s():
                return

    def encode(self, worker: str, value: Any) -> bytes:
        """A value of this worker (an output, a state) as its codec writes it.

        What comes from another computer is written already.
        """
        if type(value) is Replayed:
            return value.data
        if isinstance(value, bytes) and far_of(self._core, worker) is not None:
            return value
        return written(need_worker(self._core, worker), value)


def written(cell: WorkerCell, value: Any) -> bytes:
    """An output of a worker as its codec writes it; raises `DecodeError` where it cannot."""
    try:
        data: bytes = (cell.codec or codec_of(cell)).encode(value)
    except Exception as error:
        kind, name = type(error).__name__, cell.spec.id
        raise DecodeError(
            f"{name} answered, but its codec cannot write that: {kind}: {error_text(error)}",
            worker=name,
        ) from error
    return data


class Waiting:
    """The part of a node that runs its loop until somebody has an outcome."""

    _core: Core

    def wait(self, pending: Pending, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Any:
        """Run the loop until `pending` has its outcome; its output, or its error raised."""
        forbid_reentry(self._core)
        self._serve_until(pending, timeout_s)
        return pending.result()

    def _serve_until(self, pending: Pending, timeout_s: float | None) -> None:
        """Run the loop until `pending` has its outcome, which may be that time is over."""
        core = self._core
        clock = core.clock
        end_s = math.inf if timeout_s is None else clock.now_s() + timeout_s
        while True:
            left_s = end_s - clock.now_s()
            pump(core, pending, left_s)
            if pending.done:
                return
            left_s = end_s - clock.now_s()
            next_s = core.timers.next_s() - clock.now_s()
            if left_s <= 0 or min(left_s, next_s) == math.inf:
                why = "nothing that could answer is under way" if left_s > 0 else "no answer yet"
                pending.fail(CallTimeout(f"the call timed out: {why}", reason="timeout"))
                return
            if next_s > 0:
                rest(core, min(left_s, next_s))


class Calls(Casts, Waiting, FarCalls):
    """The part of a node that waits for outcomes."""

    _attach: Callable[[Core], Driver] | None = None

    def call(
        self,
        worker: str,
        message: Any,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        request_id: str = "",
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
        core = self._core
        cell = core.names.get(worker)
        now_s = core.clock.now_s
        begun_s = now_s()
        if type(cell) is not WorkerCell:
            if (far := far_of(core, worker)) is not None:
                return self._call_far(far, message, timeout_s, request_id)
            cell = need_worker(core, worker)
        if request_id:
            sent = self.send_request(worker, message, None, timeout_s, request_id=request_id)
            output = self.wait(sent, timeout_s)
            return as_asked(cell, message, output)
        if core.queue or core.lane or core.pumping:
            output = self.wait(self.send_request(worker, message), timeout_s)
        else:
            output = self._call_now(cell, message, timeout_s)
        if timeout_s is not None and now_s() - begun_s > timeout_s:
            raise late(worker, timeout_s)
        return written(cell, output) if type(message) is bytes else output

    def _call_now(self, cell: WorkerCell, message: Any, timeout_s: float | None) -> Any:
        """A call while nothing waits ahead of it: served at once, as the loop would serve it."""
        core = self._core
        pending = Pending()
        if not core.running:
            put(core, cell, CALL, message, pending, wait=False)
        core.pumping = True
        try:
            step_one(core, cell, CALL, message, pending)
        finally:
            core.pumping = False
        keeper = core.keeper
        if core.lane or not pending.done or (keeper is not None and keeper.has_work()):
            self._serve_until(pending, timeout_s)
        if core.queue and core.wake is not None:
            core.wake()
        error = pending.error
        if error is None:
            return pending.value
        pending.error = None
        try:
            raise error
        finally:
            del error  # the error holds this frame, which must not hold the error

    def call_value(
        self, worker: str, data: bytes, timeout_s: float | None = DEFAULT_TIMEOUT_S
    ) -> tuple[bytes, Any]:
        """`call` with bytes, answering both the encoded output and the output itself."""
        now_s = self._core.clock.now_s
        begun_s = now_s()
        if (far := far_of(self._core, worker)) is not None:
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
            pending.limit(worker, self._core.clock.now_s, timeout_s)
        core = self._core
        cell = core.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(core, worker)) is not None:
                return send_far(core, far, message, pending, timeout_s)
            cell = need_worker(core, worker)
        queue = core.queue
        quick = core.running and core.wake is None and core.guard.cell is None
        if quick and len(queue) < core.bound:
            queue.append((cell, CALL, message, pending))
        else:
            put(core, cell, CALL, message, pending, wait=True)
        return pending

    async def acall(
        self,
        worker: str,
        message: Any,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        request_id: str = "",
    ) -> Any:
        """`call` for asyncio: the running loop serves the node while this waits.

        Each call lets the loop go round once at least, whether it had to wait or not.
        """
        core = self._core
        cell = core.names.get(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(core, worker)) is not None:
                return await self._acall_far(self._attached(), far, message, timeout_s, request_id)
            cell = need_worker(core, worker)
        driver = core.driver
        answer = None
        if driver is not None and not request_id:
            answer = driver.serve(cell, message, timeout_s)
        if answer is None:
            driver = self._attached()
            while len(core.queue) >= core.bound:
                await driver.room()
            answer = driver.ask(cell, message, timeout_s, request_id=request_id)
        output = await answer
        return as_asked(cell, message, output) if request_id or type(message) is bytes else output

    async def acall_value(
        self,
        worker: str,
        data: bytes,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
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

        core, driver = self._core, self._attached()
        if (far := far_of(core, worker)) is not None:
            return await self._acall_far_value(driver, far, data, timeout_s, answered)
        cell = need_worker(core, worker)
        while len(core.queue) >= core.bound:
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
        return self._attach(self._core)


def as_asked(cell: WorkerCell, message: Any, output: Any) -> Any:
    """An output in the form of its input: bytes for bytes, or where it is known by them alone."""
    if type(output) is Replayed:
        return output.data
    return written(cell, output) if type(message) is bytes else output


def answer_of(cell: WorkerCell, pending: Pending) -> tuple[bytes, Any] | SsmError:
    """What a call came to: the encoded output and the output, or the error."""
    if pending.error is not None:
        return pending.error
    try:
        return written(cell, pending.value), pending.value
    except DecodeError as error:
        return error

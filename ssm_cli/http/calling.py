"""Calls over HTTP: the hot route, the waiting room, and retries that are stepped once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

import msgspec

from ssm_cli.commands.records import failed_reply_record
from ssm_cli.errors import CallError, CallTimeout, QueueFull
from ssm_cli.http.statuses import HttpError, status_of
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.pending import Pending, checked_request_id
from ssm_cli.runtime.node import Node

DEFAULT_TIMEOUT_S = 5.0
MAX_TIMEOUT_S = 3600.0
WAITING_ROOM = 256  # calls that wait for room in the node's queue; one more is refused
KEPT_KEYS = 1024  # calls that are remembered by their Idempotency-Key; the oldest go

Answer = tuple[int, bytes]


class ReplyRecord(msgspec.Struct, omit_defaults=True):
    """The reply record of a call that was answered (`CONTRACT` section 4)."""

    v: int
    type: str
    worker: str
    input: str
    outcome: str
    output: str
    value: Any
    ms: float
    record: int = 0


class HttpCall(msgspec.Struct):
    """A call as it was asked for.

    Attributes:
        worker: its name or path, as it was written.
        data: the input, in the worker's codec or as JSON.
        is_json: whether it is JSON.
        timeout_s: how long to wait for the outcome.
        key: the `Idempotency-Key`; a retry with the same key is not stepped again.
        begun_s: when it was asked for.
    """

    worker: str
    data: bytes
    is_json: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    key: str | None = None
    begun_s: float = 0.0

    @property
    def end_s(self) -> float:
        """When its time is over."""
        return self.begun_s + self.timeout_s


_encode = msgspec.json.Encoder().encode


class Calling:
    """Executes calls for all connections of a node, and caches those with an idempotency key."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: set[asyncio.Task[None]] = set()
        self._kept: OrderedDict[tuple[str, str], tuple[bytes, Pending]] = OrderedDict()
        self.calls = 0
        self.call_seconds = 0.0

    def call(self, asked: HttpCall) -> Answer | Coroutine[Any, Any, Answer]:
        """Step a worker; answer with the status and the reply record, whatever the outcome.

        The input is in the queue, or waits for room in it, when this returns; where the outcome
        is not there yet the answer has to be awaited. Who gives up waiting changes nothing.

        Raises:
            HttpError: the key is none, or belongs to another input.
        """
        asked.begun_s = self._node.now_s()
        try:
            pending = self._pending(asked)
        except CallError as error:
            return self._failed(asked, error)
        return self._answer(asked, pending) if pending.done else self._later(asked, pending)

    async def _later(self, asked: HttpCall, pending: Pending) -> Answer:
        if await outcome(pending, max(0.0, asked.end_s - self._node.now_s())):
            return self._answer(asked, pending)
        return self._late(asked)

    def _late(self, asked: HttpCall, number: int = 0) -> Answer:
        """Return the answer for a call whose time is over, whatever comes of it."""
        text = f"{asked.worker} did not answer within {asked.timeout_s:g} s"
        late = f"{text}; a late reply is dropped"
        return self._failed(asked, CallTimeout(late, worker=asked.worker, reason="timeout"), number)

    def _answer(self, asked: HttpCall, pending: Pending) -> Answer:
        """Return the answer for an outcome that is there: it counts if it came in time."""
        error, worker, value = pending.error, asked.worker, pending.value
        if error is not None:
            if isinstance(error, CallError):
                return self._failed(asked, error, pending.record)
            raise error
        if self._node.now_s() > asked.end_s:
            return self._late(asked, pending.record)
        ms = round(self._spent_ms(asked), 3)
        text = self._shown(worker, value)
        shown = text if type(value) is Replayed else self._node.data(worker, value)
        given, number = text_in(asked.data), pending.record
        record = ReplyRecord(1, "reply", worker, given, "replied", text, shown, ms, number)
        self._node.note_asker(number, "http")
        return 200, _encode(record)

    def _shown(self, worker: str, value: Any) -> str:
        """Return an output as the worker's codec writes it; its type if it cannot."""
        try:
            return self._node.encode(worker, value).decode("utf-8", "backslashreplace")
        except CallError as error:
            return f"<{type(value).__name__} that cannot be shown: {error}>"

    def _failed(self, asked: HttpCall, error: CallError, number: int = 0) -> Answer:
        ms = self._spent_ms(asked)
        failed = failed_reply_record(asked.worker, text_in(asked.data), error, ms, number=number)
        self._node.note_asker(number, "http")
        return status_of(error), _encode(failed)

    def _spent_ms(self, asked: HttpCall) -> float:
        spent_s = self._node.now_s() - asked.begun_s
        self.calls += 1
        self.call_seconds += spent_s
        return spent_s * 1000

    def _pending(self, asked: HttpCall) -> Pending:
        """Return the pending call: a new one, or the one remembered under the key.

        The key is taken before anything is waited for, and stands for one worker however that is
        spelt. A durable worker stores the key itself, beyond the life of this process.
        """
        key = asked.key
        if key is None:
            return self._begin(asked)
        if not key:
            raise HttpError(400, "the Idempotency-Key is empty; leave it out, or give one")
        checked_request_id(key, asked.worker)
        place = (self._node.id_of(asked.worker) or asked.worker, key)
        if place in self._kept:
            data, pending = self._kept[place]
            if data != asked.data:
                text = f"the Idempotency-Key {key} belongs to another input of {asked.worker}"
                raise HttpError(422, f"{text}; use a new key for a new call")
            if _is_kept(pending):
                return pending
        pending = self._begin(asked)
        self._kept[place] = asked.data, pending
        if len(self._kept) > KEPT_KEYS:
            self._kept.popitem(last=False)
        return pending

    def _begin(self, asked: HttpCall) -> Pending:
        """Start a new call; where the queue is full it waits for room.

        Raises:
            QueueFull: `WAITING_ROOM` calls wait.
        """
        node, worker = self._node, asked.worker
        message = node.decode(worker, asked.data, "json") if asked.is_json else asked.data
        try:
            return node.begin(worker, message, asked.key or "")
        except QueueFull:
            if len(self._waiting) >= WAITING_ROOM:
                text = f"the queue is full, and {WAITING_ROOM} callers wait for room"
                raise QueueFull(f"{text}; try again later", worker=worker) from None
        owed = Pending()
        task = asyncio.get_running_loop().create_task(self._with_room(asked, message, owed))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return owed

    async def _with_room(self, asked: HttpCall, message: Any, owed: Pending) -> None:
        """Start a call once the queue has room; `owed` gets its outcome, or fails."""
        while True:
            await asyncio.sleep(0)  # a turn of the node
            try:
                pending = self._node.begin(asked.worker, message, asked.key or "")
            except QueueFull as error:
                if self._node.now_s() >= asked.end_s:
                    owed.fail(error)
                    return
            except CallError as error:
                owed.fail(error)
                return
            else:
                break
        if await outcome(pending, None):
            owed.resolve(pending.value) if pending.error is None else owed.fail(pending.error)


def _is_kept(pending: Pending) -> bool:
    """Return whether a retry must not step again: the call is pending, or was stepped."""
    error = pending.error
    return not pending.done or error is None or (isinstance(error, CallError) and error.stepped)


def text_in(data: bytes) -> str:
    """Return an input as text, for records."""
    return data.decode("utf-8", "backslashreplace")


async def outcome(pending: Pending, timeout_s: float | None) -> bool:
    """Wait until a call has its outcome; False if the time is up first.

    The call itself goes on. Several tasks may wait for the same call.
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

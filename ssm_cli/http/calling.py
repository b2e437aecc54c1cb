"""Calls over HTTP: the hot route, the waiting room, and retries that are stepped once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ssm_cli.commands.records import failed_reply_record
from ssm_cli.errors import CalleeCrashed, CalleeStopped, CallError, CallTimeout, QueueFull
from ssm_cli.http.asking import outcome, value_text
from ssm_cli.http.statuses import HttpError, status_of
from ssm_cli.runtime.durable.sessions import Replayed, checked_request_id
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.node import Node

DEFAULT_TIMEOUT_S = 5.0
MAX_TIMEOUT_S = 3600.0
WAITING_ROOM = 256  # calls that wait for room in the node's queue; one more is refused
KEPT_KEYS = 1024  # calls that are remembered by their Idempotency-Key; the oldest go
STEPPED = (CalleeCrashed, CalleeStopped)  # a call that ended so may have changed the worker

Receive = Callable[[], Awaitable[dict[str, Any]]]
Answer = tuple[int, bytes]


class ReplyRecord(msgspec.Struct):
    """The reply record of a call that was answered (`CONTRACT` section 4)."""

    v: int
    type: str
    worker: str
    input: str
    outcome: str
    output: str
    value: Any
    ms: float


class Remembered(msgspec.Struct):
    """A call that may be retried: its input and its outcome."""

    data: bytes
    pending: Pending


_encode = msgspec.json.Encoder().encode


class Calling:
    """Executes calls for all connections of a node, and caches those with an idempotency key."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self.calls = 0
        self.call_seconds = 0.0

    async def call(
        self,
        worker: str,
        data: bytes,
        *,
        is_json: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        key: str | None = None,
        receive: Receive | None = None,
    ) -> Answer:
        """Step a worker; return the status and the reply record, whatever the outcome.

        Args:
            worker: its name or path.
            data: the input, in the worker's codec or as JSON.
            is_json: whether it is JSON.
            timeout_s: how long to wait for the outcome.
            key: the `Idempotency-Key`; a retry with the same key is not stepped again.
            receive: the ASGI callable; a disconnect ends the wait.
        """
        node = self._node
        begun_s = node.now_s()
        try:
            pending = await self._pending(worker, data, is_json, timeout_s, key)
            if not pending.done:
                await _settled(pending, timeout_s - (node.now_s() - begun_s), receive)
                if not pending.done:
                    raise _late(worker, timeout_s)
            if pending.error is not None:
                raise pending.error
        except CallError as error:
            ms = self._spent_ms(begun_s)
            failed = failed_reply_record(worker, _text(data), error, ms)
            return status_of(error), _encode(failed)
        value = pending.value
        ms = round(self._spent_ms(begun_s), 3)
        text = value_text(node, worker, value)
        shown = text if type(value) is Replayed else node.data(worker, value)
        record = ReplyRecord(1, "reply", worker, _text(data), "replied", text, shown, ms)
        return 200, _encode(record)

    def _spent_ms(self, begun_s: float) -> float:
        spent_s = self._node.now_s() - begun_s
        self.calls += 1
        self.call_seconds += spent_s
        return spent_s * 1000

    async def _pending(
        self, worker: str, data: bytes, is_json: bool, timeout_s: float, key: str | None
    ) -> Pending:
        """Return the pending call: a new one, or the one cached under the key.

        A durable worker stores the key itself, beyond the life of this process.
        """
        if key is None:
            return await self._begin(worker, data, is_json, timeout_s, "")
        if not key:
            raise HttpError(400, "the Idempotency-Key is empty; leave it out, or give one")
        checked_request_id(key, worker)
        known = self._kept.get((worker, key))
        if known is not None:
            if known.data != data:
                text = f"the Idempotency-Key {key} belongs to another input of {worker}"
                raise HttpError(422, f"{text}; use a new key for a new call")
            if _is_kept(known.pending):
                return known.pending
        pending = await self._begin(worker, data, is_json, timeout_s, key)
        self._kept[worker, key] = Remembered(data, pending)
        if len(self._kept) > KEPT_KEYS:
            self._kept.popitem(last=False)
        return pending

    async def _begin(
        self, worker: str, data: bytes, is_json: bool, timeout_s: float, request_id: str
    ) -> Pending:
        """Start a new call."""
        message = self._node.decode(worker, data, "json") if is_json else data
        try:
            return self._node.begin(worker, message, request_id)
        except QueueFull:
            return await self._with_room(worker, message, timeout_s, request_id)

    async def _with_room(
        self, worker: str, message: Any, timeout_s: float, request_id: str = ""
    ) -> Pending:
        """Start a call once the queue has room; `QueueFull` if `WAITING_ROOM` calls wait."""
        if self._waiting >= WAITING_ROOM:
            raise QueueFull(
                f"the queue is full, and {WAITING_ROOM} callers wait for room; try again later",
                worker=worker,
            )
        self._waiting += 1
        end_s = self._node.now_s() + timeout_s
        try:
            while True:
                await asyncio.sleep(0)  # a turn of the node
                try:
                    return self._node.begin(worker, message, request_id)
                except QueueFull:
                    if self._node.now_s() >= end_s:
                        raise
        finally:
            self._waiting -= 1


def _is_kept(pending: Pending) -> bool:
    """Return whether a retry must not step again: the call is pending, or was stepped."""
    return not pending.done or pending.error is None or isinstance(pending.error, STEPPED)


async def _settled(pending: Pending, timeout_s: float, receive: Receive | None) -> None:
    """Wait for the outcome, for the deadline, or for the client to go away."""
    waiting = asyncio.ensure_future(outcome(pending, max(0.0, timeout_s)))
    watched: set[asyncio.Future[Any]] = {waiting}
    gone = None if receive is None else asyncio.ensure_future(receive())
    if gone is not None:
        watched.add(gone)
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in watched:
            future.cancel()


def _late(worker: str, timeout_s: float) -> CallTimeout:
    text = f"{worker} did not answer within {timeout_s:g} s; a late reply is dropped"
    return CallTimeout(text, worker=worker, reason="timeout")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")

"""Requests to JetStream: compared appends, reads, streams made at first use."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ssm_cli.cluster.jetstream.wire import Message, Wire
from ssm_cli.cluster.ports import CallLost, ClusterError, Conflict, Unknown

API = "$JS.API"
EXPECT = "Nats-Expected-Last-Subject-Sequence"
WRONG_SEQUENCE = 10071
NOT_FOUND = 10037
NAME_TAKEN = 10058
ANSWER_S = 2.0  # how long an answer of the servers is waited for
MAKE_PAUSE_S = 0.25
MAKE_TRIES = 40  # to make a stream: an election takes up to ten seconds
OFF_TRIES = 8  # with nobody there to answer, and JetStream is off
BATCH = 512  # messages that one read asks for
EMPTY, END = "404", "204"


class Stored(msgspec.Struct, frozen=True):
    """A message of a stream. No data where it marks that a cell was removed."""

    sequence: int
    subject: str
    data: bytes | None


async def append(
    wire: Wire, subject: str, data: bytes, expect: int, headers: dict[str, str] | None = None
) -> int | Conflict | Unknown:
    """Publish, if the last sequence of the subject is the expected one."""
    wanted = {EXPECT: str(expect), **(headers or {})}
    reply = await wire.request(subject, data, ANSWER_S, wanted)
    if isinstance(reply, CallLost):
        return Unknown(reply.detail)
    answer = _decoded(reply.data)
    error = answer.get("error")
    if error is None and "seq" in answer:
        return int(answer["seq"])
    if error and error.get("err_code") == WRONG_SEQUENCE:
        return Conflict(str(error.get("description", "")))
    return Unknown(_described(answer))


async def last(wire: Wire, stream: str, subject: str) -> Stored | Unknown | None:
    """The last message of a subject, from the stream's leader."""
    body = msgspec.json.encode({"last_by_subj": subject})
    reply = await wire.request(f"{API}.STREAM.MSG.GET.{stream}", body, ANSWER_S)
    if isinstance(reply, CallLost):
        return Unknown(reply.detail)
    answer = _decoded(reply.data)
    if "message" not in answer:
        missing = answer.get("error", {}).get("err_code") == NOT_FOUND
        return None if missing else Unknown(_described(answer))
    message = answer["message"]
    headers = base64.b64decode(message.get("hdrs", ""))
    removed = b"KV-Operation: DEL" in headers or b"KV-Operation: PURGE" in headers
    data = None if removed else base64.b64decode(message.get("data", ""))
    return Stored(int(message["seq"]), message["subject"], data)


async def following(
    wire: Wire, stream: str, subject: str, after: int, upto: int
) -> AsyncIterator[Stored | Unknown]:
    """The messages of a subject with `after < sequence <= upto`, many at a time."""
    start = after + 1
    while start <= upto:
        body = msgspec.json.encode({"seq": start, "next_by_subj": subject, "batch": BATCH})
        count = 0
        async for came in wire.gather(f"{API}.DIRECT.GET.{stream}", body, ANSWER_S):
            stored = _direct(came)
            if stored is None:
                break
            if isinstance(stored, Stored):
                if stored.sequence > upto:
                    return
                start, count = stored.sequence + 1, count + 1
            yield stored
        if count < BATCH:
            return


async def lasts(wire: Wire, stream: str, pattern: str) -> AsyncIterator[Stored | Unknown]:
    """The last message of every subject that fits a pattern."""
    body = msgspec.json.encode({"multi_last": [pattern]})
    async for came in wire.gather(f"{API}.DIRECT.GET.{stream}", body, ANSWER_S):
        stored = _direct(came)
        if stored is None:
            return
        yield stored


def _direct(came: Message | CallLost) -> Stored | Unknown | None:
    """One answer of a direct read; None at its end."""
    if isinstance(came, CallLost):
        return Unknown(came.detail)
    status = came.headers.get("Status")
    if status in {EMPTY, END}:
        return None
    if status is not None:
        return Unknown(f"status {status}: {came.headers.get('Description', '')}")
    removed = came.headers.get("KV-Operation") in {"DEL", "PURGE"}
    sequence = int(came.headers["Nats-Sequence"])
    return Stored(sequence, came.headers["Nats-Subject"], None if removed else came.data)


async def purge(wire: Wire, stream: str, subject: str, before: int = 0) -> None:
    """Forget the messages of a subject, those before a sequence if one is given."""
    wanted: dict[str, Any] = {"filter": subject}
    if before:
        wanted["seq"] = before
    await wire.request(f"{API}.STREAM.PURGE.{stream}", msgspec.json.encode(wanted), ANSWER_S)


async def _grow(wire: Wire, config: dict[str, Any], body: bytes) -> None:
    """Have a stream kept by as many servers as is wanted, where it was made with fewer.

    Where that is refused it stays as it is: somebody has set it up so.
    """
    if config["num_replicas"] > 1:
        await wire.request(f"{API}.STREAM.UPDATE.{config['name']}", body, ANSWER_S)


async def make(wire: Wire, config: dict[str, Any]) -> None:
    """Make a stream, unless it is there; while three servers choose a leader, that has to wait.

    Raises:
        ClusterError: there is no JetStream, or it does not take the stream.
    """
    body = msgspec.json.encode(config)
    why = ""
    for tries in range(MAKE_TRIES):
        reply = await wire.request(f"{API}.STREAM.CREATE.{config['name']}", body, ANSWER_S)
        if isinstance(reply, Message):
            answer = _decoded(reply.data)
            error = answer.get("error")
            if error is None:
                return
            if error.get("err_code") == NAME_TAKEN:
                await _grow(wire, config, body)
                return
            why = _described(answer)
        elif reply.why == "noproc" and tries >= OFF_TRIES:
            why = "JetStream is off"
            break
        else:
            why = reply.detail
        await asyncio.sleep(MAKE_PAUSE_S)
    raise ClusterError(f"stream {config['name']} cannot be made: {why}")


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _described(answer: dict[str, Any]) -> str:
    return str(answer.get("error", {}).get("description", "an answer that is none"))

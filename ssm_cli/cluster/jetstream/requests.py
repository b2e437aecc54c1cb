"""Requests to JetStream: compared appends, reads, streams made at first use."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ssm_cli.cluster.jetstream.inbox import Message
from ssm_cli.cluster.jetstream.wire import Wire
from ssm_cli.cluster.ports import CallLost, ClusterDenied, ClusterError, Conflict, Unknown

API = "$JS.API"
EXPECT = "Nats-Expected-Last-Subject-Sequence"
WRONG_SEQUENCE = 10071
NOT_FOUND = 10037
NAME_TAKEN = 10058
OURS = "ssm.replicas"  # the metadata of a stream: how many servers we have asked for
MOST_REPLICAS = 3
NO_STREAM = 10059
ANSWER_S = 2.0  # how long an answer of the servers is waited for
MAKE_PAUSE_S = 0.25
MAKE_TRIES = 40  # to make a stream: an election takes up to ten seconds
OFF_TRIES = 8  # with nobody there to answer, and JetStream is off
BATCH = 512  # messages that one read asks for
LAST = 2**63  # more than any sequence
EMPTY, END = "404", "204"


class Gone(msgspec.Struct, frozen=True):
    """There is no such stream: it was deleted, or the servers have an empty store."""

    detail: str = "there is no such stream"


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
        return _unclear(reply)
    answer = _decoded(reply.data)
    error = answer.get("error")
    if error is None and "seq" in answer:
        return int(answer["seq"])
    if error and error.get("err_code") == WRONG_SEQUENCE:
        return Conflict(str(error.get("description", "")))
    return Unknown(_described(answer, wire))


async def last(wire: Wire, stream: str, subject: str) -> Stored | Unknown | Gone | None:
    """The last message of a subject, from the stream's leader."""
    body = msgspec.json.encode({"last_by_subj": subject})
    reply = await wire.request(f"{API}.STREAM.MSG.GET.{stream}", body, ANSWER_S)
    if isinstance(reply, CallLost):
        return _unclear(reply)
    answer = _decoded(reply.data)
    if "message" not in answer:
        code = answer.get("error", {}).get("err_code")
        if code == NO_STREAM:
            return Gone()
        return None if code == NOT_FOUND else Unknown(_described(answer, wire))
    message = answer["message"]
    headers = base64.b64decode(message.get("hdrs", ""))
    removed = b"KV-Operation: DEL" in headers or b"KV-Operation: PURGE" in headers
    data = None if removed else base64.b64decode(message.get("data", ""))
    return Stored(int(message["seq"]), message["subject"], data)


async def following(
    wire: Wire, stream: str, subject: str, after: int = 0, upto: int = LAST
) -> AsyncIterator[Stored | Unknown | Gone]:
    """The messages of a subject, or pattern, with `after < sequence <= upto`, many at a time.

    One that is written over meanwhile comes behind all others, and may have come before.
    """
    start = after + 1
    while start <= upto:
        body = msgspec.json.encode({"seq": start, "next_by_subj": subject, "batch": BATCH})
        count = 0
        async for came in wire.gather(f"{API}.DIRECT.GET.{stream}", body, ANSWER_S):
            stored = _direct(came, wire)
            if stored is None:
                break
            if isinstance(stored, Stored):
                if stored.sequence > upto:
                    return
                start, count = stored.sequence + 1, count + 1
            nobody = isinstance(came, CallLost) and came.why == "noproc"
            yield Gone() if nobody else stored
        if count < BATCH:
            return


def _unclear(lost: CallLost) -> Unknown:
    return Unknown(lost.detail, denied=lost.why == "denied")


def _direct(came: Message | CallLost, wire: Wire) -> Stored | Unknown | None:
    """One answer of a direct read; None at its end."""
    if isinstance(came, CallLost):
        return _unclear(came)
    status = came.headers.get("Status")
    if status in {EMPTY, END}:
        return None
    if status is not None:
        said = came.headers.get("Description", "")
        return Unknown(f"{wire.server}: status {status}: {said}")
    removed = came.headers.get("KV-Operation") in {"DEL", "PURGE"}
    sequence = int(came.headers["Nats-Sequence"])
    return Stored(sequence, came.headers["Nats-Subject"], None if removed else came.data)


async def purge(wire: Wire, stream: str, subject: str, before: int = 0) -> None:
    """Forget the messages of a subject, those before a sequence if one is given."""
    wanted: dict[str, Any] = {"filter": subject}
    if before:
        wanted["seq"] = before
    await wire.request(f"{API}.STREAM.PURGE.{stream}", msgspec.json.encode(wanted), ANSWER_S)


class Made(msgspec.Struct, frozen=True):
    """A stream that is there: its configuration, and whether its server is one of several."""

    config: dict[str, Any]
    clustered: bool

    @property
    def replicas(self) -> int:
        """How many servers keep it."""
        return int(self.config.get("num_replicas", 1))


async def make(wire: Wire, config: dict[str, Any], most: int = MAKE_TRIES) -> int:
    """Make a stream, unless it is there; return how many servers keep it.

    While three servers choose a leader, that has to wait. With 0 replicas a stream is taken as it
    is, or made with one.

    Args:
        wire: to the servers.
        config: of the stream.
        most: how often it is tried.

    Raises:
        ClusterDenied: the servers do not let us.
        ClusterError: there is no JetStream, or it does not take the stream.
    """
    wanted, why = config["num_replicas"], ""
    config = config | {"num_replicas": max(1, wanted)}
    for tries in range(most):
        made = await _made(wire, config)
        if isinstance(made, Made):
            return await _grown(wire, made, wanted) if wanted else made.replicas
        why = made.detail
        if made.why == "denied":
            raise ClusterDenied(f"stream {config['name']} cannot be made: {why}")
        if made.why == "noproc" and tries >= OFF_TRIES:
            why = f"JetStream is off at {wire.server}"
            break
        await asyncio.sleep(MAKE_PAUSE_S)
    raise ClusterError(f"stream {config['name']} cannot be made: {why}")


async def _made(wire: Wire, config: dict[str, Any]) -> Made | CallLost:
    """Look at a stream, or make it; who may not look finds it by making it once more."""
    known = await _stream(wire, "INFO", config, b"")
    if isinstance(known, Made) or known.why in {"noproc", "noconnection", "timeout"}:
        return known
    marked = config | {"metadata": {OURS: str(config["num_replicas"])}}
    return await _stream(wire, "CREATE", config, msgspec.json.encode(marked))


async def _stream(wire: Wire, request: str, config: dict[str, Any], body: bytes) -> Made | CallLost:
    """Ask about a stream; `busy` where it is refused."""
    reply = await wire.request(f"{API}.STREAM.{request}.{config['name']}", body, ANSWER_S)
    if isinstance(reply, CallLost):
        return reply
    answer = _decoded(reply.data)
    error = answer.get("error")
    if error is None and "config" in answer:
        return Made(answer["config"], clustered="cluster" in answer)
    if error is not None and error.get("err_code") == NAME_TAKEN:
        return Made(config, clustered=False)  # it is there, and set up in another way
    return CallLost("busy", _described(answer, wire))


async def _grown(wire: Wire, made: Made, wanted: int) -> int:
    """Have a stream kept by three servers, where there are three now; return by how many it is.

    Nothing else of it is changed, and a number that an operator has set stays. Servers that do not
    advertise one another are known by what they answer alone: that they are a cluster.
    """
    config, name = made.config, made.config["name"]
    ours = config.get("metadata", {}).get(OURS, str(made.replicas)) == str(made.replicas)
    wanted = MOST_REPLICAS if made.clustered else wanted
    if not ours or made.replicas >= wanted:
        return made.replicas
    metadata = config.get("metadata", {}) | {OURS: str(wanted)}
    grown = config | {"num_replicas": wanted, "metadata": metadata}
    done = await _stream(wire, "UPDATE", {"name": name}, msgspec.json.encode(grown))
    return done.replicas if isinstance(done, Made) else made.replicas


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _described(answer: dict[str, Any], wire: Wire) -> str:
    said = answer.get("error", {}).get("description", "an answer that is none")
    return f"{wire.server}: {said}"

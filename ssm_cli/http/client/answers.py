"""What a tree answers, as types. Whatever else comes is the answer of somebody else, and an error.

A proxy, a page that wants a login, another program at that port: each answers something, often with
status 200. What is not exactly what was asked for is never taken for done.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec

from ssm_cli.errors import NoTree, message_of
from ssm_cli.http.client.wire import Response
from ssm_cli.http.routes import VALUES
from ssm_cli.runtime.views import Report, Status

SHOWN = 80  # bytes of an answer that a message repeats
REPORT_KEYS = {"v", "type", "seq", "at", "event", "id", "path", "kind", "record"}
Answered = TypeVar("Answered")


class DoneAnswer(msgspec.Struct, frozen=True):
    """Something was done, and there is nothing to tell."""

    type: Literal["done"]
    verb: str


class ReplyAnswer(msgspec.Struct, frozen=True):
    """The output of a call, as the worker's codec writes it and as data."""

    type: Literal["reply"]
    outcome: Literal["replied"]
    output: str
    value: Any
    record: int = 0


class StartedChild(DoneAnswer, frozen=True):
    """A child was started; None: its init answered ignore."""

    child: str | None


class StateAnswer(msgspec.Struct, frozen=True):
    """A state as the worker's codec writes it, and as data."""

    type: Literal["state"]
    text: str
    value: Any


class StatusAnswer(msgspec.Struct, frozen=True):
    """The status of a worker; its state also as the worker's codec writes it."""

    type: Literal["status"]
    status: Status
    text: str


class InfoAnswer(msgspec.Struct, frozen=True):
    """What a tree tells of itself."""

    type: Literal["info"]
    name: str
    file: str
    pid: int
    instance: str
    state: str
    uptime_s: float
    workers: int
    restarts: int
    seq: int
    dropped: int = 0


class ReportHead(msgspec.Struct, frozen=True):
    """What all reports have."""

    type: Literal["report"]
    seq: int
    at: datetime
    event: str
    id: str
    path: str
    kind: Literal["worker", "supervisor", "remote"]
    record: int = 0


class Missed(msgspec.Struct, frozen=True):
    """The last record of a reader that was too slow: how many it has missed, what comes next."""

    type: Literal["dropped"]
    missed: int
    next: int


ANSWERS: dict[str, Any] = VALUES | {
    "Done": DoneAnswer,
    "Child": StartedChild,
    "State": StateAnswer,
    "Status": StatusAnswer,
    "Info": dict[str, Any],
    "Reports": list[dict[str, Any]],
    "Quarantine": list[dict[str, Any]],
    "Quarantined": dict[str, Any],
    "Past": dict[str, Any],
}
"""What is decoded from the answers, by the names of their schemas."""


def no_tree(response: Response, where: str) -> NoTree:
    """Return the error of an answer that no tree gives: by whom, what it is, and what next."""
    body, status = bytes(response.body), response.status
    kind = response.headers.get("content-type", "")
    if 300 <= status < 400:
        place = response.headers.get("location", "")[:500]
        return NoTree(
            f"{where} is no tree: it sends us on to `{place}` with status {status}; is the URL "
            f"right? Nobody is followed: give the tree's own address"
        )
    if "html" in kind.lower() or body.lstrip()[:1] == b"<":
        what = "a page of HTML"
    elif body:
        what = f"{body[:SHOWN]!r}{'...' if len(body) > SHOWN else ''}"
    else:
        what = "nothing"
    return NoTree(
        f"{where} is no tree: it answered {what} with status {status}; is the URL right, or does a "
        f"proxy before it answer?"
    )


def decoded(response: Response, kind: type[Answered], where: str) -> Answered:
    """Return the JSON of an answer as the type that was asked for.

    Raises:
        NoTree: it is something else.
    """
    if not 300 <= response.status < 400:
        try:
            return msgspec.json.decode(response.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the error below tells what came instead
    raise no_tree(response, where)


def checked(record: object, kind: type[Answered], where: str) -> Answered:
    """Return a record of a stream as a type; raises `NoTree` if it is none."""
    try:
        return msgspec.convert(record, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise NoTree(f"{where} sends what is no record of a tree: {message_of(error)}") from error


def report_of(record: dict[str, Any], where: str = "the server") -> Report:
    """Convert a report record to a report.

    Raises:
        NoTree: it is none.

    >>> report_of({"type": "report", "seq": 1, "at": "1970-01-01T00:00:01.500000Z",
    ...            "event": "started", "id": "kv1", "path": "root/kv1", "kind": "worker",
    ...            "n": 2}).detail
    {'n': 2}
    """
    head = checked(record, ReportHead, where)
    detail = {key: value for key, value in record.items() if key not in REPORT_KEYS}
    at_s = head.at.timestamp()
    return Report(head.seq, at_s, head.event, head.id, head.path, head.kind, detail, head.record)

"""JSON records, as `CONTRACT` section 4 spells them: plain dicts, in the order they are printed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.errors import CalleeCrashed, CallError, CommandError, DecodeError, SsmError, message_of
from ssm_cli.runtime.views import CrashReport, NodeView, Report

Record = dict[str, Any]
VERSION = 1


def each_node(view: NodeView) -> Iterator[NodeView]:
    """Yield a node and its descendants, depth-first in start order."""
    yield view
    for child in view.children:
        yield from each_node(child)


def reply_record(
    worker: str, text: str, output: str, value: object, ms: float, *, number: int = 0
) -> Record:
    """The record of a call that was answered; `value` is the output as data, `ms` milliseconds.

    >>> reply_record("kv2", "Lookup x", "Result 1", 1, 0.1234)["ms"]
    0.123
    """
    return {
        **_call_head(worker, text, "replied"),
        "output": output,
        "value": value,
        "ms": round(ms, 3),
        **_numbered(number),
    }


def failed_reply_record(
    worker: str, text: str, error: CallError, ms: float, place: str = "", *, number: int = 0
) -> Record:
    """The record of a call with any other outcome: `error` in place of `output` and `value`.

    `place` as in `Command`.
    """
    return {
        **_call_head(worker, text, error.outcome),
        "error": error_detail(error),
        "ms": round(ms, 3),
        **_numbered(number),
        **_placed(place),
    }


def _call_head(worker: str, text: str, outcome: str) -> Record:
    return {
        "v": VERSION,
        "type": "reply",
        "worker": clean(worker),
        "input": clean(text),
        "outcome": outcome,
    }


def error_record(error: SsmError, place: str = "") -> Record:
    """The record of a command that failed, other than a call; `place` as in `Command`."""
    at = place or (error.place if isinstance(error, CommandError) else "")
    return {"v": VERSION, "type": "error", "error": error_detail(error), **_placed(at)}


def _placed(place: str) -> Record:
    return {"place": clean(place)} if place else {}


def error_detail(error: SsmError) -> Record:
    """An error as data. A crash shows the exception of the step, not the class that carries it.

    >>> error_detail(CommandError("`cal` is no command", column=1))
    {'type': 'CommandError', 'message': '`cal` is no command', 'column': 1}
    """
    match error:
        case CalleeCrashed(error=BaseException()):
            kind, said = step_error(error)
            child = {"child": error.child} if error.child else {}
            return {"type": kind, "message": said, "reason": error.reason, **child}
        case DecodeError():
            detail = _typed(error) | {"expected": list(error.expected)}
            return detail | ({"column": error.column} if error.column else {})
        case CallError(reason=reason) if reason:
            return _typed(error) | {"reason": reason}
        case CommandError():
            return _typed(error) | ({"column": error.column} if error.column else {})
        case _:
            term = getattr(error, "term", None)
            return _typed(error) | ({} if term is None else {"term": jsonable(term)})


def _typed(error: SsmError) -> Record:
    return {"type": type(error).__name__, "message": clean(str(error))}


def crash_said(error: CalleeCrashed) -> str:
    """What the exception of a step says."""
    if error.said is not None or error.error is None:
        return error.said or ""
    return message_of(error.error)


def step_error(error: SsmError) -> tuple[str, str]:
    """Return the type and the text of the exception of a step; both empty if it was none."""
    match error:
        case CalleeCrashed(error=BaseException() as cause):
            return type(cause).__name__, clean(crash_said(error))
        case _:
            return "", ""


def report_record(report: Report) -> Record:
    """The record of a report; `at` is UTC with microseconds.

    >>> report_record(Report(1, 1769860800.123456, "started", "kv1", "root/kv1", "worker"))["at"]
    '2026-01-31T12:00:00.123456Z'
    """
    return {
        "v": VERSION,
        "type": "report",
        "seq": report.seq,
        "at": instant(report.at_s),
        "event": report.event,
        "id": report.id,
        "path": report.path,
        "kind": report.kind,
        **_numbered(report.record),
        **{key: jsonable(value) for key, value in report.detail.items()},
    }


def tree_record(view: NodeView) -> Record:
    """The nested form of `ssm tree -o json`; workers lack what only supervisors have."""
    record: Record = {
        "id": view.id,
        "path": view.path,
        "kind": view.kind,
        "state": view.state,
        "restarts": view.restarts,
        "uptime_s": round(view.uptime_s, 3),
        "queue": view.queue,
    }
    if view.label:
        record["label"] = view.label
    if view.delay_ms is not None:
        record["delay_ms"] = round(view.delay_ms, 3)
    if view.runs:
        record["runs"] = view.runs
    if view.at:
        record["at"] = clean(view.at)
    if view.kind == "remote":
        age_s = None if view.age_s is None else round(view.age_s, 3)
        record |= {"node": view.node, "epoch": view.epoch, "age_s": age_s}
        record |= {"why": clean(view.why)} if view.why else {}
    if view.kind == "supervisor":
        record |= {
            "strategy": view.strategy,
            "intensity": view.intensity,
            "period": view.period,
            "budget_left": view.budget_left,
            "children": [tree_record(child) for child in view.children],
        }
    return record


def crash_record(report: CrashReport) -> Record:
    """The record of a crash report."""
    return {
        "v": VERSION,
        "type": "crash",
        "seq": report.seq,
        "at": instant(report.at_s),
        "worker": report.worker,
        "path": report.path,
        "supervisor": report.supervisor,
        "reason": report.reason,
        "error": {"type": report.error_type, "message": clean(report.error_message)},
        "stack": [clean(frame) for frame in report.stack],
        "input": clean(report.input),
        "state": clean(report.state),
        "events": [clean(event) for event in report.events],
        "decision": report.decision,
        "strategy": report.strategy,
        "children": list(report.children),
        "restarts": report.restarts,
        "intensity": report.intensity,
        "period": report.period,
        "budget_left": report.budget_left,
        **_numbered(report.record),
    }


def _numbered(record: int) -> Record:
    return {"record": record} if record else {}


def instant(at_s: float) -> str:
    """Seconds since 1970 as UTC with microseconds."""
    at = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds")
    return at.replace("+00:00", "Z")


def done_record(verb: str, arguments: dict[str, str]) -> Record:
    """The record of a command that did something and has nothing else to tell."""
    said = {key: clean(value) for key, value in arguments.items()}
    return {"v": VERSION, "type": "done", "verb": verb, **said}


def json_line(record: object) -> str:
    r"""Return a record on one line; what does not print is escaped, as JSON allows.

    C1 and DEL, marks of direction, separators of lines and the like cannot reach a terminal, or
    part a line for a reader.

    >>> json_line({"v": 1, "output": "Ok \x9b \u2028 é"})
    '{"v":1,"output":"Ok \\u009b \\u2028 é"}'
    """
    line = msgspec.json.encode(record).decode()
    return line if line.isprintable() else "".join(map(_printing, line))


def _printing(character: str) -> str:
    """Return a character as it stands in JSON; one that does not print as its UTF-16 escapes."""
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


def clean(text: str) -> str:
    r"""The text as UTF-8 can carry it: bytes that were none become `\xNN`.

    >>> clean("a\udcff")
    'a\\xff'
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

"""Error records back to exceptions: a remote call raises what a local one does."""

from __future__ import annotations

from typing import Any, Never

import msgspec

from ssm_cli import errors

OUTCOMES: dict[str, type[errors.CallError]] = {
    "noproc": errors.NoProc,
    "timeout": errors.CallTimeout,
    "queue_full": errors.QueueFull,
    "stopped": errors.CalleeStopped,
    "denied": errors.Denied,
    "busy": errors.Busy,
    "noconnection": errors.NoConnection,
}
WITH_TERM: dict[str, type[errors.SupervisorError | errors.SysError]] = {
    "SupervisorError": errors.SupervisorError,
    "SysError": errors.SysError,
}
BY_TYPE: dict[str, type[errors.CallError]] = {
    kind.__name__: kind for kind in (*OUTCOMES.values(), errors.CallError)
}
PLAIN: dict[str, type[errors.SsmError]] = {
    kind.__name__: kind
    for kind in (
        errors.CodeRefused,
        errors.Forgotten,
        errors.ReadOnly,
        errors.StorageError,
        errors.StorageDamaged,
        errors.Unrecovered,
        errors.StorageInUse,
        errors.Fenced,
    )
}
UNUSABLE = (400, 413, 431)  # that cannot be asked so: what was typed is too long, or no number
COMMANDS = {"CommandError", "BadExpr"}


class Detail(msgspec.Struct, frozen=True):
    """What an error record says; of another program's JSON it may say nothing."""

    type: str = ""
    message: str = ""
    reason: str = ""
    child: str = ""
    expected: tuple[str, ...] = ()
    column: int = 0
    term: Any = None


def record_of(body: bytes) -> dict[str, Any]:
    """Decode the record in a response; `NoTree` if there is none."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.NoTree(
            f"the server is no tree: it answered {body[:100]!r}; is the URL right?"
        ) from error


def error_in(record: dict[str, Any]) -> Detail | None:
    """Return what an error record says; None if it is none."""
    try:
        return msgspec.convert(record.get("error"), Detail)
    except msgspec.ValidationError:
        return None


def raise_reply(record: dict[str, Any], worker: str) -> Never:
    """Raise the error of a reply record whose outcome is not `replied`."""
    error = error_in(record)
    if record.get("type") != "reply" or error is None:
        raise_error(record, worker)
    outcome = record.get("outcome")
    if outcome == "crashed":
        cause = errors.remote_error(error.type or "Exception", error.message)
        text = f"{worker} crashed: {type(cause).__name__}: {error.message}"
        crashed = errors.CalleeCrashed(text, worker, error.reason, cause, error.message)
        crashed.child = error.child
        raise crashed
    if error.type in PLAIN or error.type in COMMANDS:
        raise_error(record, worker)
    if outcome == "undecodable":
        raise errors.DecodeError(
            error.message, worker=worker, expected=error.expected, column=error.column
        )
    kind = OUTCOMES.get(str(outcome), errors.CallError)
    raise kind(error.message, worker=worker, reason=error.reason)


def raise_error(record: dict[str, Any], name: str, status: int = 500) -> Never:
    """Raise the error of an error record."""
    error = error_in(record) or Detail()
    kind = error.type
    message = error.message or f"the server answered with status {status}"
    if kind in WITH_TERM:
        raise WITH_TERM[kind](message, term=error.term)
    if kind == "DecodeError":
        raise errors.DecodeError(message, worker=name)
    if kind in BY_TYPE:
        raise BY_TYPE[kind](message, worker=name, reason=error.reason)
    if kind in PLAIN:
        raise PLAIN[kind](message)
    if kind in COMMANDS:
        raise errors.CommandError(message, column=error.column)
    if kind in ("SpecError", "TreeFileError"):
        raise errors.TreeFileError(message, complaints=tuple(message.split("\n")))
    if status in UNUSABLE:
        raise errors.CommandError(message)
    if status in (401, 403):
        raise errors.Denied(message, worker=name)
    if status in (429, 503):
        raise errors.QueueFull(message, worker=name)
    raise errors.SsmError(message)

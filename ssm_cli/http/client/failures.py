"""Error records back to exceptions: a remote call raises what a local one does."""

from __future__ import annotations

from typing import Any, Never

import msgspec

from ssm_cli import errors

CALLS = (
    errors.NoProc, errors.CallTimeout, errors.QueueFull, errors.CalleeStopped, errors.Denied,
    errors.Busy, errors.NoConnection,
)  # fmt: skip
OUTCOMES: dict[str, type[errors.CallError]] = {kind.outcome: kind for kind in CALLS}
PLAIN = (
    errors.CodeRefused, errors.Forgotten, errors.ReadOnly, errors.StorageError,
    errors.StorageDamaged, errors.Unrecovered, errors.StorageInUse, errors.Fenced,
    errors.CommandError,
)  # fmt: skip
"""What stands for itself, also where a call ends in it."""
OTHERS = (errors.CallError, errors.DecodeError, errors.SupervisorError, errors.SysError)
KINDS: dict[str, type[errors.SsmError]] = {
    **{kind.__name__: kind for kind in (*CALLS, *PLAIN, *OTHERS)},
    **dict.fromkeys(("SpecError", "TreeFileError"), errors.TreeFileError),
    "BadExpr": errors.CommandError,
}
BY_STATUS: dict[int, type[errors.SsmError]] = {
    **dict.fromkeys((400, 413, 431), errors.CommandError),  # too long, or no number: it was typed
    **dict.fromkeys((401, 403), errors.Denied),
    **dict.fromkeys((429, 503), errors.QueueFull),
}
"""What any other error is, by the status of the answer."""


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
    if KINDS.get(error.type) in PLAIN:
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
    kind = KINDS.get(error.type) or BY_STATUS.get(status, errors.SsmError)
    message = error.message or f"the server answered with status {status}"
    more: dict[str, Any] = {}
    if issubclass(kind, errors.CallError):
        reason = {} if kind is errors.DecodeError else {"reason": error.reason}
        more = {"worker": name, **reason}
    elif issubclass(kind, errors.SupervisorError | errors.SysError):
        more = {"term": error.term}
    elif kind is errors.CommandError:
        more = {"column": error.column}
    elif kind is errors.TreeFileError:
        more = {"complaints": tuple(message.split("\n"))}
    raise kind(message, **more)

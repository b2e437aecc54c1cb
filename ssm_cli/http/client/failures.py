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


class RemoteError(Exception):
    """An exception of a step in another process, whose class has the original's name."""


def remote_error(kind: str, message: str) -> RemoteError:
    """Return an exception whose class is called `kind`.

    >>> type(remote_error("KeyError", "'x'")).__name__
    'KeyError'
    """
    made: type[RemoteError] = type(kind, (RemoteError,), {})
    return made(message)


def record_of(body: bytes) -> dict[str, Any]:
    """Decode the record in a response; `NoTree` if there is none."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise errors.NoTree(
            f"the server is no tree: it answered {body[:100]!r}; is the URL right?"
        ) from error


def raise_reply(record: dict[str, Any], worker: str) -> Never:
    """Raise the error of a reply record whose outcome is not `replied`."""
    error = record.get("error")
    if record.get("type") != "reply" or not isinstance(error, dict):
        raise_error(record, worker)
    outcome = record.get("outcome")
    message, reason = str(error.get("message", "")), str(error.get("reason", ""))
    if outcome == "crashed":
        cause = remote_error(str(error.get("type", "Exception")), message)
        text = f"{worker} crashed: {type(cause).__name__}: {message}"
        raise errors.CalleeCrashed(text, worker=worker, reason=reason, error=cause, said=message)
    if outcome == "undecodable":
        expected = tuple(str(word) for word in error.get("expected", ()))
        column = int(error.get("column", 0))
        raise errors.DecodeError(message, worker=worker, expected=expected, column=column)
    raise OUTCOMES.get(str(outcome), errors.CallError)(message, worker=worker, reason=reason)


def raise_error(record: dict[str, Any], name: str, status: int = 500) -> Never:
    """Raise the error of an error record."""
    error = record.get("error")
    error = error if isinstance(error, dict) else {}
    kind = str(error.get("type", ""))
    message = str(error.get("message", f"the server answered with status {status}"))
    if kind in WITH_TERM:
        raise WITH_TERM[kind](message, term=error.get("term"))
    if kind == "DecodeError":
        raise errors.DecodeError(message, worker=name)
    if kind in BY_TYPE:
        raise BY_TYPE[kind](message, worker=name, reason=str(error.get("reason", "")))
    if kind == "CommandError":
        raise errors.CommandError(message, column=int(error.get("column", 1)))
    if status in (401, 403):
        raise errors.Denied(message, worker=name)
    if status in (429, 503):
        raise errors.QueueFull(message, worker=name)
    raise errors.SsmError(message)

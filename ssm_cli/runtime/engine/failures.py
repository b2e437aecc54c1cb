"""The errors that callers get for calls that end in another outcome than `replied`."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.errors import CalleeCrashed, CalleeStopped, CallError, GaveUp, NoProc
from ssm_cli.runtime.engine.cell import Cell, CellStatus
from ssm_cli.runtime.reports import crash_text

COMING = frozenset({CellStatus.DEAD, CellStatus.RESTARTING, CellStatus.WAITING})


def comes_back(cell: Cell) -> bool:
    """Return whether a node that does not run is being started, or a supervisor above it is."""
    while cell.status not in COMING:
        if cell.parent is None or cell.status is CellStatus.RUNNING:
            return False
        cell = cell.parent
    return True


def callee_error(cell: Cell, reason: ExitReason) -> CallError:
    """Return the error for a call whose worker ended for `reason` before it answered."""
    name = cell.spec.id
    if isinstance(reason, Crash):
        return crash_error(name, reason, type_name_of(reason.error), crash_text(reason))
    return CalleeStopped(f"{name} ended: {reason}", worker=name, reason=str(reason))


def crash_error(name: str, reason: Crash, kind: str, text: str) -> CalleeCrashed:
    """Return the error for a call that crashed the worker `name` with an error `kind: text`.

    Its cause is the exception of the worker, whose traceback shows the place.
    """
    said = f"{name} crashed: {kind}: {text}"
    error = CalleeCrashed(said, worker=name, reason=reason.kind, error=reason.error)
    error.__cause__ = reason.error
    return error


class WithoutFrames(Exception):
    """Stands for an error whose frames must not live on, by its type `kind` and its text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def type_name_of(error: BaseException) -> str:
    """Return the name of an error's type."""
    return error.kind if type(error) is WithoutFrames else type(error).__name__


def without_frames(reason: Crash) -> Crash:
    """Return a reason that holds nothing of what its worker worked on."""
    error = reason.error
    return Crash(WithoutFrames(type_name_of(error), crash_text(reason)), reason.kind)


def tree_down(name: str, *, gave_up: bool) -> CalleeStopped:
    """Return the error for a call of a tree that does not run."""
    if gave_up:
        text = "the tree is not running: its root reached its restart intensity and gave up"
        return GaveUp(text, worker=name, reason="noproc")
    return CalleeStopped("the tree is not running", worker=name, reason="noproc")


def not_running(cell: Cell) -> NoProc:
    """Return the error for a call of a node that does not run."""
    doing = "is being restarted" if comes_back(cell) else "is not running"
    name: str = cell.spec.id
    trouble = getattr(getattr(cell.extra, "kept", None), "trouble", None)
    text = f"{name} {doing}" if trouble is None else str(trouble)
    return NoProc(text, worker=name, reason="noproc")


def interrupted(cell: Cell) -> CalleeStopped:
    """Return the error for a call that an exception from outside has cut short."""
    name: str = cell.spec.id
    text = f"the call of {name} was interrupted from outside, by a signal for example"
    return CalleeStopped(text, worker=name, reason="interrupted")

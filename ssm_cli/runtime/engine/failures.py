"""The errors that callers get for calls that end in another outcome than `replied`."""

from __future__ import annotations

from typing import TypeVar

from ssm_cli.behaviour.reasons import Crash, ExitReason, FailedToStart, Shutdown
from ssm_cli.errors import CalleeCrashed, CalleeStopped, CallError, GaveUp, NoProc
from ssm_cli.runtime.engine.cell import Cell, CellStatus
from ssm_cli.runtime.engine.crashes import stack_of
from ssm_cli.runtime.engine.recalled import places_of
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import crash_text

NOT_RUNNING = "the tree is not running"
COMING = frozenset(
    {CellStatus.DEAD, CellStatus.RESTARTING, CellStatus.WAITING, CellStatus.STARTING}
)
E = TypeVar("E", bound=CallError)


def comes_back(cell: Cell) -> bool:
    """Return whether a node that does not run is being started, or a supervisor above it is."""
    while cell.status not in COMING:
        if cell.parent is None or cell.status is CellStatus.RUNNING:
            return False
        cell = cell.parent
    return True


def start_cause(reason: object) -> tuple[str, BaseException | None]:
    """Return what a failed start comes down to, in words, and the exception of that `init`."""
    while isinstance(reason, Shutdown) and isinstance(reason.detail, FailedToStart):
        reason = reason.detail.reason
    if not isinstance(reason, Crash):
        return "", None
    said = f"; {type_name_of(reason.error)}: {crash_text(reason)}"
    stack = stack_of(places_of(reason.error))
    return f"{said}, at {stack[-1]}" if stack else said, reason.error


def callee_error(cell: Cell, reason: ExitReason) -> CallError:
    """Return the error for a call whose worker ended for `reason` before it answered."""
    name = cell.spec.id
    if isinstance(reason, Crash):
        return crash_error(name, reason, type_name_of(reason.error), crash_text(reason))
    return CalleeStopped(f"{name} ended: {reason}", worker=name, reason=str(reason))


def unstepped(error: E) -> E:
    """Mark the error of a call whose input does not count: it only waited, or is taken back."""
    error.stepped = False
    return error


def crash_error(name: str, reason: Crash, kind: str, text: str) -> CalleeCrashed:
    """Return the error for a call that crashed the worker `name` with an error `kind: text`.

    Its cause is the exception of the worker, whose traceback shows the place.
    """
    said = f"{name} crashed: {kind}: {text}"
    error = CalleeCrashed(said, name, reason.kind, reason.error, text)
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


def tree_down(world: World, name: str) -> CalleeStopped:
    """Return the error for a call of a tree that does not run."""
    if world.gave_up:
        return unstepped(GaveUp(why_down(world), worker=name, reason="noproc"))
    return unstepped(CalleeStopped(why_down(world), worker=name, reason="noproc"))


def why_down(world: World) -> str:
    """Return that a tree does not run, and why; of one that a program starts, how."""
    if world.gave_up:
        return f"{NOT_RUNNING}: its root reached its restart intensity and gave up"
    if world.forked:
        return f"{NOT_RUNNING}: it was stopped"
    return f"{NOT_RUNNING}; start it by `with Node(tree)` or `start()`"


def not_running(cell: Cell) -> NoProc:
    """Return the error for a call of a node that does not run."""
    name: str = cell.spec.id
    trouble = getattr(getattr(cell.extra, "kept", None), "trouble", None)
    text = f"{name} {absence(cell)}" if trouble is None else str(trouble)
    return NoProc(text, worker=name, reason="noproc")


def absence(cell: Cell) -> str:
    """Return why a node does not run, and what comes next, in words that follow its name."""
    if not comes_back(cell):
        if not cell.starts:
            return "is not running: no start of it is known here"
        return "is not running: it has ended or was terminated; restart_child starts it again"
    held: Cell | None = cell
    while held is not None:
        if held.extra is not None and held.extra.delay_until_s is not None:
            whose = "its back-off" if held is cell else f"the back-off of {held.spec.id} above it"
            return f"is being restarted: {whose} is not over; the tree tells when it is tried again"
        held = held.parent
    return "is being restarted; try again"


def interrupted(cell: Cell) -> CalleeStopped:
    """Return the error for a call that an exception from outside has cut short."""
    name: str = cell.spec.id
    text = f"the call of {name} was interrupted from outside, as by a signal; call it again"
    return unstepped(CalleeStopped(text, worker=name, reason="interrupted"))

"""Failing: a callback raised, an input is none, a worker does not run: who waits is told."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import reason_for
from ssm_cli.behaviour.reasons import KILLED, Crash, ExitReason
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import DecodeError, NoProc
from ssm_cli.runtime.durable.inputs import crashed as record_crash
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine.cell import Status, WorkerCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.guard import from_outside
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.performer.ending import callee_error, end_worker, tell_failed
from ssm_cli.runtime.performer.supervise import announce_exit
from ssm_cli.runtime.reports import error_detail, error_text

OUR_MODULES = frozenset(
    {
        "ssm_cli.runtime.performer.loop",
        "ssm_cli.runtime.performer.outcomes.journalled",
        "ssm_cli.runtime.looking.purity",
        "ssm_cli.behaviour.dispatch",
    }
)
"""Whose frames are outside of a user's callback."""


def stop_worker(
    core: Core, cell: WorkerCell, reason: ExitReason, pending: Pending | None, reply: Any
) -> None:
    """A worker ends itself: terminate first, then its caller has the reply or the reason.

    Its supervisor learns of the end even if somebody at the keyboard interrupts `terminate`.
    """
    alive = cell.status is Status.RUNNING  # else the whole tree was stopped meanwhile
    final: ExitReason = KILLED if alive else reason
    try:
        if alive:
            final = end_worker(core, cell, reason)
    finally:
        if alive:
            announce_exit(core, cell, final)
        if pending is not None and not pending.done:
            if reply is NOTHING:
                tell_failed(core, cell, pending, final)
            else:
                pending.resolve(reply)


def crashed(
    core: Core, cell: WorkerCell, message: Any, pending: Pending | None, error: BaseException
) -> None:
    """A callback raised: its caller is told at once; then it terminates, and is looked at."""
    if from_outside(core.guard, error):
        core.guard.end()  # it was not counted as a step: the next one must not be taken for it
        if core.keeper is not None:
            core.keeper.now = None
        if pending is not None:
            pending.fail(NoProc(f"{cell.spec.id} was interrupted", worker=cell.spec.id))
        raise error
    reason = reason_for(error)
    cell.step = None
    if kept_of(cell) is not None:
        record_crash(core.keeper, cell, message, reason)
    if isinstance(reason, Crash):
        cell.more().crashes += 1
        word, kind, text = reason.kind, type(error).__name__, error_text(error)

        def told() -> dict[str, Any]:  # writing the input costs more than all the rest
            failure = {"type": kind, "message": text}
            return {"input": shown(core, cell, message), "reason": word, "error": failure}

        core.report("crashed", cell, told)
        core.crashes.add(core.reports.seq, core.clock.wall_s(), cell, message, reason)
        if pending is not None:
            tell_failed(core, cell, pending, reason)
            pending = None
    core.lane.appendleft((stop_worker, (core, cell, reason, pending, NOTHING)))


def own_frames_only(error: BaseException) -> None:
    """Drop our frames from the outside of a traceback: they hold what must not live on.

    A frame of the loop holds the pending call, which holds the error, which holds the frame.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in OUR_MODULES:
        trace = trace.tb_next
    error.__traceback__ = trace


def undecodable(
    core: Core, cell: WorkerCell, data: bytes, pending: Pending | None, error: BaseException
) -> None:
    """The bytes are no input: the worker is not touched; without a caller a report says so."""
    if from_outside(core.guard, error):
        raise error
    if not isinstance(error, DecodeError):
        error = DecodeError(f"{cell.spec.id}: {type(error).__name__}: {error_text(error)}")
    error.worker = cell.spec.id
    if pending is not None:
        pending.fail(error)
    else:
        shown = str(data, "utf-8", "replace")[:1000]
        core.report("undecodable", cell, {"input": shown, "error": error_detail(error)})


def no_process(core: Core, cell: WorkerCell, pending: Pending | None) -> None:
    """The worker does not run: its caller is told; a cast is dropped, as in OTP.

    What waits for a worker that was taken out of the tree got there while it still lived.
    """
    if pending is None:
        core.dropped += 1
        return
    if core.names.get(cell.spec.id) is not cell:
        pending.fail(callee_error(cell, cell.last_reason))
        return
    doing = "is being restarted" if cell.status is Status.RESTARTING else "is not running"
    pending.fail(NoProc(f"{cell.spec.id} {doing}", worker=cell.spec.id, reason="noproc"))

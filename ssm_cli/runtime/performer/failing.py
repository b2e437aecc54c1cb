"""Failing: a callback raised, an input is none, a worker does not run: who waits is told."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.reasons import Crash
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.durable.inputs import record_crash
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.commit import forget_caller
from ssm_cli.runtime.engine.contained import ended_by, said_by
from ssm_cli.runtime.engine.entries import EndWorker
from ssm_cli.runtime.engine.failures import interrupted
from ssm_cli.runtime.engine.outside import is_from_outside, trace_of
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.performer.ending import end_worker, tell_failed
from ssm_cli.runtime.performer.supervise import announce_exit
from ssm_cli.runtime.reports import crash_text, error_detail

OUR_MODULES = frozenset(
    {
        "ssm_cli.runtime.performer.loop",
        "ssm_cli.runtime.performer.journalled",
        "ssm_cli.runtime.looking.purity",
        "ssm_cli.behaviour.dispatch",
    }
)
"""Whose frames are outside of a user's callback."""


def end_own(world: World, entry: EndWorker) -> None:
    """End a worker that crashed or asked to stop; then its caller has the reply, or the reason."""
    cell, pending = entry.cell, entry.pending
    final = entry.reason
    if (
        cell.status is CellStatus.RUNNING
    ):  # else it was stopped meanwhile, maybe with the whole tree
        final = end_worker(world, cell, final)
        announce_exit(world, cell, final)
    if pending is not None and not pending.done:
        if entry.reply is NOTHING:
            tell_failed(world, cell, pending, final)
        else:
            pending.resolve(entry.reply)


def crashed(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, error: BaseException
) -> None:
    """A callback raised: its caller is told at once; then it terminates, and is looked at."""
    if is_from_outside(world.guard, error):
        world.guard.end()  # it was not counted as a step: the next one must not be taken for it
        if world.outside.keeper is not None:
            world.outside.keeper.now = None
        if pending is not None:
            pending.fail(interrupted(cell))
        raise error
    reason = ended_by(world, cell, error)
    cell.step = None
    if pending is not None:
        forget_caller(world, pending)
    if kept_of(cell) is not None:
        record_crash(world.outside.keeper, cell, message, reason)
    if isinstance(reason, Crash):
        cell.ensure_extra().crashes += 1
        word, kind, text = reason.kind, type(error).__name__, crash_text(reason)

        def told() -> dict[str, Any]:  # writing the input costs more than all the rest
            failure = {"type": kind, "message": text}
            return {"input": shown(world, cell, message), "reason": word, "error": failure}

        world.report("crashed", cell, told)
        world.crashes.add(world.reports.seq, world.clock.wall_s(), cell, message, reason)
        if pending is not None:
            tell_failed(world, cell, pending, reason)
            pending = None
    world.lane.appendleft(EndWorker(cell, reason, pending))


def own_frames_only(error: BaseException) -> None:
    """Drop our frames from the outside of a traceback: they hold what must not live on.

    A frame of the loop holds the pending call, which holds the error, which holds the frame.
    """
    trace = trace_of(error)
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in OUR_MODULES:
        trace = trace.tb_next
    BaseException.with_traceback(error, trace)


def undecodable(
    world: World, cell: WorkerCell, data: bytes, pending: Pending | None, error: BaseException
) -> None:
    """The bytes are no input: the worker is not touched; without a caller a report says so."""
    if is_from_outside(world.guard, error):
        if pending is not None:
            pending.fail(interrupted(cell))
        raise error
    if type(error) is not DecodeError:
        said = said_by(world, cell, error)
        error = DecodeError(f"{cell.spec.id}: {type(error).__name__}: {said}")
    error.worker = cell.spec.id
    if pending is not None:
        pending.fail(error)
    else:
        detail = {"input": shown(world, cell, data), "error": error_detail(error)}
        world.report("undecodable", cell, detail)

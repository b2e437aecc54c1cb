"""Failing: a callback raised, an input is none, a worker does not run: who waits is told."""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn

import msgspec

from ssm_cli.behaviour.reasons import Crash, ExitReason, is_abnormal
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.behaviour.sizes import cut, is_light, size_of
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.codec.strangers import stranger_text
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.durable.inputs import record_crash
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.commit import forget_caller
from ssm_cli.runtime.engine.contained import ended_by, said_by
from ssm_cli.runtime.engine.crashes import (
    MOST_VALUE_BYTES,
    CrashNote,
    kept,
    kept_events,
    said,
)
from ssm_cli.runtime.engine.entries import EndWorker
from ssm_cli.runtime.engine.failures import interrupted
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recalled import places_of
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.ending import end_worker, tell_failed
from ssm_cli.runtime.performer.supervise import announce_exit
from ssm_cli.runtime.reports import crash_text, error_detail, error_text
from ssm_cli.runtime.traces import trace_of

OUR_MODULES = frozenset(
    {
        "ssm_cli.runtime.performer.callback",
        "ssm_cli.runtime.performer.loop",
        "ssm_cli.runtime.engine.guard",
        "ssm_cli.runtime.performer.ending",
        "ssm_cli.runtime.performer.journalled",
        "ssm_cli.runtime.looking.purity",
        "ssm_cli.behaviour.dispatch",
    }
)
"""Whose frames are outside of a user's callback."""

MOST_TOLD_BYTES = 4096
"""Of an input that a report keeps as it is; the ring holds some 3,000 `crashed` reports."""


STANDING = (CellStatus.RUNNING, CellStatus.ENDING)


def end_own(world: World, entry: EndWorker) -> None:
    """End a worker that crashed or asked to stop; then its caller has the reply, or the reason."""
    cell, pending = entry.cell, entry.pending
    final = entry.reason
    if cell.status in STANDING:  # else it was stopped meanwhile, maybe with the whole tree
        if entry.begun:
            note_end(world, cell, "", final)
        final = end_worker(world, cell, final)
        announce_exit(world, cell, final)
    if pending is not None:  # who was told already is not told again
        if entry.reply is NOTHING:
            tell_failed(world, cell, pending, final)
        else:
            pending.resolve(entry.reply)
    if pending is not None:
        forget_caller(world, pending)


def interrupt(
    world: World, cell: WorkerCell, pending: Pending | None, error: BaseException
) -> NoReturn:
    """Raise what came from outside while a callback ran, which counts as not run; fail its call."""
    if world.history is not None:
        world.history.retract(cell)
    world.guard.end()  # it was not counted as a step: the next one must not be taken for it
    if world.outside.keeper is not None:
        world.outside.keeper.now = None
    if pending is not None:
        forget_caller(world, pending)
        pending.fail(interrupted(cell))
    raise error


def crashed(
    world: World,
    cell: WorkerCell,
    message: Any,
    pending: Pending | None,
    error: BaseException,
    *,
    sent: bool = False,
) -> None:
    """A callback raised: its caller is told at once; then it terminates, and is looked at.

    `sent`: the message is an input of others, and no timer or end of a run, as `inputs` names them.
    """
    own_frames_only(error)
    reason = ended_by(world, cell, error)
    end_crashed(world, cell, message, pending, explained(cell, message, reason) if sent else reason)


def explained(cell: WorkerCell, message: Any, reason: ExitReason) -> ExitReason:
    """Return the reason of a crash, whose text says so if the input is none of its worker's."""
    if type(reason) is not Crash:
        return reason
    if not (why := stranger_text(cell.behaviour.inputs, message)):
        return reason
    return msgspec.structs.replace(reason, said=cut(f"{crash_text(reason)}; {why}"))


def end_crashed(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, reason: ExitReason
) -> None:
    """End a worker, one of whose callbacks has failed, for `reason`: as `crashed`."""
    cell.step = None
    if world.history is not None:
        world.history.crashed(cell, message, reason, pending)
    if pending is not None:
        forget_caller(world, pending)
    if kept_of(cell) is not None:
        record_crash(world.outside.keeper, cell, message, reason)
    note_end(world, cell, message, reason)
    if isinstance(reason, Crash) and pending is not None:
        tell_failed(world, cell, pending, reason)
        pending = None
    world.lane.appendleft(EndWorker(cell, reason, pending))


def note_end(world: World, cell: WorkerCell, message: Any, reason: ExitReason) -> None:
    """Report a crash; keep a note of it, or of another end that is neither normal nor asked for."""
    if not is_abnormal(reason):
        return
    told, noted, state = kept_crash(world, cell, message)
    extra, seq = cell.ensure_extra(), world.reports.seq + 1
    word, kind, text = str(reason), "Exited", str(reason)
    places: Any = ()
    if isinstance(reason, Crash):
        cell.crashes += 1
        kind, text = type(reason.error).__name__, crash_text(reason)
        places = places_of(reason.error)

        def fields() -> dict[str, Any]:  # writing the input costs more than all the rest
            failure = {"type": kind, "message": text}
            return {"input": told_input(world, cell, told), "reason": word, "error": failure}

        world.report("crashed", cell, fields)
    events = () if extra.debug is None else kept_events(cell, partial(shown, world))
    at_s = world.clock.wall_s()
    extra.crash = CrashNote(seq, at_s, cell, noted, state, word, kind, text, places, events)
    world.crashes.add(extra.crash)


def kept_crash(world: World, cell: WorkerCell, message: Any) -> tuple[Any, Any, Any]:
    """Return what is kept of a crash: the input for its report and for its note, and the state."""
    if is_light(message) and is_light(cell.state):
        return message, message, cell.state
    size, state = size_of(message), cell.state
    write = partial(shown, world)
    if not size_of(state) <= MOST_VALUE_BYTES:  # nan is not
        state = kept(cell, state, MOST_VALUE_BYTES, write)
    if size <= MOST_TOLD_BYTES:
        return message, message, state
    told = kept(cell, message, MOST_TOLD_BYTES, write)
    return told, message if size <= MOST_VALUE_BYTES else told, state


def told_input(world: World, cell: WorkerCell, kept_input: Any) -> str:
    """Return the text of an input that a report keeps."""
    return said(cell, kept_input, partial(shown, world))


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
        interrupt(world, cell, pending, error)
    if type(error) is not DecodeError:
        text = said_by(world, cell, error)
        error = DecodeError(f"{cell.spec.id}: {type(error).__name__}: {text}")
    error.worker = cell.spec.id
    error.args = (cut(error_text(error)),)
    if pending is not None:
        pending.fail(error)
    else:
        detail = {"input": shown(world, cell, data), "error": error_detail(error)}
        if does_hide(cell.behaviour):  # what is no input passes by its `redact`
            error = DecodeError(f"{cell.spec.id}: it is no input, and {cell.spec.id} hides parts")
            detail = {"input": f"<{len(data):,} bytes>", "error": error_detail(error)}
        if world.history is not None:
            world.history.told(cell, "undecodable", detail)
        world.report("undecodable", cell, detail)

"""Settling: the outcome of a callback becomes state, effects, a reply, what comes next, or the end.

What a journalled worker does to others is held until its input is written (`durable.keeper`).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.effects import Defer, Effect
from ssm_cli.behaviour.reasons import BadReturnError
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.fits import as_recorded
from ssm_cli.runtime.durable.inputs import accept, caused
from ssm_cli.runtime.durable.lives import kept_of, served
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.contained import with_text
from ssm_cli.runtime.engine.entries import EndWorker
from ssm_cli.runtime.engine.failures import callee_error
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World, asked_by
from ssm_cli.runtime.looking.debug import observe
from ssm_cli.runtime.performer.failing import crashed, note_end
from ssm_cli.runtime.views import SysEvent


def commit_outcome(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, outcome: Outcome
) -> None:
    """Commit an outcome: state, effects, reply, what comes next, or the end."""
    if (excess := commit.too_much(world, cell, outcome)) is not None:
        crashed(world, cell, message, pending, excess)
        return
    kept, seq = kept_of(cell), 0
    if kept is not None:
        try:
            seq = accept(world.outside.keeper, cell, kept, outcome)
        except (StorageError, BadReturnError) as error:
            crashed(world, cell, message, pending, error)
            return
    if outcome.stop is not None:
        reason = with_text(world, cell, outcome.stop)
        outcome = msgspec.structs.replace(outcome, stop=reason)
        note_end(world, cell, message, reason)
    if world.history is not None:
        world.history.served(cell, message, outcome, pending)
    cell.state = outcome.state
    cell.steps += 1
    show_answer(world, cell, outcome.reply, pending)
    if kept is None:
        conclude(world, cell, pending, outcome)
    elif kept.journals:
        conclude_later(world, cell, pending, outcome, seq)
    else:
        served(world.outside.keeper, cell, kept)
        conclude(world, cell, pending, outcome)
    if outcome.then is not None and outcome.stop is None and not (kept and kept.journals):
        commit.plan_next(world, cell, outcome.then)


def show_input(world: World, cell: WorkerCell, message: Any, pending: Pending | None) -> None:
    """Show an input of a worker to who looks at it (`sys`)."""
    if cell.extra is not None and cell.extra.debug is not None:
        if (history := world.history) is not None:
            history.marks.note(world.reports.seq, history.last() + 1)  # its own, which comes next
        observe(world, cell, cell.extra, SysEvent("in", message, pending is not None))


def show_answer(world: World, cell: WorkerCell, reply: Any, pending: Pending | None) -> None:
    """Show the answer of a worker to who looks at it (`sys`)."""
    if cell.extra is not None and cell.extra.debug is not None:
        silent = reply is NOTHING or pending is None
        event = SysEvent("noreply", cell.state) if silent else SysEvent("out", reply, caller=True)
        observe(world, cell, cell.extra, event)


def conclude(world: World, cell: WorkerCell, pending: Pending | None, outcome: Outcome) -> None:
    """What an outcome does to others: effects, the reply, the end."""
    effects = outcome.effects
    deferred = bool(effects) and commit.apply_effects(world, cell, effects, pending)
    reply_or_end(world, cell, pending, outcome, deferred=deferred)


def reply_or_end(
    world: World, cell: WorkerCell, pending: Pending | None, outcome: Outcome, *, deferred: bool
) -> None:
    """Answer the call that was served, or keep it; or have the worker end."""
    reply = outcome.reply
    if deferred:
        reply, pending = NOTHING, None  # kept under its key; answered later
    if outcome.stop is not None:
        world.lane.appendleft(EndWorker(cell, outcome.stop, pending, reply))
        return
    if pending is not None:
        if reply is not NOTHING:
            pending.resolve(reply)
            commit.forget_caller(world, pending)
        elif not pending.done:
            commit.keep_waiting(world, cell, pending)


def conclude_later(
    world: World, cell: WorkerCell, pending: Pending | None, outcome: Outcome, seq: int
) -> None:
    """The same, once the record `seq` of the input is written."""
    outcome = as_recorded(outcome)
    marked = caused(world, seq, outcome, cell)
    if outcome.stop is not None:
        cell.ensure_extra().kept.closing = True
        replan(cell)
    elif outcome.then is not None:
        commit.plan_next(world, cell, outcome.then, (seq, -1))
    record = asked_by(world)
    left = Left(cell.starts, marked, deque(marked.effects), commit.sends(world, outcome), record)
    if pending is not None and (outcome.reply is NOTHING or defers(outcome)):
        left.call = pending
    if left.effects or left.call is not None:
        cell.ensure_extra().kept.unwritten[left] = None
    world.outside.keeper.sending += left.sends
    world.outside.keeper.hold(pending, conclude_written, world, cell, pending, left)


def defers(outcome: Outcome) -> bool:
    """Return whether an outcome keeps its call, to be answered by a key."""
    return any(isinstance(effect, Defer) for effect in outcome.effects)


class Left(msgspec.Struct, eq=False):
    """What is left to do for an outcome that is being written.

    Attributes:
        starts: which life of its worker it is of.
        outcome: without the effects.
        effects: those still to be carried out.
        sends: how many inputs they will put into the queue, while that is counted.
        record: whose effects they are, in a node that remembers.
        call: who waits for an answer that comes later; None once that is there, too.
    """

    starts: int
    outcome: Outcome
    effects: deque[Effect]
    sends: int
    record: int
    call: Pending | None = None


def conclude_written(world: World, cell: WorkerCell, pending: Pending | None, left: Left) -> None:
    """The record is written. The timers of its worker are void if it has ended since.

    Can be repeated, where an exception from outside has cut it: what is done is taken off `left`.
    """
    keeper, outcome = world.outside.keeper, left.outcome
    keeper.sending, left.sends = keeper.sending - left.sends, 0
    cell.ensure_extra().kept.unwritten.pop(left, None)
    if world.history is not None:
        world.history.current = left.record
    deferred = defers(outcome)
    if cell.starts == left.starts and cell.status is CellStatus.RUNNING:
        commit.apply_effects(world, cell, left.effects, pending)
        reply_or_end(world, cell, pending, outcome, deferred=deferred)
        return
    left.effects = deque(effect for effect in left.effects if isinstance(effect, commit.SENDING))
    commit.apply_effects(world, cell, left.effects, None)
    if pending is not None and outcome.reply is not NOTHING and not deferred:
        pending.resolve(outcome.reply)
    elif left.call is not None:
        left.call.fail(callee_error(cell, cell.last_reason))

"""Ending: what a supervisor does to take a child down, and a child with itself.

`terminate_cell` acts at once and to the end, in reverse start order for supervisors.
Source: OTP `supervisor:do_terminate/2`, `shutdown/1`; `gen_server:terminate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from itertools import takewhile
from operator import length_hint
from typing import Any

from ssm_cli.behaviour.effects import Answer, Defer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import (
    KILLED,
    SHUTDOWN,
    Crash,
    ExitReason,
    is_abnormal,
)
from ssm_cli.behaviour.results import Caller
from ssm_cli.behaviour.sizes import AsText
from ssm_cli.errors import CalleeStopped
from ssm_cli.runtime.durable import lives
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine.backlog import no_process, release_held
from ssm_cli.runtime.engine.bonds import part
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    Plan,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
    seconds,
)
from ssm_cli.runtime.engine.commit import (
    apply_effects,
    call_kept,
    forget_caller,
    stop_timeout,
    with_key,
)
from ssm_cli.runtime.engine.contained import ended_by, said_by
from ssm_cli.runtime.engine.crashes import MOST_VALUE_BYTES, CrashNote, kept
from ssm_cli.runtime.engine.entries import Asked, Caused
from ssm_cli.runtime.engine.failures import callee_error, unstepped
from ssm_cli.runtime.engine.guard import STEP, TERMINATE, guarded
from ssm_cli.runtime.engine.links import break_links
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recalled import frameless, places_of
from ssm_cli.runtime.engine.recorder import Terminated
from ssm_cli.runtime.engine.runs import cancel_runs
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.forks import leave_to_next
from ssm_cli.runtime.remote.life import ask_ends, end_remote
from ssm_cli.runtime.reports import Group, crash_text, ending, failure
from ssm_cli.spec.model import (
    ShutdownTime,
    WorkerOptions,
)
from ssm_cli.supervision.decisions import is_ordered

RUNNING, UNDEFINED = CellStatus.RUNNING, CellStatus.UNDEFINED


def terminate_children(world: World, sup: SupervisorCell) -> None:
    """End all children of `sup`, the last started first. Their specs stay in the table."""
    terminate_all(world, tuple(sup.children.values()), sup)


def terminate_all(
    world: World, cells: Sequence[Cell], sup: SupervisorCell, after: CellStatus = UNDEFINED
) -> None:
    """End children in reverse order; once `sup` is gone itself, the rest end as its orphans.

    `after` is their status then. Pure steps with nothing to clean up, while nobody watches, are
    recorded together. Remote children that follow each other, and are independent, are asked to end
    side by side.
    """
    end = len(cells)  # of those that are not told yet
    bonds = bool(world.groups.joined or world.monitors.watchers)
    quiet = not (world.reports.watched() or sup.overdue) and world.guard.has_no_deadline()
    behaviour = options = None  # of the worker before: siblings mostly share them
    plain, ordered = False, is_ordered(sup.spec.strategy)
    walk: Iterator[Any] = reversed(cells)
    for cell in walk:
        if quiet and cell.step is not None and cell.extra is None:  # a worker alone has a step
            if cell.behaviour is not behaviour or cell.spec.options is not options:
                behaviour, options = cell.behaviour, cell.spec.options
                plain = ends_plainly(behaviour, options)
            if plain:
                if bonds:
                    part(world, cell, SHUTDOWN)
                cell.step, cell.state, cell.last_reason = None, None, SHUTDOWN
                cell.status = after
                continue
        tell_ended(world, cells[length_hint(walk) + 1 : end])
        end = length_hint(walk)
        world.guard.pass_deadlines()
        if sup.overdue:
            orphan(world, cell)
            quiet = False
            continue
        if isinstance(cell, RemoteCell) and not ordered:
            behind = takewhile(lambda one: isinstance(one, RemoteCell), copy(walk))
            ask_ends(world, [cell, *behind])
        terminate_cell(world, cell, after)
        bonds = bool(world.groups.joined or world.monitors.watchers)  # as of the next ones
    tell_ended(world, cells[:end])


def ends_plainly(behaviour: StateMachine, options: WorkerOptions) -> bool:
    """Whether a running pure step has nothing to clean up."""
    return behaviour.terminate is None and options.shutdown_ms != "brutal_kill"


def tell_ended(world: World, cells: Sequence[Cell]) -> None:
    """Record that these have ended with their supervisor, the last one first."""
    if cells:
        events = ("terminating", "terminated")
        group = Group(world.reports.wall_s(), events, cells[::-1], detail=SHUTDOWN)
        world.reports.add_many(group)


def terminate_cell(world: World, cell: Cell, after: CellStatus = UNDEFINED) -> None:
    """End a child as its supervisor does: by its shutdown time, with the reason `shutdown`."""
    cancel_coming(world, cell)
    if isinstance(cell, RemoteCell) and cell.status in (RUNNING, CellStatus.STARTING):
        end_remote(world, cell, SHUTDOWN)
    elif cell.status is RUNNING:
        if isinstance(cell, SupervisorCell):
            terminate_supervisor(world, cell, SHUTDOWN, cell.spec.shutdown_ms)
        else:
            assert isinstance(cell, WorkerCell)
            if cell.spec.options.shutdown_ms == "brutal_kill":
                kill_worker(world, cell)
            else:
                end_worker(world, cell, SHUTDOWN, told=True)
    elif cell.status is CellStatus.ENDING:
        finish_interrupted(world, cell)
    elif cell.status is not CellStatus.DEAD:
        if isinstance(cell, SupervisorCell):
            terminate_children(world, cell)  # none runs, unless its start was interrupted
        if cell.status is CellStatus.RESTARTING:
            world.report("terminated", cell, SHUTDOWN)
    put_down(cell, after)


def cancel_coming(world: World, cell: Cell) -> None:
    """Note that a child that is coming need not come; who has asked for it is told."""
    asked = world.outside.coming.pop(cell, None)
    if isinstance(asked, Asked):
        name = cell.spec.id
        asked.pending.fail(CalleeStopped(f"{name} was ended while it started", worker=name))


def finish_interrupted(world: World, cell: Cell) -> None:
    """End a child whose end was interrupted; the callback that ran then does not run again."""
    if isinstance(cell, SupervisorCell):
        terminate_supervisor(world, cell, cell.last_reason, cell.spec.shutdown_ms)
    elif isinstance(cell, WorkerCell):
        kill_worker(world, cell)
    elif isinstance(cell, RemoteCell):
        end_remote(world, cell, SHUTDOWN)


def put_down(cell: Cell, after: CellStatus = UNDEFINED) -> None:
    """Note that a child has no process any more, and gets none, or one with its siblings."""
    cell.status = after
    if cell.extra is not None:
        cell.extra.delay_until_s = None


def end_worker(
    world: World, cell: WorkerCell, reason: ExitReason, *, told: bool = False
) -> ExitReason:
    """Run `terminate` within its limit; the reason that is final in the end.

    An exception in `terminate` becomes the reason; time over is `killed`. A worker that is not
    `told` to end by its supervisor has at least the time of a step (in OTP: no limit).
    """
    if cell.status is CellStatus.ENDING or cell in world.begun:
        kill_worker(world, cell)
        return KILLED
    world.report("terminating", cell, ending(reason))
    behaviour = cell.behaviour
    if type(behaviour) is StateMachine and behaviour.terminate is None:
        world.report("terminated", cell, ending(reason))
        release(world, cell, reason)
        return reason
    try:
        reason = run_terminate(world, cell, reason, told=told)
    except BaseException:
        early_replies(world)
        if cell not in world.begun:
            run_terminate(world, cell, reason, told=told)
        end_begun(world)  # what was cut does not run again
        raise
    end_begun(world)  # until its supervisor, or whoever ended it, has seen it
    return reason


def end_begun(world: World) -> None:
    """Note that the workers whose `terminate` has run, or was cut, are ending."""
    for cell in world.begun:
        cell.status = CellStatus.ENDING
    world.begun.clear()


def run_terminate(world: World, cell: WorkerCell, reason: ExitReason, *, told: bool) -> ExitReason:
    """Run `terminate` within its limit, and let the worker go; it is in `World.begun` then.

    Raises:
        BaseException: from outside.
    """
    limit_s = cell.limit_s(TERMINATE)
    if not told:
        limit_s = max(limit_s, cell.limit_s(STEP))
    try:
        told_others = guarded(world.guard, cell, limit_s, terminate, world, cell, reason)
    except BaseException as error:
        if is_from_outside(world.guard, error):
            raise
        reason = ended_by(world, cell, error)  # whatever terminate raises is the new reason
        if world.history is not None:
            how = frameless(reason, said_by(world, cell, error))
            world.history.terminated(cell, Terminated(how))
        note_terminate(world, cell, reason, error, told=told)
        if isinstance(reason, Crash) and reason.kind == "step_timeout":
            kill_worker(world, cell)
            return KILLED
        early_replies(world)
        world.report("terminated", cell, failure(reason))
    else:
        early_replies(world)
        if world.history is not None:
            world.history.terminated(cell, Terminated(None, told_others))
        if told_others:
            apply_effects(world, cell, told_others, None)
        world.report("terminated", cell, ending(reason))
    release(world, cell, reason)
    return reason


def terminate(world: World, cell: WorkerCell, reason: ExitReason) -> Any:
    """Run `terminate` of a worker; nothing comes between that and the note that it has begun.

    Return what others are to be told.
    """
    finish = world.outside.finish
    ran = partial(finish, cell.behaviour, cell.spec.id, reason, cell.state)
    return world.begun.setdefault(cell, True) and ran()


def note_terminate(
    world: World, cell: WorkerCell, reason: ExitReason, error: BaseException, *, told: bool
) -> None:
    """Keep a note of an exception in `terminate`, beside that of the crash that it follows.

    Nobody decides about a worker that was `told` to end.
    """
    if not is_abnormal(reason):
        return
    extra = cell.ensure_extra()
    text = crash_text(reason) if isinstance(reason, Crash) else said_by(world, cell, error)
    note = CrashNote(
        world.reports.seq, world.clock.wall_s(), cell, AsText(),
        kept(cell, cell.state, MOST_VALUE_BYTES, partial(shown, world)),
        str(reason), type(error).__name__, text, places_of(error),
    )  # fmt: skip
    if told:
        note.decision = "terminate"
    else:
        note.before, extra.crash = extra.crash, note
    world.crashes.add(note)


def early_replies(world: World, since: int = 0) -> None:
    """Hand over what the callback that just ended answered through `Caller.reply`.

    `since` is how many replies there were when it began.
    """
    while len(world.outbox) > since:
        number, value = world.outbox[since]
        keeper = world.outside.keeper
        pending = world.callers.get(number)
        if pending is None:
            pass
        elif keeper is not None and keeper.now is not None:
            keeper.hold(pending, pending.resolve, value)
        else:
            pending.resolve(value)
        world.callers.pop(number, None)
        del world.outbox[since]


def kill_worker(world: World, cell: WorkerCell, reason: ExitReason = KILLED) -> None:
    """End a worker without a callback of its own."""
    cell.status = CellStatus.ENDING
    world.report("killed" if reason is KILLED else "terminated", cell, ending(reason))
    release(world, cell, reason)
    world.begun.pop(cell, None)


def release(world: World, cell: WorkerCell, reason: ExitReason) -> None:
    """Let go of all that a worker held: callers are answered, timers and settings forgotten."""
    cell.step = None
    cell.last_reason = reason
    part(world, cell, reason)
    kept = kept_of(cell)
    if kept is not None:
        lives.ended(world.outside.keeper, cell, kept, reason)
        cell.state = None
    elif not leave_to_next(world, cell, reason):
        cell.state = None
    extra = cell.extra
    if extra is None:
        return
    for number in extra.timers.values():
        world.timers.cancel(number)
    extra.timers.clear()
    cancel_runs(world, cell)
    stop_timeout(world, cell)
    extra.suspended = False
    extra.plan = Plan.DOWN
    answered = {*answered_calls(world, cell, kept)} if kept is not None else ()
    for pending in tuple(extra.callers.values()):
        if pending not in answered:
            pending.fail(callee_error(cell, reason))
        forget_caller(world, pending)
    break_links(world, cell, reason)
    extra.callers.clear()  # last, as below: what is interrupted is done again
    told = 0
    while told < len(extra.backlog):
        kind, message, call = extra.backlog[told]
        if isinstance(message, Caused):  # recorded: its next life gets it, in its turn
            told += 1
            continue
        if isinstance(call, Pending):
            call.fail(unstepped(callee_error(cell, reason)))
        else:
            no_process(world, cell, kind, message, None)
        del extra.backlog[told]
    release_held(world, cell)


def answered_calls(world: World, cell: WorkerCell, kept: Kept) -> Iterator[Pending]:
    """Yield the calls whose answers are being written; they have them then, if nothing sooner.

    They may be being written themselves.
    """
    deferred: dict[object, Pending] = {}
    own = [one for one in kept.unwritten if one.starts == cell.starts]
    for left, effect in [(one, effect) for one in own for effect in one.effects]:
        if isinstance(effect, Defer) and left.call is not None:
            with_key(world, cell, effect.key, deferred.__setitem__, left.call)
        if not isinstance(effect, Answer):
            continue
        call = call_kept(world, cell, effect.to)
        if call is None and not isinstance(effect.to, Caller):
            call = with_key(world, cell, effect.to, deferred.get, None)
        if isinstance(call, Pending):
            world.outside.keeper.hold(call, call.resolve, effect.output)
            for one in own:
                one.call = None if one.call is call else one.call
            yield call


def tell_failed(world: World, cell: WorkerCell, pending: Pending, reason: ExitReason) -> None:
    """Tell a caller that its callee ended; of a journalled one, once that is written."""
    error, kept = callee_error(cell, reason), kept_of(cell)
    if kept is not None and kept.journals:
        world.outside.keeper.hold(pending, pending.fail, error)
    else:
        pending.fail(error)


def terminate_supervisor(
    world: World, sup: SupervisorCell, reason: ExitReason, limit_ms: ShutdownTime
) -> None:
    """End a supervisor: its children in reverse order, then itself; time over is `killed`."""
    if limit_ms == "brutal_kill":
        kill_supervisor(world, sup)
        return
    sup.status, sup.last_reason = CellStatus.ENDING, reason
    if limit_ms == "infinity":
        terminate_children(world, sup)
    else:
        deadline_s = world.clock.now_s() + seconds(limit_ms)
        world.guard.push_deadline(deadline_s, partial(time_over, world, sup))
        try:
            terminate_children(world, sup)
        finally:
            world.guard.pop_deadline()
    sup.last_reason = KILLED if sup.overdue else reason
    if not sup.overdue:
        world.report("exited", sup, ending(reason))
    drop_requests(world, sup)


def time_over(world: World, sup: SupervisorCell) -> None:
    """The shutdown time of a supervisor is over: it is killed, if who would do that still lives."""
    if sup.parent is None or not sup.parent.overdue:
        mark_overdue(world, sup)


def mark_overdue(world: World, sup: SupervisorCell) -> None:
    """A supervisor is killed: it is gone, and what is left of it are orphans.

    One that it was just ending is an orphan, too, and goes on: nobody is there to cut it.
    """
    sup.overdue = True
    world.report("exited", sup, KILLED)
    ending_now = world.guard.cell
    if ending_now is not None and ending_now.parent is sup:
        world.guard.allow(ending_now.limit_s(STEP))


def kill_supervisor(world: World, sup: SupervisorCell) -> None:
    """A supervisor ends without a word; each of its children learns that its parent is gone."""
    sup.last_reason = KILLED
    sup.status = CellStatus.ENDING
    mark_overdue(world, sup)
    terminate_children(world, sup)
    drop_requests(world, sup)


def orphan(world: World, cell: Cell) -> None:
    """A child learns that its supervisor was killed: it ends on its own, with that reason."""
    if cell.status is CellStatus.RUNNING:
        if isinstance(cell, SupervisorCell):
            terminate_supervisor(world, cell, KILLED, "infinity")
        elif isinstance(cell, RemoteCell):
            end_remote(world, cell, KILLED)
        else:
            assert isinstance(cell, WorkerCell)
            end_worker(world, cell, KILLED)
    elif cell.status is CellStatus.ENDING:
        finish_interrupted(world, cell)
    put_down(cell)


def drop_requests(world: World, sup: SupervisorCell) -> None:
    """Have the requests that a supervisor did not get to end with its exit reason.

    What waited for it goes into the lane: each entry finds that it is gone.
    """
    if sup.extra is not None:
        sup.extra.suspended = False
        world.lane.extend(sup.extra.backlog)
        sup.extra.backlog.clear()

"""The lives of durable workers: what one begins with, what is left of it, what is set aside."""

from __future__ import annotations

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.reasons import Crash, ExitReason, Normal, Shutdown
from ssm_cli.behaviour.runs import Run
from ssm_cli.errors import StorageError, Unrecovered
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.runtime.durable.code import code_named, facts_of
from ssm_cli.runtime.durable.inputs import let_out
from ssm_cli.runtime.durable.keeper import Keeper, last_record, released, write_through
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.life import KINDS
from ssm_cli.runtime.durable.recorded import bring_recorded
from ssm_cli.runtime.durable.records import (
    ABSOLUTE_MS,
    Armed,
    Cause,
    Change,
    Exit,
    Source,
    Start,
)
from ssm_cli.runtime.durable.remedies import for_state
from ssm_cli.runtime.durable.snapshots import (
    ASIDE,
    STATE,
    Aside,
    Saved,
    Sent,
    number_key,
    pack,
    unpack,
)
from ssm_cli.runtime.durable.timeouts import timeout_read, timeout_written
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.bonds import leave_all
from ssm_cli.runtime.engine.cell import Cell, CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.entries import Caused, ContinueDue, SaveDue, StartAgain
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.engine.runs import ask_run, cancel_runs
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.reports import crash_text, error_detail
from ssm_cli.spec.model import OnCrash, OnUnrecoverable


def kept_of(cell: WorkerCell) -> Kept | None:
    """What is known of a worker whose state outlives it; None for all others."""
    return None if cell.extra is None else cell.extra.kept


def note_start(keeper: Keeper, cell: WorkerCell, kept: Kept, source: Source) -> None:
    """A worker runs: re-arm what an earlier process left, and record what it begins with.

    Raises:
        StorageError: its state cannot be written.
    """
    rearm(keeper.world, cell, kept)
    kept.inputs, kept.saved_at_s = 0, keeper.world.clock.now_s()
    if not kept.journals:
        kept.armed, kept.timeout = (), None
        kept.values.dump(cell.state)  # so that it can be saved is known from the start
        kept.recorded = kept.hash(cell.state)
        return
    begins_anew = source in {"init", "fallback"} or changes_state(kept)
    state = kept.values.dump(cell.state) if begins_anew else None
    token = continues(keeper.world, cell)
    record = Start(
        kept.worker,
        keeper.at_s(),
        cell.starts,
        source,
        state,
        kept.values.version,
        checkpoints.armed_of(keeper.world, cell, kept),
        timeout_written(cell.ensure_extra().timeout_after, kept.values.written),
        None if token is None else kept.values.written(token.message),
        kept.values.code,
        released(keeper),
        causes_waiting(keeper, cell),
        last_record(keeper),
    )
    seq = keeper.add(record, 0 if state is None else len(state))
    if token is not None:
        token.cause = (seq, -1)
    if begins_anew or not kept.recorded:
        kept.recorded = kept.hash(cell.state)
    kept.has, kept.dirty = True, True
    kept.armed, kept.timeout, cell.ensure_extra().left = (), None, ()
    bring_waiting(keeper, kept.worker)


def bring_waiting(keeper: Keeper, worker: str) -> None:
    """Have a start written, for which nobody waits, and bring what has waited for it."""
    keeper.hold(None, noop)
    if keeper.recovered.unsent.is_given:
        resume_sent(keeper, worker)


def causes_waiting(keeper: Keeper, cell: WorkerCell) -> tuple[Cause, ...]:
    """What durable workers have sent to one that starts, and it is still to be given."""
    queued = (message for who, _, message, _ in keeper.world.queue if who is cell)
    held = () if cell.extra is None else (message for _, message, _ in cell.extra.backlog)
    sent = {m.cause for m in (*queued, *held) if isinstance(m, Caused)}
    return tuple(sorted(sent | keeper.recovered.unsent.to(cell.spec.id)))


def noop() -> None:
    """Nothing waits for this, and it is written all the same."""


def changes_state(kept: Kept) -> bool:
    """Whether its code may begin with another state than the saved one."""
    behaviour = kept.behaviour
    if isinstance(behaviour, Callbacks):
        return type(behaviour).restore is not Callbacks.restore
    return behaviour.restore is not None


def rearm(world: World, cell: WorkerCell, kept: Kept) -> None:
    """Start the timers that the life before left, with what is left of their time, and its runs.

    One that `restore` has started in the meantime takes the place of that of its key. A wall clock
    that was set back or forth changes no timer by more than its own time, but for one that was set
    to an instant.
    """
    wall_s = world.clock.wall_s()
    for timer in kept.armed:
        if timer.function:
            ask_again(world, cell, kept, timer)
            continue
        if timer.key in cell.ensure_extra().timers:
            continue
        left_s = min(max(0.0, timer.due_s - wall_s), timer.after_ms / 1000)
        at_s = timer.due_s if timer.after_ms == ABSOLUTE_MS else None
        message: object = kept.values.read(timer.data, timer.cause[0] if timer.cause else 0)
        if timer.cause is not None:
            message = Caused(timer.cause, message)
        commit.start_timer(world, cell, timer.key, left_s, message, at_s=at_s)
    if kept.timeout is not None:
        commit.start_timeout(world, cell, timeout_read(kept.timeout, kept.values))


def ask_again(world: World, cell: WorkerCell, kept: Kept, asked: Armed) -> None:
    """Ask for a run that an earlier life has asked for, unless this one has by itself."""
    if asked.key in cell.ensure_extra().runs:
        return
    args = kept.values.read(asked.data, asked.cause[0] if asked.cause else 0)
    function = code_named(asked.function, facts_of(kept.behaviour).home)
    run = Run.of_fields(
        args, asked.key, function, timeout_ms=asked.after_ms, limit=max(1, asked.limit)
    )
    ask_run(world, cell, run, asked.cause, 0)


def continues(world: World, cell: WorkerCell) -> ContinueDue | None:
    """What its `init` wants to go on with, if it does."""
    token = world.queue[0][2] if world.queue and world.queue[0][0] is cell else None
    return token if isinstance(token, ContinueDue) and token.starts == cell.starts else None


def undo(world: World, cell: WorkerCell) -> None:
    """A start has failed after `init` had answered: nothing of what that asked for is left."""
    cell.status, cell.state, cell.step = CellStatus.UNDEFINED, None, None
    extra = cell.ensure_extra()
    for number in extra.timers.values():
        world.timers.cancel(number)
    extra.timers.clear()
    cancel_runs(world, cell)
    commit.stop_timeout(world, cell)
    leave_all(world, cell.spec.id)
    world.monitors.end(cell.spec.id)
    token = continues(world, cell)
    if token is not None:
        world.queue.popleft()


def ended(keeper: Keeper, cell: WorkerCell, kept: Kept, reason: ExitReason) -> None:
    """A worker has ended: what of its state, and of its timers, its next life begins with."""
    orderly = isinstance(reason, Normal | Shutdown)
    kept.has = kept.stays(reason)
    kept.last = cell.state if kept.has else None
    if kept.journals:
        if cell.status is CellStatus.ENDING or kept.is_as_recorded(cell.state):
            keeper.remember(cell, cell.ensure_extra().timeout_after)
        kept.dirty = True
        kept.armed = checkpoints.left_of(keeper, cell, kept) if kept.has else ()
        commit.leave_timers(keeper.world, cell, stays=kept.has)  # for forks
        keeper.add(Exit(kept.worker, keeper.at_s(), str(reason), kept.has, last_record(keeper)))
        if kept.has and not orderly:
            bring_recorded(keeper, cell, kept)
    elif orderly:
        save(keeper, cell, kept)
    elif kept.options.on_crash is OnCrash.SAVED or is_half_changed(kept):
        reread(keeper, kept)
    checkpoints.reopen(keeper.world, cell, kept)


def is_half_changed(kept: Kept) -> bool:
    """Whether what a crash has left of a state is known not to be what was there before."""
    return kept.has and bool(kept.recorded) and not kept.is_as_recorded(kept.last)


def save(keeper: Keeper, cell: WorkerCell, kept: Kept) -> None:
    """Save the state of a `persist: snapshot` worker with the next commit."""
    kept.inputs, kept.saved_at_s = 0, keeper.world.clock.now_s()
    was, kept.has = kept.has, True
    try:
        saved = kept.snapshot(keeper.at_s(), keeper.seq, cell.state, (), None)
    except StorageError as error:
        keeper.world.report("unsaved", cell, {"error": error_detail(error)})
        return
    finally:
        kept.has = was
    keeper.change(STATE + kept.worker, pack(saved))


def served(keeper: Keeper, cell: WorkerCell, kept: Kept) -> None:
    """A `persist: snapshot` worker has served an input: save its state if that is due."""
    now, keeper.now = keeper.now, None
    kept.inputs += 1
    data = b"" if now is None else now.data
    kept.succeeded(data, kept.recorded)
    let_out(keeper, kept, data)
    kept.dirty = False  # it has no records
    if kept.is_due(keeper.world.clock.now_s()):
        save(keeper, cell, kept)
    elif kept.options.save_seconds is not None and not kept.timed:
        kept.timed = True
        due_s = kept.saved_at_s + kept.options.save_seconds
        keeper.world.timers.start(due_s, SaveDue(cell, cell.starts))


def save_unserved(keeper: Keeper, due: SaveDue) -> None:
    """Save a state that no later input has saved in its time."""
    cell, kept = due.cell, kept_of(due.cell)
    if kept is None:
        return
    kept.timed = False
    if cell.starts == due.starts and cell.status is CellStatus.RUNNING and kept.inputs:
        save(keeper, cell, kept)


def reread(keeper: Keeper, kept: Kept) -> None:
    """Let the next life of a worker begin with what is saved of it, if anything is."""
    keeper.commit()
    kept.has, kept.last = False, None
    key = STATE + kept.worker
    data = keeper.store.get(key)
    if data is None:
        return
    saved = unpack(key, data, Saved)
    revived = kept.values.revive(saved.state, saved.code(), saved.written())
    kept.has, kept.last, kept.recorded = True, revived, b""


def replace(keeper: Keeper, cell: WorkerCell, kept: Kept, state: object, how: str) -> None:
    """Put another state in the place of a durable worker's; a history calls that `how`.

    Raises:
        StorageError: it cannot be written; the state stays.
    """
    data = kept.values.dump(state)
    if not kept.journals:
        cell.state = state
        return
    keeper.commit()  # what waits is not to fail with this
    keeper.remember(cell, cell.ensure_extra().timeout_after)
    kept.dirty, kept.resync = True, False
    told = kept.values.code, last_record(keeper), how, keeper.world.outside.asker
    keeper.add(Change(kept.worker, keeper.at_s(), data, *told), len(data))
    cell.state, kept.recorded = state, b""
    replan(cell)
    error = write_through(keeper)
    if error is not None:
        raise error


def restarts_of(cell: WorkerCell) -> int:
    """How often its supervisor would restart a worker within its period."""
    return 0 if cell.parent is None else cell.parent.spec.intensity


def try_anew(kept: Kept) -> None:
    """A worker is to start that was given up while it has its state: somebody asks for it."""
    if kept.trouble is not None and kept.has:
        kept.trouble, kept.tries, kept.failures = None, 0, 0


def try_later(world: World, cell: WorkerCell, kept: Kept, reason: ExitReason) -> bool:
    """Have a start that failed tried again: as often as its supervisor would, over its period.

    Returns False once it was tried as often; it cannot go on then.
    """
    kept.tries += 1
    if kept.tries > restarts_of(cell):
        why = cause_of(reason)
        kept.trouble = unrecovered(world.outside.keeper, cell, why, kept.tries)
        return False
    period_s = 0.0 if cell.parent is None else cell.parent.spec.period_s
    due_s = world.clock.now_s() + period_s / restarts_of(cell)
    world.timers.start(due_s, StartAgain(cell, cell.starts))
    return True


def is_given_up(keeper: Keeper, cell: WorkerCell, kept: Kept) -> bool:
    """Whether a worker cannot go on with its state, tried often enough, and is to be down.

    With `on_unrecoverable: init` what is stored of it is set aside, and it is to begin anew.
    Nothing is deleted: `ssm data` lists what was set aside, and can put it back.
    """
    if kept.trouble is None and kept.has and kept.failures >= max(1, restarts_of(cell)):
        why = "its own timers and continues crash it before it has served anything"
        kept.trouble = unrecovered(keeper, cell, why, kept.failures)
    if kept.trouble is None or kept.options.on_unrecoverable is not OnUnrecoverable.INIT:
        return kept.trouble is not None
    number = keeper.next_number()
    state = aside_of(keeper, kept)
    aside = Aside(number, kept.worker, keeper.at_s(), str(kept.trouble), state)
    keeper.change(number_key(ASIDE, number), pack(aside))
    if not kept.journals and state is not None:
        keeper.change(STATE + kept.worker, None)  # it has moved, and is not to fail another start
    keeper.world.report("fell_back", cell, {"number": number, "why": str(kept.trouble)})
    kept.has, kept.last, kept.trouble, kept.failures, kept.tries = False, None, None, 0, 0
    kept.armed, kept.timeout = (), None
    return False


def unrecovered(keeper: Keeper, cell: WorkerCell, why: str, times: int) -> Unrecovered:
    """Why a worker is down that failed as often as its supervisor would restart it."""
    worker, store = cell.spec.id, keeper.store
    return Unrecovered(
        f"{worker} does not start (restore): {why} ({times} times). All of it is kept in "
        f"{store.where()}: mend its code and restart it, or {for_state(store, worker)}",
        worker=worker, reason="restore",
    )  # fmt: skip


def is_withheld(cell: Cell) -> bool:
    """Whether a worker is down, as it cannot go on with what is stored of it."""
    kept = kept_of(cell) if isinstance(cell, WorkerCell) else None
    down = kept is not None and (kept.trouble is not None or kept.tries > 0)
    return down and cell.status is CellStatus.UNDEFINED


def why_withheld(cell: Cell) -> StorageError:
    """Why a worker is not started that cannot go on with what is stored of it."""
    kept, name = kept_of(cell) if isinstance(cell, WorkerCell) else None, cell.spec.id
    if kept is None or kept.trouble is None:
        return StorageError(
            f"{name} does not start with what is stored of it, as the log tells; it is tried again"
        )
    known = kept.trouble
    return Unrecovered(str(known), worker=name, reason=known.reason, record=known.record)


def cause_of(reason: ExitReason) -> str:
    """Why a start failed, in a line."""
    if isinstance(reason, Crash):
        return f"{type(reason.error).__name__}: {crash_text(reason)}"
    return str(reason)


def aside_of(keeper: Keeper, kept: Kept) -> Saved | None:
    """What is set aside of a worker: as it was in memory, else as it is stored."""
    if kept.has:
        try:
            return kept.snapshot(keeper.at_s(), keeper.seq, kept.last, kept.armed, None)
        except StorageError:
            pass  # what is stored is the next best, and what the start has failed on
    return keeper.recovered.set_aside(kept.worker, keeper.at_s())


def resume_sent(keeper: Keeper, worker: str = "") -> None:
    """Put into the queue what durable workers had sent to durable workers: the tree is up.

    Or to one `worker` alone, which has come up by now. What is for one that is down and may come up
    goes on waiting.
    """
    world, unsent = keeper.world, keeper.recovered.unsent
    for sent in sorted(unsent, key=lambda one: one.cause):
        cell = world.names.get(sent.to)
        waits = sent.to in keeper.recovered.troubles if cell is None else is_withheld(cell)
        if not waits and sent.to == (worker or sent.to):
            give_sent(keeper, cell, sent)
            unsent.served(sent.cause)
    unsent.is_given = True


def give_sent(keeper: Keeper, cell: Cell | None, sent: Sent) -> None:
    """Put what was sent to a worker into the queue, or report it as dropped."""
    world, cause = keeper.world, Caused(sent.cause, None)
    kept = kept_of(cell) if isinstance(cell, WorkerCell) else None
    if not isinstance(cell, WorkerCell) or kept is None or not kept.journals:
        world.drop(world.root, sent.to, sent.how, "not running", cause)
        return
    try:
        read, limit_s = kept.values.read, cell.step_limit_s()
        message = guarded(world.guard, cell, limit_s, read, sent.data, sent.cause[0])
    except BaseException as error:
        if is_from_outside(world.guard, error):
            raise
        world.drop(cell, sent.to, sent.how, f"undecodable ({type(error).__name__})", cause)
        return
    if sent.how == "continue":
        token = ContinueDue(cell.starts, message, sent.cause)
        world.queue.appendleft((cell, KINDS[sent.how], token, None))
    else:
        world.queue.append((cell, KINDS[sent.how], Caused(sent.cause, message), None))

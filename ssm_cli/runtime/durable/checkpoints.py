"""Checkpoints: saving states beside the journal, and forgetting records that are in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.effects import CancelTimer, StartTimer
from ssm_cli.behaviour.runs import CancelRun, Run
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.keeper import Keeper, last_record
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.life import armed_run
from ssm_cli.runtime.durable.records import ABSOLUTE_MS, Armed, How, due_at
from ssm_cli.runtime.durable.snapshots import (
    HEAD,
    SENT,
    STATE,
    Head,
    Mark,
    Saved,
    Sent,
    Underway,
    pack,
)
from ssm_cli.runtime.durable.timeouts import timeout_written
from ssm_cli.runtime.engine.backlog import release_held
from ssm_cli.runtime.engine.cell import Cell, CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.entries import Caused, ContinueDue, TimerDue
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import error_detail

MOST_MARKS = 256  # places at which history can be cut off
SLICE_S = 0.001  # of a checkpoint, between two commits

Waits = tuple[WorkerCell, Kind, Any]


class Pass:
    """A checkpoint under way: states are saved slice by slice, and the head at the end.

    Each state is saved as it stands then, and says by its `seq` what is in it. The head is of the
    moment when the pass began: a recovery reads the journal from there, and steps of each worker
    what is behind its own `seq`. So what is under way between workers is written with each slice.

    Attributes:
        mark: the entry, the record and the chain value that it began at.
        left: the workers whose states are still to be saved.
        writing: those whose states are on their way to the store; nothing else is meanwhile.
        sent, crashes: of the head.
        error: why it was given up, if it was.
    """

    __slots__ = ("at_s", "crashes", "error", "left", "mark", "sent", "writing")

    def __init__(self, keeper: Keeper, left: list[Kept]) -> None:
        self.error: StorageError | None = None
        self.at_s = keeper.at_s()
        self.mark = Mark(keeper.entry, keeper.seq, keeper.chain)
        self.left = left
        self.writing: list[Kept] = []
        self.sent = tuple(sent_of(keeper, [*waiting_inputs(keeper)]))
        self.crashes = {k.worker: dict(k.crashes) for k in keeper.kept.values() if k.crashes}


def attempt(keeper: Keeper) -> None:
    """Begin a checkpoint, or go on with the one under way, for a slice."""
    advance_saving(keeper, SLICE_S)


def attempt_all(keeper: Keeper) -> StorageError | None:
    """Write a whole checkpoint of what there is now; why that could not be written."""
    leave_off(keeper)
    return advance_saving(keeper, math.inf)


def leave_off(keeper: Keeper) -> None:
    """Have the next checkpoint save anew what the one under way may not have saved."""
    if keeper.saving is not None:
        for kept in keeper.saving.writing:
            kept.dirty = True
        keeper.saving = None


def advance_saving(keeper: Keeper, limit_s: float) -> StorageError | None:
    """Save states of journalled workers that have changed for about so long, all in the end.

    Called when nothing is being written. A state that cannot be written is reported; its records
    stay, and with them all later ones. Returns why it was given up.
    """
    try:
        if keeper.saving is None:
            changed = [kept for kept in keeper.kept.values() if kept.is_to_be_saved()]
            if keeper.seq == keeper.head_seq and not changed:
                return None
            keeper.saving = Pass(keeper, changed)
        under = keeper.saving
        if not under.writing:
            write_slice(keeper, under, keeper.world.clock.now_s() + limit_s)
    except StorageError as error:
        keeper.world.report("unsaved", keeper.world.root, {"error": error_detail(error)})
        give_up(keeper)
        return error
    except BaseException:  # from outside
        leave_off(keeper)
        raise
    given_up: StorageError | None = under.error
    return given_up


def give_up(keeper: Keeper) -> None:
    """Try again after as many records as before."""
    keeper.saving, keeper.head_seq = None, keeper.seq


def write_slice(keeper: Keeper, under: Pass, until_s: float) -> None:
    """Save some of the states; with the last of them the head, and what is old is forgotten.

    Raises:
        StorageError: what waits, or a state that nobody has asked for, cannot be written.
    """
    waiting = [*waiting_inputs(keeper)]
    states = states_until(keeper, under, run_out(keeper, waiting), until_s)
    if states is None:
        give_up(keeper)
        return
    changes: dict[str, bytes | None] = {**states}
    as_begun = not under.left and keeper.seq == under.mark.seq  # the head says it all
    sent = () if as_begun else tuple(sent_of(keeper, waiting))
    if sent or keeper.has_sent:
        changes[SENT] = pack(Underway(sent))
        keeper.has_sent = True
    done = partial(slice_done, keeper, under)
    if not under.left:
        done = partial(head_done, keeper, under, *last_of(keeper, under, changes))
    keeper.store.put(changes, done)


def states_until(
    keeper: Keeper, under: Pass, overdue: dict[int, list[Armed]], until_s: float
) -> dict[str, bytes] | None:
    """The cells of the next states; None where one cannot be written, which is reported."""
    world, found = keeper.world, dict[str, bytes]()
    while under.left:
        kept = under.left.pop()
        cell = world.names.get(kept.worker)
        try:
            found[STATE + kept.worker] = pack(snapshot(keeper, kept, cell, overdue))
        except StorageError as error:
            about = cell if isinstance(cell, WorkerCell) else world.root
            world.report("unsaved", about, {"error": error_detail(error)})
            under.error = error
            for one in under.writing:
                one.dirty = True
            return None
        under.writing.append(kept)
        kept.dirty = False
        if world.clock.now_s() >= until_s:
            break
    return found


def last_of(
    keeper: Keeper, under: Pass, changes: dict[str, bytes | None]
) -> tuple[dict[str, bytes | None], int, list[Mark]]:
    """Add the head to what is written, and what else belongs to it.

    Returns:
        The answers that are in it, up to which entry the journal may be forgotten, and its marks.
    """
    marks, upto = thinned([*keeper.marks, under.mark]), 0
    try:
        upto, marks = forgettable(keeper, marks)
    except StorageError as error:  # the size of the store is not known, so nothing is forgotten
        keeper.failed(error)
    answers = keeper.sessions.changes()
    for tail in keeper.recovered.tails(keeper.at_s()):
        changes[STATE + tail.worker] = pack(tail)
    changes |= answers
    changes[HEAD] = pack(head(keeper, under, marks))
    return answers, upto, marks


def slice_done(keeper: Keeper, under: Pass, error: StorageError | None) -> None:
    """Some of the states are saved, or cannot be."""
    saved, under.writing = under.writing, []
    if error is None:
        return
    under.error = error
    for kept in saved:
        kept.dirty = True
    if keeper.saving is under:
        give_up(keeper)
    keeper.failed(error)


def head_done(  # noqa: PLR0917 - the first are bound ahead
    keeper: Keeper,
    under: Pass,
    answers: dict[str, bytes | None],
    upto: int,
    marks: list[Mark],
    error: StorageError | None,
) -> None:
    """The last of the states and the head are saved, or cannot be."""
    slice_done(keeper, under, error)
    if error is not None:
        return
    keeper.marks, keeper.head_seq = marks, under.mark.seq
    if keeper.saving is under:
        keeper.saving = None
    keeper.sessions.stored(answers)
    keeper.recovered.tails_saved()
    try:
        if upto:
            keeper.store.trim(upto)
    except StorageError as failed:  # the head is written, and history is longer than it need be
        keeper.failed(failed)


def head(keeper: Keeper, under: Pass, marks: list[Mark]) -> Head:
    """What a recovery will begin with."""
    first = keeper.store.first()
    tailed = tuple(worker for worker, tail in keeper.recovered.tailed.items() if tail.records)
    begins = {m for m in (*keeper.recovered.head.before, *keeper.marks[:1]) if m.entry == first - 1}
    return Head(
        under.mark.entry, under.mark.chain, under.mark.seq, under.at_s, tuple(marks),
        under.sent, under.crashes, keeper.number, tailed, tuple(begins),
        last_record(keeper),
    )  # fmt: skip


def snapshot(
    keeper: Keeper, kept: Kept, cell: Cell | None, overdue: dict[int, list[Armed]]
) -> Saved:
    """The state of a worker as it stands, running or not; raises `StorageError`.

    `overdue` are the timers that have run out, by the identity of their cells.
    """
    at_s, seq = keeper.at_s(), keeper.seq
    if not isinstance(cell, WorkerCell) or cell.status is not CellStatus.RUNNING:
        return kept.snapshot(at_s, seq, kept.last, kept.armed, kept.timeout)
    kept.has = True
    timers = (*overdue.get(id(cell), ()), *armed_of(keeper.world, cell, kept))
    timeout = timeout_written(cell.ensure_extra().timeout_after, kept.values.written)
    return kept.snapshot(at_s, seq, cell.state, timers, timeout)


def armed_of(world: World, cell: WorkerCell, kept: Kept) -> tuple[Armed, ...]:
    """The timers of a worker that are under way, and its runs."""
    if cell.extra is None or not (cell.extra.timers or cell.extra.runs):
        return ()
    now_s = world.clock.now_s()
    shift_s = world.clock.wall_s() - now_s
    found = map(world.timers.find, cell.extra.timers.values())
    timers = (
        armed(kept, timer, due_s + shift_s, max(0.0, due_s - now_s) * 1000)
        for due_s, timer in filter(None, found)
    )
    written, at_s = kept.values.written, world.clock.wall_s()
    runs = (
        armed_run(asked.run, at_s, written(asked.run.args), asked.cause)
        for asked in cell.extra.runs.values()
    )
    return (*timers, *runs)


def left_of(keeper: Keeper, cell: WorkerCell, kept: Kept) -> tuple[Armed, ...]:
    """The timers and runs of a worker that ends: those under way, and those not written yet."""
    found = {one.slot(): one for one in armed_of(keeper.world, cell, kept)}
    wall_s, written = keeper.world.clock.wall_s(), kept.values.written
    for effect in [effect for left in kept.unwritten for effect in left.effects]:
        match effect:
            case StartTimer(key, ms, Caused(cause, message), absolute):
                due_s, after_ms = due_at(wall_s, ms, absolute=absolute)
                found[False, key] = Armed(key, due_s, after_ms, written(message), cause)
            case CancelTimer(key):
                found.pop((False, key), None)
            case Caused(cause, Run() as run):
                found[True, run.key] = armed_run(run, wall_s, written(run.args), cause)
            case CancelRun(key):
                found.pop((True, key), None)
    return tuple(found.values())


def run_out(keeper: Keeper, waiting: list[Waits]) -> dict[int, list[Armed]]:
    """The timers that have run out and still wait, by the identity of their cells."""
    found: dict[int, list[Armed]] = {}
    for cell, _, message in waiting:
        kept = cell.ensure_extra().kept
        if isinstance(message, TimerDue) and kept.journals and alive(cell) and counts(message):
            one = armed(kept, message, keeper.world.clock.wall_s(), 0.0)
            found.setdefault(id(cell), []).insert(0, one)
    return found


def counts(timer: TimerDue) -> bool:
    """Return whether a timer that has run out is not void."""
    extra = timer.cell.extra
    if timer.starts != timer.cell.starts:
        return False
    return not timer.number or (extra is not None and extra.timers.get(timer.key) == timer.number)


def armed(kept: Kept, timer: TimerDue, due_s: float, after_ms: float) -> Armed:
    """Return a timer as it is written, with the record that has started it."""
    if timer.at_s is not None:
        due_s, after_ms = timer.at_s, ABSOLUTE_MS
    return Armed(timer.key, due_s, after_ms, kept.values.written(timer.message), timer.cause)


def waiting_inputs(keeper: Keeper) -> Iterator[Waits]:
    """The inputs of durable workers that wait: in the queue, or put off."""
    for cell, kind, message, _ in keeper.world.queue:
        if cell.extra is not None and cell.extra.kept is not None:
            yield cell, kind, message
    for held in [*keeper.waits]:
        extra = held.extra
        if extra is None or not extra.backlog:
            del keeper.waits[held]
            continue
        for kind, message, _ in extra.backlog:
            yield held, kind, message


def sent_of(keeper: Keeper, waiting: list[Waits]) -> Iterator[Sent]:
    """What durable workers have sent to durable workers, and is still to be served.

    `waiting` are the inputs that wait. What is for a worker that has ended waits, too, as that may
    start again; what that one itself wanted to go on with does not.
    """
    for cell, kind, message in waiting:
        kept: Kept = cell.ensure_extra().kept
        how: How = "info" if kind is Kind.INFO else "cast"
        if isinstance(message, Caused):
            yield Sent(message.cause, kept.worker, how, kept.values.written(message.message))
        elif isinstance(message, ContinueDue) and message.cause and goes_on(cell, message):
            yield Sent(message.cause, kept.worker, "continue", kept.values.written(message.message))
    yield from keeper.recovered.unsent


def alive(cell: Cell) -> bool:
    """Whether it runs."""
    return cell.status is CellStatus.RUNNING


def goes_on(cell: Cell, token: ContinueDue) -> bool:
    """Whether the life that wanted to go on with something still lasts."""
    return alive(cell) and token.starts == cell.starts


def forgettable(keeper: Keeper, marks: list[Mark]) -> tuple[int, list[Mark]]:
    """Up to which entry the journal may be forgotten (0: none), and the marks that are left.

    History goes as `keep_records` says, and all of it where the journal is larger than it may be;
    what has come since the last saved states but one stays.
    """
    spec = keeper.world.root.spec
    oldest = keeper.seq - spec.keep_records
    if keeper.store.size_bytes() > spec.journal_mb * 1_000_000:
        oldest = keeper.seq
    upto = max((mark.entry for mark in marks[:-1] if mark.seq <= oldest), default=0)
    return upto, [mark for mark in marks if mark.entry >= upto]


def thinned(marks: list[Mark]) -> list[Mark]:
    """The marks, or every second of them where they are too many; the first and last stay."""
    if len(marks) <= MOST_MARKS:
        return marks
    return [*marks[:-1:2], marks[-1]]


def drop_sent(world: World, after: int) -> None:
    """Take out of the queue what records with a greater number have sent: they do not count."""
    queue = world.queue
    for index in reversed(range(len(queue))):
        token = queue[index][2]
        cause = token.cause if isinstance(token, Caused | ContinueDue) else None
        if cause is not None and cause[0] > after:
            del queue[index]


def reopen(world: World, cell: WorkerCell, kept: Kept) -> None:
    """Serve what has waited for the end of a worker, which has ended, or does not after all."""
    if kept.closing:
        kept.closing = False
        if not cell.suspended:
            replan(cell)
            release_held(world, cell)

"""Checkpoints: saving states beside the journal, and forgetting records that are in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.keeper import Keeper
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.records import Armed, How
from ssm_cli.runtime.durable.snapshots import HEAD, STATE, Head, Mark, Saved, Sent, pack
from ssm_cli.runtime.engine.backlog import release_held
from ssm_cli.runtime.engine.cell import Cell, CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.entries import Caused, ContinueDue, TimerDue
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import error_detail

MOST_MARKS = 256  # places at which history can be cut off


def attempt(keeper: Keeper) -> None:
    """Write a checkpoint; if the store fails, that is dealt with as for an entry."""
    try:
        write(keeper)
    except StorageError as error:
        keeper.head_seq = keeper.seq  # try again after as many records as before
        keeper.failed(error)


def write(keeper: Keeper) -> None:
    """Save the states of the journalled workers that have changed, then forget old records.

    Called when nothing is being written. A state that cannot be written is reported; its records
    stay, and with them all later ones.
    """
    saved = [kept for kept in keeper.kept.values() if kept.journals and kept.dirty]
    if keeper.seq == keeper.head_seq and not saved:
        return
    found = states_of(keeper, saved)
    if found is None:
        keeper.head_seq = keeper.seq  # try again after as many records as before
        return
    states, sent = found
    changes: dict[str, bytes | None] = {**states}
    marks = thinned([*keeper.marks, Mark(keeper.entry, keeper.seq, keeper.chain)])
    upto, marks = forgettable(keeper, marks)
    answers = keeper.sessions.changes()
    changes |= answers
    changes[HEAD] = pack(head(keeper, marks, sent))

    was = keeper.marks, keeper.head_seq
    try:
        for kept in saved:
            kept.dirty = False
        keeper.marks, keeper.head_seq = marks, keeper.seq
        keeper.store.put(changes, partial(done, keeper, saved, answers, upto))
    except BaseException:  # from outside: it may not be saved, and is saved again
        keeper.marks, keeper.head_seq = was
        for kept in saved:
            kept.dirty = True
        raise


def done(
    keeper: Keeper,
    saved: list[Kept],
    answers: dict[str, bytes | None],
    upto: int,
    error: StorageError | None,
) -> None:
    """A checkpoint is written, and history up to an entry may be forgotten; or it cannot be."""
    if error is not None:
        for kept in saved:
            kept.dirty = True
        keeper.failed(error)
        return
    keeper.sessions.stored(answers)
    keeper.recovered.tails_saved()
    try:
        if upto:
            keeper.store.trim(upto)
    except StorageError as failed:  # the head is written, and history is longer than it need be
        keeper.failed(failed)


def states_of(
    keeper: Keeper, changed: list[Kept]
) -> tuple[dict[str, bytes], tuple[Sent, ...]] | None:
    """The cells with the states of these workers, and what is under way between them.

    None where something cannot be written; a report says what.
    """
    world, found = keeper.world, dict[str, bytes]()
    about: Cell = world.root
    try:
        timers = timers_of(keeper)
        sent = tuple(sent_of(keeper))
        for tail in keeper.recovered.tails(keeper.at_s()):
            found[STATE + tail.worker] = pack(tail)
        for kept in changed:
            cell = world.names.get(kept.worker)
            about = cell if isinstance(cell, WorkerCell) else world.root
            found[STATE + kept.worker] = pack(snapshot(keeper, kept, cell, timers))
    except StorageError as error:
        world.report("unsaved", about, {"error": error_detail(error)})
        return None
    return found, sent


def head(keeper: Keeper, marks: list[Mark], sent: tuple[Sent, ...]) -> Head:
    """What a recovery will begin with."""
    crashes = {k.worker: dict(k.crashes) for k in keeper.kept.values() if k.crashes}
    first = keeper.store.first()
    begins = {m for m in (*keeper.recovered.head.before, *keeper.marks[:1]) if m.entry == first - 1}
    return Head(
        keeper.entry, keeper.chain, keeper.seq, keeper.at_s(), tuple(marks),
        sent, crashes, keeper.number, keeper.recovered.tailed(), tuple(begins),
    )  # fmt: skip


def snapshot(
    keeper: Keeper, kept: Kept, cell: Cell | None, timers: dict[int, list[Armed]]
) -> Saved:
    """The state of a worker as it stands, running or not; raises `StorageError`."""
    at_s, seq = keeper.at_s(), keeper.seq
    if not isinstance(cell, WorkerCell) or cell.status is not CellStatus.RUNNING:
        return kept.snapshot(at_s, seq, kept.last, kept.armed, kept.timeout_ms)
    kept.has = True
    timeout_ms = cell.ensure_extra().timeout_ms
    return kept.snapshot(at_s, seq, cell.state, tuple(timers.get(id(cell), ())), timeout_ms)


def timers_of(keeper: Keeper) -> dict[int, list[Armed]]:
    """The timers under way of journalled workers, by the identity of their cells."""
    world, found = keeper.world, dict[int, list[Armed]]()
    shift_s = world.clock.wall_s() - world.clock.now_s()
    for due_s, _, timer in world.timers.waiting():
        if isinstance(timer, TimerDue):
            cell = timer.cell
            kept = None if cell.extra is None else cell.extra.kept
            if kept is not None and kept.journals and cell.starts == timer.starts:
                after_ms = max(0.0, due_s - world.clock.now_s()) * 1000
                one = armed(kept, timer, due_s + shift_s, after_ms)
                found.setdefault(id(cell), []).append(one)
    for cell, _, message in waiting_inputs(keeper):  # those that have run out, and still wait
        kept = cell.ensure_extra().kept
        if isinstance(message, TimerDue) and kept.journals and alive(cell) and counts(message):
            one = armed(kept, message, world.clock.wall_s(), 0.0)
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
    return Armed(timer.key, due_s, after_ms, kept.values.written(timer.message), timer.cause)


def waiting_inputs(keeper: Keeper) -> Iterator[tuple[WorkerCell, Kind, Any]]:
    """The inputs of durable workers that wait: in the queue, or put off."""
    for cell, kind, message, _ in keeper.world.queue:
        if cell.extra is not None and cell.extra.kept is not None:
            yield cell, kind, message
    for kept in keeper.kept.values():
        held = keeper.world.names.get(kept.worker)
        if isinstance(held, WorkerCell) and held.extra is not None:
            for kind, message, _ in held.extra.backlog:
                yield held, kind, message


def sent_of(keeper: Keeper) -> Iterator[Sent]:
    """What durable workers have sent to durable workers, and is still to be served.

    It waits for a worker that has ended, too, which may start again; what that one itself wanted
    to go on with does not.
    """
    for cell, kind, message in waiting_inputs(keeper):
        kept: Kept = cell.ensure_extra().kept
        how: How = "info" if kind is Kind.INFO else "cast"
        if isinstance(message, Caused):
            yield Sent(message.cause, kept.worker, how, kept.values.written(message.message))
        elif isinstance(message, ContinueDue) and message.cause and goes_on(cell, message):
            yield Sent(message.cause, kept.worker, "continue", kept.values.written(message.message))
    yield from keeper.recovered.unsent()


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

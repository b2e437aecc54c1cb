"""Checkpoints: saving states beside the journal, and forgetting records that are in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.format.records import Armed, How
from ssm_cli.runtime.durable.format.snapshots import HEAD, STATE, Head, Mark, Saved, Sent, pack
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import Cell, Status, WorkerCell
from ssm_cli.runtime.engine.commit import ContinueToken, SentToken
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.reports import error_detail

if TYPE_CHECKING:
    from ssm_cli.runtime.durable.keeper import Keeper

MOST_MARKS = 256  # places at which history can be cut off


def write(keeper: Keeper) -> None:
    """Save the states of the journalled workers that have changed, then forget old records.

    Called when nothing is being written. A state that cannot be written is reported; its records
    stay, and with them all later ones.
    """
    saved = [kept for kept in keeper.kept.values() if kept.journals and kept.dirty]
    if keeper.seq == keeper.head_seq and not saved:
        return
    states = states_of(keeper, saved)
    if states is None:
        keeper.head_seq = keeper.seq  # try again after as many records as before
        return
    changes: dict[str, bytes | None] = {**states}
    for tail in keeper.recovered.tails(keeper.at_s()):
        changes[STATE + tail.worker] = pack(tail)
    marks = thinned([*keeper.marks, Mark(keeper.entry, keeper.seq, keeper.chain)])
    upto, marks = forgettable(keeper, marks)
    answers = keeper.sessions.changes()
    changes |= answers
    changes[HEAD] = pack(head(keeper, marks))

    def done(error: StorageError | None) -> None:
        if error is not None:
            for kept in saved:
                kept.dirty = True
            keeper.failed(error)
            return
        keeper.sessions.stored(answers)
        keeper.recovered.tails_saved()
        if upto:
            keeper.store.trim(upto)

    for kept in saved:
        kept.dirty = False
    keeper.marks, keeper.head_seq = marks, keeper.seq
    keeper.store.put(changes, done)


def states_of(keeper: Keeper, changed: list[Kept]) -> dict[str, bytes] | None:
    """The cells with the states of these workers; None where one cannot be written."""
    core, found = keeper.core, {}
    armed = timers_of(core)
    for kept in changed:
        cell = core.names.get(kept.worker)
        try:
            found[STATE + kept.worker] = pack(snapshot(keeper, kept, cell, armed))
        except StorageError as error:
            failed = cell if isinstance(cell, WorkerCell) else core.root
            core.report("unsaved", failed, {"error": error_detail(error)})
            return None
    return found


def head(keeper: Keeper, marks: list[Mark]) -> Head:
    """What a recovery will begin with."""
    crashes = {k.worker: dict(k.crashes) for k in keeper.kept.values() if k.crashes}
    return Head(
        keeper.entry, keeper.chain, keeper.seq, keeper.at_s(), tuple(marks),
        tuple(sent_of(keeper)), crashes, keeper.number,
    )  # fmt: skip


def snapshot(keeper: Keeper, kept: Kept, cell: Cell | None, armed: dict[int, list[Armed]]) -> Saved:
    """The state of a worker as it stands, running or not; raises `StorageError`."""
    at_s, seq = keeper.at_s(), keeper.seq
    if not isinstance(cell, WorkerCell) or cell.status is not Status.RUNNING:
        return kept.snapshot(at_s, seq, kept.last, kept.armed, kept.timeout_ms)
    kept.has = True
    timeout_ms = cell.more().timeout_ms
    return kept.snapshot(at_s, seq, cell.state, tuple(armed.get(id(cell), ())), timeout_ms)


def timers_of(core: Core) -> dict[int, list[Armed]]:
    """The timers under way of journalled workers, by the identity of their cells."""
    found: dict[int, list[Armed]] = {}
    shift_s = core.clock.wall_s() - core.clock.now_s()
    for due_s, _, function, args in core.timers.waiting():
        if function is commit.on_timer:
            cell, starts, key, message = args[1:]
            kept = None if cell.extra is None else cell.extra.kept
            if kept is not None and kept.journals and cell.starts == starts:
                after_ms = max(0.0, due_s - core.clock.now_s()) * 1000
                timer = Armed(key, due_s + shift_s, after_ms, kept.written(message))
                found.setdefault(id(cell), []).append(timer)
    return found


def sent_of(keeper: Keeper) -> Iterator[Sent]:
    """What durable workers have sent to durable workers, and is still in the queue."""
    for cell, kind, message, _ in keeper.core.queue:
        kept = None if cell.extra is None else cell.extra.kept
        if kept is None or not isinstance(message, SentToken | ContinueToken):
            continue
        if message.cause is not None:
            how: How = "continue" if isinstance(message, ContinueToken) else "cast"
            how = "info" if kind is Kind.INFO else how
            yield Sent(message.cause, kept.worker, how, kept.written(message.message))
    yield from keeper.recovered.unsent()


def forgettable(keeper: Keeper, marks: list[Mark]) -> tuple[int, list[Mark]]:
    """Up to which entry the journal may be forgotten (0: none), and the marks that are left.

    History goes as `keep_records` says, and all of it where the journal is larger than it may be;
    what has come since the last saved states but one stays.
    """
    spec = keeper.core.root.spec
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


def drop_sent(core: Core, after: int) -> None:
    """Take out of the queue what records with a greater number have sent: they do not count."""
    stale = [
        entry
        for entry in core.queue
        if isinstance(entry[2], SentToken | ContinueToken)
        and entry[2].cause is not None
        and entry[2].cause[0] > after
    ]
    for entry in stale:
        core.queue.remove(entry)


def reopen(core: Core, kept: Kept) -> None:
    """A worker does not end after all, or has ended: what waited for that is served."""
    kept.closing = False
    waiting, kept.waiting = kept.waiting, []
    core.queue.extendleft(reversed(waiting))

"""Rollback: an entry could not be written, so nothing of what it says has happened.

States go back to what was written last, and whoever waits is told. Inputs from outside are sent
again by their senders if they like. What workers have sent to each other, and what timers have
brought, nobody would send again: those inputs come back once something can be written.

A crash stays counted, by the supervisor and for quarantine: the worker was started anew, maybe with
its siblings, and the limit is there to end a loop of that. Its caller hears so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import CalleeCrashed, CalleeStopped, StorageError
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.runtime.durable.keeper import Before, Held, Keeper
from ssm_cli.runtime.durable.life import BRINGS, KINDS
from ssm_cli.runtime.durable.records import Input, Note, Record
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.entries import Caused, ContinueDue, Marked, RunEnded, TimerDue
from ssm_cli.runtime.engine.failures import unstepped
from ssm_cli.runtime.engine.runs import cancel_run
from ssm_cli.runtime.engine.world import World

NOT_WRITTEN = "the input could not be written, so it does not count and its state is as before"
AGAIN = "it is safe to send it again"
NOT_KNOWN = (
    "the input does not count now and its state is as before, but it is not known whether it is on "
    "the disk: after the next start it may be there; look before you send it again, or send it "
    "with the same request id"
)
CRASHED = (
    "the crash counts all the same, by the restart limit of its supervisor and for quarantine: "
    "sent again, it is likely to crash it again"
)


def take_back(
    keeper: Keeper,
    lost: Sequence[Record],
    held: Collection[Held],
    before: dict[WorkerCell, Before],
    error: StorageError | None = None,
) -> None:
    """Take back records that were not written, the last ones of all.

    Args:
        keeper: the node's; its `seq` is that of the last record that is written.
        lost: the records.
        held: what was to happen once they are written, and the calls that wait for it.
        before: what the workers were before.
        error: why.
    """
    world = keeper.world
    keeper.sessions.forget(keeper.seq)
    for record in lost:
        kept = None if isinstance(record, Note) else keeper.kept.get(record.worker)
        if kept is not None:
            kept.resync, kept.dirty, kept.recorded = True, True, b""
        if isinstance(record, Input):
            keeper.sessions.ended(record.worker, record.request)
    for cell, was in before.items():
        restore(world, cell, was)
        forget_asked(world, cell, keeper.seq)
    checkpoints.drop_sent(world, keeper.seq)
    for kept in keeper.kept.values():
        if error is not None:
            kept.unwritten.clear()
        known = world.names.get(kept.worker)
        if isinstance(known, WorkerCell):
            checkpoints.reopen(world, known, kept)
            replan(known)
    tell_callers(held, unsure=error is not None and error.unsure)
    inputs = [record for record in lost if isinstance(record, Input)]
    keeper.again += [record for record in inputs if is_sent_again(keeper, record)]  # once: last


def tell_callers(held: Collection[Held], *, unsure: bool) -> None:
    """Tell the calls that wait for records which are not written; `unsure`: maybe they are."""
    crashes = {call: args[0] for call, _, args in held if args and type(args[0]) is CalleeCrashed}
    for call in dict.fromkeys(pending for pending, _, _ in held if pending is not None):
        told = NOT_KNOWN if unsure else NOT_WRITTEN
        if call in crashes:
            told = f"{crashes[call]}; {told}; {CRASHED}"
        elif not unsure:
            told = f"{told}; {AGAIN}"
        call.fail(unstepped(CalleeStopped(told, reason="storage")))


def mend_record(keeper: Keeper) -> None:
    """Take back what is recorded of an input that an exception from outside has cut.

    Its callback counts as not run; what a worker has sent, or a timer, is served again.
    """
    keeper.now, half = None, keeper.half
    if half is not None:
        records, count, keeper.seq, cell, before = half
        lost = records[count:]
        del records[count:]
        take_back(keeper, lost, [], {cell: before})
        keeper.half = None
        bring_back(keeper)


def is_sent_again(keeper: Keeper, record: Input) -> bool:
    """Whether an input is one that nobody else sends again, and that counts all the same."""
    if record.how in BRINGS:
        return True
    return record.cause is not None and record.cause[0] <= keeper.seq


def forget_asked(world: World, cell: WorkerCell, after: int) -> None:
    """Forget the timers and runs that records with a greater number have asked for."""
    extra = cell.ensure_extra()
    kept = extra.kept
    kept.armed = tuple(one for one in kept.armed if not one.cause or one.cause[0] <= after)
    extra.left = tuple(one for one in extra.left if not one[1].cause or one[1].cause[0] <= after)
    for key, number in [*extra.timers.items()]:
        _, timer = world.timers.find(number) or (0.0, None)
        if timer is not None and timer.cause and timer.cause[0] > after:
            commit.cancel_timer(world, cell, key)
    for key, run in [*extra.runs.items()]:
        if run.cause and run.cause[0] > after:
            cancel_run(world, cell, key)


def restore(world: World, cell: WorkerCell, was: Before) -> None:
    """Put a worker back to what it was."""
    kept, (state, timeout) = cell.ensure_extra().kept, was
    if cell.status is not CellStatus.RUNNING:
        kept.has, kept.last = True, state
        return
    cell.state = state
    with suppress(StorageError):  # without a hash it is not known as recorded
        kept.recorded = kept.hash(state)  # it may crash before there is a record of it
    commit.stop_timeout(world, cell)
    if timeout is not None:
        commit.start_timeout(world, cell, timeout)


def bring_back(keeper: Keeper) -> None:
    """Something can be written again: put what comes back into the queue, as it was sent."""
    world = keeper.world
    while keeper.again:
        record = keeper.again.pop(0)
        cell = world.names.get(record.worker)
        if not isinstance(cell, WorkerCell) or cell.status is not CellStatus.RUNNING:
            sent = None if record.cause is None else Caused(record.cause, None)
            world.drop(world.root, record.worker, record.how, "not running", sent)
            continue
        message = cell.ensure_extra().kept.values.read(record.data)
        if record.how == "timer":
            token: Marked = TimerDue(0, cell, cell.starts, record.key, message, record.cause)
        elif record.how == "run":
            token = RunEnded(0, cell, cell.starts, record.key, message, record.cause)
        elif record.how == "continue":
            token = ContinueDue(cell.starts, message, record.cause)
            world.queue.appendleft((cell, Kind.CONTINUE, token, None))
            continue
        else:
            assert record.cause is not None, "only such inputs come back"
            token = Caused(record.cause, message)
        world.queue.append((cell, KINDS[record.how], token, None))

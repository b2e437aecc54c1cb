"""After a crash: the state of a worker as last recorded, never one that is half changed.

A callback may change its state in place, and then raise. Whether it did is told by the hash of the
last record; where it did, or that is not known, the worker is stepped again from its saved state.
"""

from __future__ import annotations

from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.checks import Checks
from ssm_cli.runtime.durable.keeper import Keeper, not_written
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.life import Life, told
from ssm_cli.runtime.durable.stored import Tail, fill, head_of, saved_of
from ssm_cli.runtime.engine.cell import WorkerCell


def bring_recorded(keeper: Keeper, cell: WorkerCell, kept: Kept) -> None:
    """Have the next life of a journalled worker that has crashed begin with what was recorded.

    Where its records do not come to that any more, it is down, and all of them are kept. What could
    not be written does not count, and is not in them: its next record will say what it has.
    """
    if kept.resync or kept.is_as_recorded(kept.last):
        return
    try:
        tail = tail_of(keeper, kept.worker)
    except StorageError as error:
        keeper.failed(error)
        return
    again = Again(cell.spec, keeper.world.guard)
    checks = Checks(kept.values)
    life = Life(kept.worker, kept.behaviour, kept.values, tail.saved, checks, again=again)
    sent = [brought.cause for seq, record in tail.records for brought in life.again(seq, record)]
    life.finish()
    kept.has, kept.last, kept.recorded = life.has, life.state, b""
    if life.trouble is not None:
        kept.trouble, kept.has, kept.last = told(life, keeper.store), False, None
        kept.armed, kept.dirty = (), False
        tail.changed = True
        tail.arrived = (*tail.arrived, *sent)  # or on their way, which the head says
        checkpoints.leave_off(keeper)
        keeper.recovered.hold(tail, kept.trouble)


def tail_of(keeper: Keeper, worker: str) -> Tail:
    """The saved state of a worker and all records behind it, written or not."""
    store = keeper.store
    tail = Tail(worker, saved_of(store, worker))
    fill(store, head_of(store), [tail])
    for seq, record in not_written(keeper):
        if getattr(record, "worker", "") == worker:
            tail.add(seq, record)
    return tail

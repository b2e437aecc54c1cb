"""Runs under way, as data: who asked for them, how they end, and what makes them void.

A run is an entry among the timers, which comes up when its time is over; `Extra.runs` has it by
its key until its end is served. The node's runner (`Outside.runner`, of `runtime/runs`) does the
work. A fork has no runner: it shows what is under way, and does not do it again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.runs import Ended, Failed, Run, RunError
from ssm_cli.errors import message_of
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.contained import contained
from ssm_cli.runtime.engine.entries import Cause, RunDue, RunEnded
from ssm_cli.runtime.engine.recorder import Ran
from ssm_cli.runtime.engine.world import World


def ask_run(world: World, cell: WorkerCell, run: Run, cause: Cause | None, record: int) -> None:
    """Have a run done, in the place of the one under way that has its key."""
    cancel_run(world, cell, run.key)
    timers = world.timers
    entry = RunDue(timers.next_number(), cell, cell.starts, run, cause, record)
    cell.ensure_extra().runs[run.key] = entry
    timers.start(world.clock.now_s() + run.timeout_ms / 1000, entry, entry.number)
    if world.outside.runner is not None:
        world.outside.runner.ask(entry)


def cancel_run(world: World, cell: WorkerCell, key: str) -> None:
    """Forget the run `key` of a worker, if it has one; its end, if it waits, is void."""
    entry = None if cell.extra is None else cell.extra.runs.pop(key, None)
    if entry is not None:
        take_off(world, entry)


def cancel_runs(world: World, cell: WorkerCell) -> None:
    """Forget all runs of a worker, which ends."""
    runs = cell.ensure_extra().runs
    while runs:
        take_off(world, next(iter(runs.values())))
        del runs[next(iter(runs))]  # last: what is interrupted is done again


def take_off(world: World, entry: RunDue) -> None:
    """Stop the clock of a run, and the work."""
    world.timers.cancel(entry.number)
    if world.outside.runner is not None:
        world.outside.runner.cancel(entry.number)


def end_run(world: World, entry: RunDue, ended: Ended) -> None:
    """Put the end of a run into the queue of its worker, unless it has ended, or is void."""
    if world.timers.find(entry.number) is None:
        return
    if (carry := world.outside.carry) is not None:
        came = ended
        ended = contained(world, entry.cell, lambda _: came, carry, entry.cell, came)
    extra = entry.cell.ensure_extra()
    if extra.kept is not None and extra.kept.journals:
        unkept = partial(not_recorded, entry.run.key)
        ended = contained(world, entry.cell, unkept, recordable, extra.kept, ended)
    if world.history is not None:
        world.history.add(entry.cell, Ran(entry.number, entry.run.key, ended))
    bring(world, entry, ended)
    world.timers.cancel(entry.number)  # last: what is interrupted before has its time-out


def recordable(kept: Any, ended: Ended) -> Ended:
    """Return the end of a run of a durable worker, which can be written. Raises where it cannot."""
    kept.values.written(ended)
    return ended


def not_recorded(key: str, error: BaseException) -> Ended:
    """Return how a run has failed whose answer cannot be written."""
    return Failed(key, RunError("unsendable", type(error).__name__, message_of(error)[:1000]))


def run_over(world: World, entry: RunDue) -> None:
    """The time of a run is over: it is cancelled, and has failed."""
    if world.outside.runner is not None:
        world.outside.runner.cancel(entry.number)
    said = f"it has not ended within {entry.run.timeout_ms:g} ms"
    bring(world, entry, Failed(entry.run.key, RunError("timeout", "", said)))


def bring(world: World, entry: RunDue, ended: Ended) -> None:
    """Put an end into the queue; it is void if the run was cancelled meanwhile."""
    key = entry.run.key
    token = RunEnded(entry.number, entry.cell, entry.starts, key, ended, entry.cause, entry.record)
    world.queue.append((entry.cell, Kind.INFO, token, None))
    wake = world.outside.wake
    if wake is not None and not world.pumping:
        wake()


def run_of(cell: Any, key: str) -> RunDue | None:
    """Return the run of a worker that has this key."""
    extra = getattr(cell, "extra", None)
    return None if extra is None else extra.runs.get(key)

"""The children of durable pools, as their supervisors come and go: kept, brought back, given up.

A child is kept from the moment when it is started until it is ended on purpose, or has ended for
good by its restart type. In a fork, which keeps nothing, they come back in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ssm_cli.errors import CalleeStopped, CallError, StorageError, Unrecovered
from ssm_cli.runtime.durable.pools import (
    MOST_CHILDREN,
    SIMPLE,
    child_of,
    is_durable,
    not_started,
    written_args,
)
from ssm_cli.runtime.durable.snapshots import CHILD, Pooled, pack
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import error_detail
from ssm_cli.runtime.views import ProcessRef
from ssm_cli.spec.model import ChildSpec

CHANGING = frozenset({"start_child", "terminate_child"})
"""The requests that change who is kept."""
WAITS = (
    "the child is ended, and that could not be written; it will be once the storage takes it, and "
    "until then a start of the tree brings the child back"
)
ENDED_AGAIN = (
    "that the child was started could not be written, so it is ended again; ask again later"
)


def members_of(world: World, sup: SupervisorCell) -> list[ChildSpec]:
    """Return the children that a pool starts with: those that it had, if it is durable."""
    if not is_durable(sup.spec):
        return []
    if sup.children or world.outside.keeper is None:
        return [cell.spec for cell in sup.children.values()]
    kept = world.outside.keeper.recovered.roster.pools.of(sup.spec.id)
    return [child_of(sup.spec, one)[0] for one in kept]


def most_of(sup: SupervisorCell) -> int | None:
    """Return how many children a pool may have; None for no bound."""
    most: int | None = sup.spec.max_children
    return MOST_CHILDREN if most is None and is_durable(sup.spec) else most


def pooled_of(
    world: World, sup: SupervisorCell, spec: ChildSpec, label: str, args: Mapping[str, Any]
) -> Pooled | None:
    """Return what is kept of a child that is to be started; None where nothing is.

    Raises:
        BadArgs: its arguments cannot be kept.
    """
    keeper = world.outside.keeper
    if keeper is None or not is_durable(sup.spec):
        return None
    data = written_args(sup.spec.children[0], spec.id, args)
    number = keeper.recovered.roster.pools.last + 1
    return Pooled(spec.id, sup.spec.id, label, keeper.at_s(), number, data)


def enrol(world: World, entry: Pooled) -> None:
    """A child of a durable pool runs: keep it, once its start is written."""
    pools = world.outside.keeper.recovered.roster.pools
    pools.add(entry)
    pools.fresh[entry.name] = entry


def keep_fresh(world: World) -> None:
    """Keep, with the next commit, children for which no request is answered."""
    keeper = world.outside.keeper
    for entry in () if keeper is None else [*keeper.recovered.roster.pools.fresh.values()]:
        keeper.change(CHILD + entry.name, pack(entry))
        keeper.recovered.roster.pools.fresh.pop(entry.name, None)


def dismiss(world: World, sup: SupervisorCell, cell: Cell) -> None:
    """A child of a pool is gone for good: it does not come back."""
    keeper = world.outside.keeper
    if keeper is None or sup.spec.strategy is not SIMPLE:
        return
    if keeper.recovered.roster.pools.remove(sup.spec.id, cell.spec.id) is not None:
        keeper.recovered.roster.pools.fresh.pop(cell.spec.id, None)
        keeper.change(CHILD + cell.spec.id, None)


def tell_not_started(world: World, cell: Cell, reason: str, why: str) -> None:
    """Report that the child of a durable pool is not started, and stays in it."""
    pool = "" if cell.parent is None else cell.parent.spec.id
    trouble: Unrecovered = not_started(cell.spec.id, reason, why, pool)
    world.report("down", cell, {"reason": reason, "error": error_detail(trouble)})


def answer_kept(world: World, asked: Asked, value: object) -> None:
    """Answer a request; one that has changed who is kept, once that is written.

    A child whose start cannot be written is ended again.
    """
    keeper, pending = world.outside.keeper, asked.pending
    fresh = None if keeper is None else keeper.recovered.roster.pools.fresh.pop(str(value), None)
    if asked.verb not in CHANGING or keeper is None or not (fresh or waits(keeper.changes)):
        pending.resolve(value)
        return
    started = asked.verb == "start_child" and isinstance(value, str)
    child = asked.cell.children.get(str(value)) if started else None
    undo = None
    if child is not None:
        process = ProcessRef(child.spec.id, child.starts)
        undo = Asked(asked.cell, asked.starts, "terminate_child", (process,), Pending())
    held = Pending(notify=partial(pass_on, world, pending, undo, value))
    if fresh is None:
        keeper.hold(held, tell_kept, world, held, value)
    else:
        keeper.hold(held, keep_child, world, held, fresh)


def pass_on(
    world: World, pending: Pending, undo: Asked | None, value: object, held: Pending
) -> None:
    """Tell what a request came to whose change was to be written."""
    if held.error is None or (undo is None and not waits(world.outside.keeper.changes)):
        pending.resolve(
            value
        )  # who is in the pool is written; that its state is left over may not be
        return
    if undo is not None:
        world.post(undo)
    told = WAITS if undo is None else ENDED_AGAIN
    pending.fail(CalleeStopped(told, reason="storage") if is_unwritten(held) else held.error)


def is_unwritten(held: Pending) -> bool:
    """Return whether a request failed as nothing can be written now."""
    error = held.error
    return isinstance(error, StorageError | CallError) and (
        isinstance(error, StorageError) or error.reason == "storage"
    )


def keep_child(world: World, held: Pending, entry: Pooled) -> None:
    """The start of a child is written: keep it in its pool, and then answer."""
    keeper = world.outside.keeper

    def done(error: StorageError | None) -> None:
        if error is None:
            held.resolve(entry.name)
        else:
            keeper.failed(error)
            held.fail(error)

    keeper.store.put({CHILD + entry.name: pack(entry)}, done)


def tell_kept(world: World, held: Pending, value: object) -> None:
    """What was to be written before a request is answered, was written, or waits still."""
    keeper = world.outside.keeper
    if not waits(keeper.changes):
        held.resolve(value)
    else:
        held.fail(StorageError(f"it cannot be written: {keeper.error or 'it waits still'}"))


def waits(changes: Iterable[str]) -> bool:
    """Return whether cells of who is kept are among those that wait to be stored."""
    return any(key.startswith(CHILD) for key in changes)

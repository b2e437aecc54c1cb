"""Durable workers whose spec becomes another one while the tree runs, and new ones beside them."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.standing import check_standing
from ssm_cli.codec.renames import Renames
from ssm_cli.errors import Unrecovered, message_of
from ssm_cli.runtime.durable.keeper import Keeper
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.rebuild import claimed, code_in
from ssm_cli.runtime.durable.records import Code
from ssm_cli.runtime.durable.snapshots import RENAMED, STATE, Renamed, pack
from ssm_cli.runtime.durable.stored import Tail, renamed_in, saved_of
from ssm_cli.runtime.durable.unclaimed import DYNAMIC, claim, places_in, stands
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.spec.model import Persist, SupervisorSpec, WorkerSpec, walk
from ssm_cli.supervision.obstacles import keeps


def resume_kept(keeper: Keeper, cell: WorkerCell) -> None:
    """Give a worker that is new in the tree what is kept of it, maybe of one with other code."""
    old, spec = keeper.kept.get(cell.spec.id), cell.spec
    if old is not None and not old.is_of(spec):
        renew(keeper, cell)
        return
    if old is not None:
        old.options = spec.options
    give_kept(keeper, cell)


def give_kept(keeper: Keeper, cell: WorkerCell) -> None:
    """Give a durable worker that is in the tree what is known of it."""
    name = cell.spec.id
    kept = keeper.kept.get(name)
    if kept is None:
        kept = new_kept(keeper, cell)
        keeper.recovered.give(kept, cell.spec)
        keeper.kept[name] = kept  # last: what is interrupted before is done again
        if kept.dirty and not kept.journals:  # it was journalled when it ran last
            kept.dirty = False
            saved = kept.snapshot(keeper.at_s(), keeper.seq, kept.last, (), None)
            keeper.change(STATE + name, pack(saved))
    kept.waits = keeper.waits
    cell.behaviour, cell.ensure_extra().kept = kept.behaviour, kept


def new_kept(keeper: Keeper, cell: WorkerCell) -> Kept:
    """Make what is known of a durable worker, before anything stored is looked at."""
    name = cell.spec.id
    cell.behaviour = behaviour_of(cell.spec.start)
    found = renamed_in(keeper.store, name)
    if found.names:  # of an older ssm: they are of all that is stored by now
        found = found.numbered(keeper.recovered.seq + 1)
        keeper.change(RENAMED + name, pack(found))
    place = keeper.recovered.places.get(name, DYNAMIC)
    options = cell.spec.options
    return Kept(name, options, cell.behaviour, codec_of(cell), Renames(found.made), place=place)


def renew(keeper: Keeper, cell: WorkerCell) -> None:
    """Give a worker that is down what is kept of it by its new spec, if anything is to be.

    Its state goes through the bytes that are stored of it, as at the start of a process: what its
    new code cannot read is a trouble of that worker, and all of it stays where it is. One that
    could not go on with its old code is tried with the new one.
    """
    extra, name = cell.ensure_extra(), cell.spec.id
    old, extra.kept = keeper.kept.get(name), None
    if cell.spec.options.persist is Persist.NONE:
        return
    if old is not None and (old.has or old.trouble is None or old.trouble.reason == "renamed"):
        new = new_kept(keeper, cell)
        new.armed, new.timeout, new.dirty = old.armed, old.timeout, old.dirty
        new.refused, new.crashes = old.refused, old.crashes
        new.trouble = None if old.has else old.trouble
        if old.has:
            carry(keeper, cell, old, new)
        keeper.kept[name] = new
    else:
        let_trouble_go(keeper, name)
    give_kept(keeper, cell)


def let_trouble_go(keeper: Keeper, name: str) -> None:
    """Have a worker that could not go on with its code be tried by the code that comes."""
    old = keeper.kept.get(name)
    if old is None or old.has or old.trouble is None or old.trouble.reason == "renamed":
        return
    keeper.recovered.troubles.pop(name, None)
    del keeper.kept[name]


def carry(keeper: Keeper, cell: WorkerCell, old: Kept, new: Kept) -> None:
    """Have the next life of a worker begin with its state, as its new code reads it."""
    guard, name, values = keeper.world.guard, cell.spec.id, old.values
    saved = old.snapshot(keeper.at_s(), keeper.seq, old.last, old.armed, old.timeout)
    try:
        limit_s, args = cell.step_limit_s(), (new, saved.state, values.code, keeper.seq)
        new.last = guarded(guard, cell, limit_s, revived, *args)
    except BaseException as error:
        if is_from_outside(guard, error):
            raise
        said = error if type(error) is Unrecovered else f"to read its state: {type(error).__name__}"
        reason = error.reason if type(error) is Unrecovered else "migrate"
        new.trouble = Unrecovered(f"{name} does not start: {said}", worker=name, reason=reason)
        tail = Tail(name, saved)
        tail.changed = True
        keeper.recovered.hold(tail, new.trouble)
        return
    new.has = new.dirty = new.resync = True


def revived(new: Kept, data: bytes, by: Code, at: int) -> Any:
    """Return a stored state as one that new code can go on from; raises `Unrecovered`."""
    state = new.values.revive(data, by, at)
    try:
        check_standing(new.behaviour, state)
    except (AttributeError, LookupError) as error:
        why = f"its code cannot go on from its state: {message_of(error)}"
        raise Unrecovered(why, worker=new.worker, reason="migrate") from error
    return state


def remains(keeper: Keeper, tree: SupervisorSpec) -> frozenset[str]:
    """Return the workers of a tree that would begin with what is stored of them, and do not run."""
    found, known = keeper.recovered, set[str]()
    for name, spec in ((spec.id, spec) for _, spec in walk(tree)):
        if not keeps(spec):
            continue
        old = keeper.kept.get(name)
        tail = found.tailed.get(name) or Tail(name, None)
        if old is None and tail.saved is None and not tail.records:
            tail = Tail(name, saved_of(keeper.store, name))
        if stands(tail.saved, tail.records)[0] if old is None else old.has:
            known.add(name)
    return frozenset(known)


def expect_tree(keeper: Keeper, tree: SupervisorSpec) -> None:
    """Note where the workers of another tree are, and hold back those that may be renamed.

    A new worker is not started while there is a state of one that the tree no longer has, and that
    may be its own, as at the start of a process.
    """
    found, names = keeper.recovered, {spec.id for _, spec in walk(tree)}
    found.places.update(places_in(tree))
    new = {
        spec.id: spec
        for _, spec in walk(tree)
        if isinstance(spec, WorkerSpec) and keeps(spec)
        if spec.id in found.places and spec.id not in keeper.kept
    }
    store, tails = keeper.store, found.tailed
    held = dict(claimed(store, new, found.places, tails, names | keeper.kept.keys()))
    left = {
        name: kept.values.code
        for name, kept in keeper.kept.items()
        if name not in names and kept.has and kept.values.code.place != DYNAMIC
    }
    for worker, spec in new.items() if left else ():
        tail = tails.get(worker) or Tail(worker, saved_of(store, worker))
        if worker not in held and not stands(tail.saved, tail.records)[0]:
            code = code_in(spec, Renamed(worker, {}), found.places[worker])[1].code
            if (trouble := claim(worker, code, left, store)) is not None:
                held[worker] = trouble
    for worker, trouble in held.items():
        found.hold(Tail(worker, None), trouble)

"""Putting the specs of another tree in place, while the tree runs: no process hears of it.

Source: OTP `supervisor:code_change/3`. What runs goes on; a child that is another one by its new
spec begins with that at its next start.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.behaviour.partition import JOINT
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.durable.pools import BadArgs, is_durable
from ssm_cli.runtime.durable.renewing import expect_tree
from ssm_cli.runtime.engine.backlog import VOID
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    SupervisorCell,
    WorkerCell,
    replan,
)
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.children import adopt, begin_anew, expect_limits
from ssm_cli.runtime.performer.members import enrol, keep_fresh, pooled_of
from ssm_cli.runtime.reports import error_detail
from ssm_cli.spec.judge import Judge
from ssm_cli.spec.model import (
    ChildSpec,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
    labelled,
)
from ssm_cli.supervision.differing import differences, kind_of

UP = frozenset({CellStatus.RUNNING, CellStatus.ENDING, CellStatus.DEAD})
OWN = ("restart", "shutdown_ms", "significant", "backoff")
"""The fields of a supervisor's spec that its own supervisor asks for."""


def take_tree(world: World, tree: SupervisorSpec) -> None:
    """Put the specs of a tree in the place of those that are there; new children are not started.

    Children that are not in it stay, behind the others. What waits for a child that is at another
    place now waits there.
    """
    world.judge = Judge(tree)
    world.bound = tree.queue
    if world.outside.keeper is not None:
        expect_tree(world.outside.keeper, tree)
    take_table(world, world.root, tree)
    readdress(world)


def take_table(world: World, sup: SupervisorCell, spec: SupervisorSpec) -> None:
    """Give a supervisor another spec, and all below it."""
    old, sup.spec, sup.sound = sup.spec, spec, world.judge.sound
    if sup.window.period_s != spec.period_s:
        sup.window = sup.window.over(spec.period_s)
    if spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
        if old.children[0] is not spec.children[0]:
            for dynamic in sup.children.values():
                take_template(world, dynamic, spec.children[0])
        if is_durable(spec) and not is_durable(old) and world.outside.keeper is not None:
            enrol_all(world, sup)
        return
    known, before, table = {child.id for child in old.children}, {**sup.children}, {}
    for child in spec.children:
        temporary = child.restart is Restart.TEMPORARY
        sup.temporary = sup.temporary or temporary
        ended = temporary and child.id in known
        cell = before.pop(child.id, None)
        if cell is None and ended and sup.status is CellStatus.RUNNING:
            continue
        table[child.id] = cell = adopt(world, sup, child) if cell is None else cell
        if isinstance(cell, SupervisorCell):
            take_table(world, cell, child)  # type: ignore[arg-type]  # its kind is the same
        else:
            take_spec(world, cell, child)
    sup.children = table | before


def readdress(world: World) -> None:
    """Have inputs that wait for a worker at another place now go there; a life's own are void."""
    queue = world.queue
    for index, (cell, kind, message, pending) in enumerate(tuple(queue)):
        here = world.names.get(cell.spec.id)
        if here is not cell and type(here) is WorkerCell and not isinstance(message, VOID):
            queue[index] = (here, kind, message, pending)


def take_spec(world: World, cell: Cell, spec: ChildSpec) -> None:
    """Give a worker, or a remote child, another spec.

    What is asked for when it is needed counts at once; what its life has begun with stays until
    the next one.
    """
    old, cell.spec = cell.spec, spec
    if old is spec or not isinstance(cell, WorkerCell):
        return
    assert isinstance(spec, WorkerSpec)
    expect_limits(world.guard, spec.options)
    begun = old if cell.extra is None or cell.extra.begun is None else cell.extra.begun
    same = not any(one.restarts for one in differences(begun, spec))
    if cell.status in UP:
        if not same or cell.extra is not None:
            cell.ensure_extra().begun = None if same else begun
    elif not same or begun.start is not spec.start:
        begin_anew(world, cell)
    if begun.options.codec != spec.options.codec and same:
        cell.codec = None
    if same and (kept := kept_of(cell)) is not None:
        kept.options = spec.options
    replan(cell)


def take_template(world: World, cell: Cell, new: ChildSpec) -> None:
    """Give a child of a pool the spec that another template makes for it.

    Its arguments of its own stay. A supervisor keeps what is below it until it ends.
    """
    spec: Any = cell.spec
    if isinstance(cell, WorkerCell) and isinstance(new, WorkerSpec):
        own, made = own_args(spec), labelled(new, spec.id)
        if own:
            made = msgspec.structs.replace(made, args={**new.args, **own}, own=spec.own)
        take_spec(world, cell, made)
    elif kind_of(spec) == kind_of(new):
        cell.spec = msgspec.structs.replace(spec, **{name: getattr(new, name) for name in OWN})


def enrol_all(world: World, sup: SupervisorCell) -> None:
    """Keep who is in a pool that has become durable, for the next start of the process."""
    for cell in sup.children.values():
        label = cell.spec.id.removeprefix(f"{sup.spec.id}{JOINT}")
        try:
            entry = pooled_of(world, sup, cell.spec, label, own_args(cell.spec))
        except BadArgs as error:
            world.report("unsaved", cell, {"error": error_detail(error)})
        else:
            assert entry is not None, "the pool is durable, and there is a keeper"
            enrol(world, entry)
            keep_fresh(world)


def own_args(spec: Any) -> dict[str, Any]:
    """Return the arguments that a pool's child has of its own."""
    return {key: spec.args[key] for key in getattr(spec, "own", ())}

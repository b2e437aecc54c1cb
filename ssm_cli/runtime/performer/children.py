"""The table of children: who is under a supervisor, and whether its spec is valid.

Source: OTP `supervisor:init_children/2`, `save_child/2`, `del_child/2`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import advance
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.runtime.durable.renewing import renew, resume_kept
from ssm_cli.runtime.engine.backlog import refuse_below
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
    seconds,
)
from ssm_cli.runtime.engine.failures import without_frames
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.engine.naming import SIMPLE
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.members import members_of
from ssm_cli.spec.model import (
    DEFAULT_INIT_TIMEOUT_MS,
    NO_ARGS,
    ChildSpec,
    Persist,
    Restart,
    SupervisorSpec,
    WorkerOptions,
    WorkerSpec,
)
from ssm_cli.spec.validate import check_own

IDS = attrgetter("id")


def adopt(world: World, sup: SupervisorCell, spec: ChildSpec) -> Cell:
    """Put a new child at the end of the table of `sup`."""
    cell: Cell
    if type(spec) is WorkerSpec:
        cell, outside = WorkerCell(spec, sup), world.outside
        if outside.keeper is not None or outside.advance is not advance:
            prepare(world, cell)
        expect(world, spec)
    elif isinstance(spec, SupervisorSpec):
        cell = SupervisorCell(spec, sup)
        if spec.strategy is SIMPLE:
            world.pools[spec.id] = cell
        cell.sound = world.judge.sound
        world.guard.expect(DEFAULT_INIT_TIMEOUT_MS / 1000)
    else:
        cell = RemoteCell(spec, sup)
    sup.temporary = sup.temporary or spec.restart is Restart.TEMPORARY
    sup.children[spec.id] = world.names[spec.id] = cell  # in one line: nothing comes between
    return cell


def adopt_all(world: World, sup: SupervisorCell, specs: Sequence[Any]) -> None:
    """Put new workers, for which nothing is to be prepared, into the empty table of `sup`."""
    usual = specs[0].options
    for spec in (specs[0], *[spec for spec in specs if spec.options is not usual]):
        expect(world, spec)
        sup.temporary = sup.temporary or spec.restart is Restart.TEMPORARY
    cells = map(WorkerCell, specs, repeat(sup), repeat(CellStatus.WAITING))
    sup.children = dict(zip(map(IDS, specs), cells, strict=True))
    world.names.update(sup.children)  # what comes between is made good by `arrange`


def expect(world: World, spec: WorkerSpec) -> None:
    """Tell the guard which limits a worker has; of siblings with the same options once."""
    if spec.options is not world.expected:
        world.expected = spec.options
        expect_limits(world.guard, spec.options)


def prepare(world: World, cell: WorkerCell) -> None:
    """Give a worker what its inputs are looked at for: what is kept of it, a check of its steps."""
    if world.outside.advance is not advance:
        cell.ensure_extra().checked = True
    if world.outside.keeper is not None and cell.spec.options.persist is not Persist.NONE:
        resume_kept(world.outside.keeper, cell)


def expect_limits(guard: Guard, options: WorkerOptions) -> None:
    """Tell the guard which limits there will be, so that its ticks are fine enough."""
    shutdown_ms = 0 if options.shutdown_ms == "brutal_kill" else options.shutdown_ms
    for limit_ms in (options.step_timeout_ms, options.init_timeout_ms, shutdown_ms):
        if limit_ms:
            guard.expect(seconds(limit_ms))


def begin_anew(world: World, cell: WorkerCell) -> None:
    """Let go of the code of the life before: the one that begins has another spec."""
    cell.behaviour = cell.codec = cell.step = cell.state = None
    extra, keeper = cell.ensure_extra(), world.outside.keeper
    extra.begun = None
    if keeper is not None:
        renew(keeper, cell)


def forget(world: World, cell: Cell) -> None:
    """Take a child, and all below it, out of the tables."""
    if isinstance(cell, SupervisorCell):
        for child in tuple(cell.children.values()):
            forget(world, child)
    refuse_below(world, cell)
    if cell.parent is not None and cell.parent.children.get(cell.spec.id) is cell:
        del cell.parent.children[cell.spec.id]
    for known in (world.names, world.pools):
        if known.get(cell.spec.id) is cell:
            del known[cell.spec.id]
    strip(cell)


def strip(cell: Cell) -> None:
    """Let go of all that a child held that is gone: reports and notes keep the cell itself.

    What is left tells its name and its path, and how to show and redact what it got.
    """
    spec = cell.spec
    if isinstance(cell, SupervisorCell):
        cell.spec = msgspec.structs.replace(spec, children=(), init=None)
    elif isinstance(cell, WorkerCell):
        if spec.args:
            cell.spec = msgspec.structs.replace(spec, args=NO_ARGS, own=())
        cell.state, behaviour = None, cell.behaviour
        if isinstance(behaviour, Callbacks) and behaviour is not spec.start:
            with suppress(TypeError):  # of a class that is built in C, too
                cell.behaviour = object.__new__(type(behaviour))
        if isinstance(cell.last_reason, Crash):
            cell.last_reason = without_frames(cell.last_reason)
        if cell.extra is not None:
            cell.extra.debug = None


def arrange(world: World, sup: SupervisorCell) -> None:
    """Make the table of a supervisor that starts what its spec says.

    Dynamic children are gone, but for those of durable pools.
    """
    specs = members_of(world, sup) if sup.spec.strategy is SIMPLE else sup.spec.children
    before, outside = dict(sup.children), world.outside
    prepared = outside.keeper is not None or outside.advance is not advance
    if not before and not prepared and {*map(type, specs)} == {WorkerSpec}:
        adopt_all(world, sup, specs)
        return
    sup.children.clear()
    for spec in specs:
        known = before.get(spec.id)
        if known is not None and known.spec is spec:
            del before[spec.id]
            sup.children[spec.id] = world.names[spec.id] = known
            known.status = CellStatus.WAITING
        else:
            adopt(world, sup, spec).status = CellStatus.WAITING
    for cell in before.values():
        forget(world, cell)


def find_problem(world: World, sup: SupervisorCell) -> object | None:
    """OTP's term for what is wrong with its flags or children; frozen, they are looked at once.

    Beyond OTP, a name must be unique in the whole tree, since workers are called by it; another
    supervisor may have taken one since the last start.
    """
    spec, dynamic = sup.spec, sup.spec.strategy is SIMPLE
    if not sup.sound:
        if (term := check_own(spec)) is not None:
            return term
        sup.sound = True
    for child in () if dynamic else spec.children:
        owner = world.names.get(child.id)
        if owner is not None and owner.parent is not sup:
            return {"start_spec": {"duplicate_child_name": child.id}}
    return None


@contextmanager
def without_collector(world: World) -> Iterator[None]:
    """Keep the cycle collector out while many workers start, which makes much and leaves nothing.

    It would walk the growing tree again and again: half the time of starting a million workers.
    """
    world.uncollected = world.uncollected or gc.isenabled()
    gc.disable()
    try:
        try:
            yield
        finally:
            collect_again(world)
    except BaseException:
        collect_again(world)  # outside of a loop nobody else mends what interrupts the first one
        raise


def collect_again(world: World) -> None:
    """Let the cycle collector in, if it was kept out for this world."""
    if world.uncollected:
        gc.enable()
    world.uncollected = False  # last: what is interrupted before is done again

"""Bonds: what ties a life of a worker to others, and is over with it: its groups, its monitors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.effects import Demonitor, Down, Effect, Join, Leave, Monitor
from ssm_cli.behaviour.reasons import NOPROC, BadReturnError, ExitReason
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.entries import DownDue
from ssm_cli.runtime.engine.groups import MOST_JOINED
from ssm_cli.runtime.engine.monitors import MOST_MONITORED
from ssm_cli.runtime.engine.world import World, asked_by

Bond = Join | Leave | Monitor | Demonitor


def bonds_fault(world: World, name: str, effects: Sequence[Effect]) -> BadReturnError | None:
    """Return the error of a worker that asks for more bonds than it may have; else None."""
    joined = [str.__str__(effect.group) for effect in effects if isinstance(effect, Join)]
    if joined and world.groups.too_many(name, joined):
        return BadReturnError(f"{name} joins more than {MOST_JOINED:,} groups; leave some first")
    asked = [str.__str__(effect.worker) for effect in effects if isinstance(effect, Monitor)]
    if asked and world.monitors.too_many(name, asked):
        return BadReturnError(f"{name} monitors more than {MOST_MONITORED:,} workers")
    return None


def bind(world: World, cell: WorkerCell, effect: Bond) -> None:
    """Carry out an effect about groups or monitors."""
    match effect:
        case Join(group, value):
            world.groups.join(str.__str__(group), cell.spec.id, value)
            tell_far(world, (str.__str__(group),))
        case Leave(group):
            world.groups.leave(str.__str__(group), cell.spec.id)
            tell_far(world, (str.__str__(group),))
        case Monitor(worker):
            monitor(world, cell, str.__str__(worker))
        case Demonitor(worker):
            known = world.reach(str.__str__(worker))
            world.monitors.remove(cell.spec.id, worker if known is None else known.spec.id)


def leave_all(world: World, name: str) -> None:
    """Have a worker, whose life has ended, in no group any more."""
    joined = world.groups.joined.get(name, ())
    world.groups.end(name)
    tell_far(world, joined)


def empty_groups(world: World) -> None:
    """Forget all groups: the tree is down."""
    known = tuple(world.groups.groups)
    world.groups.clear()
    tell_far(world, known)


def tell_far(world: World, groups: Iterable[str]) -> None:
    """Tell other processes of the tree whether these groups have members here."""
    if (far := world.outside.far_groups) is not None:
        for group in groups:
            far.interest(group, wanted=group in world.groups.groups)


def monitor(world: World, cell: WorkerCell, worker: str) -> None:
    """Have a worker hear of the end of another; at once if that does not run."""
    watched = world.reach(worker)
    if isinstance(watched, WorkerCell) and watched.status is CellStatus.RUNNING:
        world.monitors.add(cell.spec.id, watched.spec.id, worker)
    else:
        tell_down(world, cell, worker, NOPROC)


def tell_down(world: World, cell: WorkerCell, worker: str, reason: ExitReason) -> None:
    """Send a `Down` to a worker that has asked for it."""
    token = DownDue(cell.starts, Down(worker, str(reason)), asked_by(world))
    world.queue.append((cell, Kind.INFO, token, None))


def part(world: World, cell: WorkerCell, reason: ExitReason) -> None:
    """A life of a worker has ended: it is in no group, watches nobody, and who watches it hears."""
    groups, monitors = world.groups, world.monitors
    if not (groups.joined or monitors.watched or monitors.watchers):
        return
    name: str = cell.spec.id
    leave_all(world, name)
    monitors.end(name)
    for watcher, names in [*monitors.watchers.get(name, {}).items()]:
        told = world.names.get(watcher)
        if isinstance(told, WorkerCell):
            for given in names:
                tell_down(world, told, given, reason)
        monitors.remove(watcher, name)

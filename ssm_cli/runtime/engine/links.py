"""Links between workers: the end of one is an exit signal to the other (`erlang:link/1`)."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import NOPROC, ExitReason
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.engine.entries import LinkBroken
from ssm_cli.runtime.engine.world import World


def link(world: World, cell: WorkerCell, to: str) -> None:
    """Link two workers; one that does not run counts as ended. To link itself does nothing."""
    name = str.__str__(to)
    other = world.reach(name)
    if other is cell:
        return
    if isinstance(other, WorkerCell) and other.status is CellStatus.RUNNING:
        links, own = cell.ensure_extra().links, other.spec.id
        known = links.get(own) or ()
        links[own] = known if name == own or name in known else (*known, name)
        other.ensure_extra().links.setdefault(cell.spec.id, ())
    else:
        world.post(LinkBroken(cell, cell.starts, NOPROC, name))


def unlink(world: World, cell: WorkerCell, to: str) -> None:
    """Undo a link, if there is one."""
    other = world.reach(str.__str__(to))
    if other is None or cell.extra is None:
        return
    cell.extra.links.pop(other.spec.id, None)
    if other.extra is not None:
        other.extra.links.pop(cell.spec.id, None)


def break_links(world: World, cell: WorkerCell, reason: ExitReason) -> None:
    """Signal the end of a worker to those that are linked to it."""
    extra = cell.extra
    while extra is not None and extra.links:
        name = next(iter(extra.links))
        other = world.names.get(name)
        if isinstance(other, WorkerCell) and other.extra and cell.spec.id in other.extra.links:
            names = other.extra.links.pop(cell.spec.id) or ()
            world.post(LinkBroken(other, other.starts, reason, cell.spec.id, names))
        del extra.links[name]

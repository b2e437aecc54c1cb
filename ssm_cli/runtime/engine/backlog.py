"""Inputs that are put off: their worker is suspended, or its end is being written down."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import QueueFull
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World


def must_wait(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None
) -> bool:
    """Whether an input has been put off: its worker is suspended, or its end is being written."""
    if cell.suspended and kind is not Kind.CONTINUE:
        hold(world, cell, kind, message, pending)
        return True
    kept = None if cell.extra is None else cell.extra.kept
    if kept is None or not kept.closing:
        return False
    kept.waiting.append((cell, kind, message, pending))
    return True


def hold(world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None) -> None:
    """A suspended worker's inputs wait in its backlog, bounded like the queue."""
    backlog = cell.more().backlog
    if len(backlog) < world.bound:
        backlog.append((kind, message, pending))
    elif pending is not None:
        full = f"{cell.spec.id} is suspended and {world.bound} inputs wait already"
        pending.fail(QueueFull(full, worker=cell.spec.id))
    else:
        world.dropped += 1

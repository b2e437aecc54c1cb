"""Inputs that are put off: their worker is suspended, being restarted, or its end is being written.

What was accepted is served, by the next life if need be, or its caller is told, and a cast is
reported as dropped. Inputs from outside are refused at their admission (`performer/intake.py`)
once as many wait here as the queue may hold; effects are never refused.
"""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import ContinueDue, DownDue, RunEnded, TimeoutDue, TimerDue
from ssm_cli.runtime.engine.failures import callee_error, not_running, unstepped
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.world import World

VOID = (TimerDue, TimeoutDue, RunEnded, ContinueDue, DownDue)  # with the life that they belong to


def hold(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | SentInput | None
) -> None:
    """Put an input off."""
    extra, world.has_held = cell.ensure_extra(), True
    if extra.kept is not None:
        extra.kept.waits[cell] = None
    extra.backlog.append((kind, message, pending))


def release_held(world: World, cell: WorkerCell) -> None:
    """Put the inputs that were put off back into the queue, ahead of all others."""
    extra = cell.extra
    while extra is not None and extra.backlog:
        world.queue.appendleft((cell, *extra.backlog.pop()))  # in one line: none is lost


def refuse_held(world: World, cell: WorkerCell) -> None:
    """End the inputs that were put off for a worker that does not come back."""
    extra = cell.extra
    while extra is not None and extra.backlog:
        kind, message, pending = extra.backlog[0]
        no_process(world, cell, kind, message, pending)
        extra.backlog.popleft()


def refuse_below(world: World, cell: Cell) -> None:
    """Do so for a child that is settled without a process, and for all below it."""
    if not world.has_held:
        return
    if isinstance(cell, WorkerCell):
        refuse_held(world, cell)
    elif isinstance(cell, SupervisorCell):
        below = cell.children.values()  # of a plain worker nothing waits
        for child in [c for c in below if c.extra is not None or type(c) is not WorkerCell]:
            refuse_below(world, child)


def no_process(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | SentInput | None
) -> None:
    """End an input of a worker that does not run: fail its call, or report it as dropped.

    What waits for a worker that was taken out of the tree got there while that still lived.
    """
    name: str = cell.spec.id
    if isinstance(pending, Pending):
        gone = world.names.get(name) is not cell
        ended = callee_error(cell, cell.last_reason) if gone else not_running(cell)
        pending.fail(unstepped(ended))
    elif not isinstance(message, VOID):
        world.drop(cell, name, kind.name.lower(), "not running", message)

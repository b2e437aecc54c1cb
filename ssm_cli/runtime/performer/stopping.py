"""Stopping the whole tree: in order, and to the end, whatever interrupts it."""

from __future__ import annotations

from ssm_cli.behaviour.reasons import ExitReason
from ssm_cli.errors import CalleeStopped
from ssm_cli.runtime.engine.backlog import VOID, refuse_below
from ssm_cli.runtime.engine.bonds import empty_groups
from ssm_cli.runtime.engine.cell import CellStatus, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import Caused
from ssm_cli.runtime.engine.failures import unstepped
from ssm_cli.runtime.engine.pending import SentInput
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.ending import (
    cancel_coming,
    kill_worker,
    terminate_supervisor,
)
from ssm_cli.runtime.reports import ending

STOPPED = "the tree has stopped"
MOST_INTERRUPTIONS = 1000  # of one stop
STANDING = (CellStatus.RUNNING, CellStatus.ENDING)

KEPT = (*VOID, Caused)  # not lost with the tree: void with their lives, or there at the next start


def stop_tree(world: World, reason: ExitReason) -> None:
    """End the root and all below it, in reverse start order, then the node.

    An exception from outside cuts the callback that runs then; all others end in order, but after a
    second one what is left is killed. The first is raised when the tree is down.
    """
    if not world.running:
        return
    interruption: BaseException | None = None
    for times in range(MOST_INTERRUPTIONS):
        try:
            if times > 1:
                kill_below(world, world.root)
            go_down(world, reason)
            break
        except BaseException as error:  # noqa: BLE001 - it is raised below, once the tree is down
            interruption = interruption or error
            world.reports.mend()
    if interruption is not None:
        raise interruption


def kill_below(world: World, sup: SupervisorCell) -> None:
    """End all workers below a supervisor without their callbacks, in reverse start order."""
    for cell in reversed(tuple(sup.children.values())):
        if isinstance(cell, SupervisorCell):
            kill_below(world, cell)
        elif isinstance(cell, WorkerCell) and cell.status in STANDING:
            kill_worker(world, cell)
            cell.status = CellStatus.UNDEFINED


def go_down(world: World, reason: ExitReason) -> None:
    """Stop the tree, or go on with a stop that was interrupted."""
    world.guard.end()
    waiting = tuple(world.lane)
    world.lane.clear()
    world.retries.clear()
    stop_root(world, reason)
    root_down(world, reason)
    world.lane.extend(waiting)  # each finds the tree gone, and fails its request


def stop_root(world: World, reason: ExitReason) -> None:
    """End the root, or what an interruption of its start, or of its end, has left of it."""
    if world.root.status is not CellStatus.DEAD:
        terminate_supervisor(world, world.root, reason, "infinity")


def drop_waiting(world: World) -> None:
    """Report the inputs that wait and whose outcome nobody waits for: they reach nobody."""
    for cell, kind, message, waiter in tuple(world.queue):
        if type(message) is Publishing:
            world.drop(world.root, message.group, "publish", STOPPED)
        elif (waiter is None or type(waiter) is SentInput) and not isinstance(message, KEPT):
            world.drop(cell, cell.spec.id, kind.name.lower(), STOPPED)


def let_clock_go(world: World) -> None:
    """End what ticks, watches and runs for a tree that is down."""
    world.guard.close()
    if world.outside.runner is not None:
        world.outside.runner.close()
    unwatch, world.outside.unwatch = world.outside.unwatch, None
    if unwatch is not None:
        unwatch()


def root_down(world: World, reason: ExitReason) -> None:
    """End a node whose root has ended: calls that wait fail."""
    world.root.status = CellStatus.UNDEFINED
    world.running = False
    for cell in tuple(world.outside.coming):
        cancel_coming(world, cell)
    for asked in (*world.outside.looks, *world.outside.leaving.values()):
        asked.pending.fail(CalleeStopped(STOPPED, reason=str(reason)))
    world.outside.looks.clear()
    world.outside.leaving.clear()
    keeper = world.outside.keeper
    if keeper is not None:
        keeper.finish()  # with what durable workers have sent to each other
    world.retries.clear()
    refuse_below(world, world.root)
    let_clock_go(world)
    drop_waiting(world)
    world.report("stopped", world.root, ending(reason))
    while world.queue:
        pending = world.queue[0][3]
        if pending is not None:
            text = f"the tree has stopped: {reason}"
            pending.fail(unstepped(CalleeStopped(text, reason=str(reason))))
        world.queue.popleft()  # last: what is interrupted is done again
    empty_groups(world)
    world.guard.close()
    if world.outside.wake is not None:
        world.outside.wake()

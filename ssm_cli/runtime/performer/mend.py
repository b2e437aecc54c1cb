"""Mending: an exception from outside has torn the loop somewhere; the tree is made whole again.

Theory of operation. An exception may come at any line of the engine: Ctrl-C, the handler of a
signal, a trace function. It is not caught where it strikes. Instead what is to be done to a child
stands in its status until it is done, and `mend` reads from that what was under way:

    ENDING              its end was cut: it is gone, and its supervisor looks at that
    DEAD                its supervisor has still to look, whatever became of the message
    RESTARTING, WAITING it is to be started, unless a message or a timer is about to do so
    STARTING            a remote child; it is asked for again, which is the same start
    a supervisor that does not run, with children that do: its start was cut, and they end

What belongs to no status stands in the world: what an `init` has returned (`answer`), the child
that a request starts (`launched`), the request (`performing`), an input that is dropped
(`Dropped`), whether the cycle collector is out (`uncollected`). Nothing is left to a handler, as a
second exception may end that.

The input that was being served ends in an outcome of its own (`serve_batch`, `Pending.cut`); where
a second exception ends the handler that sees to it, it is found in the frame of the batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, TypeVar

from ssm_cli.behaviour.reasons import SHUTDOWN
from ssm_cli.runtime.durable.rollback import mend_record
from ssm_cli.runtime.engine.backlog import release_held
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    Plan,
    SupervisorCell,
    WorkerCell,
    replan,
)
from ssm_cli.runtime.engine.entries import ChildEnded, EndWorker, Restart, TryAgain
from ssm_cli.runtime.engine.failures import interrupted
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.arriving import look_at_starts, mend_start_of
from ssm_cli.runtime.performer.children import collect_again
from ssm_cli.runtime.performer.ending import end_begun, finish_interrupted, terminate_children
from ssm_cli.runtime.performer.perform import drain
from ssm_cli.runtime.performer.requests import mend_request
from ssm_cli.runtime.performer.starting import AGAIN, has_begun
from ssm_cli.runtime.performer.stopping import stop_tree
from ssm_cli.runtime.performer.supervise import announce_exit, is_behind
from ssm_cli.runtime.performer.system import go_on, tell_dropped
from ssm_cli.runtime.remote.far import release_calls

WAITS = (CellStatus.RESTARTING, CellStatus.WAITING)


RUNTIME = "ssm_cli.runtime."
LOOPS: set[CodeType] = set()
BATCHES: set[CodeType] = set()
F = TypeVar("F", bound=Callable[..., Any])


def loop_code(function: F) -> F:
    """Mark a function that runs the loop of its local variable `world`."""
    LOOPS.add(function.__code__)
    return function


def batch_code(function: F) -> F:
    """Mark a function that serves the inputs of its local `world`, of which one is `pending`."""
    BATCHES.add(function.__code__)
    return function


def cut_served(world: World, error: BaseException | None) -> None:
    """Fail the call that a batch was serving, as it was when an exception came by."""
    trace = None if error is None else error.__traceback__
    while trace is not None:
        found = trace.tb_frame.f_locals if trace.tb_frame.f_code in BATCHES else {}
        if found.get("world") is world and found.get("pending") is not None:
            found["pending"].cut(interrupted(found["cell"]))
        trace = trace.tb_next


def is_looping(world: World) -> bool:
    """Return whether the loop of `world` runs, below the foreign code that asks for something."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - the only way to the stack
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(RUNTIME):
        frame = frame.f_back
    while frame is not None:
        if frame.f_code in LOOPS and frame.f_locals.get("world") is world:
            return True
        frame = frame.f_back
    return False


def heal(world: World) -> bool:
    """Mend a world that an interruption has left as if it ran; return whether it does run."""
    if is_looping(world):
        return True
    mend(world)
    world.pumping = False
    return False


def mend(world: World) -> None:
    """Make the tree whole after an exception that left the loop, and carry out what that asks for.

    Costs time for every cell of the tree. Does nothing for a tree that is down, or starts.
    """
    cut_served(world, sys.exception())
    collect_again(world)
    world.guard.end()
    world.guard.forget_deadlines()
    world.reports.mend()
    end_begun(world)
    has_begun(world)
    world.outside.completing = None
    mend_request(world)
    if world.outside.keeper is not None:
        mend_record(world.outside.keeper)
    if isinstance(world.performing, EndWorker):
        world.lane.appendleft(world.performing)
    world.performing = None
    if world.running and world.root.status is not CellStatus.RUNNING:
        stop_tree(world, SHUTDOWN)  # its start, or its end, was interrupted
    elif world.running:
        mend_children(world, world.root, messages(world))
        look_at_starts(world)
        for cell in tuple(world.outside.held):
            if cell.status is not CellStatus.STARTING:
                release_calls(world, cell)
        drain(world)


def messages(world: World) -> set[tuple[int, int, bool]]:
    """Return which lives of which cells are about to be looked at, or (True) started."""
    found = set()
    for entry in entries(world):
        if isinstance(entry, ChildEnded):
            found.add((id(entry.cell), entry.starts, False))
        elif isinstance(entry, TryAgain | Restart):
            found.add((id(entry.cell), entry.starts, True))
    return found


def entries(world: World) -> Iterator[object]:
    """Yield all that waits to be performed: lane, retries, timers, and what supervisors put off."""
    yield from world.lane
    yield from world.retries
    for _, _, entry in world.timers.waiting():
        yield entry
    for cell in world.names.values():
        if cell.extra is not None and isinstance(cell, SupervisorCell):
            yield from cell.extra.backlog


def mend_children(  # noqa: C901 - a case for each status
    world: World, sup: SupervisorCell, about: set[tuple[int, int, bool]]
) -> None:
    """Mend each child of a supervisor that runs, and all below it."""
    if not sup.suspended:
        go_on(world, sup)
    for cell in tuple(sup.children.values()):
        if cell.status is CellStatus.STARTING:
            world.outside.coming.setdefault(cell, AGAIN)
        if cell in world.outside.coming:
            mend_start_of(world, cell)
        if cell in world.outside.leaving:
            continue  # that it has ended is news
        if cell.status is CellStatus.ENDING:
            finish_interrupted(world, cell)
            announce_exit(world, cell, cell.last_reason)
        elif cell.status is CellStatus.DEAD and (id(cell), cell.starts, False) not in about:
            world.lane.append(ChildEnded(cell, cell.starts, cell.last_reason))
        elif cell.status in WAITS and not is_behind(world, sup):
            mend_start(world, sup, cell, about)
        elif cell.status is CellStatus.RUNNING:
            if isinstance(cell, SupervisorCell):
                mend_children(world, cell, about)
            elif isinstance(cell, WorkerCell):
                tell_dropped(world, cell)
                replan(cell)
                if cell.extra is not None and cell.extra.plan is not Plan.HELD:
                    release_held(world, cell)


def mend_start(
    world: World, sup: SupervisorCell, cell: Cell, about: set[tuple[int, int, bool]]
) -> None:
    """Have a child started that is to run, unless something is about to do so."""
    if isinstance(cell, SupervisorCell):
        terminate_children(world, cell)
    siblings = (cell,) if cell.status is CellStatus.RESTARTING else sup.children.values()
    if not any((id(one), one.starts, True) in about for one in siblings):
        world.lane.append(Restart(cell, cell.starts, sup.window.count(world.clock.now_s())))

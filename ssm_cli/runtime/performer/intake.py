"""How inputs get into the queue: names become cells, and the bound is kept."""

from __future__ import annotations

import difflib
import math
from itertools import islice
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.sizes import cut
from ssm_cli.errors import CalledFromStep, NoProc, QueueFull
from ssm_cli.runtime.engine.backlog import no_process
from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.failures import comes_back, not_running, tree_down, why_down
from ssm_cli.runtime.engine.naming import labelled_so
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.loop import NEVER, TURN_S, leave, run_batch
from ssm_cli.runtime.performer.mend import heal, loop_code, mend

RUNNING = CellStatus.RUNNING  # a global is quick
AT_ONCE = 128  # inputs served to make room, between two looks at the clock; a default queue
MOST_NAMED = 3
MOST_NAMES_COMPARED = 10_000
MOST_COMPARED_CHARACTERS = 200  # of a name that near ones are looked for
MOST_NAME_CHARACTERS = 100_000  # of a name or a path that is looked for at all
FROM_STEP = "called its own node from a step; return an effect"


def need(world: World, name: str) -> Cell:
    """The same; raises `NoProc` with the nearest name where there is none."""
    cell = world.find(name) if len(name) <= MOST_NAME_CHARACTERS else None
    if cell is not None:
        return cell
    if not world.names:
        raise NoProc(f"{cut(name)}: {why_down(world)}", worker=cut(name), reason="noproc")
    raise NoProc(f"no worker {cut(name)}{hint_for(world, name)}", worker=cut(name), reason="noproc")


def hint_for(world: World, name: str) -> str:
    """Return which names may be meant: of the children of pools with that label, or a near one."""
    if name in world.names or len(name) > MOST_COMPARED_CHARACTERS:
        return ""
    so = [cell.spec.id for cell in labelled_so(world.pools, name)]
    if so:
        listed = ", ".join(so[:MOST_NAMED]) + (", ..." if len(so) > MOST_NAMED else "")
        return f"; there {'is' if len(so) == 1 else 'are'} {listed}"
    near = difflib.get_close_matches(name, islice(world.names, MOST_NAMES_COMPARED), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def need_worker(world: World, name: str) -> WorkerCell:
    """The worker of that name, or `NoProc`."""
    cell = need(world, name)
    if isinstance(cell, WorkerCell):
        return cell
    if isinstance(cell, RemoteCell):
        wrong = f"{name} is a subtree on another computer; call {name}.WORKER"
        raise NoProc(wrong, worker=name, reason="noproc")
    raise NoProc(f"{name} is a supervisor, not a worker", worker=name, reason="noproc")


def need_supervisor(world: World, name: str) -> SupervisorCell:
    """The supervisor of that name, or `NoProc`."""
    cell = need(world, name)
    if isinstance(cell, SupervisorCell):
        return cell
    raise NoProc(f"{name} is a worker, not a supervisor", worker=name, reason="noproc")


def forbid_reentry(world: World) -> None:
    """Raise `CalledFromStep` while the loop runs: nothing may enter it twice.

    What an interruption has left of the loop is mended first: the stack tells whether it runs.
    """
    if world.pumping and heal(world):
        if (running := world.guard.cell) is not None:
            raise CalledFromStep(f"{running.spec.id} {FROM_STEP}")
        who = "a reader of outcomes or reports"
        raise CalledFromStep(f"{who} called its own node, which is busy with it")


def put(
    world: World,
    cell: WorkerCell,
    kind: Kind,
    message: Any,
    pending: Pending | None,
    *,
    wait: bool,
    within_s: float = math.inf,
) -> None:
    """Admit an input from outside to the queue.

    While it is full and `wait` is set, what waits is served first, once and for `within_s` at most:
    workers that send to each other without end may keep it full all the same. A cast to a worker
    that does not run waits for its next life, or is dropped if it has
    none.

    Raises:
        NoProc: a call of a worker that does not run.
        QueueFull: there is no room, in the queue or behind a worker that is suspended.
        CalledFromStep: a step calls its own node.
        CalleeStopped: the tree is down; `GaveUp`, if its root gave up.
    """
    enter(world, cell.spec.id, wait=wait, within_s=within_s)
    if cell.status is not RUNNING and pending is not None:
        raise not_running(cell)
    if cell.extra is not None or len(world.queue) >= world.bound:
        refuse_if_full(world, cell)
    if cell.status is not RUNNING and not comes_back(cell):
        no_process(world, cell, kind, message, None)
        return
    world.queue.append((cell, kind, message, pending))
    wake = world.outside.wake
    if wake is not None and not world.pumping:
        wake()


def enter(world: World, whom: str, *, wait: bool, within_s: float = math.inf) -> None:
    """Make room in the queue where there is none; raise as `put` if nothing may be put there."""
    if world.guard.cell is not None and heal(world):
        raise CalledFromStep(f"{world.guard.cell.spec.id} {FROM_STEP}")
    if wait and len(world.queue) >= world.bound and not world.pumping:
        make_room(world, within_s)
    if not world.running:
        raise tree_down(world, whom)


def full_queue(world: World, whom: str) -> QueueFull:
    """Return the error for an input that finds no room."""
    return QueueFull(f"the queue is full: {world.bound} inputs wait", worker=whom)


def refuse_if_full(world: World, cell: WorkerCell) -> None:
    """Raise `QueueFull` if there is no room in the queue, or behind a worker that is held."""
    name, bound = cell.spec.id, world.bound
    if cell.extra is not None and len(cell.extra.backlog) >= bound:
        doing = "suspended" if cell.suspended else "being restarted"
        raise QueueFull(f"{name} is {doing} and {bound} inputs wait already", worker=name)
    if len(world.queue) >= bound:
        raise full_queue(world, name)


@loop_code
def make_room(world: World, within_s: float) -> None:
    """Serve what waits now, a batch at a time: for a turn all of it, then until there is room.

    `within_s` ends it in any case. To go on while that is quick saves a flood most ways here.
    A publish to a large group takes one place, and is as many inputs as it has still to bring.
    """
    queue, clock, keeper = world.queue, world.clock.now_s, world.outside.keeper
    left, to_bring, now_s = len(queue), world.groups.under_way, clock()
    turn_s, end_s = now_s + TURN_S, now_s + within_s
    world.pumping = True
    try:
        while left > 0 and (len(queue) >= world.bound or now_s < turn_s):
            before = len(queue)
            full = keeper is not None and keeper.is_full()
            most = left if left < AT_ONCE else AT_ONCE  # noqa: FURB136 - quicker than `min`
            run_batch(world, NEVER, 0 if full else most)
            if keeper is not None:
                keeper.commit()
            if world.groups.under_way < to_bring:  # a publish that waits has come on
                left, to_bring = len(queue), world.groups.under_way
            else:
                served = before - len(queue)
                left -= served if served > 1 else 1  # noqa: FURB136 - likewise
            now_s = clock() if left > 0 else end_s
            if now_s >= end_s:
                break
    except BaseException:
        mend(world)
        leave(world)
        raise
    leave(world)

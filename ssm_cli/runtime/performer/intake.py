"""How inputs get into the queue: names become cells, and the bound is kept."""

from __future__ import annotations

import difflib
from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import CalledFromStep, CalleeStopped, NoProc, QueueFull
from ssm_cli.runtime.engine.cell import Cell, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.performer.loop import NEVER, run_batch

MOST_NAMES_COMPARED = 10_000


def find(core: Core, name: str) -> Cell | None:
    """The node of that id or path, running or not."""
    return core.find(name)


def need(core: Core, name: str) -> Cell:
    """The same; raises `NoProc` with the nearest name where there is none."""
    cell = find(core, name)
    if cell is not None:
        return cell
    names = list(core.names)[:MOST_NAMES_COMPARED]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise NoProc(f"no worker {name}{hint}", worker=name, reason="noproc")


def need_worker(core: Core, name: str) -> WorkerCell:
    """The worker of that name, or `NoProc`."""
    cell = need(core, name)
    if isinstance(cell, WorkerCell):
        return cell
    if isinstance(cell, RemoteCell):
        wrong = f"{name} is a subtree on another computer; call {name}.WORKER"
        raise NoProc(wrong, worker=name, reason="noproc")
    raise NoProc(f"{name} is a supervisor, not a worker", worker=name, reason="noproc")


def need_supervisor(core: Core, name: str) -> SupervisorCell:
    """The supervisor of that name, or `NoProc`."""
    cell = need(core, name)
    if isinstance(cell, SupervisorCell):
        return cell
    raise NoProc(f"{name} is a worker, not a supervisor", worker=name, reason="noproc")


def forbid_reentry(core: Core) -> None:
    """Raise `CalledFromStep` while the loop runs: nothing may enter it twice."""
    if core.pumping:
        running = core.guard.cell
        who = running.spec.id if running is not None else "a reader of outcomes or reports"
        raise CalledFromStep(f"{who} called its own node, which is busy with it")


def put(
    core: Core, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None, *, wait: bool
) -> None:
    """Put an input into the queue.

    While it is full and `wait` is set, what waits is served first, once: workers that send to
    each other without end may keep it full all the same.

    Raises:
        QueueFull: there is no room.
        CalledFromStep: a step calls its own node.
        CalleeStopped: the tree is down.
    """
    if core.guard.cell is not None:
        name = core.guard.cell.spec.id
        raise CalledFromStep(f"{name} called its own node from a step; return an effect")
    queue = core.queue
    if wait and len(queue) >= core.bound and not core.pumping:
        make_room(core)
    if not core.running:
        raise CalleeStopped("the tree is not running", worker=cell.spec.id, reason="noproc")
    if len(queue) >= core.bound:
        raise QueueFull(f"the queue is full: {core.bound} inputs wait", worker=cell.spec.id)
    queue.append((cell, kind, message, pending))
    if core.wake is not None and not core.pumping:
        core.wake()


def make_room(core: Core) -> None:
    """Serve as many inputs as wait now."""
    core.pumping = True
    try:
        full = core.keeper is not None and core.keeper.is_full()
        run_batch(core, NEVER, 0 if full else len(core.queue))
        if core.keeper is not None:
            core.keeper.commit()
    finally:
        core.pumping = False

"""Other code for a worker that lives: its code, its state, and what waits for it, at once.

The worker is not restarted. Its timers, runs, callers, groups, links, `sys` settings and counts
stay. What is in memory may be of classes that the new code has anew (`Recode.carry`): the state,
the inputs that wait and the messages of its timers become values of those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, behaviour_of
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import SsmError
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.durable.recoded import record_code
from ssm_cli.runtime.engine.cell import Cell, CellStatus, SupervisorCell, WorkerCell, replan
from ssm_cli.runtime.engine.commit import restart_timeout
from ssm_cli.runtime.engine.entries import MARKED
from ssm_cli.runtime.engine.publishing import Publishing, catch_up
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import error_detail
from ssm_cli.spec.model import ChildSpec, SupervisorSpec, WorkerSpec

Carry = Callable[[Any], Any]


class Recode(msgspec.Struct, frozen=True, eq=False):
    """What a worker is to go on with.

    Attributes:
        start: its code, as a child spec names it.
        behaviour: the same, made.
        state: of that code; of a worker that does not run and has none, None.
        carry: turns a value of the classes of before into one of the new classes; the same object
            always into the same one, so that forks know what waits in them.
        before: the state of before, as the record of it says: of that code, where it can be.
        detail: what the report says.
    """

    start: Any
    behaviour: Behaviour
    state: Any
    carry: Carry
    before: Any
    detail: dict[str, Any]

    @property
    def id(self) -> str:
        """What a record says of it: the digests of the code."""
        return " -> ".join(str(self.detail[key]) for key in ("was", "code") if key in self.detail)


def recode(world: World, cell: WorkerCell, to: Recode) -> None:
    """Have a worker go on with other code.

    Raises:
        StorageError: a durable worker's state cannot be written; nothing has changed.
    """
    old, spec = cell.spec, msgspec.structs.replace(cell.spec, start=to.start)
    kept = None if world.forked else kept_of(cell)
    try:
        if kept is not None:
            there = bare_cell(spec, to.behaviour)
            record_code(world.outside.keeper, cell, kept, there, to.state)
        exchange(world, cell, to, (old, spec))
    except BaseException:
        if kept is None or kept.behaviour is to.behaviour:
            exchange(world, cell, to, (old, spec))  # it can be repeated
        raise
    world.report("reloaded", cell, to.detail)


def exchange(
    world: World, cell: WorkerCell, to: Recode, specs: tuple[WorkerSpec, WorkerSpec]
) -> None:
    """Put the code in its place, carry what waits to it, and choose anew how it is served.

    What interrupts it has it done once more: the same value is carried to the same one.
    """
    old, spec = specs
    catch_up(world, spec.id)
    if world.history is not None and cell.spec is old:
        hand_over(world.history.ring, cell, former_of(cell))
    cell.spec = spec
    put_in(cell.parent, lambda one: spec if one is old else one)
    cell.behaviour, cell.codec, cell.state = to.behaviour, None, to.state
    carry_waiting(world, cell, to.carry)
    replan(cell)
    if cell.status is CellStatus.RUNNING:
        restart_timeout(world, cell)


def carry_waiting(world: World, cell: WorkerCell, carry: Carry) -> None:
    """Carry what waits for a worker, each in its place: in the queue, put off, in timers."""
    queue = world.queue
    for index, (who, kind, message, waiter) in enumerate(queue):
        if who is cell:
            queue[index] = who, kind, carried_message(message, carry), waiter
    world.timers.entries.update(carried_timers(world, cell, carry))
    if cell.extra is not None:
        put_off = [
            (kind, carried_message(message, carry), waiter)
            for kind, message, waiter in cell.extra.backlog
        ]
        caught = None if cell.extra.breaks is None else cell.extra.breaks.held(cell)
        cell.extra.backlog = deque(put_off)
        if caught is not None:  # it stays held, and what the code of before has made of it is void
            caught.came, caught.before = put_off[0][1], NOTHING


def tell_difference(world: World, cell: Cell, detail: dict[str, Any]) -> None:
    """Report that the changed code of a worker comes out differently, and is not taken."""
    world.report("code_differs", cell, detail)


def tell_failure(world: World, error: SsmError) -> None:
    """Report that code that has changed cannot be taken."""
    world.report("code_failed", world.root, {"error": error_detail(error)})


def hand_over(ring: deque[Any], cell: WorkerCell, former: WorkerCell) -> None:
    """Have all that is remembered but the last name another cell, which has the code of then."""
    entries = [(e[0], former, *e[2:]) if e[1] is cell else e for e in ring]
    if entries:
        entries[-1] = ring[-1]
    ring.clear()
    ring.extend(entries)


def former_of(cell: WorkerCell) -> WorkerCell:
    """Return a cell that stands for one with the code that it has now, in records of the past."""
    former = WorkerCell(cell.spec, cell.parent)
    former.behaviour, former.codec = cell.behaviour, cell.codec
    former.starts, former.steps, former.status = cell.starts, cell.steps, cell.status
    return former


def bare_cell(spec: WorkerSpec, behaviour: Behaviour | None = None) -> WorkerCell:
    """Return a cell that is in no tree, to show values of other code, and to step it."""
    cell = WorkerCell(spec)
    cell.behaviour = behaviour_of(spec.start) if behaviour is None else behaviour
    return cell


def waiting_values(world: World, cell: WorkerCell) -> Iterator[Any]:
    """Yield the messages that wait for a worker: in the queue, put off, in timers."""
    for who, _, message, _ in world.queue:
        if who is cell:
            yield message
        elif type(message) is Publishing and message.awaited_by(cell.spec.id):
            yield message.message
    if cell.extra is not None:
        yield from (message for _, message, _ in cell.extra.backlog)
    for _, _, entry in world.timers.waiting():
        if getattr(entry, "cell", None) is cell and hasattr(entry, "message"):
            yield entry.message


def carried_message(message: Any, carry: Carry) -> Any:
    """Return what waits for a worker, carried; what marks it stays."""
    if not isinstance(message, MARKED):
        return carry(message)
    inner = carry(getattr(message, "message", None))
    alike = inner is getattr(message, "message", None)
    return message if alike else msgspec.structs.replace(message, message=inner)


def carried_timers(world: World, cell: WorkerCell, carry: Carry) -> dict[int, tuple[float, Any]]:
    """Return the timers of a worker that bring a message, carried, by their numbers."""
    return {
        number: (due_s, carried_message(entry, carry))
        for due_s, number, entry in world.timers.waiting()
        if getattr(entry, "cell", None) is cell and hasattr(entry, "message")
    }


def recode_pool(world: World, sup: SupervisorCell, start: Any) -> None:
    """Have the children to come of a pool be of other code."""
    del world
    put_in(sup, lambda one: msgspec.structs.replace(one, start=start))


def put_in(sup: SupervisorCell | None, change: Callable[[ChildSpec], ChildSpec]) -> None:
    """Change the children in the spec of a supervisor, and that spec in all above it.

    A cell and the spec of its supervisor have one object in common: by that a restart knows it.
    """
    if sup is None:
        return
    old: SupervisorSpec = sup.spec
    children = tuple(map(change, old.children))
    if any(a is not b for a, b in zip(children, old.children, strict=True)):
        new = sup.spec = msgspec.structs.replace(old, children=children)
        put_in(sup.parent, lambda one: new if one is old else one)

"""The performer: a supervisor's decisions are carried out here, and nowhere else.

Every end of a child comes as `on_exit`, every second try of a failed restart as `on_try_again`,
through the system lane. The decisions themselves are in `supervision/decisions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ssm_cli.behaviour.reasons import SHUTDOWN, ExitReason, Lost
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import CalleeStopped
from ssm_cli.runtime.engine.cell import Cell, Status, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.crashes import decide
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.children import forget
from ssm_cli.runtime.performer.ending import (
    drop_requests,
    terminate_all,
    terminate_children,
)
from ssm_cli.runtime.performer.starting import (
    Started,
    start_all,
    start_cell,
    without_collector,
)
from ssm_cli.runtime.reports import ending
from ssm_cli.spec.model import Backoff, Restart, Strategy
from ssm_cli.supervision.decisions import (
    Decision,
    affected,
    backoff_ms,
    is_restarted,
    on_end,
    on_restart,
)

AWAY_S = 0.5  # between two tries to start a remote child while its cluster does not answer
FENCED = Lost("fenced")
ONE_FOR_ONE = Strategy.ONE_FOR_ONE
TEMPORARY = Restart.TEMPORARY


def announce_exit(world: World, cell: Cell, reason: ExitReason) -> None:
    """A child has ended of its own accord: its supervisor will look at it."""
    cell.status = Status.DEAD
    world.post(on_exit, world, cell, cell.starts, reason)


def on_exit(world: World, cell: Cell, starts: int, reason: ExitReason) -> None:
    """A supervisor looks at a child that has ended (`{'EXIT', Pid, Reason}`)."""
    if cell.status is not Status.DEAD or cell.starts != starts:
        return  # it was terminated or replaced before the supervisor looked
    sup = cell.parent
    if sup is None:
        root_down(world, reason)
        return
    if sup.suspended:
        sup.more().backlog.append((on_exit, (world, cell, starts, reason)))
        return
    if is_restarted(cell.spec.restart, reason):
        restart(world, sup, cell)
        return
    significant = cell.spec.significant
    settle(world, sup, cell)
    left = significant and any(
        other.spec.significant and other.status is not Status.UNDEFINED
        for other in sup.children.values()
    )
    decision = on_end(sup.spec.auto_shutdown, significant, left)
    decide(cell, decision.value, [cell.spec.id], {})
    if decision is Decision.AUTO_SHUT:
        note(world, "auto_shutdown", cell, ())
        die(world, sup, SHUTDOWN)


def on_try_again(world: World, cell: Cell, starts: int) -> None:
    """A restart that failed is tried again, and counted again (`try_again_restart`)."""
    sup = cell.parent
    if sup is None or cell.status is not Status.RESTARTING or cell.starts != starts:
        return
    if sup.status is not Status.RUNNING:
        return
    if sup.suspended:
        sup.more().backlog.append((on_try_again, (world, cell, starts)))
        return
    restart(world, sup, cell)


def settle(world: World, sup: SupervisorCell, cell: Cell) -> None:
    """Forget a child that is done, or keep its spec without a process (`del_child`)."""
    dynamic = sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
    if dynamic or cell.spec.restart is TEMPORARY:
        forget(world, cell)
    cell.status = Status.UNDEFINED


def restart(world: World, sup: SupervisorCell, cell: Cell) -> None:
    """Count a restart, then restart by the strategy, wait for the back-off, or give up."""
    spec = sup.spec
    restarts = count_restart(world, sup, cell)
    limits = {"restarts": restarts, "intensity": spec.intensity, "period": spec.period_s}
    if on_restart(restarts, spec.intensity) is Decision.GIVE_UP:
        world.report("gave_up", sup, {"child": cell.spec.id, **limits})
        note(world, "gave_up", cell, ())
        decide(cell, "give_up", list(sup.children), limits)
        settle(world, sup, cell)
        world.gave_up = world.gave_up or sup.parent is None
        die(world, sup, SHUTDOWN)
        return
    if cell.spec.backoff is None:
        perform_restart(world, sup, cell, limits)
    else:
        delay(world, sup, cell, cell.spec.backoff, limits)


def note(world: World, event: str, cell: Cell, names: Sequence[str]) -> None:
    """Record a decision, in a node that keeps a journal."""
    if world.keeper is not None and cell.parent is not None:
        world.keeper.note(cell.parent.spec.id, event, cell.spec.id, tuple(names))


def count_restart(world: World, sup: SupervisorCell, cell: Cell) -> int:
    """Count a restart; the restarts in the window.

    A remote child that stopped itself since it could not renew its lease has not failed: that is
    what it must do while the cluster chooses another leader. Nor has one that cannot be started
    since the cluster does not answer.
    """
    if cell.last_reason == FENCED or (cell.status is Status.RESTARTING and is_cut_off(cell)):
        return sup.window.count(world.clock.now_s())
    return sup.window.add(world.clock.now_s())


def is_cut_off(cell: Cell) -> bool:
    """Whether a remote child was not started since the cluster does not answer."""
    reason = cell.last_reason
    return isinstance(reason, Lost) and reason.word == "noconnection"


def try_again(world: World, cell: Cell) -> None:
    """Have a start that failed tried again: next, or in a moment where the cluster is away."""
    if is_cut_off(cell):
        at_s = world.clock.now_s() + AWAY_S
        world.timers.start(at_s, on_try_again, world, cell, cell.starts)
    else:
        world.post(on_try_again, world, cell, cell.starts)


def delay(
    world: World, sup: SupervisorCell, cell: Cell, backoff: Backoff, limits: dict[str, Any]
) -> None:
    """Hold a restart back; a child that ran for a whole period begins with the first delay."""
    now_s = world.clock.now_s()
    extra = cell.more()
    if cell.status is Status.DEAD and now_s - cell.since_s > sup.spec.period_s:
        extra.attempt = 0
    delay_ms = backoff_ms(backoff, extra.attempt, world.random.random())
    extra.attempt += 1
    cell.status = Status.RESTARTING
    extra.delay_until_s = now_s + delay_ms / 1000
    decide(cell, "delay", [cell.spec.id], limits)
    note(world, "delayed", cell, (cell.spec.id,))
    world.report("delayed", cell, {"delay_ms": delay_ms, "attempt": extra.attempt, **limits})
    world.timers.start(extra.delay_until_s, on_delay_over, world, sup, cell, cell.starts, limits)


def on_delay_over(
    world: World, sup: SupervisorCell, cell: Cell, starts: int, limits: dict[str, Any]
) -> None:
    """The back-off of a child is over."""
    if cell.status is not Status.RESTARTING or cell.starts != starts:
        return
    if sup.suspended:
        sup.more().backlog.append((on_delay_over, (world, sup, cell, starts, limits)))
        return
    cell.more().delay_until_s = None
    perform_restart(world, sup, cell, limits)


def perform_restart(world: World, sup: SupervisorCell, cell: Cell, limits: dict[str, Any]) -> None:
    """Terminate what the strategy says in reverse order, then start it in order. Atomic."""
    strategy = sup.spec.strategy
    if strategy is ONE_FOR_ONE:
        tell_restart(world, sup, cell, [cell.spec.id], limits)
        cell.status = Status.UNDEFINED
        restart_all(world, sup, (cell,), limits)
        return
    with without_collector():
        restart_group(world, sup, cell, affected(strategy, sup.children, cell.spec.id), limits)


def restart_group(
    world: World, sup: SupervisorCell, cell: Cell, names: Sequence[str], limits: dict[str, Any]
) -> None:
    """Restart a child that has ended together with those of its siblings that are affected."""
    cells = [sup.children[name] for name in names]
    leaving = [
        c
        for c in cells
        if (c.spec.options if type(c) is WorkerCell else c.spec).restart is TEMPORARY
        and c is not cell
    ]
    staying = cells
    if leaving:
        gone = {c.spec.id for c in leaving}
        names = [name for name in names if name not in gone]
        staying = [sup.children[name] for name in names]
    tell_restart(world, sup, cell, names, limits)
    cell.status = Status.UNDEFINED
    if len(cells) > 1:
        terminate_all(world, [c for c in cells if c is not cell], sup)
    for other in leaving:
        forget(world, other)
    restart_all(world, sup, staying, limits)


def tell_restart(
    world: World, sup: SupervisorCell, cell: Cell, names: Sequence[str], limits: dict[str, Any]
) -> None:
    """Record which children are restarted, by what, and what is left of the intensity."""
    decide(cell, "restart", names, limits)
    note(world, "restarting", cell, names)
    what = {"strategy": sup.spec.strategy.value, "child": cell.spec.id, "children": names}
    world.report("restarting", sup, what | limits)


def restart_all(
    world: World,
    sup: SupervisorCell,
    cells: Sequence[Cell],
    limits: dict[str, Any],
    start_one: Callable[[World, Cell], Started] = start_cell,
) -> None:
    """Start children in the course of a restart; one that fails will be tried again."""
    try:
        failed: Iterable[tuple[Cell, ExitReason | Ignore]]
        if len(cells) == 1:
            outcome = start_one(world, cells[0])
            failed = () if outcome is None else ((cells[0], outcome),)
        else:
            failed = start_all(world, cells)
        for child, outcome in failed:
            if not isinstance(outcome, Ignore):
                child.status = Status.RESTARTING
                try_again(world, child)
                return
            if sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
                forget(world, child)
    except KeyboardInterrupt:  # whoever goes on after that finds the restart still to be done
        child = next(c for c in cells if c.status is not Status.RUNNING)
        child.status = Status.RESTARTING
        world.post(on_delay_over, world, sup, child, child.starts, limits)
        raise


def die(world: World, sup: SupervisorCell, reason: ExitReason) -> None:
    """A supervisor ends of its own accord: its children in reverse order, then itself."""
    terminate_children(world, sup)
    sup.last_reason = reason
    world.report("exited", sup, ending(reason))
    cell_starts = sup.starts
    sup.status = Status.DEAD
    drop_requests(sup)
    world.post(on_exit, world, sup, cell_starts, reason)


def root_down(world: World, reason: ExitReason) -> None:
    """The root has ended, and the node with it: whoever still waits is told."""
    world.root.status = Status.UNDEFINED
    world.running = False
    if world.keeper is not None:
        world.keeper.finish()  # with what durable workers have sent to each other
    waiting = [pending for _, _, _, pending in world.queue if pending is not None]
    world.queue.clear()
    world.guard.close()
    world.report("stopped", world.root, ending(reason))
    for pending in waiting:
        pending.fail(CalleeStopped(f"the tree has stopped: {reason}", reason=str(reason)))
    world.guard.close()
    if world.wake is not None:
        world.wake()

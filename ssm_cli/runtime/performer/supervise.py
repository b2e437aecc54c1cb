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
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.crashes import decide
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


def announce_exit(core: Core, cell: Cell, reason: ExitReason) -> None:
    """A child has ended of its own accord: its supervisor will look at it."""
    cell.status = Status.DEAD
    core.post(on_exit, core, cell, cell.starts, reason)


def on_exit(core: Core, cell: Cell, starts: int, reason: ExitReason) -> None:
    """A supervisor looks at a child that has ended (`{'EXIT', Pid, Reason}`)."""
    if cell.status is not Status.DEAD or cell.starts != starts:
        return  # it was terminated or replaced before the supervisor looked
    sup = cell.parent
    if sup is None:
        root_down(core, reason)
        return
    if sup.suspended:
        sup.more().backlog.append((on_exit, (core, cell, starts, reason)))
        return
    if is_restarted(cell.spec.restart, reason):
        restart(core, sup, cell)
        return
    significant = cell.spec.significant
    settle(core, sup, cell)
    left = significant and any(
        other.spec.significant and other.status is not Status.UNDEFINED
        for other in sup.children.values()
    )
    decision = on_end(sup.spec.auto_shutdown, significant, left)
    decide(cell, decision.value, [cell.spec.id], {})
    if decision is Decision.AUTO_SHUT:
        note(core, "auto_shutdown", cell, ())
        die(core, sup, SHUTDOWN)


def on_try_again(core: Core, cell: Cell, starts: int) -> None:
    """A restart that failed is tried again, and counted again (`try_again_restart`)."""
    sup = cell.parent
    if sup is None or cell.status is not Status.RESTARTING or cell.starts != starts:
        return
    if sup.status is not Status.RUNNING:
        return
    if sup.suspended:
        sup.more().backlog.append((on_try_again, (core, cell, starts)))
        return
    restart(core, sup, cell)


def settle(core: Core, sup: SupervisorCell, cell: Cell) -> None:
    """Forget a child that is done, or keep its spec without a process (`del_child`)."""
    dynamic = sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
    if dynamic or cell.spec.restart is TEMPORARY:
        forget(core, cell)
    cell.status = Status.UNDEFINED


def restart(core: Core, sup: SupervisorCell, cell: Cell) -> None:
    """Count a restart, then restart by the strategy, wait for the back-off, or give up."""
    spec = sup.spec
    restarts = count_restart(core, sup, cell)
    limits = {"restarts": restarts, "intensity": spec.intensity, "period": spec.period_s}
    if on_restart(restarts, spec.intensity) is Decision.GIVE_UP:
        core.report("gave_up", sup, {"child": cell.spec.id, **limits})
        note(core, "gave_up", cell, ())
        decide(cell, "give_up", list(sup.children), limits)
        settle(core, sup, cell)
        core.gave_up = core.gave_up or sup.parent is None
        die(core, sup, SHUTDOWN)
        return
    if cell.spec.backoff is None:
        perform_restart(core, sup, cell, limits)
    else:
        delay(core, sup, cell, cell.spec.backoff, limits)


def note(core: Core, event: str, cell: Cell, names: Sequence[str]) -> None:
    """Record a decision, in a node that keeps a journal."""
    if core.keeper is not None and cell.parent is not None:
        core.keeper.note(cell.parent.spec.id, event, cell.spec.id, tuple(names))


def count_restart(core: Core, sup: SupervisorCell, cell: Cell) -> int:
    """Count a restart; the restarts in the window.

    A remote child that stopped itself since it could not renew its lease has not failed: that is
    what it must do while the cluster chooses another leader. Nor has one that cannot be started
    since the cluster does not answer.
    """
    if cell.last_reason == FENCED or (cell.status is Status.RESTARTING and is_cut_off(cell)):
        return sup.window.count(core.clock.now_s())
    return sup.window.add(core.clock.now_s())


def is_cut_off(cell: Cell) -> bool:
    """Whether a remote child was not started since the cluster does not answer."""
    reason = cell.last_reason
    return isinstance(reason, Lost) and reason.word == "noconnection"


def try_again(core: Core, cell: Cell) -> None:
    """Have a start that failed tried again: next, or in a moment where the cluster is away."""
    if is_cut_off(cell):
        at_s = core.clock.now_s() + AWAY_S
        core.timers.start(at_s, on_try_again, core, cell, cell.starts)
    else:
        core.post(on_try_again, core, cell, cell.starts)


def delay(
    core: Core, sup: SupervisorCell, cell: Cell, backoff: Backoff, limits: dict[str, Any]
) -> None:
    """Hold a restart back; a child that ran for a whole period begins with the first delay."""
    now_s = core.clock.now_s()
    extra = cell.more()
    if cell.status is Status.DEAD and now_s - cell.since_s > sup.spec.period_s:
        extra.attempt = 0
    delay_ms = backoff_ms(backoff, extra.attempt, core.random.random())
    extra.attempt += 1
    cell.status = Status.RESTARTING
    extra.delay_until_s = now_s + delay_ms / 1000
    decide(cell, "delay", [cell.spec.id], limits)
    note(core, "delayed", cell, (cell.spec.id,))
    core.report("delayed", cell, {"delay_ms": delay_ms, "attempt": extra.attempt, **limits})
    core.timers.start(extra.delay_until_s, on_delay_over, core, sup, cell, cell.starts, limits)


def on_delay_over(
    core: Core, sup: SupervisorCell, cell: Cell, starts: int, limits: dict[str, Any]
) -> None:
    """The back-off of a child is over."""
    if cell.status is not Status.RESTARTING or cell.starts != starts:
        return
    if sup.suspended:
        sup.more().backlog.append((on_delay_over, (core, sup, cell, starts, limits)))
        return
    cell.more().delay_until_s = None
    perform_restart(core, sup, cell, limits)


def perform_restart(core: Core, sup: SupervisorCell, cell: Cell, limits: dict[str, Any]) -> None:
    """Terminate what the strategy says in reverse order, then start it in order. Atomic."""
    strategy = sup.spec.strategy
    if strategy is ONE_FOR_ONE:
        tell_restart(core, sup, cell, [cell.spec.id], limits)
        cell.status = Status.UNDEFINED
        restart_all(core, sup, (cell,), limits)
        return
    with without_collector():
        restart_group(core, sup, cell, affected(strategy, sup.children, cell.spec.id), limits)


def restart_group(
    core: Core, sup: SupervisorCell, cell: Cell, names: Sequence[str], limits: dict[str, Any]
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
    tell_restart(core, sup, cell, names, limits)
    cell.status = Status.UNDEFINED
    if len(cells) > 1:
        terminate_all(core, [c for c in cells if c is not cell], sup)
    for other in leaving:
        forget(core, other)
    restart_all(core, sup, staying, limits)


def tell_restart(
    core: Core, sup: SupervisorCell, cell: Cell, names: Sequence[str], limits: dict[str, Any]
) -> None:
    """Record which children are restarted, by what, and what is left of the intensity."""
    decide(cell, "restart", names, limits)
    note(core, "restarting", cell, names)
    what = {"strategy": sup.spec.strategy.value, "child": cell.spec.id, "children": names}
    core.report("restarting", sup, what | limits)


def restart_all(
    core: Core,
    sup: SupervisorCell,
    cells: Sequence[Cell],
    limits: dict[str, Any],
    start_one: Callable[[Core, Cell], Started] = start_cell,
) -> None:
    """Start children in the course of a restart; one that fails will be tried again."""
    try:
        failed: Iterable[tuple[Cell, ExitReason | Ignore]]
        if len(cells) == 1:
            outcome = start_one(core, cells[0])
            failed = () if outcome is None else ((cells[0], outcome),)
        else:
            failed = start_all(core, cells)
        for child, outcome in failed:
            if not isinstance(outcome, Ignore):
                child.status = Status.RESTARTING
                try_again(core, child)
                return
            if sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
                forget(core, child)
    except KeyboardInterrupt:  # whoever goes on after that finds the restart still to be done
        child = next(c for c in cells if c.status is not Status.RUNNING)
        child.status = Status.RESTARTING
        core.post(on_delay_over, core, sup, child, child.starts, limits)
        raise


def die(core: Core, sup: SupervisorCell, reason: ExitReason) -> None:
    """A supervisor ends of its own accord: its children in reverse order, then itself."""
    terminate_children(core, sup)
    sup.last_reason = reason
    core.report("exited", sup, ending(reason))
    cell_starts = sup.starts
    sup.status = Status.DEAD
    drop_requests(sup)
    core.post(on_exit, core, sup, cell_starts, reason)


def root_down(core: Core, reason: ExitReason) -> None:
    """The root has ended, and the node with it: whoever still waits is told."""
    core.root.status = Status.UNDEFINED
    core.running = False
    if core.keeper is not None:
        core.keeper.finish()  # with what durable workers have sent to each other
    waiting = [pending for _, _, _, pending in core.queue if pending is not None]
    core.queue.clear()
    core.guard.close()
    core.report("stopped", core.root, ending(reason))
    for pending in waiting:
        pending.fail(CalleeStopped(f"the tree has stopped: {reason}", reason=str(reason)))
    core.guard.close()
    if core.wake is not None:
        core.wake()

"""Supervision, carried out: a verdict about a child becomes terminations, starts and reports.

Every end of a child comes as `on_exit`, every further try of a failed restart as `on_try_again`.
The verdicts themselves are in `supervision/decisions.py`.

A child that is to be started is `RESTARTING` (it ended, or failed to start) or `WAITING` (it goes
down and up with a sibling) until it runs. So whatever interrupts a restart, `performer/mend.py`
finds what is left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from ssm_cli.behaviour.reasons import SHUTDOWN, ExitReason
from ssm_cli.behaviour.results import Ignore
from ssm_cli.runtime.durable.lives import is_withheld
from ssm_cli.runtime.durable.pools import is_durable
from ssm_cli.runtime.durable.records import Note
from ssm_cli.runtime.engine.backlog import refuse_below
from ssm_cli.runtime.engine.cell import Cell, CellStatus, SupervisorCell
from ssm_cli.runtime.engine.crashes import decide
from ssm_cli.runtime.engine.entries import ChildEnded, Restart, StartAgain, TryAgain
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.children import forget, without_collector
from ssm_cli.runtime.performer.ending import (
    cancel_coming,
    drop_requests,
    terminate_all,
    terminate_cell,
    terminate_children,
)
from ssm_cli.runtime.performer.members import dismiss
from ssm_cli.runtime.performer.starting import (
    AGAIN,
    COMING,
    IGNORE,
    WITHHELD,
    Started,
    come_up,
    has_begun,
    start_all,
    start_cell,
)
from ssm_cli.runtime.performer.stopping import root_down
from ssm_cli.runtime.reports import ending
from ssm_cli.spec.model import Backoff, Strategy
from ssm_cli.spec.model import Restart as RestartType
from ssm_cli.supervision.decisions import (
    AutoShut,
    Delayed,
    Forget,
    GiveUp,
    Restarted,
    Verdict,
    backoff_ms,
    is_cut_off,
    is_ordered,
    scope,
    verdict,
)

AWAY = Backoff(500, 2, 5000, 0.0)
"""Between two tries to start a remote child for which there is no node, or no cluster."""
TEMPORARY = RestartType.TEMPORARY
SIMPLE = Strategy.SIMPLE_ONE_FOR_ONE
Limits = dict[str, Any]


def announce_exit(world: World, cell: Cell, reason: ExitReason) -> None:
    """Tell the supervisor of a child that has ended of its own accord."""
    if world.outside.coming:
        cancel_coming(world, cell)
    cell.last_reason = reason
    cell.status = CellStatus.DEAD
    world.post(ChildEnded(cell, cell.starts, reason))


def on_exit(world: World, entry: ChildEnded) -> None:
    """Have a supervisor look at a child that has ended (`{'EXIT', Pid, Reason}`)."""
    cell = entry.cell
    if cell.status is not CellStatus.DEAD or cell.starts != entry.starts:
        return  # it was terminated or replaced before the supervisor looked
    if cell.parent is None:
        root_down(world, entry.reason)
    elif cell.parent.suspended:
        cell.parent.ensure_extra().backlog.append(entry)
    else:
        carry_out(world, cell.parent, cell, judge(world, cell.parent, cell, entry.reason))


def on_try_again(world: World, entry: TryAgain) -> None:
    """Try a restart again that failed, and count it again (`try_again_restart`)."""
    cell, sup = entry.cell, entry.cell.parent
    if sup is None or cell.status is not CellStatus.RESTARTING or cell.starts != entry.starts:
        return
    if sup.suspended:
        sup.ensure_extra().backlog.append(entry)
    elif sup.status is CellStatus.RUNNING and is_cut_off(cell.last_reason):
        ask_anew(world, sup, cell)
    elif sup.status is CellStatus.RUNNING:
        carry_out(world, sup, cell, judge(world, sup, cell, None))


def ask_anew(world: World, sup: SupervisorCell, cell: Cell) -> None:
    """Ask for a remote child again that was not to be had: the same restart, and no other one."""
    extra = cell.ensure_extra()
    if extra.delay_until_s is None or extra.delay_until_s <= world.clock.now_s():
        extra.delay_until_s = None
        settle_start(world, sup, cell, come_up(world, cell))


def on_restart(world: World, entry: Restart) -> None:
    """Carry out a restart that was decided before: a back-off is over, or it was interrupted."""
    cell, sup = entry.cell, entry.cell.parent
    waits = cell.status is CellStatus.RESTARTING or cell.status is CellStatus.WAITING
    if sup is None or not waits or cell.starts != entry.starts or is_behind(world, sup):
        return
    if sup.suspended:
        sup.ensure_extra().backlog.append(entry)
    elif sup.status is CellStatus.RUNNING:
        if cell.extra is not None:
            cell.extra.delay_until_s = None
        stop, start = scope(sup.spec.strategy, sup.children, cell.spec.id, sup.temporary)
        restart(world, sup, cell, Restarted(stop, start, entry.restarts))


def is_behind(world: World, sup: SupervisorCell) -> bool:
    """Return whether children of a supervisor are started once one that is coming is there."""
    coming, ordered = world.outside.coming, is_ordered(sup.spec.strategy)
    return bool(coming) and ordered and any(cell in coming for cell in sup.children.values())


def unawaited(world: World, sup: SupervisorCell) -> list[Cell]:
    """Return the children that are down for a sibling's sake, of which no sibling's start is one.

    They were to start with one that is gone, or that starts without them by a strategy, or an
    order, which the supervisor has been given meanwhile.
    """
    cells = sup.children.values()
    waiting = [cell for cell in cells if cell.status is CellStatus.WAITING]
    if not waiting or sup.status is not CellStatus.RUNNING or is_behind(world, sup):
        return []
    first = next((cell.spec.id for cell in cells if cell.status is CellStatus.RESTARTING), None)
    if first is None:
        return waiting
    along = {*scope(sup.spec.strategy, sup.children, first)[1]}
    return [cell for cell in waiting if cell.spec.id not in along]


def on_start_again(world: World, entry: StartAgain) -> None:
    """Try to start a durable worker again that could not start from its state; it counts not."""
    cell, sup = entry.cell, entry.cell.parent
    if sup is None or cell.status is not CellStatus.UNDEFINED or cell.starts != entry.starts:
        return
    if sup.status is CellStatus.RUNNING and sup.children.get(cell.spec.id) is cell:
        settle_start(world, sup, cell, start_cell(world, cell))


def judge(world: World, sup: SupervisorCell, cell: Cell, ended: ExitReason | None) -> Verdict:
    """Return what a supervisor decides about a child; `ended` is None for a failed start."""
    delays = cell.spec.backoff is not None
    return verdict(
        sup.spec,
        sup.window,
        sup.children,
        cell,
        ended,
        now_s=world.clock.now_s(),
        chance=world.chance() if delays else 0.5,
        held=0 if cell.extra is None else cell.extra.attempt,
        temporary=sup.temporary,
    )


def carry_out(world: World, sup: SupervisorCell, cell: Cell, decided: Verdict) -> None:
    """Carry out what a supervisor has decided about a child."""
    match decided:
        case Forget():
            decide(cell, decided.word, [cell.spec.id], {})
            settle_down(world, sup, cell)
        case AutoShut():
            decide(cell, decided.word, [cell.spec.id], {})
            note(world, "auto_shutdown", cell, ())
            sup.status, sup.last_reason = CellStatus.ENDING, SHUTDOWN
            settle_down(world, sup, cell)
            die(world, sup, SHUTDOWN)
        case GiveUp():
            limits = limits_of(sup, decided.restarts)
            world.report("gave_up", sup, {"child": cell.spec.id, **limits})
            note(world, "gave_up", cell, ())
            decide(cell, decided.word, list(sup.children), limits)
            world.gave_up = world.gave_up or sup.parent is None
            sup.status, sup.last_reason = CellStatus.ENDING, SHUTDOWN
            settle_down(world, sup, cell, for_good=False)
            die(world, sup, SHUTDOWN)
        case Restarted():
            cell.status = CellStatus.RESTARTING
            count_restart(world, sup, decided.restarts)
            restart(world, sup, cell, decided)
        case Delayed():
            cell.status = CellStatus.RESTARTING
            count_restart(world, sup, decided.restarts)
            delay(world, sup, cell, decided)


def count_restart(world: World, sup: SupervisorCell, restarts: int) -> None:
    """Add a restart to the window of a supervisor, if the verdict has counted it."""
    now_s = world.clock.now_s()
    if restarts > sup.window.count(now_s):
        sup.window.add(now_s)


def limits_of(sup: SupervisorCell, restarts: int) -> Limits:
    """Return how many restarts there are of how many that may be, for a report."""
    return {
        "restarts": restarts,
        "intensity": sup.spec.intensity,
        "period": sup.spec.period_s,
    }


def settle_down(world: World, sup: SupervisorCell, cell: Cell, *, for_good: bool = True) -> None:
    """Forget a child that is done, or keep its spec without a process (`del_child`).

    A child of a durable pool that is not gone for good stays in the table, too.
    """
    cell.status = CellStatus.UNDEFINED
    refuse_below(world, cell)
    stays = not for_good and is_durable(sup.spec)
    if not stays and (sup.spec.strategy is SIMPLE or cell.spec.restart is TEMPORARY):
        forget(world, cell)
        dismiss(world, sup, cell)


def note(world: World, event: str, cell: Cell, names: Sequence[str]) -> None:
    """Record a decision, in a node that keeps a journal."""
    keeper = world.outside.keeper
    if keeper is not None and cell.parent is not None:
        keeper.add(Note(cell.parent.spec.id, keeper.at_s(), event, cell.spec.id, tuple(names)))


def delay(world: World, sup: SupervisorCell, cell: Cell, decided: Delayed) -> None:
    """Hold a restart back: its siblings go down now, and all start when its back-off is over."""
    limits, extra = limits_of(sup, decided.restarts), cell.ensure_extra()
    extra.attempt = decided.attempt
    extra.delay_until_s = decided.until_s
    decide(cell, decided.word, [cell.spec.id], limits)
    note(world, "delayed", cell, (cell.spec.id,))
    what = {"delay_ms": decided.delay_ms, "attempt": decided.attempt, **limits}
    world.report("delayed", cell, what)
    ending = [one for one in concerned(sup, cell, decided) if one is not cell]
    take_down(world, sup, ending, decided.start)
    world.timers.start(decided.until_s, Restart(cell, cell.starts, decided.restarts))


def restart(world: World, sup: SupervisorCell, cell: Cell, decided: Restarted) -> None:
    """Terminate in reverse order what is to go down, then start in order. Atomic."""
    limits = limits_of(sup, decided.restarts)
    decide(cell, decided.word, decided.start, limits)
    note(world, "restarting", cell, decided.start)
    what = {"strategy": sup.spec.strategy.value, "child": cell.spec.id, "children": decided.start}
    world.report("restarting", sup, what | limits)
    cell.status = CellStatus.RESTARTING
    if not decided.stop:
        start_again(world, sup, (cell,))
        return
    starting = concerned(sup, cell, decided)
    ending = [one for one in starting if one is not cell]
    if len(decided.start) < len(starting):
        starting = [*map(sup.children.__getitem__, decided.start)]
    with without_collector(world):
        take_down(world, sup, ending, decided.start)
        start_again(world, sup, starting)


def concerned(sup: SupervisorCell, cell: Cell, decided: Restarted | Delayed) -> list[Cell]:
    """Return the child that is restarted and those that go down with it, in start order."""
    if not decided.stop:
        return [cell]
    count = 1 + len(decided.stop)  # the last ones, see `scope`: no names need to be looked up
    return [*islice(reversed(sup.children.values()), count)][::-1]


def take_down(
    world: World, sup: SupervisorCell, cells: Sequence[Cell], start: Sequence[str]
) -> None:
    """Terminate children that are started again, and forget those that are not."""
    if not cells:
        return
    terminate_all(world, cells, sup, CellStatus.WAITING)
    if len(start) <= len(cells):  # the child itself is in `start` alone
        staying = set(start)
        for cell in cells:
            if cell.spec.id not in staying:
                cell.status = CellStatus.UNDEFINED
                forget(world, cell)


def start_again(world: World, sup: SupervisorCell, cells: Sequence[Cell]) -> None:
    """Start children in the course of a restart; one that fails will be tried again."""
    if len(cells) == 1:
        settle_start(world, sup, cells[0], start_cell(world, cells[0]))
        return
    for child, outcome in start_all(world, cells):
        settle_start(world, sup, child, outcome)
        if outcome is COMING:  # the one that has ended may be behind it
            for behind in cells[cells.index(child) + 1 :]:
                behind.status = CellStatus.WAITING
        if outcome is COMING or not isinstance(outcome, Ignore):
            return


def restart_now(world: World, sup: SupervisorCell, cell: Cell) -> Started:
    """Stop a child in order and start it again; whatever its restart type, and uncounted.

    One that is held back by its back-off is started at once, with all that start with it, and is
    tried again if that fails; any other one is down then, but for a remote child for which there is
    no node or server at the moment: it is tried again, too. Return as `start_cell`.
    """
    if cell.status is CellStatus.RESTARTING:
        on_restart(world, Restart(cell, cell.starts, sup.window.count(world.clock.now_s())))
        if cell.status is CellStatus.RESTARTING:
            return cell.last_reason
        if cell in world.outside.coming:
            return COMING
        down = WITHHELD if is_withheld(cell) else IGNORE
        return None if cell.status is CellStatus.RUNNING else down
    terminate_cell(world, cell)
    try:
        outcome = start_cell(world, cell)
    except BaseException:
        undo_start(world, cell)
        settle_down(world, sup, cell, for_good=False)
        raise
    if outcome is not None and outcome is not COMING:
        settle_down(world, sup, cell, for_good=type(outcome) is Ignore)
    return outcome


def undo_start(world: World, cell: Cell) -> None:
    """End a child whose start was interrupted, as far as it had come."""
    has_begun(world)
    terminate_cell(world, cell)


def settle_start(world: World, sup: SupervisorCell, child: Cell, outcome: Started) -> None:
    """Deal with what the start of a child in a restart came to; None: it runs."""
    if outcome is None:
        return
    if outcome is COMING:
        world.outside.coming[child] = AGAIN
    elif isinstance(outcome, Ignore):
        refuse_below(world, child)
        if sup.spec.strategy is SIMPLE and outcome is not WITHHELD:
            forget(world, child)
            dismiss(world, sup, child)
    else:
        child.status, child.last_reason = CellStatus.RESTARTING, outcome
        try_again(world, child)


def try_again(world: World, cell: Cell) -> None:
    """Have a start that failed tried again: next, or later where the cluster is away.

    Then after a back-off, its own or `AWAY`; a node that comes ends that (`remote/news.py`).
    """
    entry = TryAgain(cell, cell.starts)
    if not is_cut_off(cell.last_reason):
        world.retries.append(entry)
        return
    extra, own = cell.ensure_extra(), cell.spec.backoff
    delay_ms = backoff_ms(own or AWAY, extra.attempt, world.chance() if own else 0.5)
    extra.attempt += 1
    extra.delay_until_s = world.clock.now_s() + delay_ms / 1000
    world.timers.start(extra.delay_until_s, entry)


def die(world: World, sup: SupervisorCell, reason: ExitReason) -> None:
    """End a supervisor of its own accord: its children in reverse order, then itself."""
    sup.last_reason = reason
    sup.status = CellStatus.ENDING
    terminate_children(world, sup)
    world.report("exited", sup, ending(reason))
    drop_requests(world, sup)
    announce_exit(world, sup, reason)

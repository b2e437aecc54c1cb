"""Arriving: what becomes of remote children that were asked for, and of what waits for them.

Theory of operation. A start that comes to a remote child asks for it and goes on; nothing is frozen
meanwhile. The child is `STARTING`, its supervisor runs, and both stand in `Outside.coming`, as does
each supervisor above: they have not come up yet, and `started` is not reported.

Who waits goes by the strategy. Under `one_for_one` siblings are independent of each other, by the
very rule that the end of one leaves the others alone: they start side by side. Under `rest_for_one`
and `one_for_all` later children depend on earlier ones: they stay `WAITING` until it is there. What
fails then is what would have failed in OTP, where a start waits: the start of the supervisor, and
so on to the root, or to the restart or request that it was for.
"""

from __future__ import annotations

from ssm_cli.behaviour.reasons import ExitReason, FailedToStart, Shutdown, term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell, SupervisorCell
from ssm_cli.runtime.engine.entries import Arrived, Asked
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.applying import refusal
from ssm_cli.runtime.performer.children import forget
from ssm_cli.runtime.performer.ending import terminate_children
from ssm_cli.runtime.performer.members import answer_kept, dismiss
from ssm_cli.runtime.performer.starting import (
    AGAIN,
    FIRST,
    start_some,
    started,
)
from ssm_cli.runtime.performer.stopping import root_down
from ssm_cli.runtime.performer.supervise import settle_start, start_again
from ssm_cli.runtime.remote.far import release_calls
from ssm_cli.runtime.remote.life import ask_for, take_up
from ssm_cli.supervision.decisions import is_ordered

NOT_YET = (CellStatus.WAITING, CellStatus.RESTARTING, CellStatus.DEAD, CellStatus.ENDING)


def on_arrived(world: World, entry: Arrived) -> None:
    """Go on with what has waited for a remote child that runs now, or failed to start."""
    cell, sup = entry.cell, entry.cell.parent
    if sup is None or cell.status is not CellStatus.STARTING or cell.starts != entry.starts:
        return
    if sup.suspended:
        sup.ensure_extra().backlog.append(entry)
    elif entry.reason is None:
        take_up(world, cell, entry.node, entry.epoch)
        came_up(world, cell)
    else:
        did_not(world, cell, entry.reason)


def came_up(world: World, cell: Cell) -> None:
    """Tell that a child that was coming is up, and go on with its siblings."""
    asked = world.outside.coming.get(cell)
    if isinstance(asked, Asked):
        answer_kept(world, asked, cell.spec.id)
    if isinstance(cell, RemoteCell):
        release_calls(world, cell)
        if cell.extra is not None and cell.spec.backoff is None:
            cell.extra.attempt = 0
    world.outside.coming.pop(cell, None)
    world.report("started", cell)
    if cell.parent is not None:
        go_on_starting(world, cell.parent)


def did_not(world: World, cell: Cell, reason: ExitReason) -> None:
    """Carry out what a start that failed comes to: by what the child was asked for."""
    sup, asked = cell.parent, world.outside.coming.get(cell, AGAIN)
    same = cell.extra is not None and cell.extra.attempt and reason == cell.last_reason
    cell.last_reason = reason
    told = started(world, cell, reason)
    if not same:  # as the try before has told
        world.report(*told)
    if isinstance(cell, RemoteCell):
        release_calls(world, cell)
    if sup is None:
        world.outside.not_started = reason
        root_down(world, reason)
    elif isinstance(asked, Asked):
        if asked.verb == "start_child":
            forget(world, cell)
            dismiss(world, sup, cell)
        why = f"{cell.spec.id} failed to start: {reason}"
        asked.pending.fail(refusal(sup, term_of(reason), why))
    elif asked == FIRST and sup in world.outside.coming:
        not_all(world, sup, Shutdown(FailedToStart(cell.spec.id, reason)))
    else:
        settle_start(world, sup, cell, reason)
    world.outside.coming.pop(cell, None)  # last: what is interrupted is done again
    if sup is not None:
        go_on_starting(world, sup)


def not_all(world: World, sup: SupervisorCell, reason: ExitReason) -> None:
    """End the start of a supervisor of which a child did not start."""
    sup.status, sup.last_reason = CellStatus.ENDING, reason
    terminate_children(world, sup)
    did_not(world, sup, reason)


def go_on_starting(world: World, sup: SupervisorCell) -> None:
    """Start what has waited in a supervisor, unless it waits still; with its last it has come up.

    Decides by how its children stand alone, so that it may be asked at any time.
    """
    coming, starts = world.outside.coming, sup in world.outside.coming
    if sup.status is not CellStatus.RUNNING or sup.suspended:
        return
    if is_ordered(sup.spec.strategy):
        cells = tuple(sup.children.values())
        waiting = [cell for cell in cells if cell.status is CellStatus.WAITING]
        if any(cell in coming or cell.status is CellStatus.RESTARTING for cell in cells):
            return
        if starts and waiting:
            world.outside.completing = sup
            outcome = start_some(world, sup, waiting)
            world.outside.completing = None
            if outcome is not None:
                if not isinstance(outcome, Ignore):
                    not_all(world, sup, outcome)
                return
        elif waiting:
            start_again(world, sup, waiting)
    if starts and not any(
        coming.get(cell) == FIRST or cell.status in NOT_YET for cell in sup.children.values()
    ):
        came_up(world, sup)


def mend_start_of(world: World, cell: Cell) -> None:
    """Go on with the start of a child that is coming, after an interruption."""
    if isinstance(cell, RemoteCell) and cell.status is CellStatus.STARTING:
        ask_for(world, cell)
    elif isinstance(cell, RemoteCell) and cell.status is CellStatus.RUNNING:
        came_up(world, cell)
    elif cell.status is CellStatus.UNDEFINED:
        did_not(world, cell, cell.last_reason)
    elif cell.status is not CellStatus.RUNNING:
        world.outside.coming.pop(cell, None)


def look_at_starts(world: World) -> None:
    """Look at all supervisors that are coming: what they wait for may be gone for good."""
    for cell in [*reversed(world.outside.coming)]:
        if isinstance(cell, SupervisorCell) and cell in world.outside.coming:
            go_on_starting(world, cell)

"""What starts and ends in a fork, which has no store: a durable worker's state stays in its cell.

It is what the next life begins with, and its timers go on, wherever the tree would begin with what
is kept: after an orderly end, and after a crash but for `on_crash: init`. Nothing is saved in a
fork, so a worker with `on_crash: saved` goes on there with the state that it had.
"""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.partition import label_of
from ssm_cli.behaviour.reasons import Crash, ExitReason, Normal, Shutdown
from ssm_cli.behaviour.results import NOTHING, Ok
from ssm_cli.behaviour.visible import begun_anew
from ssm_cli.runtime.engine.cell import SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.commit import leave_timers, start_timer
from ssm_cli.runtime.engine.entries import RunDue, TimerDue
from ssm_cli.runtime.engine.runs import ask_run
from ssm_cli.runtime.engine.world import World
from ssm_cli.spec.model import OnCrash, Persist


def leave_to_next(world: World, cell: WorkerCell, reason: ExitReason) -> bool:
    """Return whether the state of a life that ends is for the next one, where no keeper has it.

    The timers and runs of a journalled worker of a fork are for that, too.
    """
    options = cell.spec.options
    if options.persist is Persist.NONE:
        return options.on_crash is OnCrash.LAST_GOOD and isinstance(reason, Crash)
    stays = options.on_crash is not OnCrash.INIT or isinstance(reason, Normal | Shutdown)
    if options.persist is Persist.JOURNAL and cell.extra is not None:
        leave_timers(world, cell, stays=stays)
    return stays


def rearm_left(world: World, cell: WorkerCell) -> None:
    """Go on with the timers and runs that the life before has left, as `lives.rearm` does.

    What `restore` has asked for takes the place of what has its key.
    """
    extra = cell.ensure_extra()
    for due_s, entry in extra.left:
        if type(entry) is RunDue and entry.run.key not in extra.runs:
            ask_run(world, cell, entry.run, entry.cause, 0)
        elif type(entry) is TimerDue and entry.key not in extra.timers:
            left_s = max(0.0, due_s - world.clock.now_s())
            start_timer(world, cell, entry.key, left_s, entry.message, at_s=entry.at_s)
    extra.left = ()


def left_to(cell: WorkerCell) -> Any:
    """Return what a durable worker of a fork begins with; `NOTHING` if no life has left a state."""
    options, behaviour = cell.spec.options, cell.behaviour
    if options.persist is Persist.NONE or cell.state is None or behaviour is None:
        return NOTHING
    if behaviour.restore is None:
        answer: Any = Ok(cell.state)
    else:
        answer = behaviour.restore(label_of(cell.spec.id), cell.spec.args, cell.state)
    return answer if options.persist is Persist.JOURNAL else begun_anew(answer)


def own_answer(world: World, name: str, *args: Any) -> Any:
    """Return what the code of a worker or supervisor of a fork answers as that starts."""
    cell: Any = world.names[name]
    if isinstance(cell, SupervisorCell):
        return cell.spec.init and cell.spec.init(label_of(name))
    left = left_to(cell)
    if left is not NOTHING:
        return left
    init = cell.behaviour.init
    return None if init is None else init(label_of(name), *args)

"""System messages: what can be done to any worker or supervisor (OTP's `sys` and exit signals).

They act at once, ahead of the queue. Source: OTP `sys`, `gen_server:stop/3`, `erlang:exit/2`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.reasons import KILLED, Crash, ExitReason, Killed, Normal, shape
from ssm_cli.behaviour.results import NOTHING, Error, ExitSignal, Ok
from ssm_cli.behaviour.standing import check_standing
from ssm_cli.behaviour.state_loop import InState, one_by_one
from ssm_cli.behaviour.visible import (
    Taken,
    Written,
    changed_by,
    code_changed,
    replaced,
    taken_over,
    visible,
)
from ssm_cli.codec.json import jsonable
from ssm_cli.codec.put_back import PutBack
from ssm_cli.errors import CalleeCrashed, CalleeStopped, SysError
from ssm_cli.runtime.durable.inputs import record_drop
from ssm_cli.runtime.durable.lives import kept_of, replace
from ssm_cli.runtime.engine.backlog import VOID, release_held
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
    replan,
)
from ssm_cli.runtime.engine.commit import restart_timeout, stop_timeout, taken
from ssm_cli.runtime.engine.contained import ended_by, named, said_by
from ssm_cli.runtime.engine.entries import (
    MARKED,
    Caused,
    ContinueDue,
    Dropped,
    LinkBroken,
    RunEnded,
    TimeoutDue,
    TimerDue,
)
from ssm_cli.runtime.engine.events import EventLog
from ssm_cli.runtime.engine.failures import not_running, unstepped
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recorder import Acted
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.debug import MOST_LOGGED, Hook, change_debug
from ssm_cli.runtime.looking.show import redacted
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.ending import (
    end_worker,
    kill_supervisor,
    kill_worker,
    terminate_supervisor,
)
from ssm_cli.runtime.performer.failing import own_frames_only
from ssm_cli.runtime.performer.recoding import recode, recode_pool
from ssm_cli.runtime.performer.supervise import announce_exit
from ssm_cli.runtime.remote.life import end_remote
from ssm_cli.runtime.reports import crash_text
from ssm_cli.runtime.views import Statistics, SysEvent
from ssm_cli.runtime.views import Status as StatusView

REPLACED, ADOPTED = "replace_state", "adopted"
HELD = ("break", "when", "input", "changed")
"""What is told of a worker that is held at a break: which, its question, the input, its effect."""


def need_running(cell: Cell) -> None:
    """Raise `NoProc` unless the cell has a living process."""
    if cell.status is not CellStatus.RUNNING:
        raise not_running(cell)


def hear(world: World, cell: WorkerCell) -> None:
    """A running worker gets a system message: like any message, it holds up a time-out."""
    need_running(cell)
    restart_timeout(world, cell)


def suspend(world: World, cell: Cell) -> None:
    """Hold it: its inputs, or what its children and clients tell it, queue up."""
    need_running(cell)
    cell.ensure_extra().suspended = True
    if isinstance(cell, WorkerCell):
        restart_timeout(world, cell)
        replan(cell)


def resume(world: World, cell: Cell) -> None:
    """Let it go on, with what has queued up first."""
    need_running(cell)
    extra = cell.ensure_extra()
    extra.suspended = False
    if isinstance(cell, WorkerCell):
        replan(cell)
        release_held(world, cell)
        restart_timeout(world, cell)
    else:
        go_on(world, cell)


def hold_at_break(world: World, cell: WorkerCell, *told: Any) -> None:
    """Hold a worker at a break, and say so by `HELD`; see `performer/breaking.py`."""
    cell.ensure_extra().suspended = True
    replan(cell)
    world.report("held", cell, dict(zip(HELD, told, strict=True)))


def leave_break(world: World, cell: WorkerCell) -> None:
    """Let it commit what it is held with, and go on."""
    need_running(cell)
    cell.ensure_extra().suspended = False
    replan(cell)
    release_held(world, cell)


def held_of(cell: WorkerCell) -> deque[Any]:
    """Return what a worker at a break is held with, first, and what waits behind that.

    Raises:
        SysError: nothing is held; so it may be in a fork that is stepped again otherwise.
    """
    need_running(cell)
    extra = cell.ensure_extra()
    if not extra.suspended or not extra.backlog:
        raise SysError(f"{cell.spec.id}: nothing is held at a break", term="badarg")
    return extra.backlog


def drop_held(world: World, cell: WorkerCell) -> None:
    """Let it go on without the input that it is held with; its caller is told."""
    backlog = held_of(cell)
    kept, (kind, message, pending) = kept_of(cell), backlog[0]
    value = taken(world, cell, message) if isinstance(message, MARKED) else NOTHING
    if type(message) is TimeoutDue:
        stop_timeout(world, cell)
    if value is not NOTHING and kept is not None and kept.journals:
        record_drop(world.outside.keeper, cell, kind, message, value)
    backlog[0] = kind, Dropped(message), pending  # from here on, whatever interrupts the rest
    tell_dropped(world, cell)


def tell_dropped(world: World, cell: WorkerCell) -> None:
    """Tell of the input that a worker drops, if it does so, and have the worker go on."""
    extra = cell.extra
    if extra is None or not extra.backlog or type(extra.backlog[0][1]) is not Dropped:
        return
    name, (kind, dropped, pending) = cell.spec.id, extra.backlog[0]
    if isinstance(pending, Pending):
        text = f"{name}: the input was dropped at a break; its state stays"
        pending.fail(unstepped(CalleeStopped(text, worker=name, reason="dropped")))
    elif not isinstance(dropped.message, VOID):
        world.drop(cell, name, kind.name.lower(), "dropped at a break")
    extra.suspended = False
    extra.backlog.popleft()  # last: what is interrupted before is done again
    leave_break(world, cell)


def edit_held(world: World, cell: WorkerCell, given: Any) -> None:
    """Let it go on with another input in the place of the one that it is held with.

    What has brought that one has brought the other: a timer, a run, a record of the journal.
    """
    backlog = held_of(cell)
    kind, held, pending = backlog[0]
    if isinstance(held, TimerDue | RunEnded | Caused):
        given = msgspec.structs.replace(held, message=given)
    elif type(held) is ContinueDue and held.cause is not None:
        given = Caused(held.cause, given)
    backlog[0] = (Kind.INFO if kind is Kind.CONTINUE else kind, given, pending)
    leave_break(world, cell)


def go_on(world: World, sup: Cell) -> None:
    """Have a supervisor look at what it has put off, in order."""
    while sup.extra is not None and sup.extra.backlog:
        world.post(sup.extra.backlog.popleft())  # in one line: none is lost


def get_state(world: World, cell: WorkerCell) -> Any:
    """The worker's state; of a `Statem` the pair of its state and its data."""
    hear(world, cell)
    return visible(cell.state)


def replace_state(world: World, cell: WorkerCell, given: Any) -> Any:
    """Put `given`, or what it makes of the state if it can be called, in the place of the state.

    Raises:
        SysError: `callback_failed`: it raised, and the state stays; the cause is chained.
    """
    hear(world, cell)
    try:
        limit_s = cell.step_limit_s()
        state = guarded(world.guard, cell, limit_s, state_with, world, cell, given)
    except BaseException as error:
        if is_from_outside(world.guard, error):
            raise
        said = f"{type(error).__name__}: {said_by(world, cell, error)}"
        raise SysError(
            f"{cell.spec.id}: the state stays: {said}", term="callback_failed"
        ) from error
    take_state(world, cell, state, ADOPTED if type(given) is Taken else REPLACED)
    return visible(cell.state)


def state_with(world: World, cell: WorkerCell, given: Any) -> Any:
    """What the state of a worker becomes by what was given for it.

    Raises:
        ValueError: it holds what is shown in the place of hidden parts.
        BadReturnError, AttributeError, LookupError: it is none.
        CodeRefused: it is of a class that its code does not have any more.
    """
    state = state_put(world, cell, given)
    if (carry := world.outside.carry) is not None:
        state = carry(cell, state)
    check_standing(cell.behaviour, state)
    return state


def state_put(world: World, cell: WorkerCell, given: Any) -> Any:
    """What was given, or was made of the state by it; raises what that raises."""
    state = cell.state
    if isinstance(given, Taken):
        return taken_over(state, given)
    if not isinstance(given, Written) and callable(given):
        return changed_by(state, given)
    old, seen = visible(state), redacted(world, cell, state)
    if isinstance(given, Written):
        given = given.put(old, jsonable(visible(seen)))
    elif seen is not state:
        PutBack(old, jsonable(visible(seen))).refuse_masks(given)
    return replaced(state, given)


def put_state(world: World, cell: WorkerCell, state: Any) -> None:
    """Put `state` in the place of the state, whatever it is."""
    hear(world, cell)
    take_state(world, cell, state, "")


def take_state(world: World, cell: WorkerCell, state: Any, how: str) -> None:
    """Put another state in its place; if the state outlives the process, `how` is written, too.

    Raises:
        StorageError: it cannot be; the state stays.
    """
    kept = kept_of(cell)
    if kept is None:
        cell.state = state
    else:
        replace(world.outside.keeper, cell, kept, state, how)


def change_code(world: World, cell: WorkerCell, old_version: str, extra: Any) -> None:
    """Have a suspended worker turn its state into that of its present code.

    Raises:
        SysError: it is not suspended (`unknown_system_msg`), or its `code_change` refused or
            raised; the state stays.
    """
    hear(world, cell)
    name = cell.spec.id
    if not cell.suspended:
        raise SysError(f"{name} must be suspended to change its code", term="unknown_system_msg")
    try:
        given = (cell.behaviour, old_version, cell.state, extra)
        result = guarded(world.guard, cell, cell.step_limit_s(), code_changed, *given)
    except BaseException as error:
        if is_from_outside(world.guard, error):
            raise
        said = f"{type(error).__name__}: {said_by(world, cell, error)}"
        why = f"{name}: code_change failed, the state stays: {said}"
        raise SysError(why, term=str(ended_by(world, cell, error))) from error
    kind = type(result)
    if kind is Error:
        why = f"{name}: code_change refused, the state stays: {named(world, cell, result.reason)}"
        raise SysError(why, term=result.reason)
    if kind is not Ok:
        why = f"{name}: code_change answered {shape(result)}"
        raise SysError(f"{why}; expected Ok or Error", term=result)
    take_state(world, cell, result.state, CHANGES[change_code])


def get_status(world: World, cell: WorkerCell) -> StatusView:
    """What there is to know of a worker, after its `format_status`."""
    hear(world, cell)
    debug = cell.extra.debug if cell.extra is not None else None
    log = debug.log if debug is not None and debug.log is not None else ()
    state = redacted(world, cell, cell.state)
    inside = state if type(state) is InState else None
    return StatusView(
        id=cell.spec.id,
        path=cell.path(),
        status="suspended" if cell.suspended else "running",
        parent=None if cell.parent is None else cell.parent.spec.id,
        state=visible(state),
        log=tuple(
            SysEvent(event.kind, redacted(world, cell, event.value), event.caller) for event in log
        ),
        postponed=tuple((e.type, e.content) for e in one_by_one(inside.postponed))
        if inside
        else (),
        timeouts=tuple(inside.timeouts.items()) if inside else (),
        record=0 if world.history is None else world.history.last(),
    )


def trace(world: World, cell: WorkerCell, on: bool) -> None:
    """Report every input and output of the worker, or stop doing so."""
    hear(world, cell)
    change_debug(cell, lambda debug: setattr(debug, "traced", on))


def log(world: World, cell: WorkerCell, keep: int) -> None:
    """Keep the last `keep` events of the worker; 0 keeps none."""
    hear(world, cell)
    if not 0 <= keep <= MOST_LOGGED:
        raise SysError(f"keep must be 0 to {MOST_LOGGED}, got {keep}", term="badarg")
    ring = EventLog(keep, world.crashes.room) if keep else None
    change_debug(cell, lambda debug: setattr(debug, "log", ring))


def install(world: World, cell: WorkerCell, key: object, hook: Hook, state: Any) -> None:
    """Call `hook(state, event, name)` with every event; its answer is its next state."""
    hear(world, cell)
    change_debug(cell, lambda debug: debug.hooks.setdefault(key, (hook, state)))


def remove(world: World, cell: WorkerCell, key: object) -> None:
    """Take an installed function out again."""
    hear(world, cell)
    change_debug(cell, lambda debug: debug.hooks.pop(key, None))


def statistics(world: World, cell: WorkerCell) -> Statistics:
    """Counts since the first start of the worker."""
    running = cell.status is CellStatus.RUNNING
    return Statistics(
        id=cell.spec.id,
        steps=cell.steps,
        starts=cell.starts,
        crashes=cell.crashes,
        uptime_s=world.clock.now_s() - cell.since_s if running else 0.0,
        queue=waiting_for(world, cell),
    )


def waiting_for(world: World, cell: Cell) -> int:
    """How many inputs wait for a worker."""
    held = len(cell.extra.backlog) if cell.extra is not None else 0
    return held + sum(entry[0] is cell for entry in world.queue)


def stop_process(world: World, cell: Cell, reason: ExitReason) -> None:
    """End one worker or supervisor in an orderly way; its supervisor then decides.

    Raises:
        NoProc: it is not running.
        CalleeCrashed: it ended, but with another reason: `terminate` raised or was cut.
    """
    need_running(cell)
    if isinstance(cell, SupervisorCell | RemoteCell):
        end_far_or_near(world, cell, reason)
        return
    assert isinstance(cell, WorkerCell)
    final = end_worker(world, cell, reason)
    announce_exit(world, cell, final)
    if final is reason or (str(final) == str(reason) and type(final) is not Crash):
        return
    name, text = cell.spec.id, f"{cell.spec.id} ended: {final}"
    if not isinstance(final, Crash):
        raise CalleeCrashed(text, worker=name, reason=str(final))
    own_frames_only(final.error)
    said = crash_text(final)
    text = f"{text}: {type(final.error).__name__}: {said}"
    crash = CalleeCrashed(text, worker=name, reason=final.kind, error=final.error, said=said)
    raise crash from final.error


def end_far_or_near(world: World, cell: SupervisorCell | RemoteCell, reason: ExitReason) -> None:
    """End a supervisor, here or on another computer."""
    if isinstance(cell, RemoteCell):
        end_remote(world, cell, reason)
    else:
        terminate_supervisor(world, cell, reason, "infinity")
    announce_exit(world, cell, reason)


def exit_signal(world: World, cell: Cell, reason: ExitReason, sender: str) -> None:
    """Send an exit signal, as `exit(Pid, Reason)` does; `sender` is `parent` or another name.

    `killed` cannot be trapped. A supervisor, and a worker with `trap_exit`, ends only for its
    parent; without it a worker dies of any reason but `normal`, and its `terminate` does not run.
    """
    need_running(cell)
    if isinstance(reason, Killed):
        kill(world, cell)
    else:
        hear_exit(world, cell, reason, sender)


def link_broken(world: World, entry: LinkBroken) -> None:
    """Signal the end of a worker to one that is linked to it, if that still lives."""
    cell = entry.cell
    if cell.status is CellStatus.RUNNING and cell.starts == entry.starts:
        hear_exit(world, cell, entry.reason, entry.sender, entry.names)


def hear_exit(
    world: World, cell: Cell, reason: ExitReason, sender: str, names: tuple[str, ...] = ()
) -> None:
    """A process gets an exit signal that can be trapped."""
    from_parent = sender == "parent"
    if isinstance(cell, SupervisorCell | RemoteCell):
        if from_parent:
            stop_process(world, cell, reason)
        return
    assert isinstance(cell, WorkerCell)
    pure = not isinstance(cell.behaviour, Callbacks)  # a pure step has no links: it hears nothing
    traps = pure or cell.behaviour.trap_exit
    if traps and from_parent:
        announce_exit(world, cell, end_worker(world, cell, reason))
    elif traps and not pure:
        world.queue.append((cell, Kind.INFO, ExitSignal(reason, sender, names), None))
    elif not traps and not isinstance(reason, Normal):
        kill_worker(world, cell, reason)
        announce_exit(world, cell, reason)


def kill(world: World, cell: Cell) -> None:
    """Kill a worker or a supervisor: no callback of its own runs."""
    need_running(cell)
    if isinstance(cell, SupervisorCell):
        kill_supervisor(world, cell)
    elif isinstance(cell, RemoteCell):
        end_remote(world, cell, KILLED)
    else:
        assert isinstance(cell, WorkerCell)
        kill_worker(world, cell)
    announce_exit(world, cell, KILLED)


CHANGES = {
    replace_state: REPLACED, change_code: "change_code", suspend: "suspend",
    resume: "resume", kill: "kill", stop_process: "stop", exit_signal: "exit",
    trace: "trace", log: "keep", leave_break: "continue", drop_held: "drop", edit_held: "edit",
    recode: "reload", recode_pool: "reload",
}  # fmt: skip
"""The system messages that change a tree, by what a record calls them."""
STATES = (REPLACED, "change_code", ADOPTED)
"""Those that put another state in the place of a worker's."""


def note_act(
    world: World, cell: Cell, function: Callable[..., Any], args: tuple[Any, ...]
) -> Acted | None:
    """Remember a system message that changes something, or holds up a time-out."""
    if world.history is None:
        return None
    change = ADOPTED if Taken in map(type, args) else CHANGES.get(function, "")
    timed = cell.extra is not None and cell.extra.timeout_after is not None
    if not change and not timed:
        return None
    acted = Acted(function, args, change, cell.state if isinstance(cell, WorkerCell) else None)
    world.history.add(cell, acted, by_hand=bool(change))
    return acted


def note_done(cell: Cell, acted: Acted | None, *, failed: bool = False) -> None:
    """Remember what came of a system message that puts another state in place."""
    if acted is None or not isinstance(cell, WorkerCell):
        return
    if acted.function is recode:
        acted.function, acted.after = (None, None) if failed else (recode, cell.state)
        acted.before = cell.state if failed else acted.args[0].before
    if acted.change not in STATES:
        return
    acted.function, acted.args = (None, ()) if failed else (put_state, (cell.state,))
    acted.after = cell.state

"""The loop: takes inputs from the queue, one after the other, and has workers step.

Theory of operation. `pump` is the one place where workers run. Each turn first empties the system
lane (ends of children, restarts, requests), so that a supervisor has finished before anything else
is stepped; then it serves one input. A worker that is a pure step and has nothing special about it
has `cell.step` set, and is served in the loop itself: take, step, commit, answer. All else
(callbacks, suspended or traced workers, errors) goes through `serve`.

The hot path is deliberately plain: it mutates in place and builds nothing nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Outcome, advance, of_step, reason_for
from ssm_cli.behaviour.effects import Cast, Info
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import KILLED, Crash, ExitReason
from ssm_cli.behaviour.results import NOTHING, Caller, Continue
from ssm_cli.errors import DecodeError, NoProc, QueueFull, StorageError
from ssm_cli.runtime.durable.inputs import accept, admit, caused
from ssm_cli.runtime.durable.inputs import crashed as record_crash
from ssm_cli.runtime.durable.lives import kept_of, served
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.backlog import must_wait
from ssm_cli.runtime.engine.cell import Status, WorkerCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.guard import engine_code, guarded
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.looking.debug import observe
from ssm_cli.runtime.looking.show import codec_of, shown
from ssm_cli.runtime.performer.ending import callee_error, early_replies, end_worker
from ssm_cli.runtime.performer.supervise import announce_exit
from ssm_cli.runtime.remote.news import take_news
from ssm_cli.runtime.reports import error_detail, error_text
from ssm_cli.runtime.views import SysEvent

BATCH = 64  # inputs between two looks at the clock
NEVER = Pending()
OUR_MODULES = frozenset({__name__, advance.__module__})
INFO, CONTINUE = Kind.INFO, Kind.CONTINUE  # looked at for each input: a global is quick


def pump(core: Core, until: Pending, budget_s: float) -> None:
    """Serve the lane and the queue until both are empty, `until` is done, or time is up.

    Args:
        core: the node; not pumping already.
        until: a call that somebody waits for; `NEVER` for none.
        budget_s: stop after about this many seconds (looked at every `BATCH` inputs).
    """
    clock = core.clock.now_s
    end_s = clock() + budget_s
    keeper = core.keeper
    core.pumping = True
    try:
        if core.links is not None:
            take_news(core)
        while True:
            fire_timers(core)
            more = run_batch(core, until, BATCH)
            if keeper is not None and keeper.has_work():
                keeper.commit()
                more = bool(core.lane or core.queue) and not until.done
            if not more or clock() >= end_s:
                break
    finally:
        core.pumping = False
        core.guard.cell = None


def rest(core: Core, seconds: float) -> None:
    """Let time pass while there is nothing to do; news of remote children end it early."""
    if core.links is None:
        core.clock.sleep_s(seconds)
    else:
        core.links.wait(seconds)


def run_batch(core: Core, until: Pending, most: int) -> bool:
    """Serve up to `most` inputs; whether there may be more to do."""
    lane, queue = core.lane, core.queue
    take = queue.popleft
    for _ in range(most):
        while lane:
            function, args = lane.popleft()
            function(*args)
        if until.done or not queue:
            return False
        step_one(core, *take())
    return True


def step_one(
    core: Core, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None
) -> None:
    """Serve one input. A pure step with nothing special about it is served right here."""
    step = cell.step
    if step is None or kind is INFO or kind is CONTINUE:
        serve(core, cell, kind, message, pending)
        return
    guard = core.guard
    guard.used = True
    if not guard.armed:
        guard.arm()
    guard.cell = cell
    if type(message) is bytes:
        try:
            message = (cell.codec or codec_of(cell)).decode(message)
        except BaseException as error:  # noqa: BLE001 - a codec may be the user's own
            guard.cell = None
            undecodable(core, cell, message, pending, error)
            return
    try:
        result = step(message, cell.state) if cell.steps & 63 else timed(core, cell, step, message)
    except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
        guard.cell = None
        if error.__traceback__ is not None:  # without our frame, which holds the pending call
            error.__traceback__ = error.__traceback__.tb_next
        crashed(core, cell, message, pending, error)
        return
    guard.cell = None
    if type(result) is not tuple or len(result) != 2:
        finish_step(core, cell, message, pending, result)
        return
    cell.state, output = result
    cell.steps += 1
    if pending is not None:
        pending.resolve(output)


def timed(core: Core, cell: WorkerCell, step: Callable[[Any, Any], Any], message: Any) -> Any:
    """Run a pure step with a look at the clock: every 64th, which stands for those between."""
    now_s = core.clock.now_s
    begun_s = now_s()
    result = step(message, cell.state)
    cell.timed_s += now_s() - begun_s
    return result


engine_code(step_one)
engine_code(timed)


def fire_timers(core: Core) -> None:
    """Call what is due."""
    if core.timers.next_s() < float("inf"):
        for function, args in core.timers.pop_due(core.clock.now_s()):
            function(*args)


def finish_step(
    core: Core, cell: WorkerCell, message: Any, pending: Pending | None, result: Any
) -> None:
    """Commit the answer of a pure step that is more than state and output, or less."""
    try:
        outcome = of_step(result)
    except Exception as error:  # noqa: BLE001 - a bad return value; of_step raises nothing else
        own_frames_only(error)
        crashed(core, cell, message, pending, error)
        return
    settle(core, cell, message, pending, outcome)


def serve(core: Core, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None) -> None:
    """Serve an input the careful way: any kind, any behaviour, any state of the worker."""
    if cell.status is not Status.RUNNING:
        no_process(core, cell, pending)
        return
    if must_wait(core, cell, kind, message, pending):
        return
    came = message
    if type(message) is bytes:
        try:
            limit_s = cell.step_limit_s()
            message = guarded(core.guard, cell, limit_s, codec_of(cell).decode, message)
        except BaseException as error:  # noqa: BLE001 - a codec may be the user's own
            undecodable(core, cell, message, pending, error)
            return
    elif isinstance(message, commit.Token):
        message = commit.message_of(cell, message)
        if message is NOTHING:
            return
    kept = kept_of(cell)
    if kept is not None and not admit(core.keeper, cell, kind, came, message, call=pending):
        return
    commit.end_timeout(cell)
    if cell.extra is not None and cell.extra.debug is not None:
        observe(core, cell, cell.extra, SysEvent("in", message, pending is not None))
    outcome = run_callback(core, cell, kind, message, pending)
    if outcome is not None:
        settle(core, cell, message, pending, outcome)


def run_callback(
    core: Core, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None
) -> Outcome | None:
    """Run the callback under the guard; None: it crashed, and that is dealt with."""
    guard = core.guard
    guard.used = True
    if not guard.armed:
        guard.arm()
    caller = None if pending is None else Caller(pending, core.outbox)
    guard.cell = cell
    begun_s = core.clock.now_s()
    try:
        outcome = core.advance(cell.behaviour, kind, message, caller, cell.state)
    except BaseException as error:  # noqa: BLE001 - any exception of a callback is a crash
        guard.cell = None
        early_replies(core)
        own_frames_only(error)
        crashed(core, cell, message, pending, error)
        return None
    guard.cell = None
    if not cell.steps & 63 or type(cell.behaviour) is not StateMachine:
        cell.timed_s += core.clock.now_s() - begun_s
    early_replies(core)
    return outcome


engine_code(run_callback)


def settle(
    core: Core, cell: WorkerCell, message: Any, pending: Pending | None, outcome: Outcome
) -> None:
    """Commit an outcome: state, effects, reply, what comes next, or the end."""
    if outcome.effects and not commit.room_for(core, outcome):
        full = QueueFull(f"the effects of {cell.spec.id} do not fit into the queue")
        crashed(core, cell, message, pending, full)
        return
    kept, seq = kept_of(cell), 0
    if kept is not None and kept.journals:
        try:
            seq = accept(core.keeper, cell, kept, outcome)
        except StorageError as error:
            crashed(core, cell, message, pending, error)
            return
    cell.state = outcome.state
    cell.steps += 1
    reply = outcome.reply
    if cell.extra is not None and cell.extra.debug is not None:
        silent = reply is NOTHING or pending is None
        event = SysEvent("noreply", cell.state) if silent else SysEvent("out", reply, caller=True)
        observe(core, cell, cell.extra, event)
    if kept is None:
        conclude(core, cell, pending, outcome)
    elif kept.journals:
        conclude_later(core, cell, pending, outcome, seq)
    else:
        served(core.keeper, cell, kept)
        conclude(core, cell, pending, outcome)
    if outcome.then is not None and outcome.stop is None:
        commit.plan(core, cell, outcome.then)


def conclude(core: Core, cell: WorkerCell, pending: Pending | None, outcome: Outcome) -> None:
    """What an outcome does to others: effects, the reply, the end."""
    reply = outcome.reply
    if outcome.effects and commit.apply_effects(core, cell, outcome.effects, pending):
        reply, pending = NOTHING, None  # kept under its key; answered later
    if outcome.stop is not None:
        core.lane.appendleft((stop_worker, (core, cell, outcome.stop, pending, reply)))
        return
    if pending is not None:
        if reply is not NOTHING:
            pending.resolve(reply)
        elif not pending.done:
            commit.keep_caller(cell, pending, pending)


def conclude_later(
    core: Core, cell: WorkerCell, pending: Pending | None, outcome: Outcome, seq: int
) -> None:
    """The same, once the record `seq` of the input is written."""
    marked = caused(core, seq, outcome, cell)
    if outcome.stop is not None:
        cell.more().kept.closing = True
    if isinstance(outcome.then, Continue):
        commit.plan(core, cell, outcome.then)
        core.queue[0][2].cause = (seq, -1)
    core.keeper.hold(pending, conclude_written, core, cell, cell.starts, pending, marked)


def conclude_written(
    core: Core, cell: WorkerCell, starts: int, pending: Pending | None, outcome: Outcome
) -> None:
    """The record is written. What its worker asked for itself is void if it has ended since."""
    if cell.starts == starts and cell.status is Status.RUNNING:
        conclude(core, cell, pending, outcome)
        return
    sent = tuple(e for e in outcome.effects if isinstance(e, Cast | Info) and e.to is not None)
    commit.apply_effects(core, cell, sent, None)
    if pending is not None and outcome.reply is not NOTHING:
        pending.resolve(outcome.reply)
    elif pending is not None:
        pending.fail(callee_error(cell, cell.last_reason))


def stop_worker(
    core: Core, cell: WorkerCell, reason: ExitReason, pending: Pending | None, reply: Any
) -> None:
    """A worker ends itself: terminate first, then its caller has the reply or the reason.

    Its supervisor learns of the end even if somebody at the keyboard interrupts `terminate`.
    """
    alive = cell.status is Status.RUNNING  # else the whole tree was stopped meanwhile
    final: ExitReason = KILLED if alive else reason
    try:
        if alive:
            final = end_worker(core, cell, reason)
    finally:
        if alive:
            announce_exit(core, cell, final)
        if pending is not None and not pending.done:
            if reply is NOTHING:
                pending.fail(callee_error(cell, final))
            else:
                pending.resolve(reply)


def crashed(
    core: Core, cell: WorkerCell, message: Any, pending: Pending | None, error: BaseException
) -> None:
    """A callback raised: its caller is told at once; then it terminates, and is looked at."""
    if isinstance(error, KeyboardInterrupt):
        if pending is not None:
            pending.fail(NoProc(f"{cell.spec.id} was interrupted", worker=cell.spec.id))
        raise error
    reason = reason_for(error)
    cell.step = None
    if kept_of(cell) is not None:
        record_crash(core.keeper, cell, message, reason)
    if isinstance(reason, Crash):
        cell.more().crashes += 1
        word, kind, text = reason.kind, type(error).__name__, error_text(error)

        def told() -> dict[str, Any]:  # writing the input costs more than all the rest
            failure = {"type": kind, "message": text}
            return {"input": shown(core, cell, message), "reason": word, "error": failure}

        core.report("crashed", cell, told)
        core.crashes.add(core.reports.seq, core.clock.wall_s(), cell, message, reason)
        if pending is not None:
            pending.fail(callee_error(cell, reason))
    core.lane.appendleft((stop_worker, (core, cell, reason, pending, NOTHING)))


def own_frames_only(error: BaseException) -> None:
    """Drop our frames from the outside of a traceback: they hold what must not live on.

    A frame of the loop holds the pending call, which holds the error, which holds the frame.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in OUR_MODULES:
        trace = trace.tb_next
    error.__traceback__ = trace


def undecodable(
    core: Core, cell: WorkerCell, data: bytes, pending: Pending | None, error: BaseException
) -> None:
    """The bytes are no input: the worker is not touched; without a caller a report says so."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    if not isinstance(error, DecodeError):
        error = DecodeError(f"{cell.spec.id}: {type(error).__name__}: {error_text(error)}")
    error.worker = cell.spec.id
    if pending is not None:
        pending.fail(error)
    else:
        shown = str(data, "utf-8", "replace")[:1000]
        core.report("undecodable", cell, {"input": shown, "error": error_detail(error)})


def no_process(core: Core, cell: WorkerCell, pending: Pending | None) -> None:
    """The worker does not run: its caller is told; a cast is dropped, as in OTP.

    What waits for a worker that was taken out of the tree got there while it still lived.
    """
    if pending is None:
        core.dropped += 1
        return
    if core.names.get(cell.spec.id) is not cell:
        pending.fail(callee_error(cell, cell.last_reason))
        return
    doing = "is being restarted" if cell.status is Status.RESTARTING else "is not running"
    pending.fail(NoProc(f"{cell.spec.id} {doing}", worker=cell.spec.id, reason="noproc"))

"""The loop: takes inputs from the queue, one after the other, and has workers step.

Theory of operation. `pump` is where workers run: it empties the system lane (ends of children,
restarts, requests), so that a supervisor has finished before anything else is stepped; then it
serves inputs, and empties the lane again behind each that may have put something there.

A worker that is a pure step and has nothing special about it has `cell.step` set. `step_now` steps
it: decode, step, commit; and says by an `Odd` that more is to be done than to answer, which
`deal_with` does. The plainest inputs, values for a step whose time is not taken, `run_batch` serves
right in its loop, as `step_now` would; a cast of that kind can set off nothing, so that behind it
neither the lane nor `until` are looked at. A call that nothing waits ahead of is stepped by its
caller (`Calls.call`, `Driver.serve`). All else (callbacks, suspended or traced workers) goes
through `serve`.

Between two looks at the clock, and at what signals have put into the lane, a batch of inputs is
served: up to `BATCH`, about `BATCH_S` long as the last one tells, and none goes on after a tick of
the guard.

The hot path is deliberately plain: it mutates in place and builds nothing nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome, of_step
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import NOTHING, Caller
from ssm_cli.runtime.durable.inputs import admit
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.backlog import must_wait
from ssm_cli.runtime.engine.cell import Status, WorkerCell
from ssm_cli.runtime.engine.core import Core, Lane
from ssm_cli.runtime.engine.guard import engine_code, from_outside, guarded, waiting_code
from ssm_cli.runtime.engine.pending import Pending, Waiter
from ssm_cli.runtime.looking.debug import observe
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.ending import early_replies
from ssm_cli.runtime.performer.outcomes.failing import (
    crashed,
    no_process,
    own_frames_only,
    undecodable,
)
from ssm_cli.runtime.performer.outcomes.journalled import is_plain, serve_plainly
from ssm_cli.runtime.performer.outcomes.plain_crash import crash_plainly
from ssm_cli.runtime.performer.outcomes.settling import settle
from ssm_cli.runtime.remote.news import take_news
from ssm_cli.runtime.views import SysEvent

BATCH = 64  # inputs between two looks at the clock, at most
TURN_S = 0.002  # of the node's work, before others get in between
BATCH_S = TURN_S  # a batch that took longer is followed by a smaller one
NEVER = Pending()
CALL, CAST = Kind.CALL, Kind.CAST  # looked at for each input: a global is quick


def pump(core: Core, until: Pending, budget_s: float) -> None:
    """Serve the lane and the queue until both are empty, `until` is done, or time is up.

    Args:
        core: the node; not pumping already.
        until: a call that somebody waits for; `NEVER` for none.
        budget_s: stop after about this many seconds. The clock is looked at behind each batch of
            inputs, of up to `BATCH`: of fewer where they take long, and at each tick of the guard.
    """
    clock = core.clock.now_s
    now_s = clock()
    end_s = now_s + budget_s
    keeper = core.keeper
    most = 0 if keeper is None else BATCH  # what is written goes by the number, not by the time
    core.pumping = True
    try:
        if core.links is not None:
            take_news(core)
        while True:
            fire_timers(core)
            full = keeper is not None and keeper.is_full()
            more = run_batch(core, until, 0 if full else most or core.batch)
            begun_s, now_s = now_s, clock()
            if now_s > core.guard.overdue_s:
                core.guard.arm()
            if now_s - begun_s > BATCH_S:
                core.batch = max(1, core.batch // 4)
            elif more and core.batch < BATCH:
                core.batch *= 2
            if keeper is not None and keeper.has_work():
                keeper.commit()
                more = bool(core.lane) or (
                    bool(core.queue) and not (until.done or keeper.is_full())
                )
                now_s = clock()
            if not more or now_s >= end_s:
                break
    finally:
        core.pumping = False
        core.guard.cell = None


def drain(lane: Lane) -> None:
    """Carry out the system messages, and those that they post."""
    while lane:
        function, args = lane.popleft()
        function(*args)


def rest(core: Core, seconds: float) -> None:
    """Let time pass while there is nothing to do; news of remote children end it early."""
    if core.links is None:
        core.clock.sleep_s(seconds)
    else:
        core.links.wait(seconds)


waiting_code(rest)


def run_batch(core: Core, until: Pending, most: int) -> bool:  # noqa: C901 - one loop, see above
    """Serve up to `most` inputs (0: system messages alone); whether there may be more to do."""
    lane, queue, guard = core.lane, core.queue, core.guard
    take = queue.popleft
    drain(lane)
    guard.used, guard.ticked = True, False  # so that no tick within the batch finds the guard idle
    if queue and not guard.armed:
        guard.arm()
    for _ in range(0 if until.done else most):
        if guard.ticked or not queue:
            return bool(queue or lane)
        cell, kind, message, pending = take()
        step, steps = cell.step, cell.steps
        odd = type(message) is bytes or not (kind is CAST or kind is CALL)
        if odd or step is None or not steps & 63:
            step_one(core, cell, kind, message, pending)
        else:
            guard.cell = cell
            try:
                result = step(message, cell.state)
            except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
                guard.cell = None
                step_failed(core, cell, message, single(pending), error)
            else:
                guard.cell = None
                try:  # to take it apart is the quickest way to see that it is a pair
                    cell.state, output = result if type(result) is tuple else ()
                except ValueError:
                    finish_step(core, cell, message, single(pending), result)
                else:
                    cell.steps = steps + 1
                    if pending is None:
                        continue
                    pending.resolve(output)
        if lane:
            drain(lane)
        if until.done:
            return False
    return most > 0 and not until.done


class Odd(msgspec.Struct, eq=False):
    """What came of a step that is no output: an error, or an answer with more to it, or less.

    `given` is the input as a value, `NOTHING` where it could not be decoded.
    """

    given: Any
    answer: Any
    error: BaseException | None = None


def step_now(core: Core, cell: WorkerCell, message: Any) -> Any:
    """Step a worker that has its `step` set: its output, which is committed, or an `Odd`."""
    guard = core.guard
    guard.used = True
    if not guard.armed:
        guard.arm()
    given: Any = NOTHING
    step: Any = cell.step
    guard.cell = cell
    try:
        if type(message) is bytes:
            given = (cell.codec or codec_of(cell)).decode(message)
        else:
            given = message
        result = step(given, cell.state) if cell.steps & 63 else timed(core, cell, step, given)
    except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
        guard.cell = None
        return Odd(given, None, error)
    guard.cell = None
    try:  # to take it apart is the quickest way to see that it is a pair
        cell.state, output = result if type(result) is tuple else ()
    except ValueError:
        return Odd(given, result)
    cell.steps += 1
    return output


def deal_with(
    core: Core, cell: WorkerCell, message: Any, pending: Pending | None, odd: Odd
) -> None:
    """Go on with a step that gave no plain output. `message` is what came, maybe as bytes."""
    error = odd.error
    if error is None:
        finish_step(core, cell, odd.given, pending, odd.answer)
    elif odd.given is NOTHING:
        undecodable(core, cell, message, pending, error)
    else:
        odd.error = None  # who holds the error must not be held by it
        step_failed(core, cell, odd.given, pending, error)


def step_one(
    core: Core, cell: WorkerCell, kind: Kind, message: Any, pending: Waiter | None
) -> None:
    """Serve one input. A pure step with nothing special about it is served right here."""
    if cell.step is None or not (kind is CALL or kind is CAST):
        serve(core, cell, kind, message, single(pending))
        return
    output = step_now(core, cell, message)
    if type(output) is Odd:
        deal_with(core, cell, message, single(pending), output)
    elif pending is not None:
        pending.resolve(output)


def single(waiter: Waiter | None) -> Pending | None:
    """Who waits, on the ways where the call may be kept, or be told an outcome twice."""
    return None if waiter is None else waiter.single()


def timed(core: Core, cell: WorkerCell, step: Callable[[Any, Any], Any], message: Any) -> Any:
    """Run a pure step with a look at the clock: every 64th, which stands for those between."""
    now_s = core.clock.now_s
    begun_s = now_s()
    if begun_s > core.guard.overdue_s:
        core.guard.arm()
    result = step(message, cell.state)
    cell.timed_s += now_s() - begun_s
    return result


for _function in (run_batch, step_now):
    engine_code(_function)


def step_failed(
    core: Core, cell: WorkerCell, message: Any, pending: Pending | None, error: BaseException
) -> None:
    """A pure step raised: the straight way where that goes, else the careful one."""
    if error.__traceback__ is not None:  # without our frame, which holds the pending call
        error.__traceback__ = error.__traceback__.tb_next
    outside = from_outside(core.guard, error)
    if outside or not crash_plainly(core, cell, message, pending, error):
        crashed(core, cell, message, pending, error)


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
    kept = kept_of(cell)
    if kept is not None and is_plain(cell, kept, message, pending):
        serve_journalled(core, cell, kind, message, pending)
        return
    if cell.status is not Status.RUNNING:
        no_process(core, cell, pending)
        return
    if must_wait(core, cell, kind, message, pending):
        return
    came, message = message, message_of(core, cell, message, pending)
    if message is NOTHING:
        return
    if kept is not None and not admit(core.keeper, cell, kind, came, message, call=pending):
        return
    commit.end_timeout(cell)
    if cell.extra is not None and cell.extra.debug is not None:
        observe(core, cell, cell.extra, SysEvent("in", message, pending is not None))
    outcome = run_callback(core, cell, kind, message, pending)
    if outcome is not None:
        settle(core, cell, message, pending, outcome)


def message_of(core: Core, cell: WorkerCell, came: Any, pending: Pending | None) -> Any:
    """The input as a value; `NOTHING` if it is void, or could not be decoded and that is said."""
    if type(came) is bytes:
        try:
            return guarded(core.guard, cell, cell.step_limit_s(), codec_of(cell).decode, came)
        except BaseException as error:  # noqa: BLE001 - a codec may be the user's own
            undecodable(core, cell, came, pending, error)
            return NOTHING
    return commit.message_of(cell, came) if isinstance(came, commit.Token) else came


def serve_journalled(
    core: Core, cell: WorkerCell, kind: Kind, data: bytes, pending: Pending | None
) -> None:
    """Serve a plain input of a journalled pure step; go on with care if its answer is no pair."""
    left = serve_plainly(core, cell, kind, data, pending)
    if left is not None:
        finish_step(core, cell, left[0], pending, left[1])


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

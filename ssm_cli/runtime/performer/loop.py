"""The loop: takes inputs from the queue, one after the other, and has workers step.

Theory of operation. `pump` is where workers run: it empties the system lane (ends of children,
restarts, requests), so that a supervisor has finished before anything else is stepped; then it
serves inputs, and empties the lane again behind each that may have put something there.

How a worker's inputs are served is its `Plan`. A pure step with nothing special about it has
`cell.step` set: `step_now` steps it: decode, step, commit; and says by an `Odd` that more is to be
done than to answer, which `deal_with` does. The plainest inputs, values for a step whose time is
not taken, `run_batch` serves right in its loop, as `step_now` would; a cast of that kind can set
off nothing, so that behind it neither the lane nor `until` are looked at. A call that nothing waits
ahead of is stepped by its caller (`Calls.call`, `Driver.serve`). All else goes through `serve`.

Progress or yield: whatever feeds itself (inputs that send inputs, timers of 0 ms, restarts that
fail) is served at least once and at most for a budget, in a batch or a try at a time; between two
of them come the clock, signals, and other callers. A batch is up to `BATCH` inputs, about `BATCH_S`
long as the last one tells; a tick of the guard ends it, but not before it has served one.

Whatever exception leaves the loop, `mend` makes the tree whole before it goes on to the caller.

The hot path is deliberately plain: it mutates in place and builds nothing nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import delitem
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Odd, of_step
from ssm_cli.behaviour.reading import is_reading
from ssm_cli.behaviour.reasons import ExitReason
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.inputs import admit
from ssm_cli.runtime.durable.lives import kept_of
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.backlog import hold, no_process
from ssm_cli.runtime.engine.cell import CellStatus, Plan, WorkerCell
from ssm_cli.runtime.engine.contained import ended_by, told_at_a_glance
from ssm_cli.runtime.engine.entries import MARKED
from ssm_cli.runtime.engine.failures import comes_back, interrupted
from ssm_cli.runtime.engine.guard import engine_code, guarded, waiting_code
from ssm_cli.runtime.engine.pending import Pending, Waiter
from ssm_cli.runtime.engine.publishing import Publishing, bring_on
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.breaking import serve_at_breaks
from ssm_cli.runtime.performer.callback import run_callback
from ssm_cli.runtime.performer.ending import early_replies
from ssm_cli.runtime.performer.failing import (
    crashed,
    end_crashed,
    explained,
    interrupt,
    own_frames_only,
    undecodable,
)
from ssm_cli.runtime.performer.journalled import UNSTEPPED, serve_plainly
from ssm_cli.runtime.performer.mend import batch_code, loop_code, mend
from ssm_cli.runtime.performer.perform import drain, fire_timers, try_restart
from ssm_cli.runtime.performer.plain_crash import crash_plainly
from ssm_cli.runtime.performer.reading import answer_read, to_be_read
from ssm_cli.runtime.performer.settling import commit_outcome, show_input
from ssm_cli.runtime.remote.news import take_news
from ssm_cli.runtime.traces import calls_user

BATCH = 64  # inputs between two looks at the clock, at most
TURN_S = 0.002  # of the node's work, before others get in between
BATCH_S = TURN_S  # a batch that took longer is followed by a smaller one
SETTLE_S = 0.1  # of tries of restarts, for a caller who has its outcome already
MOST_ROUNDS = 1_000  # of one `pump`, where a manual clock stands still
MOST_TRIES = 100  # of restarts in one `pump`, likewise
NEVER = Pending()
CALL, CAST, CONTINUE = Kind.CALL, Kind.CAST, Kind.CONTINUE  # globals are quick
RUNNING, RECORD, CARE = CellStatus.RUNNING, Plan.RECORD, Plan.CARE


@loop_code
def pump(
    world: World, until: Pending, budget_s: float, *, retry: bool = True, rounds: int = MOST_ROUNDS
) -> bool:
    """Serve the lane and the queue until both are empty, `until` is done, or time is up.

    Args:
        world: the node; not pumping already.
        until: a call that somebody waits for; `NEVER` for none.
        budget_s: stop after about so many seconds; the clock is read behind each batch.
        retry: whether restarts that failed are tried again.
        rounds: stop after so many, each with a batch: on a clock that stands still.

    Returns:
        Whether it has stopped with work left, as its budget is over.
    """
    world.pumping = True
    tries = MOST_TRIES if retry else 0
    try:
        if world.outside.links is not None:
            hear_links(world)
        more = serve_rounds(world, until, budget_s, tries, rounds)
        while world.outside.coming and hear_links(world):
            more = serve_rounds(world, until, budget_s, tries, rounds)
    except BaseException:
        mend(world)
        leave(world)
        raise
    leave(world)
    return more


def hear_links(world: World) -> bool:
    """Take the news of remote children; return whether a start was among them."""
    asked = False
    while world.outside.links is not None and take_news(world):
        asked = True
        drain(world)
    return asked


def serve_rounds(world: World, until: Pending, budget_s: float, tries: int, rounds: int) -> bool:
    """Serve round after round: timers, a batch of inputs, what that records, one restart again."""
    clock, keeper = world.clock.now_s, world.outside.keeper
    now_s = clock()
    if world.history is not None:
        world.history.next_at(now_s)
    first_s, end_s = now_s, now_s + budget_s
    most = 0 if keeper is None else BATCH  # what is written goes by the number, not by the time
    for _ in range(rounds):
        if world.timers.heap:
            fire_timers(world, now_s)
        full = keeper is not None and keeper.is_full()
        more = run_batch(world, until, 0 if full else most or world.batch)
        begun_s, now_s = now_s, clock()
        look_back(world, now_s, now_s - begun_s, more=more)
        if keeper is not None and keeper.has_work():
            keeper.commit()
            waits = world.queue and not (until.done or keeper.is_full())
            more, now_s = bool(waits or world.lane), clock()
        if now_s >= end_s:
            return more or bool(world.retries)
        if world.retries and tries and (not until.done or now_s < first_s + SETTLE_S):
            tries -= 1
            more = try_restart(world, now_s) or more
            now_s = clock()
        if not more and (until.done or world.timers.next_s() > now_s):
            return False
    return True


def look_back(world: World, now_s: float, took_s: float, *, more: bool) -> None:
    """Judge a batch by the time it took: how long the next one is to be, who comes next."""
    if now_s > world.guard.overdue_s:
        world.guard.arm()
    if took_s > BATCH_S:
        world.batch = max(1, world.batch // 4)
    elif more and world.batch < BATCH:
        world.batch *= 2
    if more and world.queue and world.queue[0][1] is CONTINUE:
        let_another(world)


def let_another(world: World) -> None:
    """Move an input of another worker ahead of one that goes on with itself, maybe for ever."""
    queue = world.queue
    for index, entry in enumerate(queue):
        if entry[0] is not queue[0][0]:
            # in one line, so that an exception from outside neither loses nor doubles it
            (queue.appendleft(entry), delitem(queue, index + 1))  # type: ignore[func-returns-value]  # see above
            return


def leave(world: World) -> None:
    """End a way through the loop; the next call looks again at what cannot wait for long.

    Not in a `finally`: what a second interruption has left unmended is mended by the next call,
    which finds the loop as if it ran (`mend.heal`).
    """
    world.guard.cell = None
    world.pumping = False
    if world.retries:
        world.guard.armed = False  # the quick way of a call is taken while the guard is armed


def rest(world: World, seconds: float) -> None:
    """Let time pass while there is nothing to do but runs; news of remote children end it early."""
    if world.outside.runner is not None and world.outside.runner.has_work():
        world.outside.runner.rest(seconds)
    elif world.outside.links is None:
        world.clock.sleep_s(seconds)
    else:
        world.outside.links.wait(seconds)


waiting_code(rest)


def run_batch(world: World, until: Pending, most: int) -> bool:
    """Serve up to `most` inputs (0: system messages alone); return whether more may be to do."""
    guard = world.guard
    if world.outbox:
        early_replies(world)  # given between two callbacks
    if world.lane:
        drain(world)
    guard.used, guard.ticked = True, False  # so that no tick within the batch finds the guard idle
    if not world.queue or until.done or not most:
        return bool(world.queue and not until.done and most)
    if not guard.armed:
        guard.arm()
    more = serve_batch(world, until, most)
    if world.outbox:
        early_replies(world)
    return more


@batch_code
def serve_batch(world: World, until: Pending, most: int) -> bool:  # noqa: C901, PLR0912 - one loop
    """Serve up to `most` of the inputs that wait; return whether more may be to do."""
    lane, queue, guard, record, pending = world.lane, world.queue, world.guard, world.record, None
    try:
        for _ in range(most):
            cell, kind, message, pending = queue.popleft()
            step, steps = cell.step, cell.steps
            odd = kind is not CAST and kind is not CALL
            if odd or type(message) is bytes or step is None or not steps & 63:
                step_one(world, cell, kind, message, pending)
            else:
                state, guard.cell = cell.state, cell
                try:
                    result = step(message, state)
                except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
                    guard.cell = None
                    step_failed(world, cell, message, single(pending), error)
                else:
                    guard.cell = None
                    try:  # to take it apart is the quickest way to see that it is a pair
                        cell.state, output = () if type(result) is not tuple else result
                    except ValueError:
                        finish_step(world, cell, message, single(pending), result)
                    else:
                        cell.steps = steps + 1
                        if record is not None:
                            record((next(world.numbers), cell, kind, message, state, result))
                        if pending is not None:
                            pending.resolve(output)
                        elif queue and not guard.ticked:
                            continue
            if lane:
                drain(world)
            if until.done or guard.ticked or not queue:
                break
    except BaseException:
        if pending is not None:
            pending.cut(interrupted(cell))
        raise
    return not until.done and bool(queue or lane)


def step_now(world: World, cell: WorkerCell, message: Any, kind: Kind = CALL) -> Any:
    """Step a worker that has its `step` set: its output, which is committed, or an `Odd`."""
    guard = world.guard
    guard.used = True
    if not guard.armed:
        guard.arm()
    given: Any = message
    step: Any = cell.step
    state, guard.cell = cell.state, cell
    try:
        if type(message) is bytes:
            given = NOTHING
            given = (cell.codec or codec_of(cell)).decode(message)
        result = step(given, state) if cell.steps & 63 else timed(world, cell, step, given)
    except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
        guard.cell = None
        return Odd(given, None, error)
    guard.cell = None
    try:  # to take it apart is the quickest way to see that it is a pair
        cell.state, output = () if type(result) is not tuple else result
    except ValueError:
        return Odd(given, result)
    cell.steps += 1
    if (record := world.record) is not None:
        record((next(world.numbers), cell, kind, given, state, result))
    return output


def deal_with(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, odd: Odd
) -> None:
    """Go on with a step that gave no plain output. `message` is what came, maybe as bytes."""
    error = odd.error
    if error is None:
        finish_step(world, cell, odd.given, pending, odd.answer)
    elif odd.given is NOTHING:
        undecodable(world, cell, message, pending, error)
    else:
        odd.error = None  # who holds the error must not be held by it
        step_failed(world, cell, odd.given, pending, error)


def step_one(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Waiter | None
) -> None:
    """Serve one input. A pure step with nothing special about it is served right here."""
    if cell.step is None or not (kind is CALL or kind is CAST):
        serve(world, cell, kind, message, pending)
        return
    output = step_now(world, cell, message, kind)
    if type(output) is Odd:
        deal_with(world, cell, message, single(pending), output)
    elif pending is not None:
        pending.resolve(output)


def single(waiter: Waiter | None) -> Pending | None:
    """Who waits, on the ways where the call may be kept, or be told an outcome twice."""
    return None if waiter is None else waiter.single()


@calls_user
def timed(world: World, cell: WorkerCell, step: Callable[[Any, Any], Any], message: Any) -> Any:
    """Run a pure step with a look at the clock: every 64th, which stands for those between."""
    now_s, guard = world.clock.now_s, world.guard
    if world.history is not None:
        guard.cell = None  # to keep a large tree takes its time, which is not that of the step
        world.history.look(cell, message, now_s())
        guard.cell = cell
    begun_s = now_s()
    if begun_s > world.guard.overdue_s:
        world.guard.arm()
    result = step(message, cell.state)
    cell.timed_s += now_s() - begun_s
    return result


def step_failed(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, error: BaseException
) -> None:
    """A pure step raised: the straight way where that goes, else the careful one."""
    reason: ExitReason | None = told_at_a_glance(cell.step, error)
    if reason is None:
        if is_from_outside(world.guard, error, getattr(cell.step, "__code__", None)):
            interrupt(world, cell, pending, error)
        own_frames_only(error)
        reason = ended_by(world, cell, error)
    if cell.behaviour.inputs is not None:
        reason = explained(cell, message, reason)
    if not crash_plainly(world, cell, message, pending, reason):
        end_crashed(world, cell, message, pending, reason)


def finish_step(
    world: World, cell: WorkerCell, message: Any, pending: Pending | None, result: Any
) -> None:
    """Commit the answer of a pure step that is more than state and output, or less."""
    guard = world.guard
    guard.cell = cell
    try:
        outcome = of_step(result)
    except BaseException as error:  # noqa: BLE001 - a bad return value, or one that misbehaves
        guard.cell = None
        if is_from_outside(guard, error):
            interrupt(world, cell, pending, error)
        crashed(world, cell, message, pending, error, sent=True)
        return
    guard.cell = None
    commit_outcome(world, cell, message, pending, outcome)


def serve(world: World, cell: WorkerCell, kind: Kind, message: Any, waiter: Waiter | None) -> None:
    """Serve an input that does not go straight to a pure step, by the plan of its worker."""
    extra, pending = cell.extra, None if waiter is None else waiter.single()
    plan = CARE if extra is None else extra.plan
    if (
        plan is RECORD and type(message) is bytes and cell.status is RUNNING
        and not (pending and pending.request)
    ):  # fmt: skip
        left = serve_plainly(world, cell, kind, message, pending)
        if left is not None:
            finish_plainly(world, cell, kind, left, pending)
    elif type(message) is Publishing:
        bring_on(world, message)
    elif cell.status is not RUNNING:
        if comes_back(cell) and kind is not CONTINUE:
            put_off(world, cell, kind, message, pending)
        else:
            if world.history is not None:
                world.history.passed(cell, kind, message)
            no_process(world, cell, kind, message, pending)
    elif plan is Plan.HELD and (kind is not CONTINUE or not cell.suspended):
        put_off(world, cell, kind, message, pending)
    else:
        serve_carefully(world, cell, kind, message, pending)


def put_off(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None
) -> None:
    """Put an input off, with its sender where that is remembered."""
    if (history := world.history) is not None:
        pending = history.held(cell, kind, message, pending)
    hold(world, cell, kind, message, pending)


def serve_carefully(
    world: World, cell: WorkerCell, kind: Kind, came: Any, pending: Pending | None
) -> None:
    """Serve an input of any kind for any behaviour that runs."""
    if (history := world.history) is not None:
        history.arrive(cell, kind, came)
    message = message_of(world, cell, came, pending)
    if message is NOTHING:
        if history is not None and type(came) is not bytes:
            history.passed(cell, kind, came)
        return
    if is_reading(cell.behaviour, message) and not isinstance(came, MARKED):
        serve_reading(world, cell, kind, message, pending)
        return
    kept, keeper = kept_of(cell), world.outside.keeper
    if kept is not None and not admit(keeper, cell, kind, came, message, call=pending):
        return
    if cell.extra is not None and cell.extra.breaks is not None:
        serve_at_breaks(world, cell, (kind, came, message), pending)
        return
    commit.stop_timeout(world, cell)
    show_input(world, cell, message, pending)
    outcome = run_callback(world, cell, kind, message, pending)
    if outcome is not None:
        commit_outcome(world, cell, message, pending, outcome)


def serve_reading(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None
) -> None:
    """Serve an input that only reads: it is not recorded, and leaves a time-out under way."""
    try:
        before = to_be_read(world, cell)
    except StorageError as error:
        crashed(world, cell, message, pending, error)
        return
    show_input(world, cell, message, pending)
    outcome = run_callback(world, cell, kind, message, pending)
    if outcome is not None:
        answer_read(world, cell, (message, pending), outcome, before)


def message_of(world: World, cell: WorkerCell, came: Any, pending: Pending | None) -> Any:
    """Return the input as a value; `NOTHING` if it is void, or undecodable and that is told."""
    if type(came) is bytes:
        try:
            return guarded(world.guard, cell, cell.step_limit_s(), codec_of(cell).decode, came)
        except BaseException as error:  # noqa: BLE001 - a codec may be the user's own
            undecodable(world, cell, came, pending, error)
            return NOTHING
    return commit.taken(world, cell, came) if isinstance(came, MARKED) else came


def finish_plainly(
    world: World, cell: WorkerCell, kind: Kind, left: tuple[Any, Any], pending: Pending | None
) -> None:
    """Go on with care with a plain input that only reads, or whose answer is no pair."""
    message, result = left
    if result is UNSTEPPED:
        serve_reading(world, cell, kind, message, pending)
    else:
        finish_step(world, cell, message, pending, result)


for _function in (serve_batch, step_now, finish_step):
    engine_code(_function)

"""Carrying out what a callback asked for: effects, and what comes next.

Effects leave once the state is committed, in the order given. All effects of one callback are
admitted to the queue, whatever its bound: that bound is for inputs from outside. Only where
`MOST_EFFECTS` inputs would wait is a callback that sends more a crash, and its state stays; so is
one that joins more than `MOST_JOINED` groups.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.effects import (
    Answer,
    CancelTimer,
    Cast,
    Defer,
    Demonitor,
    Effect,
    Exit,
    Info,
    Join,
    Leave,
    Link,
    Monitor,
    Publish,
    Reported,
    StartTimer,
    Unlink,
)
from ssm_cli.behaviour.event_loop import orphaned
from ssm_cli.behaviour.foreign import foreign
from ssm_cli.behaviour.reasons import BadReturnError
from ssm_cli.behaviour.results import NOTHING, Caller, Continue, Then, TimeoutAfter
from ssm_cli.behaviour.runs import CancelRun, Run
from ssm_cli.behaviour.sizes import cut
from ssm_cli.errors import CalleeStopped, QueueFull, writable
from ssm_cli.runtime.engine.bonds import bind, bonds_fault
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell, replan
from ssm_cli.runtime.engine.contained import BUILTIN, contained, named
from ssm_cli.runtime.engine.entries import (
    Cause,
    Caused,
    ContinueDue,
    Marked,
    TimeoutDue,
    TimerDue,
    message_in,
)
from ssm_cli.runtime.engine.links import link, unlink
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.publishing import has_way, places, publish
from ssm_cli.runtime.engine.runs import ask_run, cancel_run
from ssm_cli.runtime.engine.world import MOST_EFFECTS, World, asked_by

SENDING = (Cast, Info, Publish)  # the effects that others get, whatever becomes of their sender
UNUSABLE = object()  # what comes of a key that cannot be looked up


def after_init(world: World, cell: WorkerCell, outcome: Outcome) -> None:
    """Carry out what `init` asked for besides its state, and what a state of before asks for."""
    gone = orphaned(cell.spec.id, cell.state)
    try:
        if outcome.effects or gone:
            apply_effects(world, cell, [*outcome.effects, *gone], None)
    finally:
        plan_next(world, cell, outcome.then)


def too_much(
    world: World, cell: WorkerCell, outcome: Outcome, what: str = "effects"
) -> QueueFull | BadReturnError | None:
    """Return the error of an outcome that asks for more than can be done; None if it does not."""
    if not outcome.effects:
        return None
    keeper, name = world.outside.keeper, cell.spec.id
    takes, bonds = 0 if keeper is None else keeper.sending, False
    published: tuple[str, ...] = ()
    for effect in outcome.effects:  # in one pass, as each publish comes this way
        if isinstance(effect, Publish):
            published = (*published, str.__str__(effect.group))
            takes += places(world, published[-1])
        elif isinstance(effect, (Cast, Info, Run)):
            takes += 1
        else:
            bonds = bonds or isinstance(effect, (Join, Monitor))
    fits = len(world.queue) + takes <= MOST_EFFECTS
    if not fits or (published and not has_way(world, published)):
        return QueueFull(f"the {what} of {name} do not fit into the queue")
    return bonds_fault(world, name, outcome.effects) if bonds else None


def sends(world: World, outcome: Outcome) -> int:
    """Return how many places in the queue an outcome takes, the ends of its runs among them."""
    return sum(
        places(world, str.__str__(effect.group)) if isinstance(effect, Publish) else 1
        for effect in outcome.effects
        if isinstance(effect, (*SENDING, Run))
    )


def apply_effects(
    world: World, cell: WorkerCell, effects: Sequence[Effect], pending: Pending | None
) -> bool:
    """Carry out the effects of a callback, in order; return whether they defer its reply.

    Those that are given as a deque are taken out of it one by one.
    """
    deferred = any(isinstance(effect, Defer) for effect in effects)
    todo = effects if isinstance(effects, deque) else deque(effects)
    try:
        while todo:
            apply_effect(world, cell, todo[0], pending)
            todo.popleft()
    except BaseException:  # from outside; what is sent is sent once or not at all, as by OTP
        if todo and isinstance(todo[0], (*SENDING, Exit)):
            todo.popleft()
        while todo:
            apply_effect(world, cell, todo.popleft(), pending)
        raise
    return deferred


def apply_effect(  # noqa: C901, PLR0912 - a case for each effect
    world: World, cell: WorkerCell, effect: Effect | Caused, pending: Pending | None
) -> None:
    """Carry out one effect; an `Exit` has been turned into the outcome's stop already.

    `pending` is the call that the callback served, if it was one.
    """
    match effect:
        case Cast(to, message):
            send(world, cell, to, Kind.CAST, message)
        case Info(to, message):
            send(world, cell, to, Kind.INFO, message)
        case Publish(group, message):
            publish(world, str.__str__(group), message, asked_by(world))
        case Join() | Leave() | Monitor() | Demonitor():
            bind(world, cell, effect)
        case StartTimer(key, ms, message, absolute):
            at_s = ms / 1000 if absolute else None
            start_timer(world, cell, key, ms / 1000, message, at_s=at_s)
        case CancelTimer(key):
            cancel_timer(world, cell, key)
        case Defer(key) if pending is not None:
            keep_caller(world, cell, key, pending)
        case Answer(to, output):
            answer(world, cell, to, output)
        case Link(to):
            link(world, cell, to)
        case Unlink(to):
            unlink(world, cell, to)
        case Reported(event, detail):
            world.report(event, cell, detail)
        case Run():
            ask_run(world, cell, effect, None, asked_by(world))
        case Caused(cause, Run() as run):
            ask_run(world, cell, run, cause, asked_by(world))
        case CancelRun(key):
            cancel_run(world, cell, key)


def send(world: World, cell: WorkerCell, to: str | None, kind: Kind, message: Any) -> None:
    """Put an input into the queue; report it as dropped where no worker has that name."""
    target = cell if to is None else world.reach(str.__str__(to))
    if isinstance(target, WorkerCell):
        history = world.history
        sent = None if history is None else SentInput(history, history.current)
        world.queue.append((target, kind, message, sent))
    else:
        name = cut(writable(str.__str__(to or "")))
        world.drop(cell, name, kind.name.lower(), "no such worker", message)


def keep_caller(world: World, cell: WorkerCell, key: object, pending: Pending) -> None:
    """Keep a call that is to be answered later; it fails if the worker ends first."""
    callers = cell.ensure_extra().callers
    if len(callers) % 64 == 63:  # some may have stopped waiting; look now and then
        for known, waiting in [*callers.items()]:
            if waiting.done:
                with_key(world, cell, known, callers.pop, None)
                forget_caller(world, waiting)
    name = cell.spec.id
    replaced = with_key(world, cell, key, callers.get)
    if replaced is UNUSABLE:
        text = f"{name} deferred a call under a key that cannot be hashed and compared"
        pending.fail(CalleeStopped(text, worker=name, reason="badarg"))
        return
    if replaced is not None and replaced is not pending:
        said = named(world, cell, key, repr)
        text = f"{name} deferred another call under the key {said}; give each call its own key"
        replaced.fail(CalleeStopped(text, worker=name, reason="replaced"))
    with_key(world, cell, key, callers.__setitem__, pending)  # last: a try that was cut is repeated


def with_key(
    world: World, cell: WorkerCell, key: object, call: Callable[..., Any], *args: Any
) -> Any:
    """Look something up by a key of the user's; `UNUSABLE` if its hash or its `==` fails."""
    if type(key) in BUILTIN:
        return call(key, *args)
    return contained(world, cell, lambda _error: UNUSABLE, foreign, call, key, *args)


def taken(world: World, cell: WorkerCell, marked: Marked) -> object:
    """Return the message that a marked input brings; `NOTHING` if it is void by now."""
    if type(marked) is not TimerDue:
        return message_in(cell, marked)
    message = with_key(world, cell, marked.key, lambda _key: message_in(cell, marked))
    return NOTHING if message is UNUSABLE else message


def caller_of(world: World, pending: Pending) -> Caller:
    """Return the `Caller` of a call of a `GenServer`, by which it may answer later."""
    world.caller += 1
    pending.number = world.caller
    world.callers[world.caller] = pending
    return Caller(world.caller, world.outbox)


def keep_waiting(world: World, cell: WorkerCell, pending: Pending) -> None:
    """Keep a call that its `GenServer` will answer by its `Caller`."""
    keep_caller(world, cell, (Caller, pending.number), pending)


def forget_caller(world: World, pending: Pending) -> None:
    """Forget the `Caller` of a call that needs it no more."""
    if pending.number:
        world.callers.pop(pending.number, None)


def answer(world: World, cell: WorkerCell, to: object, output: Any) -> None:
    """Answer a call that waits; nothing happens if none does."""
    pending = call_kept(world, cell, to)
    if pending is None:
        return
    pending.resolve(output)
    if isinstance(to, Caller):
        world.callers.pop(to.number, None)
    elif cell.extra is not None:
        with_key(world, cell, to, cell.extra.callers.pop, None)


def call_kept(world: World, cell: WorkerCell, to: object) -> Pending | None:
    """Return the call that waits under the key of a `Defer`, or by a `Caller`, if one does."""
    if isinstance(to, Caller):
        return world.callers.get(to.number)
    if cell.extra is None:
        return None
    found = with_key(world, cell, to, cell.extra.callers.get, None)
    return None if found is UNUSABLE else found


def start_timer(
    world: World,
    cell: WorkerCell,
    key: str,
    after_s: float,
    message: Any,
    *,
    at_s: float | None = None,
) -> None:
    """Start a timer of a worker in the place of the one that has its key.

    A message that is `Caused` says which record has started it; `at_s`, if given, is the instant of
    the wall clock at which it is due, whatever `after_s` says.
    """
    if at_s is not None:
        after_s = left_s(world, at_s)
    cause: Cause | None = None
    if type(message) is Caused:
        cause, message = message.cause, message.message
    cancel_timer(world, cell, key)
    number, timers = world.timers.next_number(), cell.ensure_extra().timers
    if with_key(world, cell, key, timers.__setitem__, number) is UNUSABLE:
        world.drop(cell, cell.spec.id, "timer", "its key cannot be hashed and compared")
        return
    entry = TimerDue(number, cell, cell.starts, key, message, cause, asked_by(world), at_s)
    world.timers.start(world.clock.now_s() + after_s, entry, number)


def leave_timers(world: World, cell: WorkerCell, *, stays: bool) -> None:
    """Leave the timers and runs of a life that ends to the next one of a fork, if its state stays.

    What is interrupted is done again: those that were cancelled in the meantime are left, too.
    """
    extra = cell.ensure_extra()
    numbers = (*extra.timers.values(), *(run.number for run in extra.runs.values()))
    left = tuple(filter(None, map(world.timers.find, numbers))) or extra.left
    extra.left = left if stays else ()


def left_s(world: World, at_s: float) -> float:
    """Return how long it is to an instant of the wall clock; 0 if that is over."""
    return max(0.0, at_s - world.clock.wall_s())


def cancel_timer(world: World, cell: WorkerCell, key: str) -> None:
    """Forget the timer `key` of a worker, if it has one; due already, it is void."""
    if cell.extra is not None:
        number = with_key(world, cell, key, cell.extra.timers.pop, None)
        if number is not None and number is not UNUSABLE:
            world.timers.cancel(number)


def on_timer(world: World, timer: TimerDue) -> None:
    """Put the message of a timer into the queue, if its worker still lives."""
    cell = timer.cell
    if cell.starts == timer.starts and cell.status is CellStatus.RUNNING:
        world.queue.append((cell, Kind.INFO, timer, None))


def plan_next(
    world: World, cell: WorkerCell, then: Then | None, cause: Cause | None = None
) -> None:
    """Arrange what comes next: a continue ahead of all inputs, or a time-out."""
    match then:
        case Continue(message):
            token = ContinueDue(cell.starts, message, cause, asked_by(world))
            world.queue.appendleft((cell, Kind.CONTINUE, token, None))
        case TimeoutAfter():
            start_timeout(world, cell, then)


def start_timeout(world: World, cell: WorkerCell, asked: TimeoutAfter) -> None:
    """Start a time-out in the place of the one under way; one of 0 ms is due behind what waits."""
    stop_timeout(world, cell)
    extra, number = cell.ensure_extra(), world.timers.next_number()
    extra.timeout, extra.timeout_after = number, asked
    replan(cell)  # the next input, which makes the time-out void, is served with care
    entry = TimeoutDue(number, cell, asked_by(world), asked.message)
    after_s = asked.ms / 1000
    if asked.absolute:
        after_s = left_s(world, after_s)
    if after_s <= 0:
        on_timeout(world, entry)
    else:
        world.timers.start(world.clock.now_s() + after_s, entry, number)


def on_timeout(world: World, entry: TimeoutDue) -> None:
    """Put a time-out into the queue, behind what waits already, unless it is void."""
    cell = entry.cell
    if cell.extra is not None and cell.extra.timeout == entry.number:
        world.queue.append((cell, Kind.INFO, entry, None))


def stop_timeout(world: World, cell: WorkerCell) -> None:
    """Make a time-out that is under way void."""
    extra = cell.extra
    if extra is not None and extra.timeout_after is not None:
        world.timers.cancel(extra.timeout)
        extra.timeout, extra.timeout_after = 0, None
        replan(cell)


def restart_timeout(world: World, cell: WorkerCell) -> None:
    """Begin a time-out under way anew, after a system message; not while its worker is suspended.

    Source: OTP `gen_server:loop/7`, entered again with the same time after `sys` has returned.
    """
    extra = cell.extra
    if extra is None or extra.timeout_after is None:
        return
    asked = extra.timeout_after
    stop_timeout(world, cell)
    if extra.suspended:
        extra.timeout_after = asked  # begins anew with `resume`
    else:
        start_timeout(world, cell, asked)

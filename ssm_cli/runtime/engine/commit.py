"""Carrying out what a callback answered: state, effects, reply, what comes next, the end.

Effects leave once the state is committed, in the order given. Effects that find no room in the
queue are a crash of the worker that asked for them, and its state stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.effects import (
    Answer,
    CancelTimer,
    Cast,
    Defer,
    Effect,
    Exit,
    Info,
    StartTimer,
)
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import NOTHING, TIMEOUT, Caller, Continue, Then, TimeoutAfter
from ssm_cli.errors import CalleeStopped
from ssm_cli.runtime.engine.cell import Extra, Status, WorkerCell
from ssm_cli.runtime.engine.core import EFFECT_ROOM, Core
from ssm_cli.runtime.engine.pending import Pending


def make_ready(cell: WorkerCell) -> None:
    """Let inputs go straight to a pure step, where nothing has to be looked at on the way."""
    extra = cell.extra
    plain = extra is None or not (extra.suspended or extra.debug or is_looked_at(extra))
    behaviour = cell.behaviour
    running = cell.status is Status.RUNNING
    cell.step = behaviour.step if plain and running and type(behaviour) is StateMachine else None


def is_looked_at(extra: Extra) -> bool:
    """Whether each input of a worker has to be looked at: it is recorded, or its steps checked."""
    kept = extra.kept
    if kept is None:
        return extra.checked
    options = kept.options
    often = options.save_inputs is not None or options.save_seconds is not None
    return bool(kept.journals or kept.refused or often or extra.checked)


def after_init(core: Core, cell: WorkerCell, outcome: Outcome) -> None:
    """What `init` asked for besides its state."""
    apply_effects(core, cell, outcome.effects, None)
    plan(core, cell, outcome.then)


def room_for(core: Core, outcome: Outcome) -> bool:
    """Whether the inputs that an outcome sends fit into the queue."""
    sent = sends(outcome)
    held = 0 if core.keeper is None else core.keeper.sending
    return not sent or len(core.queue) + held + sent <= core.bound + EFFECT_ROOM


def sends(outcome: Outcome) -> int:
    """How many inputs an outcome sends."""
    return sum(isinstance(effect, Cast | Info) for effect in outcome.effects)


def apply_effects(
    core: Core, cell: WorkerCell, effects: Sequence[Effect], pending: Pending | None
) -> bool:
    """Carry out the effects of a callback, in order; whether they defer the reply of its call."""
    deferred = False
    for effect in effects:
        apply_effect(core, cell, effect, pending)
        deferred = deferred or isinstance(effect, Defer)
    return deferred


def apply_effect(core: Core, cell: WorkerCell, effect: Effect, pending: Pending | None) -> None:
    """Carry out one effect. `pending` is the call that the callback served, if it was one."""
    match effect:
        case Cast(to, message):
            send(core, cell, to, Kind.CAST, message)
        case Info(to, message):
            send(core, cell, to, Kind.INFO, message)
        case StartTimer(key, after_ms, message):
            cancel_timer(core, cell, key)
            due_s = core.clock.now_s() + after_ms / 1000
            number = core.timers.start(due_s, on_timer, core, cell, cell.starts, key, message)
            cell.more().timers[key] = number
        case CancelTimer(key):
            cancel_timer(core, cell, key)
        case Defer(key):
            if pending is not None:
                keep_caller(cell, key, pending)
        case Answer(to, output):
            answer(cell, to, output)
        case Exit():
            pass  # already turned into the outcome's stop


def send(core: Core, cell: WorkerCell, to: str | None, kind: Kind, message: Any) -> None:
    """Put an input into the queue; without such a worker it is dropped, as in OTP."""
    target = cell if to is None else core.find(to)
    if isinstance(target, WorkerCell):
        core.queue.append((target, kind, message, None))
    else:
        core.dropped += 1


def keep_caller(cell: WorkerCell, key: object, pending: Pending) -> None:
    """Remember who waits; if the worker ends first, the caller learns that."""
    callers = cell.more().callers
    if len(callers) % 64 == 63:  # some may have stopped waiting; look now and then
        for known in [known for known, waiting in callers.items() if waiting.done]:
            del callers[known]
    replaced = callers.get(key)
    callers[key] = pending
    if replaced is not None:
        name = cell.spec.id
        text = f"{name} deferred another call under the key {key!r}; give each call its own key"
        replaced.fail(CalleeStopped(text, worker=name, reason="replaced"))


def answer(cell: WorkerCell, to: object, output: Any) -> None:
    """Answer a caller that waits; nothing happens if nobody does."""
    if isinstance(to, Caller):
        pending = to._pending  # noqa: SLF001 - opaque to users, not to the engine
        if isinstance(pending, Pending):
            pending.resolve(output)
    elif cell.extra is not None and to in cell.extra.callers:
        cell.extra.callers.pop(to).resolve(output)


def cancel_timer(core: Core, cell: WorkerCell, key: str) -> None:
    """Forget the timer `key` of a worker, if it has one."""
    if cell.extra is not None:
        number = cell.extra.timers.pop(key, None)
        if number is not None:
            core.timers.cancel(number)


def on_timer(core: Core, cell: WorkerCell, starts: int, key: str, message: Any) -> None:
    """A timer has run out: its message becomes an input, if its worker still lives."""
    if cell.starts == starts and cell.status is Status.RUNNING:
        extra = cell.more()
        extra.timers.pop(key, None)
        if extra.kept is not None and extra.kept.journals and type(message) is not TimerToken:
            message = TimerToken(key, message, None)
        core.queue.append((cell, Kind.INFO, message, None))


def plan(core: Core, cell: WorkerCell, then: Then | None) -> None:
    """Arrange what comes next: a continue ahead of all inputs, or a time-out."""
    match then:
        case Continue(message):
            token = ContinueToken(cell.starts, message)
            core.queue.appendleft((cell, Kind.CONTINUE, token, None))
        case TimeoutAfter(ms):
            extra = cell.more()
            extra.timeout += 1
            extra.timeout_ms = ms
            cell.step = None  # the next input, which voids the time-out, is served the careful way
            if ms <= 0:
                queue_timeout(core, cell, extra.timeout)
            else:
                due_s = core.clock.now_s() + ms / 1000
                core.timers.start(due_s, queue_timeout, core, cell, extra.timeout)


class TimeoutToken:
    """A time-out on its way through the queue; any input handled before it makes it void."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class ContinueToken:
    """A continue on its way; the end of the life that asked for it makes it void."""

    __slots__ = ("cause", "message", "starts")

    def __init__(self, starts: int, message: Any) -> None:
        self.starts = starts
        self.message = message
        self.cause: tuple[int, int] | None = None  # the record that asked for it, if there is one


class TimerToken:
    """What a timer brings to a worker whose inputs are recorded, with the timer's key.

    `cause` is the record and the effect of it that started the timer; None for one of `init`. It
    tells this timer from a later one of the same key.
    """

    __slots__ = ("cause", "key", "message")

    def __init__(self, key: str, message: Any, cause: tuple[int, int] | None) -> None:
        self.key = key
        self.message = message
        self.cause = cause


class SentToken:
    """What a worker whose inputs are recorded has sent to such a worker, with what caused it."""

    __slots__ = ("cause", "message")

    def __init__(self, cause: tuple[int, int], message: Any) -> None:
        self.cause = cause
        self.message = message


Token = TimeoutToken | ContinueToken | TimerToken | SentToken


def queue_timeout(core: Core, cell: WorkerCell, number: int) -> None:
    """A time-out comes behind what waits already."""
    if cell.extra is not None and cell.extra.timeout == number:
        core.queue.append((cell, Kind.INFO, TimeoutToken(number), None))


def message_of(cell: WorkerCell, token: Token) -> object:
    """The message that a token stands for; `NOTHING` if it is void."""
    if isinstance(token, TimerToken | SentToken):
        return token.message
    if isinstance(token, ContinueToken):
        return token.message if token.starts == cell.starts else NOTHING
    return TIMEOUT if cell.extra is not None and cell.extra.timeout == token.number else NOTHING


def end_timeout(cell: WorkerCell) -> None:
    """An input is about to be handled: a time-out that was under way is void."""
    if cell.extra is not None:
        cell.extra.timeout += 1
        cell.extra.timeout_ms = None
        if cell.step is None:
            make_ready(cell)


def restart_timeout(core: Core, cell: WorkerCell) -> None:
    """A system message was dealt with: a time-out under way begins anew, once nobody suspends it.

    Source: OTP `gen_server:loop/7`, entered again with the same time after `sys` has returned.
    """
    extra = cell.extra
    if extra is not None and extra.timeout_ms is not None:
        extra.timeout += 1
        if not extra.suspended:
            plan(core, cell, TimeoutAfter(extra.timeout_ms))

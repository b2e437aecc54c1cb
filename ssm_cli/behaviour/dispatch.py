"""What a callback's answer means: results of both kinds of workers become one `Outcome`. Pure.

A `StateMachine` and a `GenServer` differ in how they are asked and in what they may answer; past
this file there is no difference. An answer that is none of the allowed ones raises
`BadReturnError` (OTP's `bad_return_value`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.effects import Effect, Exit
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.event_loop import begin_managing, manage, stop_managing
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.partition import label_of
from ssm_cli.behaviour.reasons import BadReturnError, ExitReason, reason_of, shape
from ssm_cli.behaviour.results import (
    NOTHING,
    Caller,
    Continue,
    Hibernate,
    Ignore,
    NoReply,
    Ok,
    Reply,
    Stop,
    Then,
    TimeoutAfter,
)
from ssm_cli.behaviour.sound import is_due, sound_effects
from ssm_cli.behaviour.state_loop import InState, begin, handle, in_use
from ssm_cli.behaviour.statem import PureStatem, Statem
from ssm_cli.behaviour.transitions import Next

Behaviour = StateMachine | Callbacks


class Kind(IntEnum):
    """How an input arrived."""

    CALL = 0
    CAST = 1
    INFO = 2
    CONTINUE = 3


WORDS = tuple(kind.name.lower() for kind in Kind)


class Outcome(msgspec.Struct, frozen=True):
    """What a callback's answer means. `stop` is the exit reason, or None to go on."""

    state: Any
    reply: Any = NOTHING
    stop: ExitReason | None = None
    then: Then | None = None
    effects: Sequence[Effect] = ()


def behaviour_of(start: object) -> Behaviour:
    """The behaviour that a child spec's `start` names; a class of callbacks is instantiated."""
    if isinstance(start, StateMachine | Callbacks):
        return start
    if isinstance(start, type) and issubclass(start, Callbacks):
        return start()
    raise TypeError(f"start must be a StateMachine or a class of callbacks, got {start!r}")


def callback_of(behaviour: Any) -> Any:
    """Return what its steps are made by: the function of a step, or the class of callbacks."""
    if isinstance(behaviour, StateMachine | PureStatem):
        return behaviour.step
    return behaviour if isinstance(behaviour, type) else type(behaviour)


def of_init(behaviour: Behaviour, result: Any) -> Outcome | Ignore:
    """What the answer of `init` means. A `stop` in the outcome is a start that failed.

    >>> of_init(StateMachine(step=print), 7).state
    7
    """
    if isinstance(behaviour, StateMachine) and not isinstance(result, Ok | Ignore | Stop):
        result = Ok(result)
    if isinstance(behaviour, Statem):
        result = statem_began(result)
    if isinstance(behaviour, Event) and not isinstance(result, Ignore | Stop):
        result = begin_managing(behaviour, result)
    match result:
        case Ignore():
            return result
        case Ok(state, then, effects):
            return with_effects(Outcome(state, then=checked(then)), effects)
        case Stop(reason):
            return Outcome(None, stop=reason_of(reason))
        case _:
            raise BadReturnError(f"init answered {shape(result)}; expected Ok, Ignore or Stop")


def statem_began(result: Any) -> Any:
    """What the answer of a `Statem`'s `init` begins with; an `InState` is what it had before."""
    match result:
        case Next():
            return begin(result)
        case Ignore() | Stop() | Ok(InState()):
            return result
        case InState():
            return Ok(result)
        case _:
            said = f"init answered {shape(result)}; expected Next, Ignore or Stop"
            raise BadReturnError(said, "bad_return_from_init")


def advance(
    behaviour: Behaviour, kind: Kind, message: Any, caller: Caller | None, state: Any
) -> Outcome:
    """Run the callback for one input and say what its answer means."""
    if isinstance(behaviour, StateMachine):
        return of_step(behaviour.step(message, state))
    if isinstance(behaviour, Statem):
        return of_callback(kind, handle(behaviour, WORDS[kind], message, caller, state))
    if isinstance(behaviour, Event):
        return of_callback(kind, manage(behaviour, WORDS[kind], message, state))
    assert isinstance(behaviour, GenServer)
    match kind:
        case Kind.CALL:
            assert caller is not None
            result: Any = behaviour.handle_call(message, caller, state)
        case Kind.CAST:
            result = behaviour.handle_cast(message, state)
        case Kind.INFO:
            result = behaviour.handle_info(message, state)
        case Kind.CONTINUE:
            result = behaviour.handle_continue(message, state)
    return of_callback(kind, result)


class Odd(msgspec.Struct, eq=False):
    """What came of a plain step that is no state with an output: an error, more, or less.

    Attributes:
        given: the input as a value; `NOTHING` where it could not be decoded.
        answer: what the step has answered; None where that has raised an `error`.
    """

    given: Any
    answer: Any
    error: BaseException | None = None


def of_step(result: Any) -> Outcome:
    """What the answer of a pure step means.

    >>> of_step((1, "Ok")).state
    1
    """
    if not isinstance(result, tuple) or len(result) not in (2, 3):
        raise BadReturnError(
            f"step answered {shape(result)}; expected (state, output) or (state, output, effects)"
        )
    if len(result) == 2:
        return Outcome(result[0], result[1])
    state, output, effects = result
    return with_effects(Outcome(state, output), effects)


def of_callback(kind: Kind, result: Any) -> Outcome:
    """What the answer of a `GenServer` callback means.

    >>> of_callback(Kind.CAST, NoReply(2)).state
    2
    """
    match result:
        case Reply(value, state, then, effects) if kind is Kind.CALL:
            return with_effects(Outcome(state, value, then=checked(then)), effects)
        case NoReply(state, then, effects):
            return with_effects(Outcome(state, then=checked(then)), effects)
        case Stop(reason, state, reply, effects) if reply is NOTHING or kind is Kind.CALL:
            state = None if state is NOTHING else state
            return with_effects(Outcome(state, reply, stop=reason_of(reason)), effects)
        case _:
            expected = "Reply, NoReply or Stop" if kind is Kind.CALL else "NoReply or Stop"
            raise BadReturnError(
                f"handle_{kind.name.lower()} answered {shape(result)}; expected {expected}"
            )


def with_effects(outcome: Outcome, effects: Any) -> Outcome:
    """The outcome with the effects it asks for; an `Exit` among them becomes its stop.

    Raises:
        BadReturnError: they are no sequence of effects, or one cannot be carried out.

    >>> str(with_effects(Outcome(1), [Exit("done")]).stop)
    'stop:done'
    """
    if not effects and isinstance(effects, tuple):
        return outcome
    asked, stop = sound_effects(effects), outcome.stop
    if exits := [effect for effect in asked if isinstance(effect, Exit)]:
        stop = reason_of(exits[-1].reason)
        asked = [effect for effect in asked if not isinstance(effect, Exit)]
    return Outcome(outcome.state, outcome.reply, stop, outcome.then, asked)


def checked(then: Then | None) -> Then | None:
    """`then` as it is, if it is one."""
    if then is None or isinstance(then, Continue):
        return then
    if isinstance(then, Hibernate) and type(then.on) is bool:
        return then
    if isinstance(then, TimeoutAfter) and is_due(then.ms, then.absolute):
        return then
    expected = "Continue, Hibernate, or a TimeoutAfter of 0 ms or more, or of an instant"
    raise BadReturnError(f"then is {shape(then)}; expected {expected}")


def finish(behaviour: Behaviour, name: str, reason: ExitReason, state: Any) -> Sequence[Effect]:
    """Run `terminate`; return what others are to be told then."""
    match behaviour:
        case StateMachine():
            if behaviour.terminate is not None:
                behaviour.terminate(label_of(name), state, reason)
        case Statem():
            callbacks = in_use(behaviour, state.modules)
            callbacks.terminate(reason, state.state, state.data)
        case Event():
            return stop_managing(behaviour, state)
        case GenServer():
            behaviour.terminate(reason, state)
    return ()

"""What a callback's answer means: results of both kinds of workers become one `Outcome`. Pure.

A `StateMachine` and a `GenServer` differ in how they are asked and in what they may answer; past
this file there is no difference. An answer that is none of the allowed ones raises
`BadReturnError` (OTP's `bad_return_value`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from ssm_cli.behaviour.effects import Effect, Exit
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import Crash, ExitReason, reason_of
from ssm_cli.behaviour.results import (
    NOTHING,
    Caller,
    Continue,
    Exited,
    Hibernate,
    Ignore,
    NoReply,
    Ok,
    Reply,
    Stop,
    Then,
    TimeoutAfter,
)
from ssm_cli.errors import StepTimeout

Behaviour = StateMachine | GenServer


class Kind(IntEnum):
    """How an input arrived."""

    CALL = 0
    CAST = 1
    INFO = 2
    CONTINUE = 3


class BadReturnError(Exception):
    """A callback answered something that it must not answer."""


class Outcome(msgspec.Struct, frozen=True):
    """What a callback's answer means. `stop` is the exit reason, or None to go on."""

    state: Any
    reply: Any = NOTHING
    stop: ExitReason | None = None
    then: Then | None = None
    effects: Sequence[Effect] = ()


def behaviour_of(start: object) -> Behaviour:
    """The behaviour that a child spec's `start` names; a `GenServer` class is instantiated."""
    if isinstance(start, StateMachine | GenServer):
        return start
    if isinstance(start, type) and issubclass(start, GenServer):
        return start()
    raise TypeError(f"start must be a StateMachine or a GenServer class, got {start!r}")


def begin(behaviour: Behaviour, name: str, args: Mapping[str, Any]) -> Outcome | Ignore:
    """Run `init`. A `stop` in the outcome is a start that failed."""
    if isinstance(behaviour, StateMachine):
        result = None if behaviour.init is None else behaviour.init(name, args)
        if not isinstance(result, Ok | Ignore | Stop):
            result = Ok(result)
    else:
        result = behaviour.init(name, args)
    match result:
        case Ignore():
            return result
        case Ok(state, then, effects):
            return Outcome(state, then=checked(then), effects=effects)
        case Stop(reason):
            return Outcome(None, stop=reason_of(reason))
        case _:
            raise BadReturnError(f"init answered {result!r}; expected Ok, Ignore or Stop")


def advance(
    behaviour: Behaviour, kind: Kind, message: Any, caller: Caller | None, state: Any
) -> Outcome:
    """Run the callback for one input and say what its answer means."""
    if isinstance(behaviour, StateMachine):
        return of_step(behaviour.step(message, state))
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


def of_step(result: Any) -> Outcome:
    """What the answer of a pure step means.

    >>> of_step((1, "Ok")).state
    1
    """
    if not isinstance(result, tuple) or len(result) not in (2, 3):
        raise BadReturnError(
            f"step answered {result!r}; expected (state, output) or (state, output, effects)"
        )
    if len(result) == 2:
        return Outcome(result[0], result[1])
    state, output, effects = result
    if not isinstance(effects, Sequence) or not all(isinstance(e, Effect) for e in effects):
        raise BadReturnError(f"step answered the effects {effects!r}; expected a sequence of them")
    exits = [effect for effect in effects if isinstance(effect, Exit)]
    stop = reason_of(exits[-1].reason) if exits else None
    return Outcome(state, output, stop=stop, effects=[e for e in effects if e not in exits])


def of_callback(kind: Kind, result: Any) -> Outcome:
    """What the answer of a `GenServer` callback means.

    >>> of_callback(Kind.CAST, NoReply(2)).state
    2
    """
    match result:
        case Reply(value, state, then, effects) if kind is Kind.CALL:
            return Outcome(state, value, then=checked(then), effects=effects)
        case NoReply(state, then, effects):
            return Outcome(state, then=checked(then), effects=effects)
        case Stop(reason, state, reply, effects) if reply is NOTHING or kind is Kind.CALL:
            return Outcome(state, reply, stop=reason_of(reason), effects=effects)
        case _:
            expected = "Reply, NoReply or Stop" if kind is Kind.CALL else "NoReply or Stop"
            raise BadReturnError(
                f"handle_{kind.name.lower()} answered {result!r}; expected {expected}"
            )


def checked(then: Then | None) -> Then | None:
    """`then` as it is, if it is one."""
    if then is None or isinstance(then, Continue | TimeoutAfter | Hibernate):
        return then
    raise BadReturnError(f"then is {then!r}; expected Continue, TimeoutAfter or Hibernate")


def reason_for(error: BaseException) -> ExitReason:
    """The exit reason that an exception out of a callback stands for.

    >>> str(reason_for(Exited("oops"))), str(reason_for(KeyError("x")))
    ('stop:oops', 'crash')
    """
    match error:
        case Exited():
            return reason_of(error.reason)
        case StepTimeout():
            return Crash(error, "step_timeout")
        case BadReturnError():
            return Crash(error, "bad_return_value")
        case _:
            return Crash(error)


def finish(behaviour: Behaviour, name: str, reason: ExitReason, state: Any) -> None:
    """Run `terminate`."""
    if isinstance(behaviour, StateMachine):
        if behaviour.terminate is not None:
            behaviour.terminate(name, state, reason)
    else:
        behaviour.terminate(reason, state)

"""What a callback's answer means: results of both kinds of workers become one `Outcome`. Pure.

A `StateMachine` and a `GenServer` differ in how they are asked and in what they may answer; past
this file there is no difference. An answer that is none of the allowed ones raises
`BadReturnError` (OTP's `bad_return_value`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

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
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import Crash, ExitReason, plain, reason_of
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
from ssm_cli.behaviour.sizes import cut
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

    def __init__(self, said: str = "") -> None:
        super().__init__(cut(said))


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


def of_init(behaviour: Behaviour, result: Any) -> Outcome | Ignore:
    """What the answer of `init` means. A `stop` in the outcome is a start that failed.

    >>> of_init(StateMachine(step=print), 7).state
    7
    """
    if isinstance(behaviour, StateMachine) and not isinstance(result, Ok | Ignore | Stop):
        result = Ok(result)
    match result:
        case Ignore():
            return result
        case Ok(state, then, effects):
            return with_effects(Outcome(state, then=checked(then)), effects)
        case Stop(reason):
            return Outcome(None, stop=reason_of(reason))
        case _:
            raise BadReturnError(
                f"init answered {plain(result, repr)}; expected Ok, Ignore or Stop"
            )


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
            f"step answered {plain(result, repr)}; "
            "expected (state, output) or (state, output, effects)"
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
            return with_effects(Outcome(state, reply, stop=reason_of(reason)), effects)
        case _:
            expected = "Reply, NoReply or Stop" if kind is Kind.CALL else "NoReply or Stop"
            raise BadReturnError(
                f"handle_{kind.name.lower()} answered {plain(result, repr)}; expected {expected}"
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
    if not isinstance(effects, Sequence):
        raise BadReturnError(f"the effects are {plain(effects, repr)}; expected a sequence of them")
    asked = [*effects]  # once: a sequence of the user's may be another one each time
    for effect in asked:
        if not is_sound(effect):
            raise BadReturnError(f"{plain(effect, repr)} is no effect that can be carried out")
    exits = [effect for effect in asked if isinstance(effect, Exit)]
    stop = reason_of(exits[-1].reason) if exits else outcome.stop
    others = [effect for effect in asked if not isinstance(effect, Exit)]
    return msgspec.structs.replace(outcome, stop=stop, effects=others)


def is_sound(effect: object) -> bool:
    """Whether this is an effect, with fields of the right types.

    >>> is_sound(StartTimer("tick", 5, None)), is_sound(StartTimer("tick", "5", None))
    (True, False)
    """
    match effect:
        case Cast(to) | Info(to):
            return to is None or isinstance(to, str)
        case StartTimer(key, after_ms):
            return is_hashable(key) and is_time(after_ms)
        case CancelTimer(key) | Defer(key) | Answer(key):
            return is_hashable(key)
        case _:
            return isinstance(effect, Exit)


def is_hashable(key: object) -> bool:
    """Whether something can be found again under this key."""
    try:
        hash(key)
    except Exception:  # noqa: BLE001 - the user's __hash__ may raise anything
        return False
    return True


def is_time(ms: object) -> bool:
    """Whether this is a number of milliseconds that can be waited for.

    >>> is_time(0), is_time(1.5), is_time(-1), is_time("5"), is_time(float("nan"))
    (True, True, False, False, False)
    """
    return isinstance(ms, int | float) and 0 <= ms <= sys.float_info.max


def checked(then: Then | None) -> Then | None:
    """`then` as it is, if it is one."""
    if then is None or isinstance(then, Continue | Hibernate):
        return then
    if isinstance(then, TimeoutAfter) and is_time(then.ms):
        return then
    raise BadReturnError(
        f"then is {plain(then, repr)}; expected Continue, TimeoutAfter or Hibernate"
    )


def reason_for(error: BaseException) -> ExitReason:
    """The exit reason that an exception out of a callback stands for.

    >>> str(reason_for(Exited("oops"))), str(reason_for(KeyError("x")))
    ('stop:oops', 'crash')
    """
    kind = type(error)  # and no `isinstance`: the `__class__` of a user's exception may lie
    if issubclass(kind, Exited):
        return reason_of(getattr(error, "reason", None))
    if issubclass(kind, StepTimeout):
        return Crash(error, "step_timeout")
    return Crash(error, "bad_return_value") if issubclass(kind, BadReturnError) else Crash(error)


def finish(behaviour: Behaviour, name: str, reason: ExitReason, state: Any) -> None:
    """Run `terminate`."""
    if isinstance(behaviour, StateMachine):
        if behaviour.terminate is not None:
            behaviour.terminate(name, state, reason)
    else:
        behaviour.terminate(reason, state)

"""What a callback's answer means: results of both kinds of workers become one `Outcome`. Pure.

A `StateMachine` and a `GenServer` differ in how they are asked and in what they may answer; past
this file there is no difference. An answer that is none of the allowed ones raises
`BadReturnError` (OTP's `bad_return_value`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
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
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.event_loop import begin_managing, manage, stop_managing
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.partition import label_of
from ssm_cli.behaviour.reasons import BadReturnError, ExitReason, plain, reason_of, shape
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
from ssm_cli.behaviour.runs import CancelRun, Run, fault_of
from ssm_cli.behaviour.state_loop import InState, begin, handle, in_use
from ssm_cli.behaviour.statem import PureStatem, Statem
from ssm_cli.behaviour.transitions import Next
from ssm_cli.errors import writable

MOST_GROUP_CHARACTERS = 200
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
    if isinstance(behaviour, Event) and not isinstance(result, Ok | Ignore | Stop):
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
    if not isinstance(effects, Sequence):
        raise BadReturnError(f"the effects are {shape(effects)}; expected a sequence of them")
    asked = [*effects]  # once: a sequence of the user's may be another one each time
    ends = False
    for effect in asked:
        if isinstance(effect, Run):
            if wrong := fault_of(effect):
                raise BadReturnError(
                    f"Run {plain(effect.key, repr)} cannot be carried out: {wrong}"
                )
        elif not is_sound(effect):
            raise BadReturnError(f"{shape(effect)} is no effect that can be carried out")
        else:
            ends = ends or isinstance(effect, Exit)
    stop = outcome.stop
    if ends:
        stop = reason_of([effect for effect in asked if isinstance(effect, Exit)][-1].reason)
        asked = [effect for effect in asked if not isinstance(effect, Exit)]
    return Outcome(outcome.state, outcome.reply, stop, outcome.then, asked)


def is_sound(effect: object) -> bool:
    """Whether this is an effect, with fields of the right types.

    >>> is_sound(StartTimer("tick", 5, None)), is_sound(StartTimer("tick", "5", None))
    (True, False)
    """
    check = SOUND.get(type(effect))
    if check is None:  # of a class of the user's own
        check = next((one for kind, one in SOUND.items() if isinstance(effect, kind)), None)
    return check is not None and check(effect)


def is_group(group: object) -> bool:
    """Whether this may be the name of a group: a str that can be written, of 1 to 200 characters.

    >>> is_group("room 1"), is_group(""), is_group(7), is_group("x" * 201)
    (True, False, False, False)
    """
    if not isinstance(group, str):
        return False
    name = str.__str__(group)
    return 0 < len(name) <= MOST_GROUP_CHARACTERS and writable(name) == name


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
    if isinstance(then, TimeoutAfter) and is_time(then.ms) and type(then.absolute) is bool:
        return then
    raise BadReturnError(f"then is {shape(then)}; expected Continue, TimeoutAfter or Hibernate")


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


SOUND: dict[type, Callable[[Any], bool]] = {
    Publish: lambda effect: is_group(effect.group),
    Cast: lambda effect: effect.to is None or isinstance(effect.to, str),
    Info: lambda effect: effect.to is None or isinstance(effect.to, str),
    Join: lambda effect: is_group(effect.group),
    Leave: lambda effect: is_group(effect.group),
    StartTimer: lambda effect: (
        is_hashable(effect.key) and is_time(effect.after_ms) and type(effect.absolute) is bool
    ),
    CancelTimer: lambda effect: is_hashable(effect.key),
    Defer: lambda effect: is_hashable(effect.key),
    Answer: lambda effect: is_hashable(effect.to),
    CancelRun: lambda effect: isinstance(effect.key, str),
    Monitor: lambda effect: isinstance(effect.worker, str),
    Demonitor: lambda effect: isinstance(effect.worker, str),
    Link: lambda effect: isinstance(effect.to, str),
    Unlink: lambda effect: isinstance(effect.to, str),
    Exit: lambda _: True,
    Reported: lambda _: True,
}
"""What must hold of the fields of each effect."""

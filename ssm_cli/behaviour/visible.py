"""What `sys` sees of a state, and puts in its place. Pure.

The state of a `Statem` holds more than what its callbacks know: that stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.event_loop import Handlers, caught, handler_name, handlers_changed
from ssm_cli.behaviour.foreign import foreign
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import BadReturnError, shape
from ssm_cli.behaviour.results import Error, Ok
from ssm_cli.behaviour.state_loop import InState, StateData, in_use, one_by_one
from ssm_cli.behaviour.statem import Statem
from ssm_cli.behaviour.transitions import Next, StateEvent


class Written(msgspec.Struct, frozen=True):
    """What somebody has written that is to be put in the place of a state."""

    def put(self, old: Any, shown: Any) -> Any:
        """Return the state, as `visible` has it; `shown` is what is shown of the old one."""
        raise NotImplementedError


class Taken(msgspec.Struct, frozen=True):
    """A state that another tree has of the same worker, as it is."""

    state: Any


class HandlerStates(list[tuple[Any, Any]]):
    """What `sys:get_state` answers of an `Event` manager: its handlers, each with its state."""


def visible(state: Any) -> Any:
    """What `sys:get_state` answers of a state.

    Of a `Statem` its state and data; of an `Event` manager its handlers, each with its state.
    """
    if type(state) is Handlers:
        return HandlerStates((handler_name(one), one.state) for one in state.installed)
    return StateData(state.state, state.data) if type(state) is InState else state


def replaced(state: Any, given: Any) -> Any:
    """What a state becomes by `sys:replace_state` with `given`, which is as `visible` says.

    Raises:
        BadReturnError: `given` is not of that form.
    """
    if type(state) is Handlers:
        return handlers_with(state, given)
    if type(state) is not InState:
        return given
    if not is_pair(given):
        raise BadReturnError(f"{shape(given)} is no pair; expected (state, data)")
    return msgspec.structs.replace(state, state=given[0], data=given[1])


def taken_over(state: Any, given: Taken) -> Any:
    """What a state becomes by that of another tree: what waits in it stays.

    Raises:
        BadReturnError: it has other handlers.
    """
    other = given.state
    if type(state) is Handlers:
        mine, others = ([handler_name(one) for one in it.installed] for it in (state, other))
        if mine != others:
            raise BadReturnError("its handlers are not the same")
        return handlers_with(state, visible(other))
    return replaced(state, visible(other)) if type(state) is InState else other


def handlers_with(state: Handlers, given: Any) -> Handlers:
    """The handlers with other states, which are given in their order."""
    pairs = list(given) if isinstance(given, list | tuple) else []
    if len(pairs) != len(state.installed) or not all(is_pair(pair) for pair in pairs):
        expected = f"{len(state.installed)} pairs (handler, state)"
        raise BadReturnError(f"{shape(given)} is none of it; expected {expected}")
    both = zip(state.installed, pairs, strict=True)
    return Handlers(tuple(msgspec.structs.replace(one, state=pair[1]) for one, pair in both))


def is_pair(value: object) -> bool:
    """Whether this is a list or tuple of two."""
    return isinstance(value, tuple | list) and len(value) == 2


def changed_by(state: Any, function: Callable[[Any], Any]) -> Any:
    """What a function of the user's makes of a state; of an `Event` manager, handler by handler.

    A handler for which it raises keeps its state.
    """
    if type(state) is not Handlers:
        return replaced(state, foreign(function, visible(state)))
    found = [caught(function, pair) for pair in visible(state)]
    pairs = [new if is_pair(new) else old for new, old in zip(found, visible(state), strict=True)]
    return replaced(state, pairs)


def redacted_by(behaviour: Behaviour, value: Any) -> Any:
    """Return a value without what its worker hides. User code."""
    if isinstance(behaviour, StateMachine):
        return value if behaviour.redact is None else foreign(behaviour.redact, value)
    return redact_parts(value, partial(foreign, behaviour.format_status))


def redact_parts(value: Any, hide: Callable[[Any], Any]) -> Any:
    """What may be seen of a state or an input, by a function that hides a part of it.

    Of a `Statem` that function gets the data, and what each event says.
    """
    match value:
        case InState(data=data, timeouts=timeouts):
            return msgspec.structs.replace(
                value,
                data=hide(data),
                postponed=tuple(redact_parts(one, hide) for one in one_by_one(value.postponed)),
                inserted=tuple(redact_parts(one, hide) for one in one_by_one(value.inserted)),
                timeouts={timer: hide(content) for timer, content in timeouts.items()},
            )
        case StateEvent(content=content):
            return msgspec.structs.replace(value, content=hide(content))
        case Handlers(installed):
            shown = (msgspec.structs.replace(one, state=hide(one.state)) for one in installed)
            return Handlers(tuple(shown))
        case StateData(state, data):
            return StateData(state, hide(data))
        case HandlerStates():
            return HandlerStates((name, hide(state)) for name, state in value)
        case _:
            return hide(value)


def left_over(state: Any) -> Any:
    """What a next life begins with that takes over a state: nothing that waited in it."""
    return InState(state.state, state.data) if type(state) is InState else state


def begun_anew(answer: Any) -> Any:
    """Return what a life begins with whose state was saved without its time-outs.

    A `Statem` enters its state once more, so that what belongs to being there is set anew.
    """
    if type(answer) is Ok and type(answer.state) is InState:
        return Next(answer.state.state, answer.state.data)
    return answer


def with_state(answer: Any, state: Any) -> Any:
    """Return an answer of `init` with another state in it.

    >>> with_state(Ok(1), 2).state
    2
    """
    match answer:
        case Ok():
            return msgspec.structs.replace(answer, state=state)
        case Next():
            return msgspec.structs.replace(answer, state=state.state, data=state.data)
        case _:
            return state


def code_changed(behaviour: Behaviour, old_version: str, state: Any, extra: Any) -> Any:
    """Run `code_change`; return `Ok` with the state of the present code, `Error`, or nonsense."""
    if isinstance(behaviour, Statem):
        return statem_changed(behaviour, old_version, state, extra)
    if isinstance(behaviour, Event):
        return handlers_changed(behaviour, old_version, state, extra)
    convert: Any = behaviour.code_change
    if convert is None:
        return Ok(state)
    result = convert(old_version, state, extra)
    plainly = isinstance(behaviour, StateMachine) and not isinstance(result, Ok | Error)
    return Ok(result) if plainly else result


def statem_changed(statem: Statem, old_version: str, at: InState, extra: Any) -> Ok | Error:
    """The same of a `Statem`, whose time-outs and postponed events stay.

    Raises:
        BadReturnError: it answered something else.
    """
    callbacks = in_use(statem, at.modules)
    result: object = callbacks.code_change(old_version, at.state, at.data, extra)
    if isinstance(result, Next):
        return Ok(msgspec.structs.replace(at, state=result.state, data=result.data))
    if isinstance(result, Error):
        return result
    raise BadReturnError(f"code_change answered {shape(result)}; expected Next or Error")


def does_hide(behaviour: Any) -> bool:
    """Return whether a behaviour has a `redact`, or a `format_status` of its own."""
    if isinstance(behaviour, StateMachine):
        return behaviour.redact is not None
    hiding = getattr(behaviour, "format_status", None)
    return getattr(hiding, "__func__", hiding) is not Callbacks.format_status

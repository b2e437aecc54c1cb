"""What happens to a `Statem`, and what its callbacks may answer: events, results and actions.

Source: OTP `gen_statem`, `event_type()`, `state_callback_result()` and `action()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ssm_cli.behaviour.effects import Answer, Effect
from ssm_cli.behaviour.results import NOTHING, Caller, Hibernate

Timer = str | tuple[str, Any]
"""A time-out: `"timeout"` (the event time-out), `"state_timeout"`, or `("timeout", NAME)`."""

EVENT_TIMEOUT, STATE_TIMEOUT = "timeout", "state_timeout"
EVENT_TYPES = frozenset({"call", "cast", "info", "internal"})


class StateEvent(msgspec.Struct, frozen=True):
    """One event: how it came, and what it says.

    Attributes:
        type: `call`, `cast`, `info`, `internal`, `enter`, or the `Timer` that has run out.
        content: the input; of an `enter` call the state before.
        caller: who waits for an answer, of a `call`.
    """

    type: Timer
    content: Any = None
    caller: Caller | None = None


class Postpone(msgspec.Struct, frozen=True):
    """`postpone`: handle this event again once the state has changed; `Postpone(False)`: do not."""

    on: bool = True


class NextEvent(msgspec.Struct, frozen=True):
    """`{next_event, Type, Content}`: insert an event ahead of all that waits.

    A `call` has the `caller` who is to be answered.
    """

    type: Timer
    content: Any = None
    caller: Caller | None = None


class SetTimeout(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """`{Timer, Time, Content}`: have an event of this type come in `ms` milliseconds.

    A time-out of the same timer is replaced. 0 comes behind what is inserted, ahead of all that
    waits outside; `"infinity"` cancels. The event time-out ends with any event, the state time-out
    with a change of the state. With `absolute` (`{abs, true}`), `ms` is the instant itself, as of a
    `StartTimer`.
    """

    timer: Timer
    ms: float | Literal["infinity"]
    content: Any = None
    absolute: bool = False


class UpdateTimeout(msgspec.Struct, frozen=True):
    """`{Timer, update, Content}`: other content at the same time; at once if none is running."""

    timer: Timer
    content: Any = None


class CancelTimeout(msgspec.Struct, frozen=True):
    """`{Timer, cancel}`: nothing happens if none is running."""

    timer: Timer


class ChangeCallbackModule(msgspec.Struct, frozen=True):
    """`{change_callback_module, Module}`: go on with the callbacks of another `Statem` class."""

    module: type


class PushCallbackModule(msgspec.Struct, frozen=True):
    """`{push_callback_module, Module}`: the same, until a `PopCallbackModule`."""

    module: type


class PopCallbackModule(msgspec.Struct, frozen=True):
    """`pop_callback_module`: go on with the callbacks from before the last push."""


Action = (
    Answer
    | Postpone
    | NextEvent
    | SetTimeout
    | UpdateTimeout
    | CancelTimeout
    | ChangeCallbackModule
    | PushCallbackModule
    | PopCallbackModule
    | Hibernate
    | Effect
)
"""What an event sets off besides its state and data; carried out in the order given.

`Answer(event.caller, value)` is OTP's `{reply, From, Value}`. Effects of any worker are actions.
"""
Actions = Sequence[Action] | Action
"""A list or a tuple of them, or one alone."""


class Next(msgspec.Struct, frozen=True):
    """`{next_state, State, Data, Actions}`; `{ok, State, Data, Actions}` from `init`."""

    state: Any
    data: Any = None
    actions: Actions = ()


class KeepState(msgspec.Struct, frozen=True):
    """`{keep_state, Data, Actions}`."""

    data: Any
    actions: Actions = ()


class KeepStateAndData(msgspec.Struct, frozen=True):
    """`{keep_state_and_data, Actions}`."""

    actions: Actions = ()


class RepeatState(msgspec.Struct, frozen=True):
    """`{repeat_state, Data, Actions}`: as `KeepState`, with another enter call."""

    data: Any
    actions: Actions = ()


class RepeatStateAndData(msgspec.Struct, frozen=True):
    """`{repeat_state_and_data, Actions}`: as `KeepStateAndData`, with another enter call."""

    actions: Actions = ()


class StopAndReply(msgspec.Struct, frozen=True):
    """`{stop_and_reply, Reason, Replies, Data}`: answer callers, then end.

    The data stays where none is given. Without replies it is `Stop(reason)`, `Stop(reason, data)`.
    """

    reason: Any
    replies: Sequence[Answer] | Answer = ()
    data: Any = NOTHING


def is_timer(timer: object) -> bool:
    """Whether this names a time-out.

    >>> is_timer("state_timeout"), is_timer(("timeout", "retry")), is_timer("cast")
    (True, True, False)
    >>> is_timer(("timeout", ["retry"]))
    False
    """
    if type(timer) is tuple:
        return len(timer) == 2 and timer[0] == EVENT_TIMEOUT and is_key(timer[1])
    return timer in (EVENT_TIMEOUT, STATE_TIMEOUT)


def is_key(name: object) -> bool:
    """Whether time-outs can be told apart by this name: it has a hash.

    >>> is_key("retry"), is_key(["retry"])
    (True, False)
    """
    try:
        hash(name)
    except Exception:  # noqa: BLE001 - the hash of a user's own class raises anything
        return False
    return True

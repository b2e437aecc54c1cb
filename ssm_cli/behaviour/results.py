"""What callbacks may answer (OTP's return tuples), and the opaque caller of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

import msgspec

from ssm_cli.behaviour.effects import Effect
from ssm_cli.behaviour.reasons import BadReturnError, Crash, ExitReason, reason_of
from ssm_cli.behaviour.variables import Out_co, State_co
from ssm_cli.errors import StepTimeout


class Continue(msgspec.Struct, frozen=True):
    """`{continue, Term}`: `handle_continue(message, state)` runs before any other input."""

    message: object


class Timeout(msgspec.Struct, frozen=True):
    """The atom `timeout`: what `handle_info` gets when `TimeoutAfter` has run out."""


TIMEOUT = Timeout()


class TimeoutAfter(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A time-out in milliseconds: unless an input comes first, `handle_info(message, state)`.

    `absolute`: `ms` is the instant itself, as of a `StartTimer` (`{timeout, Time, Message,
    [{abs, true}]}` of later OTPs). A system message begins the time anew, but for an instant.
    """

    ms: float
    message: object = TIMEOUT
    absolute: bool = False


class Hibernate(msgspec.Struct, frozen=True):
    """`hibernate`: accepted for OTP's sake; with one process there is no heap to shrink."""

    on: bool = True


Then = Continue | TimeoutAfter | Hibernate


class Ok(msgspec.Struct, Generic[State_co], frozen=True):
    """`{ok, State}` with something to do next: from `init` and `code_change`."""

    state: State_co
    then: Then | None = None
    effects: Sequence[Effect] = ()


class Reply(msgspec.Struct, Generic[Out_co, State_co], frozen=True):
    """`{reply, Value, State}`: answer the caller."""

    value: Out_co
    state: State_co
    then: Then | None = None
    effects: Sequence[Effect] = ()


class NoReply(msgspec.Struct, Generic[State_co], frozen=True):
    """`{noreply, State}`: nothing to say now; a waiting caller goes on waiting."""

    state: State_co
    then: Then | None = None
    effects: Sequence[Effect] = ()


class _Unset:
    """The value of `Stop.reply` where no reply is given (a reply may be None)."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"  # there is one: it is compared by identity


NOTHING = _Unset()


class Stop(msgspec.Struct, Generic[Out_co, State_co], frozen=True):
    """`{stop, Reason, State}` or `{stop, Reason, Reply, State}`: end after `terminate`.

    From `init`, `Stop(reason)` is a start that failed. For a `Statem` the state is its data, which
    stays where none is given.
    """

    reason: object
    state: State_co | _Unset | None = NOTHING
    reply: Out_co | _Unset = NOTHING
    effects: Sequence[Effect] = ()


class Ignore(msgspec.Struct, frozen=True):
    """`ignore` from `init`: do not run, and do not count as a failure."""


class Error(msgspec.Struct, frozen=True):
    """`{error, Reason}` from `code_change`: keep the old state."""

    reason: object


class Exited(Exception):
    """`exit(Reason)`: raise it in a callback to end the worker with that reason."""

    def __init__(self, reason: object = "normal") -> None:
        super().__init__(str(reason))
        self.reason = reason


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
    return Crash(error, getattr(error, "kind", "")) if kind is BadReturnError else Crash(error)


class ExitSignal(msgspec.Struct, frozen=True):
    """`{'EXIT', From, Reason}`: what `handle_info` gets in a worker with `trap_exit`.

    `sender` is the id of who has ended; `names` are the others by which it was linked, as POOL:KEY.
    """

    reason: object
    sender: str = ""
    names: tuple[str, ...] = ()


class Caller:
    """Who waits for a reply (OTP's `From`). Opaque: keep it in the state, `Answer` it later.

    `reply` is `gen_server:reply/2`: it counts even if the callback raises afterwards. Only the
    first reply counts.
    """

    __slots__ = ("_outbox", "number")

    def __init__(self, number: int, outbox: list[tuple[int, Any]]) -> None:
        self.number = number  # in the table of callers of its world, and of each fork of that
        self._outbox = outbox

    def reply(self, value: object) -> None:
        """Answer with `value` as soon as the running callback is over."""
        self._outbox.append((self.number, value))

    def __repr__(self) -> str:
        return f"Caller({self.number})"

    def __deepcopy__(self, _memo: object) -> Caller:
        return self

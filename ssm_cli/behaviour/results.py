"""What callbacks may answer (OTP's return tuples), and the opaque caller of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.effects import Effect


class Continue(msgspec.Struct, frozen=True):
    """`{continue, Term}`: `handle_continue(message, state)` runs before any other input."""

    message: object


class TimeoutAfter(msgspec.Struct, frozen=True):
    """A time-out in milliseconds: unless an input comes first, `handle_info(TIMEOUT, state)`."""

    ms: float


class Hibernate(msgspec.Struct, frozen=True):
    """`hibernate`: accepted for OTP's sake; with one process there is no heap to shrink."""


Then = Continue | TimeoutAfter | Hibernate


class Ok(msgspec.Struct, frozen=True):
    """`{ok, State}` with something to do next: from `init` and `code_change`."""

    state: object
    then: Then | None = None
    effects: Sequence[Effect] = ()


class Reply(msgspec.Struct, frozen=True):
    """`{reply, Value, State}`: answer the caller."""

    value: object
    state: object
    then: Then | None = None
    effects: Sequence[Effect] = ()


class NoReply(msgspec.Struct, frozen=True):
    """`{noreply, State}`: nothing to say now; a waiting caller goes on waiting."""

    state: object
    then: Then | None = None
    effects: Sequence[Effect] = ()


class _Unset:
    """The value of `Stop.reply` where no reply is given (a reply may be None)."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"  # there is one: it is compared by identity


NOTHING = _Unset()


class Stop(msgspec.Struct, frozen=True):
    """`{stop, Reason, State}` or `{stop, Reason, Reply, State}`: end after `terminate`.

    From `init`, `Stop(reason)` is a start that failed.
    """

    reason: object
    state: object = None
    reply: object = NOTHING
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


class ExitSignal(msgspec.Struct, frozen=True):
    """`{'EXIT', From, Reason}`: what `handle_info` gets in a worker with `trap_exit`."""

    reason: object
    sender: str = ""


class Timeout(msgspec.Struct, frozen=True):
    """The atom `timeout`: what `handle_info` gets when `TimeoutAfter` has run out."""


TIMEOUT = Timeout()


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

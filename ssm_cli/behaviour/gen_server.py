"""`GenServer`: a worker as OTP's callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.reasons import shape
from ssm_cli.behaviour.results import Caller, Error, Ignore, NoReply, Ok, Reply, Stop
from ssm_cli.behaviour.variables import In_contra, Out_co, State


class GenServer(Callbacks, Generic[In_contra, State, Out_co]):
    """A worker as OTP's callbacks. Subclass it and name the class as `start` of a child spec.

    `class Bank(GenServer[Deposit | Ask, int, Balance])` says what it takes, keeps and answers. A
    callback that raises is a crash; one that answers anything but the results it may answer ends
    the worker with `bad_return_value`. Source: OTP `gen_server`.
    """

    def init(self, name: str, args: Mapping[str, Any]) -> Ok[State] | Ignore | Stop:
        """Make the first state. `Stop(reason)` is a failed start."""
        del name, args
        nothing: Any = None
        return Ok(nothing)

    def handle_call(
        self, message: In_contra, caller: Caller, state: State
    ) -> Reply[Out_co, State] | NoReply[State] | Stop[Out_co, State]:
        """Answer a call: `Reply(value, state)`, or `NoReply` and an `Answer(caller, ...)` later."""
        del caller, state
        raise NotImplementedError(f"{type(self).__name__}.handle_call got {shape(message)}")

    def handle_cast(self, message: In_contra, state: State) -> NoReply[State] | Stop[Any, State]:
        """Take an input that nobody waits for."""
        del state
        raise NotImplementedError(f"{type(self).__name__}.handle_cast got {shape(message)}")

    def handle_info(self, message: Any, state: State) -> NoReply[State] | Stop[Any, State]:
        """Take a timer, a time-out, an exit signal or a plain message. The default drops it."""
        del message
        return NoReply(state)

    def handle_continue(self, message: Any, state: State) -> NoReply[State] | Stop[Any, State]:
        """Go on with `then=Continue(message)` before any other input."""
        del state
        raise NotImplementedError(f"{type(self).__name__}.handle_continue got {shape(message)}")

    def terminate(self, reason: Any, state: State) -> None:
        """Clean up. Runs with the last good state; not when the worker is killed."""

    def code_change(self, old_version: str, state: Any, extra: Any) -> Ok[State] | Error:
        """Turn the state of `old_version` into that of this one."""
        del old_version, extra
        return Ok(state)

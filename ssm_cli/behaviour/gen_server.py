"""`GenServer`: a worker as OTP's callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ssm_cli.behaviour.results import Caller, Error, Ignore, NoReply, Ok, Reply, Stop


class GenServer:
    """A worker as OTP's callbacks. Subclass it and name the class as `start` of a child spec.

    The instance holds no state: each callback gets the state and answers with the next one.
    One instance is made for each worker, without arguments. A callback that raises is a crash;
    one that answers anything but the results it may answer ends the worker with
    `bad_return_value`. Source: OTP `gen_server`.

    Class attributes:
        inputs: the union of its message constructors (see `StateMachine.inputs`).
        outputs: the union of its reply constructors.
        reads: those of its inputs that only read (see `StateMachine.reads`).
        codec: `text`, `json`, `msgpack`, or an object with `decode` and `encode`.
        trap_exit: exit signals from others arrive in `handle_info` as `ExitSignal`. The exit of
            its supervisor always runs `terminate` under a supervisor.
        version: what `code_change` is told (OTP's `vsn`), and what a saved state is marked with.
        state: the type of the state, by which a saved one is read back; plain data by default.
    """

    inputs: ClassVar[Any] = None
    outputs: ClassVar[Any] = None
    reads: ClassVar[Any] = None
    codec: ClassVar[Any] = "text"
    trap_exit: ClassVar[bool] = False
    version: ClassVar[str] = "1"
    state: ClassVar[Any] = None

    def init(self, name: str, args: Mapping[str, Any]) -> Ok | Ignore | Stop:
        """Make the first state. `Stop(reason)` is a failed start."""
        del name, args
        return Ok(None)

    def handle_call(self, message: Any, caller: Caller, state: Any) -> Reply | NoReply | Stop:
        """Answer a call: `Reply(value, state)`, or `NoReply` and an `Answer(caller, ...)` later."""
        del caller, state
        raise NotImplementedError(f"{type(self).__name__}.handle_call got {message!r}")

    def handle_cast(self, message: Any, state: Any) -> NoReply | Stop:
        """Take an input that nobody waits for."""
        del state
        raise NotImplementedError(f"{type(self).__name__}.handle_cast got {message!r}")

    def handle_info(self, message: Any, state: Any) -> NoReply | Stop:
        """Take a timer, a time-out, an exit signal or a plain message. The default drops it."""
        del message
        return NoReply(state)

    def handle_continue(self, message: Any, state: Any) -> NoReply | Stop:
        """Go on with `then=Continue(message)` before any other input."""
        del state
        raise NotImplementedError(f"{type(self).__name__}.handle_continue got {message!r}")

    def terminate(self, reason: Any, state: Any) -> None:
        """Clean up. Runs with the last good state; not when the worker is killed."""

    def code_change(self, old_version: str, state: Any, extra: Any) -> Ok | Error:
        """Turn the state of `old_version` into that of this one."""
        del old_version, extra
        return Ok(state)

    def restore(self, name: str, args: Mapping[str, Any], saved: Any) -> Ok | Ignore | Stop:
        """Make the first state from a saved one; runs in the place of `init` where there is one."""
        del name, args
        return Ok(saved)

    def migrate(self, old_version: str, state: Any) -> Any:
        """Turn a state that another version has saved, as plain data, into one of this version."""
        raise NotImplementedError(
            f"{type(self).__name__} {self.version} cannot read a state that version {old_version} "
            f"has saved: write its migrate(old_version, state)"
        )

    def format_status(self, value: Any) -> Any:
        """Hide what must not be seen in a state or an input before it leaves the process."""
        return value

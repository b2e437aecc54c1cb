"""`Callbacks`: what the behaviours that are classes of callbacks have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ssm_cli.behaviour.results import Ignore, Ok, Stop
from ssm_cli.codec.port import Codec, CodecName


class Callbacks:
    """A worker as OTP's callbacks: `GenServer`, `Statem` and `Event` are its kinds.

    The instance holds no state: each callback gets the state and answers with the next one.
    One instance is made for each worker, without arguments.

    Class attributes:
        inputs: the union of its message constructors (see `StateMachine.inputs`).
        outputs: the union of its reply constructors.
        reads: those of its inputs that only read (see `StateMachine.reads`).
        codec: `text`, `json`, `msgpack`, or an object with `decode` and `encode`.
        trap_exit: exit signals from others arrive as inputs, as `ExitSignal`. The exit of its
            supervisor always runs `terminate` under a supervisor.
        version: what `code_change` is told (OTP's `vsn`), and what a saved state is marked with.
        state: the type of the state, by which a saved one is read back; plain data by default.
    """

    inputs: ClassVar[Any] = None
    outputs: ClassVar[Any] = None
    reads: ClassVar[Any] = None
    codec: ClassVar[CodecName | Codec] = "text"
    trap_exit: ClassVar[bool] = False
    version: ClassVar[str] = "1"
    state: ClassVar[Any] = None

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        """Make the first state."""
        raise NotImplementedError(f"{type(self).__name__}.init of {name} is not there")

    def code_change(self, old_version: str, *given: Any) -> Any:
        """Turn the state of `old_version` into that of this one."""
        raise NotImplementedError(f"{type(self).__name__}.code_change from {old_version}: {given}")

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

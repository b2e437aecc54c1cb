"""`StateMachine`: a worker as a pure step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import msgspec

from ssm_cli.behaviour.effects import Effect
from ssm_cli.behaviour.results import Ignore, Ok, Stop
from ssm_cli.behaviour.variables import In_contra, Out_co, State
from ssm_cli.codec.port import Codec, CodecName


class StateMachine(
    msgspec.Struct, Generic[In_contra, State, Out_co], frozen=True, kw_only=True, eq=False
):
    """A worker as a pure function of its input and its state: `StateMachine[In, State, Out]`.

    Attributes:
        step: `step(message, state) -> (state, output)`, or `(state, output, effects)` with a
            sequence of effects. Must not change `state` in place; raising is a crash, and the
            state from before is what `terminate` sees.
        init: `init(name, args) -> state`; may do IO, may answer `Ignore()` or `Stop(reason)`.
            The default state is None.
        terminate: `terminate(name, state, reason)`, with the last good state. Not called when
            the worker is killed.
        inputs: the union of the constructors of its inputs (`Store | Lookup`): dataclasses or
            `msgspec.Struct` types. Without it the codec hands over text, JSON or MessagePack
            values as they are.
        outputs: the same for its outputs; documentation and help only.
        reads: those of its inputs that only read (`Get | List`): they are not journalled, and a
            step that changes the state on one, or asks for anything but an answer, is a crash.
        codec: `text`, `json`, `msgpack`, or an object with `decode(bytes)` and `encode(value)`;
            the child spec may name another.
        redact: `redact(value)` hides what must not be seen in a state or an input before it
            leaves the process (OTP's `format_status`).
        version: what `code_change` is told (OTP's `vsn`), and what a saved state is marked with.
        code_change: `code_change(old_version, state, extra) -> state`.
        state: the type of the state, by which a saved one is read back. By default the
            annotation of the second parameter of `step`; without either, plain data.
        migrate: `migrate(old_version, state) -> state` turns a state that another version has
            saved into one of this version. It gets plain data: the old types are gone.
        restore: `restore(name, args, saved) -> state` runs in the place of `init` where a saved
            state is there; may do and answer what `init` may. By default the saved state is it.
    """

    step: Callable[
        [In_contra, State], tuple[State, Out_co] | tuple[State, Out_co, Sequence[Effect]]
    ]
    init: Callable[[str, Mapping[str, Any]], State | Ok[State] | Ignore | Stop] | None = None
    terminate: Callable[[str, State, Any], None] | None = None
    inputs: Any = None
    outputs: Any = None
    reads: Any = None
    codec: CodecName | Codec = "text"
    redact: Callable[[Any], Any] | None = None
    version: str = "1"
    code_change: Callable[[str, Any, Any], State] | None = None
    state: Any = None
    migrate: Callable[[str, Any], State] | None = None
    restore: Callable[[str, Mapping[str, Any], Any], State | Ok[State] | Ignore | Stop] | None = (
        None
    )

"""`Statem`: a state machine as OTP's callbacks, and `PureStatem`, one as a pure step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.reasons import shape
from ssm_cli.behaviour.results import Error, Ignore, Stop
from ssm_cli.behaviour.transitions import (
    KeepState,
    KeepStateAndData,
    Next,
    RepeatState,
    RepeatStateAndData,
    StateEvent,
    StopAndReply,
)

Result = (
    Next | KeepState | KeepStateAndData | RepeatState | RepeatStateAndData | Stop | StopAndReply
)


class Statem(Callbacks):
    """A state machine as OTP's callbacks. Name a subclass of it as `start` of a child spec.

    With `state_functions` a state is a word, and events go to the method of that name,
    `locked(event, data)`; with `handle_event_function` a state is any value, and they go to
    `handle_event(event, state, data)`. Both answer `Next`, `KeepState`, `KeepStateAndData`,
    `RepeatState`, `RepeatStateAndData`, `Stop` or `StopAndReply`. Source: OTP `gen_statem`.

    Class attributes, besides those of `Callbacks`:
        callback_mode: `state_functions` or `handle_event_function`.
        state_enter: whether each change of the state, and the start, is followed by an event
            `enter` in the new state, whose content is the old one.
    """

    callback_mode: ClassVar[Literal["state_functions", "handle_event_function"]] = "state_functions"
    state_enter: ClassVar[bool] = False

    def init(self, name: str, args: Mapping[str, Any]) -> Next | Ignore | Stop:
        """Name the first state and data: `Next(state, data, actions)`."""
        return super().init(name, args)  # type: ignore[no-any-return]  # which raises

    def handle_event(self, event: StateEvent, state: Any, data: Any) -> Result:
        """Take an event in a state."""
        del state, data
        raise NotImplementedError(f"{type(self).__name__}.handle_event got {shape(event)}")

    def terminate(self, reason: Any, state: Any, data: Any) -> None:
        """Clean up. Runs in the last good state; not when the worker is killed."""

    def code_change(self, old_version: str, state: Any, data: Any, extra: Any) -> Next | Error:
        """Turn state and data of `old_version` into those of this one."""
        del old_version, extra
        return Next(state, data)


class PureStatem(Statem):
    """A state machine as a pure function of an event, its state and its data.

    Args:
        step: `step(event, state, data) -> Next(state, data, actions)`, or any other answer of a
            `Statem`. Must not change the data in place.
        init: `init(name, args) -> Next(state, data, actions)`.
        terminate: `terminate(reason, state, data)`.
        state_enter: see `Statem`.
        inputs, outputs, reads, codec, version, state: see `Callbacks`.
        redact: hides what must not be seen in data or an input (`format_status`).
        code_change: `code_change(old_version, state, data, extra) -> Next(state, data)`.
        migrate: `migrate(old_version, state) -> state`, see `Callbacks`.
    """

    callback_mode = "handle_event_function"

    def __init__(
        self,
        *,
        step: Callable[[StateEvent, Any, Any], Any],
        init: Callable[[str, Mapping[str, Any]], Any],
        terminate: Callable[[Any, Any, Any], None] | None = None,
        code_change: Callable[[str, Any, Any, Any], Any] | None = None,
        migrate: Callable[[str, Any], Any] | None = None,
        redact: Callable[[Any], Any] | None = None,
        **settings: Any,
    ) -> None:
        unknown = [name for name in settings if name not in SETTINGS]
        if unknown:
            raise TypeError(f"PureStatem has no {unknown[0]}; it has {', '.join(SETTINGS)}")
        self.step = step
        own = {
            "init": init, "terminate": terminate, "code_change": code_change, "migrate": migrate,
            "format_status": redact, **settings,
        }  # fmt: skip
        vars(self).update({name: value for name, value in own.items() if value is not None})

    def handle_event(self, event: StateEvent, state: Any, data: Any) -> Any:
        """Step."""
        return self.step(event, state, data)


SETTINGS = ("state_enter", "inputs", "outputs", "reads", "codec", "trap_exit", "version", "state")

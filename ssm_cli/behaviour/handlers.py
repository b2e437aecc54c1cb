"""Handlers of an `Event` manager: what they are, what is asked of them, what they may answer.

Source: OTP `gen_event`. A handler is named by a class, or by a name in the manager's `handlers`;
with an id, as `("audit", 2)`, there may be several of one (`{Module, Id}`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.effects import Effect
from ssm_cli.behaviour.reasons import shape
from ssm_cli.behaviour.results import NOTHING, Error, Ok, Reply


class AddHandler(msgspec.Struct, frozen=True):
    """`add_handler`, or with the name of a worker `add_sup_handler`; it comes to the front.

    Answered by `ok`, or by what its `init` has answered or raised.
    """

    handler: Any
    args: Any = None
    supervisor: str = ""


class DeleteHandler(msgspec.Struct, frozen=True):
    """`delete_handler`: answered by what its `terminate(arg, state)` returns."""

    handler: Any
    arg: Any = None


class SwapHandler(msgspec.Struct, frozen=True):
    """`swap_handler`, or with the name of a worker `swap_sup_handler`.

    The new handler's `init(args, previous)` gets what `terminate(arg, state)` of the old one has
    returned; `error` where there is no old one. Answered by `ok`, or an `Error`.
    """

    old: Any
    arg: Any = None
    handler: Any = None
    args: Any = None
    supervisor: str = ""


class CallHandler(msgspec.Struct, frozen=True):
    """`gen_event:call`: answered by what `handle_call(request, state)` of one handler says."""

    handler: Any
    request: Any = None


class ForHandler(msgspec.Struct, frozen=True):
    """The `extra` of a `change_code` that is for the handlers of one kind alone."""

    handler: Any
    extra: Any = None


class WhichHandlers(msgspec.Struct, frozen=True):
    """`which_handlers`: answered by the list of handlers, the newest first."""


Requests = AddHandler | DeleteHandler | SwapHandler | CallHandler | WhichHandlers


class RemoveHandler(msgspec.Struct, frozen=True):
    """`remove_handler`, from `handle_call` `{remove_handler, Reply}`: this handler is done."""

    reply: Any = NOTHING
    effects: Sequence[Effect] = ()


class SwapTo(msgspec.Struct, frozen=True):
    """`{swap_handler, Arg, State, Handler, Args}`: another handler takes the place of this one.

    From `handle_call` with a `reply`.
    """

    arg: Any
    state: Any
    handler: Any
    args: Any = None
    reply: Any = NOTHING
    effects: Sequence[Effect] = ()


class Raised(msgspec.Struct, frozen=True):
    """`{'EXIT', Reason}`: a callback of a handler has raised, or exited with `reason`.

    `error`, `message` and `place` say what was raised, and where.
    """

    reason: str
    error: str = ""
    message: str = ""
    place: str = ""


class Swapped(msgspec.Struct, frozen=True):
    """`{swapped, Handler, Pid}`: which handler has come, and which worker supervises it."""

    handler: Any
    supervisor: str = ""


class GenEventExit(msgspec.Struct, frozen=True):
    """`{gen_event_EXIT, Handler, Reason}`: what the supervising worker of a handler gets.

    `reason` is `normal`, `shutdown`, a `Swapped`, a `Raised`, or the nonsense that was answered.
    """

    handler: Any
    reason: Any


class EventHandler:
    """A handler as OTP's callbacks. It holds no state: each callback gets it.

    One that raises, or answers nonsense, is removed: its `terminate` gets an `Error`, its
    supervising worker a `GenEventExit`, a report says it; the others go on.
    """

    def init(self, args: Any, previous: Any) -> Ok | Error:
        """Make the first state. `previous` is given in a swap: what the old one has returned."""
        del previous
        return Ok(args)

    def handle_event(self, event: Any, state: Any) -> Ok | RemoveHandler | SwapTo:
        """Take an event."""
        del state
        raise NotImplementedError(f"{type(self).__name__}.handle_event got {shape(event)}")

    def handle_call(self, request: Any, state: Any) -> Reply | RemoveHandler | SwapTo:
        """Answer a `CallHandler`."""
        del state
        raise NotImplementedError(f"{type(self).__name__}.handle_call got {shape(request)}")

    def handle_info(self, message: Any, state: Any) -> Ok | RemoveHandler | SwapTo:
        """Take a plain message, a timer or an `ExitSignal`. The default drops it."""
        del message
        return Ok(state)

    def terminate(self, arg: Any, state: Any) -> Any:
        """Clean up; return what `DeleteHandler` and `SwapHandler` get, or `Ok(value, effects=...)`.

        `arg` is theirs, or `stop`, `remove_handler`, an `Error`, a `Stop` with the reason for which
        the supervising worker has ended.
        """
        del arg, state
        return "ok"

    def code_change(self, old_version: str, state: Any, extra: Any) -> Ok:
        """Turn the state of `old_version` into that of this one."""
        del old_version, extra
        return Ok(state)


class PureHandler(EventHandler):
    """A handler as a pure function: `step(event, state) -> state`, or any answer of a handler.

    Args:
        step: takes events.
        init: `init(args) -> state`; by default the arguments are the state.
        call: `call(request, state) -> Reply(value, state)`.
    """

    def __init__(
        self,
        step: Callable[[Any, Any], Any],
        init: Callable[[Any], Any] | None = None,
        call: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self._step, self._init, self._call = step, init, call

    def init(self, args: Any, previous: Any) -> Any:
        """Make the first state."""
        del previous
        return as_ok(args if self._init is None else self._init(args))

    def handle_event(self, event: Any, state: Any) -> Any:
        """Step."""
        return as_ok(self._step(event, state))

    def handle_call(self, request: Any, state: Any) -> Any:
        """Answer."""
        call = super().handle_call if self._call is None else self._call
        return call(request, state)


def as_ok(answer: Any) -> Any:
    """A state by itself stands for `Ok(state)`."""
    return answer if isinstance(answer, Ok | Error | RemoveHandler | SwapTo) else Ok(answer)

"""`Event`: an event manager, OTP's `gen_event`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.handlers import EventHandler, Requests

HandlerCode = type[EventHandler] | EventHandler


class Event(Callbacks):
    """An event manager: it hands each event to all of its handlers, the newest first.

    Name it, or a subclass of it, as `start` of a child spec. `cast` is OTP's `notify`, `call` with
    an event its `sync_notify`, which is answered by `ok`; `info` goes to `handle_info`.
    `AddHandler`, `DeleteHandler`, `SwapHandler`, `CallHandler` and `WhichHandlers` are requests, by
    call, or by cast where nobody waits. Source: OTP `gen_event`.

    Class attributes, besides those of `Callbacks`:
        handlers: the handlers that requests, and a tree file, may name: `{"audit": Audit}`.
            Those that `args` of the child spec name, `{handlers: [audit]}` or
            `{handlers: {audit: ARGS}}`, are there from the start.
    """

    handlers: ClassVar[Mapping[str, HandlerCode]] = {}
    trap_exit = True

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if cls.inputs is not None and "inputs" in vars(cls):
            cls.inputs = cls.inputs | Requests

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        """Name the handlers that are there from the start: a list, or a dict with their arguments.

        They are added in this order. `Ok(handlers, effects=...)`, `Ignore` and `Stop` do as well.
        """
        del name
        return args.get("handlers", ())

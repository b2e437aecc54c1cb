"""A `Statem` and an `Event` manager for random histories: what they do depends on the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ssm_cli import (
    Answer,
    Error,
    Event,
    EventHandler,
    KeepState,
    KeepStateAndData,
    Next,
    NextEvent,
    Ok,
    Postpone,
    RemoveHandler,
    Reply,
    SetTimeout,
    StateEvent,
    Statem,
    Stop,
    SwapTo,
)


class Walker(Statem):
    """Goes from `idle` to `busy` and back; postpones, inserts, and sets all kinds of time-outs."""

    callback_mode = "handle_event_function"
    state_enter = True

    def init(self, name: str, args: Mapping[str, Any]) -> Next:
        return Next("idle", 0, [SetTimeout(("timeout", "long"), 400, "long")])

    def handle_event(  # noqa: PLR0911 - one a kind
        self, event: StateEvent, state: str, data: int
    ) -> Any:
        match event:
            case StateEvent("enter"):
                busy = [SetTimeout("state_timeout", 150)] if state == "busy" else []
                return KeepState(data + 1, busy)
            case StateEvent(_, ("crash",)):
                raise ValueError("as asked")
            case StateEvent("cast", ("exit", reason)):
                return Stop(reason, data)
            case StateEvent("cast", ("timer", _, after_ms, _)):
                return KeepStateAndData([SetTimeout("timeout", after_ms, ("count",))])
            case StateEvent("call", ("defer", _)) if state == "idle":
                return KeepStateAndData([Postpone()])
            case StateEvent("call", ("answer", _), caller):
                actions: list[Any] = [Answer(caller, data), NextEvent("internal", ("count",))]
                return Next("idle" if state == "busy" else "busy", data + 10, actions)
            case StateEvent("call", _, caller):
                return KeepState(data + 1, [Answer(caller, data), SetTimeout("timeout", 0, "0")])
            case StateEvent("state_timeout"):
                return Next("idle", data + 1000)
            case _:
                return KeepState(data + 100)


class Odd(EventHandler):
    """Counts; leaves, is replaced or crashes as the event says."""

    def init(self, args: Any, previous: Any) -> Ok | Error:
        return Error("asked") if args == "refuse" else Ok(0)

    def handle_event(self, event: Any, state: int) -> Any:
        match event:
            case ("crash",):
                raise ValueError("as asked")
            case ("exit", _):
                return RemoveHandler()
            case ("timer", "k", _, _):
                return SwapTo("why", state, ("odd", 2))
            case _:
                return Ok(state + 1)

    def handle_call(self, request: Any, state: int) -> Reply:
        return Reply(state, state + 1)


class Bus(Event):
    handlers: ClassVar[Any] = {"odd": Odd}

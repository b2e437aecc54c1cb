"""Workers that every program here uses; both checkers accept them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssm_cli import (
    Answer,
    Caller,
    Cast,
    Event,
    Exit,
    GenServer,
    KeepState,
    KeepStateAndData,
    Next,
    Node,
    NoReply,
    Ok,
    Postpone,
    PureStatem,
    RepeatState,
    RepeatStateAndData,
    Reply,
    SetTimeout,
    StateEvent,
    Statem,
    StateMachine,
    Stop,
    StopAndReply,
    Supervisor,
    Worker,
)


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Get:
    pass


@dataclass(frozen=True)
class Count:
    value: int


@dataclass(frozen=True)
class Failed:
    why: str


def init(name: str, args: Mapping[str, Any]) -> int | Stop:
    return int(args["start"]) if "start" in args else Stop(f"{name} has no start")


def step(message: Add | Get, state: int) -> tuple[int, Count | Failed]:
    match message:
        case Add(amount):
            return state + amount, Count(state + amount)
        case Get():
            return state, Failed("none") if state == 0 else Count(state)


def asking(message: Add, state: int) -> tuple[int, Count] | tuple[int, None, list[Cast | Exit]]:
    if state:
        return state, None, [Cast("other", message), Exit("normal")]
    return state, Count(state)


def terminate(name: str, state: int, reason: object) -> None:
    print(name, state, reason)


counter = StateMachine(step=step, init=init, terminate=terminate, inputs=Add | Get, codec="json")
asker = StateMachine(step=asking)
plain = StateMachine(step=lambda message, state: (state, message))


class Bank(GenServer[Add | Get, int, Count]):
    inputs = Add | Get

    def init(self, name: str, args: Mapping[str, Any]) -> Ok[int] | Stop:
        return Ok(0) if args else Stop(name)

    def handle_call(
        self, message: Add | Get, caller: Caller, state: int
    ) -> Reply[Count, int] | NoReply[int] | Stop[Count, int]:
        if isinstance(message, Get):
            return Reply(Count(state), state)
        return Stop("broke", state, Count(state)) if state < 0 else NoReply(state + message.amount)

    def handle_cast(self, message: Add | Get, state: int) -> NoReply[int]:
        return NoReply(state + (message.amount if isinstance(message, Add) else 0))


class Untyped(GenServer):
    def handle_call(self, message: Add, caller: Caller, state: Any) -> Reply | Stop:
        return Stop("done", reply=1) if state else Reply(message.amount, state)


class Door(Statem):
    def init(self, name: str, args: Mapping[str, Any]) -> Next:
        return Next("locked", 0)

    def locked(
        self, event: StateEvent, data: int
    ) -> Next | KeepState | KeepStateAndData | RepeatState | RepeatStateAndData | StopAndReply:
        match event:
            case StateEvent("call", Get(), caller):
                return KeepState(data, Answer(caller, Count(data)))
            case StateEvent("call", caller=caller):
                return StopAndReply("normal", Answer(caller, Failed("locked")))
            case StateEvent("cast"):
                return KeepStateAndData(Postpone())
            case StateEvent("timeout"):
                return RepeatState(data, SetTimeout("timeout", 5))
            case StateEvent("info"):
                return RepeatStateAndData(Cast("other", data))
        return Next("locked", data + 1, [Postpone(), Cast("other", data)])


gate = PureStatem(
    step=lambda event, state, data: Next(state, data), init=lambda name, args: Next("open")
)

tree = Supervisor(
    "root",
    "one_for_all",
    [
        Worker("counter", counter, restart="transient", persist="journal"),
        Worker("asker", asker, codec="text"),
        Worker("plain", plain),
        Worker("bank", Bank),
        Worker("untyped", Untyped),
        Worker("door", Door),
        Worker("gate", gate),
        Worker("events", Event),
    ],
)
node = Node(tree)

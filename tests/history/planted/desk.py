"""A help desk as OTP callbacks, and small machines with timers; each with a fault of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ssm_cli import GenServer, NoReply, Reply, StateMachine, Stop


@dataclass(frozen=True)
class Ask:
    who: str
    priority: int = 0


@dataclass(frozen=True)
class Solve:
    number: int


@dataclass(frozen=True)
class Cancel:
    number: int


@dataclass(frozen=True)
class Tick:
    pass


@dataclass(frozen=True)
class Desk:
    asked: tuple[tuple[int, str], ...] = ()
    number: int = 0
    ticks: int = 0
    overdue: frozenset[int] = frozenset()
    busy: float = 0.0


class Sound(GenServer):
    """The desk without a fault."""

    def init(self, name: str, args: Any) -> Any:
        return Desk()

    def handle_call(self, message: Any, caller: Any, state: Desk) -> Any:
        match message:
            case Ask(who, _):
                number = state.number + 1
                asked = (*state.asked, (number, who))
                return Reply(number, replace(state, asked=asked, number=number))
            case Solve(number) | Cancel(number):
                left = tuple(one for one in state.asked if one[0] != number)
                return Reply(len(left), replace(state, asked=left))
        return Stop("unknown", state)

    def handle_cast(self, message: Any, state: Desk) -> Any:
        return NoReply(replace(state, busy=state.busy + 0.1))

    def handle_info(self, message: Any, state: Desk) -> Any:
        late = frozenset(number for number, _ in state.asked)
        return NoReply(replace(state, ticks=state.ticks + 1, overdue=state.overdue | late))


class LeftAfterCancel(Sound):
    """Ask, Tick, Cancel, Tick: 4."""

    def handle_info(self, message: Any, state: Desk) -> Any:
        asked = dict(state.asked)
        for number in state.overdue:
            asked[number]
        return super().handle_info(message, state)


class SolvedTwice(Sound):
    """Ask, Solve, Solve with the number that was given: 3."""

    def handle_call(self, message: Any, caller: Any, state: Desk) -> Any:
        if isinstance(message, Solve) and 0 < message.number <= state.number:
            next(one for one in state.asked if one[0] == message.number)
        return super().handle_call(message, caller, state)


class Accumulated(Sound):
    """Three casts of 0.1 are more than 0.3: 3."""

    def handle_cast(self, message: Any, state: Desk) -> Any:
        after = state.busy + 0.1
        assert round(after, 1) == after, after
        return super().handle_cast(message, state)


class FullDesk(Sound):
    """Five that wait: 5."""

    def handle_call(self, message: Any, caller: Any, state: Desk) -> Any:
        if len(state.asked) == 4 and isinstance(message, Ask):
            raise BufferError("full")
        return super().handle_call(message, caller, state)


class SameCallerOverdue(Sound):
    """Ask, Tick, Ask by the same: 3."""

    def handle_call(self, message: Any, caller: Any, state: Desk) -> Any:
        if isinstance(message, Ask):
            late = {who for number, who in state.asked if number in state.overdue}
            if message.who in late:
                raise ConnectionError(message.who)
        return super().handle_call(message, caller, state)


def timer_after_stop(message: Any, state: dict[str, Any]) -> Any:
    """A timer that comes after its session has been removed: close, tick: 2."""
    word, _, name = str(message).partition(" ")
    if word == "open":
        return {**state, name: 0}, "ok"
    if word == "close":
        return {k: v for k, v in state.items() if k != name} | {f"-{name}": 1}, "ok"
    if word == "tick" and (name in state or f"-{name}" in state):
        return {**state, name: state[name] + 1}, "ok"
    return state, "refused"


def three_ticks_in_a_row(message: Any, state: int) -> Any:
    """Three ticks without a call between: 3."""
    if str(message).startswith("tick"):
        if state == 2:
            raise TimeoutError("nobody there")
        return state + 1, "ok"
    return 0, "ok"


def answers_nothing(message: Any, state: int) -> Any:
    """A bad return value after two opens: 3."""
    if str(message).startswith("open"):
        return state + 1, "ok"
    return (state, "ok") if state < 2 else None


SERVERS: dict[type[GenServer], int] = {
    LeftAfterCancel: 4,
    SolvedTwice: 3,
    Accumulated: 3,
    FullDesk: 5,
    SameCallerOverdue: 3,
}

MACHINES: dict[Callable[[Any, Any], Any], tuple[Any, int]] = {
    timer_after_stop: ({}, 2),
    three_ticks_in_a_row: (0, 3),
    answers_nothing: (0, 3),
}


def machine_of(fault: Callable[[Any, Any], Any]) -> StateMachine:
    return StateMachine(step=fault)

"""A ticker: uses a timer, and sends to another worker. Both are asked for as effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ssm_cli.behaviour.effects import CancelTimer, Cast, Effect, StartTimer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.machines.counter import Add


class Start(msgspec.Struct, frozen=True):
    """Tick every `every_ms` milliseconds from now on."""

    every_ms: int = 1000


class Pause(msgspec.Struct, frozen=True):
    """Stop ticking."""


class Tick(msgspec.Struct, frozen=True):
    """What the timer sends: count, tell the target, and wait for the next one."""


class Ticks(msgspec.Struct, frozen=True):
    """How often it has ticked."""

    n: int


class State(msgspec.Struct, frozen=True):
    """Whom to tell, how often, and how often it has."""

    target: str | None
    every_ms: int = 0
    ticks: int = 0


Message = Start | Pause | Tick


def init(name: str, args: Mapping[str, object]) -> State:
    """Begin silent; `args["target"]` names a counter that every tick adds one to."""
    del name
    target = args.get("target")
    return State(target if isinstance(target, str) else None)


def step(message: Message, state: State) -> tuple[State, Ticks, Sequence[Effect]]:
    """Tick.

    >>> step(Tick(), State("c", 500, 1))[1:]
    (Ticks(n=2), (StartTimer(key='tick', after_ms=500, message=Tick()), Cast(to='c', message=Add(n=1))))
    """  # noqa: E501 - a doctest prints one line
    match message:
        case Start(every_ms):
            if every_ms < 1:
                raise ValueError(f"every_ms must be at least 1, got {every_ms}")
            started = State(state.target, every_ms, state.ticks)
            return started, Ticks(state.ticks), (StartTimer("tick", every_ms, Tick()),)
        case Pause():
            return State(state.target, 0, state.ticks), Ticks(state.ticks), (CancelTimer("tick"),)
        case Tick():
            ticked = State(state.target, state.every_ms, state.ticks + 1)
            effects: list[Effect] = []
            if state.every_ms:
                effects.append(StartTimer("tick", state.every_ms, Tick()))
            if state.target is not None:
                effects.append(Cast(state.target, Add()))
            return ticked, Ticks(ticked.ticks), tuple(effects)


ticker = StateMachine(step=step, init=init, inputs=Message, outputs=Ticks)

"""A key-value store, with the deliberate fault of the original demo: `Lookup crash` crashes it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ssm_cli.behaviour.machine import StateMachine

State = dict[str, int]


class Store(msgspec.Struct, frozen=True):
    """Keep `value` under `key`."""

    key: str
    value: int


class Lookup(msgspec.Struct, frozen=True):
    """Ask for the value under `key`; `crash` divides by zero, on purpose."""

    key: str


class Ok(msgspec.Struct, frozen=True):
    """Stored."""


class Result(msgspec.Struct, frozen=True):
    """What is under the key, or None."""

    value: int | None


def init(name: str, args: Mapping[str, object]) -> State:
    """Begin empty."""
    del name, args
    return {}


def step(message: Store | Lookup, state: State) -> tuple[State, Ok | Result]:
    """Store or look up; the state is never changed in place.

    >>> step(Store("x", 1), {})
    ({'x': 1}, Ok())
    """
    match message:
        case Store(key, value):
            return {**state, key: value}, Ok()
        case Lookup("crash"):
            return state, Result(1 // 0)
        case Lookup(key):
            return state, Result(state.get(key))


kv_store = StateMachine(step=step, init=init, inputs=Store | Lookup, outputs=Ok | Result)

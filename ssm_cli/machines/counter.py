"""A counter: the smallest worker there is, with an argument and a way to be done."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ssm_cli.behaviour.effects import Exit
from ssm_cli.behaviour.machine import StateMachine


class Add(msgspec.Struct, frozen=True):
    """Count on by `n`."""

    n: int = 1


class Value(msgspec.Struct, frozen=True):
    """Ask how far it has counted."""


class Finish(msgspec.Struct, frozen=True):
    """End with the reason `normal`: a transient counter is not started again."""


class Count(msgspec.Struct, frozen=True):
    """How far it has counted."""

    n: int


def init(name: str, args: Mapping[str, object]) -> int:
    """Begin at the argument `start` (0).

    >>> init("counter", {"start": 7})
    7
    """
    del name
    start = args.get("start", 0)
    if not isinstance(start, int):
        raise TypeError(f"the argument start must be an integer, got {start!r}")
    return start


def step(
    message: Add | Value | Finish, state: int
) -> tuple[int, Count] | tuple[int, Count, tuple[Exit, ...]]:
    """Count.

    >>> step(Add(2), 1)
    (3, Count(n=3))
    """
    match message:
        case Add(n):
            return state + n, Count(state + n)
        case Value():
            return state, Count(state)
        case Finish():
            return state, Count(state), (Exit("normal"),)


counter = StateMachine(step=step, init=init, inputs=Add | Value | Finish, outputs=Count)

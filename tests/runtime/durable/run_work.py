"""A durable worker that has things done, and functions that note on disk that they are done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssm_cli import CancelRun, Done, Failed, Run, StateMachine


@dataclass(frozen=True)
class Ask:
    """Have something done under a key; it notes that in a file."""

    key: str
    file: str
    waits: bool = False


@dataclass(frozen=True)
class Cancel:
    key: str


@dataclass(frozen=True)
class Get:
    """What has ended, in order."""


@dataclass(frozen=True)
class Crash:
    pass


async def note(key: str, file: str, waits: bool) -> str:
    """Note that it was begun."""
    with Path(file).open("a") as noted:  # noqa: ASYNC230 - it takes no time
        noted.write(f"{key}\n")
    if waits:
        await asyncio.Event().wait()
    return f"did {key}"


async def odd() -> object:
    """Answer with what no record can carry."""
    return object()


Message = Ask | Cancel | Get | Crash | Done | Failed


def step(message: Message, state: tuple[str, ...]) -> Any:
    match message:
        case Ask("odd"):
            return state, "asked", [Run("odd", odd)]
        case Ask(key, file, waits):
            return state, "asked", [Run(key, note, key, file, waits, timeout_ms=60_000)]
        case Cancel(key):
            return state, "cancelled", [CancelRun(key)]
        case Get():
            return state, " ".join(state)
        case Crash():
            raise ValueError("as asked")
        case Done(key, value):
            return (*state, f"{key}:{value}"), None
        case Failed(key, error):
            return (*state, f"{key}:{error.reason}"), None


def init(name: str, args: Any) -> tuple[str, ...]:
    del name, args
    return ()


machine = StateMachine(step=step, init=init, inputs=Ask | Cancel | Get | Crash)

"""One device, as the gateway sees it: asked every ten seconds, and ever later while it is silent.

gateway.yaml runs a pool of them; docs/tutorial/iot-gateway.md tells it as a story.
"""  # noqa: INP001 - run by its path

import asyncio
from collections.abc import Mapping
from typing import Any, Literal
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from ssm_cli import (
    Answer,
    Caller,
    Done,
    Failed,
    Next,
    Postpone,
    PureStatem,
    Run,
    SetTimeout,
    StateEvent,
)

EVERY_MS, FIRST_MS, DOUBLINGS = 10_000, 1_000, 6


class Read(Struct, frozen=True):
    """Ask for what it said last."""


class Switch(Struct, frozen=True):
    """Give it another value."""

    value: int


class Value(Struct, frozen=True):
    """What it said last."""

    value: int


class Silent(Struct, frozen=True):
    """It does not answer: how often in a row by now, and why the last time."""

    times: int
    why: str


class Data(Struct, frozen=True):
    """Where it is, what it said, and the next line to it, with the caller who waits for that."""

    name: str
    host: str
    port: int
    said: Value | Silent = Silent(0, "not asked yet")
    line: str = "read"
    caller: Caller | None = None


State = Literal["asking", "online", "silent"]


def init(name: str, args: Mapping[str, Any]) -> Next:
    """Begin with a question."""
    return Next("asking", Data(name, **args))


def step(event: StateEvent, state: State, data: Data) -> Next:  # noqa: PLR0911 - a table
    """Ask, rest in `online` or `silent`, ask again; calls that come meanwhile wait for the rest."""
    match state, event:
        case "asking", StateEvent("enter"):
            line = f"{data.name} {data.line}"
            return Next(state, data, [Run("ask", ask, data.host, data.port, line)])
        case "asking", StateEvent("info", Done(_, value)):
            return rest("online", data, Value(value))
        case "asking", StateEvent("info", Failed(_, error)):
            times = data.said.times if isinstance(data.said, Silent) else 0
            return rest("silent", data, Silent(times + 1, str(error)))
        case "asking", _:
            return Next(state, data, [Postpone()])
        case _, StateEvent("enter"):
            return Next(state, data, [SetTimeout("state_timeout", rest_ms(data))])
        case _, StateEvent("state_timeout"):
            return Next("asking", data)
        case "online", StateEvent("call", Switch(value), caller):
            return Next("asking", replace(data, line=f"switch {value}", caller=caller))
        case _, StateEvent("call", _, caller):
            return Next(state, data, [Answer(caller, data.said)])
        case _:
            return Next(state, data)  # a cast: nobody hears what it said


def rest(state: State, data: Data, said: Value | Silent) -> Next:
    """Keep what it said, and tell who waits."""
    told = [Answer(data.caller, said)] if data.caller else []
    return Next(state, replace(data, said=said, line="read", caller=None), told)


def rest_ms(data: Data) -> float:
    """Return how long to rest: twice as long each time it is silent; spread by the name."""
    spread = 0.9 + crc32(data.name.encode()) % 201 / 1000
    if isinstance(data.said, Value):
        return spread * EVERY_MS
    return spread * FIRST_MS * (1 << min(data.said.times - 1, DOUBLINGS))


async def ask(host: str, port: int, line: str) -> int:
    """Send a line and read the answer, which is a number."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"{line}\n".encode())
        return int(await reader.readline())
    finally:
        writer.close()


device = PureStatem(
    step=step, init=init, state_enter=True, inputs=Read | Switch, outputs=Value | Silent
)

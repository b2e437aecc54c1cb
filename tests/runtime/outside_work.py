"""Functions that runs name, in a process or on a loop. Imports little: a process begins sooner."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Unpicklable:
    """Nothing that can be sent."""

    def __reduce__(self) -> str:
        raise TypeError("it cannot be pickled")


class Unreadable:
    """Pickled well, and brought back by nobody."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, (self.error,)


def refuse(error: BaseException) -> None:
    raise error


def double(n: int) -> int:
    return n * 2


def facts() -> dict[str, Any]:
    """What a process sees of where it is."""
    return {
        "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgrp(),
        "fds": sorted(path.name for path in Path("/dev/fd").iterdir())[:20],
        "secrets": [name for name in os.environ if name.startswith("SSM_")],
        "handler": str(signal.getsignal(signal.SIGUSR1)),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "masked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }  # fmt: skip


def wait(path: str) -> None:
    """Say who waits, and never end."""
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(60)


def begin_another(path: str) -> None:
    """Have a process of its own that never ends, and say who it is."""
    pid = os.fork()
    if not pid:
        wait(path)
    time.sleep(60)


def fail() -> None:
    raise KeyError("no such device")


def leave() -> None:
    sys.exit(3)


async def actrl_c() -> None:
    """Be where Ctrl-C comes."""
    signal.raise_signal(signal.SIGINT)


def interrupt() -> None:
    raise KeyboardInterrupt


def vanish() -> None:
    os._exit(7)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unpicklable() -> object:
    return Unpicklable()


def unreadable(error: BaseException) -> object:
    return Unreadable(error)


def of_a_module_that_is_nowhere_else() -> object:
    sys.modules["nowhere"] = module = types.ModuleType("nowhere")
    module.Thing = type("Thing", (), {"__module__": "nowhere"})  # type: ignore[attr-defined]  # made up
    return module.Thing()


def of_a_name_that_is_nowhere_else() -> object:
    kind = type("Thing", (), {"__module__": __name__})
    sys.modules[__name__].Thing = kind  # type: ignore[attr-defined]  # made up
    return kind()


def write_itself(answer: bytes) -> None:
    """Answer through the door of the process, in the place of that."""
    os.write(3, len(answer).to_bytes(8, "big") + answer)
    os._exit(0)


def too_much() -> bytes:
    return b"x" * (17 * 1024 * 1024)


def shut_the_door() -> None:
    os.closerange(3, 10)
    time.sleep(60)


async def adouble(n: int) -> int:
    await asyncio.sleep(0)
    return n * 2


async def aforever() -> None:
    await asyncio.Event().wait()


async def stubborn(told: list[str]) -> str:
    """Go on for a while although it is cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        told.append("cancelled")
    for _ in range(3):
        await asyncio.sleep(0)
    told.append("ended")
    return "late"


def araises(error: Callable[[], BaseException]) -> Callable[[], Any]:
    """An async function that raises."""

    async def raises() -> None:
        await asyncio.sleep(0)
        raise error()

    return raises


async def spin() -> None:
    while True:
        pass


async def close_the_loop() -> None:
    asyncio.get_running_loop().close()


async def stop_the_loop() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    return "went on"

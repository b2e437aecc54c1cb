"""The cost of the screen: time per frame by size of tree, keys under load, share of the CPU.

    python -m tests.benchmarks.screen            everything, a table
    python -m tests.benchmarks.screen 20 10000   only these sizes of tree

The session is the real one on a terminal in memory of 120 columns by 36 rows, with colours.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output

from ssm_cli.machines.kv import Lookup, kv_store
from ssm_cli.repl.session import Session
from ssm_cli.repl.shell.config import Settings
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Env

SIZES = (20, 10_000, 1_000_000)
FRAMES = 200
KEYS = 200
LOAD_S = 10.0
BUSY = 64  # inputs that are kept waiting, so that the loop never rests


class Sink:
    """A terminal that takes everything and shows nothing."""

    encoding = "utf-8"

    def write(self, data: str) -> None:
        """Take it."""

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("a terminal in memory has no descriptor")


def sink(rows: int = 36, columns: int = 120) -> Output:
    return Vt100_Output(
        Sink(),  # type: ignore[arg-type]  # as much of a text stream as is used
        lambda: Size(rows=rows, columns=columns),
        term="xterm-256color",
        default_color_depth=ColorDepth.DEPTH_8_BIT,
        enable_cpr=False,
    )


def tree_of(workers: int) -> Node:
    """Three workers, and all others in one large group."""
    few = [Worker(f"kv{i}", kv_store) for i in range(3)]
    many = [Worker(f"session-{i:07}", kv_store) for i in range(workers - 3)]
    pool = Supervisor("pool", children=many)
    return Node(Supervisor("root", children=[*few, pool], intensity=1000))


@asynccontextmanager
async def session(node: Node) -> AsyncIterator[tuple[Session, PipeInput]]:
    """A session that runs."""
    with tempfile.TemporaryDirectory() as folder, create_pipe_input() as keys:
        env = Env(Path(folder))
        opened = Session(node, env, "bench.py", source=keys, output=sink(), settings=Settings())
        running = asyncio.create_task(opened.run())
        while not opened.app.is_running:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        try:
            yield opened, keys
        finally:
            opened.quit()
            await running


async def frame_ms(workers: int, *, unfolded: bool) -> tuple[float, float]:
    """The median time to bring the model up to date and to draw it, in milliseconds.

    Every frame has new counts, rates and times in every visible row.
    """
    node = tree_of(workers)
    async with session(node) as (opened, _):
        if unfolded:
            opened.model.tree.open("pool")
        refresh, render = [], []
        for number in range(FRAMES):
            for row in range(30):
                name = opened.model.tree.index.place(row % opened.model.tree.index.count).name
                if name not in {"root", "pool"}:
                    node.cast(name, Lookup("x"))
            await asyncio.sleep(0)
            began = time.perf_counter()
            opened.model.refresh()
            refreshed = time.perf_counter()
            opened.app._redraw()
            render.append((time.perf_counter() - refreshed) * 1000)
            refresh.append((refreshed - began) * 1000)
            if number % 20 == 0:
                await asyncio.sleep(0.05)
        return statistics.median(refresh), statistics.median(render)


async def keep_busy(node: Node) -> None:
    """Keep inputs waiting in the queue all the time."""

    async def caller(number: int) -> None:
        message = Lookup("x")
        while True:
            await node.acall(f"kv{number % 3}", message, None)

    async with asyncio.TaskGroup() as group:
        for number in range(BUSY):
            group.create_task(caller(number))


async def under_load() -> dict[str, float]:
    """Keys and frames while the tree is saturated: milliseconds, and shares of the CPU in %."""
    node = tree_of(10_000)
    async with session(node) as (opened, keys):
        load = asyncio.create_task(keep_busy(node))
        drawing: list[float] = []
        redraw, refresh = opened.app._redraw, opened.model.refresh

        def timed(do: object) -> object:
            def wrapper(*args: object, **more: object) -> None:
                began = time.process_time()
                do(*args, **more)  # type: ignore[operator]  # one of the two above
                drawing.append(time.process_time() - began)

            return wrapper

        opened.app._redraw = timed(redraw)  # type: ignore[method-assign, assignment]  # to measure it
        opened.model.refresh = timed(refresh)  # type: ignore[method-assign, assignment]  # as above
        frames, cpu = opened.app.render_counter, time.process_time()
        await asyncio.sleep(LOAD_S)
        share = sum(drawing) / (time.process_time() - cpu) * 100
        rate = (opened.app.render_counter - frames) / LOAD_S
        waits = []
        for _ in range(KEYS):
            before = opened.buffer.text
            sent = time.perf_counter()
            keys.send_text("x")
            while opened.buffer.text == before:  # noqa: ASYNC110 - each turn of the loop is looked at
                await asyncio.sleep(0)
            waits.append((time.perf_counter() - sent) * 1000)
            await asyncio.sleep(0.01)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        return {
            "share of the CPU, %": share,
            "frames a second": rate,
            "CPU at 10 frames a second, %": statistics.mean(drawing) * 2 * 10 * 100,
            "key to buffer, median ms": statistics.median(waits),
            "key to buffer, largest ms": max(waits),
        }


def main() -> None:
    """Print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    print(f"{'workers':>10} {'group':>9} {'refresh ms':>11} {'draw ms':>8} {'frame ms':>9}")
    for workers in sizes:
        for unfolded in (False, True):
            refresh, draw = asyncio.run(frame_ms(workers, unfolded=unfolded))
            group = "unfolded" if unfolded else "folded"
            print(f"{workers:>10,} {group:>9} {refresh:>11.2f} {draw:>8.2f} {refresh + draw:>9.2f}")
    for what, value in asyncio.run(under_load()).items():
        print(f"{what:>40} {value:8.2f}")


if __name__ == "__main__":
    main()

"""What the whole program costs: the live view, a large tree file, memory as calls add up.

python -m tests.benchmarks.whole          everything, each against its counterpart in turn
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from ssm_cli import Node, Supervisor, Worker
from ssm_cli.machines.kv import Lookup, kv_store
from tests.benchmarks.screen import BUSY, keep_busy, session, tree_of

LOAD_S = 4.0
WORKERS = 100_000
READ = "import sys, yaml; yaml.load(open(sys.argv[1]), Loader=yaml.CSafeLoader)"


async def steps_a_second(*, live: bool) -> float:
    """How many calls of 64 clients are served a second, with the screen on or without it."""
    node = tree_of(1000)

    async def measure() -> float:
        load = asyncio.create_task(keep_busy(node))
        await asyncio.sleep(0.5)
        before, begun = served(node), time.perf_counter()
        await asyncio.sleep(LOAD_S)
        rate = (served(node) - before) / (time.perf_counter() - begun)
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        return rate

    if live:
        async with session(node):
            return await measure()
    node.start()
    rate = await measure()
    node.stop()
    return rate


def served(node: Node) -> int:
    """Steps of the workers that are called."""
    return sum(node.statistics(f"kv{i}").steps for i in range(3))


def seconds(command: list[str]) -> float:
    """How long a command takes, from start to end."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    return time.perf_counter() - begun


def big_tree(folder: Path) -> Path:
    """A tree file with `WORKERS` workers."""
    file = folder / "big.yaml"
    with file.open("w", encoding="utf-8") as out:
        out.write("supervisor: root\nchildren:\n")
        for i in range(WORKERS):
            out.write(f"  - worker: w{i}\n    start: ssm_cli.machines.kv:kv_store\n")
    return file


def kilobytes() -> int:
    """The memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def in_turn(
    reps: int, one: Callable[[], float], other: Callable[[], float]
) -> tuple[float, float, float]:
    """Medians of two measurements made in turn, and of their ratios."""
    pairs = [(one(), other()) for _ in range(reps)]
    ratio = median(a / b for a, b in pairs)
    return median(a for a, _ in pairs), median(b for _, b in pairs), ratio


def memory() -> None:
    """Memory after ten thousand calls, and after ten million."""
    with Node(Supervisor("root", children=[Worker("kv", kv_store)])) as node:
        for _ in range(10_000):
            node.call("kv", Lookup("x"))
        before = kilobytes()
        for _ in range(10_000_000):
            node.call("kv", Lookup("x"))
        print(f"memory: {before:,} kB after 10 thousand calls, {kilobytes():,} after 10 million")


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=5)
    reps = parser.parse_args().reps
    on, off, ratio = in_turn(
        reps,
        lambda: asyncio.run(steps_a_second(live=True)),
        lambda: asyncio.run(steps_a_second(live=False)),
    )
    print(f"live view, {BUSY} clients: {on:,.0f} /s on, {off:,.0f} /s off, ratio {ratio:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        file = str(big_tree(Path(folder)))
        run = [sys.executable, "-m", "ssm_cli", "run", file, "--quiet", "--no-socket", "-c", "help"]
        ours, theirs, ratio = in_turn(
            reps,
            lambda: seconds(run),
            lambda: seconds([sys.executable, "-c", READ, file]),
        )
        print(
            f"a tree file of {WORKERS:,} workers, start to stop: {ours:.2f} s, "
            f"PyYAML alone {theirs:.2f} s, ratio {ratio:.2f}"
        )
    memory()


if __name__ == "__main__":
    main()

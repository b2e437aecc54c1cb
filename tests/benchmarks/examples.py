"""What the examples in trees/ cost, for the figures in their pages.

python -m tests.benchmarks.examples            all of them
python -m tests.benchmarks.examples gateway    one
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from ssm_cli import FolderStore, Node, load_tree
from tests.benchmarks.whole import kilobytes
from tests.trees.shipped import TREES
from trees.device import Read
from trees.jobs import MOST_JOBS, Submit
from trees.market import Buy, Last, Sell

LOAD_S = 20.0
MARKET_S = 5.0
LIMIT_S = 60.0  # for all devices to come online


async def latencies(call: Callable[[int], Awaitable[object]], seconds: float) -> list[float]:
    """How long each of the calls takes that are made one after the other, in ms, sorted."""
    found: list[float] = []
    end_s = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end_s:
        await call(len(found))
        found.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(0.001)
    return sorted(found)


def shown(found: list[float]) -> str:
    """The median and the 99th of a hundred, in ms."""
    return f"p50 {found[len(found) // 2]:.3f} ms, p99 {found[len(found) * 99 // 100]:.3f} ms"


@asynccontextmanager
async def field() -> AsyncIterator[int]:
    """The field in a process of its own; its port."""
    command = [sys.executable, str(TREES / "field.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - it begins before anything is measured
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


def states(node: Node) -> Counter[str]:
    """How many devices are in each state."""
    devices = node.tree().children[0].children
    return Counter(node.get_state(device.id).state for device in devices)


async def gateway(count: int) -> None:
    """Begin with so many devices at once, and read what is known while they are asked on and on."""
    names = [f"d{number}" for number in range(count)]
    async with field() as port:
        with Node(load_tree(TREES / "gateway.yaml")) as node:
            serving = asyncio.create_task(node.serve())
            before, begun = kilobytes(), time.perf_counter()
            for name in names:
                node.start_child("devices", name, {"port": port})
            started_s = time.perf_counter() - begun
            end_s = begun + LIMIT_S
            while states(node)["online"] < 0.99 * count and time.perf_counter() < end_s:  # noqa: ASYNC110 - it looks from outside
                await asyncio.sleep(0.1)
            online, online_s = states(node)["online"], time.perf_counter() - begun
            each_kb = (kilobytes() - before) / count
            steps = sum(node.statistics(name).steps for name in names)
            found = await latencies(lambda n: node.acall(names[n % count], Read(), 60), LOAD_S)
            steps = sum(node.statistics(name).steps for name in names) - steps
            print(f"{count:,} devices: started in {started_s:.2f} s", end="")
            print(f", {online:,} online after {online_s:.1f} s, {each_kb:.1f} kB a device")
            print(f"  Read meanwhile: {shown(found)}; {steps / LOAD_S:,.0f} steps a second", end="")
            print(f"; at the end {dict(states(node))}", flush=True)
            node.stop()
            await serving


async def gateways() -> None:
    """The gateway with 500 and with 5,000 devices."""
    for count in (500, 5_000):
        await gateway(count)


async def market() -> None:
    """Send random orders to the book while so many listen; each waits for its answer."""
    for listeners in (1, 10, 100, 1_000):
        chance = Random(1)
        with Node(load_tree(TREES / "market.yaml")) as node:
            for number in range(listeners - 1):
                node.start_child("listeners", f"l{number}")
            heard = -node.call("tape", Last()).count
            found: list[float] = []
            begun = time.perf_counter()
            while (sent := time.perf_counter()) < begun + MARKET_S:
                kind, price = chance.choice((Buy, Sell)), 98 + chance.randrange(5)
                node.call("book", kind(str(len(found)), chance.randrange(1, 10), price))
                found.append((time.perf_counter() - sent) * 1000)
            while node.queue:
                node.run()
            seconds = time.perf_counter() - begun
            heard += node.call("tape", Last()).count
            print(
                f"{listeners:,} listeners of trades: {len(found) / seconds:,.0f} orders and", end=""
            )
            print(f" {heard * listeners / seconds:,.0f} messages a second; {shown(sorted(found))}")


async def queue_of_jobs() -> None:
    """Submit jobs to a queue on disk, each when the one before is accepted; no post arrives."""
    with tempfile.TemporaryDirectory() as folder, FolderStore(Path(folder)) as store:
        with Node(load_tree(TREES / "jobs.yaml"), store=store) as node:
            found: list[float] = []
            for number in range(MOST_JOBS):
                begun = time.perf_counter()
                node.call("jobs", Submit(f"j{number}", "http://127.0.0.1:1/", "pay 3"))
                found.append((time.perf_counter() - begun) * 1000)
        rate = len(found) / sum(found) * 1000
        print(f"{len(found):,} jobs: {rate:,.0f} accepted a second; {shown(sorted(found))}")
        begun = time.perf_counter()
        with Node(load_tree(TREES / "jobs.yaml"), store=store) as node:
            jobs = len(node.get_state("jobs").jobs)
            print(f"{jobs:,} of them are there again after {time.perf_counter() - begun:.2f} s")


async def shop_orders() -> None:
    """Place orders over HTTP in this process, so many clients at once; each is paid, in 5 ms."""
    from httpx import ASGITransport, AsyncClient  # noqa: PLC0415 - only where it is installed

    from trees import shop  # noqa: PLC0415 - as above

    shop.OPENING["tea"] = 10**9
    for clients in (1, 32):
        found: list[float] = []

        async def place(number: int, asked: AsyncClient, found: list[float]) -> None:
            body = {"order": f"o{number}", "item": "tea", "count": 1}
            begun = time.perf_counter()
            (await asked.post("/orders", json=body)).raise_for_status()
            found.append((time.perf_counter() - begun) * 1000)

        transport = ASGITransport(shop.app)
        async with (
            shop.app.router.lifespan_context(shop.app),
            AsyncClient(transport=transport, base_url="http://test") as asked,
        ):
            begun = time.perf_counter()
            for first in range(0, 2_000, clients):
                await asyncio.gather(*(place(first + n, asked, found) for n in range(clients)))
            rate = len(found) / (time.perf_counter() - begun)
        print(f"{clients} clients: {rate:,.0f} orders a second; {shown(sorted(found))}")


EXAMPLES = {"gateway": gateways, "market": market, "jobs": queue_of_jobs, "shop": shop_orders}

if __name__ == "__main__":
    for example in sys.argv[1:] or EXAMPLES:
        print(f"-- {example}")
        asyncio.run(EXAMPLES[example]())

"""Clients and a parent against a real cluster, in a process of their own; what they saw, as JSON.

Run as `python -m tests.cluster.real.load URL LEASE_S`. A line `kill` on standard input marks that a
fault has happened: the outage lasts until a call is answered that was sent after the mark, as the
answer to an earlier one may be on its way. A line `stop` ends the load, once it has written enough
for a verdict. The parent starts the subtree anew whenever it has ended, as a permanent child's
supervisor does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec

from ssm_cli.cluster.agent.directory import call
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob, Ended, News
from ssm_cli.cluster.link.watching import Watching
from ssm_cli.errors import CallError, CallTimeout, SsmError

CLIENTS = 4
TRY_S = 0.5
PAUSE_S = 0.005
ENOUGH = 100  # answers of which a verdict speaks
TREE, CHILD = "shop", "books"
CODE = "tests.cluster.real.ledger:tree"


class Load:
    """What is asked, and what came of it."""

    def __init__(self, cluster: NatsCluster, lease_s: float, replicas: int) -> None:
        self.cluster = cluster
        self.acked: dict[str, list[int]] = {f"c{n}": [] for n in range(CLIENTS)}
        self.wrong: list[str] = []
        self.ends: list[str] = []
        self.outages: list[float] = []
        self.longest_s = 0.0
        self.marked_s: float | None = None
        self.last_s = 0.0
        self.over = False
        self.ended = asyncio.Event()
        job = ChildJob(CHILD, CODE, ttl_s=lease_s, replicas=replicas)
        self.watching = Watching(cluster, TREE, job, self.on_news)

    def on_news(self, news: News) -> None:
        if isinstance(news, Ended):
            self.ends.append(news.reason)
            self.ended.set()

    async def parent(self) -> None:
        """Start it, and again when it has ended."""
        adopt = True
        while True:
            self.ended.clear()
            done = await self.watching.start(1, adopt=adopt)
            adopt = False
            if not done.ok:
                self.ends.append(f"start: {done.reason}")
                await asyncio.sleep(0.1)
                continue
            await self.ended.wait()

    async def ask(self, data: Any, id_: str, timeout_s: float = TRY_S) -> Any:
        body = msgspec.json.encode(data)
        name = f"{CHILD}.ledger"
        return msgspec.json.decode(
            await call(self.cluster, name, body, timeout_s, tree=TREE, id_=id_)
        )

    async def client(self, name: str) -> None:
        """Write numbers, each again and again until it is answered."""
        acked = self.acked[name]
        while not self.over:
            n = len(acked) + 1
            asked_s = asyncio.get_running_loop().time()
            try:
                told = await self.ask({"type": "Append", "client": name, "n": n}, f"{name}-{n}")
            except CallTimeout:
                continue
            except CallError as error:
                if error.outcome == "crashed":
                    self.wrong.append(str(error))
                await asyncio.sleep(0.02)
                continue
            if told["place"] != n:
                self.wrong.append(f"{name} wrote {n}, and was told {told['place']}")
            acked.append(n)
            self.note(asked_s)
            await asyncio.sleep(PAUSE_S)

    def note(self, asked_s: float) -> None:
        """An answer to a call of that time has come: how long was none?"""
        now_s = asyncio.get_running_loop().time()
        if self.last_s:
            self.longest_s = max(self.longest_s, now_s - self.last_s)
        if self.marked_s is not None and asked_s >= self.marked_s:
            self.outages.append(now_s - self.marked_s)
            sys.stdout.write(f"served after {self.outages[-1]:.3f}\n")
            sys.stdout.flush()
            self.marked_s = None
        self.last_s = now_s

    async def verdict(self) -> dict[str, Any]:
        """Compare what was answered with what is there."""
        lost = twice = 0
        for name, acked in self.acked.items():
            there = await self.dump(name)
            lost += len(set(acked) - set(there))
            twice += len(there) - len(set(there))
            if there not in (list(range(1, k + 1)) for k in (len(acked), len(acked) + 1)):
                self.wrong.append(f"{name}: {len(acked)} answers, and it has {there[-3:]}")
        return {
            "acked": sum(map(len, self.acked.values())), "lost": lost, "twice": twice,
            "wrong": self.wrong[:5], "ends": self.ends, "longest_s": self.longest_s,
            "outages_s": self.outages,
        }  # fmt: skip

    async def dump(self, name: str) -> list[int]:
        for _ in range(100):
            try:
                said = await self.ask({"type": "Dump", "client": name}, "", 5.0)
            except SsmError:
                await asyncio.sleep(0.2)
            else:
                return list(said["numbers"])
        raise AssertionError("the subtree does not come back")


async def main(url: str, lease_s: float) -> None:
    loop = asyncio.get_running_loop()
    cluster = await open_cluster(Access(url), "load")
    load = Load(cluster, lease_s, 3 if "," in url else 1)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = [asyncio.create_task(load.parent())]
    tasks += [asyncio.create_task(load.client(name)) for name in load.acked]
    while (line := await reader.readline()) and b"stop" not in line:
        load.marked_s = loop.time()
    while line and sum(map(len, load.acked.values())) <= ENOUGH:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(TRY_S)
    load.over = True
    await asyncio.gather(*tasks[1:])
    verdict = await load.verdict()
    tasks[0].cancel()
    await load.watching.stop(2, 5.0)
    await cluster.close()
    sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))

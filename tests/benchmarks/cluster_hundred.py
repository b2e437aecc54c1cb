"""What a hundred nodes with ten thousand subtrees cost, in the simulation. Run it by hand.

`python -m tests.benchmarks.cluster_hundred [NODES] [SUBTREES] [LEASE_S]`: agents, placing, watching
and pulses are the program's, in virtual time on servers that answer within 10 ms; the process of a
subtree serves after START_S. Messages are counted at the servers. What the code itself takes is not
in the times, but told apart: seconds of one core for each second.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob, Ended, News
from ssm_cli.cluster.link.watching import Kin, Watching
from ssm_cli.cluster.owner.host import Job, Told
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.ports import SimCluster, Switchboard
from ssm_cli.cluster.simulated.servers import Servers

HERE, CODE = str(Path(__file__).parent), Path(__file__).name  # each node has it; it is not loaded
START_S = 0.5  # of a subtree's process
AT_ONCE = 100  # starts under way
IDLE_S = 10.0


class Counted(Network):
    """A network that counts what servers take and give."""

    taken = given = 0

    def carry(self, process: Process, function: Callable[..., None], *args: Any, out: bool) -> None:
        if out:
            self.taken += 1
        else:
            self.given += 1
        super().carry(process, function, *args, out=out)


class Quick:
    """A subtree's process that serves a while after it was started."""

    pid = 1

    def __init__(self, net: Network, process: Process, job: Job, page: LeasePage) -> None:
        self.job, self.page, self._net, self._process = job, page, net, process
        self.started: asyncio.Future[Told] = net.loop.create_future()
        self.ended: asyncio.Future[Told] = net.loop.create_future()
        net.after(process, START_S, self._serve)

    def _serve(self) -> None:
        if not self.started.done():
            self.started.set_result(Told("started"))
        self.page.alive_s = self._net.now_s(self._process)
        self._net.after(self._process, 0.5, self._serve)

    def kill(self, word: str = "", detail: str = "") -> None:
        if not self.ended.done():
            self.ended.set_result(Told("ended", word or "killed", detail))

    def stop(self) -> None:
        self.kill("shutdown")

    def hand_on(self) -> None:
        self.kill("moved")

    def is_hung(self) -> bool:
        return False

    def freeze(self) -> None:
        """It has nothing to stop."""

    def thaw(self) -> None:
        """It has nothing to stop."""


class Hundred:
    """Nodes, one parent, and its children."""

    def __init__(self, nodes: int, subtrees: int, lease_s: float) -> None:
        self.net = Counted(1)
        self.servers, self.switchboard = Servers(), Switchboard()
        self.nodes = {f"n{n}": Process(f"n{n}") for n in range(nodes)}
        for name, process in self.nodes.items():
            cluster = self.cluster(process)

            def host(job: Job, page: LeasePage, process: Process = process) -> Quick:
                return Quick(self.net, process, job, page)

            agent = Agent(
                cluster, cluster, Access(""), name=name, labels={}, folder=HERE, host=host
            )
            self.net.begin(process, agent.run(asyncio.Event()))
        self.parent = Process("parent")
        link, kin = self.cluster(self.parent), Kin()
        self.ended: list[str] = []
        self.children = [
            Watching(
                link, "many", ChildJob(f"s{n}", CODE, {}, lease_s, "fence", "keep", 1),
                self.hear, kin,
            )
            for n in range(subtrees)
        ]  # fmt: skip

    def cluster(self, process: Process) -> SimCluster:
        return SimCluster(self.net, process, self.servers, self.switchboard)

    def hear(self, news: News) -> None:
        if isinstance(news, Ended):
            self.ended.append(news.child)

    async def start(self, children: list[Watching]) -> None:
        most = asyncio.Semaphore(AT_ONCE)

        async def one(n: int, child: Watching) -> None:
            async with most:
                if not child.node:  # one after the other; what is started side by side is spread so
                    child.placing.before = f"n{n % len(self.nodes)}"
                done = await child.start(1, adopt=False)
                assert done.ok, done

        await asyncio.gather(*(one(n, child) for n, child in enumerate(children)))

    def begin(self, children: list[Watching]) -> asyncio.Task[None]:
        begun: list[asyncio.Task[None]] = []
        self.net.loop.call_soon(
            lambda: begun.append(self.net.loop.create_task(self.start(children))),
            context=self.parent.context,
        )
        self.net.run(0.001)
        return begun[0]

    def until(self, seconds: float, there: Callable[[], bool]) -> float:
        """Let time pass until something is so; return how long that took."""
        begun_s = self.net.true_s
        while not there() and self.net.true_s - begun_s < seconds:
            self.net.run(0.05)
        return self.net.true_s - begun_s


def main(nodes: int, subtrees: int, lease_s: float) -> None:
    """Measure, and print one line a figure."""
    made = Hundred(nodes, subtrees, lease_s)
    made.net.run(2.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    starting = made.begin(made.children)
    took_s = made.until(600.0, starting.done)
    print(f"start of {subtrees} on {nodes}, {AT_ONCE} at once: {took_s:.1f} s")
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / subtrees
    print(f"memory of agents and link for each subtree: {held:.1f} KiB")
    made.net.run(3.0)
    net = made.net
    net.taken = net.given = 0
    begun_s = time.process_time()
    made.net.run(IDLE_S)
    busy_s = time.process_time() - begun_s
    print(
        f"idle, messages a second: {net.taken / IDLE_S:.0f} taken, {net.given / IDLE_S:.0f} given"
    )
    print(f"idle, of one core for all nodes and the link: {100 * busy_s / IDLE_S:.0f} %")
    lost = next(iter(made.nodes))
    gone = [child for child in made.children if child.node == lost]
    made.nodes[lost].crash()
    first_s = made.until(60.0, lambda: bool(made.ended))
    print(f"a node with {len(gone)} dies: told of after {first_s:.2f} s")
    told = {child.job.name: child for child in gone}
    again = made.begin([told[name] for name in made.ended])
    moved_s = made.until(60.0, lambda: again.done() and all(c.node != lost for c in gone))
    print(f"all of them serve elsewhere after {first_s + moved_s:.2f} s")
    made.net.close()


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    main(
        int(given[0]) if given else 100,
        int(given[1]) if len(given) > 1 else 10_000,
        given[2] if len(given) > 2 else 10.0,
    )

"""How long remote children take to start, and how long local calls wait meanwhile. Run it by hand.

`python -m tests.benchmarks.cluster_starts [CHILDREN...]` starts a server, a node and, for each
number, a tree with so many remote children, all on this machine. Then half of them are killed.
A local worker is called all the time; the longest time between two answers is printed, and the
longest processor time: what is more of the former is waiting for a core. So is the processor time
of all processes together, but of those that have ended.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from ssm_cli import ClusterLinks, Node, Remote, Supervisor, Worker
from ssm_cli.machines.kv import kv_store
from tests.cluster.real.scene import children_of, command_of, end, start_node, until_nodes
from tests.cluster.servers import Servers

TREE = """\
supervisor: root
children:
  - {worker: kv, start: "ssm_cli.machines.kv:kv_store"}
"""
PAUSE_S = 0.001
LOOK_S = 0.1


def used_s() -> float:
    """The processor time of this process and all below it."""
    stats = [Path(f"/proc/{pid}/stat") for pid in [os.getpid(), *children_of(os.getpid())]]
    fields = [stat.read_text().rpartition(") ")[2].split() for stat in stats if stat.exists()]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


class Calls:
    """Calls of a local worker, one after the other, and the longest time between two answers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.reset()

    def reset(self) -> None:
        """Measure anew."""
        self._last_s, self.longest_s = time.monotonic(), 0.0
        self._used_s, self.longest_used_s = time.thread_time(), 0.0

    def look(self) -> None:
        """Note the time since the last answer."""
        now_s, used_s = time.monotonic(), time.thread_time()
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self.longest_used_s = max(self.longest_used_s, used_s - self._used_s)
        self._last_s, self._used_s = now_s, used_s

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            await self._node.acall("cart", b"Store x 1", None)
            self.look()
            await asyncio.sleep(PAUSE_S)


class Trial:
    """A tree with so many remote children, started and stopped once."""

    def __init__(self, url: str, children: int) -> None:
        remotes = [Remote(f"b{children}x{n}", "root.yaml") for n in range(children)]
        cart = Worker("cart", kv_store)
        tree = Supervisor(f"t{children}", children=[cart, *remotes], intensity=2 * children)
        self.links = ClusterLinks(url, f"t{children}")
        self.node = Node(tree, links=self.links)
        self.calls = Calls(self.node)

    def restarts(self) -> int:
        """How many there were."""
        return sum(view.restarts for view in self.node.tree().children)

    def is_up(self, restarts: int) -> bool:
        """Whether all run, after so many restarts."""
        states = {view.state for view in self.node.tree().children}
        return self.restarts() >= restarts and states == {"running"}

    async def until_up(self, what: str, begun_s: float, before_s: float, restarts: int = 0) -> None:
        """Wait until all run; each look costs time, which calls wait. Print what it took."""
        while not self.is_up(restarts):  # noqa: ASYNC110 - looked at as by users, now and then
            await asyncio.sleep(LOOK_S)
        took_s, calls = time.monotonic() - begun_s, self.calls
        used_ms, longest_ms = calls.longest_used_s * 1000, calls.longest_s * 1000
        print(
            f"{what}: {took_s:.1f} s, processor time {used_s() - before_s:.1f} s, "
            f"a call waited {longest_ms:.0f} ms at most, and its thread "
            f"worked {used_ms:.1f} ms at most between two",
            flush=True,
        )

    async def run(self, hosts: Callable[[], list[int]]) -> None:
        """Start it, kill half of its children, and print what both took."""
        begun_s, before_s = time.monotonic(), used_s()
        if "wait" in inspect.signature(self.node.start).parameters:
            self.node.start(wait=False)
        else:
            self.node.start()  # as it was: nobody is served before all is up
        self.calls.look()
        asking = asyncio.ensure_future(self.calls.run())
        await self.until_up(f"start {len(self.node.tree().children) - 1}", begun_s, before_s)
        await asyncio.sleep(1.0)
        pids, before = hosts(), self.restarts()
        half = pids[: (len(pids) + 1) // 2]
        self.calls.reset()
        begun_s = time.monotonic()
        for pid in half:
            os.kill(pid, signal.SIGKILL)
        before_s = used_s()  # without theirs
        await self.until_up(f"kill {len(half)}", begun_s, before_s, before + len(half))
        asking.cancel()
        self.node.stop()
        self.links.close()


def main(numbers: list[int]) -> None:
    """Measure with each number of children."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "nats").mkdir()
        (place / "root.yaml").write_text(TREE)
        servers = Servers(place / "nats").start_all()
        nodes = {
            name: start_node(servers.url, name, place / "log", folder=folder) for name in ("n1",)
        }

        def hosts() -> list[int]:
            below = [pid for node in nodes.values() for pid in children_of(node.pid)]
            return [pid for pid in below if "owner.host" in command_of(pid)]

        try:
            until_nodes(servers.url, 1)
            for children in numbers:
                asyncio.run(Trial(servers.url, children).run(hosts))
        finally:
            end(nodes)
            servers.stop()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 20, 100])

"""How long remote children take to start, and how long local calls wait meanwhile. Run it by hand.

`python -m tests.benchmarks.cluster_starts [CHILDREN...]` starts a server, two nodes and, for each
number, a tree with so many remote children, all on this machine. Then half of them are killed.
A local worker is called all the time; the longest time between two answers is printed.
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


class Calls:
    """Calls of a local worker, one after the other, and the longest time between two answers."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._last_s = time.monotonic()
        self.longest_s = 0.0

    def reset(self) -> None:
        """Measure anew."""
        self._last_s, self.longest_s = time.monotonic(), 0.0

    def look(self) -> None:
        """Note the time since the last answer."""
        now_s = time.monotonic()
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self._last_s = now_s

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            await self._node.acall("cart", b"Store x 1")
            self.look()
            await asyncio.sleep(PAUSE_S)


async def measure(url: str, children: int, hosts: Callable[[], list[int]]) -> None:
    """Start a tree, kill half of its children, and print what both took."""
    names = [f"b{children}x{n}" for n in range(children)]
    remotes = [Remote(name, "root.yaml") for name in names]
    tree = Supervisor(
        f"t{children}", children=[Worker("cart", kv_store), *remotes], intensity=2 * children
    )
    links = ClusterLinks(url, f"t{children}")
    node = Node(tree, links=links)
    calls = Calls(node)

    def restarts() -> int:
        return sum(view.restarts for view in node.tree().children)

    async def until_up(again: int = 0) -> None:
        """Look now and then: each look at the tree costs time, which calls wait."""
        while restarts() < again or any(v.state != "running" for v in node.tree().children):  # noqa: ASYNC110 - it is looked at, as users do
            await asyncio.sleep(LOOK_S)

    begun_s = time.monotonic()
    if "wait" in inspect.signature(node.start).parameters:
        node.start(wait=False)
    else:
        node.start()
    calls.look()
    asking = asyncio.ensure_future(calls.run())
    await until_up()
    print(f"start {children}: {time.monotonic() - begun_s:.1f} s, "
          f"a call waited {calls.longest_s * 1000:.0f} ms at most", flush=True)  # fmt: skip
    await asyncio.sleep(1.0)
    half = hosts()[: (children + 1) // 2]
    before = restarts()
    calls.reset()
    begun_s = time.monotonic()
    for pid in half:
        os.kill(pid, signal.SIGKILL)
    await until_up(before + len(half))
    print(f"kill {len(half)}: {time.monotonic() - begun_s:.1f} s, "
          f"a call waited {calls.longest_s * 1000:.0f} ms at most", flush=True)  # fmt: skip
    asking.cancel()
    node.stop()
    links.close()


def main(numbers: list[int]) -> None:
    """Measure with each number of children."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "nats").mkdir()
        (place / "root.yaml").write_text(TREE)
        servers = Servers(place / "nats").start_all()
        nodes = {
            name: start_node(servers.url, name, place / "log", folder=folder)
            for name in ("n1", "n2")
        }

        def hosts() -> list[int]:
            below = [pid for node in nodes.values() for pid in children_of(node.pid)]
            return [pid for pid in below if "owner.host" in command_of(pid)]

        try:
            until_nodes(servers.url, 2)
            for children in numbers:
                asyncio.run(measure(servers.url, children, hosts))
        finally:
            end(nodes)
            servers.stop()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 20, 100])

"""Deaths of real processes, as a tree counts them: one cause once, and what is none not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from ssm_cli import ClusterLinks, Node, Remote, Strategy, Supervisor
from ssm_cli.cluster.jetstream.cluster import open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.host import Job
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Start
from ssm_cli.errors import CallError
from ssm_cli.spec.model import RemoteSpec
from tests.cluster.real.scene import children_of, command_of, end, start_node, until_nodes
from tests.cluster.servers import Servers

SOON_S = 180.0
NAMES = ("a", "b", "c")
TREE = 'supervisor: r\nchildren: [{worker: kv, start: "ssm_cli.machines.kv:kv_store"}]\n'
GIVES_UP = """\
from ssm_cli import Supervisor, StateMachine, Worker

def step(message: bytes, state: int) -> tuple[int, bytes]:
    raise RuntimeError

gives_up = Supervisor(
    "r", children=[Worker("kv", StateMachine(step=step, init=lambda n, a: 0))], intensity=0
)
"""


class Scene:
    """A tree with three children on the first of two nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kv.yaml").write_text(TREE)
        (folder / "gives_up_of_test.py").write_text(GIVES_UP)
        self.servers = Servers(folder).start_all()
        self.nodes: dict[str, subprocess.Popen[str]] = {}
        self.start("n1")
        until_nodes(self.servers.url, 1)
        self.node = Node(Supervisor("root", children=[]), guard=False)

    def start(self, name: str) -> None:
        url, folder = self.servers.url, self.folder
        self.nodes[name] = start_node(url, name, folder / "log", folder=str(folder))

    def run(self, *children: RemoteSpec) -> None:
        tree = Supervisor("root", Strategy.ONE_FOR_ONE, [*children], intensity=1, period=600)
        self.node = Node(tree, links=ClusterLinks(self.servers.url, "deaths")).start()

    def until(self, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + SOON_S
        while not holds():
            assert time.monotonic() < end_s, self.told()
            self.node.run(0.05)

    def told(self) -> list[tuple[str, str, object]]:
        return [(r.event, r.id, r.detail) for r in self.node.reports() if r.event != "started"]

    def ended(self) -> list[str]:
        told = [r for r in self.node.reports() if r.event == "terminated"]
        return [str(report.detail["reason"]) for report in told]

    def serve(self) -> bool:
        """Whether all children answer."""
        for child in self.node.tree().children:
            if child.state != "running":
                return False
            try:
                self.node.call(f"{child.id}.kv", b"Store x 1")
            except CallError:
                return False
        return True

    def close(self) -> None:
        self.node.close()
        end(self.nodes)
        self.servers.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    pytest.importorskip("nats", reason="the extra `cluster` is not installed")
    made = Scene(tmp_path)
    yield made
    made.close()


def test_a_node_that_dies_with_three_children_is_counted_once(scene: Scene) -> None:
    scene.run(*(Remote(name, "kv.yaml") for name in NAMES))
    scene.until(scene.serve)
    scene.start("n2")
    until_nodes(scene.servers.url, 2)
    scene.nodes["n1"].kill()
    scene.until(lambda: {child.node for child in scene.node.tree().children} == {"n2"})
    scene.until(scene.serve)
    assert scene.ended() == ["noconnection"]  # a second one would have ended the tree


def test_a_node_that_dies_is_counted_once_also_where_the_link_process_dies_with_it(
    scene: Scene,
) -> None:
    """The next link process finds the other children of that node dead, and knows why."""
    scene.run(*(Remote(name, "kv.yaml", lease=10.0) for name in NAMES))
    scene.until(scene.serve)
    scene.nodes["n1"].kill()
    scene.until(lambda: bool(scene.ended()))
    (link,) = [pid for pid in children_of(os.getpid()) if "link.process" in command_of(pid)]
    os.kill(link, signal.SIGKILL)
    scene.until(lambda: any(report.event == "link_up" for report in scene.node.reports()))
    scene.start("n2")
    scene.until(lambda: {child.node for child in scene.node.tree().children} == {"n2"})
    scene.until(scene.serve)
    assert scene.ended() == ["noconnection"]


def test_a_node_that_dies_and_is_back_at_once_is_counted_once(scene: Scene) -> None:
    scene.run(*(Remote(name, "kv.yaml") for name in NAMES))
    scene.until(scene.serve)
    scene.nodes["n1"].kill()
    scene.nodes["n1"].wait()
    scene.start("n1")
    scene.until(lambda: all((child.epoch or 0) > 1 for child in scene.node.tree().children))
    scene.until(scene.serve)
    assert len(scene.ended()) <= 1


def test_an_owner_whose_agent_is_gone_tells_nobody_of_an_end_in_order(scene: Scene) -> None:
    """We are the agent: the lease is good, and our end of the socket closes."""
    page = LeasePage()
    page.until_s = time.monotonic() + 600

    async def main() -> int:
        cluster = await open_cluster(Access(scene.servers.url), "test")
        told: list[bytes] = []
        await cluster.calls.serve(names.exits("t", "s"), lambda _, data, __: told.append(data))
        start = Start("t", "s", "kv.yaml", 1, 1, 600.0)
        job = Job(start, Access(scene.servers.url), "n1", str(scene.folder))
        ours, theirs = socket.socketpair()
        numbers = [theirs.fileno(), page.fileno()]
        host = subprocess.Popen(  # noqa: ASYNC220 - it runs beside us
            [sys.executable, "-m", "ssm_cli.cluster.owner.host", *map(str, numbers)],
            pass_fds=numbers,
        )
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(msgspec.json.encode(job) + b"\n")
        assert b"started" in await reader.readline()
        writer.close()
        while host.poll() is None:  # noqa: ASYNC110 - there is no event of another process
            await asyncio.sleep(0.02)
        await cluster.calls.call("ssm.nobody", b"", 5.0)  # behind it
        await cluster.close()
        return len(told)

    assert asyncio.run(main()) == 0


def test_a_subtree_whose_root_gives_up_ends_with_its_reason_and_is_counted(scene: Scene) -> None:
    scene.run(Remote("a", "gives_up_of_test:gives_up"))
    scene.until(lambda: scene.node.tree().children[0].state == "running")
    scene.node.cast("a.kv", b"x")
    scene.until(lambda: (scene.node.tree().children[0].epoch or 0) > 1)
    assert scene.ended() == ["shutdown"]

"""A lease that is not renewed, or user code that does not return: real processes, short leases."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import ClusterLinks, Remote
from ssm_cli.cluster.protocol.messages import FENCED
from ssm_cli.runtime.remote.ports import Call, Ended, Launched, News, Outcome
from tests.cluster.real.scene import children_of, command_of, end, start_node, until_nodes
from tests.cluster.servers import Servers

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

LEASE_S = 0.5
SOON_S = 180.0
CODE = """\
import time
from dataclasses import dataclass
from ssm_cli import Supervisor, Worker, StateMachine

def init(name, args):
    time.sleep(3 * {lease})
    return 0

@dataclass(frozen=True)
class Nap:
    pass

def step(message, state):
    time.sleep(4 * {lease})
    return state + 1, state + 1

slow = StateMachine(step=step, init=init, inputs=Nap)
tree = Supervisor("root", children=[Worker("slow", slow, persist="journal", step_timeout=10000)])
"""


class Scene:
    """A server, a node, and a parent with one remote child."""

    def __init__(self, folder: Path) -> None:
        self.servers = Servers(folder).start_all()
        self.nodes = {"n1": start_node(self.servers.url, "n1", folder / "log", folder=str(folder))}
        self.links = ClusterLinks(self.servers.url, "shop")
        self.news: list[News] = []
        self.starts = 0
        until_nodes(self.servers.url, 1)

    def owner(self) -> int:
        (pid,) = (p for p in children_of(self.nodes["n1"].pid) if "owner.host" in command_of(p))
        return pid

    def hear(self) -> None:
        self.links.wait(0.05)
        self.news += self.links.poll()

    def start(self, tree: str) -> Launched:
        """Ask for the child, again where a slow computer lost the short lease at the start."""
        end_s = time.monotonic() + SOON_S
        for self.starts in itertools.count(1):
            launched = self._launched(tree, end_s)
            if launched.reason != FENCED:
                return launched
        raise AssertionError("counted to the end")

    def _launched(self, tree: str, end_s: float) -> Launched:
        self.links.start(Remote("billing", tree, lease=LEASE_S), adopt=False)
        while time.monotonic() < end_s:
            self.hear()
            for news in self.news:
                if isinstance(news, Launched):
                    self.news.remove(news)
                    return news
        raise AssertionError("no answer to the start")

    def ask(self, worker: str, data: bytes, timeout_s: float = SOON_S / 2) -> Outcome:
        heard: list[Outcome] = []
        self.links.call(Call("billing", worker, data, timeout_s), heard.append)
        end_s = time.monotonic() + SOON_S
        while not heard:
            assert time.monotonic() < end_s, f"no outcome after {SOON_S:g} s"
            self.hear()
        return heard[0]

    def until_replied(self, worker: str, data: bytes) -> bytes:
        """Ask again until there is an answer: connections have to come back first."""
        end_s = time.monotonic() + SOON_S
        outcome = self.ask(worker, data, 1.0)
        while outcome.outcome != "replied" and time.monotonic() < end_s:
            outcome = self.ask(worker, data, 1.0)
        assert outcome.outcome == "replied", outcome
        return outcome.output

    def until_state(self, pid: int, *states: str) -> None:
        """Wait until a process is in a state, as the system calls it: T is stopped."""
        end_s = time.monotonic() + SOON_S
        while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in states:
            assert time.monotonic() < end_s, f"{pid} is not {states} after {SOON_S:g} s"
            self.hear()

    def ended(self) -> list[News]:
        return [news for news in self.news if isinstance(news, Ended)]

    def close(self) -> None:
        self.links.close()
        end(self.nodes)
        self.servers.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "billing.yaml").write_text(
        "supervisor: root\nchildren:\n"
        '  - {worker: kv, start: "ssm_cli.machines.kv:kv_store", persist: journal}\n'
    )
    (tmp_path / "slow.py").write_text(CODE.format(lease=LEASE_S))
    made = Scene(tmp_path)
    yield made
    made.close()


def test_an_init_and_a_step_longer_than_the_lease_cost_nothing(scene: Scene) -> None:
    started = scene.start("slow.py")
    assert (started.ok, started.epoch) == (True, scene.starts)
    pid = scene.owner()
    assert scene.ask("slow", b"Nap") == Outcome("replied", b"1")
    assert not scene.ended()
    assert scene.owner() == pid


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_an_owner_stands_still_while_servers_are_away_and_goes_on_when_they_are_back(
    scene: Scene,
) -> None:
    assert scene.start("billing.yaml").ok
    assert scene.until_replied("kv", b"Store x 1") == b"Ok"
    pid, server = scene.owner(), scene.servers.running[0]
    os.kill(server.pid, signal.SIGSTOP)
    scene.until_state(pid, "T")
    time.sleep(2 * LEASE_S)
    os.kill(server.pid, signal.SIGCONT)
    scene.until_state(pid, "S", "R")
    assert scene.until_replied("kv", b"Lookup x") == b"Result 1"
    assert scene.owner() == pid
    assert not scene.ended()


def test_a_lease_is_not_kept_for_an_owner_that_somebody_else_has_stopped(scene: Scene) -> None:
    assert scene.start("billing.yaml").ok
    assert scene.until_replied("kv", b"Store x 1") == b"Ok"
    pid = scene.owner()
    os.kill(pid, signal.SIGSTOP)
    end_s = time.monotonic() + SOON_S
    while pid in children_of(scene.nodes["n1"].pid):
        assert time.monotonic() < end_s, f"{pid} is there after {SOON_S:g} s"
        scene.hear()
    assert scene.until_replied("kv", b"Lookup x") == b"Result 1"
    assert not scene.ended()

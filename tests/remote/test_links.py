"""The contract of the links to remote children: the twin in memory, and the process on NATS."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ClusterLinks, FakeLinks, ManualClock, Remote
from ssm_cli.runtime.remote.ports import (
    Call,
    Ended,
    Launched,
    Linked,
    Links,
    News,
    Outcome,
    Stopped,
)
from ssm_cli.spec.model import RemoteSpec
from tests.cluster.real.scene import children_of, command_of, end, start_node, until_nodes
from tests.cluster.servers import Servers

SOON_S = 180.0
TREE = """\
supervisor: billing_root
children:
  - {worker: invoice, start: "ssm_cli.machines.kv:kv_store"}
"""


class World:
    """Links, and how a child of theirs is killed."""

    def __init__(
        self, links: Links, tree: str, kill: Callable[[], None], servers: Servers | None = None
    ) -> None:
        self.servers = servers
        self.links = links
        self.spec = Remote("billing", tree)
        self.kill = kill
        self.news: list[News] = []

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for news until something holds."""
        end_s = time.monotonic() + SOON_S
        while not holds():
            assert time.monotonic() < end_s, self.news
            self.links.wait(0.1)
            self.news += self.links.poll()

    def start(self, *, adopt: bool = False, spec: RemoteSpec | None = None) -> Launched:
        """Ask for a child, and wait until the one answer is there."""
        self.news.clear()
        self.links.start(spec or self.spec, adopt=adopt)
        self.until(lambda: any(isinstance(news, Launched) for news in self.news))
        (launched,) = [news for news in self.news if isinstance(news, Launched)]
        return launched

    def ask(self, worker: str, data: bytes) -> Outcome:
        """Call a worker, and wait for the one outcome."""
        heard: list[Outcome] = []
        self.links.call(Call("billing", worker, data, SOON_S), heard.append)
        self.until(lambda: bool(heard))
        return heard[0]

    def ended(self) -> list[Ended]:
        return [news for news in self.news if isinstance(news, Ended)]


def fake() -> World:
    workers = {"billing.invoice": lambda _: Outcome("replied", b"Ok")}
    links = FakeLinks(ManualClock(), workers)
    return World(links, "billing.yaml", lambda: links.end("billing", "killed"))


@pytest.fixture(params=["memory", "nats"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        yield fake()
        return
    with real(tmp_path) as world:
        yield world


@contextmanager
def real(tmp_path: Path) -> Iterator[World]:
    """Links to a node of a cluster of one server."""
    pytest.importorskip("nats", reason="the extra `cluster` is not installed")
    servers = Servers(tmp_path).start_all()
    (tmp_path / "billing.yaml").write_text(TREE)
    nodes = {"n1": start_node(servers.url, "n1", tmp_path / "log", folder=str(tmp_path))}
    links = ClusterLinks(servers.url, "shop")

    def kill() -> None:
        (pid,) = (p for p in children_of(nodes["n1"].pid) if "owner.host" in command_of(p))
        os.kill(pid, signal.SIGKILL)

    try:
        until_nodes(servers.url, 1)
        yield World(links, "billing.yaml", kill, servers)
    finally:
        links.close()
        end(nodes)
        servers.stop()


def test_a_started_child_answers_and_a_stopped_one_does_not(world: World) -> None:
    started = world.start()
    assert (started.ok, started.epoch) == (True, 1)
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")
    assert world.ask("nobody", b"x").outcome == "noproc"
    assert world.links.stop("billing", 60.0)
    assert world.ask("invoice", b"x").outcome in {"noproc", "noconnection"}
    assert not world.ended()


def test_the_end_of_a_child_is_news_once_and_the_next_life_has_the_next_epoch(world: World) -> None:
    world.start()
    world.kill()
    world.until(lambda: bool(world.ended()))
    assert world.ended() == [Ended("billing", 1, "killed")]
    assert world.start().epoch == 2
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")


def test_a_child_that_lives_on_is_adopted(world: World) -> None:
    first = world.start()
    again = world.start(adopt=True)
    assert (first.epoch, again.epoch, again.ok) == (1, 1, True)


def test_a_link_process_that_dies_is_replaced_and_the_child_lives_on(world: World) -> None:
    links: Any = world.links
    if isinstance(links, FakeLinks):
        pytest.skip("the twin has no process")
    world.start()
    before = links.fileno()
    links._process.kill()
    world.news.clear()
    lost: list[Linked] = []
    back: list[Linked] = []

    def seen() -> bool:
        linked = [news for news in world.news if isinstance(news, Linked)]
        lost[:] = [news for news in linked if not news.reachable]
        back[:] = [news for news in linked if news.reachable]
        return bool(lost and back)

    world.until(seen)
    assert links.fileno() != before  # an event loop that watches it has to see that it is another
    assert back[-1].epoch == 1
    assert not world.ended()
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")


def test_a_start_during_which_the_link_process_dies_goes_on_with_the_next(world: World) -> None:
    links: Any = world.links
    if isinstance(links, FakeLinks):
        pytest.skip("the twin has no process")
    world.start()
    process = links._process
    send = process.send

    def die(_: object) -> bool:
        """It dies with the order in its hands; the next one lives."""
        process.send = send
        process.kill()
        return True

    process.send = die
    done = world.start(spec=Remote("stock", "billing.yaml"))
    assert (done.child, done.ok, done.epoch) == ("stock", True, 1)


def test_to_ask_for_a_child_takes_no_time_whether_the_cluster_is_there_or_not() -> None:
    """No server listens there; the word of that is news, and nobody waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        links = ClusterLinks(f"nats://127.0.0.1:{nobody.getsockname()[1]}", "shop")
        world = World(links, "billing.yaml", lambda: None)
        waited: list[float] = []
        process: Any = links._process
        wait, process.wait = process.wait, waited.append
        links.start(world.spec, adopt=False)
        assert not waited
        process.wait = wait
    try:
        launched = world.start()
        assert (launched.ok, launched.reason) == (False, "noconnection")
    finally:
        links.close()


def test_a_child_that_is_stopped_while_it_starts_is_not_heard_of_again(world: World) -> None:
    world.links.start(world.spec, adopt=False)
    world.links.stop("billing", 60.0)
    assert world.start().ok
    assert len([news for news in world.news if isinstance(news, Launched)]) == 1
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")


def test_a_child_that_is_to_stop_is_told_once_when_it_has(world: World) -> None:
    world.start()
    world.news.clear()
    world.links.stop_soon("billing", 60.0)
    world.links.stop_soon("billing", 60.0)
    world.until(lambda: any(isinstance(news, Stopped) for news in world.news))
    assert world.ask("invoice", b"Lookup x").outcome in ("noproc", "noconnection")
    assert [n for n in world.news if isinstance(n, Stopped)] == [Stopped("billing", ok=True)]
    assert not world.ended()
    assert world.start().epoch == 2


def test_who_waits_for_a_child_that_is_to_stop_hears_of_it_and_it_is_no_news(world: World) -> None:
    world.start()
    world.news.clear()
    world.links.stop_soon("billing", 60.0)
    assert world.links.stop("billing", 60.0)
    assert world.ask("invoice", b"Lookup x").outcome in ("noproc", "noconnection")
    assert not [news for news in world.news if isinstance(news, Stopped)]

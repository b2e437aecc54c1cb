"""The link process is killed and stopped, on a real server, at any time; nothing is lost by it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssm_cli import ClusterLinks, Node, Remote, Supervisor
from ssm_cli.runtime.remote.ports import Call, Ended, Linked, LinkSeen, Outcome, Stopped
from ssm_cli.runtime.views import Carried
from tests.cluster.real.scene import children_of, command_of
from tests.remote.test_links import World, real

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
ONE_MB = b"x" * 1_000_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with real(tmp_path) as world:
        yield world


def link_pid() -> int:
    """The link process of this one, stopped or not."""
    (pid,) = link_pids()
    return pid


def link_pids() -> list[int]:
    return [pid for pid in children_of(os.getpid()) if "link.process" in command_of(pid)]


def is_back(world: World) -> Callable[[], bool]:
    """Whether the child can be reached, after it could not."""

    def holds() -> bool:
        linked = [news.reachable for news in world.news if isinstance(news, Linked)]
        return False in linked and linked[-1]

    return holds


def seen(world: World) -> list[bool]:
    return [news.up for news in world.news if isinstance(news, LinkSeen)]


def test_however_often_it_is_killed_there_is_another_one(world: World) -> None:
    world.start()
    for _ in range(3):
        world.news.clear()
        os.kill(link_pid(), signal.SIGKILL)
        world.until(lambda: seen(world) == [False, True])
        world.until(is_back(world))
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")
    assert not world.ended()


def test_one_that_is_killed_as_soon_as_it_is_there_is_followed_all_the_same(world: World) -> None:
    world.start()
    for _ in range(6):
        world.until(lambda: bool(link_pids()))
        os.kill(link_pid(), signal.SIGKILL)  # it has hardly said a word
        world.until(lambda: world.links.fileno() < 0)
    world.until(is_back(world))
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")
    assert not world.ended()


def test_one_that_is_stopped_is_replaced_and_a_call_through_it_has_one_outcome(
    world: World,
) -> None:
    world.start()
    before = link_pid()
    os.kill(before, signal.SIGSTOP)
    heard: list[Outcome] = []
    for _ in range(8):  # more than a socket takes: nobody waits
        world.links.cast("billing", "invoice", Carried(ONE_MB))
    for timeout_s in (1.0, 60.0):
        world.links.call(Call("billing", "invoice", b"Store x 1", timeout_s), heard.append)
    world.until(is_back(world))
    assert link_pid() != before
    assert [outcome.outcome for outcome in heard] == ["timeout", "noconnection"]
    assert all("may have been stepped" in outcome.error for outcome in heard)
    assert world.ask("invoice", b"Lookup x") == Outcome("replied", b"Result None")
    assert len(heard) == 2
    assert not world.ended()


def test_a_child_that_dies_while_nobody_watches_is_told_as_what_it_was(world: World) -> None:
    world.start()
    os.kill(link_pid(), signal.SIGSTOP)  # so that it hears nothing any more
    world.kill()
    os.kill(link_pid(), signal.SIGKILL)
    world.until(lambda: bool(world.ended()))
    assert world.ended() == [Ended("billing", 1, "killed")]
    assert world.start().epoch == 2


def test_a_stop_that_the_link_process_did_not_get_to_is_done_by_the_next_one(world: World) -> None:
    world.start()
    os.kill(link_pid(), signal.SIGSTOP)
    world.links.stop_soon("billing", 60.0)
    os.kill(link_pid(), signal.SIGKILL)
    world.until(lambda: Stopped("billing", ok=True) in world.news)
    assert world.ask("invoice", b"Lookup x").outcome == "noproc"
    assert not world.ended()


def test_a_child_is_stopped_in_order_by_the_next_one(world: World) -> None:
    world.start()
    os.kill(link_pid(), signal.SIGKILL)
    assert world.links.stop("billing", 60.0)
    assert world.ask("invoice", b"Lookup x").outcome == "noproc"
    world.news += world.links.poll()
    assert not world.ended()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_for_the_whole_group_is_left_to_the_tree(
    world: World, number: signal.Signals
) -> None:
    world.start()
    before = link_pid()
    os.kill(before, number)
    assert world.ask("invoice", b"Store x 1") == Outcome("replied", b"Ok")
    assert (link_pid(), seen(world)) == (before, [])


def test_an_idle_tree_tells_it_and_goes_on(world: World) -> None:
    """Served by an event loop, with nothing to do and nobody who asks."""
    links = world.links
    assert isinstance(links, ClusterLinks)
    tree = Supervisor("shop", children=[Remote("billing", "billing.yaml")])

    async def main() -> list[str]:
        node = Node(tree, links=links)
        node.start()
        told: list[str] = []
        back = asyncio.Event()

        def hear(report: object) -> None:
            told.append(report.event)  # type: ignore[attr-defined]  # it is a report
            if told[-1] == "reachable":
                back.set()

        node.subscribe(hear)
        serving = asyncio.ensure_future(node.serve())
        await node.acall("billing.invoice", b"Store x 1")
        os.kill(link_pid(), signal.SIGKILL)
        await asyncio.wait_for(back.wait(), 60)
        assert await node.acall("billing.invoice", b"Lookup x") == b"Result 1"
        node.stop()
        await serving
        return told

    told = asyncio.run(main())
    assert told[:4] == ["unreachable", "link_down", "link_up", "reachable"]
    assert "restarting" not in told


def test_a_server_that_is_away_is_told_by_its_name_and_so_is_its_return(world: World) -> None:
    world.start()
    servers = world.servers
    assert servers is not None
    before = link_pid()
    servers.kill(0)
    world.until(lambda: seen(world) == [False])
    (told,) = [news.detail for news in world.news if isinstance(news, LinkSeen)]
    assert told == f"there is no connection to the cluster at {servers.url}"
    servers.start(0)
    world.until(lambda: seen(world) == [False, True])
    world.until(is_back(world))
    assert link_pid() == before
    assert not world.ended()


def test_while_the_cluster_is_away_calls_say_which_and_nothing_is_counted(
    world: World,
) -> None:
    world.start()
    servers = world.servers
    assert servers is not None
    servers.kill(0)
    os.kill(link_pid(), signal.SIGKILL)
    world.until(lambda: seen(world) == [False])
    world.until(lambda: servers.url in world.ask("invoice", b"Lookup x").error)
    servers.start(0)
    world.until(is_back(world))
    assert world.ask("invoice", b"Lookup x").outcome == "replied"
    assert not world.ended()

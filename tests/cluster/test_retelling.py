"""What an agent alone knows: how a life has ended whose message and lease are lost, and stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from ssm_cli.cluster.agent import child as module
from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.agent.child import begun
from ssm_cli.cluster.agent.ends import Ends
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob, News
from ssm_cli.cluster.link.watching import Watching
from ssm_cli.cluster.owner.host import Job, Told
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import STOPPED, Exited, Start
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.ports import SimCluster, Switchboard
from ssm_cli.cluster.simulated.servers import Servers
from tests.cluster.world import CODE, HERE, TREE, World

START_S = 0.1  # of a process, until it serves
SETTLED_S = 8.0


@pytest.mark.parametrize(("word", "counted"), [("killed", ["killed"]), ("fenced", [])])
def test_an_end_whose_message_and_lease_are_lost_is_told_as_what_it_was(
    monkeypatch: pytest.MonkeyPatch, word: str, counted: list[str]
) -> None:
    tell, first = Ends.tell, ["billing"]

    async def loses_the_first(ends: Ends, exited: Exited) -> None:
        if exited.subtree in first:
            first.remove(exited.subtree)
            return
        await tell(ends, exited)

    monkeypatch.setattr(Ends, "tell", loses_the_first)
    world = World(1)

    def lose() -> None:
        world.servers.wipe_cells(names.leases(TREE))
        for owner in world.owners():
            if owner.child == "billing":
                owner.kill(word)

    world.net.at(4.0, world.parents[0].counted.clear)  # what its first start has cost
    world.net.at(4.0, lose)
    world.net.run(12.0)
    found, served = world.parents[0].counted, [o.child for o in world.owners() if o.serving]
    world.net.close()
    assert not first
    assert "billing" in served
    assert found == counted


@dataclass(eq=False)
class Life:
    """The process of a subtree, which serves after a while, and ends when it is told to."""

    job: Job
    page: LeasePage
    pid: int = 1
    started: asyncio.Future[Told] = field(default_factory=asyncio.Future)
    ended: asyncio.Future[Told] = field(default_factory=asyncio.Future)

    def __post_init__(self) -> None:
        asyncio.get_running_loop().call_later(START_S, self.tell, self.started, Told("started"))

    def tell(self, future: asyncio.Future[Told], told: Told) -> None:
        if not future.done():
            future.set_result(told)

    def over(self, told: Told) -> None:
        self.tell(self.started, told)
        self.tell(self.ended, told)

    def stop(self) -> None:
        self.over(Told("ended", STOPPED))

    def hand_on(self) -> None:
        self.over(Told("ended", "moved"))

    def kill(self, word: str = "", detail: str = "") -> None:
        self.over(Told("ended", word or "killed", detail))

    def is_hung(self) -> bool:
        return False

    def freeze(self) -> None:
        """It has no process."""

    def thaw(self) -> None:
        """It has no process."""


class Calm:
    """A simulated cluster with one node, in which nothing goes wrong by itself."""

    def __init__(self, seed: int) -> None:
        self.net, self.servers = Network(seed), Servers()
        self.switchboard: Switchboard = {}
        self.lives: list[Life] = []
        self.node, self.parent = self.joined("n1"), self.joined("parent")
        self.news: list[News] = []

    def joined(self, name: str) -> SimCluster:
        return SimCluster(self.net, Process(name), self.servers, self.switchboard)

    def host(self, job: Job, page: LeasePage) -> Life:
        self.lives.append(Life(job, page))
        return self.lives[-1]

    async def begin(self) -> tuple[asyncio.Task[None], Watching]:
        """Start the node, and a parent that has started nothing yet."""
        agent = Agent(
            self.node, self.node, Access(""), name="n1", labels={}, folder=HERE, host=self.host
        )
        running = asyncio.ensure_future(agent.run(asyncio.Event()))
        await self.parent.time.sleep_s(2.0)
        job = ChildJob("s1", CODE, ttl_s=2.0, replicas=1)
        return running, Watching(self.parent, TREE, job, self.news.append)

    def living(self) -> list[int]:
        return [life.job.start.epoch for life in self.lives if not life.ended.done()]


def stopped_after(seed: int, after_s: float) -> tuple[bool, list[int]]:
    """Stop a child so long after its start was ordered; whether it then serves, and what lives."""
    calm = Calm(seed)
    found: list[tuple[bool, list[int]]] = []

    async def main() -> None:
        running, watching = await calm.begin()
        starting = asyncio.ensure_future(watching.start(1, adopt=False))
        await calm.parent.time.sleep_s(after_s)
        served = starting.done()
        await watching.stop(2, 5.0)
        await calm.parent.time.sleep_s(SETTLED_S)
        found.append((served, calm.living()))
        running.cancel()

    try:
        calm.net.complete(main())
    finally:
        calm.net.close()
    return found[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_child_that_is_stopped_at_any_moment_of_its_start_does_not_live_on(seed: int) -> None:
    """Also where the order to stop comes before its node has read the lease, or has begun it."""
    moments = [n * 0.002 for n in range(150)]
    ends = [stopped_after(seed, moment) for moment in moments]
    assert {served for served, _ in ends} == {False, True}, "the moments span the start"
    assert [m for m, (_, living) in zip(moments, ends, strict=True) if living] == []


# -- the last moment of a start --------------------------------------------------------------------


class Late(Life):
    """Its word that it serves is read just after it was ended."""

    def kill(self, word: str = "", detail: str = "") -> None:
        self.tell(self.started, Told("started"))
        super().kill(word, detail)


def begun_at_the_last_moment(
    monkeypatch: pytest.MonkeyPatch, kind: type[Life]
) -> tuple[Told, Life]:
    """Give a life as long as one look; what is told of it, and it."""
    monkeypatch.setattr(module, "STARTED_S", module.LOOK_S)
    calm, found = Calm(1), list[tuple[Told, Life]]()

    async def main() -> None:
        page = LeasePage()
        page.until_s = 1e9
        life = kind(Job(Start(TREE, "s1", CODE, 1, 1, 2.0), Access(""), "n1", HERE), page)
        found.append((await begun(life, calm.node.time), life))

    try:
        calm.net.complete(main())
    finally:
        calm.net.close()
    return found[0]


def test_a_life_that_serves_at_the_last_moment_is_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.cluster.test_retelling.START_S", module.LOOK_S / 2)
    told, life = begun_at_the_last_moment(monkeypatch, Life)
    assert (told, life.ended.done()) == (Told("started"), False)


def test_a_life_that_was_ended_has_not_started_whatever_it_said_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.cluster.test_retelling.START_S", module.LOOK_S * 2)
    told, _ = begun_at_the_last_moment(monkeypatch, Late)
    assert (told.event, told.reason) == ("ended", "noconnection")

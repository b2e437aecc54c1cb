"""An owner whose lease was over goes on with proof that nobody has taken it; absence is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from ssm_cli.cluster.agent import child
from ssm_cli.cluster.agent.beating import Beating
from ssm_cli.cluster.agent.holding import Holding
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob
from ssm_cli.cluster.link.placing import Loads, Placed, Placing
from ssm_cli.cluster.link.watching import Watching
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Answer, Cells, Cluster, ClusterDenied, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.limits import STARTED_S
from ssm_cli.cluster.protocol.messages import (
    Advert,
    Hosted,
    Lease,
    Ping,
    Said,
    Start,
    control,
    leased,
)
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.ports import SimCluster, Switchboard
from ssm_cli.cluster.simulated.servers import Servers as SimServers
from tests.cluster.conftest import Play
from tests.cluster.servers import Servers
from tests.cluster.world import Owner, World

TTL_S = 0.5
WAITS = 2_000  # looks, each a hundredth of a second, for what must come


class Told:
    """An owner, and what it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def is_hung(self) -> bool:
        return False

    def freeze(self) -> None:
        self.heard.append("freeze")

    def thaw(self) -> None:
        self.heard.append("thaw")

    def kill(self, word: str = "", detail: str = "") -> None:
        self.heard.append(word)


class Beaten:
    """A lease that is held for an owner, and was over; its node beats again when told to."""

    def __init__(self, cluster: Cluster, cells: Cells, revision: int) -> None:
        self.time, self.owner, self.page = cluster.time, Told(), LeasePage()
        value = Lease("n1", 1, TTL_S, boot="b1")
        self.holding = Holding(
            cells, cluster.time, key="s1", value=value, revision=revision, page=self.page
        )

    async def over(self) -> None:
        self.holding.renewed(self.time.now_s())
        assert await self.holding.begin()
        self.holding.keep(self.owner)
        for _ in range(WAITS):
            self.holding.tick()
            if self.owner.heard == ["freeze"]:
                return
            await self.time.sleep_s(0.01)

    async def beats(self, word: str) -> list[str]:
        """Beat until the owner was told that; return all that it was told."""
        for _ in range(WAITS):
            self.holding.renewed(self.time.now_s())
            if word in self.owner.heard:
                break
            await self.time.sleep_s(0.01)
        return self.owner.heard


async def written(cells: Cells, epoch: int) -> int:
    """Write a lease as a parent does that finds none; return its revision."""
    done = await cells.cas("s1", msgspec.json.encode(Lease("n1", epoch, TTL_S)), 0)
    assert isinstance(done, int)
    return done


def test_an_owner_whose_lease_is_still_its_own_goes_on_once_that_is_written(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(uuid4().hex, 1)
        beaten = Beaten(one, cells, await written(cells, 1))
        await beaten.over()
        before = await (await two.cells(cells_name(cells), 1)).get("s1")
        assert await beaten.beats("thaw") == ["freeze", "thaw"]
        after = await cells.get("s1")
        assert not isinstance(before, Unknown)
        assert not isinstance(after, Unknown)
        assert after[0] > before[0]
        assert beaten.page.until_s > beaten.time.now_s()

    play(body)


def cells_name(cells: Cells) -> str:
    known: Any = cells
    return str(known._bucket if hasattr(known, "_bucket") else known._prefix.split(".")[1])


@pytest.mark.parametrize("again", ["another owner has it", "nobody has it"])
def test_an_owner_whose_lease_is_gone_ends_and_does_not_go_on(
    one_server: Servers, again: str
) -> None:
    """The stream is deleted; one that is made anew counts its revisions from one."""

    async def main() -> None:
        cluster: NatsCluster = await open_cluster(Access(one_server.url), "test")
        bucket = uuid4().hex
        cells = await cluster.cells(bucket, 1)
        beaten = Beaten(cluster, cells, await written(cells, 1))
        await beaten.over()
        await cluster._wire.request(f"$JS.API.STREAM.DELETE.KV_{bucket}", b"", 5.0)
        assert await cells.get("s1") == (0, None)  # which makes it again
        if again == "another owner has it":
            revision = await written(cells, 2)
            while revision < beaten.holding._revision:
                data = msgspec.json.encode(Lease("n2", 2, TTL_S))
                done = await cells.cas("s1", data, revision)
                assert isinstance(done, int)
                revision = done
            assert revision == beaten.holding._revision  # a compared write would go through
        assert await beaten.beats("fenced") == ["freeze", "fenced"]
        found = await cells.get("s1")
        assert not isinstance(found, Unknown)
        known = None if found[1] is None else leased(found[1])
        assert (known and known.epoch) == (2 if again == "another owner has it" else None)
        await cluster.close()

    asyncio.run(main())


def test_a_parent_whose_leases_are_lost_has_the_life_it_knows_given_up_first(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        tree, node = uuid4().hex, uuid4().hex
        adverts = await one.cells(names.ADVERTS, 1)
        await adverts.cas(node, msgspec.json.encode(Advert(node, beat=5)), 0)
        placing = Placing(two, tree, ChildJob("s1", "tree", ttl_s=0.1, replicas=1), Loads())
        placing.watch(node, 7)
        assert await placing._free() == (0, None)
        found = await placing._pulses.read(node)
        assert not isinstance(found, Unknown)
        assert found[1] is not None
        assert [(one.subtree, one.epoch) for one in found[1].revoked] == [("s1", 7)]
        await adverts.cas(node, None, found[0])

    play(body)


def test_a_lease_that_is_given_up_while_it_is_being_taken_is_not_taken(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(uuid4().hex, 1)
        revision, page = await written(cells, 1), LeasePage()
        holding = Holding(
            cells, one.time, key="s1", value=Lease("n1", 1, 60.0), revision=revision, page=page
        )
        beating = Beating(cells, one.time, Advert("n1"), lambda: 0)
        beating.hold("shop", holding)  # whose node has not beaten yet
        begun = asyncio.ensure_future(holding.begin())
        await one.time.sleep_s(0.01)
        beating.take("shop", "s1", 1)
        assert not await begun
        found = await cells.get("s1")
        assert not isinstance(found, Unknown)
        assert found[0] == revision

    play(body)


# -- starts ----------------------------------------------------------------------------------------


class Calm:
    """A simulated cluster in which nothing goes wrong by itself."""

    def __init__(self) -> None:
        self.net, self.servers = Network(1), SimServers()
        self.switchboard: Switchboard = {}
        self.cluster = self.joined("parent")

    def joined(self, name: str) -> SimCluster:
        return SimCluster(self.net, Process(name), self.servers, self.switchboard)

    def watching(self) -> Watching:
        job = ChildJob("s1", "tree", ttl_s=2.0, replicas=1)
        return Watching(self.cluster, "shop", job, lambda _: None)

    def complete(self, main: Coroutine[Any, Any, None]) -> None:
        try:
            self.net.complete(main)
        finally:
            self.net.close()


async def a_node(
    cluster: SimCluster, on_start: Callable[[Start], Said], hosted: list[Hosted]
) -> None:
    """Serve as the agent of a node n1 does."""

    def heard(_: str, data: bytes, answer: Answer | None) -> None:
        assert answer is not None
        match control(data):
            case Start() as start:
                answer(msgspec.json.encode(on_start(start)))
            case Ping():
                answer(msgspec.json.encode(Said(ok=True, hosted=hosted)))
            case _:
                answer(msgspec.json.encode(Said(ok=True)))

    await (await cluster.cells(names.ADVERTS, 1)).cas(
        "n1", msgspec.json.encode(Advert("n1", boot="b1", beat=1)), 0
    )
    for subject in (names.looks("n1"), names.agent("n1")):
        await cluster.calls.serve(subject, heard)


def test_a_start_while_the_servers_are_away_is_tried_again_in_its_time() -> None:
    calm = Calm()

    async def main() -> None:
        await a_node(calm.joined("n1"), lambda s: Said(ok=True, epoch=s.epoch, boot="b1"), [])
        calm.servers.away = True
        calm.net.at(3.0, setattr, calm.servers, "away", False)
        done = await calm.watching().start(1, adopt=True)
        assert (done.ok, done.node) == (True, "n1")
        assert 3.0 < calm.net.true_s < 10.0

    calm.complete(main())


def test_a_start_while_the_servers_stay_away_fails_when_its_time_is_over() -> None:
    calm = Calm()

    async def main() -> None:
        calm.servers.away = True
        done = await calm.watching().start(1, adopt=True)
        assert (done.ok, done.reason) == (False, "noconnection")
        assert STARTED_S <= calm.net.true_s < STARTED_S + 10.0

    calm.complete(main())


def test_a_start_that_is_denied_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = Calm()

    async def denied(*_: object) -> None:
        raise ClusterDenied("s1 does not let us listen to ssm.shop.exit.s1")

    async def main() -> None:
        monkeypatch.setattr(type(calm.cluster.calls), "serve", denied)
        done = await calm.watching().start(1, adopt=True)
        assert (done.ok, done.reason) == (False, "noconnection")
        assert "does not let us" in done.detail
        assert calm.net.true_s < 1.0

    calm.complete(main())


def test_a_life_that_still_starts_is_ordered_again_and_not_taken_for_one_that_serves() -> None:
    calm = Calm()
    orders: list[Start] = []

    def on_start(start: Start) -> Said:
        orders.append(start)
        return Said(ok=True, epoch=start.epoch, boot="b1")

    async def main() -> None:
        hosted = [Hosted("shop", "s1", 4, 1, starting=True)]
        await a_node(calm.joined("n1"), on_start, hosted)
        cells = await calm.cluster.cells(names.leases("shop"))
        lease = Lease("n1", 4, 2.0, spec="tree", boot="b1")
        await cells.cas("s1", msgspec.json.encode(lease), 0)
        placing = Placing(calm.cluster, "shop", calm.watching().job, Loads())
        found = await placing.adopt()
        assert isinstance(found, Placed)
        assert (found.ok, found.epoch) == (True, 4)
        assert [order.epoch for order in orders] == [4]

    calm.complete(main())


def test_one_that_never_serves_is_ended_in_its_time_and_another_one_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hears of nothing, though its lease is good: as where its connection alone is dead."""
    own, first = Owner.own, {"billing", "stock"}

    async def hangs_first(owner: Owner, cluster: SimCluster) -> Any:
        if owner.child in first:
            first.remove(owner.child)
            await asyncio.get_running_loop().create_future()
        return await own(owner, cluster)

    monkeypatch.setattr(Owner, "own", hangs_first)
    monkeypatch.setattr(child, "STARTED_S", 5.0)
    world = World(1)
    world.net.run(25.0)
    served = {owner.child: owner.job.start.epoch for owner in world.owners() if owner.serving}
    counted = world.parents[0].counted
    world.net.close()
    assert sorted(served) == ["billing", "stock"]
    assert all(epoch > 1 for epoch in served.values())
    assert not counted


def test_a_lease_is_waited_out_no_longer_than_until_its_agent_says_that_it_has_ended() -> None:
    calm = Calm()

    async def main() -> None:
        placing = Placing(calm.cluster, "shop", calm.watching().job, Loads())
        adverts = await calm.cluster.cells(names.ADVERTS)
        await adverts.cas("n1", msgspec.json.encode(Advert("n1")), 0)
        await calm.joined("n1").calls.serve(names.looks("n1"), lambda *_: None)
        known = Lease("n1", 3, 60.0)
        calm.net.at(5.0, setattr, placing, "gone", 3)
        assert await placing._ended(known) is None
        assert 5.0 <= calm.net.true_s < 10.0

    calm.complete(main())

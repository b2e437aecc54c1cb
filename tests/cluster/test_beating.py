"""One heartbeat a node: what it costs, whom it keeps, and whom it ends. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import msgspec
import pytest

from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob
from ssm_cli.cluster.link.placing import Loads, Placed, Placing
from ssm_cli.cluster.link.pulses import Pulses
from ssm_cli.cluster.ports import Answer, ClusterError, OnMessage, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import FENCED, Advert, Exited, Lease, Revoked, Said, Start
from ssm_cli.cluster.simulated.network import Process
from tests.benchmarks.cluster_hundred import Hundred

LEASE_S = 2.0
TREE = "many"


def running(nodes: int, subtrees: int) -> Hundred:
    made = Hundred(nodes, subtrees, LEASE_S)
    made.net.run(1.0)
    starting = made.begin(made.children)
    made.until(60.0, starting.done)
    made.net.run(2.0)
    return made


@pytest.fixture
def made() -> Iterator[Hundred]:
    found = running(2, 6)
    yield found
    found.net.close()


def asked(made: Hundred, main: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine comes to while the cluster goes on."""
    return made.net.complete(main)


def saying(said: bytes) -> OnMessage:
    """Answer always the same."""

    def on_message(_: str, __: bytes, answer: Answer | None) -> None:
        if answer is not None:
            answer(said)

    return on_message


def hosted(made: Hundred, node: str) -> list[str]:
    said = asked(made, made.cluster(made.parent).calls.call(names.looks(node), b"", 1.0))
    return [one.subtree for one in msgspec.json.decode(said, type=Said).hosted]


def idle(subtrees: int) -> float:
    made = running(2, subtrees)
    made.net.taken = 0
    made.net.run(10.0)
    made.net.close()
    return made.net.taken / 10.0


def test_messages_of_idle_subtrees_do_not_grow_with_their_number() -> None:
    assert idle(24) == pytest.approx(idle(6), rel=0.05)


def test_a_node_that_dies_is_missed_within_a_second_and_all_it_hosted_goes_on(
    made: Hundred,
) -> None:
    made.nodes["n0"].crash()
    lost = [child for child in made.children if child.node == "n0"]
    assert len(lost) == 3
    assert made.until(5.0, lambda: bool(made.ended)) < 0.8
    told = [child for child in lost if child.job.name in made.ended]
    made.begin(told)
    made.until(10.0, lambda: all(child.node == "n1" for child in lost))
    assert len(hosted(made, "n1")) == 6


def test_a_revocation_ends_one_epoch_of_one_subtree_and_the_node_beats_on(made: Hundred) -> None:
    heard: list[Exited] = []
    cluster = made.cluster(made.parent)
    here = [child for child in made.children if child.node == "n0"]
    one, other = here[0].job.name, here[1].job.name

    def hear(_: str, data: bytes, __: Answer | None) -> None:
        heard.append(msgspec.json.decode(data, type=Exited))

    for subtree in (one, other):
        asked(made, cluster.calls.serve(names.exits(TREE, subtree), hear))
    pulses = Pulses(cluster)
    for taken in (Revoked(TREE, one, 1), Revoked(TREE, other, 0)):
        beat = asked(made, pulses.revoke("n0", taken))
        assert isinstance(beat, int)
    made.net.run(2.0)
    assert [(exited.subtree, exited.epoch, exited.reason) for exited in heard] == [(one, 1, FENCED)]
    found = asked(made, pulses.read("n0"))
    assert not isinstance(found, Unknown)
    assert (found[1].beat > beat, found[1].revoked) == (True, ())


def test_a_node_whose_advert_was_deleted_gives_everything_up_and_beats_on(made: Hundred) -> None:
    cells = asked(made, made.cluster(made.parent).cells(names.ADVERTS))
    revision, _ = asked(made, cells.get("n0"))
    while not isinstance(asked(made, cells.cas("n0", None, revision)), int):
        revision, _ = asked(made, cells.get("n0"))
    made.net.run(1.0)
    assert asked(made, cells.get("n0"))[1] is not None
    assert all(child.node for child in made.children)
    made.net.run(5.0)
    assert len(hosted(made, "n0")) + len(hosted(made, "n1")) == 6  # started anew, and not counted
    assert not made.ended


def test_of_two_nodes_with_one_name_the_one_that_was_away_ends_and_says_why() -> None:
    made = Hundred(0, 0, LEASE_S)
    first, second = Process("first"), Process("second")

    async def run(process: Process) -> None:
        cluster = made.cluster(process)
        agent = Agent(cluster, cluster, Access(""), name="n9", labels={}, folder="")
        await agent.run(asyncio.Event())

    async def main() -> BaseException | None:
        one = asyncio.ensure_future(run(first))
        await asyncio.sleep(1.0)
        first.line.cut(made.net.true_s)
        two = asyncio.ensure_future(run(second))
        await asyncio.sleep(3.0)
        first.line.heal()
        await asyncio.wait([one])
        await asyncio.sleep(5.0)
        assert not two.done()
        two.cancel()
        return one.exception()

    error = asked(made, main())
    made.net.close()
    assert isinstance(error, ClusterError)
    assert "another node has our name: n9" in str(error)


def test_an_order_of_an_earlier_version_is_refused_and_says_so(made: Hundred) -> None:
    order = msgspec.json.encode(Start(TREE, "s9", "tree", 1, 1, LEASE_S)).replace(b"host", b"start")
    said = asked(made, made.cluster(made.parent).calls.call(names.agent("n0"), order, 1.0))
    refused = msgspec.json.decode(said, type=Said)
    assert (refused.ok, refused.reason) == (False, "undecodable")
    assert "another ssm than the node's" in refused.detail


def test_a_node_of_another_version_is_a_version_that_does_not_fit(made: Hundred) -> None:
    cluster = made.cluster(made.parent)

    async def main() -> Placed:
        cells = await cluster.cells(names.ADVERTS)
        await cells.cas("old", msgspec.json.encode(Advert("old", labels={"zone": "z"})), 0)
        said = msgspec.json.encode(Said(ok=False, reason="undecodable"))
        for subject in (names.looks("old"), names.agent("old")):
            await cluster.calls.serve(subject, saying(said))
        job = ChildJob("s9", "tree", {"zone": "z"}, LEASE_S, replicas=1)
        return await Placing(cluster, TREE, job, Loads()).start()

    assert asked(made, main()).reason == "version"


def test_a_life_whose_lease_hangs_on_no_heartbeat_is_not_adopted(made: Hundred) -> None:
    cluster = made.cluster(made.parent)
    child = made.children[0]

    async def main() -> list[Placed | Unknown | None]:
        placing = Placing(cluster, TREE, child.job, Loads())
        adopted = await placing.adopt()
        cells = await cluster.cells(names.leases(TREE))
        found = await cells.get(child.job.name)
        assert not isinstance(found, Unknown)
        lease = msgspec.json.decode(found[1] or b"", type=Lease)
        assert lease.boot
        old = msgspec.structs.replace(lease, boot="")
        await cells.cas(child.job.name, msgspec.json.encode(old), found[0])
        return [adopted, await placing.adopt()]

    adopted, refused = asked(made, main())
    assert (adopted.node, adopted.epoch) == (child.node, 1)
    assert refused is None

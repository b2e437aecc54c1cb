"""What disks lose and servers lack: it is told, and nothing older is served in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from ssm_cli.cluster.agent import directory
from ssm_cli.cluster.agent.sweeping import DEAD_S, SWEEP_S, Sweep
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import ChildJob
from ssm_cli.cluster.link.placing import TRIES, Loads, Placed, Placing
from ssm_cli.cluster.owner import asking, saved
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.owner.store import ClusterStore, open_store
from ssm_cli.cluster.ports import (
    Answer,
    CallLost,
    Cells,
    Cluster,
    ClusterError,
    Journal,
    OnMessage,
    Unknown,
)
from ssm_cli.cluster.protocol import names, writer
from ssm_cli.cluster.protocol.messages import Advert, Hosted, Lease, Said, Start
from ssm_cli.errors import NoProc, StorageDamaged, StorageError
from tests.cluster.conftest import Play
from tests.cluster.servers import Servers
from tests.cluster.test_store import written

Body = Callable[[NatsCluster, str], Coroutine[Any, Any, None]]


@pytest.fixture
def real(one_server: Servers, monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], None]:
    """Runs a body with a connection and the name of a tree; what is asked again is asked thrice."""
    monkeypatch.setattr(writer, "MAX_BEHIND", 3)
    monkeypatch.setattr(saved, "TRIES", 3)
    monkeypatch.setattr(asking, "SHORT_READS", 3)

    def run(body: Body) -> None:
        async def main() -> None:
            cluster = await open_cluster(Access(one_server.url), "test")
            try:
                await body(cluster, f"t{uuid4().hex[:8]}")
            finally:
                await cluster.close()

        asyncio.run(main())

    return run


async def own(cluster: NatsCluster, tree: str, epoch: int, page: LeasePage) -> ClusterStore:
    """Open the store with the witness on a page, as an agent does that goes on with it."""
    start = Start(tree, "s1", "", epoch, 0, 2.0, journal=page.journal, saved=page.saved)
    return await open_store(cluster, start, f"owner{epoch}", page)


async def api(cluster: NatsCluster, request: str, body: object = None) -> None:
    data = b"" if body is None else msgspec.json.encode(body)
    await cluster._wire.request(f"$JS.API.{request}", data, 2.0)


class Short:
    """A journal of which reads lack the last records, for a number of reads."""

    def __init__(self, inner: Journal, lacks: int, reads: int) -> None:
        self.inner, self.lacks, self.reads = inner, lacks, reads
        self.append, self.tail, self.trim = inner.append, inner.tail, inner.trim

    async def read(self, after: int, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        found = [place async for place in self.inner.read(after, upto)]
        self.reads -= 1
        for place in found[: -self.lacks] if self.reads >= 0 else found:
            yield place


async def short(cluster: NatsCluster, tree: str, reads: int) -> ClusterStore:
    """A store that is opened through a server that lacks the last two records."""
    page = LeasePage()
    store = await own(cluster, tree, 1, page)
    assert await written(store, b"a", b"b", b"c") == [None, None, None]
    heir = ClusterStore(cluster, Short(store._journal, 2, reads), store._saved, "", page)
    await heir.open(2, "heir", page.journal)
    return heir


def test_a_read_of_a_server_that_lacks_the_last_records_is_read_on(real: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        heir = await short(cluster, tree, 2)
        assert [entry for _, entry in heir.read(0)] == [b"a", b"b", b"c"]
        assert await written(heir, b"d") == [None]

    real(body)


def test_a_journal_that_cannot_be_read_to_its_end_is_an_error_that_says_how_far(real: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        with pytest.raises(StorageError, match=r"read up to sequence \d+, and ends at \d+"):
            await short(cluster, tree, 10**6)

    real(body)


async def delete_stream(cluster: NatsCluster, tree: str) -> None:
    await api(cluster, f"STREAM.DELETE.{names.stream(tree)}")


async def purge(cluster: NatsCluster, tree: str) -> None:
    await api(cluster, f"STREAM.PURGE.{names.stream(tree)}")


async def lose_tail(cluster: NatsCluster, tree: str) -> None:
    for sequence in (3, 4):
        await api(cluster, f"STREAM.MSG.DELETE.{names.stream(tree)}", {"seq": sequence})


async def lose_saved(cluster: NatsCluster, tree: str) -> None:
    await api(cluster, f"STREAM.DELETE.KV_{names.saved(tree)}")


LOSSES = (delete_stream, purge, lose_tail, lose_saved)


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("opened", ["by the same servers", "by a new connection"])
def test_what_is_lost_is_told_with_a_way_out(real: Any, lose: Any, opened: str) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        page = LeasePage()
        store = await own(cluster, tree, 1, page)
        await written(store, b"a", b"b", b"c")
        store.put({"state": b"x"}, lambda _: None)
        await store.settled()
        await lose(cluster, tree)
        if opened == "by a new connection":
            cluster._streams.clear()
        with pytest.raises(StorageDamaged, match=r"journal_corrupt: .*--accept-loss"):
            await own(cluster, tree, 2, page)

    real(body)


def test_an_owner_whose_journal_vanishes_gives_up_and_says_so(real: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1, LeasePage())
        assert await written(store, b"a") == [None]
        await delete_stream(cluster, tree)
        (told,) = await written(store, b"b")
        assert isinstance(told, StorageDamaged)
        assert store.word == "journal_corrupt"

    real(body)


def test_a_stream_that_has_vanished_is_made_again(real: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        for look in ("entries", "get"):
            cells = await cluster.cells(tree)
            assert isinstance(await cells.cas("k", b"x", 0), int)
            await api(cluster, f"STREAM.DELETE.KV_{tree}")
            assert await (cells.entries() if look == "entries" else cells.get("k")) in (
                {}, (0, None),
            )  # fmt: skip
            assert isinstance(await cells.cas("k", b"y", 0), int)
            await api(cluster, f"STREAM.DELETE.KV_{tree}")
            assert await cells.entries() == {}

    real(body)


# -- what the parent knows -------------------------------------------------------------------------


def placing(cluster: Cluster) -> Placing:
    return Placing(cluster, "shop", ChildJob("s1", "tree", ttl_s=2.0, replicas=1), Loads())


def test_a_parent_takes_the_witness_of_a_lease_on_and_keeps_it_when_the_cells_are_lost(
    play: Play,
) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.leases("shop"), 1)
        before = await cells.get("s1")
        assert not isinstance(before, Unknown)
        lease = Lease("n1", 7, 2.0, journal=40, saved=9)
        assert isinstance(await cells.cas("s1", msgspec.json.encode(lease), before[0]), int)
        parent = placing(two)
        assert await parent.lease()
        parent.witness(7, 44, 9)
        assert parent._reached(lease) == (44, 9)
        parent.before = "n1"
        assert parent._reached(None) == (44, 9)
        fresh = placing(two)
        fresh.before = "n1"
        assert fresh._reached(None) == (1, 0)  # a life that was seen has written something

    play(body)


def test_a_loss_is_accepted_once_nobody_runs(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        tree = f"t{uuid4().hex[:8]}"
        with pytest.raises(NoProc, match="nothing is known"):
            await directory.accept_loss(one, tree, "s1")
        cells = await one.cells(names.leases(tree), 1)
        lost = Lease("n1", 7, 2.0, released=True, reason="journal_corrupt", journal=40, saved=9)
        await cells.cas("s1", msgspec.json.encode(lost), 0)
        await directory.accept_loss(two, tree, "s1")
        found = await cells.get("s1")
        assert not isinstance(found, Unknown)
        given = msgspec.json.decode(found[1] or b"", type=Lease)
        assert (given.epoch, given.journal, given.saved, given.released) == (8, 0, 0, True)

    play(body)


def written_meanwhile(cells: Cells, node: str, times: int) -> Callable[..., Awaitable[CallLost]]:
    """While a node is asked whether it is there, a parent writes a revocation into its cell."""
    left = [None] * times

    async def ask(*_: object) -> CallLost:
        if left:
            left.pop()
            found = await cells.get(node)
            assert not isinstance(found, Unknown)
            revoked = msgspec.json.encode(Advert(node, load=len(left)))
            assert isinstance(await cells.cas(node, revoked, found[0]), int)
        return CallLost("noproc", "nobody is there")

    return ask


def test_a_node_that_is_gone_is_forgotten_and_one_that_answers_is_not(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        dead, alive = f"d{uuid4().hex[:8]}", f"a{uuid4().hex[:8]}"
        for node in (dead, alive):
            await cells.cas(node, msgspec.json.encode(Advert(node)), 0)
        handle = await two.calls.serve(names.looks(alive), saying(b'{"ok": true}'))
        with pytest.raises(NoProc, match="no node n404"):
            await directory.forget(one, "n404")
        with pytest.raises(ClusterError, match="answers; stop it first"):
            await directory.forget(one, alive)
        with monkeypatch.context() as patch:
            patch.setattr(directory, "ask", written_meanwhile(cells, dead, times=2))
            await directory.forget(one, dead)
        entries = await cells.entries()
        assert not isinstance(entries, Unknown)
        assert dead not in entries
        assert alive in entries
        await directory_without(cells, alive)
        await handle.close()

    play(body)


@pytest.mark.parametrize("play", ["simulated"], indirect=True)
def test_a_node_that_does_not_answer_at_once_may_host_what_is_looked_for(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        await cells.cas("slow", msgspec.json.encode(Advert("slow")), 0)
        hosted = Hosted("shop", "billing", 1, 7)
        said, asked = msgspec.json.encode(Said(ok=True, hosted=[hosted])), list[bytes]()

        def heard(_: str, data: bytes, answer: Answer | None) -> None:
            asked.append(data)
            if answer is not None and len(asked) > 2:  # the machine was busy before
                answer(said)

        await two.calls.serve(names.looks("slow"), heard)
        with pytest.raises(
            NoProc, match=r"billing; `ssm nodes` shows them, and slow did not answer"
        ):
            await directory.find_subtree(one, "billing", within_s=0.0)
        assert await directory.find_subtree(one, "billing") == ("slow", hosted)
        begun_s = one.time.now_s()
        with pytest.raises(NoProc, match=r"subtree nosuch; `ssm nodes` shows them$"):
            await directory.find_subtree(one, "nosuch")
        assert one.time.now_s() - begun_s < 1.0  # all have answered

    play(body)


async def directory_without(cells: Any, node: str) -> None:
    revision, _ = await cells.get(node)
    await cells.cas(node, None, revision)


@pytest.mark.parametrize("play", ["simulated"], indirect=True)
def test_a_node_that_died_without_a_word_leaves_the_directory_by_itself(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        for node in ("dead", "alive", "hangs"):
            await cells.cas(node, msgspec.json.encode(Advert(node)), 0)
        await two.calls.serve(names.looks("hangs"), lambda *_: None)
        sweep = Sweep(one, cells)
        for beat in range(int(DEAD_S / SWEEP_S) + 1):
            revision, _ = await cells.get("alive")  # type: ignore[misc]  # the servers are there
            await cells.cas("alive", msgspec.json.encode(Advert("alive", beat=beat)), revision)
            await sweep.once()
            await one.time.sleep_s(SWEEP_S)
        found = await cells.entries()
        assert not isinstance(found, Unknown)
        assert sorted(found) == ["alive", "hangs"]

    play(body)


# -- placement -------------------------------------------------------------------------------------


def saying(data: bytes) -> OnMessage:
    """Somebody who answers all with the same."""

    def heard(_: str, __: bytes, answer: Answer | None) -> None:
        if answer is not None:
            answer(data)

    return heard


@pytest.mark.parametrize("play", ["simulated"], indirect=True)
@pytest.mark.parametrize(
    ("answers", "placed"),
    [
        ({"n1": "undef", "n2": ""}, ("n2", "")),
        ({"n1": "version", "n2": "undef", "n3": ""}, ("n3", "")),
        ({"n1": "undef", "n2": "undef"}, ("", "undef")),
        ({f"n{n}": None for n in range(12)} | {"z": ""}, ("z", "")),
        ({"n1": None}, ("", "no_node")),
        ({"n1": "journal_corrupt", "n2": ""}, ("", "journal_corrupt")),
    ],
    ids=str,
)
def test_a_start_goes_on_to_other_nodes_where_the_node_is_the_reason(
    play: Play, answers: dict[str, str | None], placed: tuple[str, str]
) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        for node, reason in answers.items():
            await cells.cas(node, msgspec.json.encode(Advert(node)), 0)
            if reason is None:
                continue  # it crashed long ago
            said = msgspec.json.encode({"ok": not reason, "reason": reason, "detail": node})
            for subject in (names.looks(node), names.agent(node)):
                await two.calls.serve(subject, saying(said))
        found: Placed = await placing(one).start()
        assert (found.node, found.reason) == placed

    play(body)


@pytest.mark.parametrize("play", ["simulated"], indirect=True)
@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([{"reason": "undef", "detail": "x", "absent": True}], "no_node"),
        (
            [{"reason": "undef", "detail": "x", "absent": True}, {"reason": "undecodable"}],
            "no_node",
        ),
        ([{"reason": ""}], "no_node"),  # of an older ssm
        ([{"reason": "undef", "detail": "its module raises"}], "undef"),
        ([{"reason": "undef", "absent": True}, {"reason": "undef"}], "undef"),
        ([None], "no_node"),  # it hangs
    ],
    ids=str,
)
@pytest.mark.parametrize("ran", [False, True])
def test_what_has_run_and_finds_no_node_with_its_code_waits_for_one(
    play: Play, answers: list[dict[str, Any] | None], reason: str, *, ran: bool
) -> None:
    """It was counted as a failed start: a node without the files ended the tree in a second."""

    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        for number, answer in enumerate(answers):
            node = f"n{number}"
            await cells.cas(node, msgspec.json.encode(Advert(node)), 0)
            said = saying(msgspec.json.encode({"ok": False} | (answer or {})))
            await two.calls.serve(names.looks(node), said if answer else lambda *_: None)
            await two.calls.serve(names.agent(node), said)
        parent = placing(one)
        parent.before = "gone" if ran else ""
        found = await parent.start()
        assert found.detail.startswith("n0: ")
        assert len(found.detail) > len("n0: ")
        first = (answers[0] or {"reason": "noconnection"})["reason"]
        assert found.reason == (reason if ran else first or "version")

    play(body)


@pytest.mark.parametrize("play", ["simulated"], indirect=True)
@pytest.mark.parametrize(("late", "placed"), [(2, (True, "", 3)), (99, (False, "fenced", 0))])
def test_a_start_whose_lease_was_not_good_in_time_is_tried_again(
    play: Play, late: int, placed: tuple[bool, str, int]
) -> None:
    """As on a busy node: nobody else has the subtree, and the tree need not fail for it."""

    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        await cells.cas("n1", msgspec.json.encode(Advert("n1")), 0)
        epochs: list[int] = []

        def ordered(_: str, data: bytes, answer: Answer | None) -> None:
            epochs.append(msgspec.json.decode(data, type=Start).epoch)
            said = Said(ok=len(epochs) > late, reason="" if len(epochs) > late else "fenced")
            if answer is not None:
                answer(msgspec.json.encode(said))

        await two.calls.serve(names.looks("n1"), saying(b'{"ok": true}'))
        await two.calls.serve(names.agent("n1"), ordered)
        found: Placed = await placing(one).start()
        assert (found.ok, found.reason, found.epoch) == placed
        assert epochs == [*range(1, len(epochs) + 1)]
        assert len(epochs) == min(late + 1, TRIES)

    play(body)


@pytest.mark.parametrize("play", ["simulated"], indirect=True)
def test_children_that_are_started_together_do_not_all_go_to_one_node(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        cells = await one.cells(names.ADVERTS, 1)
        for node in ("n1", "n2", "n3"):
            await cells.cas(node, msgspec.json.encode(Advert(node)), 0)
            for subject in (names.looks(node), names.agent(node)):
                await two.calls.serve(subject, saying(b'{"ok": true}'))
        loads = Loads()
        jobs = [ChildJob(f"s{n}", "tree", ttl_s=2.0, replicas=1) for n in range(6)]
        found = [await Placing(one, "shop", job, loads).start() for job in jobs]
        assert sorted(placed.node for placed in found) == ["n1", "n1", "n2", "n2", "n3", "n3"]

    play(body)

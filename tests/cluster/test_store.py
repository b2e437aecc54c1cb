"""The cluster's journal and cells as the store of a node, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest

from ssm_cli import Node, Supervisor, Worker
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.saved import CHUNK_BYTES
from ssm_cli.cluster.owner.store import ClusterStore, open_store
from ssm_cli.cluster.ports import Conflict, Journal, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Start
from ssm_cli.errors import CalleeStopped, Fenced, StorageDamaged, StorageError
from ssm_cli.machines.kv import Lookup, Result, Store, kv_store
from ssm_cli.runtime.durable.ports import Afar
from tests.cluster.servers import Servers

Body = Callable[[NatsCluster, str], Coroutine[Any, Any, None]]


@pytest.fixture
def play(one_server: Servers) -> Callable[[Body], None]:
    def run(body: Body) -> None:
        async def main() -> None:
            cluster = await open_cluster(Access(one_server.url), "test")
            try:
                await body(cluster, f"t{uuid4().hex[:8]}")
            finally:
                await cluster.close()

        asyncio.run(main())

    return run


def own(cluster: NatsCluster, tree: str, epoch: int) -> Coroutine[Any, Any, ClusterStore]:
    return open_store(cluster, Start(tree, "s1", "", epoch, 0, 2.0), f"owner{epoch}")


async def written(store: ClusterStore, *entries: bytes) -> list[StorageError | None]:
    told: list[StorageError | None] = []
    for number, entry in enumerate(entries, store.last() + 1):
        store.append(number, entry, told.append)
    await store.settled()
    return told


async def saved(store: ClusterStore, changes: dict[str, bytes | None]) -> StorageError | None:
    told: list[StorageError | None] = []
    store.put(changes, told.append)
    await store.settled()
    return told[0]


def test_what_was_written_and_saved_is_there_for_the_next_owner(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        assert await written(store, b"a", b"b", b"c") == [None, None, None]
        assert await saved(store, {"state/kv.1": b"x" * 10, "gone": b"y"}) is None
        assert await saved(store, {"gone": None}) is None
        heir = await own(cluster, tree, 2)
        assert list(heir.read(0)) == [(1, b"a"), (2, b"b"), (3, b"c")]
        assert list(heir.read(2)) == [(3, b"c")]
        assert (heir.first(), heir.last(), heir.keys()) == (1, 3, ["state/kv.1"])
        assert heir.get("state/kv.1") == b"x" * 10
        assert await written(heir, b"d") == [None]

    play(body)


def test_an_owner_is_fenced_by_its_heir_in_journal_and_cells(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        await written(store, b"a")
        heir = await own(cluster, tree, 2)
        (refused,) = await written(store, b"b")
        assert isinstance(refused, Fenced)
        assert isinstance(await saved(store, {"k": b"old"}), Fenced)
        assert await saved(heir, {"k": b"new"}) is None
        with pytest.raises(Fenced):
            await own(cluster, tree, 1)
        assert list((await own(cluster, tree, 3)).read(0)) == [(1, b"a")]

    play(body)


def test_a_late_change_of_saved_states_is_fenced_too(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        await saved(store, {"k": b"one"})
        heir = await own(cluster, tree, 2)
        assert isinstance(await saved(store, {"k": b"late"}), Fenced)
        assert heir.get("k") == b"one"

    play(body)


def test_large_states_go_in_chunks_and_many_changes_are_tidied_up(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        large = bytes(range(256)) * (CHUNK_BYTES // 100)
        await saved(store, {"large": large})
        for n in range(40):
            await saved(store, {f"k{n}": b"%d" % n})
        heir = await own(cluster, tree, 2)
        assert heir.get("large") == large
        assert heir.get("k39") == b"39"
        cells = await cluster.cells(names.saved(tree))
        keys = await cells.entries()
        assert not isinstance(keys, Unknown)
        assert len(keys) < 60

    play(body)


def test_a_trimmed_journal_begins_later_and_goes_on(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        for entry in (b"a", b"b", b"c", b"d"):
            await written(store, entry)
        store.trim(2)
        await asyncio.gather(*store._tasks)
        heir = await own(cluster, tree, 2)
        assert heir.first() == 3
        assert list(heir.read(2)) == [(3, b"c"), (4, b"d")]
        assert await written(heir, b"e") == [None]

    play(body)


class Lossy:
    """A journal whose first appends are carried out, and whose answers are lost."""

    def __init__(self, inner: Journal, losses: int) -> None:
        self.inner = inner
        self.losses = losses

    async def append(self, data: bytes, expect: int) -> int | Conflict | Unknown:
        done = await self.inner.append(data, expect)
        self.losses -= 1
        return Unknown("lost") if self.losses >= 0 else done

    async def tail(self) -> tuple[int, bytes | None] | Unknown:
        return await self.inner.tail()

    def read(self, after: int, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        return self.inner.read(after, upto)

    async def trim(self, before: int) -> None:
        await self.inner.trim(before)


def test_an_append_whose_answer_was_lost_is_there_once(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        store._journal = Lossy(store._journal, 2)
        assert await written(store, b"a", b"b") == [None, None]
        assert list((await own(cluster, tree, 2)).read(0)) == [(1, b"a"), (2, b"b")]

    play(body)


def test_a_journal_with_a_record_missing_is_refused(play: Any) -> None:
    async def body(cluster: NatsCluster, tree: str) -> None:
        store = await own(cluster, tree, 1)
        for entry in (b"a", b"b", b"c"):
            await written(store, entry)
        sequence = store._places[-2][0]
        stream = names.stream(tree)
        wire = cluster._wire
        body = b'{"seq": %d}' % sequence
        await wire.request(f"$JS.API.STREAM.MSG.DELETE.{stream}", body, 2.0)
        with pytest.raises(StorageDamaged, match="journal_corrupt"):
            await own(cluster, tree, 2)

    play(body)


def test_a_node_on_it_comes_back_and_a_fenced_one_acknowledges_nothing(play: Any) -> None:
    tree_spec = Supervisor("root", children=[Worker("kv1", kv_store, persist="journal")])

    async def body(cluster: NatsCluster, tree: str) -> None:
        node = Node(tree_spec, store=await own(cluster, tree, 1)).start()
        serving = asyncio.create_task(node.serve())
        await node.acall("kv1", Store("x", 1))
        heir_store = await own(cluster, tree, 2)
        assert isinstance(heir_store, Afar)  # messages about it name no command of `ssm data`
        with pytest.raises(CalleeStopped):
            await node.acall("kv1", Store("x", 2))
        await serving
        assert not node.running
        heir = Node(tree_spec, store=heir_store).start()
        serving = asyncio.create_task(heir.serve())
        assert await heir.acall("kv1", Lookup("x")) == Result(1)
        heir.stop()
        await serving

    play(body)

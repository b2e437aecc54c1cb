"""Sizes: what is larger than a message of the servers goes in parts, or is refused beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest

from ssm_cli import DecodeError, FakeLinks, ManualClock, Node, Remote, Supervisor
from ssm_cli.cluster.jetstream import cluster as jetstream
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.parcels import MAX_BODY_BYTES, PART, Joining, parcels_of
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.store import ClusterStore, open_store
from ssm_cli.cluster.ports import Answer, CallLost, Cluster, ClusterError
from ssm_cli.cluster.protocol import writer
from ssm_cli.cluster.protocol.messages import Start
from ssm_cli.cluster.protocol.records import MAX_RECORD_BYTES, Record, joined
from ssm_cli.errors import StorageError
from ssm_cli.runtime.remote.ports import MAX_INPUT_BYTES, Outcome
from tests.cluster.conftest import Play
from tests.cluster.servers import Servers

LARGE = 3 * MAX_RECORD_BYTES + 7


# -- calls -----------------------------------------------------------------------------------------


def test_a_call_and_its_answer_may_each_be_larger_than_a_message(play: Play) -> None:
    async def body(one: Cluster, two: Cluster) -> None:
        def on_message(_: str, data: bytes, answer: Answer | None) -> None:
            assert answer is not None
            answer(data[::-1])

        subject, asked = f"ssm.{uuid4().hex}.call.w", b"a" * LARGE + b"z"
        await two.calls.serve(subject, on_message)
        for _ in range(2):
            assert await one.calls.call(subject, asked, 5.0) == asked[::-1]

    play(body)


def test_what_is_larger_than_crosses_is_refused_and_not_sent(one_server: Servers) -> None:
    async def body(cluster: NatsCluster) -> None:
        heard: list[bytes] = []
        await cluster.calls.serve("ssm.sizes.x", lambda _, data, __: heard.append(data))
        lost = await cluster.calls.call("ssm.sizes.x", b"x" * (MAX_BODY_BYTES + 1), 5.0)
        assert isinstance(lost, CallLost)
        assert lost.why == "undecodable"
        assert f"{MAX_BODY_BYTES:,}" in lost.detail
        assert heard == []

    connected(one_server, body)


def connected(servers: Servers, body: Callable[[NatsCluster], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        cluster = await open_cluster(Access(servers.url), "test")
        try:
            await body(cluster)
        finally:
            await cluster.close()

    asyncio.run(main())


def test_servers_that_take_small_messages_alone_are_refused_by_name(
    one_server: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "LEAST_PAYLOAD_BYTES", 2 * 1024 * 1024)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1.*1,048,576 bytes.*max_payload"):
        asyncio.run(open_cluster(Access(one_server.url), "test"))


@pytest.mark.parametrize("method", ["call", "cast", "cast_nowait"])
def test_an_input_that_cannot_cross_is_a_decode_error_and_nobody_is_asked(method: str) -> None:
    asked: list[bytes] = []

    def worker(data: bytes) -> Outcome:
        asked.append(data)
        return Outcome("replied", b"Ok")

    clock = ManualClock()
    links = FakeLinks(clock, {"billing.invoice": worker})
    with Node(Supervisor("shop", children=[Remote("billing", "b.yaml")]), links=links) as node:
        getattr(node, method)("billing.invoice", b"x" * MAX_INPUT_BYTES)
        with pytest.raises(DecodeError, match="12,000,001 bytes"):
            getattr(node, method)("billing.invoice", b"x" * (MAX_INPUT_BYTES + 1))
    assert [len(data) for data in asked] == [MAX_INPUT_BYTES]


# -- parts -----------------------------------------------------------------------------------------


def test_parts_of_many_bodies_at_once_are_joined_each_to_its_own() -> None:
    joining, whole = Joining(), []
    one, two = (list(parcels_of(name, name.encode() * 5, 2)) for name in ("a", "b"))
    for headers, data in [part for pair in zip(one, two, strict=True) for part in pair]:
        assert headers is not None
        whole.append(joining.add(headers[PART], data))
    assert whole == [None] * 4 + [b"aaaaa", b"bbbbb"]


@pytest.mark.parametrize(
    "parts", [["a 2 2"], ["a 1 3", "a 3 3"], ["a 1 3", "a 1 3", "a 3 3"], ["a", ""], ["a x 2"]]
)
def test_parts_without_those_before_them_are_no_body(parts: list[str]) -> None:
    joining = Joining()
    assert [joining.add(part, b"x") for part in parts] == [None] * len(parts)


def test_bodies_that_are_never_whole_are_forgotten_oldest_first() -> None:
    joining = Joining(most_bytes=10)
    assert joining.add("a 1 2", b"123456") is None
    assert joining.add("b 1 2", b"123456") is None
    assert joining.add("a 2 2", b"x") is None
    assert joining.add("b 2 2", b"x") == b"123456x"


# -- the journal -----------------------------------------------------------------------------------


async def own(cluster: NatsCluster, tree: str, epoch: int) -> ClusterStore:
    return await open_store(cluster, Start(tree, "s1", "", epoch, 0, 2.0), f"owner{epoch}")


def test_an_entry_of_any_size_is_there_for_the_next_owner(one_server: Servers) -> None:
    async def body(cluster: NatsCluster) -> None:
        tree, told = uuid4().hex, list[StorageError | None]()
        entries = [b"a", b"b" * LARGE, b"c", b"d" * MAX_RECORD_BYTES, b"e" * LARGE, b"f"]
        store = await own(cluster, tree, 1)
        for number, entry in enumerate(entries, 1):
            store.append(number, entry, told.append)
        await store.settled()
        assert told == [None] * 6
        assert store.fenced == ""
        heir = await own(cluster, tree, 2)
        assert list(heir.read(0)) == list(enumerate(entries, 1))
        heir.trim(2)
        await asyncio.gather(*heir._tasks)  # the trim
        assert list((await own(cluster, tree, 3)).read(2)) == list(enumerate(entries[2:], 3))

    connected(one_server, body)


def test_an_entry_whose_owner_ended_in_its_midst_is_void_and_its_number_free() -> None:
    state, commands = writer.step_writer(writer.Writer(1, "a"), writer.Begin())
    state, commands = writer.step_writer(state, writer.TailIs(0, None))
    state, _ = writer.step_writer(state, writer.Acked(1))
    state, commands = writer.step_writer(state, writer.Write(1, b"x" * LARGE))
    (sent,) = commands
    assert isinstance(sent, writer.Append)
    assert (sent.record.part, sent.record.first, sent.record.next) == (1, 1, 1)
    state, commands = writer.step_writer(state, writer.Write(2, b"y"))
    assert commands == ()
    heir, commands = writer.step_writer(writer.Writer(2, "b"), writer.Begin())
    heir, commands = writer.step_writer(heir, writer.TailIs(2, sent.record))
    heir, _ = writer.step_writer(heir, writer.Acked(3))
    assert heir.next == 1
    chain = [sent.record, Record("e", 2, 2, 1), Record("f", 2, 3, 1, (b"z",))]
    assert list(joined(chain)) == [(1, b"z")]


def test_an_entry_in_parts_is_told_as_written_once_and_last() -> None:
    state, _ = writer.step_writer(writer.Writer(1, "a"), writer.Begin())
    state, _ = writer.step_writer(state, writer.TailIs(0, None))
    state, _ = writer.step_writer(state, writer.Acked(1))
    state, _ = writer.step_writer(state, writer.Write(1, b"x" * LARGE))
    upto = []
    for sequence in range(2, 6):
        state, commands = writer.step_writer(state, writer.Acked(sequence))
        upto += [one.upto for one in commands if isinstance(one, writer.Written)]
    assert upto == [0, 0, 0, 1]

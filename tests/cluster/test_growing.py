"""From one server to three: what one alone has kept is carried over by a backup."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.protocol import names
from tests.cluster.servers import Servers

nats = pytest.importorskip("nats", reason="the extra `cluster` is not installed")

TREE, SUBTREE = "shop", "billing"
KEPT = [names.stream(TREE), f"KV_{names.leases(TREE)}"]
ASK_S, AGAIN_S = 60.0, 2.0
UNAVAILABLE = 503


async def kept(cluster: NatsCluster, replicas: int) -> tuple[Any, Any]:
    """The last record of the journal, and the lease."""
    journal = await cluster.journal(TREE, SUBTREE, replicas)
    cells = await cluster.cells(names.leases(TREE), replicas)
    return await journal.tail(), await cells.get(SUBTREE)


async def asked(connection: Any, subject: str, body: Any) -> dict[str, Any]:
    """What JetStream answers; asked again while it chooses a leader, as nobody answers then."""
    while True:
        try:
            reply = await connection.request(subject, msgspec.json.encode(body), timeout=AGAIN_S)
        except nats.errors.Error:
            continue
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        if answer.get("error", {}).get("code") != UNAVAILABLE:
            return answer


async def backup(url: str, stream: str) -> tuple[dict[str, Any], list[bytes]]:
    """What `nats stream backup` writes."""
    connection = await nats.connect(url.split(","))
    inbox = connection.new_inbox()
    parts = await connection.subscribe(inbox)
    order = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": 65536}
    head = await asked(connection, f"$JS.API.STREAM.SNAPSHOT.{stream}", order)
    found: list[bytes] = []
    while (part := await parts.next_msg(timeout=ASK_S)).data:
        found.append(part.data)
        if part.reply:
            await part.respond(b"")
    await connection.close()
    return {"config": head["config"], "state": head["state"]}, found


async def restore(url: str, head: dict[str, Any], parts: list[bytes]) -> None:
    """What `nats stream restore` does."""
    connection = await nats.connect(url.split(","))
    stream = head["config"]["name"]
    begun = await asked(connection, f"$JS.API.STREAM.RESTORE.{stream}", head)
    for part in [*parts, b""]:
        reply = await connection.request(begun["deliver_subject"], part, timeout=ASK_S)
    assert "error" not in msgspec.json.decode(reply.data), reply.data
    await connection.close()


async def info(url: str, stream: str) -> dict[str, Any]:
    """What `nats stream info` shows."""
    connection = await nats.connect(url.split(","))
    found = await asked(connection, f"$JS.API.STREAM.INFO.{stream}", {})
    await connection.close()
    return found


def test_what_one_server_has_kept_goes_to_three_by_a_backup_with_its_numbers(
    tmp_path: Path,
) -> None:
    async def alone(url: str) -> tuple[Any, Any]:
        cluster = await open_cluster(Access(url), "one")
        journal = await cluster.journal(TREE, SUBTREE, 1)
        last = await journal.append(b"a", 0)
        assert isinstance(last, int)
        assert isinstance(await journal.append(b"b", last), int)
        cells = await cluster.cells(names.leases(TREE), 1)
        assert isinstance(await cells.cas(SUBTREE, b"lease", 0), int)
        found = await kept(cluster, 1)
        await cluster.close()
        return found

    async def with_three(url: str, saved: list[tuple[dict[str, Any], list[bytes]]]) -> Any:
        for head, parts in saved:
            await restore(url, head, parts)
        cluster = await open_cluster(Access(url), "three")
        found = await kept(cluster, 3)
        replicas = [(await info(url, stream))["config"]["num_replicas"] for stream in KEPT]
        await cluster.close()
        return found, replicas

    one = Servers(tmp_path).start_all()
    try:
        before = asyncio.run(alone(one.url))
        saved = [asyncio.run(backup(one.url, stream)) for stream in KEPT]
    finally:
        one.stop()
    (tmp_path / "new").mkdir()
    three = Servers(tmp_path / "new", 3).start_all()
    try:
        after, replicas = asyncio.run(with_three(three.url, saved))
    finally:
        three.stop()
    assert after == before
    assert replicas == [3, 3]

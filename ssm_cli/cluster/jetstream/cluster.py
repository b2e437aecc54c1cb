"""The ports of a cluster on NATS JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ssm_cli.cluster.jetstream import requests
from ssm_cli.cluster.jetstream.wire import Access, Message, Subscription, Wire, connect
from ssm_cli.cluster.ports import CallLost, ClusterError, Conflict, OnMessage, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.errors import StorageError

OLDEST = (2, 12)  # older servers judge compared appends otherwise, or lack batched reads
DEDUPE_NS = 2_000_000_000


class NatsJournal:
    """The chain of one subtree: one subject of the tree's stream."""

    def __init__(self, wire: Wire, stream: str, subject: str) -> None:
        self._wire = wire
        self._stream = stream
        self._subject = subject

    async def append(self, data: bytes, expect: int) -> int | Conflict | Unknown:
        """Append behind the sequence `expect`."""
        return await requests.append(self._wire, self._subject, data, expect)

    async def tail(self) -> tuple[int, bytes | None] | Unknown:
        """The last sequence and its bytes."""
        found = await requests.last(self._wire, self._stream, self._subject)
        if isinstance(found, requests.Stored):
            return found.sequence, found.data
        return (0, None) if found is None else found

    async def read(self, after: int, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """The records in between.

        Raises:
            StorageError: they cannot be read to the end.
        """
        found = requests.following(self._wire, self._stream, self._subject, after, upto)
        async for stored in found:
            if isinstance(stored, Unknown):
                raise StorageError(f"the journal cannot be read: {stored.detail}")
            yield stored.sequence, stored.data or b""

    async def trim(self, before: int) -> None:
        """Forget what is older."""
        await requests.purge(self._wire, self._stream, self._subject, before)


class NatsCells:
    """Cells: the subjects of a stream that keeps the last message of each, as a KV bucket does."""

    def __init__(self, wire: Wire, bucket: str) -> None:
        self._wire = wire
        self._stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."

    def _subject(self, key: str) -> str:
        return self._prefix + names.word(key)

    async def get(self, key: str) -> tuple[int, bytes | None] | Unknown:
        """Revision and value."""
        found = await requests.last(self._wire, self._stream, self._subject(key))
        if isinstance(found, requests.Stored):
            return found.sequence, found.data
        return (0, None) if found is None else found

    async def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict | Unknown:
        """Change it, if the revision is this one."""
        headers = {"KV-Operation": "DEL"} if value is None else None
        subject = self._subject(key)
        return await requests.append(self._wire, subject, value or b"", revision, headers)

    async def keys(self, prefix: str = "") -> list[str] | Unknown:
        """The keys that begin so."""
        found: list[str] = []
        async for stored in requests.lasts(self._wire, self._stream, f"{self._prefix}>"):
            if isinstance(stored, Unknown):
                return stored
            key = names.unword(stored.subject.removeprefix(self._prefix))
            if stored.data is not None and key.startswith(prefix):
                found.append(key)
        return sorted(found)

    async def drop(self, key: str) -> None:
        """Forget a cell altogether."""
        await requests.purge(self._wire, self._stream, self._subject(key))


class NatsCalls:
    """Requests by subject; plain subscriptions, so that a zombie takes no calls from its heir."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def serve(self, subject: str, on_message: OnMessage) -> Subscription:
        """Have `on_message` called for each message."""
        return await self._wire.subscribe(subject, on_message)

    async def call(self, subject: str, body: bytes, timeout_s: float) -> bytes | CallLost:
        """Ask, and wait for the one answer."""
        reply = await self._wire.request(subject, body, timeout_s)
        return reply.data if isinstance(reply, Message) else reply

    async def send(self, subject: str, body: bytes) -> None:
        """Send, and go on."""
        await self._wire.publish(subject, body)


class LoopTime:
    """The clock of the running event loop."""

    def now_s(self) -> float:
        """A monotonic clock."""
        return asyncio.get_running_loop().time()

    async def sleep_s(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class NatsCluster:
    """A connection to NATS with JetStream."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._made: set[str] = set()
        self.calls = NatsCalls(wire)
        self.time = LoopTime()

    @property
    def size(self) -> int:
        """How many servers there are, as the one that we talk to says."""
        return self._wire.servers

    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._wire.connected

    @property
    def urls(self) -> str:
        """All servers that we know of."""
        return self._wire.urls

    @property
    def version(self) -> str:
        """That of the server."""
        return self._wire.version

    async def journal(self, tree: str, subtree: str, replicas: int = 1) -> NatsJournal:
        """The journal of a subtree; its tree's stream is made at first use."""
        stream = names.stream(tree)
        await self._make({
            "name": stream, "subjects": [names.journals(tree)], "num_replicas": replicas,
        })  # fmt: skip
        return NatsJournal(self._wire, stream, names.journal(tree, subtree))

    async def cells(self, bucket: str, replicas: int = 1) -> NatsCells:
        """A set of cells; made at first use."""
        await self._make({
            "name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "num_replicas": replicas,
            "max_msgs_per_subject": 1, "allow_rollup_hdrs": True,
        })  # fmt: skip
        return NatsCells(self._wire, bucket)

    async def _make(self, config: dict[str, Any]) -> None:
        if config["name"] not in self._made:
            common = {
                "retention": "limits", "storage": "file", "discard": "new", "allow_direct": True,
                "duplicate_window": DEDUPE_NS,
            }  # fmt: skip
            await requests.make(self._wire, {**common, **config})
            self._made.add(config["name"])

    async def close(self) -> None:
        """Let go of it."""
        await self._wire.close()


async def open_cluster(access: Access, name: str) -> NatsCluster:
    """Connect to a cluster whose servers are new enough.

    Raises:
        ClusterError: it is not there, or too old.
    """
    wire = await connect(access, name)
    known = version_of(wire.version)
    if known < OLDEST:
        await wire.close()
        wanted = ".".join(map(str, OLDEST))
        raise ClusterError(f"{access.url} runs nats-server {wire.version}; {wanted} is needed")
    return NatsCluster(wire)


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version.

    >>> version_of("nats-server: v2.15.1-RC.2")
    (2, 15)
    """
    numbers = text.rpartition("v")[2].split(".")[:2]
    return tuple(int("".join(filter(str.isdigit, number)) or 0) for number in numbers)

"""The ports of a cluster on NATS JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ssm_cli.cluster.jetstream import requests
from ssm_cli.cluster.jetstream.inbox import Message, too_large
from ssm_cli.cluster.jetstream.wire import Access, Subscription, Wire, connect
from ssm_cli.cluster.ports import CallLost, ClusterError, Conflict, OnMessage, Unknown, unclear
from ssm_cli.cluster.protocol import names
from ssm_cli.errors import StorageError

OLDEST = (2, 12)  # older servers judge compared appends otherwise, or lack batched reads
LEAST_PAYLOAD_BYTES = 1024 * 1024  # of the servers; a record of a journal is a little smaller
DEDUPE_NS = 2_000_000_000


class NatsStream:
    """A stream that is made at first use, and again where it has vanished.

    What it held is gone then; whoever knows better says so, by the witness in the lease.

    Attributes:
        replicas: how many servers keep it; 0 until it is made.
    """

    def __init__(self, wire: Wire, config: dict[str, Any]) -> None:
        self._wire = wire
        self._config = {
            "retention": "limits", "storage": "file", "discard": "new", "allow_direct": True,
            "duplicate_window": DEDUPE_NS, **config,
        }  # fmt: skip
        self.name = str(config["name"])
        self.replicas = 0

    async def make(self) -> None:
        """Make it, unless we have.

        Raises:
            ClusterError: there is no JetStream, or it does not take the stream.
        """
        if not self.replicas:
            self.replicas = await requests.make(self._wire, self._config)

    async def again(self) -> Unknown | None:
        """Make it again, tried once; why that failed, if it did."""
        try:
            config = self._config | {"num_replicas": max(1, self._config["num_replicas"])}
            self.replicas = await requests.make(self._wire, config, 1)
        except ClusterError as error:
            return unclear(error)
        return None

    async def last(self, subject: str) -> tuple[int, bytes | None] | Unknown:
        """The last sequence of a subject and its bytes."""
        found = await requests.last(self._wire, self.name, subject)
        match found:
            case requests.Stored(sequence, _, data):
                return sequence, data
            case requests.Gone():
                return await self.again() or (0, None)
            case Unknown():
                return found
            case None:
                return 0, None


class NatsJournal:
    """The chain of one subtree: one subject of the tree's stream."""

    def __init__(self, wire: Wire, stream: NatsStream, subject: str) -> None:
        self._wire = wire
        self._stream = stream
        self._subject = subject

    async def append(self, data: bytes, expect: int) -> int | Conflict | Unknown:
        """Append behind the sequence `expect`."""
        return await requests.append(self._wire, self._subject, data, expect)

    async def tail(self) -> tuple[int, bytes | None] | Unknown:
        """The last sequence and its bytes."""
        return await self._stream.last(self._subject)

    async def read(self, after: int, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """The records in between.

        Raises:
            StorageError: they cannot be read to the end.
        """
        found = requests.following(self._wire, self._stream.name, self._subject, after, upto)
        async for stored in found:
            if not isinstance(stored, requests.Stored):
                raise StorageError(f"the journal cannot be read: {stored.detail}")
            yield stored.sequence, stored.data or b""

    async def trim(self, before: int) -> None:
        """Forget what is older."""
        await requests.purge(self._wire, self._stream.name, self._subject, before)


class NatsCells:
    """Cells: the subjects of a stream that keeps the last message of each, as a KV bucket does."""

    def __init__(self, wire: Wire, stream: NatsStream, bucket: str) -> None:
        self._wire = wire
        self._stream = stream
        self._prefix = f"$KV.{bucket}."

    def _subject(self, key: str) -> str:
        return self._prefix + names.word(key)

    async def get(self, key: str) -> tuple[int, bytes | None] | Unknown:
        """Revision and value."""
        return await self._stream.last(self._subject(key))

    async def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict | Unknown:
        """Change it, if the revision is this one."""
        headers = {"KV-Operation": "DEL"} if value is None else None
        subject = self._subject(key)
        return await requests.append(self._wire, subject, value or b"", revision, headers)

    async def entries(self, prefix: str = "") -> dict[str, bytes] | Unknown:
        """The cells whose keys begin so."""
        found: dict[str, bytes] = {}
        async for stored in requests.following(self._wire, self._stream.name, f"{self._prefix}>"):
            if isinstance(stored, requests.Gone):
                return await self._stream.again() or {}
            if isinstance(stored, Unknown):
                return stored
            key = names.unword(stored.subject.removeprefix(self._prefix))
            if stored.data is None:
                found.pop(key, None)
            elif key.startswith(prefix):
                found[key] = stored.data
        return dict(sorted(found.items()))

    async def drop(self, key: str) -> None:
        """Forget a cell altogether."""
        await requests.purge(self._wire, self._stream.name, self._subject(key))


class NatsCalls:
    """Requests by subject; plain subscriptions, so that a zombie takes no calls from its heir."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def serve(self, subject: str, on_message: OnMessage) -> Subscription:
        """Have `on_message` called for each message."""
        return await self._wire.subscribe(subject, on_message)

    async def call(self, subject: str, body: bytes, timeout_s: float) -> bytes | CallLost:
        """Ask, and wait for the one answer."""
        reply = too_large(body) or await self._wire.request(subject, body, timeout_s)
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
        self._streams: dict[str, NatsStream] = {}
        self.calls = NatsCalls(wire)
        self.time = LoopTime()

    @property
    def size(self) -> int:
        """How many servers there are, as the one that we talk to says, or a stream shows."""
        return max(self._wire.servers, *(stream.replicas for stream in self._streams.values()), 1)

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
        stream = await self._stream({
            "name": names.stream(tree), "subjects": [names.journals(tree)],
            "num_replicas": replicas,
        })  # fmt: skip
        return NatsJournal(self._wire, stream, names.journal(tree, subtree))

    async def cells(self, bucket: str, replicas: int = 1) -> NatsCells:
        """A set of cells; made at first use. With 0 replicas they are taken as they are."""
        stream = await self._stream({
            "name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "num_replicas": replicas,
            "max_msgs_per_subject": 1, "allow_rollup_hdrs": True,
        })  # fmt: skip
        return NatsCells(self._wire, stream, bucket)

    async def _stream(self, config: dict[str, Any]) -> NatsStream:
        known = self._streams.setdefault(config["name"], NatsStream(self._wire, config))
        await known.make()
        return known

    async def close(self) -> None:
        """Let go of it."""
        await self._wire.close()


async def open_cluster(access: Access, name: str) -> NatsCluster:
    """Connect to a cluster whose servers are new enough.

    Raises:
        ClusterError: it is not there, too old, or takes small messages alone.
    """
    wire = await connect(access, name)
    known = version_of(wire.version)
    if known < OLDEST:
        await wire.close()
        wanted = ".".join(map(str, OLDEST))
        raise ClusterError(f"{access.url} runs nats-server {wire.version}; {wanted} is needed")
    if wire.most_bytes < LEAST_PAYLOAD_BYTES:
        await wire.close()
        raise ClusterError(
            f"{access.url} takes messages of at most {wire.most_bytes:,} bytes; "
            f"{LEAST_PAYLOAD_BYTES:,} are needed: set `max_payload` in its configuration"
        )
    return NatsCluster(wire)


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a version.

    >>> version_of("nats-server: v2.15.1-RC.2")
    (2, 15)
    """
    numbers = text.rpartition("v")[2].split(".")[:2]
    return tuple(int("".join(filter(str.isdigit, number)) or 0) for number in numbers)

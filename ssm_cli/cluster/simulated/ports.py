"""The ports of a cluster on the simulated servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from ssm_cli.cluster.ports import Answer, CallLost, Conflict, OnMessage, Unknown
from ssm_cli.cluster.simulated.network import Network, Process, Promise
from ssm_cli.cluster.simulated.servers import Servers
from ssm_cli.errors import StorageError

ANSWER_S = 1.0  # how long an answer of the servers is waited for


class SimJournal:
    """A journal on the simulated servers."""

    def __init__(self, cluster: SimCluster, subject: str) -> None:
        self._cluster = cluster
        self._subject = subject

    async def append(self, data: bytes, expect: int) -> int | Conflict | Unknown:
        """Append behind the sequence `expect`."""
        servers = self._cluster.servers
        answer: int | Conflict | Unknown = await self._cluster.ask(
            lambda: servers.append(self._subject, data, expect)
        )
        return answer

    async def tail(self) -> tuple[int, bytes | None] | Unknown:
        """The last sequence and its bytes."""
        servers = self._cluster.servers
        answer: tuple[int, bytes | None] | Unknown = await self._cluster.ask(
            lambda: servers.tail(self._subject)
        )
        return answer

    async def read(self, after: int, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """The records in between."""
        servers = self._cluster.servers
        found = await self._cluster.ask(lambda: servers.read(self._subject, after, upto))
        if isinstance(found, Unknown):
            raise StorageError("the journal cannot be read: no answer came")
        for sequence, data in found:
            yield sequence, data

    async def trim(self, before: int) -> None:
        """Forget what is older."""
        servers = self._cluster.servers
        await self._cluster.ask(lambda: servers.trim(self._subject, before))


class SimCells:
    """Cells on the simulated servers."""

    def __init__(self, cluster: SimCluster, bucket: str) -> None:
        self._cluster = cluster
        self._bucket = bucket

    async def get(self, key: str) -> tuple[int, bytes | None] | Unknown:
        """Revision and value."""
        servers = self._cluster.servers
        answer: tuple[int, bytes | None] | Unknown = await self._cluster.ask(
            lambda: servers.get(f"{self._bucket}/{key}")
        )
        return answer

    async def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict | Unknown:
        """Change it, if the revision is this one."""
        servers = self._cluster.servers
        answer: int | Conflict | Unknown = await self._cluster.ask(
            lambda: servers.cas(f"{self._bucket}/{key}", value, revision)
        )
        return answer

    async def keys(self, prefix: str = "") -> list[str] | Unknown:
        """The keys that begin so."""
        servers = self._cluster.servers
        found = await self._cluster.ask(lambda: servers.keys(f"{self._bucket}/{prefix}"))
        if isinstance(found, Unknown):
            return found
        return [key.partition("/")[2] for key in found]

    async def drop(self, key: str) -> None:
        """Forget a cell."""
        servers = self._cluster.servers
        await self._cluster.ask(lambda: servers.drop(f"{self._bucket}/{key}"))


class SimHandle:
    """A subject that is served."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    async def close(self) -> None:
        """Serve it no more."""
        self._close()


class SimCalls:
    """Requests between simulated processes; they go through the servers."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster

    async def serve(self, subject: str, on_message: OnMessage) -> SimHandle:
        """Have `on_message` called for each message."""
        served = self._cluster.switchboard
        entry = (self._cluster.process, self._cluster.process.life, on_message)
        served[subject] = entry

        def close() -> None:
            if served.get(subject) == entry:
                del served[subject]

        return SimHandle(close)

    async def call(self, subject: str, body: bytes, timeout_s: float) -> bytes | CallLost:
        """Ask, and wait for the one answer."""
        promise = Promise()
        cluster = self._cluster
        network, process = cluster.network, cluster.process
        over = CallLost("timeout", f"{subject} did not answer within {timeout_s:g} s")
        network.after(process, timeout_s, promise.keep, over)

        def back(answer: Any) -> None:
            network.carry(process, promise.keep, answer, out=False)

        network.carry(process, lambda: cluster.route(subject, body, back), out=True)
        answer: bytes | CallLost = await promise
        return answer

    async def send(self, subject: str, body: bytes) -> None:
        """Send, and go on."""
        cluster = self._cluster
        away = partial(cluster.route, subject, body, None)
        cluster.network.carry(cluster.process, away, out=True)


class SimTime:
    """The clock of a simulated process."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._process = process

    def now_s(self) -> float:
        """What its clock shows."""
        return self._network.now_s(self._process)

    async def sleep_s(self, seconds: float) -> None:
        """Wait, by its clock."""
        promise = Promise()
        self._network.after(self._process, seconds, promise.keep, None)
        await promise


Switchboard = dict[str, tuple[Process, int, OnMessage]]


class SimCluster:
    """A connection of a simulated process. Those of one cluster share servers and switchboard."""

    def __init__(
        self, network: Network, process: Process, servers: Servers, switchboard: Switchboard
    ) -> None:
        self.network = network
        self.process = process
        self.servers = servers
        self.switchboard = switchboard
        self.calls = SimCalls(self)
        self.time = SimTime(network, process)

    @property
    def size(self) -> int:
        """They act as one."""
        return 1

    @property
    def urls(self) -> str:
        """They have no addresses."""
        return ""

    def connected(self) -> bool:
        """Whether messages pass both ways."""
        return not (self.process.mute or self.process.deaf)

    async def journal(self, tree: str, subtree: str, replicas: int = 1) -> SimJournal:
        """The journal of a subtree."""
        del replicas
        return SimJournal(self, f"{tree}/{subtree}")

    async def cells(self, bucket: str, replicas: int = 1) -> SimCells:
        """A set of cells."""
        del replicas
        return SimCells(self, bucket)

    async def close(self) -> None:
        """Let go of it: what it served is served no more."""
        mine = [s for s, entry in self.switchboard.items() if entry[0] is self.process]
        for subject in mine:
            del self.switchboard[subject]

    async def ask(self, question: Callable[[], Any]) -> Any:
        """What the servers answer, or `Unknown`."""
        promise = Promise()
        self.network.ask(self.process, question, promise.keep, ANSWER_S)
        return await promise

    def route(self, subject: str, body: bytes, back: Callable[[Any], None] | None) -> None:
        """At the servers: hand a message to who serves its subject."""
        pattern = f"{subject.rpartition('.')[0]}.*"
        entry = self.switchboard.get(subject) or self.switchboard.get(pattern)
        if entry is None or entry[0].life != entry[1] or not entry[0].alive:
            if back is not None:
                back(CallLost("noproc", f"nobody serves {subject}"))
            return
        process, _, on_message = entry
        answer: Answer | None = None
        if back is not None:
            known = back

            def answer(data: bytes) -> None:
                self.network.carry(process, known, data, out=True)

        self.network.carry(process, on_message, subject, body, answer, out=False)

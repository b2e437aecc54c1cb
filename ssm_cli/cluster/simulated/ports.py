"""The ports of a cluster on the simulated servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from ssm_cli.cluster.ports import CallLost, Conflict, OnMessage, Unknown
from ssm_cli.cluster.simulated.network import Network, Process
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

    async def entries(self, prefix: str = "") -> dict[str, bytes] | Unknown:
        """The cells whose keys begin so."""
        servers, bucket = self._cluster.servers, f"{self._bucket}/"
        found: dict[str, bytes] | Unknown = await self._cluster.ask(
            lambda: servers.entries(bucket + prefix)
        )
        if isinstance(found, Unknown):
            return found
        return {key.removeprefix(bucket): data for key, data in found.items()}

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
        cluster = self._cluster
        served = cluster.switchboard.setdefault(subject, [])
        entry = (cluster.process, cluster.life, on_message)
        served.append(entry)

        def close() -> None:
            if entry in served:
                served.remove(entry)

        return SimHandle(close)

    async def call(self, subject: str, body: bytes, timeout_s: float) -> bytes | CallLost:
        """Ask, and wait for the one answer."""
        cluster = self._cluster
        network, process = cluster.network, cluster.process
        heard: asyncio.Future[bytes | CallLost] = network.loop.create_future()

        def once(answer: bytes | CallLost) -> None:
            if not heard.done():
                heard.set_result(answer)

        def back(answer: Any) -> None:
            network.carry(process, once, answer, out=False)

        over = CallLost("timeout", f"{subject} did not answer within {timeout_s:g} s")
        network.after(process, timeout_s, once, over)
        cluster.out(lambda: cluster.route(subject, body, back))
        return await heard

    async def send(self, subject: str, body: bytes) -> None:
        """Send, and go on."""
        cluster = self._cluster
        cluster.out(partial(cluster.route, subject, body, None))


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
        over: asyncio.Future[None] = self._network.loop.create_future()

        def wake() -> None:
            if not over.done():
                over.set_result(None)

        self._network.after(self._process, seconds, wake)
        await over


Switchboard = dict[str, list[tuple[Process, int, OnMessage]]]


class SimCluster:
    """A connection of a simulated process. Those of one cluster share servers and switchboard."""

    def __init__(
        self, network: Network, process: Process, servers: Servers, switchboard: Switchboard
    ) -> None:
        self.network = network
        self.process = process
        self.life = process.life
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
        return self.process.line.whole

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
        for served in self.switchboard.values():
            served[:] = [entry for entry in served if entry[0] is not self.process]

    def out(self, function: Callable[[], None]) -> None:
        """Send something to the servers, unless the process is gone."""
        if self.process.life == self.life:
            self.network.carry(self.process, function, out=True)

    async def ask(self, question: Callable[[], Any]) -> Any:
        """What the servers answer, or `Unknown`."""
        return await self.network.ask(self.process, question, ANSWER_S)

    def route(self, subject: str, body: bytes, back: Callable[[Any], None] | None) -> None:
        """At the servers: hand a message to all who serve its subject; plain subscriptions."""
        pattern = f"{subject.rpartition('.')[0]}.*"
        served = [*self.switchboard.get(subject, ()), *self.switchboard.get(pattern, ())]
        if self.servers.away:
            return
        live = [entry for entry in served if self._is_there(entry[0], entry[1])]
        if not live and back is not None:
            back(CallLost("noproc", f"nobody serves {subject}"))
        for process, _, on_message in live:
            answer = None if back is None else partial(self._answer, process, back)
            self.network.carry(process, on_message, subject, body, answer, out=False)

    def _is_there(self, process: Process, life: int) -> bool:
        here = process.alive and process.life == life
        return here and not process.line.is_let_go(self.network.true_s)

    def _answer(self, process: Process, back: Callable[[Any], None], data: bytes) -> None:
        if process.alive:
            self.network.carry(process, back, data, out=True)

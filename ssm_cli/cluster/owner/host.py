"""The process of one subtree: epoch, replay, serve; until it ends, is stopped, or is fenced.

Run by a node's agent as `python -m ssm_cli.cluster.owner.host FD`, where FD is a socket to the
agent: it reads the job as one line, and writes its state changes, one line each. It ends with the
agent.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.embedded import die_with_parent
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.code import Undefined, tree_of
from ssm_cli.cluster.owner.holding import Holding
from ssm_cli.cluster.owner.serving import Serving
from ssm_cli.cluster.owner.store import ClusterStore, open_store
from ssm_cli.cluster.ports import ClusterError, Handle
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Exited, Lease, Start
from ssm_cli.errors import Fenced, SsmError, StartFailed, StorageDamaged, StorageError
from ssm_cli.runtime.node import Node

LINE_BYTES = 1024 * 1024  # of a job
DRAIN_S = 2.0
REASONS: dict[type[SsmError], str] = {
    Undefined: "undef",
    ClusterError: "noconnection",
    Fenced: "fenced",
    StorageDamaged: "journal_corrupt",
    StorageError: "storage",
    StartFailed: "start_failed",
}
"""Why a subtree could not be hosted, or not any longer; the first that fits."""
ORPHAN = 3.0  # leases without a word of the parent, and a subtree with `orphan: stop` ends


class Job(msgspec.Struct, frozen=True):
    """The subtree that an agent wants hosted, and its environment."""

    start: Start
    access: Access
    node: str
    folder: str


class Told(msgspec.Struct, frozen=True):
    """A message to the agent: `started`, or `ended` with a reason."""

    event: str
    reason: str = ""
    detail: str = ""


class Host:
    """Hosts one subtree, from its start to its end."""

    def __init__(self, job: Job, agent: asyncio.StreamWriter) -> None:
        self._job = job
        self._agent = agent
        self._ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._handles: list[Handle] = []
        self._holding: Holding | None = None
        self._serving: Serving | None = None
        self._store: ClusterStore | None = None

    def stop(self, reason: str) -> None:
        """Request the end for a reason; the first reason counts."""
        if reason.startswith("fenced") and self._serving is not None:
            self._serving.silent = True
        if not self._ending.done():
            self._ending.set_result(reason)

    def tell(self, told: Told) -> None:
        """Send a message to the agent."""
        self._agent.write(msgspec.json.encode(told) + b"\n")

    async def run(self) -> Told:
        """Host the subtree; return how it ended."""
        job = self._job
        try:
            cluster = await open_cluster(job.access, f"{job.start.subtree}@{job.node}")
            try:
                return await self._own(cluster)
            except (StartFailed, Undefined):
                await self._leave()
                raise
            finally:
                await cluster.close()
        except SsmError as error:
            return Told("ended", _word_for(error), str(error))

    async def _own(self, cluster: NatsCluster) -> Told:
        """Take the lease; only then load code, rebuild the state and serve."""
        start, loop = self._job.start, asyncio.get_running_loop()
        self._holding = holding = Holding(
            await cluster.cells(names.leases(start.tree), start.replicas),
            cluster.time,
            key=start.subtree,
            value=Lease(self._job.node, start.epoch, start.ttl_s, spec=start.spec),
            revision=start.revision,
            stop=self.stop,
        )
        if not await holding.begin():
            raise Fenced("the lease is not ours")
        tree = tree_of(start.spec, Path(self._job.folder))
        owner = f"{self._job.node}/{loop.time():.0f}"
        self._store = store = await open_store(cluster, start, owner)
        node = Node(tree, name=start.subtree, store=store).start()
        store.forget()
        if not await holding.begin():
            raise Fenced("the lease was lost while the state was rebuilt")
        self._serving = serving = Serving(node, holding, store, start.epoch, self.stop)
        await self._serve(cluster, serving)
        self.tell(Told("started"))
        return await self._until_end(node, cluster)

    async def _serve(self, cluster: NatsCluster, serving: Serving) -> None:
        start, serve = self._job.start, cluster.calls.serve
        for subject, heard in (
            (names.controls(start.tree, start.subtree), serving.on_control),
            (names.calls(start.tree, start.subtree, "*"), serving.on_call),
            (names.casts(start.tree, start.subtree, "*"), serving.on_call),
        ):
            self._handles.append(await serve(subject, heard))

    async def _until_end(self, node: Node, cluster: NatsCluster) -> Told:
        """Wait until the tree ends or is stopped; then shut down in order."""
        down = asyncio.ensure_future(node.serve())
        orphan = asyncio.ensure_future(self._watch_parent())
        waiting: list[asyncio.Future[Any]] = [down, self._ending]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        orphan.cancel()
        store = self._store
        assert store is not None
        reason = self._ending.result() if self._ending.done() else _reason_of(node)
        reason = "fenced" if store.fenced else reason
        if reason.startswith("fenced"):
            self.stop(reason)
            node.stop("fenced", drain=False)
            return Told("ended", "fenced", store.fenced or reason)
        for handle in self._handles:
            await handle.close()
        assert self._serving is not None
        await self._serving.drained(DRAIN_S)
        node.stop(reason)
        await store.settled()
        await self._say_exit(cluster, reason)
        await self._leave()
        return Told("ended", reason)

    async def _watch_parent(self) -> None:
        """End an orphan with `orphan: stop` when its parent has been silent for too long."""
        start, loop = self._job.start, asyncio.get_running_loop()
        while start.orphan == "stop":
            await asyncio.sleep(start.ttl_s / 2)
            assert self._serving is not None
            if loop.time() - self._serving.heard_s > start.ttl_s * ORPHAN:
                self.stop("shutdown")

    async def _say_exit(self, cluster: NatsCluster, reason: str) -> None:
        start = self._job.start
        exited = Exited(start.tree, start.subtree, start.epoch, reason, node=self._job.node)
        subject = names.exits(start.tree, start.subtree)
        await cluster.calls.send(subject, msgspec.json.encode(exited))

    async def _leave(self) -> None:
        if self._holding is not None:
            await self._holding.release()


def _word_for(error: SsmError) -> str:
    if type(error) is StorageError and "newer" in str(error):
        return "version"
    return next((word for kind, word in REASONS.items() if isinstance(error, kind)), "crash")


def _reason_of(node: Node) -> str:
    """Return the reason for which a tree has ended."""
    for report in reversed(node.reports(last=1)):
        return str(report.detail.get("reason", "shutdown"))
    return "shutdown"


async def host_subtree(number: int) -> None:
    """Read the job from the socket, host the subtree, and report the outcome."""
    loop = asyncio.get_running_loop()
    connection = socket.socket(fileno=number)
    reader, agent = await asyncio.open_connection(sock=connection, limit=LINE_BYTES)
    line = await reader.readline()
    if not line:
        return
    host = Host(msgspec.json.decode(line, type=Job), agent)
    loop.add_signal_handler(signal.SIGTERM, host.stop, "shutdown")
    loop.add_signal_handler(signal.SIGUSR1, host.stop, "moved")
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # of a terminal: the agent sees to it
    gone = asyncio.ensure_future(reader.read())
    gone.add_done_callback(lambda _: host.stop("shutdown"))
    host.tell(await host.run())
    gone.cancel()
    agent.close()


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(host_subtree(int(sys.argv[1])))

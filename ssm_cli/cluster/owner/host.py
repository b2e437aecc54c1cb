"""The process of one subtree: epoch, replay, serve; until it ends, is stopped, or is fenced.

Run by a node's agent as `python -m ssm_cli.cluster.owner.host FD PAGE`, or forked as if it had been
(`forking`). FD is a socket to the agent: it reads the job as one line, and writes its state
changes, one line each. PAGE is a file that both have in memory: the agent, which renews the lease,
says there how long it is good. The process ends with its agent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.embedded import die_with_parent
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.groupcast import GroupCast
from ssm_cli.cluster.owner.code import Undefined, tree_of
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.owner.serving import Serving
from ssm_cli.cluster.owner.store import ClusterStore, open_store
from ssm_cli.cluster.ports import ClusterError, Handle
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import MOVED, STOPPED, Exited, Start
from ssm_cli.errors import Fenced, SsmError, StartFailed, StorageDamaged, StorageError
from ssm_cli.runtime.node import Node

LINE_BYTES = 1024 * 1024  # of a job, and of what is told
DETAIL_CHARACTERS = 10_000
DRAIN_S = 2.0
LOOKS = 20  # at the lease, over the time that it is good for
REASONS: dict[type[SsmError], str] = {
    Undefined: "undef",
    ClusterError: "noconnection",
    Fenced: "fenced",
    StorageDamaged: "journal_corrupt",
    StorageError: "storage",
    StartFailed: "start_failed",
}
"""Why a subtree could not be hosted, or not any longer; the first that fits."""
HISTORY = 1_000  # records that a subtree remembers, as `ssm run --headless` does
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

    def __init__(self, job: Job, agent: asyncio.StreamWriter, page: LeasePage) -> None:
        self._job = job
        self._agent = agent
        self._page = page
        self._cluster: NatsCluster | None = None
        self._ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._handles: list[Handle] = []

    def stop(self, reason: str) -> None:
        """Request the end for a reason; the first reason counts."""
        if not self._ending.done():
            self._ending.set_result(reason)

    def tell(self, told: Told) -> None:
        """Send a message to the agent; a long text of user code in part."""
        told = msgspec.structs.replace(told, detail=told.detail[:DETAIL_CHARACTERS])
        self._agent.write(msgspec.json.encode(told) + b"\n")

    async def run(self) -> Told:
        """Host the subtree; return how it ended."""
        job = self._job
        watch = asyncio.ensure_future(self._watch_lease())
        try:
            cluster = await open_cluster(job.access, f"{job.start.subtree}@{job.node}")
            self._cluster = cluster
            try:
                return await self._own(cluster)
            finally:
                await cluster.close()
        except SsmError as error:
            return Told("ended", word_for(error), str(error))
        finally:
            watch.cancel()

    def _is_good(self) -> bool:
        """Return whether the lease is good at this moment."""
        return asyncio.get_running_loop().time() < self._page.until_s

    async def _watch_lease(self) -> None:
        """Stop this process where it stands once the lease is over; the agent lets it go on.

        The agent does so, too; but it may hang itself. While there is a connection the agent is
        told that the process runs: parents ask it for all subtrees of a node at once.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._job.start.ttl_s / LOOKS)
            if self._cluster is not None and self._cluster.connected():
                self._page.alive_s = loop.time()
            if not self._is_good() and sys.platform == "linux":
                self._page.stopped = True
                os.kill(os.getpid(), signal.SIGSTOP)
                self._page.stopped = False

    async def _own(self, cluster: NatsCluster) -> Told:
        """Load code, rebuild the state and serve. The agent has the lease, and keeps it."""
        start, loop = self._job.start, asyncio.get_running_loop()
        if not self._is_good():
            raise Fenced("the lease is not ours")
        tree = tree_of(start.spec, Path(self._job.folder))
        owner = f"{self._job.node}/{loop.time():.0f}"
        self._store = store = await open_store(cluster, start, owner, self._page)
        node = Node(tree, name=start.subtree, store=store, history=HISTORY)
        groups = GroupCast(
            cluster, start.tree, f"{start.subtree} {start.epoch}", node.hear, node.note_lost
        )
        node.join_others(groups)
        node.start()
        store.forget()
        serving = Serving(node, self._is_good, store, start.epoch, self.stop)
        await self._serve(cluster, serving)
        self.tell(Told("started"))
        return await self._until_end(node, cluster, serving, store, groups)

    async def _serve(self, cluster: NatsCluster, serving: Serving) -> None:
        start, serve = self._job.start, cluster.calls.serve
        for subject, heard in (
            (names.controls(start.tree, start.subtree), serving.on_control),
            (names.calls(start.tree, start.subtree, "*"), serving.on_call),
            (names.casts(start.tree, start.subtree, "*"), serving.on_call),
            (names.asks(start.tree, start.subtree), serving.on_ask),
            (names.sees(start.tree, start.subtree), serving.on_ask),
        ):
            self._handles.append(await serve(subject, heard))

    async def _until_end(
        self,
        node: Node,
        cluster: NatsCluster,
        serving: Serving,
        store: ClusterStore,
        groups: GroupCast,
    ) -> Told:
        """Wait until the tree ends or is stopped; then shut down in order."""
        down = asyncio.ensure_future(node.serve())
        orphan = asyncio.ensure_future(self._watch_parent(serving))
        waiting: list[asyncio.Future[Any]] = [down, self._ending]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        orphan.cancel()
        if store.fenced:
            serving.silent = True
            node.stop("fenced", drain=False)
            return Told("ended", store.word, store.fenced)
        reason = self._ending.result() if self._ending.done() else _reason_of(node)
        for handle in self._handles:
            await handle.close()
        await serving.drained(DRAIN_S)
        node.stop(reason)
        await store.settled()
        await groups.close()
        await self._say_exit(cluster, reason)
        return Told("ended", reason)

    async def _watch_parent(self, serving: Serving) -> None:
        """End an orphan with `orphan: stop` when its parent has been silent for too long."""
        start, loop = self._job.start, asyncio.get_running_loop()
        while start.orphan == "stop":
            await asyncio.sleep(start.ttl_s / 2)
            if loop.time() - serving.heard_s > start.ttl_s * ORPHAN:
                self.stop("shutdown")

    async def _say_exit(self, cluster: NatsCluster, reason: str) -> None:
        start = self._job.start
        exited = Exited(start.tree, start.subtree, start.epoch, reason, node=self._job.node)
        subject = names.exits(start.tree, start.subtree)
        await cluster.calls.send(subject, msgspec.json.encode(exited))


def word_for(error: SsmError) -> str:
    """Return the exit reason that an error stands for."""
    if type(error) is StorageError and "newer" in str(error):
        return "version"
    return next((word for kind, word in REASONS.items() if isinstance(error, kind)), "crash")


def _reason_of(node: Node) -> str:
    """Return the reason for which a tree has ended."""
    for report in reversed(node.reports(last=1)):
        return str(report.detail.get("reason", "shutdown"))
    return "shutdown"


def end_with_agent(gone: asyncio.Future[bytes]) -> None:
    """End where we stand, as the system ends us on Linux a moment later: the agent is dead.

    An end in order would be told as one that somebody asked for; it would be no death, or one more.
    """
    if not gone.cancelled():
        os._exit(1)


async def host_subtree(connection: socket.socket, page: LeasePage) -> None:
    """Read the job from the socket, host the subtree, and report the outcome."""
    loop = asyncio.get_running_loop()
    reader, agent = await asyncio.open_connection(sock=connection, limit=LINE_BYTES)
    line = await reader.readline()
    if not line:
        return
    host = Host(msgspec.json.decode(line, type=Job), agent, page)
    loop.add_signal_handler(signal.SIGTERM, host.stop, STOPPED)
    loop.add_signal_handler(signal.SIGUSR1, host.stop, MOVED)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # of a terminal: the agent sees to it
    gone = asyncio.ensure_future(reader.read())
    gone.add_done_callback(end_with_agent)
    host.tell(await host.run())
    gone.cancel()
    agent.close()


def host_for_agent(number: int, page: int) -> None:
    """Host a subtree, with the descriptors of the socket and of the page.

    The agent says nothing before it is our parent: until then we could not die with it.
    """
    for ours in (number, page):
        os.set_inheritable(ours, False)  # what the subtree starts would keep them open
    connection = socket.socket(fileno=number)
    if connection.recv(1, socket.MSG_PEEK):
        die_with_parent()
        asyncio.run(host_subtree(connection, LeasePage(page)))


if __name__ == "__main__":
    host_for_agent(*map(int, sys.argv[1:]))

"""The agent: presents its node, starts and stops subtrees, and reports their ends."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Any

import msgspec

from ssm_cli.cluster.agent.child import Child, Hosting
from ssm_cli.cluster.agent.holding import Holding
from ssm_cli.cluster.agent.sweeping import Sweep
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.host import Job
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Answer, Cells, Cluster, ClusterError, Unknown, replicas_of
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import (
    FENCED,
    MOVED,
    STOPPED,
    Advert,
    Exited,
    Hosted,
    Lease,
    Ping,
    Said,
    Start,
    Stop,
    control,
    leased,
)

BEAT_S = 1.0  # between two adverts
MOST_HOSTED = 1024  # subtrees of one node
STOP_S = 15.0  # how long subtrees may take to end when the node is drained


class Agent:
    """One node of the cluster.

    Args:
        cluster: a connection.
        theirs: a connection with the permissions of a subtree, to renew the leases.
        access: how subtrees make connections of their own.
        name: of the node, unique in the cluster.
        labels: what `place` asks for.
        folder: where tree files and modules are found.
        host: starts the process of a subtree.
    """

    def __init__(
        self,
        cluster: Cluster,
        theirs: Cluster,
        access: Access,
        *,
        name: str,
        labels: dict[str, str],
        folder: str,
        host: Callable[[Job, LeasePage], Hosting] = Child,
    ) -> None:
        self._host = host
        self.name = name
        self._cluster = cluster
        self._theirs = theirs
        self._access = access
        self._folder = folder
        self._children: dict[tuple[str, str], Hosting] = {}
        self._leases: dict[tuple[str, str], Holding] = {}
        self._starting: dict[tuple[str, str, int], asyncio.Task[Said]] = {}
        self._past: dict[tuple[str, str], Exited] = {}  # how the last lives ended
        self._work: set[asyncio.Task[None]] = set()
        self._revision = 0
        self._advert = Advert(
            name,
            labels,
            python=platform.python_version(),
            version=version("supervised-state-machines"),
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=os.urandom(8).hex(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop; then stop what it hosts, in order.

        Raises:
            ClusterError: another node has the name, or nothing can be kept there.
        """
        cells = await self._cluster.cells(names.ADVERTS, replicas_of(self._cluster))
        looks, serve = names.looks(self.name), self._cluster.calls.serve
        if isinstance(await self._cluster.calls.call(looks, PING, 0.5), bytes):
            raise ClusterError(f"a node {self.name} is in the cluster already; give another --name")
        handles = [
            await serve(looks, self._on_look),
            await serve(names.agent(self.name), self._on_order),
        ]
        sweep = asyncio.ensure_future(Sweep(self._cluster, cells).run())
        while not stop.is_set():
            await self._present(cells)
            try:
                await asyncio.wait_for(stop.wait(), BEAT_S)
            except TimeoutError:
                continue
        sweep.cancel()
        self._advert = msgspec.structs.replace(self._advert, draining=True)
        await self._present(cells)
        await self._drain()
        for handle in handles:
            await handle.close()
        await cells.cas(self.name, None, self._revision)

    async def _present(self, cells: Cells) -> None:
        """Write the advert anew; an answer that is lost is made good the next time."""
        beat, load = self._advert.beat + 1, len(self._children)
        self._advert = msgspec.structs.replace(self._advert, beat=beat, load=load)
        data = msgspec.json.encode(self._advert)
        done = await cells.cas(self.name, data, self._revision)
        if isinstance(done, int):
            self._revision = done
            return
        found = await cells.get(self.name)
        if not isinstance(found, Unknown):
            self._revision = found[0]
            done = await cells.cas(self.name, data, self._revision)
            self._revision = done if isinstance(done, int) else self._revision

    async def _drain(self) -> None:
        for child in self._children.values():
            child.hand_on()
        if self._work:
            await asyncio.wait(list(self._work), timeout=STOP_S)
        for child in list(self._children.values()):
            child.kill(MOVED, f"it did not end within {STOP_S:g} s")

    def _on_look(self, _: str, __: bytes, answer: Answer | None) -> None:
        """Say what runs here, whatever the question: who may look only cannot ask for more."""
        _say(answer, Said(ok=True, hosted=self._hosted()))

    def _on_order(self, _: str, data: bytes, answer: Answer | None) -> None:
        match control(data):
            case Start() as start:
                self._spawn(self._start(start, answer))
            case Stop() as stop:
                self._spawn(self._stop(stop, answer))
            case _:
                _say(answer, Said(ok=False, reason="undecodable"))

    def _hosted(self) -> list[Hosted]:
        return [
            Hosted(tree, subtree, child.job.start.epoch, child.pid)
            for (tree, subtree), child in sorted(self._children.items())
        ]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _start(self, start: Start, answer: Answer | None) -> None:
        """Host a subtree. Asked again for the same epoch, it says how that one went."""
        asked = start.tree, start.subtree, start.epoch
        work = self._starting.get(asked)
        if work is None:
            work = self._starting[asked] = asyncio.ensure_future(self._started(start))
            work.add_done_callback(lambda _: self._starting.pop(asked))
        _say(answer, await asyncio.shield(work))

    async def _started(self, start: Start) -> Said:
        key = start.tree, start.subtree
        child = self._children.get(key)
        if child is not None and child.job.start.epoch > start.epoch:
            why = f"epoch {child.job.start.epoch} runs here; {start.epoch} is over"
            return Said(ok=False, reason="fenced", detail=why)
        if child is not None and child.job.start.epoch < start.epoch:
            child.kill(FENCED, "its lease has another epoch")
            await child.ended
            child = None
        past = self._past.get(key)
        if child is None and past is not None and past.epoch == start.epoch:
            return Said(ok=False, reason=past.reason, detail=past.detail, epoch=past.epoch)
        if child is None:
            refusal = await self._refusal(start) or await self._hold(start)
            if refusal is not None:
                return refusal
            child = self._children[key] = self._begin(start)
        told = await child.started
        ok = told.event == "started"
        return Said(ok=ok, reason=told.reason, detail=told.detail, epoch=start.epoch)

    async def _hold(self, start: Start) -> Said | None:
        """Take the lease; return why that failed."""
        key = start.tree, start.subtree
        page = LeasePage()
        lease = Lease(
            self.name, start.epoch, start.ttl_s, spec=start.spec,
            journal=start.journal, saved=start.saved,
        )  # fmt: skip
        cells = await self._theirs.cells(names.leases(start.tree), start.replicas)
        holding = Holding(
            cells, self._theirs.time, key=start.subtree, value=lease, revision=start.revision,
            page=page,
        )  # fmt: skip
        if await holding.begin():
            self._leases[key] = holding
            return None
        detail = "the lease could not be renewed at the start"
        return Said(ok=False, reason="fenced", detail=detail, epoch=start.epoch)

    def _begin(self, start: Start) -> Hosting:
        """Start the process of a subtree whose lease is held."""
        # The server that we were given may be the one that is gone.
        access = msgspec.structs.replace(self._access, url=self._cluster.urls)
        holding = self._leases[start.tree, start.subtree]
        child = self._host(Job(start, access, self.name, self._folder), holding.page)
        holding.keep(child)
        self._spawn(self._follow(child, holding))
        return child

    async def _refusal(self, start: Start) -> Said | None:
        """Return why a subtree is not started: no room, or no lease of its parent asks for it.

        Orders are messages without a sender. The lease is its proof: only who may place subtrees
        can write one, and it names this node, the epoch, the revision and the code.
        """
        if self._advert.draining or len(self._children) >= MOST_HOSTED:
            return Said(ok=False, reason="no_node", detail="the node takes no more")
        cells = await self._cluster.cells(names.leases(start.tree), start.replicas)
        found = await cells.get(start.subtree)
        if isinstance(found, Unknown):
            return Said(ok=False, reason="noconnection", detail=found.detail)
        revision, data = found
        lease = None if data is None else leased(data)
        asked = None if lease is None or lease.released else lease
        if asked is not None and (revision, asked.node, asked.epoch, asked.spec) == (
            start.revision, self.name, start.epoch, start.spec,
        ):  # fmt: skip
            return None
        why = f"no lease asks this node for epoch {start.epoch} of {start.spec}"
        return Said(ok=False, reason="fenced", detail=why, epoch=start.epoch)

    async def _follow(self, child: Hosting, holding: Holding) -> None:
        """Wait for the end of a subtree's process, release its lease, and report the end."""
        told = await child.ended
        start = child.job.start
        key = start.tree, start.subtree
        page = holding.page
        exited = Exited(
            *key, start.epoch, told.reason, told.detail, self.name, page.journal, page.saved
        )
        if self._children.get(key) is child:
            del self._children[key]
            self._leases.pop(key, None)
            self._past.pop(key, None)
            self._past[key] = exited
            while len(self._past) > MOST_HOSTED:
                del self._past[next(iter(self._past))]
        await self._cluster.calls.send(names.exits(*key), msgspec.json.encode(exited))
        await holding.release(told.reason)

    async def _stop(self, stop: Stop, answer: Answer | None) -> None:
        child = self._children.get((stop.tree, stop.subtree))
        if child is None or child.job.start.epoch != stop.epoch:
            _say(answer, Said(ok=True, reason="noproc", detail="it does not run here"))
            return
        if stop.reason == FENCED:
            child.kill(FENCED, "its parent starts the next epoch")
        else:
            child.stop()
        await asyncio.wait([child.ended], timeout=stop.within_s)
        if not child.ended.done():
            child.kill(STOPPED, f"it did not end within {stop.within_s:g} s")
        told = await child.ended
        _say(answer, Said(ok=True, reason=told.reason, epoch=stop.epoch))


PING = msgspec.json.encode(Ping())


def _say(answer: Answer | None, said: Said) -> None:
    if answer is not None:
        answer(msgspec.json.encode(said))

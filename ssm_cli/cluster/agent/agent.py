"""The agent: presents its node, starts and stops subtrees, and reports their ends."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.cluster.agent.beating import Beating
from ssm_cli.cluster.agent.child import Child, Hosting, begun
from ssm_cli.cluster.agent.draining import Draining
from ssm_cli.cluster.agent.ends import Ends
from ssm_cli.cluster.agent.holding import Holding
from ssm_cli.cluster.agent.sweeping import Sweep
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.owner.code import Undefined, find_code
from ssm_cli.cluster.owner.host import Job
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Answer, Cluster, ClusterError, Unknown, replicas_of
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import (
    FENCED,
    MOVED,
    STOPPED,
    Advert,
    Exited,
    Fits,
    Hosted,
    Lease,
    Ping,
    Retell,
    Said,
    Start,
    Stop,
    control,
    leased,
)

MOST_HOSTED = 1024  # subtrees of one node
STOP_S = 15.0  # how long subtrees may take to end when the node is drained
SILENT = 1 / 2  # of a lease, or SILENT_S: without a sign of its process a subtree is silent
SILENT_S = 2.0


class Agent:
    """One node of the cluster.

    Args:
        cluster: a connection.
        theirs: a connection with the permissions of a subtree, to renew the leases.
        access: how subtrees make connections of their own.
        name: of the node, unique in the cluster.
        labels: what `place` asks for.
        folder: where tree files and modules are found.
        draining: how it ends.
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
        draining: Draining | None = None,
        host: Callable[[Job, LeasePage], Hosting] = Child,
    ) -> None:
        self._host = host
        self.name = name
        self._cluster = cluster
        self._theirs = theirs
        self._access = access
        self._folder = folder
        self._draining = draining or Draining()
        self._children: dict[tuple[str, str], Hosting] = {}
        self._beating: Beating | None = None  # once it runs
        self._starting: dict[tuple[str, str, int], asyncio.Task[Said]] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._advert = Advert(
            name,
            labels,
            python=platform.python_version(),
            version=version("supervised-state-machines"),
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=os.urandom(8).hex(),
        )
        self._ends = Ends(cluster, self._advert)

    async def run(self, stop: asyncio.Event, up: Callable[[], None] = lambda: None) -> None:
        """Serve until told to stop; then hand on what it hosts, and stop in order what is left.

        `up` is called once it serves.

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
        up()
        load, time = self._children.__len__, self._cluster.time
        self._beating = beating = Beating(cells, time, self._advert, load)
        sweep = asyncio.ensure_future(Sweep(self._cluster, cells).run())
        beat = asyncio.ensure_future(beating.run())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([beat, stopped], return_when=asyncio.FIRST_COMPLETED)
        sweep.cancel()
        if not stop.is_set():
            stopped.cancel()
            await self._drain()
            raise ClusterError(f"{beat.result()}: {self.name}; give one of them another --name")
        self._advert = msgspec.structs.replace(self._advert, draining=True)
        beating.present(draining=True)
        await self._draining.hand_on(self._cluster, list(self._children.values()))
        await self._drain()
        for handle in handles:
            await handle.close()
        beat.cancel()
        await beating.leave()

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
            case Retell(tree, subtree, epoch) as asked:
                child = self._children.get((tree, subtree))
                if child is None or child.job.start.epoch != epoch:
                    self._spawn(self._ends.tell_again(asked))
            case Fits(spec):
                _say(answer, FULL if self._is_full() else _has_code(spec, self._folder))
            case _:
                detail = f"an order of another ssm than the node's, which is {self._advert.version}"
                _say(answer, Said(ok=False, reason="undecodable", detail=detail))

    def _is_full(self) -> bool:
        return self._advert.draining or len(self._children) >= MOST_HOSTED

    def _hosted(self) -> list[Hosted]:
        return [
            Hosted(
                *key, child.job.start.epoch, child.pid, self._is_silent(child),
                starting=not child.started.done(),
            )
            for key, child in sorted(self._children.items())
        ]  # fmt: skip

    def _is_silent(self, child: Hosting) -> bool:
        """Return whether a process that serves has given no sign of itself for some time."""
        most_s = min(SILENT_S, child.job.start.ttl_s * SILENT)
        return self._cluster.time.now_s() - child.page.alive_s > most_s

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
        if child is None:
            held = self._ends.of(start) or await self._refusal(start) or await self._hold(start)
            if isinstance(held, Said):
                return held
            child = self._children[key] = self._begin(start, held)
        told = await begun(child, self._cluster.time)
        absent = told.reason == "undef" and not _has_code(start.spec, self._folder).ok
        return Said(
            ok=told.event == "started", reason=told.reason, detail=told.detail, epoch=start.epoch,
            boot=self._advert.boot, absent=absent,
        )  # fmt: skip

    async def _hold(self, start: Start) -> Holding | Said:
        """Take the lease; return why that failed if it did."""
        lease = Lease(
            self.name, start.epoch, start.ttl_s, spec=start.spec,
            journal=start.journal, saved=start.saved, boot=self._advert.boot,
        )  # fmt: skip
        cells = await self._theirs.cells(names.leases(start.tree), start.replicas)
        holding = Holding(
            cells, self._theirs.time, key=start.subtree, value=lease, revision=start.revision,
            page=LeasePage(),
        )  # fmt: skip
        if self._beating is not None and self._ends.of(start) is None:
            self._beating.hold(start.tree, holding)
            if await holding.begin():
                return holding
            self._beating.drop(start.tree, holding)
        detail = "the lease could not be taken, or was not good in time"
        return Said(ok=False, reason="fenced", detail=detail, epoch=start.epoch)

    def _begin(self, start: Start, holding: Holding) -> Hosting:
        """Start the process of a subtree whose lease is held."""
        # The server that we were given may be the one that is gone.
        access = msgspec.structs.replace(self._access, url=self._cluster.urls)
        child = self._host(Job(start, access, self.name, self._folder), holding.page)
        holding.keep(child)
        self._spawn(self._follow(child, holding))
        return child

    async def _refusal(self, start: Start) -> Said | None:
        """Return why a subtree is not started: no room, or no lease of its parent asks for it.

        Orders are messages without a sender. The lease is its proof: only who may place subtrees
        can write one, and it names this node, the epoch, the revision and the code.
        """
        if self._is_full():
            return FULL
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
        if self._beating is not None:
            self._beating.drop(start.tree, holding)
        page = holding.page
        exited = Exited(
            *key, start.epoch, told.reason, told.detail, self.name, page.journal, page.saved
        )
        if self._children.get(key) is child:
            del self._children[key]
            self._ends.note(exited)
        await self._ends.tell(exited)
        await holding.release(told.reason)

    async def _stop(self, stop: Stop, answer: Answer | None) -> None:
        child = self._children.get((stop.tree, stop.subtree))
        if child is None or child.job.start.epoch != stop.epoch:
            self._ends.stopped(stop)
            if self._beating is not None:  # it may be about to start
                self._beating.take(stop.tree, stop.subtree, stop.epoch)
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
FULL = Said(ok=False, reason="no_node", detail="the node takes no more")


def _has_code(spec: str, folder: str) -> Said:
    try:
        find_code(spec, Path(folder))
    except Undefined as error:
        return Said(ok=False, reason="undef", detail=str(error), absent=True)
    return Said(ok=True)


def _say(answer: Answer | None, said: Said) -> None:
    if answer is not None:
        answer(msgspec.json.encode(said))

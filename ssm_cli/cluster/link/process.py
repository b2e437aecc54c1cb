"""The link process: connects a tree to NATS; reads orders from the tree, writes news to it.

Run by a tree as `python -m ssm_cli.cluster.link.process FD`. It keeps monitoring while the tree's
one thread is busy. It ends with the tree; the remote children stay or stop, by their `orphan`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec

from ssm_cli.cluster.jetstream.cluster import open_cluster
from ssm_cli.cluster.jetstream.embedded import die_with_parent
from ssm_cli.cluster.link.causes import Causes
from ssm_cli.cluster.link.frames import (
    Alive,
    Answered,
    CallChild,
    ChildJob,
    Done,
    FrameDecoder,
    HeardFar,
    Interest,
    Linked,
    LostFar,
    News,
    NodeSeen,
    Open,
    Order,
    ParentWaits,
    PublishFar,
    ServersSeen,
    StartChild,
    StopChild,
    Superseded,
    framed,
)
from ssm_cli.cluster.link.groupcast import GroupCast
from ssm_cli.cluster.link.handing import hand_on, taker
from ssm_cli.cluster.link.parenthood import Parenthood
from ssm_cli.cluster.link.presence import watch_nodes
from ssm_cli.cluster.link.spreading import spread
from ssm_cli.cluster.link.watching import Kin, Watching
from ssm_cli.cluster.ports import Answer, CallLost, Cluster, ClusterError, replicas_of
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import CallRequest, Move, Parent, Reply, Said
from ssm_cli.runtime.remote.ports import ITSELF, WHERE
from ssm_cli.runtime.views import Carried

READ_BYTES = 65_536
QUICK_S, SLOW_S = 2.0, 10.0  # leases with one server, and with three
BEAT_S = 1.0
MOST_UNREAD_BYTES = 1024 * 1024  # for a tree that is busy; then links are not told of meanwhile
MOST_HEARD_BYTES = 16 * 1024 * 1024  # of publishes, likewise; more are dropped
CUT_TIMES = 3  # what we write is not taken so often: we are cut off
MOST_CALLS = 4096  # under way at once; more are answered `busy`


class Link:
    """The remote children of one tree."""

    def __init__(self, cluster: Cluster, opened: Open, out: asyncio.StreamWriter) -> None:
        self._cluster = cluster
        self._tree, claim = opened.tree, opened.claim
        self._out = out
        self._children: dict[str, Watching] = {}
        self._kin = Kin(Causes(opened.died, cluster.time.now_s()))
        self._calls: set[asyncio.Task[None]] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._spreading: asyncio.Task[None] | None = None
        self._orders: dict[str, StartChild] = {}  # the last one of each child
        self._takeover = claim.takeover
        replicas = replicas_of(cluster)
        me = Parent(claim.id, claim.host, claim.pid, SLOW_S if replicas > 1 else QUICK_S)
        self._parenthood = Parenthood(
            cluster, self._tree, me, replicas=replicas, waits=self._waits, move=self._on_move,
            kept=self._kept,
        )  # fmt: skip
        self._unkept = 0  # writes in a row that the servers have not taken
        self._is_parent = asyncio.Event()
        self._groups = GroupCast(
            cluster, self._tree, f"tree {os.urandom(8).hex()}", self._heard, self._lost
        )

    def tell(self, news: News) -> None:
        """Send news to the tree; how links stand is said again, and may be left out."""
        if isinstance(news, Linked) and is_behind(self._out):
            return
        self._out.write(framed(news))

    def on(self, order: Order) -> None:
        """Execute an order of the tree."""
        match order:
            case StartChild():
                self._orders[order.job.name] = order
                self._spawn(self._start(order), self._work)
            case StopChild():
                self._orders.pop(order.child, None)  # at once: the next order may be a start
                self._spawn(self._stop(order), self._work)
            case Interest(group, wanted):
                self._groups.interest(group, wanted=wanted)
            case PublishFar(group, carried, alone):
                self._groups.publish(group, carried, alone=alone)
            case CallChild() if len(self._calls) >= MOST_CALLS:
                self.tell(Answered(order.n, "busy", error=f"{MOST_CALLS} calls are under way"))
            case CallChild():
                work = self._look if order.worker == WHERE else self._call
                self._spawn(work(order), self._calls)

    def _kept(self, why: str) -> None:
        """Tell when the servers do not take what we write, and when they do again."""
        told = self._unkept >= CUT_TIMES
        self._unkept = self._unkept + 1 if why else 0
        if told != (self._unkept >= CUT_TIMES):
            self.tell(ServersSeen(told, why))

    def _waits(self, by: str) -> None:
        self.tell(ParentWaits(by))

    def _on_move(self, move: Move, answer: Answer) -> None:
        self._spawn(self._move(move, answer), self._work)

    async def _move(self, move: Move, answer: Answer) -> None:
        """Have a child go elsewhere, if there is a node that takes it; say so before it ends."""
        child = self._children.get(move.subtree) if self._is_parent.is_set() else None
        why = Said(ok=False, reason="noproc", detail=f"its parent has no child {move.subtree}")
        if child is None:
            answer(msgspec.json.encode(why))
        else:

            def told(said: Said) -> None:
                answer(msgspec.json.encode(said))

            await hand_on(self._cluster, child, self._kin.loads, move.node, told)

    def begin(self) -> None:
        """Become the parent of the children; until then starts wait."""
        self._spawn(self._be_parent(), self._work)

    async def _be_parent(self) -> None:
        try:
            await self._parenthood.take(takeover=self._takeover)
        except ClusterError as error:
            self.tell(Done(0, ok=False, reason="noconnection", detail=str(error)))
            self._out.close()
            return
        self._is_parent.set()
        self.tell(Done(0, ok=True))
        self.watch_nodes()
        by = await self._parenthood.hold()
        self._is_parent.clear()
        for child in self._children.values():
            await child.close()
        self.tell(Superseded(by))

    async def leave(self) -> None:
        """Let go of the children: the next parent need not wait."""
        if self._is_parent.is_set():
            await self._parenthood.release()

    def _heard(self, group: str, carried: Carried) -> None:
        if self._out.transport.get_write_buffer_size() > MOST_HEARD_BYTES:
            self._lost(group, "the tree is busy, and too much waits for it")
        else:
            self.tell(HeardFar(group, carried))

    def _lost(self, group: str, why: str) -> None:
        self.tell(LostFar(group, why))

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def watch_nodes(self) -> None:
        """Tell of nodes that come and go, from now on; to one that has come shards are moved."""
        self._spawn(watch_nodes(self._cluster, self._seen), self._work)

    def _seen(self, seen: NodeSeen) -> None:
        self.tell(seen)
        if seen.up and (self._spreading is None or self._spreading.done()):
            self._spreading = asyncio.ensure_future(
                spread(self._cluster, self._children.values(), self._kin.loads)
            )

    async def _start(self, order: StartChild) -> None:
        await self._is_parent.wait()
        if self._orders.get(order.job.name) is not order:
            return  # it was stopped meanwhile, or asked for anew
        known = self._children.get(order.job.name)
        if known is None or known.job != self._completed(order.job):
            if known is not None:
                await known.close()
            job = self._completed(order.job)
            known = Watching(self._cluster, self._tree, job, self.tell, self._kin)
            self._children[order.job.name] = known
        if order.epoch:
            self.tell(await known.watch_again(order.n, order.epoch, order.node))
            return
        done = await known.start(order.n, adopt=order.adopt)
        if done.ok or not await self._parenthood.is_lost():  # else the tree ends for that
            self.tell(done)

    def _completed(self, job: ChildJob) -> ChildJob:
        """Complete a job with the defaults of the cluster.

        With three servers the lease is longer: it must outlast an election.
        """
        replicas = job.replicas or replicas_of(self._cluster)
        ttl_s = job.ttl_s or (SLOW_S if replicas > 1 else QUICK_S)
        return msgspec.structs.replace(job, replicas=replicas, ttl_s=ttl_s)

    async def _stop(self, order: StopChild) -> None:
        known = self._children.get(order.child) if self._is_parent.is_set() else None
        done = Done(order.n, ok=True, reason="noproc")
        self.tell(done if known is None else await known.stop(order.n, order.within_s))

    async def _look(self, order: CallChild) -> None:
        """Say which node would take a child."""
        job = msgspec.json.decode(order.input, type=ChildJob)
        said = await taker(self._cluster, job, self._kin.loads)
        outcome = "replied" if said.ok else "noproc"
        self.tell(Answered(order.n, outcome, said.detail.encode(), said.detail))

    async def _call(self, order: CallChild) -> None:
        asked = CallRequest(order.input, order.request_id, order.timeout_s, order.is_value)
        request = msgspec.json.encode(asked)
        if not order.n:
            subject = names.casts(self._tree, order.child, order.worker)
            await self._cluster.calls.send(subject, request)
            return
        subject = names.calls(self._tree, order.child, order.worker)
        if order.worker == ITSELF:
            subject, request = names.asks(self._tree, order.child), order.input
        reply = await self._cluster.calls.call(subject, request, order.timeout_s)
        if isinstance(reply, CallLost):
            self.tell(Answered(order.n, reply.why, error=reply.detail))
            return
        try:
            said = msgspec.json.decode(reply, type=Reply)
        except msgspec.MsgspecError as error:
            said = Reply("noconnection", error=f"{order.worker}: an answer that is none: {error}")
        self.tell(Answered(order.n, said.outcome, said.output, said.error, said.reason, said.crash))


def is_behind(out: asyncio.StreamWriter) -> bool:
    """Return whether the tree has much to read already."""
    return out.transport.get_write_buffer_size() > MOST_UNREAD_BYTES


async def beat(out: asyncio.StreamWriter) -> None:
    """Say every second that we are there."""
    while True:
        if not is_behind(out):
            out.write(framed(Alive()))
        await asyncio.sleep(BEAT_S)


async def serve_tree(number: int) -> None:
    """Serve a tree until it closes the connection."""
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # for the group: the tree ends us
        loop.add_signal_handler(signum, lambda: None)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=number))
    frames = FrameDecoder()
    beating = asyncio.ensure_future(beat(writer))
    link: Link | None = None
    cluster = None
    try:
        while data := await reader.read(READ_BYTES):
            for order in frames.feed(data):
                if isinstance(order, Open):
                    cluster = await open_cluster(order.access, f"link of {order.tree}")
                    await cluster.cells(names.ADVERTS, replicas_of(cluster))  # how many servers?
                    link = Link(cluster, order, writer)
                    link.begin()
                elif link is not None:
                    link.on(order)  # type: ignore[arg-type]  # the decoder gives orders alone
    except ClusterError as error:
        writer.write(framed(Done(0, ok=False, reason="noconnection", detail=str(error))))
    except ConnectionError:
        pass  # the tree is gone
    finally:
        beating.cancel()
        if link is not None:
            await link.leave()
        if cluster is not None:
            await cluster.close()
        writer.close()


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(serve_tree(int(sys.argv[1])))

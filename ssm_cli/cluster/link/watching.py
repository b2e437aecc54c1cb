"""Watching one remote child: the pure monitor, run against the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from ssm_cli.cluster.link.frames import ChildJob, Done, Ended, Linked, News
from ssm_cli.cluster.link.placing import ASK_S, Placed, Placing, ask
from ssm_cli.cluster.ports import Answer, CallLost, Cluster, ClusterError, Handle, Unknown
from ssm_cli.cluster.protocol import monitor, names
from ssm_cli.cluster.protocol.lease import Observed
from ssm_cli.cluster.protocol.messages import Exited, Ping, Stop

LOOKS = 4  # at the lease, over the time that it is good for
HURRY_S = 0.1  # between two looks while nobody answers
SAY_S = 1.0  # between two words about a link that does not change
MOVED = "moved"


class Watching:
    """One remote child.

    Args:
        cluster: where it runs.
        tree: of its parent.
        job: the child's spec.
        tell: called with news for the parent.
    """

    def __init__(
        self, cluster: Cluster, tree: str, job: ChildJob, tell: Callable[[News], None]
    ) -> None:
        self.job = job
        self._cluster = cluster
        self._tree = tree
        self._tell = tell
        self._placing = Placing(cluster, tree, job)
        self._monitor: monitor.Monitor | None = None
        self._node = ""
        self._task: asyncio.Task[None] | None = None
        self._handle: Handle | None = None
        self._ended: str | None = None

    async def start(self, n: int, *, adopt: bool, only: bool = False) -> Done:
        """Start the child, and monitor it from then on."""
        try:
            if self._handle is None:
                subject = names.exits(self._tree, self.job.name)
                self._handle = await self._cluster.calls.serve(subject, self._on_exit)
            placed = await self._placing.adopt() if adopt else None
            if placed is None and only:
                return Done(n, ok=False, reason="noproc", detail="it does not live on")
            placed = await self._placing.start() if placed is None else placed
        except ClusterError as error:
            return Done(n, ok=False, reason="noconnection", detail=str(error))
        if placed.ok:
            self._watch(placed)
        return Done(n, placed.ok, placed.reason, placed.detail, placed.node, placed.epoch)

    def _watch(self, placed: Placed) -> None:
        now_s = self._cluster.time.now_s()
        self._node = placed.node
        self._ended = None
        self._monitor = monitor.Monitor(
            placed.epoch, self.job.ttl_s, self.job.takeover, Observed(placed.revision, now_s, now_s)
        )
        self._say(reachable=True)
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.ensure_future(self._look())

    async def stop(self, n: int, within_s: float) -> Done:
        """Stop the child in order; without an answer wait until its lease has expired."""
        if self._task is not None:
            self._task.cancel()
        live, self._monitor = self._monitor, None
        if live is None or live.over:
            return Done(n, ok=True, reason="noproc")
        stop = Stop(self._tree, self.job.name, live.epoch, within_s=within_s)
        said = await ask(self._cluster, names.agent(self._node), stop, within_s + ASK_S)
        if isinstance(said, CallLost):
            margin_s = self.job.ttl_s * 1.5
            await self._cluster.time.sleep_s(margin_s)
            return Done(n, ok=False, reason="noconnection", detail=said.detail)
        self._placing.clear = True
        return Done(n, ok=True, reason=said.reason)

    async def close(self) -> None:
        """End monitoring; the child runs on."""
        if self._task is not None:
            self._task.cancel()
        if self._handle is not None:
            await self._handle.close()

    # -- signs of life ---------------------------------------------------------------------------

    async def _look(self) -> None:
        time, said_s = self._cluster.time, 0.0
        while (known := self._monitor) is not None and not known.over:
            await asyncio.gather(self._read_lease(), self._ping())
            if time.now_s() - said_s >= SAY_S and self._monitor is not None:
                said_s = time.now_s()
                self._say(self._monitor.reachable)
            absent = self._monitor is not None and self._monitor.absent > 0
            await time.sleep_s(HURRY_S if absent else self.job.ttl_s / LOOKS)

    async def _read_lease(self) -> None:
        asked_s = self._cluster.time.now_s()
        found = await self._placing.lease()
        if isinstance(found, Unknown):
            self._on(monitor.LeaseUnread(asked_s))
            return
        revision, lease = found
        epoch = 0 if lease is None or lease.released else lease.epoch
        self._on(monitor.LeaseRead(revision, epoch, asked_s, self._cluster.time.now_s()))

    async def _ping(self) -> None:
        subject = names.controls(self._tree, self.job.name)
        said = await ask(self._cluster, subject, Ping(), min(ASK_S, self.job.ttl_s / LOOKS))
        answer: monitor.Answer = "alive"
        if isinstance(said, CallLost):
            answer = "absent" if said.why == "noproc" else "silent"
        self._on(monitor.Pinged(answer, self._cluster.time.now_s()))

    def _on_exit(self, _: str, data: bytes, __: Answer | None) -> None:
        try:
            exited = msgspec.json.decode(data, type=Exited)
        except msgspec.MsgspecError:
            return  # nobody but a node may publish here; what is no message is no evidence
        self._on(monitor.EpochEnded(exited.epoch, exited.reason))

    def _on(self, event: monitor.Event) -> None:
        if self._monitor is None:
            return
        self._monitor, commands = monitor.step_monitor(self._monitor, event)
        for command in commands:
            match command:
                case monitor.Reach(reachable):
                    self._say(reachable)
                case monitor.Exit(reason):
                    self._placing.clear = True
                    self._exit(reason)

    def _exit(self, reason: str) -> None:
        known = self._monitor
        assert known is not None
        word, _, node = reason.partition(":")
        if word == MOVED:
            self._say(reachable=False)
            self._task = asyncio.ensure_future(self._move(node, known.epoch))
            return
        self._tell(Ended(self.job.name, known.epoch, reason))

    async def _move(self, node: str, epoch: int) -> None:
        """Place a child that ended for a move on its new node, without telling the parent."""
        placed = await self._placing.start(node)
        if placed.ok:
            self._watch(placed)
        else:
            self._tell(Ended(self.job.name, epoch, placed.reason))

    def _say(self, reachable: bool) -> None:
        known = self._monitor
        if known is not None:
            age_s = known.lease.age_s(self._cluster.time.now_s())
            self._tell(Linked(self.job.name, known.epoch, self._node, reachable, age_s))

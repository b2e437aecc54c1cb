"""Watching one remote child: the pure monitor, run against the cluster.

A parent is told of deaths, and of ends that were asked for. All else is healed here without it: a
child that was moved, fenced, or not heard of until its lease was over is placed again, as often as
it takes, and is `unreachable` to its parent meanwhile. Where a node has died with many children,
one of them tells, and the others are placed again: one cause is one death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.cluster.link.frames import ChildJob, Done, Ended, Linked, News
from ssm_cli.cluster.link.placing import ASK_S, Loads, Placed, Placing, ask, hosts
from ssm_cli.cluster.ports import Answer, CallLost, Cluster, ClusterError, Handle, Unknown
from ssm_cli.cluster.protocol import monitor, names
from ssm_cli.cluster.protocol.lease import Observed
from ssm_cli.cluster.protocol.messages import FENCED, MOVED, STOPPED, Exited, Ping, Said, Stop

LOOKS = 4  # at the lease, over the time that it is good for; one a second at the least
HURRY_S = 0.1  # between two looks while nobody answers
SAY_S = 1.0  # between two words about a link that does not change
MOVE_S = 30.0  # how long a move is waited for
HEALED = {MOVED, FENCED, STOPPED}
"""Ends that are no deaths: the child is placed again without its parent."""
PASSES = {"noconnection", "no_node", "noproc", "conflict", *HEALED}
"""Why a start failed, and will not for ever: it is tried again."""
HEAL_S, HEAL_MOST_S = 0.25, 4.0  # between two tries; doubled each time, up to the second
ONE_CAUSE_S = 60.0  # a node that dies again within it is the same cause


class Kin:
    """What the children of one tree share: where they were placed, and which nodes have died."""

    def __init__(self) -> None:
        self.loads = Loads()
        self._died_s: dict[str, float] = {}

    def is_new_cause(self, node: str, now_s: float) -> bool:
        """Return whether the death of a node has not been told of yet, and note it."""
        self._died_s = {n: s for n, s in self._died_s.items() if now_s - s < ONE_CAUSE_S}
        new = node not in self._died_s
        self._died_s.setdefault(node, now_s)
        return new


class Watching:
    """One remote child.

    Args:
        cluster: where it runs.
        tree: of its parent.
        job: the child's spec.
        tell: called with news for the parent.
        kin: what it shares with the other children of the tree; None where there are none.
    """

    def __init__(
        self,
        cluster: Cluster,
        tree: str,
        job: ChildJob,
        tell: Callable[[News], None],
        kin: Kin | None = None,
    ) -> None:
        self.job = job
        self._cluster = cluster
        self._tree = tree
        self._tell = tell
        self._kin = kin or Kin()
        self._look_s = min(ASK_S, job.ttl_s / LOOKS)
        self._placing = Placing(cluster, tree, job, self._kin.loads)
        self._monitor: monitor.Monitor | None = None
        self._node = ""
        self._epoch = 0
        self._task: asyncio.Task[Any] | None = None  # that starts it, looks at it or heals it
        self._handle: Handle | None = None

    async def start(self, n: int, *, adopt: bool) -> Done:
        """Start the child, and monitor it from then on; with `adopt` one that lives on will do.

        A stop, or another start, ends this one.
        """
        self._forget()
        starting = asyncio.ensure_future(self._start(n, adopt=adopt))
        self._task = starting
        await asyncio.wait([starting])
        if starting.cancelled():
            return Done(n, ok=False, reason=STOPPED, detail="it was stopped while it started")
        return starting.result()

    async def _start(self, n: int, *, adopt: bool) -> Done:
        try:
            await self._listen()
            placed = await self._placing.adopt() if adopt else None
            if isinstance(placed, Unknown):
                return Done(n, ok=False, reason="noconnection", detail=placed.detail)
            placed = await self._placing.start() if placed is None else placed
        except ClusterError as error:
            return Done(n, ok=False, reason="noconnection", detail=str(error))
        if placed.ok:
            self._watch(placed)
        return Done(n, placed.ok, placed.reason, placed.detail, placed.node, placed.epoch)

    async def watch_again(self, n: int, epoch: int, node: str) -> Done:
        """Monitor a life that an earlier link process has watched; what became of it shows."""
        self._forget()
        try:
            await self._listen()
        except ClusterError as error:
            return Done(n, ok=False, reason="noconnection", detail=str(error))
        self._placing.before = node
        self._watch(Placed(ok=True, node=node, epoch=epoch), reachable=False)
        return Done(n, ok=True, node=node, epoch=epoch)

    async def _listen(self) -> None:
        if self._handle is None:
            subject = names.exits(self._tree, self.job.name)
            self._handle = await self._cluster.calls.serve(subject, self._on_exit)

    def _forget(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _watch(self, placed: Placed, *, reachable: bool = True) -> None:
        now_s = self._cluster.time.now_s()
        self._node, self._epoch = placed.node, placed.epoch
        self._placing.lost = ""
        self._monitor = monitor.Monitor(
            placed.epoch,
            self.job.ttl_s,
            self.job.takeover,
            Observed(placed.revision, now_s, now_s),
            reachable=reachable,
        )
        self._say(reachable)
        self._task = asyncio.ensure_future(self._look(placed.epoch))

    @property
    def node(self) -> str:
        """The node where it runs, or ran last; "" before its first start."""
        return self._node

    async def place_for(self, wanted: str) -> Said:
        """Say where else it could go on; see `Placing.elsewhere`."""
        return await self._placing.elsewhere(wanted, self._node)

    async def move_to(self, node: str) -> bool:
        """Have the child go on at another node; return whether it does so within `MOVE_S`."""
        known, time = self._monitor, self._cluster.time
        if known is None or known.over:
            return False
        stop = Stop(self._tree, self.job.name, known.epoch, reason=f"{MOVED}:{node}")
        said = await ask(self._cluster, names.controls(self._tree, self.job.name), stop, ASK_S)
        end_s = time.now_s() + MOVE_S
        while not isinstance(said, CallLost) and time.now_s() < end_s:
            if self._node == node:
                return True
            await time.sleep_s(HURRY_S)
        return False

    async def stop(self, n: int, within_s: float) -> Done:
        """Stop the child in order; without an answer wait until its lease has expired."""
        self._forget()
        known, self._monitor = self._monitor, None
        found = await self._placing.lease()
        lease = None if isinstance(found, Unknown) else found[1]
        if not isinstance(found, Unknown) and (lease is None or lease.released):
            return Done(n, ok=True, reason="noproc")
        node, epoch = (self._node, self._epoch) if lease is None else (lease.node, lease.epoch)
        if known is None and lease is None:
            return Done(n, ok=False, reason="noconnection", detail="the lease cannot be read")
        stop = Stop(self._tree, self.job.name, epoch, within_s=within_s)
        said = await ask(self._cluster, names.agent(node), stop, within_s + ASK_S)
        if isinstance(said, CallLost):
            margin_s = self.job.ttl_s * 1.5
            await self._cluster.time.sleep_s(margin_s)
            return Done(n, ok=False, reason="noconnection", detail=said.detail)
        self._placing.gone = max(self._placing.gone, epoch)
        return Done(n, ok=True, reason=said.reason)

    async def close(self) -> None:
        """End monitoring; the child runs on."""
        self._forget()
        if self._handle is not None:
            await self._handle.close()

    # -- signs of life ---------------------------------------------------------------------------

    async def _look(self, epoch: int) -> None:
        time, said_s = self._cluster.time, 0.0
        while (known := self._monitor) is not None and known.epoch == epoch and not known.over:
            pause_s = HURRY_S if known.absent else self._look_s
            asking = [self._read_lease(), self._ping(), time.sleep_s(pause_s)]
            await asyncio.gather(*asking, *([self._ask_agent()] if monitor.doubted(known) else []))
            if time.now_s() - said_s >= SAY_S and self._monitor is not None:
                said_s = time.now_s()
                self._say(self._monitor.reachable)

    async def _read_lease(self) -> None:
        asked_s = self._cluster.time.now_s()
        found = await self._placing.lease()
        if isinstance(found, Unknown):
            self._on(monitor.LeaseUnread(asked_s))
            return
        revision, lease = found
        epoch, ended = (0, "") if lease is None else (lease.epoch, "")
        if lease is not None and lease.released:
            ended = lease.reason or "noproc"
        self._on(monitor.LeaseRead(revision, epoch, asked_s, self._cluster.time.now_s(), ended))

    async def _ask_agent(self) -> None:
        known = self._monitor
        said = await ask(self._cluster, names.looks(self._node), Ping(), self._look_s)
        if known is None or self._monitor is None or self._monitor.epoch != known.epoch:
            return
        seen: monitor.Seen = "hosted"
        if isinstance(said, CallLost):
            seen = "absent" if said.why == "noproc" else "silent"
        elif not hosts(said, self._tree, self.job.name, known.epoch):
            seen = "unknown"
        self._on(monitor.AgentSaid(seen))

    async def _ping(self) -> None:
        subject = names.controls(self._tree, self.job.name)
        said = await ask(self._cluster, subject, Ping(), self._look_s)
        answer: monitor.Answer = "alive"
        if isinstance(said, CallLost):
            answer = "absent" if said.why == "noproc" else "silent"
        self._on(monitor.Pinged(answer, self._cluster.time.now_s()))

    def _on_exit(self, _: str, data: bytes, __: Answer | None) -> None:
        try:
            exited = msgspec.json.decode(data, type=Exited)
        except msgspec.MsgspecError:
            return  # nobody but a node may publish here; what is no message is no evidence
        self._placing.witness(exited.epoch, exited.journal, exited.saved)
        self._on(monitor.EpochEnded(exited.epoch, exited.reason))

    def _on(self, event: monitor.Event) -> None:
        if self._monitor is None:
            return
        self._monitor, commands = monitor.step_monitor(self._monitor, event)
        for command in commands:
            match command:
                case monitor.Reach(reachable):
                    self._say(reachable)
                case monitor.Exit(reason, grade):
                    self._exit(self._monitor, reason, grade)

    def _exit(self, known: monitor.Monitor, reason: str, grade: monitor.Grade) -> None:
        """Tell the parent of a death; heal what is none."""
        if grade == "silence":
            self._placing.over, self._placing.lost = known.lease.revision, self._node
        else:
            self._placing.gone = max(self._placing.gone, known.epoch)
        word, _, node = reason.partition(":")
        told = word not in HEALED and grade != "silence"
        if told and grade == "absence":
            told = self._kin.is_new_cause(self._node, self._cluster.time.now_s())
        if told:
            self._tell(Ended(self.job.name, known.epoch, reason))
            return
        self._say(reachable=False)
        self._task = asyncio.ensure_future(self._heal(node))

    async def _heal(self, node: str) -> None:
        """Take up a life that goes on, or start the next one, until that is done or hopeless."""
        pause_s = HEAL_S
        after = 0 if self._monitor is None else self._monitor.lease.revision
        while True:
            try:
                placed = await self._placing.adopt(after)
                placed = await self._placing.start(node) if placed is None else placed
            except ClusterError as error:
                placed = Unknown(str(error))
            if isinstance(placed, Placed) and placed.ok:
                self._watch(placed)
                return
            if isinstance(placed, Placed) and placed.reason not in PASSES:
                self._tell(Ended(self.job.name, self._epoch, placed.reason))
                return
            self._say(reachable=False)
            await self._cluster.time.sleep_s(pause_s)
            pause_s = min(2 * pause_s, HEAL_MOST_S)

    def _say(self, reachable: bool) -> None:
        known, age_s = self._monitor, 0.0
        if known is not None:
            age_s = known.lease.age_s(self._cluster.time.now_s())
        self._tell(Linked(self.job.name, self._epoch, self._node, reachable, age_s))

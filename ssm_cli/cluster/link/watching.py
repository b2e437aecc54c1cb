"""Watching one remote child: the pure monitor, run against the cluster.

A parent is told of deaths, and of ends that were asked for. All else is healed here without it: a
child that was moved, fenced, or not heard of until its lease was over is placed again, as often as
it takes, and is `unreachable` to its parent meanwhile. Where a node has died with many children,
one of them tells, and the others are placed again: one cause is one death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from ssm_cli.cluster.link.asking import ASK_S, ask, ask_again, seen_of
from ssm_cli.cluster.link.causes import Causes
from ssm_cli.cluster.link.frames import ChildJob, Done, Ended, Linked, News
from ssm_cli.cluster.link.placing import Loads, Placed, Placing, go_on, not_placed
from ssm_cli.cluster.link.pulses import LOOKS, Pulses, Sight
from ssm_cli.cluster.ports import (
    Answer,
    CallLost,
    Cluster,
    ClusterError,
    Handle,
    Time,
    Unknown,
    unclear,
)
from ssm_cli.cluster.protocol import monitor, names
from ssm_cli.cluster.protocol.lease import Observed
from ssm_cli.cluster.protocol.limits import STARTED_S
from ssm_cli.cluster.protocol.messages import (
    FENCED,
    MOVED,
    STOPPED,
    Exited,
    Lease,
    Ping,
    Retell,
    Stop,
)

SAY_S = 1.0  # between two words about a link that does not change
HEALED = {MOVED, FENCED, STOPPED}
"""Ends that are no deaths: the child is placed again without its parent."""
PASSES = {"noconnection", "no_node", "noproc", "conflict", *HEALED}
"""Why a start failed, and will not for ever: it is tried again."""
HEAL_S, HEAL_MOST_S = 0.25, 4.0  # between two tries; doubled each time, up to the second


class Kin:
    """What the children of one tree share: where they are placed, and what is seen of the nodes."""

    def __init__(self, causes: Causes | None = None) -> None:
        self.loads = Loads()
        self._pulses: Pulses | None = None
        self._causes = causes or Causes()

    def pulses(self, cluster: Cluster) -> Pulses:
        """Return the nodes as they are watched for all of them."""
        if self._pulses is None:
            self._pulses = Pulses(cluster)
        return self._pulses

    def is_new_cause(self, node: str, now_s: float) -> bool:
        """Return whether the death of a node has not been told of yet, and note it."""
        return self._causes.is_new(node, now_s)


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
        self.tree = tree
        self._tell = tell
        self._kin = kin or Kin()
        self._pulses = self._kin.pulses(cluster)
        self.placing = Placing(cluster, tree, job, self._kin.loads, self._pulses)
        self._unwatch: Callable[[], None] | None = None
        self._said_s = self._pinged_s = 0.0
        self._monitor: monitor.Monitor | None = None
        self.node = ""  # where it runs, or ran last
        self._boot = self._beating = self._why = ""  # why it was not placed again
        self._epoch = 0
        self._task: asyncio.Task[Any] | None = None  # that starts it, or heals it
        self._asking: set[asyncio.Task[None]] = set()
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
        placed = await placed_in_time(self._cluster.time, lambda: self._place(adopt=adopt))
        if placed.ok:
            self._watch(placed)
        return Done(n, placed.ok, placed.reason, placed.detail, placed.node, placed.epoch)

    async def _place(self, *, adopt: bool) -> Placed:
        try:
            await self._listen()
            return await (go_on(self.placing) if adopt else self.placing.start())
        except ClusterError as error:
            return not_placed(unclear(error))

    async def watch_again(self, n: int, epoch: int, node: str) -> Done:
        """Monitor a life that an earlier link process has watched; what became of it shows."""
        self._forget()
        try:
            await self._listen()
        except ClusterError as error:
            return Done(n, ok=False, reason="noconnection", detail=str(error))
        self.placing.watch(node, epoch)
        self._watch(Placed(ok=True, node=node, epoch=epoch), reachable=False)
        return Done(n, ok=True, node=node, epoch=epoch)

    async def _listen(self) -> None:
        if self._handle is None:
            subject = names.exits(self.tree, self.job.name)
            self._handle = await self._cluster.calls.serve(subject, self._on_exit)

    def _forget(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._look_away()

    def _look_away(self) -> None:
        for task in self._asking:
            task.cancel()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _watch(self, placed: Placed, *, reachable: bool = True) -> None:
        now_s = self._cluster.time.now_s()
        self.node, self._epoch, self._boot = placed.node, placed.epoch, placed.boot
        self.placing.lost = self._why = ""
        self._look_away()
        self._monitor = monitor.Monitor(
            placed.epoch, self.job.ttl_s, self.job.takeover,
            Observed(placed.beat, now_s, now_s, beaten_s=now_s),
            revision=placed.revision, reachable=reachable,
        )  # fmt: skip
        self._say(reachable)
        self._unwatch = self._pulses.watch(placed.node, self.job.ttl_s, self._on_sight)

    @property
    def epoch(self) -> int:
        """The epoch of the life that is watched; 0 for none."""
        known = self._monitor
        return 0 if known is None or known.over else known.epoch

    async def stop(self, n: int, within_s: float) -> Done:
        """Stop the child in order; without an answer wait until its lease has expired."""
        self._forget()
        known, self._monitor = self._monitor, None
        found = await self.placing.lease()
        lease = None if isinstance(found, Unknown) else found[1]
        if not isinstance(found, Unknown) and (lease is None or lease.released):
            return Done(n, ok=True, reason="noproc")
        node, epoch = (self.node, self._epoch) if lease is None else (lease.node, lease.epoch)
        if known is None and lease is None:
            return Done(n, ok=False, reason="noconnection", detail="the lease cannot be read")
        stop = Stop(self.tree, self.job.name, epoch, within_s=within_s)
        said = await ask(self._cluster, names.agent(node), stop, within_s + ASK_S)
        if isinstance(said, CallLost):
            margin_s = self.job.ttl_s * 1.5
            await self._cluster.time.sleep_s(margin_s)
            return Done(n, ok=False, reason="noconnection", detail=said.detail)
        self.placing.gone = max(self.placing.gone, epoch)
        return Done(n, ok=True, reason=said.reason)

    async def close(self) -> None:
        """End monitoring; the child runs on."""
        self._forget()
        if self._handle is not None:
            await self._handle.close()

    # -- signs of life ---------------------------------------------------------------------------

    def _on_sight(self, sight: Sight) -> bool:
        """Judge what was seen of the node; return whether to look again soon."""
        known = self._monitor
        if known is None or known.over:
            return False
        found = sight.hosted.get((self.tree, self.job.name, known.epoch))
        alive = found is not None and not found.silent
        if sight.pulse is None and alive and monitor.is_well(known):
            return False
        if isinstance(sight.pulse, tuple):
            self._beating = sight.pulse[0]
            self._boot = self._boot or (self._beating if found is not None else "")
        if sight.pulse is not None:
            self._on(pulse_of(sight, self._boot, known.lease.beat))
        if found is not None:
            self._on(monitor.AgentSaid("hosted"))
            self._on(monitor.Pinged("alive" if alive else "silent", sight.heard_s))
        else:  # who has hosted it says how it ended, by the lease, or when asked
            self._on(monitor.AgentSaid(seen_of(sight.said, is_its=self._boot == self._beating)))
        if self.job.orphan == "stop" and sight.asked_s - self._pinged_s >= self.job.ttl_s:
            self._spawn(self._ping())  # it ends where it does not hear of its parent
        elif found is None and not self._asking:
            self._spawn(self._ping())
            self._spawn(self._read_lease())
            asked = Retell(self.tree, self.job.name, known.epoch, self._boot)
            self._spawn(ask_again(self._cluster, self.node, asked))
        if sight.heard_s - self._said_s >= SAY_S and self._monitor is not None:
            self._said_s = sight.heard_s
            self._say(self._monitor.reachable)
        return self._monitor is not None and monitor.doubted(self._monitor)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _read_lease(self) -> None:
        found = await self.placing.lease()
        if not isinstance(found, Unknown):
            self._on(lease_read(*found))

    async def _ping(self) -> None:
        known, self._pinged_s = self._monitor, self._cluster.time.now_s()
        subject = names.controls(self.tree, self.job.name)
        said = await ask(self._cluster, subject, Ping(), min(ASK_S, self.job.ttl_s / LOOKS))
        answer: monitor.Answer = "alive"
        if isinstance(said, CallLost):
            answer = "absent" if said.why == "noproc" else "silent"
        if known is not None and self._monitor is not None and known.epoch == self._monitor.epoch:
            self._on(monitor.Pinged(answer, self._cluster.time.now_s()))

    def _on_exit(self, _: str, data: bytes, __: Answer | None) -> None:
        try:
            exited = msgspec.json.decode(data, type=Exited)
        except msgspec.MsgspecError:
            return  # nobody but a node may publish here; what is no message is no evidence
        self.placing.witness(exited.epoch, exited.journal, exited.saved)
        self.placing.gone = max(self.placing.gone, exited.epoch)
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
        if self._unwatch is not None:
            self._unwatch()
        if grade == "silence":
            self.placing.over = self.node, known.lease.beat
            self.placing.lost = self.node
        else:
            self.placing.gone = max(self.placing.gone, known.epoch)
        word, _, node = reason.partition(":")
        told = word not in HEALED and grade != "silence"
        if told and grade == "absence":
            told = self._kin.is_new_cause(self.node, self._cluster.time.now_s())
        if told:
            died = self.node if grade == "absence" else ""
            self._tell(Ended(self.job.name, known.epoch, reason, died))
            return
        self._why = f"it goes on at {node}" if node else ""
        self._say(reachable=False)
        self._task = asyncio.ensure_future(self._heal(node))

    async def _heal(self, node: str) -> None:
        """Take up a life that goes on, or start the next one, until that is done or hopeless."""
        pause_s, why = HEAL_S, ""
        after = 0 if self._monitor is None else self._monitor.lease.beat
        while True:
            placed = await go_on(self.placing, node, epoch=self._epoch, after=after)
            if placed.ok:
                self._watch(placed)
                return
            if placed.reason.partition(":")[0] not in PASSES:
                self._tell(Ended(self.job.name, self._epoch, placed.reason))
                return
            pause_s = min(2 * pause_s, HEAL_MOST_S) if placed.reason == why else HEAL_S
            why, self._why = placed.reason, placed.detail  # for another reason it is tried soon
            self._say(reachable=False)
            await self._cluster.time.sleep_s(pause_s)

    def _say(self, reachable: bool) -> None:
        known, now_s = self._monitor, self._cluster.time.now_s()
        age_s = 0.0 if known is None else known.lease.age_s(now_s)
        self._tell(Linked(self.job.name, self._epoch, self.node, reachable, age_s, self._why))


async def placed_in_time(time: Time, place: Callable[[], Awaitable[Placed]]) -> Placed:
    """Place a child; while the servers do not answer, again, as long as a start may take."""
    end_s, pause_s = time.now_s() + STARTED_S, HEAL_S
    placed = await place()
    while placed.reason == "noconnection" and not placed.denied and time.now_s() < end_s:
        await time.sleep_s(pause_s)
        pause_s = min(2 * pause_s, HEAL_MOST_S)
        placed = await place()
    return placed


def pulse_of(sight: Sight, boot: str, beat: int) -> monitor.Event:
    """Return what was seen of the pulse of a node, on whose `boot` a life hangs.

    The beats of another agent do not make its lease good: then it is as it was, at `beat`.
    """
    if not isinstance(sight.pulse, tuple):
        return monitor.PulseUnread(sight.asked_s)
    beat = sight.pulse[1] if sight.pulse[0] == boot else beat
    return monitor.PulseRead(beat, sight.asked_s, sight.heard_s)


def lease_read(revision: int, lease: Lease | None) -> monitor.LeaseRead:
    """Return what a lease says of a life."""
    if lease is None:
        return monitor.LeaseRead(revision, 0)
    ended = (lease.reason or "noproc") if lease.released else ""
    return monitor.LeaseRead(revision, lease.epoch, ended)

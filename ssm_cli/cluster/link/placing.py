"""Placing a subtree: a node that fits, the lease with the next epoch, then the start."""

from __future__ import annotations

import asyncio

import msgspec

from ssm_cli.cluster.link.asking import (
    ASK_S,
    PAUSE_S,
    ask,
    asked_all,
    find_life,
    is_nobody_there,
)
from ssm_cli.cluster.link.frames import ChildJob
from ssm_cli.cluster.link.pulses import Pulses
from ssm_cli.cluster.ports import (
    CallLost,
    Cells,
    Cluster,
    ClusterError,
    Conflict,
    Unknown,
    unclear,
)
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.lease import LET_GO_S, TAKEOVER
from ssm_cli.cluster.protocol.limits import STARTED_S
from ssm_cli.cluster.protocol.messages import (
    FENCED,
    Advert,
    Lease,
    Revoked,
    Said,
    Start,
    Stop,
    advertised,
    leased,
)
from ssm_cli.cluster.protocol.placement import fitting, misfit

AGAIN_S = 1.5  # without an answer, and a start is asked for again
SIDE_BY_SIDE = 4  # nodes that are asked at once whether they are there
TRIES = 8  # of one start whose lease is lost each time
ELSEWHERE = {"noproc", "undef", "no_node", "version"}
"""Why a start failed on one node, and may not on the next."""
OTHER_SSM = {"undecodable", ""}
"""How the agent of another ssm refuses an order that it does not know, or does not say why."""
LOST = {"conflict", FENCED}
"""Why a start is tried again: another one wrote the lease first, or it was not good in time."""
AT_ONCE = 8  # starts on one node: more would wait for its cores, and for its disk


class Placed(msgspec.Struct, frozen=True):
    """Where a subtree runs, its agent and the beat of that; or why it could not be placed.

    `denied` where the servers do not let this user place it; to try again gives the same. With
    `elsewhere` another node may take it, or the same one later: none of its code was run.
    """

    ok: bool
    reason: str = ""
    detail: str = ""
    node: str = ""
    epoch: int = 0
    revision: int = 0
    beat: int = 0
    boot: str = ""
    denied: bool = False
    elsewhere: bool = False


def not_placed(why: Unknown) -> Placed:
    """Say that it could not be placed, as the cluster did not answer."""
    return Placed(ok=False, reason="noconnection", detail=why.detail, denied=why.denied)


def not_asked(node: str, why: CallLost) -> Placed:
    """Say that a node has not answered, as it hangs, or the servers do."""
    detail = f"{node}: {why.detail}"
    return Placed(ok=False, reason="noconnection", detail=detail, elsewhere=True)


class Loads:
    """How many subtrees were placed on each node that its advert does not count yet.

    One for all children of a tree: started together, they would go to the same node otherwise.
    """

    def __init__(self) -> None:
        self._placed: dict[str, tuple[int, int]] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}

    def turn(self, node: str) -> asyncio.Semaphore:
        """Return what lets so many starts on a node go on at once."""
        return self._turns.setdefault(node, asyncio.Semaphore(AT_ONCE))

    def more(self, adverts: list[Advert]) -> dict[str, int]:
        """Return them; what a later advert counts is forgotten."""
        beats = {advert.node: advert.beat for advert in adverts}
        known = self._placed.items()
        self._placed = {n: (beat, k) for n, (beat, k) in known if beats.get(n, -1) <= beat + 1}
        return {node: count for node, (_, count) in self._placed.items()}

    def note(self, node: str, adverts: list[Advert]) -> None:
        """One is to be placed there: others that choose a node meanwhile count it."""
        beat = next((advert.beat for advert in adverts if advert.node == node), 0)
        self._placed[node] = beat, self._placed.get(node, (0, 0))[1] + 1

    def take_back(self, node: str) -> None:
        """It was not placed there after all."""
        beat, count = self._placed.get(node, (0, 0))
        if count:
            self._placed[node] = beat, count - 1


class Placing:
    """Places one child of one tree.

    Attributes:
        gone: the last epoch that is known to have ended; its lease has not to expire.
        over: the node and the beat that were seen to be over; without another one since, the lease
            is not waited for.
        before: the node of the previous life.
        lost: a node that was not heard of; it is asked last, as an answer may never come.
    """

    def __init__(
        self,
        cluster: Cluster,
        tree: str,
        job: ChildJob,
        loads: Loads,
        pulses: Pulses | None = None,
    ) -> None:
        self.gone = 0
        self.over = "", 0
        self.before = self.lost = ""
        self._cluster = cluster
        self._tree = tree
        self._job = job
        self._loads = loads
        self._pulses = pulses or Pulses(cluster)
        self._known = Lease("", 0, 0.0)  # what was seen of it; the cells may be lost

    async def cells(self) -> Cells:
        """The cells with the leases of the tree."""
        return await self._cluster.cells(names.leases(self._tree), self._job.replicas)

    async def lease(self) -> tuple[int, Lease | None] | Unknown:
        """Read the lease."""
        found = await (await self.cells()).get(self._job.name)
        if isinstance(found, Unknown):
            return found
        revision, data = found
        lease = None if data is None else leased(data)
        if data is not None and lease is None:
            return Unknown(f"the lease of {self._job.name} is none")
        if lease is not None and lease.epoch > self._known.epoch:
            self._known = lease
        elif lease is not None:
            self.witness(lease.epoch, lease.journal, lease.saved)
        return revision, lease

    def watch(self, node: str, epoch: int) -> None:
        """Note a life that somebody else has placed; its lease may be lost before it is read."""
        self.before = node
        self._known = Lease(node, epoch, self._job.ttl_s)

    def witness(self, epoch: int, journal: int, saved: int) -> None:
        """Note what the end of a life said of its journal; its lease may not have said so yet."""
        known = self._known
        if epoch == known.epoch:
            journal, saved = max(journal, known.journal), max(saved, known.saved)
            self._known = msgspec.structs.replace(known, journal=journal, saved=saved)

    async def adopt(self, epoch: int = 0, after: int = 0) -> Placed | Unknown | None:
        """Return a running life, if there is one; of that epoch only if its node has beaten since.

        It need not answer: one whose user code does not return is there if its agent says so. One
        that still starts is ordered again, which says how that goes. One that an agent of an older
        ssm hosts, whose lease hangs on no pulse, is not adopted.
        """
        found = await self.lease()
        if isinstance(found, Unknown):
            return found
        revision, lease = found
        if lease is None or lease.released or not lease.boot:
            return None
        pulse = await self._pulses.read(lease.node)
        if isinstance(pulse, Unknown):
            return pulse
        beat = 0 if pulse[1] is None else pulse[1].beat
        silent = lease.epoch == epoch and beat <= after
        known = self._tree, self._job.name, lease.epoch
        life = None if silent else await find_life(self._cluster, lease.node, *known)
        if life is None:
            return None
        if life.starting:
            placed = await self._order(lease, revision)
            return None if placed.reason in {FENCED, *ELSEWHERE} else placed
        self.before = lease.node
        return Placed(
            ok=True, node=lease.node, epoch=lease.epoch, revision=revision, beat=beat,
            boot=lease.boot,
        )  # fmt: skip

    async def start(self, wanted: str = "") -> Placed:
        """Start the next life: on the wanted node, else the previous, else the best that fits."""
        failed: dict[str, Placed] = {}
        for left in reversed(range(TRIES)):
            nodes = await adverts(self._cluster)
            if isinstance(nodes, Unknown):
                return not_placed(nodes)
            placed = await self._try_each(nodes, wanted, failed)
            if placed is None:
                return nowhere(nodes, failed, self._job, ran=bool(self.before))
            if placed.reason not in LOST or (placed.reason == FENCED and not left):
                return placed
        return Placed(ok=False, reason="no_node", detail="another parent places it, too")

    async def _try_each(
        self, nodes: list[Advert], wanted: str, failed: dict[str, Placed]
    ) -> Placed | None:
        """Try the nodes that fit and answer, best first, but those that have failed."""
        known = fitting(
            nodes, self._job.place, before=wanted or self.before, placed=self._loads.more(nodes)
        )
        fit = [node for node in known if node not in failed and node != self.lost]
        some = [fit[first : first + SIDE_BY_SIDE] for first in range(0, len(fit), SIDE_BY_SIDE)]
        there = known[0] if known else ""
        self._loads.note(there, nodes)
        placed = None
        try:
            for asked in (*some, [self.lost] if self.lost in known else []):
                for node, said in (await asked_all(self._cluster, asked)).items():
                    if isinstance(said, CallLost):
                        if said.why != "noproc":
                            failed[node] = not_asked(node, said)
                        continue
                    self._loads.take_back(there)
                    there, placed = node, None
                    self._loads.note(there, nodes)
                    placed = await self._start_on(node)
                    if placed.ok or placed.reason not in ELSEWHERE:
                        return placed
                    failed[node] = placed
            return None
        finally:
            if placed is None or not placed.ok:
                self._loads.take_back(there)

    async def _start_on(self, node: str) -> Placed:
        found = await self._free()
        if isinstance(found, Unknown):
            return not_placed(found)
        revision, known = found
        job = self._job
        epoch = 1 + max(self._known.epoch, 0 if known is None else known.epoch)
        journal, saved = self._reached(known)
        lease = Lease(node, epoch, job.ttl_s, spec=job.spec, journal=journal, saved=saved)
        written = await (await self.cells()).cas(job.name, msgspec.json.encode(lease), revision)
        if isinstance(written, Conflict):
            return Placed(ok=False, reason="conflict", detail="another parent places it, too")
        if isinstance(written, Unknown):
            return not_placed(written)
        self._known = lease
        return await self._order(lease, written)

    async def _order(self, lease: Lease, revision: int) -> Placed:
        """Order a start from the node that its lease names, and wait until it serves."""
        job, node, epoch = self._job, lease.node, lease.epoch
        start = Start(
            self._tree, job.name, lease.spec, epoch, revision, lease.ttl_s, job.orphan,
            job.replicas, lease.journal, lease.saved,
        )  # fmt: skip
        async with self._loads.turn(node):
            said, surely = await self._insist(node, start)
        if isinstance(said, CallLost):
            self.gone = max(self.gone, epoch if surely else 0)
            reason = "noproc" if said.why == "noproc" else "noconnection"
            return Placed(ok=False, reason=reason, detail=f"{node}: {said.detail}")
        if not said.ok:
            self.gone = max(self.gone, epoch)
            if said.reason in OTHER_SSM:
                detail = f"{node}: {said.detail or 'it is of another ssm than this tree'}"
                return Placed(ok=False, reason="version", detail=detail, elsewhere=True)
            detail = f"{node}: {said.detail}"
            return Placed(ok=False, reason=said.reason, detail=detail, elsewhere=said.absent)
        self.before = node
        return Placed(ok=True, node=node, epoch=epoch, revision=revision, boot=said.boot)

    def _reached(self, known: Lease | None) -> tuple[int, int]:
        """Return what journal and saved states had reached, by the lease and what we have seen.

        Where the lease is lost the journal may be, too; a life that we have seen wrote to it.
        """
        seen = self._known
        if known is not None and known.epoch >= seen.epoch:
            return seen.journal, seen.saved
        return max(seen.journal, 1 if self.before else 0), seen.saved

    async def _insist(self, node: str, start: Start) -> tuple[Said | CallLost, bool]:
        """Retry a start until it is answered; that is safe, as an epoch starts only once.

        Returns the answer, and whether the node surely has not got the order where that is none.
        """
        time = self._cluster.time
        end_s = time.now_s() + STARTED_S
        first = True
        while True:
            said = await ask(self._cluster, names.agent(node), start, AGAIN_S)
            known = not isinstance(said, CallLost) or said.why == "noproc"
            if known or time.now_s() >= end_s:
                return said, first and known
            first = False
            await time.sleep_s(PAUSE_S)

    async def _free(self) -> tuple[int, Lease | None] | Unknown:
        """Read the lease, and make sure that whoever has it acts no more.

        Where it is gone, as the cells may be lost, that is whoever was seen to have it.
        """
        found = await self.lease()
        if isinstance(found, Unknown):
            return found
        known = found[1] or self._known
        return (await self._ended(known) if known.epoch else None) or found

    async def _ended(self, known: Lease) -> Unknown | None:
        """Make sure that the previous life does nothing any more; return why that is not known.

        Its agent says so, or has said so. Else it must not make the lease good any more, which a
        revocation in the cell of its pulse sees to, and the lease is waited out, unless it was seen
        to be over. Where the servers know that nobody is there, who is cut off has not beaten for
        as long as that takes them. Only then may the next epoch be written: who comes after us
        reads of this one.
        """
        if known.released:
            return None
        told, taken = self.gone >= known.epoch, Revoked(self._tree, self._job.name, known.epoch)
        if told or known.node == self.over[0]:
            beat = await self._pulses.revoke(known.node, taken)
            if isinstance(beat, Unknown) or told or (known.node, beat) == self.over:
                return beat if isinstance(beat, Unknown) else None
        stop = Stop(self._tree, self._job.name, known.epoch, reason=FENCED, within_s=ASK_S)
        said = await ask(self._cluster, names.agent(known.node), stop, ASK_S * 2)
        if not isinstance(said, CallLost) and said.ok:
            return None
        beat = await self._pulses.revoke(known.node, taken)
        if isinstance(beat, Unknown):
            return beat
        there = names.controls(self._tree, self._job.name), names.looks(known.node)
        time, over_s = self._cluster.time, known.ttl_s * TAKEOVER[self._job.takeover]
        if self._job.takeover == "fence" and await is_nobody_there(self._cluster, *there):
            over_s -= LET_GO_S
        end_s = time.now_s() + over_s
        while time.now_s() < end_s and self.gone < known.epoch:  # its agent may tell meanwhile
            await time.sleep_s(PAUSE_S)
        return None


def nowhere(nodes: list[Advert], failed: dict[str, Placed], job: ChildJob, *, ran: bool) -> Placed:
    """Say why no node hosts a child: what was wrong on each that was tried, else on each.

    One that has run, and now finds no node that has its code, waits for one: that is no failure.
    """
    wrong = [placed for placed in failed.values() if placed.reason != "noproc"]
    if wrong:
        detail = "; ".join(placed.detail for placed in wrong)
        waits = ran and all(placed.elsewhere for placed in wrong)
        return Placed(ok=False, reason="no_node" if waits else wrong[0].reason, detail=detail)
    why = [f"{a.node} {misfit(a, job.place) or 'does not answer'}" for a in nodes]
    return Placed(ok=False, reason="no_node", detail="; ".join(why) or "no node is in the cluster")


async def go_on(placing: Placing, node: str = "", *, epoch: int = 0, after: int = 0) -> Placed:
    """Take up a life that goes on, as `adopt`; else start the next one, as `start`."""
    try:
        placed = await placing.adopt(epoch, after) or await placing.start(node)
    except ClusterError as error:
        placed = unclear(error)
    return not_placed(placed) if isinstance(placed, Unknown) else placed


async def adverts(cluster: Cluster) -> list[Advert] | Unknown:
    """Return the adverts of all nodes, recently dead ones included; all of them, or none."""
    cells = await cluster.cells(names.ADVERTS, 0)
    found = await cells.entries()
    if isinstance(found, Unknown):
        return found
    known = (advertised(data) for data in found.values())
    return [advert for advert in known if advert is not None]

"""Placing a subtree: a node that fits, the lease with the next epoch, then the start."""

from __future__ import annotations

import msgspec

from ssm_cli.cluster.link.frames import ChildJob
from ssm_cli.cluster.ports import CallLost, Cells, Cluster, Conflict, Unknown, replicas_of
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.lease import TAKEOVER
from ssm_cli.cluster.protocol.messages import Advert, Lease, Ping, Said, Start, Stop
from ssm_cli.cluster.protocol.placement import fitting, misfit

START_S = 30.0  # how long a node may take until a subtree serves
ASK_S = 1.0
AGAIN_S = 1.5  # without an answer, and a start is asked for again
ANSWER_S = 0.5  # a node that says nothing for so long is left out
PAUSE_S = 0.1
TRIES = 8  # nodes, or refused leases, of one start


class Placed(msgspec.Struct, frozen=True):
    """Where a subtree runs, or why it could not be placed."""

    ok: bool
    reason: str = ""
    detail: str = ""
    node: str = ""
    epoch: int = 0
    revision: int = 0


class Placing:
    """Places one child of one tree.

    Attributes:
        clear: the previous life is known to have ended; no lease has to expire.
        before: the node of the previous life.
    """

    def __init__(self, cluster: Cluster, tree: str, job: ChildJob) -> None:
        self.clear = False
        self.before = ""
        self._cluster = cluster
        self._tree = tree
        self._job = job

    async def cells(self) -> Cells:
        """The cells with the leases of the tree."""
        return await self._cluster.cells(names.leases(self._tree), self._job.replicas)

    async def lease(self) -> tuple[int, Lease | None] | Unknown:
        """Read the lease."""
        found = await (await self.cells()).get(self._job.name)
        if isinstance(found, Unknown):
            return found
        revision, data = found
        return revision, None if data is None else msgspec.json.decode(data, type=Lease)

    async def adopt(self) -> Placed | None:
        """Return a running life that an earlier process of the parent has started, if any."""
        found = await self.lease()
        if isinstance(found, Unknown):
            return None
        revision, lease = found
        if lease is None or lease.released:
            return None
        said = await ask(self._cluster, names.controls(self._tree, self._job.name), Ping(), ASK_S)
        if isinstance(said, CallLost) or said.epoch != lease.epoch:
            return None
        self.before = lease.node
        return Placed(ok=True, node=lease.node, epoch=lease.epoch, revision=revision)

    async def start(self, wanted: str = "") -> Placed:
        """Start the next life: on the wanted node, else the previous, else the best that fits."""
        lost: list[str] = []
        placed = Placed(ok=False, reason="no_node", detail="no node is in the cluster")
        for _ in range(TRIES):
            nodes = await adverts(self._cluster)
            if isinstance(nodes, Unknown):
                return Placed(ok=False, reason="noconnection", detail=nodes.detail)
            fit = fitting(nodes, self._job.place, before=wanted or self.before, lost=lost)
            fit = [node for node in fit if node not in lost]
            if not fit:
                why = "; ".join(f"{a.node} {misfit(a, self._job.place)}" for a in nodes)
                detail = placed.detail if lost else why or placed.detail
                return Placed(ok=False, reason="no_node", detail=detail)
            said = await ask(self._cluster, names.looks(fit[0]), Ping(), ANSWER_S)
            if isinstance(said, CallLost):  # its lease can be over long before the servers know
                placed = Placed(ok=False, reason="no_node", detail=f"{fit[0]} does not answer")
                lost.append(fit[0])
                continue
            placed = await self._start_on(fit[0])
            if placed.ok or placed.reason not in {"noproc", "conflict"}:
                return placed
            if placed.reason == "noproc":
                lost.append(fit[0])
        return msgspec.structs.replace(placed, reason="no_node")

    async def _start_on(self, node: str) -> Placed:
        found = await self.lease()
        if isinstance(found, Unknown):
            return Placed(ok=False, reason="noconnection", detail=found.detail)
        revision, known = found
        job = self._job
        epoch = 1 if known is None else known.epoch + 1
        value = msgspec.json.encode(Lease(node, epoch, job.ttl_s, spec=job.spec))
        written = await (await self.cells()).cas(job.name, value, revision)
        if isinstance(written, Conflict):
            return Placed(ok=False, reason="conflict", detail="another parent places it, too")
        if isinstance(written, Unknown):
            self.clear = False
            return Placed(ok=False, reason="noconnection", detail=written.detail)
        if known is not None and not known.released and not self.clear:
            await self._wait_out(known)
        start = Start(
            self._tree, job.name, job.spec, epoch, written, job.ttl_s, job.orphan, job.replicas
        )
        self.clear = False
        said = await self._insist(node, start)
        if isinstance(said, CallLost):
            self.clear = said.why == "noproc"
            reason = "noproc" if said.why == "noproc" else "noconnection"
            return Placed(ok=False, reason=reason, detail=f"{node}: {said.detail}")
        if not said.ok:
            self.clear = True
            return Placed(ok=False, reason=said.reason, detail=f"{node}: {said.detail}")
        self.before = node
        return Placed(ok=True, node=node, epoch=epoch, revision=written)

    async def _insist(self, node: str, start: Start) -> Said | CallLost:
        """Retry a start until it is answered; that is safe, as an epoch starts only once."""
        time = self._cluster.time
        end_s = time.now_s() + START_S
        while True:
            said = await ask(self._cluster, names.agent(node), start, AGAIN_S)
            known = not isinstance(said, CallLost) or said.why == "noproc"
            if known or time.now_s() >= end_s:
                return said
            await time.sleep_s(PAUSE_S)

    async def _wait_out(self, known: Lease) -> None:
        """Wait until the previous life is over: by its agent's word, or by an expired lease."""
        stop = Stop(self._tree, self._job.name, known.epoch, within_s=ASK_S)
        said = await ask(self._cluster, names.agent(known.node), stop, ASK_S * 2)
        if isinstance(said, CallLost) or not said.ok:
            await self._cluster.time.sleep_s(known.ttl_s * TAKEOVER[self._job.takeover])


async def ask(
    cluster: Cluster, subject: str, message: Start | Stop | Ping, timeout_s: float
) -> Said | CallLost:
    """Send a control message; return the answer."""
    reply = await cluster.calls.call(subject, msgspec.json.encode(message), timeout_s)
    if isinstance(reply, CallLost):
        return reply
    try:
        return msgspec.json.decode(reply, type=Said)
    except msgspec.MsgspecError as error:
        return CallLost("noconnection", f"an answer that is none: {error}")


async def adverts(cluster: Cluster) -> list[Advert] | Unknown:
    """Return the adverts of all nodes, recently dead ones included."""
    cells = await cluster.cells(names.ADVERTS, replicas_of(cluster))
    keys = await cells.keys()
    if isinstance(keys, Unknown):
        return keys
    found = []
    for key in keys:
        cell = await cells.get(key)
        if not isinstance(cell, Unknown) and cell[1] is not None:
            found.append(msgspec.json.decode(cell[1], type=Advert))
    return found

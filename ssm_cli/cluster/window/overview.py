"""The overview: all nodes, the subtrees that they host, and the leases of those.

Nothing is kept for it, and nobody tells it: it asks, with a bound on how much at once, and costs
the cluster nothing while nobody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from ssm_cli.cluster.agent.directory import Member, look
from ssm_cli.cluster.ports import CallLost, Cluster, ClusterDenied, ClusterError, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.lease import Observed
from ssm_cli.cluster.protocol.messages import (
    STOPPED,
    Hosted,
    Lease,
    Reply,
    leased,
    parent_in,
)
from ssm_cli.http.carried import Carried, CarriedAnswer

AT_ONCE = 64  # questions under way
ASK_S = 2.0  # for an answer
IN_ORDER = {"normal", "shutdown", STOPPED, ""}  # why a subtree ended that is not to run
Place = tuple[str, str]  # a tree and a subtree of it


class Subtree(msgspec.Struct, frozen=True):
    """A subtree as it was seen.

    Attributes:
        node, epoch, pid: where it is hosted; "" and that of the lease where no node hosts it.
        state: of its root; `silent` where it does not answer, `lost` where no node hosts it, and
            it is to run.
        workers, restarts: in it.
        link_s: how long the answer took; None without one.
        lease: None where it may not be read; released where its owner has ended.
        lease_age_s: for how long it has been seen unchanged; None at the first look.
        why: what is wrong, for people.
    """

    tree: str
    name: str
    node: str
    epoch: int
    pid: int = 0
    state: str = "silent"
    workers: int = 0
    restarts: int = 0
    link_s: float | None = None
    lease: Lease | None = None
    lease_age_s: float | None = None
    why: str = ""


class Overview(msgspec.Struct, frozen=True):
    """A cluster as it was seen: nodes by name, subtrees by tree and name."""

    nodes: tuple[Member, ...]
    subtrees: tuple[Subtree, ...]
    trouble: tuple[str, ...] = ()


class Window:
    """Looks at a cluster, again and again; remembers when leases have changed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[Place, Observed] = {}
        self._most = asyncio.Semaphore(AT_ONCE)

    async def look(self) -> Overview:
        """Return what there is.

        Raises:
            ClusterError: the cluster does not answer.
        """
        members = await look(self._cluster)
        hosted = newest(members)
        trouble: list[str] = []
        leases: dict[Place, Lease] = {}
        parents: set[str] = set()
        with self._told(trouble, "the leases of the parents cannot be read"):
            parents = await self._parents()
        for tree in sorted({tree for tree, _ in hosted} | parents):
            with self._told(trouble, f"the leases of {tree} cannot be read"):
                leases |= await self._leases(tree, wanted=tree in parents)
        self._note({member.advert.node: member.advert.beat for member in members}, leases)
        found = await asyncio.gather(
            *(self._subtree(place, *one, leases.get(place)) for place, one in hosted.items())
        )
        found += [_lost(place, one) for place, one in leases.items() if place not in hosted]
        known = {(one.tree, one.name): one for one in found}
        self._seen = {place: seen for place, seen in self._seen.items() if place in known}
        return Overview(tuple(members), tuple(known[p] for p in sorted(known)), tuple(trouble))

    @contextmanager
    def _told(self, trouble: list[str], what: str) -> Iterator[None]:
        """Note what cannot be read; what a viewer may not read is left out."""
        try:
            yield
        except ClusterDenied:
            pass
        except ClusterError as error:
            trouble.append(f"{what}: {error}")

    async def _entries(self, bucket: str) -> dict[str, bytes]:
        cells = await self._cluster.cells(bucket, 0)
        found = await cells.entries()
        if isinstance(found, Unknown):
            raise (ClusterDenied if found.denied else ClusterError)(found.detail)
        return found

    async def _parents(self) -> set[str]:
        """Return the trees that have not ended in order: what they had may be hosted nowhere."""
        found = await self._entries(names.PARENTS)
        known = {tree: parent_in(data) for tree, data in found.items()}
        return {tree for tree, one in known.items() if one is not None and not one.released}

    async def _leases(self, tree: str, *, wanted: bool) -> dict[Place, Lease]:
        """Return the leases of a tree that are held; if it is `wanted`, of what is to run, too."""
        known = {
            (tree, key): leased(d) for key, d in (await self._entries(names.leases(tree))).items()
        }
        return {
            place: one
            for place, one in known.items()
            if one is not None
            and not (one.released and (not wanted or one.reason.partition(":")[0] in IN_ORDER))
        }

    def _note(self, beats: Mapping[str, int], leases: Mapping[Place, Lease]) -> None:
        """Note how old leases are: as old as the last beat of their nodes that was seen."""
        now_s = self._cluster.time.now_s()
        for place, lease in leases.items():
            before, beat = self._seen.get(place), beats.get(lease.node, 0)
            if before is None or before.beat != beat:
                first_s = now_s if before is not None else float("nan")
                self._seen[place] = Observed(beat, first_s, now_s)

    def _age_s(self, place: Place) -> float | None:
        seen = self._seen.get(place)
        age_s = None if seen is None else seen.age_s(self._cluster.time.now_s())
        return None if age_s is None or age_s != age_s else age_s  # noqa: PLR0124 - not a number

    async def _subtree(self, place: Place, node: str, one: Hosted, lease: Lease | None) -> Subtree:
        found = Subtree(
            *place, node, one.epoch, one.pid, lease=lease, lease_age_s=self._age_s(place)
        )
        begun_s = self._cluster.time.now_s()
        info = await self.ask(place, Carried("GET", "/v1/info"))
        if isinstance(info, str):
            return msgspec.structs.replace(found, why=info)
        return msgspec.structs.replace(
            found,
            state=str(info.get("state", "")),
            workers=int(info.get("workers", 0)),
            restarts=int(info.get("restarts", 0)),
            link_s=self._cluster.time.now_s() - begun_s,
        )

    async def ask(self, place: Place, request: Carried) -> Any:
        """Return the JSON that a subtree answers to a request that changes nothing, or why not."""
        async with self._most:
            subject, body = names.sees(*place), msgspec.json.encode(request)
            reply = await self._cluster.calls.call(subject, body, ASK_S)
        if isinstance(reply, CallLost):
            return reply.detail
        said = msgspec.json.decode(reply, type=Reply)
        if said.outcome != "replied":
            return said.error
        answer = msgspec.json.decode(said.output, type=CarriedAnswer)
        data = msgspec.json.decode(answer.body)
        return data if answer.status == 200 else str(data.get("error", data))


def _lost(place: Place, lease: Lease) -> Subtree:
    """Return what is to be said of a subtree that is to run and that no node hosts."""
    ended = f"it has ended at {lease.node}, {lease.reason}"
    why = f"no node hosts it; {ended if lease.released else f'its lease names {lease.node}'}"
    return Subtree(*place, "", lease.epoch, state="lost", lease=lease, why=why)


def newest(members: list[Member]) -> dict[Place, tuple[str, Hosted]]:
    """Return where each subtree is hosted; of two epochs the later one."""
    found: dict[Place, tuple[str, Hosted]] = {}
    for member in members:
        for one in member.hosted:
            before = found.get((one.tree, one.subtree))
            if before is None or before[1].epoch < one.epoch:
                found[one.tree, one.subtree] = member.advert.node, one
    return found


def come_and_gone(before: Mapping[str, bool], members: list[Member]) -> list[tuple[str, str]]:
    """Return the nodes that have come and gone since: `node_up` or `node_down`, and the name.

    >>> come_and_gone({"n1": True, "n2": False}, [])
    [('node_down', 'n1')]
    """
    now = {member.advert.node: member.answers for member in members}
    return [
        ("node_up" if now.get(name, False) else "node_down", name)
        for name in sorted({*before, *now})
        if before.get(name, False) != now.get(name, False)
    ]

"""Pulses: the beats of the nodes as the children of one tree see them, asked once for all of them.

However many children of a tree a node hosts, its advert is read and its agent asked once a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from ssm_cli.cluster.link.asking import ask
from ssm_cli.cluster.ports import CallLost, Cluster, ClusterError, Unknown, unclear
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Advert, Hosted, Ping, Revoked, Said, advertised

LOOK_S = 0.25  # between two questions to an agent, at the most
HURRY_S = 0.1  # ... while it does not answer for somebody
LOOKS = 4  # at the advert, over the time that a lease is good for; one a second at the least
READ_S = 1.0
REVOCATIONS = 50  # tries of one; others write to the same cell


LastBeat = tuple[str, int]


class Sight(msgspec.Struct, frozen=True):
    """What one look at a node gave, at some moment between `asked_s` and `heard_s`.

    Attributes:
        said: the answer of its agent.
        hosted: what that says it hosts, by tree, subtree and epoch.
        pulse: the start of the agent that has beaten last, and its beat; "" and 0 where there is
            none, `Unknown` where it could not be read, None where it was not.
    """

    asked_s: float
    heard_s: float
    said: Said | CallLost
    hosted: dict[tuple[str, str, int], Hosted]
    pulse: LastBeat | Unknown | None


OnSight = Callable[[Sight], bool]
"""Called with what was seen; returns whether to look again soon."""


class Pulses:
    """The nodes that host children of one tree, each watched as long as it does."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._watched: dict[str, list[tuple[float, OnSight]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._revoking: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, list[Revoked]] = {}

    def watch(self, node: str, ttl_s: float, on_sight: OnSight) -> Callable[[], None]:
        """Have `on_sight` called with each look that begins from now on; return how to end that."""
        entry = ttl_s, on_sight
        self._watched.setdefault(node, []).append(entry)
        if node not in self._tasks:
            self._tasks[node] = asyncio.ensure_future(self._look(node))

        def end() -> None:
            watched = self._watched.get(node, [])
            if entry in watched:
                watched.remove(entry)

        return end

    async def _look(self, node: str) -> None:
        time, read_s, pause_s = self._cluster.time, float("-inf"), 0.0
        while watched := list(self._watched[node]):
            ttl_s = min(ttl_s for ttl_s, _ in watched)
            asked_s = time.now_s()
            due = pause_s == HURRY_S or asked_s - read_s >= min(READ_S, ttl_s / LOOKS)
            read_s = asked_s if due else read_s
            asking = ask(self._cluster, names.looks(node), Ping(), min(READ_S, ttl_s / LOOKS))
            said, pulse = await asyncio.gather(asking, self._pulse(node, due=due))
            told = () if isinstance(said, CallLost) else said.hosted
            hosted = {(one.tree, one.subtree, one.epoch): one for one in told}
            sight = Sight(asked_s, time.now_s(), said, hosted, pulse)
            still = [entry for entry in watched if entry in self._watched[node]]
            hurry = [on_sight(sight) for _, on_sight in still]
            pause_s = HURRY_S if any(hurry) else min(LOOK_S, ttl_s / LOOKS)
            await time.sleep_s(max(0.0, asked_s + pause_s - time.now_s()))
        del self._watched[node], self._tasks[node]

    async def _pulse(self, node: str, *, due: bool) -> LastBeat | Unknown | None:
        found = await self.read(node) if due else None
        if found is None or isinstance(found, Unknown):
            return found
        return ("", 0) if found[1] is None else (found[1].boot, found[1].beat)

    async def read(self, node: str) -> tuple[int, Advert | None] | Unknown:
        """Return revision and advert of a node; no advert where it is not in the directory."""
        try:
            found = await (await self._cluster.cells(names.ADVERTS, 0)).get(node)
        except ClusterError as error:
            return unclear(error)
        if isinstance(found, Unknown):
            return found
        return found[0], None if found[1] is None else advertised(found[1])

    async def revoke(self, node: str, taken: Revoked) -> int | Unknown:
        """Have a node give an epoch of a subtree up before it beats again; return its last beat.

        0 where it is not in the directory: it gives up everything before it is again. Many at once
        are written together.
        """
        waiting = self._waiting.setdefault(node, [])
        waiting.append(taken)
        try:
            async with self._revoking.setdefault(node, asyncio.Lock()):
                return await self._revoke(node, taken, waiting)
        finally:
            if taken in waiting:
                waiting.remove(taken)

    async def _revoke(self, node: str, taken: Revoked, waiting: list[Revoked]) -> int | Unknown:
        cells = await self._cluster.cells(names.ADVERTS, 0)
        for _ in range(REVOCATIONS):
            found = await self.read(node)
            if isinstance(found, Unknown):
                return found
            revision, advert = found
            if advert is None or (taken not in waiting and taken in advert.revoked):
                return 0 if advert is None else advert.beat
            some = list(waiting)
            kept = {(one.tree, one.subtree): one for one in (*advert.revoked, *some, taken)}
            written = msgspec.structs.replace(advert, revoked=tuple(kept.values()))
            done = await cells.cas(node, msgspec.json.encode(written), revision)
            if isinstance(done, int):
                waiting[:] = [one for one in waiting if one not in some]
                return advert.beat
            if isinstance(done, Unknown):
                return done
        return Unknown(f"the advert of {node} was written by others {REVOCATIONS} times")

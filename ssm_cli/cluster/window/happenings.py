"""What happens in a whole cluster: the reports of all subtrees, and nodes that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ssm_cli.cluster.agent.directory import look
from ssm_cli.cluster.ports import Cluster
from ssm_cli.cluster.window.overview import Place, Window, come_and_gone, newest
from ssm_cli.http.carried import Carried

LOOK_S = 1.0  # between two looks
MOST_REPORTS = 10_000  # of one subtree and look


class Happening(msgspec.Struct, frozen=True):
    """A report of a subtree, or a node that has come or gone; `subtree` is "" then."""

    node: str
    event: str
    tree: str = ""
    subtree: str = ""
    record: dict[str, Any] = {}


class Happenings:
    """Follows a cluster by asking, once a second."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._window = Window(cluster)
        self._up: dict[str, bool] | None = None
        self._read: dict[Place, tuple[int, int]] = {}  # epoch, and the last report that was read

    async def follow(self, last: int | None) -> AsyncIterator[Happening]:
        """Yield the last reports of each subtree, then what happens.

        Raises:
            ClusterError: the cluster does not answer.
        """
        while True:
            for happening in await self.since(last):
                yield happening
            last = None
            await self._cluster.time.sleep_s(LOOK_S)

    async def since(self, last: int | None = None) -> list[Happening]:
        """Return what has happened since the last time, by time; at first `last` reports each."""
        members = await look(self._cluster)
        told = [] if self._up is None else come_and_gone(self._up, members)
        self._up = {member.advert.node: member.answers for member in members}
        found = [Happening(name, event) for event, name in told]
        hosted = newest(members)
        read = await asyncio.gather(
            *(self._reports(p, node, one.epoch, last) for p, (node, one) in hosted.items())
        )
        reports = sorted((one for some in read for one in some), key=lambda h: h.record["at"])
        return [*found, *reports]

    async def _reports(
        self, place: Place, node: str, epoch: int, last: int | None
    ) -> list[Happening]:
        known = self._read.get(place, (epoch, 0))
        after = known[1] if known[0] == epoch else 0  # another life counts from 1
        limit = MOST_REPORTS if last is None else min(last, MOST_REPORTS)
        request = Carried("GET", "/v1/log", f"after={after}&last={max(1, limit)}")
        records = await self._window.ask(place, request)
        if isinstance(records, str):
            return []  # it is starting or ending; the next look reads what is left
        self._read[place] = epoch, max([after, *(one["seq"] for one in records)])
        records = records if limit else []
        return [Happening(node, one["event"], *place, one) for one in records]

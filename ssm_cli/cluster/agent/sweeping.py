"""Sweeping the directory: nodes that died without a word leave it after a while.

Each agent looks. No clock is compared with another one: an advert that has not changed for long by
our own clock, and whose node nobody serves, is of a node that is gone.
"""

from __future__ import annotations

from ssm_cli.cluster.ports import CallLost, Cells, Cluster, Unknown
from ssm_cli.cluster.protocol import names

SWEEP_S = 20.0  # between two looks
DEAD_S = 60.0  # without a change, and nobody there
ASK_S = 1.0


class Sweep:
    """What one agent has seen of the adverts of all nodes."""

    def __init__(self, cluster: Cluster, cells: Cells) -> None:
        self._cluster = cluster
        self._cells = cells
        self._seen: dict[str, tuple[bytes, float]] = {}

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self._cluster.time.sleep_s(SWEEP_S)
            await self.once()

    async def once(self) -> None:
        """Look once; forget whoever has been gone for long. What does not answer is left.

        Time in which nothing could be read says nothing: nobody could write either.
        """
        found = await self._cells.entries()
        if isinstance(found, Unknown):
            self._seen = {}
            return
        now_s = self._cluster.time.now_s()
        before, self._seen = self._seen, {}
        for node, data in found.items():
            known = before.get(node)
            same = known is not None and known[0] == data
            self._seen[node] = known if known is not None and same else (data, now_s)
            if now_s - self._seen[node][1] >= DEAD_S:
                await self._forget(node, data)

    async def _forget(self, node: str, data: bytes) -> None:
        said = await self._cluster.calls.call(names.looks(node), b"", ASK_S)
        if not isinstance(said, CallLost) or said.why != "noproc":
            return
        cell = await self._cells.get(node)
        if not isinstance(cell, Unknown) and cell[1] == data:
            await self._cells.cas(node, None, cell[0])

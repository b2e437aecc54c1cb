"""Beating: the pulse of a node, run against the cell of its advert, for all its leases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ssm_cli.cluster.agent.holding import Holding
from ssm_cli.cluster.ports import Cells, Conflict, Time, Unknown
from ssm_cli.cluster.protocol import pulse
from ssm_cli.cluster.protocol.lease import RENEW, Tick
from ssm_cli.cluster.protocol.messages import Advert, advertised

BEAT_S = 1.0  # between two beats; less where a lease is shorter than three of them
TICKS = 20  # looks at the clock, over the time that the shortest lease is good for
TICK_S = 0.25  # between two looks at the most


class Beating:
    """The heartbeat of one node.

    Args:
        cells: where adverts are.
        time: of this process.
        advert: of the node; `beat` and `load` are kept up to date.
        load: how many subtrees it hosts.

    Attributes:
        advert: as it is written next.
    """

    def __init__(self, cells: Cells, time: Time, advert: Advert, load: Callable[[], int]) -> None:
        self.advert = advert
        self._cells = cells
        self._time = time
        self._load = load
        self._held: dict[tuple[str, str], Holding] = {}
        self._pulse = pulse.Pulse(BEAT_S)
        self._sent_s = float("-inf")
        self._named = ""  # which node has our name, if another one has
        self._work: set[asyncio.Task[None]] = set()

    async def run(self) -> str:
        """Beat until cancelled, or until another node has our name; return what it says then."""
        while not self._named:
            self._on(Tick(self._time.now_s()))
            for holding in list(self._held.values()):
                holding.tick()
            await self._time.sleep_s(min(TICK_S, self._shortest_s() / TICKS))
        return self._named

    def _shortest_s(self) -> float:
        return min((h.ttl_s for h in self._held.values()), default=BEAT_S / RENEW)

    def hold(self, tree: str, holding: Holding) -> None:
        """Have a lease hang on the pulse; the last beat counts for it, too."""
        self._held[tree, holding.key] = holding
        self._paced()
        holding.renewed(self._sent_s)

    def drop(self, tree: str, holding: Holding) -> None:
        """Have a lease hang on it no more."""
        if self._held.get((tree, holding.key)) is holding:
            del self._held[tree, holding.key]
            self._paced()

    def take(self, tree: str, subtree: str, epoch: int) -> None:
        """Give a subtree up, if that epoch of it or an earlier one is held."""
        holding = self._held.get((tree, subtree))
        if holding is not None and holding.epoch <= epoch:
            holding.taken("fenced: another owner has the lease")

    def _paced(self) -> None:
        every_s = min(BEAT_S, self._shortest_s() * RENEW)
        self._change(every_s=every_s, next_s=min(self._pulse.next_s, self._sent_s + every_s))

    def present(self, **changes: Any) -> None:
        """Change the advert, and write it at the next moment."""
        self.advert = msgspec.structs.replace(self.advert, **changes)
        self._change(next_s=0.0)

    def _change(self, **changes: Any) -> None:
        self._pulse = msgspec.structs.replace(self._pulse, **changes)

    async def leave(self) -> None:
        """Take the advert out of the directory; to be called once `run` is over."""
        while self._work:
            await asyncio.wait(self._work)
        await self._cells.cas(self.advert.node, None, self._pulse.revision)

    def _on(self, event: pulse.Event) -> None:
        self._pulse, commands = pulse.step_pulse(self._pulse, event)
        for command in commands:
            match command:
                case pulse.WriteBeat(revision, sent_s):
                    self._spawn(self._write(revision, sent_s))
                case pulse.ReadBeat():
                    self._spawn(self._read())
                case pulse.Disown(reason, named):
                    self._named = reason if named else ""
                    for holding in self._held.values():
                        holding.taken(reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _write(self, revision: int, sent_s: float) -> None:
        known = self.advert
        self.advert = msgspec.structs.replace(known, beat=known.beat + 1, load=self._load())
        data = msgspec.json.encode(self.advert)
        done = await self._cells.cas(known.node, data, revision)
        if isinstance(done, int):
            self._sent_s = sent_s
            self._on(pulse.BeatWritten(done, sent_s))
            for holding in self._held.values():
                holding.renewed(sent_s)
        elif isinstance(done, Conflict):
            self._on(pulse.BeatRefused())
        else:
            self._on(pulse.BeatUnclear(self._time.now_s()))

    async def _read(self) -> None:
        found = await self._cells.get(self.advert.node)
        if isinstance(found, Unknown):
            self._on(pulse.BeatUnclear(self._time.now_s()))
            return
        revision, data = found
        seen = None if data is None else advertised(data)
        whose: pulse.Whose = "nobody"
        if seen is not None:
            whose = "ours" if seen.boot == self.advert.boot else "other"
            beat = max(seen.beat, self.advert.beat)  # counts on over our predecessor's
            self.advert = msgspec.structs.replace(self.advert, beat=beat)
        if seen is not None and whose == "ours":
            for one in seen.revoked:
                self.take(one.tree, one.subtree, one.epoch)
        self._on(pulse.BeatRead(revision, whose, self._time.now_s()))

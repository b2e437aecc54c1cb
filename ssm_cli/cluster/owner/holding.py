"""Holding a lease: the pure holder, run against the cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ssm_cli.cluster.ports import Cells, Conflict, Time, Unknown
from ssm_cli.cluster.protocol import lease
from ssm_cli.cluster.protocol.messages import Lease

TICKS = 20  # looks at the clock, over the time that a lease is good for


class Holding:
    """The lease of one subtree, renewed as long as this runs.

    Args:
        cells: where leases are.
        time: of this process.
        key: the subtree.
        value: the owner; `beat` counts up.
        revision: that of the lease as the parent wrote it.
        stop: called once, with the reason, when the lease is no longer ours.
    """

    def __init__(
        self,
        cells: Cells,
        time: Time,
        *,
        key: str,
        value: Lease,
        revision: int,
        stop: Callable[[str], None],
    ) -> None:
        self._cells = cells
        self._key = key
        self._value = value
        self._time = time
        self._stop = stop
        self._holder = lease.fresh(value.ttl_s, revision, time.now_s())
        self._task: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()

    def is_good(self) -> bool:
        """Return whether the lease is valid now; stop the owner if it has expired."""
        self._on(lease.Tick(self._time.now_s()))
        return self._holder.is_good(self._time.now_s())

    async def begin(self) -> bool:
        """Renew once, and keep renewing; return False if the lease has another owner."""
        self._holder = lease.fresh(self._holder.ttl_s, self._holder.revision, self._time.now_s())
        revision = self._holder.revision
        self._on(lease.Tick(self._time.now_s()))
        while self._holder.revision == revision and not self._holder.stopped:
            await self._time.sleep_s(0.005)
            self._on(lease.Tick(self._time.now_s()))
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
        return not self._holder.stopped

    async def _run(self) -> None:
        while not self._holder.stopped:
            await self._time.sleep_s(self._holder.ttl_s / TICKS)
            self._on(lease.Tick(self._time.now_s()))

    def _on(self, event: lease.Event) -> None:
        self._holder, commands = lease.step_holder(self._holder, event)
        for command in commands:
            match command:
                case lease.Renew(revision, sent_s):
                    self._spawn(self._renew(revision, sent_s))
                case lease.Read():
                    self._spawn(self._read())
                case lease.Fence(reason):
                    self._stop(reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _renew(self, revision: int, sent_s: float) -> None:
        self._value = msgspec.structs.replace(self._value, beat=self._value.beat + 1)
        done = await self._cells.cas(self._key, msgspec.json.encode(self._value), revision)
        if isinstance(done, int):
            self._on(lease.Renewed(done, sent_s))
        elif isinstance(done, Conflict):
            self._on(lease.LeaseRefused(self._time.now_s()))
        else:
            self._on(lease.LeaseUnclear(self._time.now_s()))

    async def _read(self) -> None:
        found = await self._cells.get(self._key)
        if isinstance(found, Unknown):
            self._on(lease.LeaseUnclear(self._time.now_s()))
            return
        revision, data = found
        known = None if data is None else msgspec.json.decode(data, type=Lease)
        ours = known is not None and (known.epoch, known.node) == (
            self._value.epoch, self._value.node,
        ) and not known.released  # fmt: skip
        self._on(lease.Found(revision, ours, self._time.now_s()))

    async def release(self) -> None:
        """Release the lease if it is still held."""
        if self._task is not None:
            self._task.cancel()
        for work in list(self._work):
            await asyncio.wait([work])
        if not self._holder.stopped:
            value = msgspec.structs.replace(self._value, released=True)
            await self._cells.cas(self._key, msgspec.json.encode(value), self._holder.revision)

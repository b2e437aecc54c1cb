"""Holding a lease: the pure holder, run against the cells, for the owner in another process.

The agent renews and not the owner, whose process runs code of users that may take longer than any
lease. While the lease is good the page that both share says until when. Once it is over the owner
is stopped where it stands; if it can be renewed after all, the owner goes on; if somebody else has
it, the owner is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import msgspec

from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Cells, Conflict, Time, Unknown
from ssm_cli.cluster.protocol import lease
from ssm_cli.cluster.protocol.messages import FENCED, Lease, leased

OLDER_READS = 20  # of a lease running; more, and it is lost
RELEASE_TRIES = 120  # of one release; then the lease is waited out
RELEASE_PAUSE_S = 0.5
TICKS = 20  # looks at the clock, over the time that a lease is good for


class Held(Protocol):
    """The owner whose lease is held."""

    def is_hung(self) -> bool:
        """Return whether its process was stopped by somebody else: a lease for it is no good."""
        ...

    def freeze(self) -> None:
        """Stop its process where it stands."""
        ...

    def thaw(self) -> None:
        """Have its process go on."""
        ...

    def kill(self, word: str = "", detail: str = "") -> None:
        """End it now, for that reason."""
        ...


class Holding:
    """The lease of one subtree, renewed as long as this runs.

    Args:
        cells: where leases are.
        time: of this process.
        key: the subtree.
        value: the owner; `beat` counts up, and the witness goes on.
        revision: that of the lease as the parent wrote it.
        page: where the owner reads until when it may act, and notes its witness.

    Attributes:
        page: the same.
    """

    def __init__(
        self,
        cells: Cells,
        time: Time,
        *,
        key: str,
        value: Lease,
        revision: int,
        page: LeasePage,
    ) -> None:
        self._cells = cells
        self._key = key
        self._value = value
        self._time = time
        self.page = page
        self._held: Held | None = None
        self._holder = lease.fresh(value.ttl_s, revision, time.now_s())
        self._task: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._older = 0

    async def begin(self) -> bool:
        """Renew once; return False if the lease has another owner, or cannot be renewed in time."""
        revision = self._holder.revision
        self._on(lease.Tick(self._time.now_s()))
        while self._holder.revision == revision and not self._over():
            await self._time.sleep_s(0.005)
            self._on(lease.Tick(self._time.now_s()))
        return not self._over()

    def _over(self) -> bool:
        return self._holder.stopped or self._holder.lapsed

    def keep(self, held: Held) -> None:
        """Keep renewing for an owner, until `release`."""
        self._held = held
        self._task = asyncio.ensure_future(self._run())

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
                case _ if self._held is None:
                    pass  # there is nobody yet who could act
                case lease.Lapse():
                    self._held.freeze()
                case lease.Resume():
                    self._held.thaw()
                case lease.Fence(reason):
                    self._held.kill(FENCED, reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _next(self, **changes: Any) -> bytes:
        """Encode the lease as it is written next; its witness never goes back."""
        known, page = self._value, self.page
        self._value = msgspec.structs.replace(
            known, beat=known.beat + 1,
            journal=max(known.journal, page.journal), saved=max(known.saved, page.saved),
            **changes,
        )  # fmt: skip
        return msgspec.json.encode(self._value)

    async def _renew(self, revision: int, sent_s: float) -> None:
        if self._held is not None and self._held.is_hung():
            self._on(lease.LeaseUnclear(sent_s))
            return
        done = await self._cells.cas(self._key, self._next(), revision)
        if isinstance(done, int):
            self.page.until_s = sent_s + self._value.ttl_s
            self._on(lease.Renewed(done, sent_s))
            if self.page.stopped and self._held is not None:
                self._held.thaw()
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
        # We were refused, so there is a newer one: this is a stale read, or the cells are lost.
        self._older = 0 if revision > self._holder.revision else self._older + 1
        if 0 < self._older < OLDER_READS:
            self._on(lease.LeaseUnclear(self._time.now_s()))
            return
        known = None if data is None else leased(data)
        ours = not self._older and known is not None and (known.epoch, known.node) == (
            self._value.epoch, self._value.node,
        ) and not known.released  # fmt: skip
        self._on(lease.Found(revision, ours, self._time.now_s()))

    async def release(self, reason: str) -> None:
        """Renew no more, and say in the lease why its owner has ended, if it is still held.

        Whoever reads the lease learns the reason, also where the message about it was lost.
        """
        if self._task is not None:
            self._task.cancel()
        self._held = None
        for work in list(self._work):
            await asyncio.wait([work])
        revision, data = self._holder.revision, self._next(released=True, reason=reason)
        for _ in range(RELEASE_TRIES):
            if self._holder.stopped or isinstance(
                await self._cells.cas(self._key, data, revision), int
            ):
                return
            found = await self._cells.get(self._key)
            if not isinstance(found, Unknown) and found[0] >= revision:
                revision = found[0]
                known = None if found[1] is None else leased(found[1])
                if known is None or known.released or known.epoch != self._value.epoch:
                    return
            await self._time.sleep_s(RELEASE_PAUSE_S)

"""Holding a lease for the owner in another process, whose code may take longer than any lease.

While the lease is good the page that both share says until when. Once it is over the owner is
stopped where it stands; if a beat of the node makes it good after all, the owner goes on; if
somebody else has it, the owner is ended. The cell of the lease is written when the owner begins,
which shows that its epoch is still the last one, when its witness changes, and when it has ended.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Cells, Time, Unknown
from ssm_cli.cluster.protocol import lease
from ssm_cli.cluster.protocol.messages import FENCED, Lease, leased
from ssm_cli.cluster.protocol.pulse import OLDER_READS

RELEASE_TRIES = 120  # of one release; then the lease is waited out
RELEASE_PAUSE_S = 0.5
LOOK_S = 0.005  # between two looks whether the node has beaten, at the start
ANOTHER = "fenced: another owner has the lease"


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
    """The lease of one subtree, which hangs on the pulse of its node.

    Args:
        cells: where leases are.
        time: of this process.
        key: the subtree.
        value: the owner; `beat` counts up, and the witness goes on.
        revision: that of the lease as the parent wrote it.
        page: where the owner reads until when it may act, and notes its witness.

    Attributes:
        key, page: the same.
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
        self.key = key
        self.page = page
        self._cells = cells
        self._value = value
        self._revision = revision
        self._time = time
        self._held: Held | None = None
        self._holder = lease.Holder(value.ttl_s)
        self._task: asyncio.Task[None] | None = None
        self._wrote_s = 0.0
        self._older = 0

    @property
    def ttl_s(self) -> float:
        """How long it is good without a beat."""
        return self._value.ttl_s

    @property
    def epoch(self) -> int:
        """That of the owner."""
        return self._value.epoch

    async def begin(self) -> bool:
        """Take the lease; return False if it has another owner, or is not good in time."""
        end_s = self._time.now_s() + self.ttl_s
        done = await self._write()
        while done is None and self._waits(end_s):
            await self._time.sleep_s(self.ttl_s * lease.RETRY)
            done = await self._write()
        while done and not self._is_good() and self._waits(end_s):
            await self._time.sleep_s(LOOK_S)
        return bool(done) and self._is_good()

    def _waits(self, end_s: float) -> bool:
        return not self._holder.stopped and self._time.now_s() < end_s

    def _is_good(self) -> bool:
        return self._holder.is_good(self._time.now_s())

    def keep(self, held: Held) -> None:
        """Hold it for an owner that has begun, until `release`."""
        self._held = held

    # -- what becomes of it ----------------------------------------------------------------------

    def renewed(self, sent_s: float) -> None:
        """A beat that was sent then is acknowledged; one of long ago makes nothing good."""
        held = self._held
        if self._time.now_s() - sent_s >= self.ttl_s or (held is not None and held.is_hung()):
            return
        self.page.until_s = sent_s + self.ttl_s
        self._on(lease.Renewed(sent_s))
        if held is not None and self.page.stopped and not self._holder.stopped:
            held.thaw()
        self._bear_witness()

    def tick(self) -> None:
        """Time has passed."""
        if self._held is not None:
            self._on(lease.Tick(self._time.now_s()))

    def taken(self, reason: str) -> None:
        """Somebody else has the subtree, or may have it."""
        self.page.until_s = 0.0
        self._on(lease.TakenOver(reason))

    def _on(self, event: lease.Event) -> None:
        self._holder, commands = lease.step_holder(self._holder, event)
        for command in commands:
            match command:
                case _ if self._held is None:
                    pass  # there is nobody yet who could act
                case lease.Lapse() if self._held.is_hung():
                    self._held.kill(FENCED, "its process was stopped for longer than its lease")
                case lease.Lapse():
                    self._held.freeze()
                case lease.Resume():
                    self._held.thaw()
                case lease.Fence(reason):
                    self._held.kill(FENCED, reason)

    # -- its cell --------------------------------------------------------------------------------

    def _bear_witness(self) -> None:
        """Write the lease where its witness has changed, at most as often as a beat is due."""
        known, page, now_s = self._value, self.page, self._time.now_s()
        same = page.journal <= known.journal and page.saved <= known.saved
        busy = self._task is not None and not self._task.done()
        if same or busy or self._held is None or now_s - self._wrote_s < self.ttl_s * lease.RENEW:
            return
        self._task = asyncio.ensure_future(self._witness())

    async def _witness(self) -> None:
        if await self._write() is False:
            self.taken(ANOTHER)

    def _next(self, **changes: Any) -> bytes:
        """Encode the lease as it is written next; its witness never goes back."""
        known, page = self._value, self.page
        self._value = msgspec.structs.replace(
            known, beat=known.beat + 1,
            journal=max(known.journal, page.journal), saved=max(known.saved, page.saved),
            **changes,
        )  # fmt: skip
        return msgspec.json.encode(self._value)

    async def _write(self) -> bool | None:
        """Write the lease; return False if it has another owner, None if nobody knows."""
        before, asked_s = self._value, self._time.now_s()
        done = await self._cells.cas(self.key, self._next(), self._revision)
        if isinstance(done, int):
            self._revision, self._wrote_s = done, asked_s
            return True
        self._value = msgspec.structs.replace(before, beat=self._value.beat)
        if isinstance(done, Unknown):
            return None
        found = await self._cells.get(self.key)
        if isinstance(found, Unknown):
            return None
        # We were refused, so there is a newer one: this is a stale read, or the cells are lost.
        self._older = 0 if found[0] > self._revision else self._older + 1
        if self._older:
            return None if self._older < OLDER_READS else False
        if not self._names_us(found[1]):
            return False
        self._revision = found[0]
        return None

    def _names_us(self, data: bytes | None) -> bool:
        known, value = None if data is None else leased(data), self._value
        if known is None or known.released:
            return False
        return (known.epoch, known.node) == (value.epoch, value.node)

    async def release(self, reason: str) -> None:
        """Say in the lease why its owner has ended, if it is still held.

        Whoever reads the lease learns the reason, also where the message about it was lost.
        """
        self._held = None
        if self._task is not None:
            await asyncio.wait([self._task])
        revision, data = self._revision, self._next(released=True, reason=reason)
        for _ in range(RELEASE_TRIES):
            if self._holder.stopped or isinstance(
                await self._cells.cas(self.key, data, revision), int
            ):
                return
            found = await self._cells.get(self.key)
            if not isinstance(found, Unknown) and found[0] >= revision:
                revision = found[0]
                known = None if found[1] is None else leased(found[1])
                if known is None or known.released or known.epoch != self.epoch:
                    return
            await self._time.sleep_s(RELEASE_PAUSE_S)

"""Holding a lease for the owner in another process, whose code may take longer than any lease.

While the lease is good the page that both share says until when. Once it is over the owner is
stopped where it stands. When its node beats again its cell is read and written anew: then the owner
goes on; if somebody else has it, or it stays away, the owner is ended. It is written, too, when the
owner begins, which shows that its epoch is still the last one, when its witness changes, and when
it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import msgspec

from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Cells, Time, Unknown
from ssm_cli.cluster.protocol import lease
from ssm_cli.cluster.protocol.messages import FENCED, Lease, leased
from ssm_cli.cluster.protocol.pulse import OLDER_READS

RELEASE_TRIES = 120  # of one release; then the agent alone can say so, when it is asked
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
        time, end_s = self._time, self._time.now_s() + self.ttl_s
        while not self._holder.stopped and time.now_s() < end_s:
            if self._holder.is_over(time.now_s()):
                await time.sleep_s(LOOK_S)
                continue
            done = await self._write()
            if done is None:
                await time.sleep_s(self.ttl_s * lease.RETRY)
            elif not done or self._is_proven():
                return done
        return False

    def _is_proven(self) -> bool:
        """Its cell was written; return whether it is good by that."""
        self._on(lease.Proven(self._time.now_s()))
        return self._is_good()

    def _is_good(self) -> bool:
        return self._holder.is_good(self._time.now_s())

    def keep(self, held: Held) -> None:
        """Hold it for an owner that has begun, until `release`."""
        self._held = held

    # -- what becomes of it ----------------------------------------------------------------------

    def renewed(self, sent_s: float) -> None:
        """A beat that was sent then is acknowledged; one of long ago makes nothing good."""
        held, now_s = self._held, self._time.now_s()
        if now_s - sent_s >= self.ttl_s or (held is not None and held.is_hung()):
            return
        self._on(lease.Renewed(sent_s, now_s))
        if held is not None and self.page.stopped and self._is_good():
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
        if self._is_good():
            self.page.until_s = self._holder.good_from_s + self.ttl_s
        for command in commands:
            match command:
                case _ if self._held is None:
                    pass  # there is nobody yet who could act
                case lease.Lapse() if self._held.is_hung():
                    self._held.kill(FENCED, "its process was stopped for longer than its lease")
                case lease.Lapse():
                    self._held.freeze()
                case lease.Prove():
                    self._spawn(self._prove())
                case lease.Resume():
                    self._held.thaw()
                case lease.Fence(reason):
                    self._held.kill(FENCED, reason)

    # -- its cell --------------------------------------------------------------------------------

    def _bear_witness(self) -> None:
        """Write the lease where its witness has changed, at most as often as a beat is due."""
        known, page, now_s = self._value, self.page, self._time.now_s()
        same = page.journal <= known.journal and page.saved <= known.saved
        if same or self._held is None or now_s - self._wrote_s < self.ttl_s * lease.RENEW:
            return
        self._spawn(self._witness())

    def _spawn(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write the lease, unless it is being written; then it is at the next beat."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(writing)
        else:
            writing.close()

    async def _witness(self) -> None:
        if await self._write() is False:
            self.taken(ANOTHER)

    async def _prove(self) -> None:
        """Read the lease and write it anew, until one knows whose it is, or it is over again."""
        done: bool | None = None
        while done is None and not self._holder.is_over(self._time.now_s()):
            done = await self._look()
            done = await self._write() if done else done
            if done is None:
                await self._time.sleep_s(self.ttl_s * lease.RETRY)
        if done:
            self._is_proven()
        elif done is False:
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
        if isinstance(done, Unknown) or await self._look() is not False:
            return None
        return False

    async def _look(self) -> bool | None:
        """Read the lease; return False if it has another owner or is lost, None if nobody knows.

        An older revision than ours is a stale read; where it stays older, the cells are lost.
        Those that were made again count from the start: a later epoch is one in any revision.
        """
        found = await self._cells.get(self.key)
        if isinstance(found, Unknown):
            return None
        revision, known = found[0], None if found[1] is None else leased(found[1])
        if known is not None and known.epoch > self.epoch:
            return False
        self._older = 0 if revision >= self._revision else self._older + 1
        if self._older:
            return None if self._older < OLDER_READS else False
        ours = self.epoch, self._value.node
        if known is None or known.released or (known.epoch, known.node) != ours:
            return False
        self._revision = revision
        return True

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

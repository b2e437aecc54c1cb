"""The lease: how an owner proves that it is alive, and how its parent detects that it is not.

The lease is a cell without an end of its own. Its holder rewrites it every third of the time it
is good for; each write changes the cell's revision. The parent looks at the revision and at its
own monotonic clock: no clock is compared with another one. What the journal keeps is safe without
any of this. The lease is for what leaves the tree (mail, requests to others), and for knowing
when to start anew.

Three rules were learned the hard way. A lease that names its holder is not a lease that was
renewed: it must be written again, and counts from the moment that write was *sent*. A renewal
that failed is tried again at once, or a long lease has three tries only. And a lease that was not
renewed in time is not lost: until somebody else writes it, its holder may renew it, since the
write is refused where another one has been there. Meanwhile its owner stands still.
"""

from __future__ import annotations

from typing import Literal

import msgspec

RENEW = 1 / 3  # of the lease: how old it gets before it is written again
RETRY = 1 / 12  # of the lease: how long after a write without an answer the next one is sent
TAKEOVER = {"fence": 1.25, "lease": 1.5}  # leases without a change, and the parent takes over

Takeover = Literal["fence", "lease"]


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""

    now_s: float


class Renewed(msgspec.Struct, frozen=True):
    """A write was acknowledged; `sent_s` says when it had been sent."""

    revision: int
    sent_s: float


class LeaseRefused(msgspec.Struct, frozen=True):
    """A write was refused: the lease has a newer revision."""

    now_s: float


class LeaseUnclear(msgspec.Struct, frozen=True):
    """A write or a read had no answer."""

    now_s: float


class Found(msgspec.Struct, frozen=True):
    """The lease was read: its revision, and whether it names this owner and epoch."""

    revision: int
    ours: bool
    now_s: float


Event = Tick | Renewed | LeaseRefused | LeaseUnclear | Found


class Renew(msgspec.Struct, frozen=True):
    """Rewrite the lease if it has this revision; sent at `now_s`."""

    revision: int
    now_s: float


class Read(msgspec.Struct, frozen=True):
    """Read the lease."""


class Lapse(msgspec.Struct, frozen=True):
    """Stand still at once: the lease has expired, and nobody is known to have taken it."""


class Resume(msgspec.Struct, frozen=True):
    """Go on: the lease was renewed, and nobody had it in between."""


class Fence(msgspec.Struct, frozen=True):
    """End at once: the lease has another owner."""

    reason: str


Command = Renew | Read | Lapse | Resume | Fence
Step = tuple["Holder", tuple[Command, ...]]


class Holder(msgspec.Struct, frozen=True):
    """The lease as its holder knows it.

    Attributes:
        ttl_s: its validity.
        revision: the last known one.
        good_from_s: when the last acknowledged write was sent.
        busy: whether a write or a read is pending.
        next_s: when the next write is due.
        lapsed: whether it has expired, and the owner stands still.
        stopped: whether the owner was fenced.
    """

    ttl_s: float
    revision: int
    good_from_s: float
    busy: bool = False
    next_s: float = 0.0
    lapsed: bool = False
    stopped: bool = False

    def is_good(self, now_s: float) -> bool:
        """Return whether its holder may act visibly to others."""
        return not (self.stopped or self.lapsed) and now_s - self.good_from_s < self.ttl_s


def step_holder(holder: Holder, event: Event) -> Step:  # noqa: PLR0911 - one return an event
    """Return the holder after an event, and its commands.

    >>> holder, _ = step_holder(Holder(3.0, 7, good_from_s=0.0), Tick(1.0))
    >>> holder, commands = step_holder(holder, Tick(3.1))
    >>> commands, step_holder(holder, Renewed(8, 3.0))[1]
    ((Lapse(),), (Resume(),))
    """
    if holder.stopped:
        return holder, ()
    change = msgspec.structs.replace
    match event:
        case Tick(now_s):
            return _tick(holder, now_s)
        case Renewed(revision, sent_s):
            due_s = sent_s + holder.ttl_s * RENEW
            held = change(
                holder, revision=revision, good_from_s=sent_s, busy=False, next_s=due_s,
                lapsed=False,
            )  # fmt: skip
            return held, (Resume(),) if holder.lapsed else ()
        case LeaseRefused():
            return change(holder, busy=True), (Read(),)
        case LeaseUnclear(now_s):
            return change(holder, busy=False, next_s=now_s + holder.ttl_s * RETRY), ()
        case Found(revision, ours, now_s):
            if not ours:
                reason = "fenced: another owner has the lease"
                return change(holder, stopped=True), (Fence(reason),)
            known = change(holder, revision=revision, busy=True)
            return known, (Renew(revision, now_s),)


def _tick(holder: Holder, now_s: float) -> Step:
    commands: tuple[Command, ...] = ()
    if not holder.lapsed and not holder.is_good(now_s):
        holder, commands = msgspec.structs.replace(holder, lapsed=True), (Lapse(),)
    due_s = max(holder.next_s, holder.good_from_s + holder.ttl_s * RENEW)
    if holder.busy or now_s < due_s:
        return holder, commands
    return msgspec.structs.replace(holder, busy=True), (*commands, Renew(holder.revision, now_s))


def fresh(ttl_s: float, revision: int, now_s: float) -> Holder:
    """The lease of a new owner, which its parent has written: to be written anew at once.

    >>> step_holder(fresh(3.0, 7, 10.0), Tick(10.0))[1]
    (Renew(revision=7, now_s=10.0),)
    """
    return Holder(ttl_s, revision, good_from_s=now_s - ttl_s * RENEW)


class Observed(msgspec.Struct, frozen=True):
    """The lease as the parent sees it.

    Attributes:
        revision: the last one seen; 0 where there is none.
        changed_s: when it was first seen, on the parent's own clock; later by the time during
            which it could not be read, which does not count against the holder.
        read_s: when it was read last.
        blind_s: since when it cannot be read; None while it can.
        sighted_s: when it could be read again after the last time that it could not.
    """

    revision: int
    changed_s: float
    read_s: float = 0.0
    blind_s: float | None = None
    sighted_s: float = float("-inf")

    @property
    def blind(self) -> bool:
        """Whether it cannot be read at the moment, which says nothing about its holder."""
        return self.blind_s is not None

    def seen(self, revision: int, now_s: float) -> Observed:
        """It was read."""
        change = msgspec.structs.replace
        sighted_s = self.sighted_s if self.blind_s is None else now_s
        dark_s = 0.0 if self.blind_s is None else now_s - self.blind_s
        changed_s = self.changed_s + dark_s if revision == self.revision else now_s
        return change(
            self, revision=revision, changed_s=changed_s, read_s=now_s, blind_s=None,
            sighted_s=sighted_s,
        )  # fmt: skip

    def unread(self, asked_s: float) -> Observed:
        """A read that was asked for then had no answer; one that was heard since counts more."""
        if self.blind or asked_s < self.read_s:
            return self
        return msgspec.structs.replace(self, blind_s=asked_s)

    def age_s(self, now_s: float) -> float:
        """Seconds since it changed."""
        return now_s - self.changed_s

    def is_over(self, now_s: float, ttl_s: float, takeover: Takeover) -> bool:
        """Whether the holder has had time enough to stop by itself, and a margin.

        >>> Observed(7, 0.0).is_over(2.4, 2.0, "fence"), Observed(7, 0.0).is_over(2.5, 2.0, "fence")
        (False, True)
        """
        return not self.blind and self.age_s(now_s) >= ttl_s * TAKEOVER[takeover]

"""The lease: how an owner proves that it is alive, and how its parent detects that it is not.

A lease says who owns which epoch of a subtree, and hangs on the pulse of that owner's node: it is
good for so long from the moment that the node's last acknowledged beat was *sent*
(`protocol/pulse.py`). The parent looks at the beats and at its own monotonic clock: no clock is
compared with another one. What the journal keeps is safe without any of this. The lease is for
what leaves the tree (mail, requests to others), and for knowing when to start anew.

A lease that is over is not lost. It takes two proofs to make it good again: a beat that was
accepted since, and its cell, which is read and written anew: it is there, names its owner, and
nobody has written it. That nothing tells of another owner is no proof: what told of one may be
lost, with the cells. Meanwhile its owner stands still.
"""

from __future__ import annotations

from typing import Literal

import msgspec

RENEW = 1 / 3  # of the shortest lease of a node: how long after a beat the next one is sent
RETRY = 1 / 12  # of the lease: how long after a write without an answer the next one is sent
TAKEOVER = {"fence": 1.25, "lease": 1.5}  # leases without a beat, and the parent takes over
LET_GO_S = 4.0  # servers miss who is cut off no sooner: they ping every 2 s, and two may be lost

Takeover = Literal["fence", "lease"]


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""

    now_s: float


class Renewed(msgspec.Struct, frozen=True):
    """A beat of its node was acknowledged; `sent_s` says when it had been sent."""

    sent_s: float
    now_s: float


class Proven(msgspec.Struct, frozen=True):
    """Its cell was written, and nobody else had written it."""

    now_s: float


class TakenOver(msgspec.Struct, frozen=True):
    """Somebody else has the subtree, or may have it."""

    reason: str


Event = Tick | Renewed | Proven | TakenOver


class Lapse(msgspec.Struct, frozen=True):
    """Stand still at once: the lease has expired, and nobody is known to have taken it."""


class Prove(msgspec.Struct, frozen=True):
    """Read its cell, and write it anew: its node beats again, and somebody may have taken it."""


class Resume(msgspec.Struct, frozen=True):
    """Go on: the lease is good again, and nobody had it in between."""


class Fence(msgspec.Struct, frozen=True):
    """End at once: the lease has another owner."""

    reason: str


Command = Lapse | Prove | Resume | Fence
Step = tuple["Holder", tuple[Command, ...]]


class Holder(msgspec.Struct, frozen=True):
    """The lease as its holder knows it.

    Attributes:
        ttl_s: its validity.
        good_from_s: when the last acknowledged beat was sent.
        proven: whether its cell was written since it was over, or since it was taken.
        stopped: whether the owner was fenced.
    """

    ttl_s: float
    good_from_s: float = float("-inf")
    proven: bool = False
    stopped: bool = False

    def is_over(self, now_s: float) -> bool:
        """Return whether its node has not beaten for too long."""
        return now_s - self.good_from_s >= self.ttl_s

    def is_good(self, now_s: float) -> bool:
        """Return whether its holder may act visibly to others."""
        return self.proven and not self.stopped and not self.is_over(now_s)


def step_holder(holder: Holder, event: Event) -> Step:
    """Return the holder after an event, and its commands.

    >>> holder = Holder(3.0, good_from_s=0.0, proven=True)
    >>> holder, commands = step_holder(holder, Tick(3.1))
    >>> holder, again = step_holder(holder, Renewed(3.0, 3.2))
    >>> commands, again, step_holder(holder, Proven(3.3))[1]
    ((Lapse(),), (Prove(),), (Resume(),))
    """
    if holder.stopped:
        return holder, ()
    change = msgspec.structs.replace
    match event:
        case Tick(now_s):
            return _lapsed(holder, now_s)
        case Renewed(sent_s, now_s):
            holder, commands = _lapsed(holder, now_s)  # nobody may have looked since it was over
            known = change(holder, good_from_s=sent_s)
            return known, commands if known.proven else (*commands, Prove())
        case Proven(now_s):
            if holder.proven or holder.is_over(now_s):
                return holder, ()
            return change(holder, proven=True), (Resume(),)
        case TakenOver(reason):
            return change(holder, stopped=True), (Fence(reason),)


def _lapsed(holder: Holder, now_s: float) -> Step:
    if holder.proven and holder.is_over(now_s):
        return msgspec.structs.replace(holder, proven=False), (Lapse(),)
    return holder, ()


class Observed(msgspec.Struct, frozen=True):
    """The pulse of a node as a parent sees it; all leases of the node are as old.

    Attributes:
        beat: the last one seen; 0 where there is none.
        changed_s: when it was first seen, on the parent's own clock; later by the time during
            which it could not be read, which does not count against the holder.
        read_s: when it was read last.
        blind_s: since when it cannot be read; None while it can.
        sighted_s: when it could be read again after the last time that it could not.
        beaten_s: when the last beat was first seen, whatever could be read since.
    """

    beat: int
    changed_s: float
    read_s: float = 0.0
    blind_s: float | None = None
    sighted_s: float = float("-inf")
    beaten_s: float = 0.0

    @property
    def blind(self) -> bool:
        """Whether it cannot be read at the moment, which says nothing about its holder."""
        return self.blind_s is not None

    def seen(self, beat: int, now_s: float) -> Observed:
        """It was read."""
        change = msgspec.structs.replace
        sighted_s = self.sighted_s if self.blind_s is None else now_s
        dark_s = 0.0 if self.blind_s is None else now_s - self.blind_s
        same = beat == self.beat
        changed_s = self.changed_s + dark_s if same else now_s
        return change(
            self, beat=beat, changed_s=changed_s, read_s=now_s, blind_s=None,
            sighted_s=sighted_s, beaten_s=self.beaten_s if same else now_s,
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

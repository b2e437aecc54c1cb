"""The monitor of a remote child: a failure detector from the pulse and the agent of its node.

Three grades of evidence. *Proof*: the agent has waited for the process and says how it ended, in
a message and in the lease. It counts at once. *Absence*: nobody is subscribed where the subtree
answers, nor where its node's agent does, several times running; or an agent is there that knows
nothing of it, since it was started anew. That is a node that died. With `takeover: fence` it counts
at once, since the journal refuses a survivor. *Silence*: the node does not beat, and nobody says
why. The child may live on, cut off or hanging; it is over when the holder has had time to stop by
itself, and that is no death. The servers let go of a connection that is cut off, too, but only some
seconds later: absence that begins after a time without beats is silence.

A parent that cannot read the pulse is cut off itself. It takes nothing over, and the child is
`unreachable`: a state of the link, not a death. So is one whose user code does not return, which
answers nobody while its agent says that it is there.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.cluster.protocol.lease import LET_GO_S, Observed, Takeover

ABSENT_TIMES = 3  # answers "nobody is subscribed" in a row that are evidence
ABSENT_S = 0.3  # ... over at least this long: a reconnecting owner is away for a moment
QUIET_S = LET_GO_S - 1.5  # without a beat, and who is absent may be cut off; a beat and a look less
SETTLED_S = 3.0  # after the lease could not be read, before absence counts: others come back, too
SILENT_TIMES = 2  # pings without an answer, and the child is unreachable

Answer = Literal["alive", "absent", "silent"]
Seen = Literal["hosted", "unknown", "absent", "silent"]
Grade = Literal["proof", "absence", "silence"]


class PulseRead(msgspec.Struct, frozen=True):
    """The pulse of its node was read: the last beat, 0 where there is none.

    The answer may have lain about while this process was held up: what it says was so at some
    moment between `asked_s` and `heard_s`. A change counts from the later, age from the earlier.
    """

    beat: int
    asked_s: float
    heard_s: float


class PulseUnread(msgspec.Struct, frozen=True):
    """A read of the pulse that was asked for then had no answer."""

    asked_s: float


class LeaseRead(msgspec.Struct, frozen=True):
    """The lease was read; epoch 0 where it is gone, `ended` why where it was released."""

    revision: int
    epoch: int
    ended: str = ""


class Pinged(msgspec.Struct, frozen=True):
    """The answer to a ping of the subtree's process."""

    answer: Answer
    now_s: float


class EpochEnded(msgspec.Struct, frozen=True):
    """The agent, or the subtree itself, says that an epoch of it has ended."""

    epoch: int
    reason: str


class AgentSaid(msgspec.Struct, frozen=True):
    """What the agent of its node says: it hosts that epoch, or knows nothing of it; or nothing."""

    seen: Seen


Event = PulseRead | PulseUnread | LeaseRead | Pinged | EpochEnded | AgentSaid


class Exit(msgspec.Struct, frozen=True):
    """The child has ended, for this reason; `grade` says how we know."""

    reason: str
    grade: Grade = "proof"


class Reach(msgspec.Struct, frozen=True):
    """The child can be reached, or it cannot; that is not an end."""

    reachable: bool


Command = Exit | Reach


class Monitor(msgspec.Struct, frozen=True):
    """One life of a remote child, as its parent sees it.

    Attributes:
        epoch: of this life.
        ttl_s: how long its lease is good for.
        takeover: whether absence is evidence enough.
        lease: as observed, by the pulse of its node.
        absent: how many pings running found nobody; the first of them at `absent_s`.
        silent: how many pings running had no answer.
        revision: the last known one of the lease.
        gone: how many times running its node's agent was absent, or knew nothing of it.
        anew: whether it is there and knew nothing of it.
        reachable: the last published state.
        over: whether it has ended; later events are ignored.
    """

    epoch: int
    ttl_s: float
    takeover: Takeover
    lease: Observed
    absent: int = 0
    absent_s: float = 0.0
    silent: int = 0
    gone: int = 0
    anew: bool = False
    revision: int = 0
    reachable: bool = True
    over: bool = False


def doubted(monitor: Monitor) -> bool:
    """Return whether it may be gone: nobody is there, or its node's agent does not know it."""
    return not monitor.over and (monitor.absent > 0 or monitor.gone > 0)


def is_well(monitor: Monitor) -> bool:
    """Return whether an answer that it is there would change nothing."""
    return monitor.reachable and not (monitor.absent or monitor.silent or monitor.gone)


def step_monitor(monitor: Monitor, event: Event) -> tuple[Monitor, tuple[Command, ...]]:
    """Return the monitor after an event, and its commands.

    >>> monitor = Monitor(3, 2.0, "fence", Observed(7, 0.0))
    >>> [step_monitor(monitor, EpochEnded(n, "killed"))[1] for n in (3, 2)]
    [(Exit(reason='killed', grade='proof'),), ()]
    """
    if monitor.over:
        return monitor, ()
    match event:
        case EpochEnded(epoch, reason):
            return _exit(monitor, reason) if epoch == monitor.epoch else (monitor, ())
        case LeaseRead() | PulseRead() | PulseUnread():
            monitor, ended = _read(monitor, event)
            if ended is not None:
                return _exit(monitor, ended.reason, ended.grade)
        case AgentSaid(seen):
            monitor = _said(monitor, seen)
        case Pinged(answer, now_s):
            monitor = _pinged(monitor, answer, now_s)
            if monitor.takeover == "fence" and _is_absent(monitor, now_s):
                return _exit(monitor, "noconnection", "absence")
    reachable = not (monitor.lease.blind or monitor.silent >= SILENT_TIMES or monitor.absent)
    if reachable == monitor.reachable:
        return monitor, ()
    return msgspec.structs.replace(monitor, reachable=reachable), (Reach(reachable),)


def _read(
    monitor: Monitor, read: LeaseRead | PulseRead | PulseUnread
) -> tuple[Monitor, Exit | None]:
    """Return the monitor after a read, and the end that it tells of, if any.

    An older revision of the lease, or an older beat, is a stale read.
    """
    change, lease = msgspec.structs.replace, monitor.lease
    match read:
        case LeaseRead(revision, epoch, why):
            if revision < monitor.revision:
                return monitor, None
            why = "fenced" if epoch > monitor.epoch else why if epoch == monitor.epoch else ""
            return change(monitor, revision=revision), Exit(why) if why else None
        case PulseRead(beat, asked_s, heard_s) if beat >= lease.beat:
            lease = lease.seen(beat, heard_s)
            over = lease.is_over(asked_s, monitor.ttl_s, monitor.takeover)
            gone = Exit("noconnection", "silence") if over else None
            return change(monitor, lease=lease), gone
        case _:
            return change(monitor, lease=lease.unread(read.asked_s)), None


def _said(monitor: Monitor, seen: Seen) -> Monitor:
    gone = monitor.gone + 1 if seen in {"absent", "unknown"} else 0
    monitor = msgspec.structs.replace(monitor, gone=gone, anew=seen == "unknown")
    if seen == "hosted" and monitor.absent:  # its process is busy, or was cut off
        return msgspec.structs.replace(monitor, absent=0, silent=SILENT_TIMES)
    return monitor


def _is_absent(monitor: Monitor, now_s: float) -> bool:
    """Return whether nobody is there, neither the subtree nor its node, for long enough.

    It must have begun while the node had beaten just before, unless that is known to be anew.
    """
    absent = monitor.absent >= ABSENT_TIMES and now_s - monitor.absent_s >= ABSENT_S
    lease = monitor.lease
    absent = absent and (monitor.anew or monitor.absent_s - lease.beaten_s < QUIET_S)
    settled = not lease.blind and now_s - lease.sighted_s >= SETTLED_S
    return absent and settled and monitor.gone >= ABSENT_TIMES


def _pinged(monitor: Monitor, answer: Answer, now_s: float) -> Monitor:
    change = msgspec.structs.replace
    match answer:
        case "alive":
            return change(monitor, absent=0, silent=0, gone=0)
        case "silent":
            return change(monitor, absent=0, silent=monitor.silent + 1)
        case "absent":
            since_s = monitor.absent_s if monitor.absent else now_s
            return change(monitor, absent=monitor.absent + 1, absent_s=since_s, silent=0)


def _exit(
    monitor: Monitor, reason: str, grade: Grade = "proof"
) -> tuple[Monitor, tuple[Command, ...]]:
    return msgspec.structs.replace(monitor, over=True), (Exit(reason, grade),)

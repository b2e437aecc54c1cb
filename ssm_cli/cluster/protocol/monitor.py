"""The monitor of a remote child: a failure detector from leases and pings to exit reasons.

Three grades of evidence. *Proof*: the agent has waited for the process, or the lease names another
epoch; it counts at once. *Absence*: nobody is subscribed where the subtree answers, several times
running; with `takeover: fence` it counts at once, since the journal refuses a survivor. *Silence*:
the lease does not change; it counts when the holder has had time to stop by itself.

A parent that cannot read the lease is cut off itself. It takes nothing over, and the child is
`unreachable`: a state of the link, not a death.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.cluster.protocol.lease import Observed, Takeover

ABSENT_TIMES = 3  # answers "nobody is subscribed" in a row that are evidence
ABSENT_S = 0.3  # ... over at least this long: a reconnecting owner is away for a moment
SILENT_TIMES = 2  # pings without an answer, and the child is unreachable

Answer = Literal["alive", "absent", "silent"]


class LeaseRead(msgspec.Struct, frozen=True):
    """The lease was read; epoch 0 where it is gone.

    The answer may have lain about while this process was held up: what it says was so at some
    moment between `asked_s` and `heard_s`. A change counts from the later, age from the earlier.
    """

    revision: int
    epoch: int
    asked_s: float
    heard_s: float


class LeaseUnread(msgspec.Struct, frozen=True):
    """A read of the lease that was asked for then had no answer."""

    asked_s: float


class Pinged(msgspec.Struct, frozen=True):
    """The answer to a ping of the subtree's process."""

    answer: Answer
    now_s: float


class EpochEnded(msgspec.Struct, frozen=True):
    """The agent, or the subtree itself, says that an epoch of it has ended."""

    epoch: int
    reason: str


Event = LeaseRead | LeaseUnread | Pinged | EpochEnded


class Exit(msgspec.Struct, frozen=True):
    """The child has ended, for this reason."""

    reason: str


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
        lease: as observed.
        absent: how many pings running found nobody; the first of them at `absent_s`.
        silent: how many pings running had no answer.
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
    reachable: bool = True
    over: bool = False


def step_monitor(  # noqa: PLR0911 - one return a verdict
    monitor: Monitor, event: Event
) -> tuple[Monitor, tuple[Command, ...]]:
    """Return the monitor after an event, and its commands.

    >>> monitor = Monitor(3, 2.0, "fence", Observed(7, 0.0))
    >>> [step_monitor(monitor, EpochEnded(n, "killed"))[1] for n in (3, 2)]
    [(Exit(reason='killed'),), ()]
    """
    if monitor.over:
        return monitor, ()
    match event:
        case EpochEnded(epoch, reason):
            return _exit(monitor, reason) if epoch == monitor.epoch else (monitor, ())
        case LeaseRead(_, epoch) if epoch != monitor.epoch:
            return _exit(monitor, "fenced" if epoch > monitor.epoch else "noproc")
        case LeaseRead(revision, _, asked_s, heard_s):
            lease = monitor.lease.seen(revision, heard_s)
            monitor = msgspec.structs.replace(monitor, lease=lease)
            if lease.is_over(asked_s, monitor.ttl_s, monitor.takeover):
                return _exit(monitor, "noconnection")
        case LeaseUnread(asked_s):
            monitor = msgspec.structs.replace(monitor, lease=monitor.lease.unread(asked_s))
        case Pinged(answer, now_s):
            monitor = _pinged(monitor, answer, now_s)
            absent = monitor.absent >= ABSENT_TIMES and now_s - monitor.absent_s >= ABSENT_S
            if absent and monitor.takeover == "fence" and not monitor.lease.blind:
                return _exit(monitor, "noconnection")
    reachable = not (monitor.lease.blind or monitor.silent >= SILENT_TIMES or monitor.absent)
    if reachable == monitor.reachable:
        return monitor, ()
    return msgspec.structs.replace(monitor, reachable=reachable), (Reach(reachable),)


def _pinged(monitor: Monitor, answer: Answer, now_s: float) -> Monitor:
    change = msgspec.structs.replace
    match answer:
        case "alive":
            return change(monitor, absent=0, silent=0)
        case "silent":
            return change(monitor, absent=0, silent=monitor.silent + 1)
        case "absent":
            since_s = monitor.absent_s if monitor.absent else now_s
            return change(monitor, absent=monitor.absent + 1, absent_s=since_s, silent=0)


def _exit(monitor: Monitor, reason: str) -> tuple[Monitor, tuple[Command, ...]]:
    return msgspec.structs.replace(monitor, over=True), (Exit(reason),)

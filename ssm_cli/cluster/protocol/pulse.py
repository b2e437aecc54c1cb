"""The pulse: the one heartbeat of a node, on which the leases of all its subtrees hang.

Theory of operation. A node's agent rewrites its advert again and again, each time naming the
revision that it knows. An acknowledged write makes every lease of the node good from the moment it
was *sent*. Whoever takes a subtree over from a node that does not answer writes a *revocation* into
the same cell. From then on the agent's writes are refused until it has read the cell: so a beat
that was acknowledged after a revocation came from an agent that knew of it, and had given that
subtree up. A revocation names one epoch of one subtree; the others of the node beat on.

A write that was refused is no proof by itself, and neither is a read: the cell may be read as it
was. An older revision than the known one is read again; where it stays older, the cells are lost.

Of two nodes with one name the later one stays. Whoever finds its cell written by another one has
stood still, or was cut off: it gives everything up, and leaves the cell as it is.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.cluster.protocol.lease import Tick

OLDER_READS = 20  # of the cell running; more, and it is lost
RETRIES = 4  # writes in the time between two beats, while there is no answer

Whose = Literal["ours", "nobody", "other"]


class BeatWritten(msgspec.Struct, frozen=True):
    """A beat was acknowledged; `sent_s` says when it had been sent."""

    revision: int
    sent_s: float


class BeatRefused(msgspec.Struct, frozen=True):
    """A beat was refused: the cell has another revision."""


class BeatUnclear(msgspec.Struct, frozen=True):
    """A beat, or a read of the cell, had no answer."""

    now_s: float


class BeatRead(msgspec.Struct, frozen=True):
    """The cell was read: its revision, and whose last beat stands there."""

    revision: int
    whose: Whose
    now_s: float


Event = Tick | BeatWritten | BeatRefused | BeatUnclear | BeatRead


class WriteBeat(msgspec.Struct, frozen=True):
    """Rewrite the cell if it has this revision; sent at `now_s`."""

    revision: int
    now_s: float


class ReadBeat(msgspec.Struct, frozen=True):
    """Read the cell."""


class Disown(msgspec.Struct, frozen=True):
    """Give every subtree up: somebody may have taken it over, and what told of that is lost."""

    reason: str
    named: bool = False  # another node has our name


Command = WriteBeat | ReadBeat | Disown
Step = tuple["Pulse", tuple[Command, ...]]


class Pulse(msgspec.Struct, frozen=True):
    """The heartbeat of a node, as its agent knows it.

    Attributes:
        every_s: between two beats.
        revision: the last known one of the cell.
        begun: whether a beat of ours was acknowledged; what stood there before is not ours.
        busy: whether a write or a read is pending.
        next_s: when the next beat is due.
        older: how many reads running were older than what we know.
    """

    every_s: float
    revision: int = 0
    begun: bool = False
    busy: bool = False
    next_s: float = 0.0
    older: int = 0


def step_pulse(pulse: Pulse, event: Event) -> Step:
    """Return the pulse after an event, and its commands.

    >>> pulse, commands = step_pulse(Pulse(1.0), Tick(5.0))
    >>> commands, step_pulse(pulse, BeatWritten(7, 5.0))[0].next_s
    ((WriteBeat(revision=0, now_s=5.0),), 6.0)
    """
    change = msgspec.structs.replace
    match event:
        case Tick(now_s):
            if pulse.busy or now_s < pulse.next_s:
                return pulse, ()
            return change(pulse, busy=True), (WriteBeat(pulse.revision, now_s),)
        case BeatWritten(revision, sent_s):
            next_s = sent_s + pulse.every_s
            done = change(
                pulse, revision=revision, begun=True, busy=False, next_s=next_s, older=0
            )  # fmt: skip
            return done, ()
        case BeatRefused():
            return change(pulse, busy=True), (ReadBeat(),)
        case BeatUnclear(now_s):
            return change(pulse, busy=False, next_s=now_s + pulse.every_s / RETRIES), ()
        case BeatRead():
            return _read(pulse, event)


def _read(pulse: Pulse, read: BeatRead) -> Step:
    change = msgspec.structs.replace
    lost = ""
    if pulse.begun and read.revision <= pulse.revision:  # we were refused: there is a newer one
        if pulse.older < OLDER_READS:
            again_s = read.now_s + pulse.every_s / RETRIES
            return change(pulse, busy=False, next_s=again_s, older=pulse.older + 1), ()
        lost = "fenced: the adverts of the nodes are lost"
    elif pulse.begun and read.whose == "nobody":
        lost = "fenced: the node was taken out of the directory"
    elif pulse.begun and read.whose == "other":  # the cell is its: nothing is written any more
        disown = Disown("fenced: another node has our name", named=True)
        return change(pulse, busy=True), (disown,)
    known = change(pulse, revision=read.revision, busy=True, older=0)
    gone: tuple[Command, ...] = (Disown(lost),) if lost else ()
    return known, (*gone, WriteBeat(read.revision, read.now_s))

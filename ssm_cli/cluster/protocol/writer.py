"""The writer: how the owner of a subtree takes its journal over, and appends to it.

Theory of operation. A journal is one chain: an append names the sequence it expects to be last,
and the servers refuse it where that is over. So there is one append in flight, and everything
that comes meanwhile goes into the next record. Nothing counts until the append is acknowledged.

An append ends in one of three ways. *Acked*: it is there. *Refused*: something else is there, or
an earlier try of the same record; the tail says which, by the id. *Unclear*: no answer came; the
tail decides again. A tail that is older than what we know is a stale read, and is read again: a
read alone proves nothing, only an acknowledged append does. Where it stays older, the journal has
lost its end, and the owner gives up: `journal_corrupt`. What is known comes from our own appends,
and at the start from the witness in the lease.

A new owner appends an epoch record first. Whoever owned the journal before expects a sequence
that is over from then on, and is told so by its next append, whatever its clock says.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.cluster.protocol.records import MAX_ENTRY_BYTES, MAX_RECORD_BYTES, VERSION, Record

MAX_WAITING = 16_384  # entries that wait for the append in flight; more, and the owner gives up

MAX_BEHIND = 100  # reads of a tail that is older than what we know; more, and it is no stale read

UNCLEAR_S = 60.0  # without an answer of the journal, and the owner gives up; elections take ten
LONGEST_TRY_S = 3.0  # what one try counts at most: it took longer where we were stopped meanwhile

Word = Literal["fenced", "storage", "journal_corrupt"]
Phase = Literal["new", "claiming", "serving", "fenced"]


class Begin(msgspec.Struct, frozen=True):
    """Take the journal over."""


class Write(msgspec.Struct, frozen=True):
    """Append an entry; `number` is the one behind the last."""

    number: int
    entry: bytes


class Acked(msgspec.Struct, frozen=True):
    """The append in flight stands at this sequence."""

    sequence: int


class AppendRefused(msgspec.Struct, frozen=True):
    """The append in flight was refused: the journal has gone on."""


class AppendUnclear(msgspec.Struct, frozen=True):
    """Whether the append in flight was carried out is not known, after so long."""

    after_s: float = 0.0


class TailUnclear(msgspec.Struct, frozen=True):
    """A read of the tail had no answer, after so long."""

    after_s: float = 0.0


class TailIs(msgspec.Struct, frozen=True):
    """What a read of the tail gave; no record where the journal is empty."""

    sequence: int
    record: Record | None


Event = Begin | Write | Acked | AppendRefused | AppendUnclear | TailUnclear | TailIs


class Append(msgspec.Struct, frozen=True):
    """Append this record; the last sequence must be `record.prev`."""

    record: Record


class ReadTail(msgspec.Struct, frozen=True):
    """Read the last record; `again` where the last read was stale: wait a little first."""

    again: bool = False


class Claimed(msgspec.Struct, frozen=True):
    """The journal is ours: our epoch record stands at this sequence."""

    sequence: int


class Written(msgspec.Struct, frozen=True):
    """Every entry up to this number is durable."""

    upto: int


class GiveUp(msgspec.Struct, frozen=True):
    """Another owner has gone on, or the journal takes no more: drop what is not durable.

    `word` is the exit reason that it comes to, `reason` the same for people.
    """

    reason: str
    word: Word = "fenced"


Command = Append | ReadTail | Claimed | Written | GiveUp
Step = tuple["Writer", tuple[Command, ...]]


class Writer(msgspec.Struct, frozen=True):
    """Where the owner stands with its journal.

    Attributes:
        epoch: ours.
        owner: who we are; record ids begin with it.
        witness: the sequence that the journal had reached at the least when we began.
        phase: `serving` once the epoch record is acknowledged.
        sequence: that of the last record that we know of.
        next: the number of the entry after all that are durable.
        flight: the record whose append has no answer yet.
        waiting: the entries that came meanwhile; of the first one what is not written yet.
        part: how many parts of that one are written, or in flight.
        count: of the records made, for their ids.
        behind: how many refusals, and reads of a tail older than what we know, since a success.
        unclear_s: how long we have waited since then for answers that did not come.
    """

    epoch: int
    owner: str
    witness: int = 0
    phase: Phase = "new"
    sequence: int = 0
    next: int = 1
    flight: Record | None = None
    waiting: tuple[bytes, ...] = ()
    part: int = 0
    count: int = 0
    behind: int = 0
    unclear_s: float = 0.0


def step_writer(writer: Writer, event: Event) -> Step:  # noqa: PLR0911 - one return an event
    """Return the writer after an event, and its commands.

    >>> writer, commands = step_writer(Writer(1, "a"), Begin())
    >>> writer, commands = step_writer(writer, TailIs(0, None))
    >>> commands[0].record.prev, step_writer(writer, Acked(1))[1]
    (0, (Claimed(sequence=1),))
    """
    if writer.phase == "fenced":
        return writer, ()
    match event:
        case Begin():
            return msgspec.structs.replace(writer, phase="claiming"), (ReadTail(),)
        case Write():
            return _write(writer, event)
        case Acked(sequence):
            return _landed(writer, sequence)
        case AppendRefused():
            return _refused(writer)
        case AppendUnclear(after_s):
            return _unclear(writer, after_s) if writer.flight is not None else (writer, ())
        case TailUnclear(after_s):
            return _unclear(writer, after_s)
        case TailIs():
            return _judge(writer, event)


def _write(writer: Writer, event: Write) -> Step:
    in_flight = writer.flight.next - writer.flight.first if writer.flight is not None else 0
    number = writer.next + in_flight + len(writer.waiting)
    if writer.phase != "serving" or event.number != number:
        why = f"entry {event.number} was to be written, and the journal expects {number}"
        return _give_up(writer, f"storage: {why} ({writer.phase})", "storage")
    if len(writer.waiting) >= MAX_WAITING:
        why = f"storage: {MAX_WAITING} entries wait for the cluster"
        return _give_up(writer, why, "storage")
    if len(event.entry) > MAX_ENTRY_BYTES:
        size = len(event.entry)
        why = f"storage: an entry has {size} bytes; at most {MAX_ENTRY_BYTES} are kept"
        return _give_up(writer, why, "storage")
    writer = msgspec.structs.replace(writer, waiting=(*writer.waiting, event.entry))
    return (writer, ()) if writer.flight is not None else _send(writer)


def _send(writer: Writer) -> Step:
    """Pack what waits into one record, as far as it fits; what fits none goes in parts."""
    if writer.waiting and (writer.part or len(writer.waiting[0]) > MAX_RECORD_BYTES):
        return _send_part(writer)
    size = count = 0
    for entry in writer.waiting:
        size += len(entry)
        if count and size > MAX_RECORD_BYTES:
            break
        count += 1
    if not count:
        return writer, ()
    packed, waiting = writer.waiting[:count], writer.waiting[count:]
    return _append(msgspec.structs.replace(writer, waiting=waiting), packed)


def _send_part(writer: Writer) -> Step:
    entry, *rest = writer.waiting
    data, left = entry[:MAX_RECORD_BYTES], entry[MAX_RECORD_BYTES:]
    number = writer.part + 1
    if left:
        writer = msgspec.structs.replace(writer, waiting=(left, *rest), part=number)
        return _append(writer, (data,), number)
    writer = msgspec.structs.replace(writer, waiting=tuple(rest), part=0)
    return _append(writer, (data,), -number)


def _append(writer: Writer, entries: tuple[bytes, ...], part: int = 0) -> Step:
    count = writer.count + 1
    name, version = f"{writer.owner}.{writer.epoch}.{count}", VERSION if part else 1
    record = Record(
        name, writer.epoch, writer.sequence, writer.next, entries, writer.owner, version, part
    )
    return msgspec.structs.replace(writer, flight=record, count=count), (Append(record),)


def _refused(writer: Writer) -> Step:
    """Ask the tail why; a second time after a pause, since that read was stale."""
    if writer.flight is None:
        return writer, ()
    if writer.behind >= MAX_BEHIND:
        return _give_up(writer, f"storage: an append was refused {MAX_BEHIND} times", "storage")
    again = writer.behind > 0
    return msgspec.structs.replace(writer, behind=writer.behind + 1), (ReadTail(again=again),)


def _unclear(writer: Writer, after_s: float) -> Step:
    """Ask the tail, for a bounded time of waiting; time in which we were stopped does not count."""
    unclear_s = writer.unclear_s + min(after_s, LONGEST_TRY_S)
    if unclear_s >= UNCLEAR_S:
        why = f"storage: the journal has not answered for {UNCLEAR_S:g} s"
        return _give_up(writer, why, "storage")
    return msgspec.structs.replace(writer, unclear_s=unclear_s), (ReadTail(again=True),)


def _landed(writer: Writer, sequence: int) -> Step:
    """The record in flight is there."""
    record = writer.flight
    if record is None or sequence <= record.prev:
        return writer, ()  # an answer that comes twice
    claimed = writer.phase == "claiming"
    writer = msgspec.structs.replace(
        writer, flight=None, sequence=sequence, next=record.next, phase="serving",
        behind=0, unclear_s=0.0,
    )  # fmt: skip
    told: Command = Claimed(sequence) if claimed else Written(record.next - 1)
    writer, commands = _send(writer)
    return writer, (told, *commands)


def _judge(writer: Writer, tail: TailIs) -> Step:
    """What the last record says about the append in flight."""
    flight = writer.flight
    if flight is None:
        return _claim(writer, tail) if writer.phase == "claiming" else (writer, ())
    if tail.record is not None and tail.record.id == flight.id:
        return _landed(writer, tail.sequence)
    if tail.sequence < flight.prev:
        return _look_again(writer, tail.sequence, flight.prev)
    if tail.sequence == flight.prev:
        return writer, (Append(flight),)
    if writer.phase == "claiming":
        return _claim(msgspec.structs.replace(writer, flight=None), tail)
    who = "nobody we know" if tail.record is None else tail.record.owner
    return _give_up(
        writer, f"fenced: the journal was expected at {flight.prev}, and {who} wrote on"
    )


def _look_again(writer: Writer, sequence: int, known: int) -> Step:
    """A tail before what we know: a stale read, for a while; then the journal has lost its end."""
    if writer.behind < MAX_BEHIND:
        return msgspec.structs.replace(writer, behind=writer.behind + 1), (ReadTail(again=True),)
    return _give_up(
        writer,
        f"journal_corrupt: the journal ends at sequence {sequence}, and had reached {known}",
        "journal_corrupt",
    )


def _claim(writer: Writer, tail: TailIs) -> Step:
    """Write the epoch record behind the tail, unless a later epoch has been there."""
    record = tail.record
    if record is not None and record.epoch >= writer.epoch:
        return _give_up(writer, f"fenced: epoch {record.epoch} has begun, ours is {writer.epoch}")
    if tail.sequence < writer.witness:
        return _look_again(writer, tail.sequence, writer.witness)
    number = 1 if record is None else record.next
    writer = msgspec.structs.replace(writer, sequence=tail.sequence, next=number)
    return _append(writer, ())


def _give_up(writer: Writer, reason: str, word: Word = "fenced") -> Step:
    fenced = msgspec.structs.replace(writer, phase="fenced", flight=None, waiting=())
    return fenced, (GiveUp(reason, word),)

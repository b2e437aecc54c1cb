"""The writer: how the owner of a subtree takes its journal over, and appends to it.

Theory of operation. A journal is one chain: an append names the sequence it expects to be last,
and the servers refuse it where that is over. So there is one append in flight, and everything
that comes meanwhile goes into the next record. Nothing counts until the append is acknowledged.

An append ends in one of three ways. *Acked*: it is there. *Refused*: something else is there, or
an earlier try of the same record; the tail says which, by the id. *Unclear*: no answer came; the
tail decides again. A tail that is older than what we know is a stale read, and is read again: a
read alone proves nothing, only an acknowledged append does.

A new owner appends an epoch record first. Whoever owned the journal before expects a sequence
that is over from then on, and is told so by its next append, whatever its clock says.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.cluster.protocol.records import MAX_RECORD_BYTES, Record

MAX_WAITING = 16_384  # entries that wait for the append in flight; more, and the owner gives up

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
    """Whether the append in flight was carried out is not known."""


class TailIs(msgspec.Struct, frozen=True):
    """What a read of the tail gave; no record where the journal is empty."""

    sequence: int
    record: Record | None


Event = Begin | Write | Acked | AppendRefused | AppendUnclear | TailIs


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
    """Another owner has gone on, or the journal takes no more: drop what is not durable."""

    reason: str


Command = Append | ReadTail | Claimed | Written | GiveUp
Step = tuple["Writer", tuple[Command, ...]]


class Writer(msgspec.Struct, frozen=True):
    """Where the owner stands with its journal.

    Attributes:
        epoch: ours.
        owner: who we are; record ids begin with it.
        phase: `serving` once the epoch record is acknowledged.
        sequence: that of the last record that we know of.
        next: the number of the entry after all that are durable.
        flight: the record whose append has no answer yet.
        waiting: the entries that came meanwhile.
        count: of the records made, for their ids.
    """

    epoch: int
    owner: str
    phase: Phase = "new"
    sequence: int = 0
    next: int = 1
    flight: Record | None = None
    waiting: tuple[bytes, ...] = ()
    count: int = 0


def step_writer(writer: Writer, event: Event) -> Step:
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
        case AppendRefused() | AppendUnclear():
            return writer, (ReadTail(),) if writer.flight is not None else ()
        case TailIs():
            return _judge(writer, event)


def _write(writer: Writer, event: Write) -> Step:
    assert writer.phase == "serving", "an entry before the journal is ours"
    in_flight = len(writer.flight.entries) if writer.flight is not None else 0
    assert event.number == writer.next + in_flight + len(writer.waiting)
    if len(writer.waiting) >= MAX_WAITING:
        return _give_up(writer, f"journal_full: {MAX_WAITING} entries wait for the cluster")
    if len(event.entry) > MAX_RECORD_BYTES:
        size = len(event.entry)
        return _give_up(writer, f"an entry has {size} bytes; at most {MAX_RECORD_BYTES} fit")
    writer = msgspec.structs.replace(writer, waiting=(*writer.waiting, event.entry))
    return (writer, ()) if writer.flight is not None else _send(writer)


def _send(writer: Writer) -> Step:
    """Pack what waits into one record, as far as it fits."""
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


def _append(writer: Writer, entries: tuple[bytes, ...]) -> Step:
    count = writer.count + 1
    name = f"{writer.owner}.{writer.epoch}.{count}"
    record = Record(name, writer.epoch, writer.sequence, writer.next, entries, writer.owner)
    return msgspec.structs.replace(writer, flight=record, count=count), (Append(record),)


def _landed(writer: Writer, sequence: int) -> Step:
    """The record in flight is there."""
    record = writer.flight
    if record is None or sequence <= record.prev:
        return writer, ()  # an answer that comes twice
    claimed = writer.phase == "claiming"
    writer = msgspec.structs.replace(
        writer, flight=None, sequence=sequence, next=record.next, phase="serving"
    )
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
        return writer, (ReadTail(again=True),)
    if tail.sequence == flight.prev:
        return writer, (Append(flight),)
    if writer.phase == "claiming":
        return _claim(msgspec.structs.replace(writer, flight=None), tail)
    who = "nobody we know" if tail.record is None else tail.record.owner
    return _give_up(
        writer, f"fenced: the journal was expected at {flight.prev}, and {who} wrote on"
    )


def _claim(writer: Writer, tail: TailIs) -> Step:
    """Write the epoch record behind the tail, unless a later epoch has been there."""
    record = tail.record
    if record is not None and record.epoch >= writer.epoch:
        return _give_up(writer, f"fenced: epoch {record.epoch} has begun, ours is {writer.epoch}")
    number = 1 if record is None else record.next
    writer = msgspec.structs.replace(writer, sequence=tail.sequence, next=number)
    return _append(writer, ())


def _give_up(writer: Writer, reason: str) -> Step:
    fenced = msgspec.structs.replace(writer, phase="fenced", flight=None, waiting=())
    return fenced, (GiveUp(reason),)

"""What is kept beside the journal, as cells: saved states, the head, and what was set aside.

Each cell is a checksum of 16 bytes and a value behind it. Keys: `head`; `sent`; `state/WORKER`;
`request/WORKER/ID`; `aside/NUMBER`; `input/NUMBER`; `renamed/WORKER`; `child/POOL:LABEL`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar

import msgspec

from ssm_cli.codec.renames import Made
from ssm_cli.errors import StorageDamaged, message_of
from ssm_cli.runtime.durable.records import (
    CHAIN_BYTES,
    FORMAT,
    START_OF_CHAIN,
    UNREADABLE,
    Armed,
    Cause,
    Code,
    How,
    Instant,
    KeptTimeout,
    Outcome,
    Record,
    newer,
)

HEAD = "head"
SENT = "sent"
STATE = "state/"
REQUEST = "request/"
ASIDE = "aside/"
INPUT = "input/"
RENAMED = "renamed/"
CHILD = "child/"


class Saved(msgspec.Struct, frozen=True, array_like=True, tag="saved"):
    """The saved state of a worker.

    Attributes:
        worker: its id.
        machine, version: the code that the state belongs to.
        at_s: when it was saved, by the wall clock.
        seq: the last record that is in it; those up to it are not stepped again.
        has: whether there is a state; False after a crash that dropped it.
        state: its bytes.
        timers: those under way.
        timeout: the time-out under way (`TimeoutAfter`).
        tail: records behind the state that could not be stepped yet, as the worker is none of
            the tree's file (a dynamic child), or cannot go on; with their numbers.
        form, digest, place: of the code, too; see `Code`.
        arrived: what records of the tail have sent, and has been served.
        wrote: the record up to which it was written, where that is not `seq`: the renames behind
            it are of its state.
    """

    worker: str
    machine: str
    version: str
    at_s: Instant
    seq: int
    has: bool
    state: bytes
    timers: tuple[Armed, ...] = ()
    timeout: KeptTimeout = None
    tail: tuple[tuple[int, Record], ...] = ()
    form: str = ""
    digest: str = ""
    arrived: tuple[Cause, ...] = ()
    place: str = ""
    wrote: int | None = None

    def code(self) -> Code:
        """Whose state it is."""
        return Code(self.machine, self.version, self.form, self.digest, self.place)

    def written(self) -> int:
        """The record up to which its state was written."""
        return self.seq if self.wrote is None else self.wrote


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """An input that a durable worker has sent to a durable worker, and that is still to be served.

    `cause` is the record that sent it and the number of the effect in it; -1 is its `continue`.
    """

    cause: Cause
    to: str
    how: How
    data: bytes


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A place between two entries: the entry before it, that one's last record and chain value."""

    entry: int
    seq: int
    chain: bytes


class Head(msgspec.Struct, frozen=True, array_like=True, tag="head"):
    """Up to where the saved states go, and what else a recovery begins with.

    Attributes:
        entry: the last entry that is in the saved states.
        chain: its chain value.
        seq: its last record.
        at_s: when, by the wall clock.
        marks: the ends of what this and earlier heads cover, oldest first; the journal begins
            behind the first of them, or at entry 1.
        sent: inputs under way between durable workers.
        crashes: how often which input has crashed which worker, by the hash of the input.
        number: the last number given to what was set aside or quarantined.
        tailed: workers whose saved states have a tail.
        before: where the journal began when this was written, if not at entry 1: what lies between
            there and the first mark is forgotten next, and may be there still.
        record: the last number in the history of the node.
    """

    entry: int = 0
    chain: bytes = START_OF_CHAIN
    seq: int = 0
    at_s: Instant = 0.0
    marks: tuple[Mark, ...] = ()
    sent: tuple[Sent, ...] = ()
    crashes: dict[str, dict[bytes, int]] = {}
    number: int = 0
    tailed: tuple[str, ...] = ()
    before: tuple[Mark, ...] = ()
    record: int = 0


class Underway(msgspec.Struct, frozen=True, array_like=True, tag="underway"):
    """What has been sent between durable workers since the head, as the last states were saved."""

    sent: tuple[Sent, ...] = ()


class Answered(msgspec.Struct, frozen=True, array_like=True, tag="answered"):
    """What a call with a request id came to; `digest` is that of its input."""

    worker: str
    request: str
    seq: int
    digest: bytes
    outcome: Outcome
    output: bytes


class Aside(msgspec.Struct, frozen=True, array_like=True, tag="aside"):
    """A saved state that its worker could not start from, and why. Nothing deletes it but you."""

    number: int
    worker: str
    at_s: Instant
    reason: str
    saved: Saved | None


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """An input in quarantine: it has crashed its worker so often, the last time by `error`.

    `state` is the hash of the state that it came to then: in another one it is tried once more.
    Empty where it is refused in all states, or that is not known.
    """

    number: int
    worker: str
    at_s: Instant
    data: bytes
    crashes: int
    error: str
    state: bytes = b""


class Renamed(msgspec.Struct, frozen=True, array_like=True, tag="renamed"):
    """Names of a worker's code, its classes and their fields that have become others.

    Attributes:
        worker: its id.
        names: renames of an older ssm, which were of all that was written, whenever that was.
        made: renames and the numbers of their records, oldest first; each is of what was written
            before it.
    """

    worker: str
    names: dict[str, str]
    made: tuple[Made, ...] = ()

    def numbered(self, number: int) -> Renamed:
        """The same with a number for those that have none: they come before all others."""
        old = tuple((number, old, new) for old, new in self.names.items())
        return Renamed(self.worker, {}, (*old, *self.made))


class Pooled(msgspec.Struct, frozen=True, array_like=True, tag="pooled"):
    """A child of a durable pool, which comes back with it.

    Attributes:
        name: `POOL:LABEL`.
        pool, label: of which pool it is, and what it is called there.
        at_s: when it was started, by the wall clock.
        number: which of all such starts it was, from 1.
        args: its own arguments, written exactly; empty for none.
    """

    name: str
    pool: str
    label: str
    at_s: Instant
    number: int
    args: bytes = b""


Cell = Saved | Head | Underway | Answered | Aside | Refused | Renamed | Pooled
T = TypeVar("T", Saved, Head, Underway, Answered, Aside, Refused, Renamed, Pooled)

_encode = msgspec.msgpack.Encoder().encode
_plain = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw]).decode


def pack(value: Cell) -> bytes:
    """The bytes of a cell."""
    body = _encode((FORMAT, value))
    return blake2b(body, digest_size=CHAIN_BYTES).digest() + body


def is_sound(data: bytes) -> bool:
    """Whether the bytes of a cell are those that `pack` has made.

    >>> is_sound(pack(Head())), is_sound(b"anything")
    (True, False)
    """
    body = data[CHAIN_BYTES:]
    return blake2b(body, digest_size=CHAIN_BYTES).digest() == data[:CHAIN_BYTES]


def unpack(key: str, data: bytes, kind: type[T]) -> T:
    """The value of a cell.

    Raises:
        StorageDamaged: it is not what was written.
        StorageError: a newer ssm has written it.

    >>> unpack("head", pack(Head(entry=7)), Head).entry
    7
    """
    if not is_sound(data):
        raise StorageDamaged(f"the cell {key} is not what was written: its checksum is wrong")
    body = data[CHAIN_BYTES:]
    try:
        found, raw = _plain(body)
        if found > FORMAT:
            raise newer(f"cell {key}", found)
        return msgspec.msgpack.decode(raw, type=kind)
    except UNREADABLE as error:
        raise StorageDamaged(f"the cell {key} cannot be read: {message_of(error)}") from error


def number_key(prefix: str, number: int) -> str:
    """The key of something numbered; keys sort as numbers do.

    >>> number_key(ASIDE, 7)
    'aside/00000007'
    """
    return f"{prefix}{number:08}"

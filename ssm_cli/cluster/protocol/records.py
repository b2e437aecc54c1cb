"""Records: what stands in the journal of a subtree, and the chain that shows when one is missing.

A record carries its own id, so that an append whose answer was lost can be recognised, and the
sequence it was meant to follow, so that a record that was lost or slipped in is noticed at replay.
An *epoch* record has no entries: a new owner writes it first, and every older owner is fenced by
it, since the sequence that the older one expects is over.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import msgspec

from ssm_cli.errors import StorageDamaged

VERSION = 2  # the newest that is read; only a record with a part is written as 2
MAX_RECORD_BYTES = 900_000  # a server takes messages of up to 1 MiB, headers included
MAX_ENTRY_BYTES = 64 * 1024 * 1024  # in as many records as that takes


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One record of a journal.

    Attributes:
        id: unique; who appends it knows it again.
        epoch: that of the owner who appended it.
        prev: the sequence of the record before it, 0 for the first of all.
        first: the number of its first entry; for an epoch record of the entry to come.
        entries: numbered from `first`; none in an epoch record.
        owner: who appended it, for people.
        version: of this form.
        part: 0 where the entries are whole; N for the N-th part of one entry, which is the only
            one here, and -N for the last part.
    """

    id: str
    epoch: int
    prev: int
    first: int
    entries: tuple[bytes, ...] = ()
    owner: str = ""
    version: int = 1
    part: int = 0

    @property
    def next(self) -> int:
        """The number of the entry that follows; one whose parts are not all here does again."""
        return self.first if self.part > 0 else self.behind

    @property
    def behind(self) -> int:
        """The number behind that of its last entry, whole or in part."""
        return self.first + len(self.entries)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def written(record: Record) -> bytes:
    """Encode a record, with a checksum.

    >>> read_record(written(Record("a", 1, 0, 1, (b"x",)))).entries
    (b'x',)
    """
    body = _encoder.encode(record)
    return zlib.crc32(body).to_bytes(4, "big") + body


def read_record(data: bytes) -> Record:
    """Decode a record and verify its checksum.

    Raises:
        StorageDamaged: the bytes are no record, or of a newer version.
    """
    body = data[4:]
    if len(data) < 5 or zlib.crc32(body) != int.from_bytes(data[:4], "big"):
        raise StorageDamaged("journal_corrupt: a record does not match its checksum")
    try:
        record = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise StorageDamaged(f"journal_corrupt: a record cannot be read: {error}") from error
    if record.version > VERSION:
        raise StorageDamaged(
            f"a record has version {record.version}, and this ssm knows {VERSION}: "
            f"it was written by a newer ssm; install that one here"
        )
    return record


def chained(records: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Record]]:
    """The records in order, each looked at: it follows the one before it in every respect.

    What stands before the first one may have been trimmed, so that one is taken as it is.

    Raises:
        StorageDamaged: one is missing, out of order, changed, or of an owner that was fenced.
    """
    before: tuple[int, Record] | None = None
    for sequence, data in records:
        record = read_record(data)
        if before is not None and (wrong := _break(before, record)):
            raise StorageDamaged(f"journal_corrupt: record {sequence} {wrong}")
        before = sequence, record
        yield sequence, record


def joined(chain: Iterable[Record]) -> Iterator[tuple[int, bytes]]:
    """Yield the whole entries of a chain, with their numbers.

    An entry whose last part was never written is void: its owner has ended. So is one whose first
    part was trimmed.

    >>> chain = [Record("a", 1, 0, 1, (b"x",), part=1), Record("b", 1, 1, 1, (b"y",), part=-2)]
    >>> list(joined(chain)), list(joined(chain[:1])), list(joined(chain[1:]))
    ([(1, b'xy')], [], [])
    """
    begun: list[bytes] = []
    for record in chain:
        if not record.part:
            begun = []
            yield from enumerate(record.entries, record.first)
            continue
        begun = begun if abs(record.part) == len(begun) + 1 else []
        if begun or abs(record.part) == 1:
            begun.append(record.entries[0])
        if record.part == -len(begun):
            yield record.first, b"".join(begun)


def _break(before: tuple[int, Record], record: Record) -> str:
    sequence, last = before
    if record.prev != sequence:
        return f"follows {record.prev}, and {sequence} stands before it: one was lost or added"
    if record.first != last.next:
        return f"begins with entry {record.first}; expected {last.next}"
    if record.epoch < last.epoch:
        return f"is of epoch {record.epoch}, which {last.epoch} had fenced"
    return ""

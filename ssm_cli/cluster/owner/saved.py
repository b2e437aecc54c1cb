"""Saved states in cells: named bytes that change together, whatever their size.

A change is written as one *segment*, in chunks below the server's size limit. An index maps each
key to its segment; a head names the index and is changed by compare-and-set only. So a reader sees
all of a change or none, and a fenced owner cannot change anything: its segment names hold its
epoch, and the head is no longer its own. Empty segments are deleted; when there are many segments,
live values are rewritten as one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from ssm_cli.cluster.owner.asking import WAY_OUT
from ssm_cli.cluster.ports import Cells, Conflict, Time, Unknown
from ssm_cli.cluster.protocol.names import word
from ssm_cli.errors import Fenced, StorageDamaged, StorageError

Form = TypeVar("Form")
CHUNK_BYTES = 512 * 1024
MAX_SEGMENTS = 32
RETRY_S = 0.1
TRIES = 100  # of one write, before it is given up; a lease is over long before


class Blob(msgspec.Struct, frozen=True, array_like=True):
    """Bytes in chunks: the cells `name/0`, `name/1`, ... hold them."""

    name: str
    size: int
    chunks: int
    crc: int


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Names the index; `serial` counts the changes of an epoch."""

    epoch: int
    serial: int
    index: Blob | None


class SegmentIndex(msgspec.Struct, array_like=True):
    """Maps each key to segment, offset and size; lists the segments."""

    places: dict[str, tuple[str, int, int]] = {}
    segments: dict[str, Blob] = {}


class SavedCells:
    """The saved states of one subtree, in memory and in the cluster.

    Args:
        cells: the bucket.
        subtree: whose states these are.
        epoch: of the owner.
        time: for pauses between tries.

    Attributes:
        values: all that is saved, by key.
    """

    def __init__(self, cells: Cells, subtree: str, epoch: int, time: Time) -> None:
        self.values: dict[str, bytes] = {}
        self._cells = cells
        self._prefix = word(subtree)
        self._epoch = epoch
        self._time = time
        self._index = SegmentIndex()
        self._head = Head(0, 0, None)
        self._revision = 0
        self._count = 0

    @property
    def revision(self) -> int:
        """That of the head, as far as we know."""
        return self._revision

    async def claim(self, witness: int = 0) -> None:
        """Take ownership of the head, and read all saved values.

        Args:
            witness: a revision that the head had reached.

        Raises:
            Fenced: a later epoch owns the head.
            StorageDamaged: a value, or the head, is missing or was changed.
            StorageError: the cluster does not answer.
        """
        for _ in range(TRIES):
            self._revision, data = await self._get(f"{self._prefix}/head")
            self._head = Head(0, 0, None) if data is None else _decoded(data, Head)
            if self._head.epoch > self._epoch:
                raise Fenced(f"epoch {self._head.epoch} has saved states; ours is {self._epoch}")
            if self._revision < witness:  # a stale read, or the head is lost
                await self._time.sleep_s(RETRY_S)
            elif await self._swap(Head(self._epoch, 0, self._head.index)):
                await self._load()
                return
        if self._revision < witness:
            raise StorageDamaged(
                f"journal_corrupt: the saved states are of revision {self._revision}, and had "
                f"reached {witness}; {WAY_OUT}"
            )
        raise StorageError(f"the saved states were changed {TRIES} times while they were taken")

    async def _load(self) -> None:
        """Read what the head names; it is ours, so nobody removes that meanwhile."""
        self._index, self.values = SegmentIndex(), {}
        if self._head.index is not None:
            self._index = _decoded(await self._read(self._head.index), SegmentIndex)
        segments = {name: await self._read(b) for name, b in self._index.segments.items()}
        for key, (name, offset, size) in self._index.places.items():
            self.values[key] = segments[name][offset : offset + size]

    async def put(self, changes: Mapping[str, bytes | None]) -> None:
        """Save these values atomically; None removes a key.

        Raises:
            Fenced: another owner has the head.
            StorageError: the cluster does not answer.
        """
        values = dict(self.values)
        for key, data in changes.items():
            if data is None:
                values.pop(key, None)
            else:
                values[key] = data
        old = self._index
        crowded = len(old.segments) >= MAX_SEGMENTS
        written = values if crowded else {k: d for k, d in changes.items() if d is not None}
        places = {k: p for k, p in old.places.items() if k in values and k not in written}
        index = SegmentIndex(places, {name: old.segments[name] for name, _, _ in places.values()})
        await self._segment(index, written)
        blob = await self._write(msgspec.msgpack.encode(index))
        before = self._head
        if not await self._swap(Head(self._epoch, before.serial + 1, blob)):
            raise Fenced("another owner has saved states meanwhile")
        self._index, self.values = index, values
        dead = [b for name, b in old.segments.items() if name not in index.segments]
        await self._forget([*dead, *([] if before.index is None else [before.index])])

    async def _segment(self, index: SegmentIndex, written: Mapping[str, bytes]) -> None:
        if not written:
            return
        blob = await self._write(b"".join(written.values()))
        index.segments[blob.name] = blob
        offset = 0
        for key, data in written.items():
            index.places[key] = blob.name, offset, len(data)
            offset += len(data)

    async def _swap(self, head: Head) -> bool:
        """Compare and set the head; return False if it has changed."""
        key, data = f"{self._prefix}/head", msgspec.msgpack.encode(head)
        for _ in range(TRIES):
            done = await self._cells.cas(key, data, self._revision)
            if isinstance(done, int):
                self._head, self._revision = head, done
                return True
            revision, found = await self._get(key)
            if found == data:  # it was done, and the answer was lost
                self._head, self._revision = head, revision
                return True
            if isinstance(done, Conflict) and revision > self._revision:
                return False
            await self._time.sleep_s(RETRY_S)
        raise StorageError("saved states cannot be written: the cluster does not answer")

    async def _get(self, key: str) -> tuple[int, bytes | None]:
        for _ in range(TRIES):
            found = await self._cells.get(key)
            if not isinstance(found, Unknown):
                return found
            await self._time.sleep_s(RETRY_S)
        raise StorageError(f"saved states cannot be read: no answer about {key}")

    async def _write(self, data: bytes) -> Blob:
        self._count += 1
        name = f"{self._prefix}/{self._epoch}.{self._count}"
        chunks = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
        for number, chunk in enumerate(chunks):
            await self._chunk(f"{name}/{number}", chunk)
        return Blob(name, len(data), len(chunks), zlib.crc32(data))

    async def _chunk(self, key: str, chunk: bytes) -> None:
        for _ in range(TRIES):
            done = await self._cells.cas(key, chunk, 0)
            if isinstance(done, int):
                return
            revision, found = await self._get(key)
            if found == chunk:
                return
            if revision:
                raise Fenced(f"{key} is another owner's")
            await self._time.sleep_s(RETRY_S)
        raise StorageError("saved states cannot be written: the cluster does not answer")

    async def _read(self, blob: Blob) -> bytes:
        for _ in range(TRIES):
            found = [(await self._get(f"{blob.name}/{n}"))[1] for n in range(blob.chunks)]
            data = b"".join(part or b"" for part in found)
            if len(data) == blob.size and zlib.crc32(data) == blob.crc:
                return data
            if None not in found:
                break
            await self._time.sleep_s(RETRY_S)  # a stale read lacks what was written last
        raise StorageDamaged(
            f"journal_corrupt: the saved states {blob.name} are not what was written"
        )

    async def _forget(self, blobs: list[Blob]) -> None:
        for blob in blobs:
            for number in range(blob.chunks):
                await self._cells.drop(f"{blob.name}/{number}")


def _decoded(data: bytes, form: type[Form]) -> Form:
    try:
        return msgspec.msgpack.decode(data, type=form)
    except msgspec.MsgspecError as error:
        raise StorageDamaged(f"journal_corrupt: saved states cannot be read: {error}") from error

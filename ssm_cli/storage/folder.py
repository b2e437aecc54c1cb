"""A data folder: the database of one tree, its lock, and a witness of what was acknowledged.

The lock is held by the one writer; the kernel lets go of it when that process ends, however it
ends. The witness is a small file that says after each commit what the last entry is, and how often
cells were put. It is not synced: after a power cut it may be behind the database, and that is fine.
If it is ahead, something that was acknowledged is gone (a database that was put back from a copy,
a write-ahead log that was deleted or damaged at its end), which SQLite by itself cannot see.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Self

from ssm_cli.errors import StorageDamaged, StorageError, StorageInUse
from ssm_cli.private import make_private, open_private
from ssm_cli.runtime.durable.ports import Done
from ssm_cli.runtime.durable.records import CHAIN_BYTES
from ssm_cli.storage.database import Database

DATABASE = "journal.db"
LOCK = "lock"
WITNESS = "witness"
OWNER = "owner.json"  # whose data it holds; written by who opens it
TORN_READS = 100


class FolderStore:
    """A `Store` in a folder. Close it, or use it in a `with` block.

    Args:
        path: the folder; made if it is not there, readable by its owner alone.
        writing: False only reads, beside a process that may be writing.

    Raises:
        StorageInUse: another process writes there.
        StorageDamaged: what is there is not what was written.
        StorageError: the folder or its files cannot be made, read or written.
    """

    def __init__(self, path: str | Path, *, writing: bool = True) -> None:
        self.path = Path(path)
        self._lock = self._witness = -1
        self._pid = os.getpid()
        self._unseen: StorageError | None = None
        try:
            if writing:
                self._lock = locked(self.path)
            else:
                need_data(self.path)
            seen = witnessed(self.path)  # before the database: a writer is ahead with that
            self._db = Database(self.path / DATABASE, writing=writing)
            self._first, self._last = self._db.found
            self._compare(seen)
            if writing:
                self._open_witness()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _compare(self, seen: tuple[int, int] | None) -> None:
        """Refuse a database that lacks what was acknowledged."""
        puts = self._db.seal.puts
        if seen is None:
            if self._last or puts:
                raise StorageDamaged(
                    f"{self.path / WITNESS} is gone, and only it tells whether the last entries of "
                    f"the journal are there; if you know they are, put an empty file in its place"
                )
            return
        lost = f"entry {seen[0]}" if seen[0] > self._last else f"put {seen[1]} of saved states"
        if seen[0] > self._last or seen[1] > puts:
            raise StorageDamaged(
                f"{lost} in {self.path / DATABASE} was acknowledged, and the last that is "
                f"there is {self._last if seen[0] > self._last else puts}: its write-ahead log was "
                f"damaged or removed, or the file is an older copy; restore it, or, if you accept "
                f"the loss, empty {WITNESS}"
            )

    def _open_witness(self) -> None:
        try:
            self._witness = open_private(self.path / WITNESS, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StorageError(f"cannot write {self.path / WITNESS}: {error.strerror}") from error
        self._bear_witness()
        if self._unseen is not None:
            raise self._unseen

    def _bear_witness(self) -> None:
        """Say what there is. It need not be synced, see above.

        Where it cannot be said, what is written is safe all the same, and counts; but nothing more
        is written until it can.
        """
        self._unseen = None
        try:
            os.pwrite(self._witness, write_witness(self._last, self._db.seal.puts), 0)
        except OSError as error:
            text = f"cannot write {self.path / WITNESS}: {error.strerror}"
            self._unseen = StorageError(text)

    def _ready(self) -> StorageError | None:
        """Why nothing may be written now."""
        if os.getpid() != self._pid:
            return StorageError(
                f"{self.path} is written by process {self._pid}, and this is {os.getpid()}, a fork "
                f"of it: open a store of its own there"
            )
        if self._lock >= 0 and not is_there(self._lock, self.path / LOCK):
            return StorageError(
                f"{self.path / LOCK} was removed or replaced while the tree runs, so another "
                f"process may be writing there; nothing more is written here"
            )
        if self._unseen is not None:
            self._bear_witness()
        return self._unseen

    def last(self) -> int:
        """The number of the last entry; 0 where there is none."""
        return self._last

    def first(self) -> int:
        """The number of the oldest entry that is kept."""
        return self._first if self._first <= self._last else self._last + 1

    def append(self, number: int, entry: bytes, done: Done) -> None:
        """Write an entry, durably."""
        if number == self._last and dict(self.read(number - 1)) == {number: entry}:
            done(None)
            return
        statement = "INSERT INTO entry (number, data) VALUES (?, ?)"
        error = self._ready() or self._db.write(iter([(statement, (number, entry))]))
        if error is None:
            if not self._last:
                self._first = number
            self._last = number
            self._bear_witness()
        done(error)

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The entries behind `after`, in order."""
        return self._db.entries(after)

    def trim(self, upto: int) -> None:
        """Forget the entries up to that number, but for the last; raises `StorageError`."""
        upto = min(upto, self._last - 1)
        if upto >= self._first:
            error = self._db.write(iter([("DELETE FROM entry WHERE number <= ?", (upto,))]))
            if error is not None:
                raise error
            self._first = upto + 1

    def get(self, key: str) -> bytes | None:
        """What is stored under a key."""
        return self._db.cell(key)

    def keys(self, prefix: str = "") -> Sequence[str]:
        """The keys that begin so, sorted."""
        return self._db.keys(prefix)

    def put(self, changes: Mapping[str, bytes | None], done: Done) -> None:
        """Store all of these, durably and together."""
        error = self._ready() or self._db.put(changes)
        if error is None:
            self._bear_witness()
        done(error)

    def size_bytes(self) -> int:
        """The bytes that are in use; the file may be larger."""
        return self._db.used_bytes()

    def where(self) -> str:
        """The folder."""
        return str(self.path)

    @property
    def database(self) -> Database:
        """The database itself, to check, copy and compact it."""
        return self._db

    def close(self) -> None:
        """Let go of the folder."""
        database = getattr(self, "_db", None)
        if database is not None:
            database.close()
        for descriptor in (self._witness, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._witness = -1


def need_data(path: Path) -> None:
    """Raise `StorageError` where a folder holds nothing of ours."""
    if not (path / DATABASE).exists():
        raise StorageError(f"{path} holds no data of a tree: no {DATABASE} is there")


def locked(path: Path) -> int:
    """The descriptor of a folder's lock, held; the folder is made if need be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_private(path / LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StorageError(
            f"cannot write in {path}: {error.strerror}; name another folder by --data"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StorageInUse(
            f"{path} is in use by process {owner or 'unknown'}: stop that tree, or name another "
            f"folder by --data"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def is_there(descriptor: int, path: Path) -> bool:
    """Whether a file that is open is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def is_locked(path: Path) -> bool:
    """Whether a process writes in a folder."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def witnessed(path: Path) -> tuple[int, int] | None:
    """What the witness of a folder has seen acknowledged; None where there is none."""
    for _ in range(TORN_READS):  # its writer may be at it right now
        try:
            data = (path / WITNESS).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {path / WITNESS}: {error.strerror}") from error
        if is_whole(data):
            break
    return read_witness(data, path / WITNESS)


def write_witness(last: int, puts: int) -> bytes:
    """The bytes of a witness: the last entry, and how often cells were put.

    >>> read_witness(write_witness(7, 2), Path("witness"))
    (7, 2)
    """
    body = f"{last:020} {puts:020}\n".encode()
    return blake2b(body, digest_size=CHAIN_BYTES).hexdigest().encode() + b" " + body


def is_whole(data: bytes) -> bool:
    """Whether a witness is one that was written, or empty."""
    check, _, body = data.partition(b" ")
    return not data or check == blake2b(body, digest_size=CHAIN_BYTES).hexdigest().encode()


def read_witness(data: bytes, path: Path) -> tuple[int, int]:
    """What a witness has seen acknowledged, nothing if it is empty; raises `StorageDamaged`."""
    if not is_whole(data):
        raise StorageDamaged(
            f"{path} is not what was written; only it tells whether the last entries of the "
            f"journal are there; if you know they are, empty it"
        )
    last, _, puts = data.partition(b" ")[2].partition(b" ")
    return int(last or 0), int(puts or 0)


def copied(store: FolderStore, target: Path) -> int:
    """Copy a store into a new folder while it may be written; the last entry that is in it.

    It is written beside its place and put there once it is whole: an interrupted one is none.

    Raises:
        StorageError: the folder is there already, or cannot be written.
    """
    if target.exists():
        raise StorageError(f"{target} is there already; name a folder that is not")
    beside = target.with_name(f"{target.name}.partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)  # of one that was interrupted
        beside.mkdir(mode=0o700, parents=True)
        store.database.copy(beside / DATABASE)
        make_private(beside / WITNESS)
        if (store.path / OWNER).exists():
            shutil.copy(store.path / OWNER, beside / OWNER)
        with FolderStore(beside) as copy:
            last = copy.last()
        beside.rename(target)
    except OSError as error:
        raise StorageError(f"cannot write {beside}: {error.strerror}") from error
    return last

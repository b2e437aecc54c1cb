"""A data folder: the database of one tree, its lock, and a witness of what was acknowledged.

The lock is held by the one writer; the kernel lets go of it when that process ends, however it
ends. The witness is a small file that says after each commit what the last entry is, and how often
cells were put. It is not synced: after a power cut it may be behind the database, and that is fine.
If it is ahead, something that was acknowledged is gone (a database that was put back from a copy,
a write-ahead log that was deleted or damaged at its end), which SQLite by itself cannot see.

It also says which entry was denied, as its sync failed: a process that is killed then leaves it in
the log, and it is undone when the folder is opened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from ssm_cli.errors import StorageDamaged, StorageError
from ssm_cli.private import open_private, write_private
from ssm_cli.runtime.durable.ports import Done
from ssm_cli.storage.database import Database, Unmade
from ssm_cli.storage.lock import Lock
from ssm_cli.storage.owner import OWNER, another, embedded, owner_of
from ssm_cli.storage.witness import Witness, fingerprint, of_folder, testimony

DATABASE = "journal.db"
WITNESS = "witness"


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
        self._lock: Lock | None = None
        self._witness = -1
        self._unseen: StorageError | None = None
        self._denied = ""
        self._undone = 0
        self._torn = False  # an exception from outside has cut a write: it may be there or not
        try:
            if writing:
                self._lock = Lock(self.path)
            else:
                need_data(self.path)
            seen = of_folder(self.path / WITNESS)  # first: a writer is ahead with the database
            self._db = looked_at(self.path, seen, writing=writing)
            self._first, self._last = self._db.found
            self._undo(seen, writing=writing)
            if writing:
                self._open_witness()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _undo(self, seen: Witness | None, *, writing: bool) -> None:
        """Take out the last entry where it was denied; a reader leaves it, and does not read it."""
        if seen is None or not seen.denied or self._last != seen.last + 1:
            return
        for number, entry in self._db.entries(seen.last):
            if fingerprint(entry) != seen.denied:
                return  # another one: it was written in the place of the one that was denied
            self._undone, self._denied = number, seen.denied
        self._last = seen.last
        if writing and self._undone:
            drop = "DELETE FROM entry WHERE number = ?"
            error = self._db.write(drop, self._undone)
            if error is not None:
                raise error
            self._undone, self._denied = 0, ""

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
            said = testimony(self._last, self._db.seal.puts, self._denied)
            os.pwrite(self._witness, said, 0)
        except OSError as error:
            text = f"cannot write {self.path / WITNESS}: {error.strerror}"
            self._unseen = StorageError(text)

    def _ready(self, *, by_path: bool = False) -> StorageError | None:
        """Why nothing may be written now; `by_path` is the thorough look for the lock."""
        if self._lock is not None and (why := self._lock.missing(by_path=by_path)) is not None:
            return why
        if self._torn:
            try:
                self._look_again()
            except StorageError as error:
                return error
        if self._unseen is not None:
            self._bear_witness()
        return self._unseen

    def _look_again(self) -> None:
        """Know what is stored, after a write that was cut."""
        self._first, self._last = self._db.ends()
        self._db.look_again()
        self._bear_witness()
        self._torn = False

    def last(self) -> int:
        """The number of the last entry; 0 where there is none."""
        return self._last

    def first(self) -> int:
        """The number of the oldest entry that is kept."""
        return self._first if self._first <= self._last else self._last + 1

    def append(self, number: int, entry: bytes, done: Done) -> None:
        """Write an entry, durably."""
        statement = "INSERT INTO entry (number, data) VALUES (?, ?)"
        error = self._ready()
        if number == self._last and dict(self.read(number - 1)) == {number: entry}:
            done(None)
            return
        if error is None and self._denied and self._denied == fingerprint(entry):
            self._denied = ""  # this very one again: it may be there from now on
            error = self._say_for_good()
        if error is None:
            self._torn = True
            error = self._db.write(statement, number, entry)
            if error is None:
                self._first = self._first if self._last else number
                self._last, self._denied = number, ""
                self._bear_witness()
            elif error.unsure:
                self._denied = fingerprint(entry)
                error.unsure = self._say_for_good() is not None
            self._torn = False
        done(error)

    def _say_for_good(self) -> StorageError | None:
        """Bear witness, and sync that; why, if it cannot be."""
        self._bear_witness()
        if self._unseen is None:
            try:
                os.fsync(self._witness)
            except OSError as error:
                return StorageError(f"cannot sync {self.path / WITNESS}: {error.strerror}")
        return self._unseen

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The entries behind `after`, in order."""
        entries = self._db.entries(after)
        return entries if not self._undone else (one for one in entries if one[0] <= self._last)

    def trim(self, upto: int) -> None:
        """Forget the entries up to that number, but for the last; raises `StorageError`."""
        upto = min(upto, self._last - 1)
        if upto >= self._first:
            self._torn = True
            error = self._db.write("DELETE FROM entry WHERE number <= ?", upto)
            self._torn = False
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
        error = self._ready(by_path=True)
        if error is None:
            self._torn = True
            error = self._db.put(changes)
        if error is None:
            self._denied = ""  # what is written takes the place of what was denied
            self._bear_witness()
        self._torn = False
        done(error)

    def size_bytes(self) -> int:
        """The bytes that are in use; the file may be larger."""
        return self._db.used_bytes()

    def where(self) -> str:
        """The folder."""
        return str(self.path)

    def need_for(self, name: str) -> None:
        """Raise `StorageError` where the folder is that of an embedded node of another name."""
        owner = owner_of(self.path)
        if owner is not None and not owner["tree"] and owner["name"] != name:
            raise another(self.path, owner, embedded(name), "give it a folder of its own")

    def denial(self) -> str:
        """What a copy of its database needs as its witness, to be without what was denied."""
        return testimony(self._last, 0, self._denied).decode() if self._undone else ""

    @property
    def database(self) -> Database:
        """The database itself, to check, copy and compact it."""
        return self._db

    def close(self) -> None:
        """Let go of the folder."""
        database = getattr(self, "_db", None)
        if database is not None:
            database.close()
        if self._witness >= 0:
            os.close(self._witness)
        if self._lock is not None:
            self._lock.close()
        self._lock, self._witness = None, -1


def looked_at(folder: Path, seen: Witness | None, *, writing: bool) -> Database:
    """Open the database, once it is seen that it holds what was acknowledged.

    A reader looks: a writer would write its log into it, as far as that is sound, and throw
    away what is behind.
    """
    path, log, found = folder / DATABASE, folder / f"{DATABASE}-wal", None
    if not bytes_in(path) and bytes_in(log):
        raise StorageDamaged(
            f"{path} is gone or empty, and its write-ahead log {log.name} is there; nothing "
            f"was changed: restore both from a backup"
        )
    try:
        if bytes_in(path) or not writing:
            found = Database(path, writing=False)
    except Unmade:
        if not writing:
            raise
    try:
        compare(folder, seen, found)
    except BaseException:
        if found is not None:
            found.close()
        raise
    if found is not None and not writing:
        return found
    if found is not None:
        found.close()
    return Database(path, writing=True, looked=found)


def compare(folder: Path, seen: Witness | None, found: Database | None) -> None:
    """Refuse a database that lacks what was acknowledged."""
    puts, last = (0, 0) if found is None else (found.seal.puts, found.found[1])
    if seen is None:
        if last or puts:
            raise StorageDamaged(
                f"{folder / WITNESS} is gone, and only it tells whether the last entries of "
                f"the journal are there; if you know they are, put an empty file in its place"
            )
        return
    less = seen.last > last
    lost = f"entry {seen.last}" if less else f"put {seen.puts} of saved states"
    if less or seen.puts > puts:
        raise StorageDamaged(
            f"{lost} in {folder / DATABASE} was acknowledged, and the last that is "
            f"there is {last if less else puts}: its write-ahead log was "
            f"damaged or removed, or the file is an older copy; restore it, or, if you accept "
            f"the loss, empty {WITNESS}; nothing was changed"
        )


def bytes_in(path: Path) -> int:
    """The bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def need_data(path: Path) -> None:
    """Raise `StorageError` where a folder holds nothing of ours."""
    if not (path / DATABASE).exists():
        raise StorageError(f"{path} holds no data of a tree: no {DATABASE} is there")


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
        write_private(beside / WITNESS, store.denial())
        if (store.path / OWNER).exists():
            shutil.copy(store.path / OWNER, beside / OWNER)
        with FolderStore(beside) as copy:
            last = copy.last()
        beside.rename(target)
    except OSError as error:
        raise StorageError(f"cannot write {beside}: {error.strerror}") from error
    return last

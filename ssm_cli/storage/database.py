"""The database of a data folder: entries and cells in SQLite, in WAL mode, synced at each commit.

The cells are sealed (`seal`): what the pages say of them is checked as a whole when it is opened.
Source: SQLite's documentation of `journal_mode=WAL` and `synchronous=FULL`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssm_cli.errors import StorageDamaged, StorageError
from ssm_cli.private import make_private
from ssm_cli.runtime.durable.records import FORMAT, newer
from ssm_cli.runtime.durable.snapshots import is_sound
from ssm_cli.storage.seal import Seal, after, weight

APPLICATION = 0x73736D31  # "ssm1" in the header of the file
READ_ROWS = 256
BUSY_MS = 2000  # how long to wait for a reader in another process
SCHEMA = """
CREATE TABLE entry (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE cell (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE seal (one INTEGER PRIMARY KEY CHECK (one = 1), puts INTEGER, sum BLOB);
INSERT INTO seal VALUES (1, 0, zeroblob(16));
"""
WRITING = sqlite3.SQLITE_IOERR_WRITE
UNWRITTEN = frozenset(
    {
        sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
    }
)  # fmt: skip
"""Errors of a transaction, these and `WRITING`, that has not written its end: the next process does
not take it."""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
HINTS = {
    sqlite3.SQLITE_FULL: "; make room: what was acknowledged is safe",
    sqlite3.SQLITE_READONLY: "; the folder or the file may not be written",
    sqlite3.SQLITE_CANTOPEN: "; is the folder there, and may it be written?",
    sqlite3.SQLITE_BUSY: f"; another program has had it locked for {BUSY_MS} ms: end that",
    sqlite3.SQLITE_IOERR: "; what was acknowledged is safe",
}
TROUBLE = (sqlite3.Error, UnicodeDecodeError)
"""What its functions raise; the latter where damage is in the text of a message or of a key."""


class Unmade(StorageDamaged):
    """There is a file, and nothing in it: who made it came no further, or it is not ours."""


class Database:
    """One connection to the database of a folder.

    Args:
        path: the file; made if it is not there and `writing` is set.
        writing: whether this is its writer, who writes its log into it when it is closed, as far as
            that is sound: look at it by a connection that only reads before.
        looked: that one, closed; its view is taken for what is there.

    Attributes:
        seal: that of its cells, as it was opened and by what was put since.
        found: the first and the last number of an entry when it was opened; 1 and 0 without any.

    Raises:
        StorageDamaged: it is no database of ours, or its cells are not what was written; `Unmade`
            where there is nothing in it.
        StorageError: it cannot be opened, or a newer ssm has made it.
    """

    def __init__(self, path: Path, *, writing: bool, looked: Database | None = None) -> None:
        self.path = path
        try:
            if writing:
                with suppress(OSError):  # SQLite cannot open it then, and says why
                    make_private(path)  # its log and its shared memory get its mode, if made now
                    for kind in ("-wal", "-shm"):
                        if (beside := path.with_name(path.name + kind)).exists():
                            make_private(beside)
            self._open("mode=rwc" if writing else read_mode(path), looked, writing=writing)
        except TROUBLE as error:
            raise self.failed("open", error) from error

    def _open(self, mode: str, looked: Database | None, *, writing: bool) -> None:
        address = f"file:{quoted(self.path)}?{mode}"
        self._db = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            self._prepare(writing=writing)
            if looked is None:
                self._db.execute("BEGIN")  # one view of all, beside a process that may write
                self.seal, self.found = self._sealed(), self.ends()
                if writing:
                    self._db.execute("COMMIT")  # a reader keeps its view for as long as it reads
            else:
                self.seal, self.found = looked.seal, looked.found
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, *, writing: bool) -> None:
        run = self._db.execute
        run(f"PRAGMA busy_timeout={BUSY_MS}")
        run("PRAGMA cell_size_check=ON")
        if writing:
            run("PRAGMA journal_mode=WAL")
            run("PRAGMA synchronous=FULL")
        made = run("PRAGMA user_version").fetchone()[0]
        unmade = not made and not run("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if unmade and not writing:
            raise Unmade(f"{self.path} is no journal of ssm, or its header is damaged")
        if unmade:
            run("BEGIN IMMEDIATE")
            for statement in SCHEMA.strip().split(";")[:-1]:
                run(statement)
            run(f"PRAGMA application_id={APPLICATION}")
            run(f"PRAGMA user_version={FORMAT}")
            run("COMMIT")
            made = FORMAT
        if run("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise StorageDamaged(f"{self.path} is no journal of ssm, or its header is damaged")
        if made > FORMAT:
            raise newer(f"database {self.path}", made)
        if made < 1:
            raise StorageDamaged(f"{self.path}: its header says format {made}, which never was")
        if writing and made < FORMAT:
            run(f"PRAGMA user_version={FORMAT}")  # an older ssm would not read what is written now

    def _sealed(self) -> Seal:
        """The seal that is stored, once it is seen that the cells are those that were put."""
        rows = self._db.execute("SELECT puts, sum FROM seal").fetchall()
        query = "SELECT key, data FROM cell"
        seal = after(Seal(), (), (weight(*cell) for cell in typed(self._db, query, str)))
        if len(rows) != 1 or rows[0][1] != seal.written() or type(rows[0][0]) is not int:
            wrong = [key for key, data in typed(self._db, query, str) if not is_sound(data)]
            raise StorageDamaged(
                f"{self.path}: {', '.join(wrong[:3]) or 'the whole'} of its cells (saved states "
                f"and what belongs to them) is not what was written; nothing was changed: restore "
                f"a backup"
            )
        return Seal(rows[0][0], seal.sum)

    def failed(self, doing: str, error: Exception) -> StorageError:
        """What an error of SQLite means."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text = f"cannot {doing} {self.path}: {error}"
        if code in DAMAGED or isinstance(error, sqlite3.ProgrammingError | UnicodeDecodeError):
            return StorageDamaged(f"{text}; nothing was changed: restore a backup")
        return StorageError(text + HINTS.get(code, ""))

    def write(self, statement: str, *values: object) -> StorageError | None:
        """Carry out one statement, which alone is a transaction, and sync it; why, if that fails.

        A sync that fails leaves what was written in the log, where the next process finds it: the
        error is `unsure` then. What this one writes next takes its place.
        """
        try:
            self._db.execute(statement, values)
        except TROUBLE as error:
            return self._unwritten(error, "write", committing=True)
        return None

    def _unwritten(self, error: Exception, doing: str, *, committing: bool) -> StorageError:
        """Return why a transaction failed."""
        failed, code = self.failed(doing, error), getattr(error, "sqlite_errorcode", 0)
        failed.unsure = committing and not (code == WRITING or code & 0xFF in UNWRITTEN)
        return failed

    def _write_all(
        self, statements: Iterator[tuple[str, tuple[object, ...]]]
    ) -> StorageError | None:
        """Carry out all of these in one transaction, as `write`."""
        run, committing, doing = self._db.execute, False, "write"
        try:
            run("BEGIN IMMEDIATE")
            for statement, values in statements:
                run(statement, values)
            committing = True
            run("COMMIT")
        except TROUBLE as error:
            if self._db.in_transaction:
                try:
                    run("ROLLBACK")
                except TROUBLE:
                    doing = "roll back"
            return self._unwritten(error, doing, committing=committing)
        except BaseException:  # from outside; nothing of it, or, behind the commit, all
            if self._db.in_transaction:
                with suppress(*TROUBLE):
                    run("ROLLBACK")
            raise
        return None

    def look_again(self) -> None:
        """Take the seal from what is stored: a write was interrupted, and may be there or not."""
        try:
            self.seal = self._sealed()
        except TROUBLE as error:
            raise self.failed("read", error) from error

    def put(self, changes: Mapping[str, bytes | None]) -> StorageError | None:
        """Change all of these cells, and the seal with them, in one transaction."""
        run, seal = self._db.execute, self.seal
        keep = "INSERT OR REPLACE INTO cell (key, data) VALUES (?, ?)"
        drop = "DELETE FROM cell WHERE key = ?"

        def statements() -> Iterator[tuple[str, tuple[object, ...]]]:
            nonlocal seal
            gone: list[int] = []
            for key, data in changes.items():
                found = run("SELECT data FROM cell WHERE key = ?", (key,)).fetchone()
                gone += [] if found is None else [weight(key, found[0])]
                yield (drop, (key,)) if data is None else (keep, (key, data))
            come = [weight(key, data) for key, data in changes.items() if data is not None]
            seal = after(seal, gone, come)
            yield "UPDATE seal SET puts = ?, sum = ?", (seal.puts, seal.written())

        error = self._write_all(statements())
        if error is None:
            self.seal = seal
        return error

    def entries(self, behind: int) -> Iterator[tuple[int, bytes]]:
        """The entries behind that number, in order."""
        query = "SELECT number, data FROM entry WHERE number > ? ORDER BY number"
        try:
            yield from typed(self._db, query, int, behind)
        except TROUBLE as error:
            raise self.failed("read", error) from error

    def cell(self, key: str) -> bytes | None:
        """What is stored under a key; None where nothing is."""
        try:
            rows = self._db.execute("SELECT data FROM cell WHERE key = ?", (key,)).fetchall()
        except TROUBLE as error:
            raise self.failed("read", error) from error
        return rows[0][0] if rows else None

    def keys(self, prefix: str) -> list[str]:
        """The keys of cells that begin so, sorted."""
        query = "SELECT key FROM cell WHERE substr(key, 1, ?) = ? ORDER BY key"
        try:
            return [row[0] for row in self._db.execute(query, (len(prefix), prefix))]
        except TROUBLE as error:
            raise self.failed("read", error) from error

    def ends(self) -> tuple[int, int]:
        """The first and the last number of an entry; 1 and 0 where there is none."""
        try:
            row = self._db.execute("SELECT min(number), max(number) FROM entry").fetchone()
        except TROUBLE as error:
            raise self.failed("read", error) from error
        return (1, 0) if row[1] is None else (row[0], row[1])

    def used_bytes(self) -> int:
        """The bytes that its pages in use take."""
        try:
            run = self._db.execute
            pages = (
                run("PRAGMA page_count").fetchone()[0] - run("PRAGMA freelist_count").fetchone()[0]
            )
            size = run("PRAGMA page_size").fetchone()[0]
        except TROUBLE as error:
            raise self.failed("read", error) from error
        return int(pages * size)

    def problems(self) -> list[str]:
        """What SQLite's own check finds wrong with its structure."""
        try:
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check(20)")]
        except TROUBLE as error:
            return [str(self.failed("check", error))]
        return [] if found == ["ok"] else found

    def vacuum(self) -> None:
        """Give the room of what was forgotten back to the file system."""
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except TROUBLE as error:
            raise self.failed("compact", error) from error

    def copy(self, target: Path) -> None:
        """Copy it as it stands, while it may be written (SQLite's online backup)."""
        try:
            make_private(target)
            with sqlite3.connect(target) as other:
                self._db.backup(other)
            other.close()
        except (*TROUBLE, OSError) as error:
            raise self.failed("copy", error) from error

    def close(self) -> None:
        """Let go of it."""
        self._db.close()


def typed(
    db: sqlite3.Connection, query: str, kind: type, *values: object
) -> Iterator[tuple[Any, bytes]]:
    """The rows of a query for a key of that type and bytes; SQLite keeps any type in any column.

    Raises:
        StorageDamaged: a row is of other types.
    """
    rows = db.execute(query, values)
    while some := rows.fetchmany(READ_ROWS):
        for key, data in some:
            if type(key) is not kind or type(data) is not bytes:
                raise StorageDamaged("a row of the journal is not of the types that are written")
            yield key, data


def read_mode(path: Path) -> str:
    """How to open a database that is only read.

    Where nothing may be written, SQLite cannot make the index of a write-ahead log; it does without
    if it is told that nobody writes, which is so where there is no log: its writer has one.
    """
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "mode=ro&immutable=1" if alone else "mode=ro"


def quoted(path: Path) -> str:
    """A path in a URI of SQLite.

    >>> quoted(Path("/a b/100%?.db"))
    '/a%20b/100%25%3f.db'
    """
    text = str(path.absolute())
    return "".join(
        c if c.isalnum() or c in "/._-~" else "".join(f"%{b:02x}" for b in c.encode()) for c in text
    )

"""The database of a data folder: entries and cells in SQLite, in WAL mode, synced at each commit.

Source: SQLite's documentation of `journal_mode=WAL` and `synchronous=FULL`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ssm_cli.errors import StorageDamaged, StorageError
from ssm_cli.runtime.durable.format.records import FORMAT, newer

APPLICATION = 0x73736D31  # "ssm1" in the header of the file
READ_ROWS = 256
BUSY_MS = 2000  # how long to wait for a reader in another process
SCHEMA = """
CREATE TABLE entry (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE cell (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
"""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One connection to the database of a folder.

    Args:
        path: the file; made if it is not there and `writing` is set.
        writing: whether this is its writer.

    Raises:
        StorageDamaged: it is no database of ours.
        StorageError: it cannot be opened, or a newer ssm has made it.
    """

    def __init__(self, path: Path, *, writing: bool) -> None:
        self.path = path
        mode = "rwc" if writing else "ro"
        address = f"file:{quoted(path)}?mode={mode}"
        try:
            self._db = sqlite3.connect(address, uri=True, isolation_level=None)
            try:
                self._prepare(writing=writing)
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise self.failed("open", error) from error

    def _prepare(self, *, writing: bool) -> None:
        run = self._db.execute
        run(f"PRAGMA busy_timeout={BUSY_MS}")
        run("PRAGMA cell_size_check=ON")
        if writing:
            run("PRAGMA journal_mode=WAL")
            run("PRAGMA synchronous=FULL")
        made = run("PRAGMA user_version").fetchone()[0]
        if writing and not made and not run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
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
        if made != FORMAT:
            raise StorageDamaged(f"{self.path}: its header says format {made}, which never was")

    def failed(self, doing: str, error: sqlite3.Error) -> StorageError:
        """What an error of SQLite means."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text = f"cannot {doing} {self.path}: {error}"
        if code in DAMAGED or isinstance(error, sqlite3.ProgrammingError):
            return StorageDamaged(
                f"{text}; nothing was changed: restore a backup, or see `ssm data verify`"
            )
        hint = {
            sqlite3.SQLITE_FULL: "; make room: what was acknowledged is safe",
            sqlite3.SQLITE_READONLY: "; the folder or the file may not be written",
            sqlite3.SQLITE_CANTOPEN: "; is the folder there, and may it be written?",
            sqlite3.SQLITE_IOERR: "; what was acknowledged is safe",
        }.get(code, "")
        return StorageError(text + hint)

    def write(self, statements: Iterator[tuple[str, tuple[object, ...]]]) -> StorageError | None:
        """Carry out all of these in one transaction, and sync it; why, if that fails."""
        run = self._db.execute
        try:
            run("BEGIN IMMEDIATE")
            for statement, values in statements:
                run(statement, values)
            run("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                try:
                    run("ROLLBACK")
                except sqlite3.Error:
                    return self.failed("roll back", error)
            return self.failed("write", error)
        return None

    def entries(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The entries behind `after`, in order."""
        query = "SELECT number, data FROM entry WHERE number > ? ORDER BY number"
        try:
            rows = self._db.execute(query, (after,))
            while True:
                some = rows.fetchmany(READ_ROWS)
                if not some:
                    return
                yield from some
        except sqlite3.Error as error:
            raise self.failed("read", error) from error

    def cell(self, key: str) -> bytes | None:
        """What is stored under a key; None where nothing is."""
        try:
            rows = self._db.execute("SELECT data FROM cell WHERE key = ?", (key,)).fetchall()
        except sqlite3.Error as error:
            raise self.failed("read", error) from error
        return rows[0][0] if rows else None

    def keys(self, prefix: str) -> list[str]:
        """The keys of cells that begin so, sorted."""
        query = "SELECT key FROM cell WHERE substr(key, 1, ?) = ? ORDER BY key"
        try:
            return [row[0] for row in self._db.execute(query, (len(prefix), prefix))]
        except sqlite3.Error as error:
            raise self.failed("read", error) from error

    def ends(self) -> tuple[int, int]:
        """The first and the last number of an entry; 1 and 0 where there is none."""
        try:
            row = self._db.execute("SELECT min(number), max(number) FROM entry").fetchone()
        except sqlite3.Error as error:
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
        except sqlite3.Error as error:
            raise self.failed("read", error) from error
        return int(pages * size)

    def problems(self) -> list[str]:
        """What SQLite's own check finds wrong with its structure."""
        try:
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check(20)")]
        except sqlite3.Error as error:
            return [str(self.failed("check", error))]
        return [] if found == ["ok"] else found

    def vacuum(self) -> None:
        """Give the room of what was forgotten back to the file system."""
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self.failed("compact", error) from error

    def copy(self, target: Path) -> None:
        """Copy it as it stands, while it may be written (SQLite's online backup)."""
        try:
            with sqlite3.connect(target) as other:
                self._db.backup(other)
            other.close()
        except sqlite3.Error as error:
            raise self.failed("copy", error) from error

    def close(self) -> None:
        """Let go of it."""
        self._db.close()


def quoted(path: Path) -> str:
    """A path in a URI of SQLite.

    >>> quoted(Path("/a b/100%?.db"))
    '/a%20b/100%25%3f.db'
    """
    text = str(path.absolute())
    return "".join(
        c if c.isalnum() or c in "/._-~" else "".join(f"%{b:02x}" for b in c.encode()) for c in text
    )

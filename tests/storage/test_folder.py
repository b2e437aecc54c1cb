"""The folder keeps to the contract; its lock, its witness, and what it refuses to open."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssm_cli import FolderStore, StorageDamaged, StorageError, StorageInUse
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.storage.database import APPLICATION
from ssm_cli.storage.folder import copied
from ssm_cli.storage.lock import is_locked
from ssm_cli.storage.witness import Witness, checksum, said_in
from tests.storage.contract import StoreContract, Told


class TestFolderStore(StoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> Iterator[None]:
        self.path, self.opened = tmp_path / "a b%?" / "data", list[FolderStore]()
        yield
        for store in self.opened:
            store.close()

    def make(self) -> Store:
        self.opened.append(FolderStore(self.path))
        return self.opened[-1]


MOST_ENTRIES = 100_000  # a tick may take a second


def standing(descriptor: int) -> Any:
    """`os.fstat` on a file system whose clock stands still: one tick, however much happens."""
    facts = os.stat(descriptor)
    told = {name: getattr(facts, name) for name in dir(facts) if name.startswith("st_")}
    return SimpleNamespace(**told | {"st_ctime_ns": 7, "st_mtime_ns": 7})


def until_settled(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write entries until one is written without a look at the lock by its path."""
    look, looks = os.stat, []

    def looked(*given: Any) -> os.stat_result:
        looks.append(given)
        return look(*given)

    with monkeypatch.context() as patched:
        patched.setattr("os.stat", looked)
        for _ in range(MOST_ENTRIES):
            before, told = len(looks), Told()
            store.append(store.last() + 1, b"one", told)
            assert told.answers == [None]
            if len(looks) == before:
                return
    raise AssertionError("the lock is looked at by its path for each entry")


def filled(path: Path, entries: int = 3) -> Path:
    """A folder with that many entries, closed."""
    with FolderStore(path) as store:
        for number in range(1, entries + 1):
            store.append(number, b"entry", Told())
        store.put({"k": b"v"}, Told())
    return path


HOLDER = """
import os, sys
from ssm_cli import FolderStore
store = FolderStore(sys.argv[1])
print(os.getpid(), flush=True)
sys.stdin.readline()
"""


def test_a_second_process_is_told_which_process_has_the_folder(tmp_path: Path) -> None:
    filled(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        with pytest.raises(StorageInUse, match=f"in use by process {pid}: stop that tree"):
            FolderStore(tmp_path)
        with FolderStore(tmp_path, writing=False) as reader:
            assert reader.last() == 3
        holder.kill()
        holder.wait()
        with FolderStore(tmp_path) as store:
            assert store.last() == 3


def test_one_process_cannot_open_a_folder_twice_to_write(tmp_path: Path) -> None:
    with FolderStore(tmp_path), pytest.raises(StorageInUse, match=str(os.getpid())):
        FolderStore(tmp_path)


def test_a_reader_reads_one_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    filled(tmp_path)
    with FolderStore(tmp_path) as store, FolderStore(tmp_path, writing=False) as reader:
        store.append(4, b"new", Told())
        store.put({"k": b"w"}, Told())
        store.trim(3)
        assert [number for number, _ in reader.read(0)] == [1, 2, 3]
        assert reader.get("k") == b"v"
    with FolderStore(tmp_path, writing=False) as reader:
        assert [number for number, _ in reader.read(0)] == [4]
        assert reader.get("k") == b"w"


def test_files_of_a_folder_that_all_may_read_are_the_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    filled(tmp_path)
    (tmp_path / "journal.db").chmod(0o644)
    with FolderStore(tmp_path) as store:
        store.append(4, b"new", Told())
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_writer_whose_lock_is_gone_writes_no_more(tmp_path: Path, how: str) -> None:
    filled(tmp_path)
    with FolderStore(tmp_path) as store:
        (tmp_path / "lock").unlink()
        if how == "replaced":
            (tmp_path / "lock").touch()
        told = Told()
        store.append(4, b"new", told)
        store.put({"k": b"w"}, told)
        assert all("lock was removed or replaced" in str(answer) for answer in told.answers)
        assert len(told.answers) == 2
    with FolderStore(tmp_path) as store:
        assert (store.last(), store.get("k")) == (3, b"v")


def test_a_folder_that_is_removed_is_an_error_that_names_it(tmp_path: Path) -> None:
    with FolderStore(tmp_path / "data") as store:
        store.append(1, b"new", Told())
        shutil.rmtree(tmp_path / "data")
        told = Told()
        store.append(2, b"new", told)
        assert str(tmp_path / "data" / "lock") in str(told.answers[0])


@pytest.mark.parametrize("how", ["unlink", "replace", "move", "move the folder"])
@pytest.mark.parametrize("settled", [False, True])
def test_a_lock_that_is_out_of_place_is_noticed_by_the_next_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, *, settled: bool
) -> None:
    (folder := tmp_path / "data").mkdir()
    with FolderStore(folder) as store:
        if settled:
            until_settled(store, monkeypatch)
        else:
            monkeypatch.setattr("os.fstat", standing)
            store.append(1, b"one", Told())
        last, told = store.last(), Told()
        match how:
            case "unlink":
                (folder / "lock").unlink()
            case "replace":
                (tmp_path / "other").touch()
                (tmp_path / "other").replace(folder / "lock")
            case "move":
                (folder / "lock").rename(folder / "old")
            case _:
                folder.rename(tmp_path / "old")
        store.append(last + 1, b"new", told)
        assert "lock was removed or replaced" in str(told.answers[0])
        assert store.last() == last


def test_a_lock_is_good_whatever_else_changes_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FolderStore(tmp_path / "data") as store:
        until_settled(store, monkeypatch)
        (tmp_path / "data" / "notes").touch()
        (tmp_path / "data" / "notes").unlink()
        (tmp_path / "data").chmod(0o755)
        until_settled(store, monkeypatch)


def test_a_folder_above_that_is_moved_is_noticed_as_a_state_is_saved(tmp_path: Path) -> None:
    with FolderStore(tmp_path / "above" / "data") as store:
        store.append(1, b"new", Told())
        (tmp_path / "above").rename(tmp_path / "moved")
        told = Told()
        store.put({"k": b"w"}, told)
        assert "lock was removed or replaced" in str(told.answers[0])


def test_a_folder_that_cannot_be_opened_for_want_of_descriptors_is_let_go(tmp_path: Path) -> None:
    filled(tmp_path)
    free, limits = os.dup(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limits[1]))  # room for the lock alone
    try:
        with pytest.raises(StorageError, match=r"cannot open .*: Too many open files"):
            FolderStore(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not is_locked(tmp_path)


def test_a_fork_does_not_write_for_its_parent(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        child = os.fork()
        if child == 0:
            told = Told()
            store.append(1, b"fork", told)
            os._exit(7 if "a fork of it" in str(told.answers[0]) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        store.append(1, b"parent", Told())
        assert store.last() == 1


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    filled(tmp_path)
    with FolderStore(tmp_path, writing=False) as reader:
        told = Told()
        reader.put({"k": b"w"}, told)
        reader.append(4, b"new", told)
        assert [type(answer) for answer in told.answers] == [StorageError, StorageError]
        assert (reader.get("k"), reader.last()) == (b"v", 3)


def test_a_reader_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"holds no data of a tree: no journal\.db is there"):
        FolderStore(tmp_path / "none", writing=False)
    assert not (tmp_path / "none").exists()


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_database_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    before = (tmp_path / "journal.db").read_bytes()
    for writing in (True, False):
        with pytest.raises(StorageError, match="format 99, and this ssm reads up to 5"):
            FolderStore(tmp_path, writing=writing)
    assert (tmp_path / "journal.db").read_bytes() == before


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("CREATE TABLE theirs (x)")
        db.execute(f"PRAGMA application_id={APPLICATION + 1}")
    db.close()
    with pytest.raises(StorageDamaged, match="is no journal of ssm"):
        FolderStore(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageDamaged, match="nothing was changed"):
        FolderStore(tmp_path)


def test_an_older_copy_of_the_database_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    older = (tmp_path / "journal.db").read_bytes()
    with FolderStore(tmp_path) as store:
        store.append(4, b"acknowledged", Told())
    (tmp_path / "journal.db").write_bytes(older)
    with pytest.raises(StorageDamaged, match=r"entry 4 in .* was acknowledged, and the last"):
        FolderStore(tmp_path)
    (tmp_path / "witness").write_bytes(b"")  # "if you accept the loss"
    with FolderStore(tmp_path) as store:
        assert store.last() == 3


def test_a_database_that_is_gone_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "journal.db").unlink()
    with pytest.raises(StorageDamaged, match="entry 3 in"):
        FolderStore(tmp_path)


def test_a_witness_that_is_gone_or_changed_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "witness").write_bytes(b"3\n")
    with pytest.raises(StorageDamaged, match="is not what was written"):
        FolderStore(tmp_path)
    (tmp_path / "witness").unlink()
    with pytest.raises(StorageDamaged, match="is gone"):
        FolderStore(tmp_path)


def test_a_witness_that_is_behind_is_no_damage(tmp_path: Path) -> None:
    filled(tmp_path)
    behind = (tmp_path / "witness").read_bytes()
    with FolderStore(tmp_path) as store:
        store.append(4, b"new", Told())
    (tmp_path / "witness").write_bytes(behind)
    with FolderStore(tmp_path) as store:
        assert store.last() == 4


def test_an_online_copy_is_a_whole_store(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    copy = tmp_path / "copy"
    copy.mkdir()
    with FolderStore(tmp_path / "data") as store:
        store.append(4, b"new", Told())
        store.database.copy(copy / "journal.db")
    (copy / "witness").write_bytes(b"")
    with FolderStore(copy) as store:
        assert [number for number, _ in store.read(0)] == [1, 2, 3, 4]
        assert store.get("k") == b"v"


def test_room_is_given_back_when_it_is_compacted(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        for number in range(1, 50):
            store.append(number, b"x" * 10_000, Told())
        store.trim(49)
        store.database.vacuum()
        assert (tmp_path / "journal.db").stat().st_size < 100_000
        assert list(store.read(0)) == [(49, b"x" * 10_000)]
        assert store.database.problems() == []


def test_a_lost_put_is_noticed_as_a_lost_entry_is(tmp_path: Path) -> None:
    filled(tmp_path)
    older = (tmp_path / "journal.db").read_bytes()
    with FolderStore(tmp_path) as store:
        store.put({"k": b"newer"}, Told())
    (tmp_path / "journal.db").write_bytes(older)
    with pytest.raises(StorageDamaged, match=r"put 2 of saved states in .* was acknowledged"):
        FolderStore(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cell SET data = 'text' WHERE key = 'k'",
        "UPDATE cell SET data = x'00' WHERE key = 'k'",
        "UPDATE cell SET key = 'l' WHERE key = 'k'",
        "DELETE FROM cell WHERE key = 'k'",
        "INSERT INTO cell VALUES ('l', x'00')",
        "UPDATE seal SET sum = zeroblob(16)",
        "UPDATE seal SET puts = 'many'",
        "DELETE FROM seal",
    ],
)
def test_cells_that_are_not_what_was_put_are_refused(tmp_path: Path, damage: str) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute(damage)
    db.close()
    for writing in (True, False):
        with pytest.raises(StorageDamaged):
            FolderStore(tmp_path, writing=writing)


def test_without_its_witness_it_goes_on_with_what_is_written_and_writes_no_more(
    tmp_path: Path,
) -> None:
    with FolderStore(tmp_path) as store:
        kept = os.dup(store._witness)
        unwritable = os.open(tmp_path / "witness", os.O_RDONLY)
        os.dup2(unwritable, store._witness)
        told = Told()
        store.append(1, b"written", told)
        assert told.answers == [None]
        store.append(2, b"not", told)
        store.put({"k": b"not"}, told)
        assert "cannot write" in str(told.answers[1])
        assert "cannot write" in str(told.answers[2])
        assert [number for number, _ in store.read(0)] == [1]
        assert store.get("k") is None
        os.dup2(kept, store._witness)
        store.append(2, b"again", told)
        assert told.answers[3] is None
        os.close(kept)
        os.close(unwritable)
    with FolderStore(tmp_path) as store:
        assert store.last() == 2


def test_a_reader_that_opens_while_a_writer_commits_sees_no_damage(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        for number in range(1, 100):
            store.append(number, b"entry", Told())
            store.put({"k": str(number).encode()}, Told())
            with FolderStore(tmp_path, writing=False) as reader:
                assert reader.last() == number


def unsynced(monkeypatch: pytest.MonkeyPatch, store: FolderStore, entry: bytes) -> StorageError:
    """Why an entry is not written whose sync fails; it is in the log all the same."""
    failed = StorageError("its sync failed")
    failed.unsure = True
    told: list[StorageError | None] = []
    with monkeypatch.context() as patch:
        patch.setattr(store.database, "write", lambda *_: failed)
        store.append(store.last() + 1, entry, told.append)
    assert told == [failed]
    return failed


def test_an_entry_is_one_statement_and_so_a_transaction_of_its_own(tmp_path: Path) -> None:
    said: list[str] = []
    with FolderStore(tmp_path) as store:
        store.database._db.set_trace_callback(said.append)
        store.append(1, b"one", Told())
    assert [statement.split()[0] for statement in said] == ["INSERT"]


@pytest.mark.parametrize(
    ("code", "unsure"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_IOERR, True),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_READONLY_DBMOVED, False),
        (sqlite3.SQLITE_BUSY_RECOVERY, False),
    ],
)
def test_an_entry_is_unsure_where_its_end_may_be_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, *, unsure: bool
) -> None:
    class Failing:
        def execute(self, *_: object) -> None:
            error = sqlite3.OperationalError("as asked")
            error.sqlite_errorcode = code
            raise error

    with FolderStore(tmp_path) as store, monkeypatch.context() as patch:
        patch.setattr(store.database, "_db", Failing())
        error = store.database.write("INSERT")
        assert error is not None
        assert error.unsure is unsure


def left_in_the_log(path: Path, number: int, entry: bytes) -> None:
    """As a process leaves an entry that is killed behind a sync that failed."""
    with sqlite3.connect(path / "journal.db") as db:
        db.execute("INSERT INTO entry VALUES (?, ?)", (number, entry))
    db.close()


def test_an_entry_that_was_denied_is_undone_when_the_folder_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FolderStore(tmp_path) as store:
        store.append(1, b"one", Told())
        assert not unsynced(monkeypatch, store, b"two").unsure, "it can be undone"
    left_in_the_log(tmp_path, 2, b"two")
    with FolderStore(tmp_path, writing=False) as reader:
        assert (reader.last(), [*reader.read(0)]) == (1, [(1, b"one")])
        copied(reader, tmp_path / "copy")
    for folder in (tmp_path / "copy", tmp_path):
        with FolderStore(folder) as store:
            assert [*store.read(0)] == [(1, b"one")]
            store.append(2, b"other", Told())
        with FolderStore(folder) as store:
            assert [*store.read(0)] == [(1, b"one"), (2, b"other")]


def test_an_entry_in_the_place_of_one_that_was_denied_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FolderStore(tmp_path) as store:
        store.append(1, b"one", Told())
        unsynced(monkeypatch, store, b"two")
    left_in_the_log(tmp_path, 2, b"other")
    with FolderStore(tmp_path) as store:
        assert [*store.read(0)] == [(1, b"one"), (2, b"other")]


def test_the_very_entry_that_was_denied_stays_once_it_is_written_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FolderStore(tmp_path) as store:
        store.append(1, b"one", Told())
        unsynced(monkeypatch, store, b"two")
        store.append(2, b"two", Told())
        before = (tmp_path / "witness").read_bytes()
    with FolderStore(tmp_path) as store:
        assert store.last() == 2
    assert said_in(before, tmp_path) == Witness(2, 0, "")


def test_where_a_denial_cannot_be_said_for_good_the_error_is_unsure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_sync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with FolderStore(tmp_path) as store:
        store.append(1, b"one", Told())
        monkeypatch.setattr("os.fsync", no_sync)
        assert unsynced(monkeypatch, store, b"two").unsure


def test_a_witness_of_an_older_ssm_is_read(tmp_path: Path) -> None:
    with FolderStore(tmp_path) as store:
        store.append(1, b"one", Told())
    body = f"{1:020} {0:020}\n".encode()
    (tmp_path / "witness").write_bytes(checksum(body) + b" " + body)
    with FolderStore(tmp_path) as store:
        assert store.last() == 1


def test_a_file_system_without_locks_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    filled(tmp_path)
    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(StorageError, match=r"cannot lock .*lock: No locks available") as told:
        FolderStore(tmp_path)
    assert not isinstance(told.value, StorageInUse)
    assert str(tmp_path) in str(told.value)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("name", ["lock", "witness", "journal.db", "owner.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_what_is_no_file_is_an_error_that_names_it_and_nobody_waits_for_it(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    filled(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(StorageError, match=name), FolderStore(tmp_path) as store:
        store.need_for("kv")


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[" * 100_000, b"[]", b'{"tree": 5}', b'{"tree": "", "name": ""}', b"\xff"],
    ids=["empty", "torn", "deep", "list", "number", "lacks", "bytes"],
)
def test_what_does_not_say_whose_data_it_is_is_refused_and_left(
    tmp_path: Path, said: bytes
) -> None:
    filled(tmp_path)
    (tmp_path / "owner.json").write_bytes(said)
    with (
        FolderStore(tmp_path) as store,
        pytest.raises(StorageError, match=r"remove it and name|longer"),
    ):
        store.need_for("kv")
    assert (tmp_path / "owner.json").read_bytes() == said


def test_a_disk_that_is_full_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match="lock: No space left on device; make room"):
        FolderStore(tmp_path)


def test_a_foreign_write_lock_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssm_cli.storage.database.BUSY_MS", 20)
    told = Told()
    with FolderStore(filled(tmp_path)) as store:
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        store.append(4, b"entry", told)
        error = told.answers[0]
        assert "journal.db: database is locked; another program has had it locked" in str(error)
        assert error is not None
        assert not error.unsure, "nothing was written, for sure"
        other.close()
        store.append(4, b"entry", told)
    assert told.answers[1] is None

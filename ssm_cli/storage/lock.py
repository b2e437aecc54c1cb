"""The lock of a data folder: held by its one writer, and looked for before each write.

Theory of operation. The kernel lets go of the lock when its process ends, however it ends. But a
lock file that is removed, replaced or moved keeps nobody out any more, so the writer looks for it
before it writes. To find a file by its path takes the system much longer than to say when the names
in an open folder have changed last (its `ctime`, which a move of the folder changes as well). As
long as that is the time of the last look by the path, no such thing has happened since.

The clock of a file system counts in ticks, of 4 ms as a rule and of a second in some: a change
within the tick of the one before would not be told. So the time of a change counts only once a
later tick has begun, which the lock file shows when it is touched; until then the path is looked
at each time.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ssm_cli.errors import StorageError, StorageInUse
from ssm_cli.private import open_private

LOCK = "lock"
LOOKING = getattr(os, "O_PATH", os.O_RDONLY)  # a folder need not be readable
UNKNOWN = -1  # no time of a change


class Process:
    """This process: its number, which is asked for once, and again in a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self.pid = os.getpid()


THIS = Process()


class Lock:
    """The lock of a folder, held by this process. The folder is made if need be.

    Raises:
        StorageInUse: another process holds it.
        StorageError: the folder or the lock cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / LOCK
        self._pid = THIS.pid
        self._file = locked(path)
        try:
            self._folder = os.open(path, LOOKING | os.O_CLOEXEC)
        except OSError as error:
            os.close(self._file)
            raise StorageError(f"cannot open {path}: {error.strerror}") from error
        self._name, facts = bytes(self._path), os.fstat(self._file)
        self._id = facts.st_ino, facts.st_dev
        self._changed_ns = UNKNOWN  # the folder, when the lock was seen by its path

    def missing(self, *, by_path: bool = False) -> StorageError | None:
        """Why nothing may be written in the folder now; `by_path` looks at all folders above."""
        if self._pid != THIS.pid:
            return StorageError(
                f"{self._path.parent} is written by process {self._pid}, and this is {THIS.pid}, a "
                f"fork of it: open a store of its own there"
            )
        changed_ns = os.fstat(self._folder).st_ctime_ns
        if changed_ns == self._changed_ns and not by_path:
            return None
        self._changed_ns = changed_ns if self._tick_ns() > changed_ns else UNKNOWN
        try:
            found = os.stat(self._name)  # noqa: PTH116 - a quarter of the time of a `Path`
            if (found.st_ino, found.st_dev) == self._id:
                return None
        except OSError:
            pass
        self._changed_ns = UNKNOWN
        return StorageError(
            f"{self._path} was removed or replaced while the tree runs, so another process may be "
            f"writing there; nothing more is written here"
        )

    def _tick_ns(self) -> int:
        """Touch the lock; the time of that, by the clock of its file system."""
        with suppress(OSError):  # it may not be touched: its time stays behind
            os.utime(self._file)
        return os.fstat(self._file).st_mtime_ns

    def close(self) -> None:
        """Let go of it."""
        os.close(self._folder)
        os.close(self._file)


def locked(path: Path) -> int:
    """The descriptor of a folder's lock, held; the folder is made if need be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_private(path / LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        what = f"{LOCK}: " if error.filename == str(path / LOCK) else ""
        raise StorageError(
            f"cannot write in {path}: {what}{error.strerror}; name another folder by --data"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StorageInUse(
            f"{path} is in use by process {owner_in(path) or 'unknown'}: stop that tree, or name "
            f"another folder by --data"
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise StorageError(
            f"cannot lock {path / LOCK}: {error.strerror}; without a lock two processes could "
            f"write there: name a folder on a file system that has locks, by --data"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        os.close(descriptor)
        raise StorageError(f"cannot write {path / LOCK}: {error.strerror}; make room") from error
    return descriptor


def owner_in(path: Path) -> str:
    """The number of the process that has locked a folder last; "" where none has."""
    try:
        return (path / LOCK).read_text("ascii", "replace").strip()[:32]
    except OSError:
        return ""


def is_locked(path: Path) -> bool:
    """Whether a process writes in a folder."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: nobody writes there
        return False
    finally:
        os.close(descriptor)
    return False

"""Discovery of running trees: one Unix socket each, in a folder of the user.

A socket file outlives its tree if that was killed. A probe tells whether a tree is alive: a
connection to the socket of a dead process is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ssm_cli.errors import CommandError, NoTree

SUFFIX = ".sock"
NEW = ".new"  # of a socket nobody listens at yet; no longer than a name of one
MAX_PATH_BYTES = 103  # macOS takes 104 with the zero at the end, Linux 108
PROBE_S = 1.0
BACKLOG = 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the sockets: `ssm` in the user's runtime folder; may not exist.

    Raises:
        CommandError: another user owns it, so its content is not to be trusted.
    """
    given = environ.get("XDG_RUNTIME_DIR")
    where = Path(given) / "ssm" if given else _usual()
    for path, owners in ((where.parent, (0, os.getuid())), (where, (os.getuid(),))):
        if path.exists() and path.stat().st_uid not in owners:
            raise CommandError(f"{path} belongs to somebody else; set XDG_RUNTIME_DIR")
    return where


def _usual() -> Path:
    """Return the default folder; platformdirs would warn that the variable is not set."""
    import warnings  # noqa: PLC0415 - only here

    from platformdirs import user_runtime_path  # noqa: PLC0415 - 8 ms, only here

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return user_runtime_path("ssm")


def socket_path(name: str, environ: Mapping[str, str]) -> Path:
    """Return the socket path of the tree called `name`.

    Raises:
        CommandError: the name is no file name, or the path is too long for a socket.
    """
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"`{name}` cannot name a tree: use at most 64 letters, digits, `_`, `.` and `-`; "
            f"choose one with --name"
        )
    path = folder(environ) / f"{name}{SUFFIX}"
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise CommandError(
            f"{path} is longer than the {MAX_PATH_BYTES} bytes that a socket's path may have; "
            f"choose a shorter --name or XDG_RUNTIME_DIR, or run with --no-socket"
        )
    return path


def is_alive(path: Path) -> bool:
    """Return whether a process listens on a socket; a time-out counts as alive."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ETIMEDOUT):
                return True
            raise NoTree(f"cannot ask {path}: {error.strerror or error}") from error
        return True


def names(environ: Mapping[str, str]) -> list[str]:
    """Return the sorted names that have a socket, stale or not."""
    return sorted(path.name.removesuffix(SUFFIX) for path in _sockets(folder(environ)))


def _sockets(where: Path) -> Iterator[Path]:
    if not where.is_dir():
        return
    for path in where.iterdir():
        if path.name.endswith(SUFFIX) and stat.S_ISSOCK(path.lstat().st_mode):
            yield path


def sweep(environ: Mapping[str, str]) -> list[str]:
    """Remove stale sockets; return a line for each."""
    where = folder(environ)
    if not any(True for _ in _sockets(where)):
        return []
    with _locked(where):
        return [_removed(path) for path in sorted(_sockets(where)) if not is_alive(path)]


def _removed(path: Path) -> str:
    path.unlink(missing_ok=True)
    return f"removed {path}: no tree was behind it any more"


def listen(name: str, environ: Mapping[str, str]) -> tuple[socket.socket, Path, list[str]]:
    """Return a listening socket for the tree called `name`, its path, and lines to print.

    The socket is renamed into place once it listens, under a lock: only one tree gets a name.

    Raises:
        CommandError: a tree of that name runs, or the folder is not safe.
    """
    path = socket_path(name, environ)
    said: list[str] = []
    make_folder(path.parent)
    with _locked(path.parent):
        if path.exists():
            if is_alive(path):
                raise CommandError(runs_already(name, path))
            said.append(_removed(path))
        sock = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            new = path.with_name(NEW)  # who finds the path connects at once
            new.unlink(missing_ok=True)
            sock.bind(str(new))
            sock.listen(BACKLOG)
            new.rename(path)
        except OSError as error:
            sock.close()
            raise CommandError(f"cannot listen at {path}: {error.strerror}") from error
        finally:
            os.umask(before)
    return sock, path, said


def runs_already(name: str, path: Path) -> str:
    """Return the refusal of a name that a running tree has."""
    return (
        f"a tree called {name} runs already, at {path}; `ssm ls` shows it; "
        f"give this one another --name, or Node(tree, name=...), or stop that one with "
        f"`ssm stop {name}`"
    )


def make_folder(where: Path) -> None:
    """Create the folder of the sockets; refuse one that other users can write to."""
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        where.mkdir(mode=0o700, exist_ok=True)
        facts = where.lstat()
    except OSError as error:
        raise CommandError(
            f"cannot make {where}: {error.strerror}; set XDG_RUNTIME_DIR, or run with --no-socket"
        ) from error
    if facts.st_uid != os.getuid() or not stat.S_ISDIR(facts.st_mode):
        raise CommandError(f"{where} is not a folder of yours; set XDG_RUNTIME_DIR to one that is")
    if stat.S_IMODE(facts.st_mode) != 0o700:
        where.chmod(0o700)


@contextmanager
def _locked(where: Path) -> Iterator[None]:
    """Hold the lock of the folder: creating and removing sockets exclude each other."""
    descriptor = os.open(where / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

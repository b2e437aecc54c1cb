"""Files for their owner alone: mode 0600 whatever the folder and the umask, checked when read.

States, inputs, logs and secrets are in them. A folder that others may enter, a umask of 0 or one
of 0777, a file that an older version made: none of them changes who may read.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ssm_cli.errors import CommandError, SsmError, StorageError

if TYPE_CHECKING:
    import ssl

MODE = 0o600
PUBLIC = 0o666  # of files for users to share, as the umask lets them
OTHERS = 0o077  # the bits of a mode that let other users in
WRONG_NAME = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
"""Why a file cannot be written that is asked for at a place where none can be."""
MAX_SECRET = 65_536  # bytes of a file with secrets


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of a file that only its owner can open; with `O_CREAT` it is made.

    Raises:
        OSError: it cannot be opened, or is a symbolic link, a pipe, a device.
    """
    descriptor = open_file(path, flags | os.O_NOFOLLOW)
    facts = os.fstat(descriptor)
    if facts.st_uid == os.geteuid() and stat.S_IMODE(facts.st_mode) != MODE:
        os.fchmod(descriptor, MODE)
    return descriptor


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of a file; what is there and is none is not waited for.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe, a device.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, MODE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return descriptor


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return what is in a file.

    Raises:
        OSError: it cannot be read, is no file, or has more bytes than that.
    """
    with os.fdopen(open_file(path), "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes} bytes", str(path))
    return data


def write_private(path: Path, data: str | bytes, *, anew: bool = False, mode: int = MODE) -> bool:
    """Write a whole file; who reads it sees the old or the new one, and never a part of it.

    It is written beside its place, and put there once it is whole. With `anew` a file that is there
    already is left as it is.

    Args:
        path: where it is put; its folder is there.
        data: all of it; text is written as UTF-8.
        anew: whether it has to be a new one.
        mode: who may open it; another one than that of its owner alone is subject to the umask.

    Returns:
        Whether it was put there.

    Raises:
        OSError: it cannot be written, which is said of `path`; nothing is left of it.
    """
    beside = path.with_name(f".{path.name[:50]}.{os.getpid()}.new")
    try:
        beside.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = open_private(beside, flags) if mode == MODE else os.open(beside, flags, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(descriptor)  # some disks tell only now that they are full
        return _put(beside, path, anew=anew)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _put(beside: Path, path: Path, *, anew: bool) -> bool:
    """Give a file its name; return False where it is to be a new one, and there is one."""
    if anew:
        try:
            path.hardlink_to(beside)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if os.path.lexists(path):
                return False
        else:
            return True
    beside.replace(path)
    return True


def unwritten(path: Path | str, error: OSError) -> SsmError:
    """Return the error to be raised for a file that cannot be written.

    >>> unwritten("a", OSError(errno.ENOSPC, "No space left on device"))
    StorageError('cannot write a: No space left on device')
    >>> unwritten("a", OSError(errno.ENOTDIR, "Not a directory"))
    CommandError('cannot write a: Not a directory')
    """
    kind = CommandError if error.errno in WRONG_NAME else StorageError
    return kind(f"cannot write {path}: {error.strerror}")


def make_private(path: Path) -> None:
    """Create a file empty, or take what is there from other users; it is not opened if it is there.

    Closing a descriptor of a file drops the locks that this process has on it, and SQLite has some.
    """
    try:
        os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        facts = path.stat()
        if facts.st_uid == os.geteuid() and facts.st_mode & OTHERS and stat.S_ISREG(facts.st_mode):
            path.chmod(MODE)


def read_secret(path: Path) -> str:
    """Return the text of a file with secrets.

    Raises:
        CommandError: it is missing, no file, too large, not ASCII, somebody else's, or others may
            read it; the message says what to do, and nothing of the content.
    """
    try:
        descriptor = open_file(path)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid not in (0, os.geteuid()):
            raise CommandError(f"{path} belongs to somebody else; make a file of your own")
        mode = stat.S_IMODE(facts.st_mode)
        if mode & OTHERS:
            raise CommandError(
                f"{path} can be read by others (mode {mode:o}); run chmod 600 {path}"
            )
        data = os.read(descriptor, MAX_SECRET + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_SECRET:
        raise CommandError(f"{path} is longer than {MAX_SECRET} bytes; is it the right file?")
    if not data.isascii():
        line = data[: next(n for n, byte in enumerate(data) if byte > 0x7F)].count(b"\n") + 1
        raise CommandError(f"{path}:{line}: expected ASCII alone")
    return data.decode("ascii")


def password_in(path: Path) -> str:
    """Return the password that is the one line of a file. Raises `CommandError` if it is none."""
    text = read_secret(path).removesuffix("\n").removesuffix("\r")
    if not text or not text.isprintable():
        raise CommandError(f"{path}: expected one line with a password, and nothing else")
    return text


def load_pair(context: ssl.SSLContext, cert: Path, key: Path | None, password: str | None) -> None:
    """Load a certificate and its key into a TLS context; nobody is asked for a password.

    Args:
        context: its later connections use them.
        cert: a PEM file, the certificate first, then those that signed it.
        key: a PEM file; None if it is in that of the certificate.
        password: of the key; None if it has none.

    Raises:
        CommandError: a file cannot be read, is no PEM, does not fit the other, or the key is
            encrypted and the password is wrong or missing; the message does not show it.
    """
    place, asked = key or cert, False

    def given() -> str:
        nonlocal asked
        asked = True
        if password is None:
            raise CommandError(f"{place} is encrypted; give a file with its password")
        return password

    for path in {cert, place}:
        _need_file(path)
    try:
        context.load_cert_chain(cert, place, given)
    except OSError as error:  # ssl.SSLError is one
        why = "expected a certificate and its key in PEM"
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            why = "the key is not that of the certificate"
        elif asked:
            why = "the password of the key is wrong"
        raise CommandError(f"cannot use {cert} and {place} for TLS: {why}") from error


def _need_file(path: Path) -> None:
    """Raise `CommandError` unless it is a file that can be read: TLS does not say which is not."""
    try:
        os.close(open_file(path))
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}; expected a PEM file") from error

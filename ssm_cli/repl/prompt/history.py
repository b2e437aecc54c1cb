"""What was typed, kept in a file from one session to the next.

One command a line, oldest first. A file that cannot be read or written costs nothing but the
memory of it: the session goes on, and says so once.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_state_dir
from prompt_toolkit.history import History

from ssm_cli.private import write_private

KEPT_LINES = 10_000  # commands kept in the file; trimmed when a session begins
READ_BYTES = 4 * 1024 * 1024  # of a larger file only the end is read
LINE_CHARACTERS = 10_000  # a longer command is not remembered


def history_path(environ: Mapping[str, str]) -> Path:
    """Where the history is: `$XDG_STATE_HOME/ssm/history`, or the platform's state folder."""
    state_home = environ.get("XDG_STATE_HOME")
    return Path(Path(state_home, "ssm") if state_home else user_state_dir("ssm"), "history")


class PersistentHistory(History):
    """The history of the prompt in a file that only its owner can read.

    Args:
        path: the file; it and its folder are made when the first command is kept.
        notice: told once, in one line, if the file cannot be read or written.
    """

    def __init__(self, path: Path, notice: Callable[[str], None]) -> None:
        super().__init__()
        self._path = path
        self._notice: Callable[[str], None] | None = notice

    def load_history_strings(self) -> Iterable[str]:
        """The commands kept, newest first, as prompt_toolkit wants them."""
        try:
            lines = _tail(self._path)
            if len(lines) > KEPT_LINES:
                lines = lines[-KEPT_LINES:]
                write_private(self._path, "".join(f"{line}\n" for line in lines))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._fail(error)
            return []
        return reversed(lines)

    def append_string(self, string: str) -> None:
        """Remember a command, but not one that begins with a blank: it may hold a secret."""
        if not string.startswith(" "):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Append a command; one of several lines or too long is kept for this session only."""
        if "\n" in string or len(string) > LINE_CHARACTERS or self._notice is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _opened(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
                _append(file.fileno(), string)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Say once that nothing is kept from here on."""
        notice, self._notice = self._notice, None
        if notice is not None:
            why = error.strerror or str(error)
            notice(f"the history in {self._path} is not kept: {why}; this session goes on without")


def _opened(path: Path, flags: int) -> BinaryIO:
    """Open a file for its owner alone, whoever made it; no pipe, which might block."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    facts = os.fstat(descriptor)
    if stat.S_ISFIFO(facts.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a pipe")
    if stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o077 and facts.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b")


def _append(descriptor: int, line: str) -> None:
    """Write one line; a torn last line of an earlier session is ended first."""
    size = os.fstat(descriptor).st_size
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    data = line.encode("utf-8", "surrogateescape") + b"\n"
    os.write(descriptor, b"\n" + data if torn else data)


def _tail(path: Path) -> list[str]:
    """The lines at the end of the file, at most `READ_BYTES` of them."""
    with _opened(path, os.O_RDONLY) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - READ_BYTES))
        text = file.read(READ_BYTES).decode("utf-8", "replace")
    lines = text.split("\n")
    if size > READ_BYTES:
        del lines[0]  # most likely the end of a longer one
    return [line for line in lines if line]

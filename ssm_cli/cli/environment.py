"""`Environment`: what the process owns, in one object that tests can build."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO, cast


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's folder for state of ssm; it may not exist.

    >>> state_folder({"XDG_STATE_HOME": "/state"})
    PosixPath('/state/ssm')
    """
    given = environ.get("XDG_STATE_HOME")
    if given:
        return Path(given, "ssm")
    from platformdirs import user_state_path  # noqa: PLC0415 - only without that variable

    return user_state_path("ssm")


@dataclass(frozen=True)
class Environment:
    """The streams, the environment variables and the facts of the terminal.

    Attributes:
        stdin: where commands and inputs come from.
        stdout: where results go.
        stderr: where reports and diagnostics go.
        environ: the environment variables.
        width: columns of the terminal.
        at_end: what a command leaves open, closed at its end.
    """

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]
    width: int = 80
    at_end: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    def of_process(cls) -> Environment:
        """That of this process. Standard input that is closed reads as empty.

        Standard error that is closed, or open to be read alone, forgets what it gets: reports are
        no results. Standard output that is closed refuses it.

        The streams are of its own, beside those of `sys`, which workers may close or replace.
        What a stream's encoding cannot carry is written as its escape rather than refused.
        """
        hold_descriptors()
        return cls(
            _beside(sys.stdin),
            Closed() if sys.stdout is None else _beside(sys.stdout),
            _beside(sys.stderr if is_place(sys.stderr) else None),
            os.environ,
            shutil.get_terminal_size().columns,
        )

    @contextlib.contextmanager
    def never_waiting(self, *, results: bool = True) -> Iterator[Environment]:
        """Yield one whose outputs never make a tree wait for a reader; see `Outlet`.

        What they keep is written at the end of the block. Streams without a descriptor stay.
        `results` is whether standard output carries any.

        Raises:
            OSError: nobody reads what is left.
        """
        from ssm_cli.render.outlet import Outlet  # noqa: PLC0415 - asyncio only with a tree

        outlets: dict[tuple[int, int, int], Outlet] = {}
        found: list[TextIO] = []
        for stream in (self.stdout, self.stderr):
            number = fileno_of(stream)
            if number is None:
                found.append(stream)
                continue
            facts = os.fstat(number)
            key = facts.st_dev, facts.st_ino, facts.st_rdev
            if key not in outlets:
                stream.flush()
                told = not (results and stream is self.stdout)
                outlets[key] = Outlet(stream, reports=told)
            found.append(cast("TextIO", outlets[key]))
        try:
            yield replace(self, stdout=found[0], stderr=found[1])
        finally:
            for outlet in outlets.values():
                outlet.finish()

    def give_back(self) -> None:
        """Make these the streams of `sys`, whatever workers have made of those, at the end."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name, None)
            if type(stream) is io.TextIOWrapper:
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
        sys.stdout, sys.stderr = self.stdout, self.stderr

    @property
    def stdin_is_tty(self) -> bool:
        """Whether a person may be typing."""
        return self.stdin.isatty()

    @property
    def stdout_is_tty(self) -> bool:
        """Whether a person may be reading."""
        return self.stdout.isatty()

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be typing and reading."""
        return self.stdin_is_tty and self.stdout_is_tty

    @property
    def dumb(self) -> bool:
        """Whether the terminal can only print lines, or there is none."""
        dumb = self.environ.get("TERM", "").lower() in ("dumb", "unknown")
        return dumb or not self.is_terminal

    @property
    def debug(self) -> bool:
        """Whether defects of ssm itself are shown with their traceback (`SSM_DEBUG=1`)."""
        return self.environ.get("SSM_DEBUG", "") not in ("", "0")


def hold_descriptors() -> None:
    """Have the null device at the descriptors of standard streams that are closed.

    Else what is opened first, a lock or a socket, would be there, and get what C code, or a child,
    has for them. Standard output can still not be written.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest that is free is what is opened next
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)


class Closed(io.StringIO):
    """Standard output that was closed before the program began."""

    def write(self, _: str, /) -> int:
        """Refuse it."""
        raise OSError(errno.EBADF, "standard output is closed")


def _beside(stream: TextIO | None) -> TextIO:
    """Return a second stream on the descriptor of a first; what both are written to keeps order."""
    if not isinstance(stream, io.TextIOWrapper) or fileno_of(stream) is None:
        return stream or io.StringIO()
    writes = stream.writable()
    if not writes:
        return open(stream.fileno(), encoding="utf-8", errors="surrogateescape", closefd=False)
    raw = _Whole(stream.fileno(), "w", closefd=False)
    second = io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, "backslashreplace",
        line_buffering=stream.line_buffering,
    )  # fmt: skip
    stream.reconfigure(line_buffering=True)
    return second


def is_place(stream: TextIO | None) -> bool:
    """Return whether what is written to a stream may arrive: it is not open to be read alone."""
    number = None if stream is None else fileno_of(stream)
    if number is None:
        return True
    return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


class _Whole(io.FileIO):
    """A descriptor that is written to whole, also where another program made it not to block."""

    def write(self, data: Any, /) -> int:
        while (count := super().write(data)) is None:
            import select  # noqa: PLC0415 - rare

            poll = select.poll()
            poll.register(self, select.POLLOUT)
            poll.poll()
        return count


def fileno_of(stream: TextIO) -> int | None:
    """The file descriptor under a stream; None where there is none, as under a StringIO.

    >>> fileno_of(io.StringIO()) is None
    True
    """
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None

"""Sources of commands: given lines, a file, a pipe; without threads.

A pipe is read when the event loop reports it readable, so the tree is served between
two lines. The loop cannot watch regular files and some devices; those never block and are read
directly.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from ssm_cli.cli.environment import Environment, fileno_of
from ssm_cli.commands.parse import MAX_LINE, Command
from ssm_cli.errors import CommandError
from ssm_cli.repl.shell.interpret import read_command
from ssm_cli.repl.shell.programs import readable
from ssm_cli.repl.shell.results import Results

CHUNK = 65_536  # bytes asked for at a time


async def fixed(lines: Iterable[str]) -> AsyncIterator[str]:
    """Yield the given lines."""
    for line in lines:
        yield line


async def of_stdin(env: Environment) -> AsyncIterator[str]:
    """Yield the lines of standard input."""
    fileno = fileno_of(env.stdin)
    lines = fixed(env.stdin) if fileno is None else of_descriptor(fileno)
    async for line in lines:
        yield line


async def of_file(path: str) -> AsyncIterator[str]:
    """Yield the lines of a script. Raises `CommandError` if it cannot be read.

    To open what is no file on a disk may wait for a writer: that is left to another process.
    """
    try:
        mode = Path(path).stat().st_mode  # noqa: ASYNC240 - a look at a name
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            async for line in of_program(["cat", "--", path], f"cannot read the script {path}"):
                yield line
            return
        handle = Path(path).open("rb", buffering=0)  # noqa: ASYNC230, SIM115 - opening does not wait; closed below
    except OSError as error:
        raise CommandError(f"cannot read the script {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise CommandError(f"cannot read the script {path!r}: no file has that name") from error
    with handle:
        async for line in of_descriptor(handle.fileno()):
            yield line


async def of_program(words: list[str], complaint: str) -> AsyncIterator[str]:
    """Yield the lines that a program writes; it is ended when nobody wants more.

    It has the descriptors that this process was started with: the script may be one of them.

    Raises:
        CommandError: it cannot be started or has failed; `complaint` says what could not be done.
    """
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - it starts and is not waited for
                words, stdout=subprocess.PIPE, stderr=said, close_fds=False
            )
        except OSError as error:
            raise CommandError(f"{complaint}: {error.strerror}") from error
        assert process.stdout is not None, "it was asked for"
        with process.stdout:
            try:
                async for line in of_descriptor(process.stdout.fileno()):
                    yield line
                if process.wait():  # it has closed its output: it is at its end
                    said.seek(0)
                    why = said.read(1000).decode("utf-8", "replace").strip()
                    raise CommandError(f"{complaint}: {why}")
            finally:
                process.kill()
                process.wait()


async def of_descriptor(fileno: int) -> AsyncIterator[str]:
    """Yield the lines of a file descriptor without their line ends.

    Bytes that are no UTF-8 pass through as surrogates; a byte order mark at the start is dropped.

    Raises:
        CommandError: a line is longer than `MAX_LINE` bytes, or the descriptor cannot be read.
    """
    kept = b""
    first = True
    while True:
        while b"\n" not in kept:
            chunk = await _read(fileno)
            kept += chunk
            if not chunk:
                break
            if len(kept) > MAX_LINE + CHUNK:
                raise CommandError(f"a line is longer than {MAX_LINE} bytes; split it")
        line, ended, kept = kept.partition(b"\n")
        if not line and not ended:
            return
        yield _text(line.removeprefix(b"\xef\xbb\xbf") if first else line)
        first = False


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")


async def _read(fileno: int) -> bytes:
    """Read the next bytes; b"" at the end of file."""
    with suppress(PermissionError):  # a regular file: epoll refuses it, and it has bytes at hand
        await readable(fileno)
    try:
        return os.read(fileno, CHUNK)
    except OSError as error:
        raise CommandError(f"cannot read commands: {error.strerror}") from error


async def parsed(
    lines: AsyncIterator[str],
    names: Collection[str],
    results: Results | None = None,
    source: str = "",
) -> AsyncIterator[Command | CommandError]:
    """Yield the command of each line, or the error of a line that does not parse.

    Args:
        lines: a script.
        names: those of the workers.
        results: those of the lines before, which a line may name by number.
        source: what complaints call the script; "" where a person types.
    """
    results = Results() if results is None else results
    number = 0
    try:
        async for line in lines:
            number += 1
            place = f"{source}:{number}" if source else ""
            try:
                command = read_command(line, names, results, typed=not source)
            except CommandError as error:
                error.place = place
                yield error
            else:
                if command is not None:
                    yield msgspec.structs.replace(command, place=place) if place else command
    except CommandError as error:
        error.place = f"{source}:{number + 1}" if source else ""
        yield error

"""Running other programs beside the tree, without a thread and without waiting for them.

The end of a program is seen through its process descriptor, its output through a pipe; the event
loop watches both, so the tree lives on while somebody edits or pages.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from ssm_cli.commands.results import REDIRECTED, Result
from ssm_cli.commands.text import brief
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.repl.shell.pipeline import Pipeline

OUTPUT_BYTES = 64 * 1024 * 1024  # of what a program may write; one that writes more has failed
CHUNK_BYTES = 65_536
POLL_S = 0.02  # where the system has no process descriptors


async def redirected(pipeline: Pipeline, result: Result) -> Result:
    """A result after its output has gone through a program, or into a file.

    It is a failure where the program fails.

    Raises:
        CommandError: the file cannot be written.
    """
    if result.error or not (pipeline.program or pipeline.file):
        return result
    data = "".join(f"{line}\n" for line in result.lines).encode("utf-8", "surrogateescape")
    if pipeline.program:
        text, code = await filtered(pipeline.program, data)
        lines, failed = tuple(text.splitlines()), ""
        if code:
            failed = f"`{brief(pipeline.program, 200)}` ended with exit code {code}"
        return sent_on(result, lines, failed)
    path = expanded(pipeline.file)
    try:
        if is_kept(path):
            with path.open("ab" if pipeline.append else "wb") as file:
                file.write(data)
        else:
            said, code = await filtered(f"cat > {shlex.quote(str(path))}", data)
            if code:
                raise CommandError(f"cannot write {path}: {said.strip()}")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    count = len(result.lines)
    said = f"{count:,} line{'' if count == 1 else 's'} to {path}"
    return sent_on(result, (said,))


def sent_on(result: Result, lines: tuple[str, ...], failed: str = "") -> Result:
    """Return what is shown of a result that went to a program or a file; `failed` says why not."""
    if not failed:
        return msgspec.structs.replace(result, lines=lines, output=REDIRECTED)
    code, lines = ExitCode.IO_ERROR, (*lines, failed)
    return Result(result.kind, lines, exit_code=code, error=True, output=REDIRECTED)


def expanded(name: str) -> Path:
    """Return the path that a name stands for, which may begin with `~`.

    Raises:
        CommandError: there is no such user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        user = name.partition("/")[0]
        raise CommandError(
            f"`{user}` is no folder of a user; write ./{user} if you mean a file"
        ) from error


def is_kept(path: Path) -> bool:
    """Return whether a path is a file on a disk, or of none: to open anything else may block."""
    try:
        return stat.S_ISREG(path.stat().st_mode) or path.is_dir()
    except FileNotFoundError:
        return True


async def contents(path: Path, most_bytes: int) -> bytes:
    """Return what a file, or whatever else has that name, holds; at most `most_bytes`.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        if is_kept(path):
            with path.open("rb") as file:
                return file.read(most_bytes)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", column=8) from error
    text, code = await filtered(f"cat -- {shlex.quote(str(path))}", b"")
    if code:
        raise CommandError(f"cannot read {path}: {text.strip()}", column=8)
    return text.encode("utf-8", "surrogateescape")[:most_bytes]


async def filtered(program: str, data: bytes) -> tuple[str, int]:
    """What a command of the shell writes when it reads `data`, and its exit code.

    Cancelling it ends the program, and all that it has started.

    Raises:
        CommandError: it cannot be started, or writes more than `OUTPUT_BYTES`.
    """
    try:
        with tempfile.TemporaryFile() as source:
            source.write(data)
            source.seek(0)
            process = subprocess.Popen(  # noqa: ASYNC220, S602 - it starts and is not waited for; a shell is what was asked for
                program,
                shell=True,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise CommandError(f"cannot run `{brief(program, 200)}`: {error.strerror}") from error
    assert process.stdout is not None, "it was asked for"
    with process.stdout:
        try:
            output = await _read(process.stdout.fileno())
            if len(output) > OUTPUT_BYTES:
                raise CommandError(
                    f"`{brief(program, 200)}` writes more than {OUTPUT_BYTES >> 20} MiB; let it "
                    f"write to a file"
                )
            code = await ended(process)
        finally:
            _end_group(process)
    return output.decode("utf-8", "backslashreplace"), code


async def interactive(command: Sequence[str], data: bytes | None = None) -> int:
    """Run a program that has the terminal to itself; its exit code.

    Args:
        command: its words.
        data: what it reads; None: the terminal.

    Raises:
        CommandError: it cannot be started.
    """
    with tempfile.TemporaryFile() as source:
        source.write(data or b"")
        source.seek(0)
        try:
            process = subprocess.Popen(command, stdin=None if data is None else source)  # noqa: ASYNC220, S603 - it starts and is not waited for; the user's own program
        except OSError as error:
            raise CommandError(f"cannot run {command[0]}: {error.strerror}") from error
    try:
        return await ended(process)
    finally:
        _end(process)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a program; its exit code."""
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None:  # noqa: ASYNC110 - nothing tells of it there
            await asyncio.sleep(POLL_S)
        return process.wait()
    descriptor = os.pidfd_open(process.pid)
    try:
        await _readable(descriptor)
    finally:
        os.close(descriptor)
    return process.wait()


def editor_of(environ: Mapping[str, str]) -> list[str]:
    """The words of the editor's command: `$VISUAL`, `$EDITOR`, or vi.

    >>> editor_of({"EDITOR": "code -w"})
    ['code', '-w']
    """
    return shlex.split(environ.get("VISUAL") or environ.get("EDITOR") or "vi")


def pager_of(environ: Mapping[str, str]) -> list[str]:
    """The words of the pager's command: `$PAGER`, or less, which ends by itself on little.

    >>> pager_of({})
    ['less', '-FRX']
    """
    return shlex.split(environ.get("PAGER") or "less -FRX")


async def edited(text: str, suffix: str, environ: Mapping[str, str]) -> str | None:
    """The text as the user's editor left it; None if the editor failed.

    Raises:
        CommandError: the editor cannot be started, or what it left cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="ssm-") as folder:
        file = Path(folder, f"edit{suffix}")
        file.write_text(text, encoding="utf-8")  # noqa: ASYNC240 - a small file
        if await interactive([*editor_of(environ), str(file)]):
            return None
        try:
            return file.read_text(encoding="utf-8")  # noqa: ASYNC240 - as above
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read what the editor left: {error}") from error


async def _read(descriptor: int) -> bytes:
    """All that a pipe has to give, or a little more than `OUTPUT_BYTES`."""
    kept = bytearray()
    while len(kept) <= OUTPUT_BYTES:
        await _readable(descriptor)
        chunk = os.read(descriptor, CHUNK_BYTES)
        if not chunk:
            break
        kept += chunk
    return bytes(kept)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that still runs in a session of its own, with all that it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that still runs, as nobody waits for it any longer."""
    if process.poll() is None:
        process.kill()
        process.wait()

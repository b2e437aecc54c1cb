"""Running other programs beside the tree, without a thread and without waiting for them.

The end of a program is seen through its process descriptor, its output through a pipe; the event
loop watches both, so the tree lives on while somebody edits or pages.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import msgspec

from ssm_cli.commands.results import REDIRECTED, Result
from ssm_cli.commands.text import brief
from ssm_cli.errors import CommandError, counted
from ssm_cli.exit_codes import ExitCode
from ssm_cli.private import unwritten, write_private
from ssm_cli.repl.shell.pipeline import Pipeline

NO_NUL = "the name of a file or a program has no NUL character in it"
OUTPUT_BYTES = 64 * 1024 * 1024  # of what a program may write; one that writes more has failed
CHUNK_BYTES = 65_536
STOPPED_S = 0.1  # how often it is looked whether a program that has the terminal was stopped
POLL_S = 0.02  # where the system has no process descriptors
HANDED_S = 10  # that a shell may take to see that its job has stopped
GO_ON = f"""
import os, signal, sys, time
pid, terminal = int(sys.argv[1]), int(sys.argv[2])
end_s = time.monotonic() + {HANDED_S}
print(flush=True)
try:
    while time.monotonic() < end_s and os.tcgetpgrp(terminal) == os.getpgrp():
        time.sleep(0.005)
finally:
    os.kill(pid, signal.SIGCONT)
"""
"""What continues a job that has stopped itself."""


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
            writes = f"{{ cat || exit {ExitCode.IO_ERROR:d}; }} > {shlex.quote(str(path))}"
            said, code = await filtered(writes, data)
            if code == ExitCode.IO_ERROR:
                return sent_on(result, (), f"cannot write {path}: {said.strip()}")
            if code:
                raise CommandError(f"cannot write {path}: {said.strip()}")
    except OSError as error:
        unwritable = unwritten(path, error)
        if isinstance(unwritable, CommandError):
            raise unwritable from error
        return sent_on(result, (), str(unwritable))
    return sent_on(result, (f"{counted(len(result.lines), 'line')} to {path}",))


def sent_on(result: Result, lines: tuple[str, ...], failed: str = "") -> Result:
    """Return what is shown of a result that went to a program or a file; `failed` says why not."""
    if not failed:
        return msgspec.structs.replace(result, lines=lines, output=REDIRECTED)
    code, lines = ExitCode.IO_ERROR, (*lines, failed)
    return Result(result.kind, lines, exit_code=code, error=True, output=REDIRECTED)


def expanded(name: str) -> Path:
    """Return the path that a name stands for, which may begin with `~`.

    Raises:
        CommandError: there is no such user, or no such name can be.
    """
    if "\0" in name:
        raise CommandError(NO_NUL)
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
    if "\0" in program:
        raise CommandError(NO_NUL)
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
            output = await _read(process.stdout.fileno(), program)
            code = await ended(process)
        except BaseException:
            _end_group(process)
            raise
    return output.decode("utf-8", "backslashreplace"), code


async def interactive(command: Sequence[str], data: bytes | None = None) -> int:
    """Run a program that has the terminal to itself; its exit code.

    It is in the foreground, in a process group of its own: Ctrl-C and Ctrl-Z are meant for it.
    Stopped, it stops this process, too, so that the shell has its turn; `fg` continues both.

    Args:
        command: its words.
        data: what it reads; None: the terminal.

    Raises:
        CommandError: it cannot be started.
    """
    with tempfile.TemporaryFile() as source, foreground() as give:
        source.write(data or b"")
        source.seek(0)
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - it starts and is not waited for; the user's own program
                command, stdin=None if data is None else source, process_group=0
            )
        except OSError as error:
            raise CommandError(f"cannot run {command[0]}: {error.strerror}") from error
        give(process.pid)
        ending = asyncio.ensure_future(ended(process))
        try:
            while not (await asyncio.wait({ending}, timeout=STOPPED_S))[0]:
                if _is_stopped(process.pid):
                    give(os.getpgrp())
                    os.kill(0, signal.SIGTSTP)  # without a shell nothing comes of it
                    while not (give(process.pid) or ending.done()):  # noqa: ASYNC110 - nothing tells of it
                        await asyncio.sleep(STOPPED_S)  # continued, but in the background
        finally:
            ending.cancel()
            _end_group(process)
    return process.returncode


@contextmanager
def foreground() -> Iterator[Callable[[int], bool]]:
    """A block in which a process group can be given the terminal; then it is as it was before.

    The function that it yields continues the group, which may have been stopped meanwhile, with the
    modes of the terminal that the group had. It returns False, and does nothing, while the terminal
    is another job's of the shell.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:  # there is none
        yield lambda _: True
        return
    own, at_first = os.getpgrp(), termios.tcgetattr(terminal)
    modes, ours = {own: at_first}, {own}

    def give(group: int) -> bool:
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it is taken from the background
        try:
            if os.tcgetpgrp(terminal) not in ours:
                return False
            ours.add(group)
            if group == own:
                modes[os.tcgetpgrp(terminal)] = termios.tcgetattr(terminal)
                modes[own] = at_first
            os.tcsetpgrp(terminal, group)
            if group in modes:
                termios.tcsetattr(terminal, termios.TCSADRAIN, modes[group])
            if group != own:
                os.killpg(group, signal.SIGCONT)
        except (OSError, termios.error):
            return True  # the group has ended already, or the terminal went away
        finally:
            signal.signal(signal.SIGTTOU, before)
        return True

    try:
        yield give
    finally:
        give(own)
        os.close(terminal)


def in_foreground(stream: TextIO) -> bool | None:
    """Return whether the terminal of a stream is ours, or another job's of the shell now.

    None: there is none, it is not that of this session, or it has gone.
    """
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except OSError:
        return None


def need_shell() -> None:
    """Raise `CommandError` if no shell has started this process as a job of its own."""
    is_job = os.getpgrp() == os.getpid() != os.getsid(0)
    if not (is_job and os.getsid(os.getppid()) == os.getsid(0)):
        raise CommandError(
            "no shell waits behind this prompt; `ssm run TREE --detach` starts a tree without one"
        )


async def hand_back(stream: TextIO) -> None:
    """Give the terminal back to the shell, and go on as a job in the background.

    A shell has its prompt back when its job stops. Who does so is continued by a child as soon as
    the shell has taken the terminal, or after `HANDED_S` seconds.

    Raises:
        OSError: there is no child; nothing was stopped.
    """
    terminal = os.dup(stream.fileno())  # the child's own output is a pipe
    words = [sys.executable, "-I", "-S", "-c", GO_ON, str(os.getpid()), str(terminal)]
    try:
        child = subprocess.Popen(  # noqa: ASYNC220, S603 - it is waited for; this program itself
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[terminal]
        )
    finally:
        os.close(terminal)
    assert child.stdout is not None, "a pipe was asked for"
    with child.stdout as said:
        await readable(said.fileno())  # it has begun: now each moment counts
        if not os.read(said.fileno(), 1):
            raise OSError(errno.ECHILD, f"{sys.executable} does not start")
    os.kill(os.getpid(), signal.SIGSTOP)
    child.wait()


def _is_stopped(pid: int) -> bool:
    """Return whether a child was stopped since this was asked last."""
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a program; its exit code."""
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None:  # noqa: ASYNC110 - nothing tells of it there
            await asyncio.sleep(POLL_S)
        return process.wait()
    descriptor = os.pidfd_open(process.pid)
    try:
        await readable(descriptor)
    finally:
        os.close(descriptor)
    return process.wait()


def words_of(environ: Mapping[str, str], *variables: str, usual: str) -> list[str]:
    """The words of a program's command: of the first variable that says one, or the usual.

    >>> words_of({"EDITOR": "code -w"}, "VISUAL", "EDITOR", usual="vi")
    ['code', '-w']
    >>> words_of({}, "PAGER", usual="less -FRX")
    ['less', '-FRX']
    """
    return shlex.split(next((environ[name] for name in variables if environ.get(name)), usual))


async def edited(text: str, suffix: str, environ: Mapping[str, str]) -> str | None:
    """The text as the user's editor left it; None if the editor failed.

    Raises:
        CommandError: the editor (`$VISUAL`, `$EDITOR`, or vi) cannot be started, or what it left
            cannot be read.
        StorageError: there is no room for the text.
    """
    with tempfile.TemporaryDirectory(prefix="ssm-") as folder:
        file = Path(folder, f"edit{suffix}")
        try:
            write_private(file, text)
        except OSError as error:
            raise unwritten(file, error) from error
        if await interactive([*words_of(environ, "VISUAL", "EDITOR", usual="vi"), str(file)]):
            return None
        try:
            return file.read_text(encoding="utf-8")  # noqa: ASYNC240 - a small file
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read what the editor left: {error}") from error


async def _read(descriptor: int, program: str) -> bytes:
    """All that the pipe of a program has to give.

    Raises:
        CommandError: that is more than `OUTPUT_BYTES`.
    """
    kept = bytearray()
    while len(kept) <= OUTPUT_BYTES:
        await readable(descriptor)
        chunk = os.read(descriptor, CHUNK_BYTES)
        if not chunk:
            return bytes(kept)
        kept += chunk
    most = f"{OUTPUT_BYTES >> 20} MiB"
    raise CommandError(f"`{brief(program, 200)}` writes more than {most}; let it write to a file")


async def readable(descriptor: int) -> None:
    """Wait until a descriptor can be read; raises `PermissionError` for a file on a disk."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program in a process group of its own, with all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

"""Work beside a tree that runs: in a fork of its process, which answers once and is gone.

Theory of operation. What is tried here is what this very process holds: states, code, forks, of
which not all could be written down for a process that begins by `exec`, as those of runs do. A
fork has all of it as it is at this moment, on memory of its own, and the tree does not stand still
for longer than the fork takes. The child keeps nothing that somebody waits for: its sockets and
pipes are closed, its signals have their default handlers, it reads and prints nothing. It ends
with us (`child.end_with`), and is killed at a limit, or as soon as nobody waits for its answer; so
a lock that another thread of the process has held at the fork keeps nobody for ever.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import stat
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ssm_cli.errors import CommandError, SsmError, message_of
from ssm_cli.runtime.runs.child import CHUNK_BYTES, LENGTH_BYTES, end_with, length_of

MOST_BESIDE = 4  # pieces of work at once
MOST_BYTES = 64 * 1024 * 1024  # of an answer
LIMIT_S = 60.0  # that a piece of work may take, whatever its own bounds are
TELL_S = 0.25  # between two words of how far it is
REAP_S = 0.005  # between two looks for the end of a process

Tell = Callable[[str, int, int], None]
"""Told how far a piece of work is: of what so many are done, of how many; 0 if not known."""
Work = Callable[[Tell], Any]


def untold(_of: str, _done: int, _total: int) -> None:
    """Tell nobody how far a piece of work is."""


class WorkBeside:
    """The pieces of work that go on beside a tree.

    Attributes:
        under_way: by the number of its process, what each is called and how far it is.
    """

    def __init__(self) -> None:
        self.under_way: dict[int, tuple[str, str]] = {}

    async def do(self, name: str, work: Work, note: Callable[[str], None] | None = None) -> Any:
        """Do a piece of work in a process beside this one, and return what it returns.

        Cancelling kills the process.

        Args:
            name: what it is called, for others.
            work: called there, with what it tells how far it is; what it returns is pickled.
            note: told here how far it is, in words, some times a second.

        Raises:
            SsmError: as the work has raised it.
            CommandError: too many are under way, no process can be made, or it was killed: by a
                limit, or by something else.
        """
        if len(self.under_way) >= MOST_BESIDE:
            names = ", ".join(name for name, _ in self.under_way.values())
            raise CommandError(f"{MOST_BESIDE} are under way already ({names}); wait for one")
        loop = asyncio.get_running_loop()
        pid, door = forked(work, loop.time)
        self.under_way[pid] = name, ""

        def far(said: str) -> None:
            self.under_way[pid] = name, said
            if note is not None:
                note(said)

        hearing = Hearing(door, loop.create_future(), far)
        loop.add_reader(door, hearing.hear)
        try:
            async with asyncio.timeout(LIMIT_S):
                kind, value = await hearing.answer
        except TimeoutError as error:
            raise CommandError(f"{name} was ended after {LIMIT_S:g} s; ask for less") from error
        finally:
            del self.under_way[pid]
            end(loop, pid, door)
        return answer_of_work(name, kind, value)

    def told(self) -> dict[str, Any]:
        """Return what is under way, as data."""
        ways = self.under_way.items()
        return {"under_way": [{"pid": pid, "what": name, "far": far} for pid, (name, far) in ways]}


def answer_of_work(name: str, kind: str, value: Any) -> Any:
    """Return what a piece of work has returned; raise what it has raised."""
    match kind:
        case "done":
            return value
        case "failed":
            raise value
        case _:
            raise CommandError(f"{name} could not be carried out: {value}")


class Hearing:
    """Reads what a process says: how far it is, and in the end what its work has come to.

    Attributes:
        answer: what that is: a word, and a value.
    """

    def __init__(
        self, door: socket.socket, answer: asyncio.Future[Any], note: Callable[[str], None]
    ) -> None:
        self.answer = answer
        self._door, self._note = door, note
        self._found = bytearray()

    def hear(self) -> None:
        """Read what has come."""
        try:
            data = self._door.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._found += data
        while not self.answer.done() and (message := self._next()) is not None:
            kind, value = pickle.loads(message)  # noqa: S301 - of our own process
            if kind == "far":
                self._note(value)
            else:
                self.answer.set_result((kind, value))
        if not data and not self.answer.done():
            self.answer.set_result(("ended", "its process was ended from outside"))

    def _next(self) -> bytes | None:
        found = self._found
        if len(found) < LENGTH_BYTES or len(found) < LENGTH_BYTES + length_of(found):
            return None
        end = LENGTH_BYTES + length_of(found)
        message = bytes(found[LENGTH_BYTES:end])
        del found[:end]
        return message


def end(loop: asyncio.AbstractEventLoop, pid: int, door: socket.socket) -> None:
    """End a process, whatever it does, and all that it has made."""
    loop.remove_reader(door)
    door.close()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    reap(loop, pid)


def reap(loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """See that a process which was killed has ended; look again until it has."""
    try:
        ended = os.waitpid(pid, os.WNOHANG)[0]
    except ChildProcessError:
        return  # somebody else has seen it
    if not ended and not loop.is_closed():
        loop.call_later(REAP_S, reap, loop, pid)


def forked(work: Work, now_s: Callable[[], float]) -> tuple[int, socket.socket]:
    """Fork this process for a piece of work; return the number of the child, and our door to it.

    Raises:
        CommandError: no process can be made.
    """
    ours, its = socket.socketpair()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside other threads
            pid = os.fork()
        if not pid:
            in_child(its, work, now_s)
    except OSError as error:
        ours.close()
        raise CommandError(f"no process can be made for it: {message_of(error)}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        its.close()
    with suppress(OSError):  # it has done that itself, or has ended
        os.setpgid(pid, pid)
    ours.setblocking(False)
    return pid, ours


def in_child(door: socket.socket, work: Work, now_s: Callable[[], float]) -> NoReturn:
    """Do a piece of work, say what came of it, and end; nothing of the process goes on here."""
    try:
        leave_parent(door)
        answer_with(door, *what_came_of(work, Telling(door, now_s).tell))
    finally:
        os._exit(0)


def leave_parent(door: socket.socket) -> None:
    """Let go of what the process has in common with its parent."""
    gc.freeze()  # nothing of the parent's is collected here
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError, ValueError):  # the C library has some of its own
            signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    for path in [*Path("/dev/fd").iterdir()]:
        if int(path.name) > 2 and int(path.name) != door.fileno():
            close_waited_for(int(path.name))
    end_with(door)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def close_waited_for(number: int) -> None:
    """Close a descriptor if another process may wait for its end: a socket, or a pipe."""
    with suppress(OSError):
        mode = os.fstat(number).st_mode
        if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
            os.close(number)


def what_came_of(work: Work, tell: Tell) -> tuple[str, Any]:
    """Return what came of a piece of work: a word, and a value that can be pickled."""
    try:
        found = "done", work(tell)
    except SsmError as error:
        found = "failed", error
    except BaseException as error:  # noqa: BLE001 - a defect, which is told
        return "defect", "".join(traceback.format_exception(error))[-2000:]
    try:
        if type(pickle.loads(pickle.dumps(found[1]))) is type(found[1]):  # noqa: S301 - our own
            return found
    except Exception as error:  # noqa: BLE001 - whatever pickling raises
        return "failed", CommandError(f"{message_of(found[1])} ({message_of(error)[:200]})")
    return "failed", CommandError(message_of(found[1]))


class Telling:
    """Says how far a piece of work is, some times a second at most."""

    def __init__(self, door: socket.socket, now_s: Callable[[], float]) -> None:
        self._door, self._now_s = door, now_s
        self._next_s = now_s() + TELL_S

    def tell(self, of: str, done: int, total: int) -> None:
        """Say it, if it is time."""
        now_s = self._now_s()
        if now_s >= self._next_s:
            self._next_s = now_s + TELL_S
            answer_with(
                self._door, "far", f"{done:,} of {total:,} {of}" if total else f"{done:,} {of}"
            )


def answer_with(door: socket.socket, kind: str, value: Any) -> None:
    """Send a word and a value to the parent."""
    data = pickle.dumps((kind, value))
    if len(data) > MOST_BYTES:
        why = f"its answer takes {len(data):,} bytes; at most {MOST_BYTES:,} are taken"
        data = pickle.dumps(("failed", CommandError(f"{why}; ask for less")))
    door.sendall(len(data).to_bytes(LENGTH_BYTES, "big") + data)

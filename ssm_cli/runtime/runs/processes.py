"""Blocking functions, each in a process of its own: begun, fed, heard, and ended with its run.

A thread would share the memory, the signals and the locks of the node, and could not be ended. A
process begins by `exec`, so that it has no descriptor, no handler and no memory of the node, and
is killed, with its process group, the moment its run does not count any more.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssm_cli.behaviour.foreign import foreign
from ssm_cli.behaviour.runs import Done, Ended, Failed, RunError, Why
from ssm_cli.errors import message_of
from ssm_cli.runtime.engine.contained import said_by
from ssm_cli.runtime.engine.entries import RunDue
from ssm_cli.runtime.engine.guard import guarded
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside, is_raised_by_code
from ssm_cli.runtime.runs.child import CHUNK_BYTES, DOOR, LENGTH_BYTES, length_of
from ssm_cli.spec.afresh import Modules, in_place
from ssm_cli.spec.importing import OURS, places, sources

MOST_BYTES = 16 * 1024 * 1024  # of the arguments of a run, and of its answer
REAP_S = 0.005  # between two looks for the end of a process
MOST_LOOKS = 20  # for the end of a process that has closed its door, before it is killed
PROGRAM = str(Path(__file__).with_name("child.py"))
Tell = Callable[[RunDue, Ended], None]


class Child:
    """A process that does a run.

    Attributes:
        entry: the run.
        pid: its number, and that of its process group.
        door: our end of the socket to it.
        out: what is still to be written there.
        found: what it has answered so far.
        loop: which tells of what comes.
    """

    __slots__ = ("door", "entry", "found", "loop", "out", "pid")

    def __init__(self, entry: RunDue, pid: int, door: socket.socket, out: bytes) -> None:
        self.entry, self.pid, self.door = entry, pid, door
        self.out, self.found = memoryview(out), bytearray()
        self.loop: Any = None


class Processes:
    """The runs of a node that block."""

    def __init__(self, world: World, tell: Tell) -> None:
        self._world = world
        self._tell = tell
        self._children: dict[int, Child] = {}
        self._gone: dict[int, None] = {}  # killed, and not seen to have ended

    def start(self, entry: RunDue, loop: Any) -> None:
        """Begin a process for it."""
        work = message_for(self._world, entry)
        if isinstance(work, Failed):
            self._tell(entry, work)
            return
        try:
            pid, door = spawn()
        except OSError as error:
            said = f"no process can be made: {message_of(error)}"
            self._tell(entry, failed_for(entry, "raised", type(error).__name__, said))
            return
        child = self._children[entry.number] = Child(entry, pid, door, work)
        self._listen(child, loop)

    def cancel(self, number: int) -> bool:
        """Kill the process of a run; return whether it has one."""
        child = self._children.get(number)
        if child is not None:
            self._end(child, failed_for(child.entry, "cancelled", "", "it was cancelled"))
        return child is not None

    def has_work(self) -> bool:
        """Whether a process goes on, or was not seen to end."""
        return bool(self._children or self._gone)

    def look(self, loop: Any) -> None:
        """Read what processes have answered, and have `loop` tell of what comes."""
        for child in [*self._children.values()]:
            if child.loop is not loop:
                self._hear(child)
                if child.entry.number in self._children:
                    self._deafen(child)
                    self._listen(child, loop)
        self._reap(loop)

    def close(self) -> None:
        """Kill all, and see them end."""
        for number in [*self._children]:
            self.cancel(number)
        for pid in [*self._gone]:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)  # it was killed
            del self._gone[pid]

    def _listen(self, child: Child, loop: Any) -> None:
        child.loop = loop
        loop.add_reader(child.door, self._hear, child)
        if child.out:
            loop.add_writer(child.door, self._say, child)

    def _deafen(self, child: Child) -> None:
        if child.loop is not None and not child.loop.is_closed():
            child.loop.remove_reader(child.door)
            child.loop.remove_writer(child.door)

    def _say(self, child: Child) -> None:
        try:
            child.out = child.out[child.door.send(child.out) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            child.out = child.out[:0]  # it has ended, which is heard
        if not child.out:
            child.loop.remove_writer(child.door)

    def _hear(self, child: Child) -> None:
        """Read what has come; its answer is whole, or it has ended before."""
        try:
            data = child.door.recv(CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        found = child.found
        found += data
        whole = len(found) >= LENGTH_BYTES and len(found) >= LENGTH_BYTES + length_of(found)
        if whole:
            answer = bytes(found[LENGTH_BYTES:])
            self._end(child, end_in(self._world, child.entry, answer))
        elif not data:
            self._deafen(child)
            self._closed(child)
        elif len(found) > LENGTH_BYTES + MOST_BYTES:
            self._end(child, failed_for(child.entry, "unsendable", "", "its answer has no end"))

    def _closed(self, child: Child, looks: int = 0) -> None:
        """See how a process has ended that closed its door; one that goes on is killed."""
        if child.entry.number not in self._children:
            return
        how, pid, status = "closed its door", 0, 0
        with suppress(ChildProcessError):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            how = f"ended with {f'exit code {code}' if code >= 0 else signal.Signals(-code).name}"
            self._kill_group(child)
            child.pid = 0
        elif looks < MOST_LOOKS:
            child.loop.call_later(REAP_S, self._closed, child, looks + 1)
            return
        said = f"its process has {how} before it had answered"
        self._end(child, failed_for(child.entry, "killed", "", said))

    def _end(self, child: Child, ended: Ended) -> None:
        """End a process, whatever it does, and tell what came of its run."""
        if self._children.pop(child.entry.number, None) is None:
            return
        self._deafen(child)
        child.door.close()
        if child.pid:
            self._kill_group(child)
            self._gone[child.pid] = None
            self._reap(child.loop)
        self._tell(child.entry, ended)

    def _kill_group(self, child: Child) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)

    def _reap(self, loop: Any) -> None:
        """See which of those that were killed have ended; look again for the others."""
        for pid in [*self._gone]:
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0]
            except ChildProcessError:
                ended = pid  # somebody else has seen it
            if ended:
                self._gone.pop(pid, None)
        if self._gone and not loop.is_closed():
            loop.call_later(REAP_S, self._reap, loop)


def message_for(world: World, entry: RunDue) -> bytes | Failed:
    """Return what a process is told: what to call, and where to find it; or why it cannot be.

    The modules are those of the worker's code, also where others have taken their place since.
    """
    with in_place(not_in_use(world, entry)):
        return told_to(world, entry)


def not_in_use(world: World, entry: RunDue) -> Modules:
    """Return what the code of a worker is of, or uses, and is not found by its name any more."""
    return {} if world.outside.behind is None else world.outside.behind(entry.cell)


def told_to(world: World, entry: RunDue) -> bytes | Failed:
    """Return what a process is told, in the modules that are found by their names."""
    work = unless_raised(world, entry, "its arguments cannot be pickled", pickled, world, entry)
    if isinstance(work, Failed):
        return work
    if len(work) > MOST_BYTES:
        said = f"its arguments take {len(work):,} bytes; at most {MOST_BYTES:,} can be sent"
        return failed_for(entry, "unsendable", "", said)
    program = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    main_file = str(Path(program).absolute()) if program and b"__main__" in work else ""
    files, texts = (places(), sources()) if OURS.encode() in work else ({}, {})
    message = pickle.dumps((MOST_BYTES, sys.path, main_file, files, texts, work))
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


def pickled(world: World, entry: RunDue) -> bytes:
    """Return what is to be called, in the code of now: a reload may have come while it waited."""
    work = entry.run.function, entry.run.args
    carry = world.outside.carry
    return pickle.dumps(work if carry is None else carry(entry.cell, work))


class Answer(pickle.Unpickler):
    """Reads an answer: to a process the program of the node is a module of another name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or a function by its name."""
        return super().find_class("__main__" if module == "__mp_main__" else module, name)


def spawn() -> tuple[int, socket.socket]:
    """Begin a process of our program: its number, and our end of the socket to it.

    It is a process group of its own, which no Ctrl-C of a terminal reaches; it has the default
    handlers of all signals, `/dev/null` for its input and output, and of the environment what is
    not ours.
    """
    if not sys.executable:
        raise OSError("the program of this Python is not known (sys.executable)")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SSM_")}
    ours, its = socket.socketpair()
    try:
        null = os.devnull, os.O_RDWR, 0
        actions = [
            (os.POSIX_SPAWN_DUP2, its.fileno(), DOOR),
            *((os.POSIX_SPAWN_OPEN, number, *null) for number in range(3)),
        ]
        signals = {*signal.valid_signals()} - {signal.SIGKILL, signal.SIGSTOP}
        pid = os.posix_spawn(
            sys.executable, [sys.executable, "-I", PROGRAM], environment,
            file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=signals,
        )  # fmt: skip
    except BaseException:
        ours.close()
        raise
    finally:
        its.close()
    ours.setblocking(False)
    return pid, ours


def end_in(world: World, entry: RunDue, answer: bytes) -> Ended:
    """Return what an answer of a process says."""
    what = "its answer cannot be read"
    with in_place(not_in_use(world, entry)):
        end: Ended = unless_raised(world, entry, what, told_in, entry, answer)
    return end


def told_in(entry: RunDue, answer: bytes) -> Ended:
    """Return the end of a run that is written in an answer. Raises whatever it pleases."""
    value = Answer(io.BytesIO(answer[1:])).load()
    return Done(entry.run.key, value) if answer[:1] == b"D" else failed_for(entry, *value)


def unless_raised(
    world: World, entry: RunDue, what: str, function: Callable[..., Any], *args: Any
) -> Any:
    """Return what `function(*args)` returns, which asks values how they are sent and read.

    Whatever these raise, a `KeyboardInterrupt` of their own too, is the end of the run: `Failed`.
    """
    cell = entry.cell
    try:
        return guarded(world.guard, cell, cell.step_limit_s(), foreign, function, *args)
    except BaseException as error:
        own = issubclass(type(error), KeyboardInterrupt) and is_raised_by_code(error)
        if is_from_outside(world.guard, error) and not own:
            raise
        said = f"{what}: {said_by(world, cell, error)}"
        return failed_for(entry, "unsendable", type(error).__name__, said)


def failed_for(entry: RunDue, reason: Why, kind: str, said: str) -> Failed:
    """Return the end of a run that has failed."""
    return Failed(entry.run.key, RunError(reason, kind, said[:1000]))

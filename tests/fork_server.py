"""The server behind `tests.program`: it has imported all, and forks a process for each run."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import sys
import termios
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import ssm_cli
from ssm_cli.__main__ import main

MOST_REQUEST_BYTES = 1024 * 1024
STREAMS = {"stdin": "strict", "stdout": "strict", "stderr": "backslashreplace"}


@dataclass(frozen=True)
class Run:
    """A process that goes on, the descriptor that tells its end, and whoever asks for that."""

    pid: int
    ended: int
    asker: socket.socket

    def descriptors(self) -> tuple[int, int]:
        """What is ready once it has ended, or once nobody asks any more."""
        return self.ended, self.asker.fileno()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.ended)
        self.asker.close()


def serve(door: socket.socket) -> list[str] | None:
    """Fork for each request; return its words in the new process, None at the end of the input.

    Tells the id of each and how it ended; kills those whose end nobody wants to know any more.
    """
    runs: dict[int, Run] = {}  # by either descriptor
    poll = select.poll()  # it has no descriptor, which a new process would have as well
    poll.register(sys.stdin, select.POLLIN)
    poll.register(door, select.POLLIN)
    while sys.stdin.fileno() not in (ready := {descriptor for descriptor, _ in poll.poll()}):
        for descriptor in ready:
            if (run := runs.get(descriptor)) is not None:
                for one in run.descriptors():
                    poll.unregister(one)
                    del runs[one]
                tell_end(run, killed=descriptor != run.ended)
        begun = begin(door.accept()[0]) if door.fileno() in ready else None
        if isinstance(begun, Run):
            for one in begun.descriptors():
                poll.register(one, select.POLLIN)
                runs[one] = begun
        elif begun is not None:
            for left in {*runs.values()}:
                left.close()
            door.close()
            return begun
    for left in {*runs.values()}:
        os.kill(left.pid, signal.SIGKILL)
    return None


def begin(asker: socket.socket) -> Run | list[str] | None:
    """Fork for a request; return the new process, and in it the words that it is to become.

    Return None if whoever asked is gone.
    """
    data, streams, _, _ = socket.recv_fds(asker, MOST_REQUEST_BYTES, len(STREAMS))
    pid = os.fork() if data else None
    if pid == 0:
        asker.close()
        return furnish(json.loads(data), streams)
    for stream in streams:
        os.close(stream)
    if pid is None:
        asker.close()
        return None
    with contextlib.suppress(BrokenPipeError):  # whoever asked was killed, and it will be as well
        asker.send(str(pid).encode())
    return Run(pid, os.pidfd_open(pid), asker)


def furnish(request: dict[str, Any], streams: list[int]) -> list[str]:
    """Give this process what a request says that it is to have; return the words of it."""
    env = request["env"]
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    if request["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` and `&` are inherited
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(request["cwd"])
    sys.path[:0] = [request["cwd"], *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    for number, (name, errors) in enumerate(STREAMS.items()):
        mode, lines = "w" if number else "r", 1 if name == "stderr" else -1
        opened = os.fdopen(number, mode, lines, encoding="utf-8", errors=errors, closefd=False)
        setattr(sys, name, opened)
        setattr(sys, f"__{name}__", opened)
    words: list[str] = request["words"]
    return words


def tell_end(run: Run, *, killed: bool) -> None:
    """Tell how a process ended; with `killed`, end it first."""
    if killed:
        os.kill(run.pid, signal.SIGKILL)
    status = os.waitpid(run.pid, 0)[1]
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know
        run.asker.send(str(os.waitstatus_to_exitcode(status)).encode())
    run.close()


def become(words: list[str]) -> None:
    """Be `ssm` with its arguments, or what `python -c` is with code and the code's arguments."""
    if words[0] == "ssm":
        sys.argv = words
        main()
    else:
        sys.argv = ["-c", *words[2:]]
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(sys.modules["__main__"]))  # noqa: S102 - so does Python


def leave(code: int) -> None:
    """End as the interpreter does, but do not take its modules apart: it takes thrice the time.

    What cannot be written is left to the interpreter, which says so.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # it has no public name
    atexit._run_exitfuncs()
    gc.collect()  # what is left open is told
    with contextlib.suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)


def import_all() -> None:
    """Import the whole program, as far as the optional libraries for it are installed."""
    for module in pkgutil.walk_packages(ssm_cli.__path__, "ssm_cli."):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module.name)


if __name__ == "__main__":
    import_all()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as door:
        words = serve(door)
        if words is None:
            shutil.rmtree(Path(door.getsockname()).parent)
    if words is not None:
        try:
            become(words)
        except SystemExit as end:
            if isinstance(end.code, int):
                leave(end.code)
            raise
        leave(0)

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
from pathlib import Path
from types import ModuleType
from typing import Any

import ssm_cli
from ssm_cli.__main__ import main

MOST_REQUEST_BYTES = 1024 * 1024
STREAMS = {"stdin": "strict", "stdout": "strict", "stderr": "backslashreplace"}


def serve(door: socket.socket) -> list[str] | None:
    """Fork for each request; return its words in the new process, None at the end of the input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # they are not waited for
    while sys.stdin.fileno() not in select.select([door, sys.stdin.fileno()], [], [])[0]:
        asker = door.accept()[0]
        if os.fork() == 0:
            door.close()
            return begin(asker)
        asker.close()
    return None


def begin(asker: socket.socket) -> list[str]:
    """Fork once more; wait for the new process and tell its end, and become it there."""
    data, streams, _, _ = socket.recv_fds(asker, MOST_REQUEST_BYTES, len(STREAMS))
    request: dict[str, Any] = json.loads(data)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        tell_end(pid, asker)
        os._exit(0)
    asker.close()
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


def tell_end(pid: int, asker: socket.socket) -> None:
    """Send the id of a process and how it ended; kill it if nobody wants to know any more."""
    ended = os.pidfd_open(pid)
    try:
        asker.send(str(pid).encode())
        is_left = asker.fileno() in select.select([ended, asker.fileno()], [], [])[0]
    except BrokenPipeError:  # whoever asked was killed before
        is_left = True
    if is_left:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(BrokenPipeError):  # nobody does
        asker.send(str(os.waitstatus_to_exitcode(status)).encode())


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

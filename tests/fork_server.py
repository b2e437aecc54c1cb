"""The server behind `tests.program`: it has imported all, and forks a process for each run."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys

import ssm_cli
from ssm_cli.__main__ import main

MOST_REQUEST_BYTES = 1024 * 1024
STREAMS = {"stdin": "strict", "stdout": "strict", "stderr": "backslashreplace"}
APART = ("ssm_cli.cluster", "ssm_cli.http.serving", "ssm_cli.__main__")


def serve(requests: socket.socket) -> list[str] | None:
    """Fork for each request; return its words in the new process, None once nobody can ask."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # they are not waited for
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, MOST_REQUEST_BYTES, 4)
        if not data:
            return None
        if os.fork() == 0:
            requests.close()
            words, cwd, environ = json.loads(data)
            return begin(words, cwd, environ, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def begin(words: list[str], cwd: str, env: dict[str, str], descriptors: list[int]) -> list[str]:
    """Fork once more; wait for the new process and tell its end, and become it there."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, end = descriptors
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        with socket.socket(fileno=end) as asker:
            asker.send(str(pid).encode())
            status = os.waitpid(pid, 0)[1]
            asker.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(end)
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:0] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    for number, (name, errors) in enumerate(STREAMS.items()):
        mode = "w" if number else "r"
        setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False))
    return words


def import_all() -> None:
    """Import the whole program, but for what needs optional libraries."""
    for module in pkgutil.walk_packages(ssm_cli.__path__, "ssm_cli."):
        if not module.name.startswith(APART):
            importlib.import_module(module.name)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        import_all()
        gc.collect()
        gc.freeze()
        words = serve(requests)
    if words is not None:
        sys.argv = words
        main()

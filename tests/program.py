"""The program `ssm` as a process of its own, without the price of its imports.

Theory of operation. A server that has imported all of it is started with the first run. For each
run it forks a process which becomes the program: folder, environment, streams, signals and the end
of the interpreter are that process's own. What a fork cannot show (which modules a command imports,
what the environment does to the interpreter itself, another umask) is tried with `subprocess`.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from tests import fork_client
from tests.fork_client import forked

ROOT = Path(__file__).parent.parent
CHUNK_BYTES = 65536
Ran = subprocess.CompletedProcess[str]


def ssm(
    *words: str,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    given: str | bytes = "",
    timeout_s: float = 180,
) -> Ran:
    """Run the program with `given` on its standard input; what it printed, read as UTF-8."""
    run = Run(["ssm", *words], cwd, os.environ if env is None else env)
    out, err = run.talk(given.encode() if isinstance(given, str) else given, timeout_s)
    return Ran(words, run.code(), out.decode(errors="surrogateescape"), err.decode())


def python(code: str, *arguments: str, given: str = "", timeout_s: float = 60) -> Ran:
    """Run code as `python -W error -c` does, in the checkout, with all of the program imported."""
    run = Run(["-c", code, *arguments], ROOT, os.environ)
    out, err = run.talk(given.encode(), timeout_s)
    return Ran(arguments, run.code(), out.decode(), err.decode())


class Run:
    """One process of the server: its id, its pipes, and the socket that tells its end.

    With `unread` nobody reads its standard output, from before it begins.
    """

    def __init__(
        self,
        words: list[str],
        cwd: Path | str | None,
        env: Mapping[str, str],
        *,
        unread: bool = False,
    ) -> None:
        theirs_in, self._in = os.pipe()
        self.out, theirs_out = os.pipe()
        if unread:
            os.close(self.out)
            self.out, nothing = os.pipe()
            os.close(nothing)
        self._err, theirs_err = os.pipe()
        theirs = [theirs_in, theirs_out, theirs_err]
        self.pid, self.end = forked(server(), words, str(cwd or Path.cwd()), env, theirs)
        for descriptor in theirs:
            os.close(descriptor)

    def talk(self, given: bytes, timeout_s: float) -> tuple[bytes, bytes]:
        """Write `given`, and read both outputs to their ends; kill it when the time is over."""
        until_s = time.monotonic() + timeout_s
        read: dict[int, bytearray] = {self.out: bytearray(), self._err: bytearray()}
        os.set_blocking(self._in, False)
        with selectors.DefaultSelector() as selector:
            for descriptor in read:
                selector.register(descriptor, selectors.EVENT_READ)
            selector.register(self._in, selectors.EVENT_WRITE)
            while selector.get_map():
                ready = selector.select(until_s - time.monotonic())
                if not ready:
                    os.kill(self.pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired("ssm", timeout_s, *map(bytes, read.values()))
                for key, _ in ready:
                    if key.fd == self._in:
                        given, over = written(key.fd, given)
                    else:
                        chunk = os.read(key.fd, CHUNK_BYTES)
                        read[key.fd] += chunk
                        over = not chunk
                    if over:
                        selector.unregister(key.fd)
                        os.close(key.fd)
        return bytes(read[self.out]), bytes(read[self._err])

    def code(self) -> int:
        """Wait for its end; return its exit code, or the negative number of the signal."""
        with self.end:
            self.end.settimeout(180)
            return int(self.end.recv(32))


def written(descriptor: int, data: bytes) -> tuple[bytes, bool]:
    """Write what has room; return what is left, and whether that was all or nobody reads."""
    try:
        left = data[os.write(descriptor, data[:CHUNK_BYTES]) :] if data else b""
    except BrokenPipeError:
        return b"", True
    return left, not left


def command(name: Literal["ssm", "-c"] = "ssm") -> list[str]:
    """The words that run the program from a shell, or code (`-c`), with arguments behind them.

    Its process stands for the forked one: it hands on SIGINT, SIGTERM and SIGHUP, each once.
    Its end is that one's end, and that one's is its own. It has neither the other's id nor the
    signals of its terminal.
    """
    return [sys.executable, "-I", "-S", fork_client.__file__, server(), name]


@cache
def server() -> str:
    """Start the server, which ends with this process; the path of its socket."""
    door = f"{tempfile.mkdtemp(prefix='ssm-')}/fork"
    life, _kept_open = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(door)
        listener.listen()
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.fork_server", str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stdin=life,
        ).returncode = 0  # nobody waits for it
    os.close(life)
    return door

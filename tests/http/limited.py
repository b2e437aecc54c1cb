"""The real program, headless, with few file descriptors; and what it can be asked from outside."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ssm_cli.http.client.wire import Response, request_bytes
from tests.http.serving import ROOT
from tests.ports import free_ports

DEADLINE_S = 180.0
TOKEN = "admin" * 4
BEARER = {"authorization": f"Bearer {TOKEN}"}


class Program:
    """A tree that runs in a process of its own.

    Attributes:
        port: of its door on TCP.
        path: of its Unix socket.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, path: Path) -> None:
        self.process = process
        self.port = port
        self.path = path

    def connect(self, *, unix: bool = False) -> socket.socket:
        """A connection; as for any client, its attempts may be turned away for a while."""
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        sock.settimeout(DEADLINE_S)
        sock.connect(str(self.path) if unix else ("127.0.0.1", self.port))
        return sock

    def ask(
        self, method: str, target: str, body: bytes = b"", *, unix: bool = True, key: str = ""
    ) -> tuple[int, bytes]:
        """Status and body of a request on a connection of its own."""
        headers = BEARER | ({"idempotency-key": key} if key else {})
        response = Response()
        with closing(self.connect(unix=unix)) as sock:
            sock.sendall(request_bytes(method, target, "127.0.0.1", body, headers))
            while not response.complete:
                data = sock.recv(65_536)
                assert data, "the connection ended before a whole response"
                response.feed(data)
        return response.status, bytes(response.body)

    def memory_bytes(self) -> int:
        """What it holds in memory now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len([*Path(f"/proc/{self.process.pid}/fd").iterdir()])

    def stop(self) -> tuple[int, str]:
        """End it by SIGTERM; its exit code, and what it wrote to standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, said


@contextmanager
def running(
    folder: Path,
    files: int,
    tree: str = "trees/kv.yaml",
    *options: str,
    uvloop: bool = False,
) -> Iterator[Program]:
    """A tree that may have so many file descriptors, up while the block runs."""
    [port] = free_ports(1)
    reading, writing = os.pipe()
    command = [
        sys.executable, "-m", "ssm_cli", "run", tree, "--headless", "--quiet", "--name", "limited",
        "--http", f"127.0.0.1:{port}", "--data", str(folder / "data"), *options,
    ]  # fmt: skip
    (folder / "stubs").mkdir(parents=True)
    if not uvloop:
        (folder / "stubs" / "uvloop.py").write_text("raise ImportError")
    environ = os.environ | {
        "PYTHONPATH": f"{folder / 'stubs'}:{ROOT}", "SSM_TOKEN": TOKEN,
        "SSM_READY_FD": str(writing),
        "XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
    }  # fmt: skip
    process = subprocess.Popen(
        ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command],
        cwd=ROOT, env=environ, text=True, pass_fds=(writing,), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)
    assert os.read(reading, 1) == b"\n", process.communicate(timeout=DEADLINE_S)
    os.close(reading)
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "ssm" / "limited.sock"
    try:
        yield Program(process, port, path)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def need_files(count: int) -> bool:
    """Let this process have so many descriptors; return whether it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < count and (hard == resource.RLIM_INFINITY or hard >= count):
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft == resource.RLIM_INFINITY or soft >= count

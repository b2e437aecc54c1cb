"""A nats-server of our own: found, checked, started, and gone when we are gone.

One for a user and a folder: a lock keeps it from being started twice, and a file beside the lock
says where it listens, so that the next node, and `ssm run`, find it.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import msgspec

from ssm_cli.cluster.jetstream.cluster import OLDEST, version_of
from ssm_cli.cluster.jetstream.wire import INSTALL
from ssm_cli.cluster.ports import ClusterError

READY_S = 10.0
POLL_S = 0.01
PR_SET_PDEATHSIG = 1
CONFIG = """\
server_name: {name}
listen: "127.0.0.1:-1"
ports_file_dir: {ports}
ping_interval: "2s"
ping_max: 2
jetstream {{
  store_dir: {store}
  sync_interval: always
}}
"""


def find_server(environ: Mapping[str, str]) -> str:
    """The program: `$SSM_NATS_SERVER`, else the one on the path, else the one of the wheel.

    Raises:
        ClusterError: there is none, or it is too old.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = environ.get("SSM_NATS_SERVER") or shutil.which("nats-server", path=environ.get("PATH"))
    program = found or (str(beside) if beside.exists() else "")
    if not program:
        raise ClusterError(f"no nats-server was found: {INSTALL}, or set SSM_NATS_SERVER to one")
    try:
        said = subprocess.run(  # noqa: S603 - the program that the user has chosen
            [program, "--version"], capture_output=True, text=True, timeout=READY_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ClusterError(f"{program} does not say its version: {error}") from error
    if version_of(said.strip()) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise ClusterError(f"{program} is {said.strip()}; version {wanted} is needed: {INSTALL}")
    return program


def die_with_parent() -> None:
    """In a new process: be killed when the parent is gone (Linux; elsewhere a stale one is left).

    The parent may be gone already when this runs; then nobody would ever send the signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Embedded:
    """A nats-server on the loopback interface, on a port of its choice.

    Attributes:
        url: where it listens.
        program: what runs.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.url = ""
        self.program = find_server(environ)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    def take(self) -> bool:
        """Become the one who runs it; False where another process does already."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self._folder / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            ClusterError: it ended, or does not come up in time.
        """
        self._spawn()
        for _ in range(int(READY_S / POLL_S)):
            self.url = self._listening()
            if self.url or not self._alive():
                break
            await asyncio.sleep(POLL_S)
        if not self.url:
            self.stop()
            raise ClusterError(f"nats-server did not come up; see {self._folder / 'server.log'}")
        self._tell()

    def _spawn(self) -> None:
        ports = self._folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        config = self._folder / "server.conf"
        text = CONFIG.format(
            name=f"ssm-{os.getpid()}", ports=_quoted(ports), store=_quoted(self._folder / "store")
        )
        config.write_text(text, encoding="utf-8")
        with (self._folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program that was looked at above
                [self.program, "--config", str(config)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - we have one thread, so it is safe
                start_new_session=True,  # a Ctrl-C at the terminal is ours; the server ends last
            )  # fmt: skip

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _listening(self) -> str:
        for file in (self._folder / "ports").glob("*.ports"):
            urls = msgspec.json.decode(file.read_bytes() or b"{}").get("nats", ())
            if urls:
                return str(urls[0])
        return ""

    def _tell(self) -> None:
        (self._folder / "url").write_text(self.url, encoding="utf-8")

    def stop(self) -> None:
        """End it, and let go of the folder."""
        if self._process is not None:
            (self._folder / "url").unlink(missing_ok=True)
            self._process.terminate()
            try:
                self._process.wait(READY_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def running_server(folder: Path) -> str:
    """Return the URL of the running server of a folder; "" if none runs.

    The lock decides: the system releases it with its process, while the file may be stale.
    """
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
    except BlockingIOError:
        pass
    except OSError:
        return ""
    try:
        return (folder / "url").read_text(encoding="utf-8")
    except OSError:
        return ""


def _quoted(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()

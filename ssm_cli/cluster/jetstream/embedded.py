"""A nats-server of our own: found, checked, started, and gone when we are gone.

One for a user and a folder: a lock keeps it from being started twice, and a file beside the lock
says where it listens, so that the next node, and `ssm run`, find it. Every program of the computer
can reach its port; so it wants a password, which that file has, for its owner alone. There is one
for each role.

Port, passwords and store stay what they were. Whoever runs the server may end: it comes back where
it was, run by the same node once it is there again, or by another one at once (`keep`).
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import msgspec

from ssm_cli.cluster.jetstream.cluster import OLDEST, version_of
from ssm_cli.cluster.jetstream.wire import INSTALL, Access
from ssm_cli.cluster.ports import ClusterError
from ssm_cli.cluster.protocol.roles import ClusterRole, inbox, permissions
from ssm_cli.errors import SsmError
from ssm_cli.private import open_private, read_secret, unwritten, write_private

READY_S = 10.0
POLL_S = 0.01
SAME_S = 5.0  # how long its port of before is waited for, where another program has it
SAME_POLL_S = 0.1
KEEP_S, LONGEST_KEEP_S = 0.5, 8.0  # between two looks whether it runs, and two tries to start it
GREET_S, HUNG_TIMES = 2.0, 5  # a server says who it is at once; as often without, and it hangs
PORTS = range(20_000, 30_000)  # no connection takes one of these by itself, while nobody listens
PR_SET_PDEATHSIG = 1
SECRET_BYTES = 32  # of each password
TOLD = "server.json"  # where it listens, and the password of each role
CONFIG = """\
server_name: ssm
listen: "127.0.0.1:{port}"
ports_file_dir: {ports}
ping_interval: "2s"
ping_max: 2
jetstream {{
  store_dir: {store}
  sync_interval: always
}}
authorization {{
  users: {users}
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
        program: what runs.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.program = find_server(environ)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._lock: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of its process; 0 where it is not ours."""
        return 0 if self._process is None else self._process.pid

    def take(self) -> bool:
        """Become the one who runs it; False where another process does already.

        Raises:
            StorageError, CommandError: its folder or the lock cannot be made.
        """
        with _written_in(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.fdopen(open_private(self._folder / "lock", os.O_RDWR | os.O_CREAT), "rb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    async def start(self) -> None:
        """Start it where it was before, and wait until it listens.

        Raises:
            ClusterError: it ended, or does not come up in time.
            CommandError: others could have read the passwords, or written them.
            StorageError, CommandError: a file of it cannot be written; it does not run.
        """
        try:
            with _written_in(self._folder):
                await self._start()
        except SsmError:
            self.stop()
            raise

    async def _start(self) -> None:
        told = _told(self._folder)
        passwords = {
            role: told.get(role) or secrets.token_urlsafe(SECRET_BYTES) for role in ClusterRole
        }
        self._spawn(passwords, await _port(told.get("url", "")))
        url = ""
        for _ in range(int(READY_S / POLL_S)):
            url = self._listening()
            if url or not self._alive():
                break
            await asyncio.sleep(POLL_S)
        if not url:
            raise ClusterError(f"nats-server did not come up; see {self._folder / 'server.log'}")
        if told and told.get("url", url) != url:
            _complain(
                f"another program listens at {told['url']}, where the cluster was; it is at {url} "
                "now: start nodes and trees again that were there"
            )
        self._url = url
        text = msgspec.json.encode({"url": url, **passwords}).decode()
        write_private(self._folder / TOLD, text)

    async def keep(self) -> None:
        """Start it whenever nobody runs it, or ours has ended or hangs; until cancelled."""
        pause_s, silent = KEEP_S, 0
        while True:
            await asyncio.sleep(pause_s)
            silent = 0 if not self._alive() or await _greets(self._url) else silent + 1
            if self._process is not None and silent >= HUNG_TIMES:
                _complain(f"the nats-server at {self._url} hangs, and is started again")
                self._process.kill()
                self._process.wait()
            try:
                if self._alive() or not (self._lock is not None or self.take()):
                    continue
                await self.start()
                pause_s = KEEP_S
            except SsmError as error:
                _complain(str(error))
                pause_s = min(2 * pause_s, LONGEST_KEEP_S)

    def _spawn(self, passwords: Mapping[ClusterRole, str], port: int) -> None:
        ports = self._folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(mode=0o700)
        (self._folder / "store").mkdir(mode=0o700, exist_ok=True)
        (self._folder / "store").chmod(0o700)
        config, flags = self._folder / "server.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        text = CONFIG.format(
            port=port, ports=_quoted(ports), store=_quoted(self._folder / "store"),
            users=_users(passwords),
        )  # fmt: skip
        write_private(config, text)
        with os.fdopen(open_private(self._folder / "server.log", flags), "wb") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - that was looked at above
                    [self.program, "--config", str(config)],
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - we have one thread, so it is safe
                    start_new_session=True,  # a Ctrl-C is ours; the server ends last
                )  # fmt: skip
            except OSError as error:
                raise ClusterError(f"{self.program} does not start: {error.strerror}") from error

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _listening(self) -> str:
        for file in (self._folder / "ports").glob("*.ports"):
            urls = msgspec.json.decode(file.read_bytes() or b"{}").get("nats", ())
            if urls:
                return str(urls[0])
        return ""

    def stop(self) -> None:
        """End it, and let go of the folder."""
        if self._process is not None:
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


@contextmanager
def _written_in(folder: Path) -> Iterator[None]:
    """Raise what says which file cannot be written, where the system raises that of one of it."""
    try:
        yield
    except OSError as error:
        raise unwritten(error.filename or folder, error) from error


def running_server(folder: Path, role: ClusterRole) -> Access | None:
    """Return the access of a role to the running server of a folder; None if none runs.

    The lock decides: the system releases it with its process, while the file may be stale.

    Raises:
        CommandError: others could have read the passwords, or written them.
    """
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        pass
    except OSError:
        return None
    told = _told(folder)
    if role not in told:
        return None
    return Access(told["url"], user=role, password=told[role], inbox=inbox(role))


def _told(folder: Path) -> dict[str, str]:
    """Return what the file beside the lock says; empty where there is none, or half of one."""
    file = folder / TOLD
    try:
        return msgspec.json.decode(read_secret(file), type=dict[str, str]) if file.exists() else {}
    except msgspec.MsgspecError:
        return {}


async def _port(url: str) -> int:
    """Return the port of a URL, waited for if another program has it; else one that is free."""
    before = urlsplit(url).port
    for _ in range(int(SAME_S / SAME_POLL_S) if before else 0):
        if _is_free(before or 0):
            return before or 0
        await asyncio.sleep(SAME_POLL_S)
    return next(filter(_is_free, (secrets.choice(PORTS) for _ in PORTS)))


async def _greets(url: str) -> bool:
    """Return whether a server says who it is, as it does to each that connects."""
    place = urlsplit(url)
    try:
        async with asyncio.timeout(GREET_S):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            try:
                return bool(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _complain(what: str) -> None:
    sys.stderr.write(f"ssm: {what}\n")
    sys.stderr.flush()


def _users(passwords: Mapping[ClusterRole, str]) -> str:
    """Return the users of the server's configuration; JSON is a form of its syntax."""
    users = [
        {
            "user": role,
            "password": password,
            "permissions": permissions(role)._asdict(),
        }
        for role, password in passwords.items()
    ]
    return msgspec.json.encode(users).decode()


def _quoted(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()

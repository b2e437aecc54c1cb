"""A process that hosts a subtree, as its agent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from ssm_cli.cluster.owner.host import LINE_BYTES, Job, Told
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Time
from ssm_cli.cluster.protocol.limits import STARTED_S
from ssm_cli.cluster.protocol.messages import FENCED, MOVED, STOPPED

LOOK_S = 1.0  # between two looks whether a start is over
POLL_S = 0.005  # between two looks for the end of a process that has closed its socket
MOST_LOOKS = 2_000  # ... before it is killed


class Hosting(Protocol):
    """What an agent asks of the process of a subtree."""

    job: Job
    page: LeasePage
    started: asyncio.Future[Told]
    ended: asyncio.Future[Told]

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def stop(self) -> None:
        """Ask it to end in order."""
        ...

    def hand_on(self) -> None:
        """Ask it to end in order, and its parent to go on elsewhere."""
        ...

    def kill(self, word: str = "", detail: str = "") -> None:
        """End it now; `word` is told as the reason, "" for what its process ends with."""
        ...

    def is_hung(self) -> bool:
        """Return whether somebody else has stopped its process."""
        ...

    def freeze(self) -> None:
        """Stop its process where it stands."""
        ...

    def thaw(self) -> None:
        """Have its process go on."""
        ...


async def begun(child: Hosting, time: Time) -> Told:
    """Wait until it serves or has ended; end it where it does neither in `STARTED_S`.

    Time in which its lease is over, and it stands still, does not count.
    """
    spent_s = 0.0
    while not child.started.done():
        await asyncio.wait([child.started], timeout=LOOK_S)
        spent_s += LOOK_S if time.now_s() < child.page.until_s else 0.0
        if spent_s >= STARTED_S and not child.started.done():
            child.kill("noconnection", f"it does not serve after {STARTED_S:g} s")
            await child.ended
    return (child.ended if child.ended.done() else child.started).result()


class HostProcess(Protocol):
    """A child process of the agent."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        ...


Begin = Callable[[list[int]], Awaitable[HostProcess]]
"""Begins the process of a subtree with these descriptors, or raises `OSError`."""


async def execute_host(numbers: list[int]) -> HostProcess:
    """Begin the process of a subtree as a program, which loads its code.

    Raises:
        OSError: there can be no more processes.
    """
    return subprocess.Popen(  # noqa: S603, ASYNC220 - this program itself, and nobody waits for it
        [sys.executable, "-m", "ssm_cli.cluster.owner.host", *map(str, numbers)],
        pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
    )  # fmt: skip


class Child:
    """One process.

    Args:
        begin: makes it.

    Attributes:
        job: what it hosts.
        page: the memory that it shares with its agent.
        started: done once it serves, or with what it said instead.
        ended: done once the process is gone.
    """

    def __init__(self, job: Job, page: LeasePage, begin: Begin = execute_host) -> None:
        self.job = job
        self.page = page
        self._killed: Told | None = None
        self._frozen = self._stopped = self._hung = False
        self._process: HostProcess | None = None
        self._early: Told | None = None
        self._asked: dict[int, str] = {}  # by the exit code of one that is deaf yet
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[Told] = loop.create_future()
        self.ended: asyncio.Future[Told] = loop.create_future()
        self._task = asyncio.ensure_future(self._live(begin))

    @property
    def pid(self) -> int:
        """Its process id; 0 while it is being made."""
        return 0 if self._process is None else self._process.pid

    async def _live(self, begin: Begin) -> None:
        """Make the process, and follow it until its end."""
        try:
            ours, process = await self._made(begin)
        except OSError as error:
            last = Told("ended", "no_node", f"no process can be made: {error.strerror}")
        else:
            last = await self._follow(ours, process)
        last = self._killed or self._early or last
        if not self.started.done():
            self.started.set_result(last)
        self.ended.set_result(last)

    async def _made(self, begin: Begin) -> tuple[socket.socket, HostProcess]:
        """Make the process; return our end of the socket to it, too."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = process = await begin([theirs.fileno(), self.page.fileno()])
        except OSError:
            ours.close()
            raise
        if self._early is not None:
            self.kill()
        elif self._frozen:
            self._signal(signal.SIGSTOP)
        return ours, process

    async def _follow(self, ours: socket.socket, process: HostProcess) -> Told:
        """Hand over the job, listen to what becomes of it, and wait for the end of the process."""
        reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES)
        last = Told("ended")
        try:
            writer.write(msgspec.json.encode(self.job) + b"\n")
            while line := await reader.readline():
                last = msgspec.json.decode(line, type=Told)
                if last.event == "started":
                    self.started.set_result(last)
        except (ConnectionError, ValueError, msgspec.MsgspecError):
            pass  # it died while it spoke, or spoke without end; the exit code says how
        code = await self._reaped(process)
        writer.close()
        if last.event == "ended" and last.reason:
            return last
        if code in self._asked:
            return Told("ended", self._asked[code], "it had not begun to serve")
        return Told("ended", "killed" if code < 0 else "crash", f"exit code {code}")

    async def _reaped(self, process: HostProcess) -> int:
        looks = 0
        while (code := process.poll()) is None:
            looks += 1
            if looks == MOST_LOOKS:
                self.kill()
            await asyncio.sleep(POLL_S)
        return code

    def is_hung(self) -> bool:
        """Return whether somebody else has stopped its process: it hangs, for all we know."""
        if self._process is None:
            return False
        states = os.WSTOPPED | os.WCONTINUED | os.WNOHANG
        try:
            while (seen := os.waitid(os.P_PID, self._process.pid, states)) is not None:
                self._stopped = seen.si_code == os.CLD_STOPPED
        except ChildProcessError:
            return False  # it has ended
        ours = self._frozen or self.page.stopped
        self._hung = self._stopped and (self._hung or not ours)
        return self._hung

    def freeze(self) -> None:
        """Stop its process where it stands, or as soon as it is made; a call into C, too."""
        if sys.platform != "linux":  # elsewhere it would be left behind, stopped, if we were gone
            self.kill(FENCED, "the lease was not renewed")
            return
        self.is_hung()  # it may have been stopped already, by somebody else
        self._frozen = True
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have its process go on."""
        self._frozen = False
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end in order."""
        self._signal(signal.SIGTERM, STOPPED)

    def hand_on(self) -> None:
        """Ask it to end in order, and its parent to go on elsewhere."""
        self._signal(signal.SIGUSR1, MOVED)

    def kill(self, word: str = "", detail: str = "") -> None:
        """End it now; `word` is told as the reason, "" for what its process ends with."""
        if word and self._killed is None:
            self._killed = Told("ended", word, detail)
        self._signal(signal.SIGKILL, "killed")

    def _signal(self, number: signal.Signals, early: str = "") -> None:
        """Send a signal; where there is no process yet that can obey, it is ended, for a reason."""
        if self._process is not None:
            if self._process.poll() is None:
                if early in (STOPPED, MOVED):
                    self._asked[-number] = early
                os.kill(self._process.pid, number)
        elif early and self._early is None:
            self._early = Told("ended", early, "it was only about to be started")

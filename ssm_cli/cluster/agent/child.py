"""A process that hosts a subtree, as its agent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Protocol

import msgspec

from ssm_cli.cluster.owner.host import Job, Told
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.protocol.messages import FENCED

REAP_S = 10.0  # how long an ending process may take once it has closed its socket
POLL_S = 0.005


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


class Child:
    """One process.

    Attributes:
        job: what it hosts.
        page: the memory that it shares with its agent.
        started: done once it serves, or with what it said instead.
        ended: done once the process is gone.
    """

    def __init__(self, job: Job, page: LeasePage) -> None:
        self.job = job
        self.page = page
        self._killed: Told | None = None
        self._frozen = self._stopped = self._hung = False
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[Told] = loop.create_future()
        self.ended: asyncio.Future[Told] = loop.create_future()
        ours, theirs = socket.socketpair()
        numbers = [theirs.fileno(), page.fileno()]
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "ssm_cli.cluster.owner.host", *map(str, numbers)],
            pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
        )  # fmt: skip
        theirs.close()
        self._task = asyncio.ensure_future(self._follow(ours))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def _follow(self, ours: socket.socket) -> None:
        """Hand over the job, listen to what becomes of it, and wait for the end of the process."""
        reader, writer = await asyncio.open_connection(sock=ours)
        last = Told("ended")
        try:
            writer.write(msgspec.json.encode(self.job) + b"\n")
            while line := await reader.readline():
                last = msgspec.json.decode(line, type=Told)
                if last.event == "started":
                    self.started.set_result(last)
        except (ConnectionError, msgspec.MsgspecError):
            pass  # it died while it spoke; the exit code says how
        code = await self._reaped()
        writer.close()
        if last.event != "ended" or not last.reason:
            last = Told("ended", "killed" if code < 0 else "crash", f"exit code {code}")
        last = self._killed or last
        if not self.started.done():
            self.started.set_result(last)
        self.ended.set_result(last)

    async def _reaped(self) -> int:
        for _ in range(int(REAP_S / POLL_S)):
            if self._process.poll() is not None:
                break
            await asyncio.sleep(POLL_S)
        else:
            self.kill()
        return self._process.wait()

    def is_hung(self) -> bool:
        """Return whether somebody else has stopped its process: it hangs, for all we know."""
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
        """Stop its process where it stands; a call into C is stopped, too."""
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
        self._signal(signal.SIGTERM)

    def hand_on(self) -> None:
        """Ask it to end in order, and its parent to go on elsewhere."""
        self._signal(signal.SIGUSR1)

    def kill(self, word: str = "", detail: str = "") -> None:
        """End it now; `word` is told as the reason, "" for what its process ends with."""
        if word and self._killed is None:
            self._killed = Told("ended", word, detail)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, number)

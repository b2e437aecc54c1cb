"""A process that hosts a subtree, as its agent sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import msgspec

from ssm_cli.cluster.owner.host import Job, Told

REAP_S = 10.0  # how long an ending process may take once it has closed its socket
POLL_S = 0.005


class Child:
    """One process.

    Attributes:
        job: what it hosts.
        started: done once it serves, or with what it said instead.
        ended: done once the process is gone.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[Told] = loop.create_future()
        self.ended: asyncio.Future[Told] = loop.create_future()
        ours, theirs = socket.socketpair()
        number = theirs.fileno()
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "ssm_cli.cluster.owner.host", str(number)],
            pass_fds=[number], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
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

    def stop(self) -> None:
        """Ask it to end in order."""
        self._signal(signal.SIGTERM)

    def hand_on(self) -> None:
        """Ask it to end in order, and its parent to go on elsewhere."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it now."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, number)

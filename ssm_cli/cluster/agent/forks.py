"""The agent's end of its fork server, which makes the processes of subtrees; for Linux.

A process that is forked there has the agent as its parent, since that is a subreaper. So is it of
what a subtree leaves behind, whose ends it has to see.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Collection

from ssm_cli.cluster.agent.child import HostProcess, execute_host
from ssm_cli.cluster.owner.forking import NUMBER_BYTES

PR_SET_CHILD_SUBREAPER = 36
LOAD_S = 30.0  # how long the first answer of a fork server may take, which loads its code
ANSWER_S = 5.0  # ... and each later one


class Forked:
    """A process that was forked for us.

    Attributes:
        pid: its number.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._code = 0  # SIGCHLD is ignored; nobody knows, as with `subprocess`
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


class Forks:
    """The fork server of a node; the next one is started where it has ended or hangs.

    Args:
        others: the numbers of other children of this process, which somebody else waits for.
    """

    def __init__(self, others: Callable[[], Collection[int]] = tuple) -> None:
        self._others = others
        self._server: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None
        self._ours: weakref.WeakValueDictionary[int, HostProcess] = weakref.WeakValueDictionary()
        self._turn = asyncio.Lock()
        self._loaded = False

    def open(self) -> None:
        """Start it, and become the parent of what it forks."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._bury)
        self._spawn()

    def close(self) -> None:
        """End it; what it has forked runs on."""
        if self._door is not None:
            self._door.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._server = self._door = None
        self._loaded = False

    async def begin(self, numbers: list[int]) -> HostProcess:
        """Begin the process of a subtree, with these descriptors; its parent are we.

        Raises:
            OSError: there can be no more processes.
        """
        async with self._turn:
            pid = await self._ask(numbers)
            process = Forked(pid) if pid else await execute_host(numbers)
            self._ours[process.pid] = process
        self._bury()
        return process

    def _spawn(self) -> socket.socket:
        self.close()
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.setblocking(False)
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", "ssm_cli.cluster.owner.forking", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
            )  # fmt: skip
        self._ours[self._server.pid] = self._server
        return self._door

    async def _ask(self, numbers: list[int]) -> int:
        """Return the number of a new process; 0 where the fork server has ended or hangs."""
        lives = self._server is not None and self._server.poll() is None
        door = self._door if self._door is not None and lives else self._spawn()
        answer = b""
        try:
            async with asyncio.timeout(ANSWER_S if self._loaded else LOAD_S):
                socket.send_fds(door, [b"+"], numbers)
                answer = await asyncio.get_running_loop().sock_recv(door, NUMBER_BYTES)
        except (TimeoutError, OSError):
            pass  # the process is begun in the other way; one that it has made finds no job
        finally:
            self._loaded = bool(answer)
            if not answer:
                self.close()
        pid = int.from_bytes(answer, sys.byteorder, signed=True)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def _bury(self) -> None:
        """See the ends of processes that subtrees have left behind: nobody else does."""
        while not self._turn.locked():  # a new process of ours may not be known yet
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in self._others():
                return
            ours = self._ours.pop(found.si_pid, None)
            if ours is None:
                os.waitpid(found.si_pid, 0)
            else:
                ours.poll()

"""The program `ssm` on a pseudo-terminal, as `pexpect` has it: a fork of `tests.program`."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no type stubs of its own
import ptyprocess  # type: ignore[import-untyped]  # as above

from tests.fork_client import forked
from tests.program import server


def on_terminal(
    *words: str,
    cwd: Path | str,
    env: Mapping[str, str],
    size: tuple[int, int] = (24, 80),
    encoding: str | None = None,
    timeout_s: float = 60,
) -> pexpect.spawn:
    """Begin the program as the leader of a session of its own, on a terminal of `size`."""
    ours, theirs = pty.openpty()
    os.set_inheritable(ours, False)
    pid, end = forked(server(), ["ssm", *words], str(cwd), env, [theirs] * 3, terminal=True)
    os.close(theirs)
    child = pexpect.spawn(None, timeout=timeout_s, encoding=encoding, dimensions=size)
    child.ptyproc = _Forked(pid, ours, end)
    child.ptyproc.setwinsize(*size)
    child.pid, child.child_fd = pid, ours
    child.closed = child.terminated = False
    child.delaybeforesend = None
    return child


class _Forked(ptyprocess.PtyProcess):  # type: ignore[misc]  # it is not typed
    """A process that is the child of another: a socket tells its end."""

    closed: bool
    terminated: bool
    exitstatus: int | None
    signalstatus: int | None

    def __init__(self, pid: int, descriptor: int, end: socket.socket) -> None:
        super().__init__(pid, descriptor)
        self._end = end

    def isalive(self) -> bool:
        return not self._ended(0)

    def wait(self) -> int | None:
        self._ended(None)
        return self.exitstatus

    def close(self, force: bool = True) -> None:
        """Hang up; kill what does not end at that."""
        if not self.closed:
            self.fileobj.close()
            if not self._ended(0.3):
                with contextlib.suppress(
                    ProcessLookupError
                ):  # it has ended, and that is to be told
                    os.kill(self.pid, signal.SIGKILL)
                self._ended(None)
            self._end.close()
            self.closed = True

    def _ended(self, within_s: float | None) -> bool:
        if self.terminated:
            return True
        self._end.settimeout(within_s)
        try:
            code = int(self._end.recv(32))
        except (BlockingIOError, TimeoutError):
            return False
        self.exitstatus, self.signalstatus = (code, None) if code >= 0 else (None, -code)
        self.terminated = True
        return True

"""The tree's end of the link process: a socket, orders out, frames in."""

from __future__ import annotations

import select
import socket
import subprocess
import sys

from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import FrameDecoder, Open, Order, framed
from ssm_cli.runtime.clock import Clock

MARGIN_S = 10.0  # how much longer than its own limits the link is waited for
LONGEST_S = 3600.0  # of one wait


class LinkProcess:
    """A process beside this one, on the other end of a socket."""

    def __init__(self, access: Access, tree: str, clock: Clock) -> None:
        self._access = access
        self._tree = tree
        self._clock = clock
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = FrameDecoder()

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number = theirs.fileno()
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-m", "ssm_cli.cluster.link.process", str(number)],
            pass_fds=[number], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
        )  # fmt: skip
        theirs.close()
        self._socket, self._frames = ours, FrameDecoder()
        self._send(Open(self._tree, self._access))
        return ours

    def _send(self, order: Order) -> None:
        data = memoryview(framed(order))
        while data and self._socket is not None:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                select.select([], [self._socket], [], MARGIN_S)
            except OSError:
                return  # it has died; `poll` sees to it

    def _wait(self, seconds: float) -> None:
        if self._socket is None:
            self._clock.sleep_s(seconds)
        else:
            select.select([self._socket], [], [], min(seconds, LONGEST_S))

    def fileno(self) -> int:
        """Return the file descriptor of the socket."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Close the socket; the process ends then."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(MARGIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

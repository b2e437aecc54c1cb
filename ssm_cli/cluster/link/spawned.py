"""The tree's end of the link process: a socket, orders out, frames in, and its life and death.

Nothing here waits for the other end: what the socket does not take is kept, with a bound. A process
that says nothing for `HUNG_S` seconds of looking hangs, and is ended as one that has died. The next
one comes after a pause, which doubles while they do not live for long.
"""

from __future__ import annotations

import math
import selectors
import socket
import subprocess
import sys

import msgspec

from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.link.frames import Claim, FrameDecoder, News, Open, Order, framed
from ssm_cli.runtime.clock import Clock

READ_BYTES = 65_536
MARGIN_S = 10.0  # how much longer than its own limits the link is waited for
LONGEST_S = 3600.0  # of one wait
LOOK_S = 1.0  # between two looks; a longer time without one proves nothing
HUNG_S = 10.0  # the link says something each second
PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0  # before the next process; one that lived longer is forgiven
MOST_UNSENT_BYTES = 64 * 1024 * 1024  # that a process has not read yet


class LinkProcess:
    """A process beside this one, on the other end of a socket; one after the other.

    Attributes:
        life: counts the processes.
        again_s: when the next one is due, where one has died.
    """

    def __init__(self, access: Access, tree: str, claim: Claim, clock: Clock) -> None:
        self._access = access
        self._tree = tree
        self._claim = claim
        self._clock = clock
        self._socket: socket.socket | None = None
        self._ready: selectors.BaseSelector | None = None
        self._before: selectors.BaseSelector | None = None  # open, so that its number is not reused
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = FrameDecoder()
        self._unsent = bytearray()
        self._looked_s = self._silent_s = 0.0
        self._begun_s, self._pause_s = 0.0, PAUSE_S
        self.again_s = math.inf
        self.life = 0

    @property
    def lives(self) -> bool:
        """Whether there is a process, as far as is known."""
        return self._socket is not None

    def spawn(self, died: dict[str, float]) -> None:
        """Start the next process, with its first order; `died` as in that."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number = theirs.fileno()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", "ssm_cli.cluster.link.process", str(number)],
                pass_fds=[number], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ready = selectors.DefaultSelector()
        ready.register(ours, selectors.EVENT_READ)
        self._frames, self._unsent = FrameDecoder(), bytearray()
        self._begun_s = self._looked_s = self._clock.now_s()
        self._silent_s = 0.0
        self.again_s = math.inf
        self.life += 1
        self._let_go()
        self._ready, self._socket = ready, ours
        self.send(Open(self._tree, self._access, self._claim, died))

    def claimed(self) -> None:
        """Note that we are the parent: a later process takes that over from nobody."""
        self._claim = msgspec.structs.replace(self._claim, takeover=False)

    def send(self, order: Order) -> bool:
        """Send an order, now or once the process reads; False where that cannot be."""
        if self._socket is None or len(self._unsent) >= MOST_UNSENT_BYTES:
            return False
        self._unsent += framed(order)
        self._flush()
        return True

    def _flush(self) -> None:
        """Hand over what waits, as far as the socket takes it; it is watched for the rest."""
        if self._socket is None or self._ready is None:
            return
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(memoryview(self._unsent)[:READ_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # it has died; reading finds out
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if self._ready.get_key(self._socket).events != wanted:
            self._ready.modify(self._socket, wanted)

    def received(self) -> list[News] | None:
        """Return what has come; None where the process has died, or hangs."""
        if self._socket is None:
            return None
        found: list[News] = []
        self._flush()
        try:
            while data := self._socket.recv(READ_BYTES):
                self._silent_s = 0.0
                found += [news for news in self._frames.feed(data) if isinstance(news, News)]
        except BlockingIOError:
            now_s = self._clock.now_s()
            self._silent_s += min(LOOK_S, now_s - self._looked_s)
            self._looked_s = now_s
            return found if found or not self.hangs() else None
        except (OSError, ValueError, msgspec.MsgspecError):
            pass  # what it says is not of this protocol, or it is gone
        return found or None  # what came before its end counts; the next look finds the end

    def bury(self) -> None:
        """End what is left of a process, and set when the next one is due."""
        before, self._socket = self._socket, None
        self._before, self._ready = self._ready, None
        self._end(0.0)
        self._unsent.clear()
        now_s = self._clock.now_s()
        if now_s - self._begun_s > LONGEST_PAUSE_S:
            self._pause_s = PAUSE_S
        self.again_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if before is not None:
            before.close()

    def _let_go(self) -> None:
        """Close what an event loop may have watched; by now it sees that the number is another."""
        if self._before is not None:
            self._before.close()
            self._before = None

    def _end(self, within_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()  # a stopped one, too
            process.wait()

    def wait(self, seconds: float) -> None:
        """Wait until the process says something, or the next one is due."""
        if self._ready is None:
            self._clock.sleep_s(min(seconds, max(0.0, self.again_s - self._clock.now_s())))
        else:
            self._ready.select(min(seconds, LONGEST_S))

    def hangs(self) -> bool:
        """Return whether it was silent for too long."""
        return self._silent_s >= HUNG_S

    def kill(self) -> None:
        """Kill the process, as somebody else may; it is noticed."""
        if self._process is not None:
            self._process.kill()

    def due_s(self) -> float:
        """Return when to `poll` at the latest: to find a process that hangs, or to start one."""
        if self._socket is not None:
            return self._looked_s + LOOK_S
        return self.again_s

    def fileno(self) -> int:
        """Return the file descriptor to watch for reading: there is news, or room for orders."""
        return -1 if self._ready is None else self._ready.fileno()  # type: ignore[attr-defined]  # that of Linux and macOS has one

    def close(self) -> None:
        """Close the socket; the process ends then."""
        self.again_s = math.inf
        self._let_go()
        if self._socket is not None and self._ready is not None:
            self._flush()
            self._ready.close()
            self._socket.close()
            self._socket = self._ready = None
        self._end(MARGIN_S)

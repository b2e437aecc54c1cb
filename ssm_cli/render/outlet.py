"""The one writer of a session: a terminal, a pipe or a file that is written to without waiting.

Theory of operation. The thread that writes is the tree's thread, and somebody who does not read (a
terminal held by Ctrl-S, a stalled connection, a pipe that nobody empties) must not stop the tree.
So an `Outlet` writes what has room at once, by a description of its own that does not block, and
keeps the rest for later turns of the event loop. What it keeps is bounded: lines that were offered
are dropped beyond that, and it says how many; what was asked for is kept, and whoever asks for more
waits until it is read (`drained`). Frames of a screen come before lines to be dropped: see `Frame`.
A disk that is full is as a reader that does not read; but what was asked for fails there, unless
the outlet is one of reports.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import asyncio

MOST_WAITING_BYTES = 1024 * 1024  # lines that are offered beyond it are dropped
MOST_FRAME_BYTES = 256 * 1024  # of frames that wait; a screen is drawn anew instead
ENOUGH_BYTES = 64 * 1024  # `drained` when no more than that waits
AGAIN_S = (0.001, 0.05)  # how soon it is tried again, at first and at last
UNREAD_S = 2.0  # at the end: somebody who has read nothing for so long is not waited for
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # may pass
MOST_AT_ONCE_BYTES = 512  # to what may block: a poll promises room for that much


class Outlet(io.TextIOBase):
    """A text stream over the descriptor of another one.

    Args:
        stream: a stream with a descriptor; nothing may be left in its buffer.
        reports: it carries no results: what has no room on its disk waits, and may be dropped.

    Attributes:
        waiting: bytes that are kept until they can be written.
        dropped: lines that were dropped since that was said last.
        say_dropped: the line that says so of a number.
    """

    say_dropped: Callable[[int], str]

    def __init__(self, stream: TextIO, *, reports: bool = False) -> None:
        self._given = stream
        self._reports = reports
        self._full = False  # the last write has found no room on the disk
        self._errors = stream.errors or "strict"
        self._send = sender(stream.fileno())
        self._parts: deque[memoryview] = deque()  # to cut off what was written copies nothing
        self._asked = 0  # how many of the bytes that wait were asked for, and not offered
        self._error: OSError | None = None
        self._later: asyncio.TimerHandle | None = None
        self._again_s = AGAIN_S[0]
        self._on_drained: Callable[[], None] | None = None
        self.waiting = 0
        self.dropped = 0
        self.say_dropped = (
            "ssm: {} lines were dropped: nobody read them, or they had no room".format
        )

    # -- a text stream -------------------------------------------------------------------------

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        """The encoding of the stream below."""
        return self._given.encoding

    @property
    def errors(self) -> str:  # type: ignore[override]  # likewise
        """What becomes of what the encoding cannot carry."""
        return self._errors

    def fileno(self) -> int:
        """The descriptor of the stream below."""
        return self._given.fileno()

    def isatty(self) -> bool:
        """Whether a person may be reading."""
        return self._given.isatty()

    def reconfigure(self, *, encoding: str) -> None:
        """Write in another encoding from now on."""
        if isinstance(self._given, io.TextIOWrapper):
            self._given.reconfigure(encoding=encoding)

    def close(self) -> None:
        """Leave the descriptor as it is: it is that of the stream below."""

    def writable(self) -> bool:
        """It is written to."""
        return True

    def write(self, text: str) -> int:
        """Write what was asked for; what has no room is kept.

        Raises:
            OSError: what was written before could not be, as nobody reads any more.
        """
        if self._full and self._reports:
            return self.offer(text)
        count = self._put(text, asked=True)
        if "\n" in text:
            self.flush()
        return count

    def offer(self, text: str) -> int:
        """Write lines that nobody waits for; they are dropped where too much waits.

        Raises:
            OSError: as for `write`.
        """
        if self.waiting > MOST_WAITING_BYTES:
            self.flush()
        if self.waiting > MOST_WAITING_BYTES:
            self.dropped += text.count("\n")
            return len(text)
        return self._put(text, asked=False)

    def _put(self, text: str, *, asked: bool) -> int:
        if self._error is not None:
            raise self._error
        if self.dropped and self.waiting <= ENOUGH_BYTES:
            text = self._said() + text
        data = text.encode(self.encoding, self._errors)
        self._parts.append(memoryview(data))
        self.waiting += len(data)
        if asked:
            self._asked = self.waiting
        return len(text)

    def _said(self) -> str:
        missed, self.dropped = self.dropped, 0
        return f"{self.say_dropped(missed)}\n"

    def flush(self) -> None:
        """Write what has room; the rest is tried again by the event loop, if one runs.

        Raises:
            OSError: nobody reads any more.
        """
        if self._error is not None:
            raise self._error
        while self._parts:
            data = self._parts[0]
            try:
                count = self._send(data)
            except BlockingIOError:
                self._try_later()
                return
            except OSError as error:
                if error.errno not in NO_ROOM or (self._asked and not self._reports):
                    self._fail(error)
                    raise
                self._full, self._asked = True, 0
                self._try_later()
                return
            self._full, self._again_s = False, AGAIN_S[0]
            self.waiting -= count
            self._asked = max(0, self._asked - count)
            if count == len(data):
                self._parts.popleft()
            else:
                self._parts[0] = data[count:]
        if self._on_drained is not None:
            call, self._on_drained = self._on_drained, None
            call()

    def _fail(self, error: OSError) -> None:
        self._error = error
        self._parts.clear()
        self.waiting = self._asked = 0

    def _try_later(self) -> None:
        import asyncio  # noqa: PLC0415 - whoever makes an outlet runs a tree; others import this, too

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # what is written next tries again, and `finish`
            return
        if self._later is None:
            self._later = loop.call_later(self._again_s, self._try_again)
            self._again_s = min(2 * self._again_s, AGAIN_S[1])

    def _try_again(self) -> None:
        self._later = None
        try:
            self.flush()
        except OSError:
            return  # whoever writes next is told

    # -- those who wait, and the end -----------------------------------------------------------

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call something once nothing waits any more."""
        self._on_drained = call

    def forget(self) -> None:
        """Drop all that waits."""
        self._parts.clear()
        self.waiting = self._asked = 0

    async def drained(self) -> None:
        """Wait until most of what was asked for is read.

        Raises:
            OSError: nobody reads any more.
        """
        import asyncio  # noqa: PLC0415 - as above

        self.flush()
        while self._asked > ENOUGH_BYTES:
            await asyncio.sleep(AGAIN_S[1])
            self.flush()

    def finish(self) -> None:
        """Write all that waits, as the end of a program does, once the tree is down.

        What was asked for waits for its reader, but not at a terminal, nor what was only offered.
        What has no room on its disk is dropped.

        Raises:
            OSError: nobody reads any more.
        """
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._error is None and self.dropped:
            self._put(self._said(), asked=False)
        since_s = time.monotonic()
        left = self.waiting
        while self._parts:
            self.flush()
            if self.waiting < left:
                since_s, left = time.monotonic(), self.waiting
            waits = self._asked > 0 and not self.isatty()
            over = time.monotonic() - since_s > UNREAD_S and not waits
            if self._parts and (self._full or over):
                self.forget()
            elif self._parts:
                time.sleep(AGAIN_S[1])


class Through:
    """A text stream over another one; as much of one as a screen needs. Others override `write`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:
        """The encoding of the other stream."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write to the other stream."""
        return self._stream.write(text)

    def flush(self) -> None:
        """Let go of what is held back."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person may be reading."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the other stream."""
        return self._stream.fileno()


class Frame(Through):
    """The frames of a screen.

    Where too much waits in an outlet already, frames are dropped, and the screen is drawn anew once
    there is room.

    Attributes:
        redraw: called then.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.redraw: Callable[[], None] = lambda: None

    def write(self, text: str) -> int:
        """Write a frame, or a part of one."""
        stream = self._stream
        if isinstance(stream, Outlet) and stream.waiting > MOST_FRAME_BYTES:
            stream.forget()
            stream.when_drained(self.redraw)
        return stream.write(text)


def offer(stream: TextIO, text: str) -> None:
    """Write lines that nobody waits for to a stream, which may be an outlet."""
    if isinstance(stream, Outlet):
        stream.offer(text)
    else:
        stream.write(text)


def unread(stream: TextIO) -> int:
    """Return how many bytes wait in a stream for somebody to read; 0 if it is no outlet."""
    return stream.waiting if isinstance(stream, Outlet) else 0


# -- descriptors -----------------------------------------------------------------------------------


def sender(descriptor: int) -> Callable[[memoryview], int]:
    """Return what writes bytes without waiting: how many were written, or `BlockingIOError`.

    The description is shared with other programs, so it is not the one that is made not to block.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return lambda data: os.write(descriptor, data)  # a file has room, or fails
    if stat.S_ISSOCK(mode):
        return lambda data: send_now(descriptor, data)
    if stat.S_ISFIFO(mode) or os.isatty(descriptor):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            number = os.open(f"/dev/fd/{descriptor}", flags)
        except OSError:  # another user's terminal, or nobody reads: a write says so
            return lambda data: write_if_ready(descriptor, data)
        if os.get_blocking(number):  # a system whose /dev/fd duplicates
            os.close(number)
            return lambda data: write_if_ready(descriptor, data)
        return lambda data: os.write(number, data)
    return lambda data: os.write(descriptor, data)


def send_now(descriptor: int, data: memoryview) -> int:
    """Send what has room on a socket, else `BlockingIOError`."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.send(data, socket.MSG_DONTWAIT)


def write_if_ready(descriptor: int, data: memoryview) -> int:
    """Write a little of `data` where a poll says that there is room, else `BlockingIOError`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError
    return os.write(descriptor, data[:MOST_AT_ONCE_BYTES])

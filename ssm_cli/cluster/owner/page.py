"""The page that an agent and the process of a subtree share: how long the lease is good, and more.

The agent renews the lease, so that no user code can keep it from that; the owner reads here until
when it may act, at any moment, without a message. In the other direction stands what the next
renewal bears witness of. Each value is eight bytes and written at once.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref

SIZE_BYTES = 64
UNTIL, JOURNAL, SAVED, STOPPED, ALIVE = range(5)


class LeasePage:
    """Five numbers in memory, which two processes may have.

    Args:
        number: a file descriptor of the page of another process; None for one of our own.
    """

    def __init__(self, number: int | None = None) -> None:
        self._number = -1 if number is None else number
        if number is None:
            with tempfile.TemporaryFile() as file:
                file.truncate(SIZE_BYTES)
                self._number = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._number)
        memory = mmap.mmap(self._number, SIZE_BYTES)
        self._times = memoryview(memory).cast("d")
        self._numbers = memoryview(memory).cast("q")

    def fileno(self) -> int:
        """Return its file descriptor, for another process."""
        return self._number

    @property
    def until_s(self) -> float:
        """Until when the lease is good, on the monotonic clock of this computer."""
        return self._times[UNTIL]

    @until_s.setter
    def until_s(self, until_s: float) -> None:
        self._times[UNTIL] = until_s

    @property
    def alive_s(self) -> float:
        """When its process was last seen to run and be connected, on the same clock."""
        return self._times[ALIVE]

    @alive_s.setter
    def alive_s(self, alive_s: float) -> None:
        self._times[ALIVE] = alive_s

    @property
    def journal(self) -> int:
        """The last sequence of the journal that is known to be durable."""
        return self._numbers[JOURNAL]

    @journal.setter
    def journal(self, sequence: int) -> None:
        self._numbers[JOURNAL] = sequence

    @property
    def saved(self) -> int:
        """The revision of the head of the saved states."""
        return self._numbers[SAVED]

    @saved.setter
    def saved(self, revision: int) -> None:
        self._numbers[SAVED] = revision

    @property
    def stopped(self) -> bool:
        """Whether the owner has stopped itself, since the lease was over."""
        return self._numbers[STOPPED] != 0

    @stopped.setter
    def stopped(self, stopped: bool) -> None:
        self._numbers[STOPPED] = int(stopped)

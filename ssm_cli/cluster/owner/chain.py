"""The journal of a subtree as a node's journal: asynchronous appends, one read at the start."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from ssm_cli.cluster.owner import asking
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import Cluster, Journal
from ssm_cli.cluster.protocol import writer
from ssm_cli.cluster.protocol.records import Record, chained, joined
from ssm_cli.errors import Fenced, StorageDamaged, StorageError
from ssm_cli.runtime.durable.ports import Done

Asking = Callable[..., Coroutine[Any, Any, writer.Event]]
GAVE_UP: dict[writer.Word, type[StorageError]] = {
    "fenced": Fenced, "storage": StorageError, "journal_corrupt": StorageDamaged,
}  # fmt: skip


class Chain:
    """The journal of one subtree, run by the pure writer.

    Attributes:
        fenced: why writing has ended; "" while it is possible.
        word: the exit reason that this comes to.
    """

    def __init__(self, cluster: Cluster, journal: Journal, page: LeasePage) -> None:
        self._cluster = cluster
        self._page = page
        self._journal = journal
        self._writer = writer.Writer(0, "")
        self._places: deque[tuple[int, int, int]] = deque()  # sequence, first entry, one behind
        self._entries: dict[int, bytes] = {}
        self._dones: deque[tuple[int, Done]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._size = 0
        self._last = 0
        self._claimed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._idle = asyncio.Event()
        self._idle.set()
        self.fenced = ""
        self.word: writer.Word = "fenced"

    async def open(self, epoch: int, owner: str, witness: int) -> None:
        """Take over the journal, and read all entries.

        Args:
            epoch: ours.
            owner: who we are, for people.
            witness: the sequence that the journal had reached, as far as is known.

        Raises:
            Fenced: a later epoch has begun.
            StorageDamaged: the chain is broken, or ends before the witness.
            StorageError: it cannot be read to its end.
        """
        self._writer = writer.Writer(epoch, owner, witness)
        self._advance(writer.Begin())
        upto = await self._claimed
        chain = [*chained(await asking.read_to(self._journal, upto, self._cluster.time))]
        for sequence, record in chain:
            self._note(sequence, record)
        self._entries.update(joined(record for _, record in chain))
        self._last = self._writer.next - 1
        self._page.journal = upto

    def _note(self, sequence: int, record: Record) -> None:
        self._places.append((sequence, record.first, record.behind))
        self._size += sum(map(len, record.entries))

    # -- the writer ------------------------------------------------------------------------------

    def _advance(self, event: writer.Event) -> None:
        flight = self._writer.flight
        self._writer, commands = writer.step_writer(self._writer, event)
        journal, time = self._journal, self._cluster.time
        for command in commands:
            match command:
                case writer.Append(record):
                    self._spawn(self._ask(asking.ask_append, journal, record, time))
                case writer.ReadTail(again):
                    pause_s = asking.AGAIN_S if again else 0.0
                    self._spawn(self._ask(asking.ask_tail, journal, pause_s, time))
                case writer.Claimed(sequence):
                    self._claimed.set_result(sequence)
                case writer.Written(upto):
                    if flight is not None:
                        self._note(self._writer.sequence, flight)
                    self._page.journal = self._writer.sequence
                    self._tell(upto)
                case writer.GiveUp(reason, word):
                    self._give_up(reason, word)
        self._look_idle()

    async def _ask(self, ask: Asking, *args: Any) -> None:
        self._advance(await ask(*args))

    def _tell(self, upto: int) -> None:
        while self._dones and self._dones[0][0] <= upto:
            self._dones[0][1](None)
            self._dones.popleft()  # last: one that is interrupted is told again

    def _give_up(self, reason: str, word: writer.Word) -> None:
        if self.fenced:
            return
        reason = f"{reason}; {asking.WAY_OUT}" if word == "journal_corrupt" else reason
        self.fenced, self.word = reason, word
        error = GAVE_UP[word](reason)
        if not self._claimed.done():
            self._claimed.set_exception(error)
        while self._dones:
            self._dones.popleft()[1](error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            damaged = isinstance(error, StorageDamaged)
            self._give_up(str(error), "journal_corrupt" if damaged else "storage")
        self._look_idle()

    def _busy(self) -> bool:
        return bool(self._dones)

    def _look_idle(self) -> None:
        if self._busy():
            self._idle.clear()
        else:
            self._idle.set()

    async def settled(self) -> None:
        """Wait until all appends are durable or have failed."""
        await self._idle.wait()

    # -- the port of a node ----------------------------------------------------------------------

    def last(self) -> int:
        """Return the number of the last entry."""
        return self._last

    def first(self) -> int:
        """Return the number of the oldest kept entry."""
        kept = (first for _, first, behind in self._places if behind > first)
        return next(kept, self._last + 1)

    def append(self, number: int, entry: bytes, done: Done) -> None:
        """Append an entry; call `done` once it is acknowledged, or another owner has fenced us."""
        if self.fenced:
            done(GAVE_UP[self.word](self.fenced))
            return
        if number <= self._last:  # given again
            if not self._dones:
                done(None)
            else:
                self._dones.append((number, done))
            return
        self._dones.append((number, done))
        self._last = number
        self._advance(writer.Write(number, entry))

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries after number `after` that existed when the store was opened.

        Raises:
            StorageError: they were released by `forget`.
        """
        if not self._entries and self._last > after:
            raise StorageError("the journal is read when it is opened; open it anew")
        return iter([(n, self._entries[n]) for n in sorted(self._entries) if n > after])

    def forget(self) -> None:
        """Release the entries read at the start; the node has replayed them."""
        self._entries.clear()

    def trim(self, upto: int) -> None:
        """Delete whole records up to that entry; the last record is kept."""
        before = 0
        while len(self._places) > 1 and self._places[0][2] <= upto + 1:
            self._places.popleft()
            before = self._places[0][0]
        for number in [n for n in self._entries if n < self.first()]:
            del self._entries[number]
        if before:
            self._spawn(self._journal.trim(before))

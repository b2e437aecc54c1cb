"""The journal of a subtree as a node's journal: asynchronous appends, one read at the start."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any

from ssm_cli.cluster.ports import Cluster, Conflict, Journal, Unknown
from ssm_cli.cluster.protocol import writer
from ssm_cli.cluster.protocol.records import Record, chained, read_record, written
from ssm_cli.errors import Fenced, StorageError
from ssm_cli.runtime.durable.ports import Done

AGAIN_S = 0.1  # before a stale read, or one without an answer, is tried again


class Chain:
    """The journal of one subtree, run by the pure writer.

    Attributes:
        fenced: why writing has ended; "" while it is possible.
    """

    def __init__(self, cluster: Cluster, journal: Journal) -> None:
        self._cluster = cluster
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

    async def open(self, epoch: int, owner: str) -> None:
        """Take over the journal, and read all entries.

        Raises:
            Fenced: a later epoch has begun.
            StorageDamaged: the chain is broken.
        """
        self._writer = writer.Writer(epoch, owner)
        self._advance(writer.Begin())
        upto = await self._claimed
        found = [place async for place in self._journal.read(0, upto)]
        for sequence, record in chained(found):
            self._note(sequence, record)
            self._entries.update(enumerate(record.entries, record.first))
        self._last = self._writer.next - 1

    def _note(self, sequence: int, record: Record) -> None:
        self._places.append((sequence, record.first, record.next))
        self._size += sum(map(len, record.entries))

    # -- the writer ------------------------------------------------------------------------------

    def _advance(self, event: writer.Event) -> None:
        flight = self._writer.flight
        self._writer, commands = writer.step_writer(self._writer, event)
        for command in commands:
            match command:
                case writer.Append(record):
                    self._spawn(self._append(record))
                case writer.ReadTail(again):
                    self._spawn(self._read_tail(AGAIN_S if again else 0.0))
                case writer.Claimed(sequence):
                    self._claimed.set_result(sequence)
                case writer.Written(upto):
                    assert flight is not None
                    self._note(self._writer.sequence, flight)
                    self._tell(upto)
                case writer.GiveUp(reason):
                    self._give_up(reason)
        self._look_idle()

    async def _append(self, record: Record) -> None:
        done = await self._journal.append(written(record), record.prev)
        if isinstance(done, int):
            self._advance(writer.Acked(done))
        elif isinstance(done, Conflict):
            self._advance(writer.AppendRefused())
        else:
            await self._cluster.time.sleep_s(AGAIN_S)
            self._advance(writer.AppendUnclear())

    async def _read_tail(self, pause_s: float) -> None:
        await self._cluster.time.sleep_s(pause_s)
        tail = await self._journal.tail()
        while isinstance(tail, Unknown):
            await self._cluster.time.sleep_s(AGAIN_S)
            tail = await self._journal.tail()
        sequence, data = tail
        self._advance(writer.TailIs(sequence, None if data is None else read_record(data)))

    def _tell(self, upto: int) -> None:
        while self._dones and self._dones[0][0] <= upto:
            self._dones[0][1](None)
            self._dones.popleft()  # last: one that is interrupted is told again

    def _give_up(self, reason: str) -> None:
        self.fenced = reason
        error = Fenced(reason)
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
            self._give_up(str(error))
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
            done(Fenced(self.fenced))
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

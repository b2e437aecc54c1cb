"""The keeper: writes down what must outlive the process before anybody is told of it.

Theory of operation. An input of a `persist: journal` worker is stepped at once and its state goes
on in memory, but what it does to others (its reply, its effects, its end) is *held*. When the loop
pauses, all that was recorded meanwhile goes to the store as one entry: one sync for many calls.
Once that is durable, what was held happens, in order. If it cannot be written, what was held never
happens: the states go back to what was written last, callers are told, and the tree stops, or
refuses such inputs until it can write again (`on_storage_error`).

An exception from outside may cut a commit at any line. Each step of it is one assignment, and what
is left over stays where the next `commit` finds it: an entry that was made is given to the store
until that has taken it (`Recorded.taken`; a store takes the same entry once), and what was held for
an entry that is written stays in `_due` until it has happened.

Every `snapshot_every` records the states of the workers that have changed are saved beside the
journal (`checkpoints`), so that a recovery steps only what came after.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ssm_cli.behaviour.results import TimeoutAfter
from ssm_cli.errors import Fenced, StorageError
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.runtime.durable.records import (
    Cause,
    How,
    Input,
    Note,
    Record,
    chain_of,
    check_record,
    encode_entry,
)
from ssm_cli.runtime.durable.sessions import Sessions
from ssm_cli.runtime.durable.snapshots import SENT
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import error_detail
from ssm_cli.spec.model import OnStorageError

MOST_BYTES = 512 * 1024  # of inputs and states in one entry, if more than one
MOST_RECORDS = 4096  # in one entry, and behind one that is under way; less with calls that wait
EACH_BYTES = MOST_BYTES // MOST_RECORDS  # that a record, and a call that waits, count for
LATE_SNAPSHOTS = 2  # times `snapshot_every` records, and states are saved before all else

Held = tuple[Pending | None, Callable[..., None], tuple[Any, ...]]


class Accepted(msgspec.Struct, frozen=True):
    """An input that is about to be stepped, as its record will say.

    `timeout` is the time-out of its worker that was under way.
    """

    how: How
    data: bytes
    key: str = ""
    cause: Cause | None = None
    request: str = ""
    timeout: TimeoutAfter | None = None


Before = tuple[Any, TimeoutAfter | None]
"""What a worker was before the first record of it that is not written: its state, its time-out."""

Befores = dict[WorkerCell, Before]

Half = tuple[list[Record], int, int, WorkerCell, Before]
"""An input that is being recorded: the records, how many of them were there and the number of the
last one, its worker, and what that was. A plain tuple: each input makes one."""


class Recorded:
    """What one entry is made of, what waits for it, and, on its way to the store, itself.

    Attributes:
        records: what it says.
        held: what happens once it is written.
        before: what the workers were whose records are in it.
        size: about the bytes of it; as large as an entry may become from `MOST_BYTES` on.
        entry: its bytes, once they are made.
        taken: the store has it; what interrupts that leaves it False, and it is given again.
    """

    __slots__ = ("before", "entry", "held", "records", "size", "taken")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.held: deque[Held] = deque()
        self.before: Befores = {}
        self.size, self.entry, self.taken = 0, b"", False

    def then(self, later: Recorded) -> Recorded:
        """Return both as one."""
        both = Recorded()
        both.records, both.held = self.records + later.records, self.held + later.held
        both.before = {**later.before, **self.before}
        return both


class Turns(NamedTuple):
    """What a keeper has others do: they know it, it does not know them.

    Attributes:
        save: `save(keeper)` writes a slice of a checkpoint, as nothing is being written.
        save_all: `save_all(keeper)` writes a whole one.
        take_back: `take_back(keeper, lost, held, before, error)`: these records were not written.
        bring_back: `bring_back(keeper)`: something can be written again.
    """

    save: Callable[[Keeper], None]
    save_all: Callable[[Keeper], object]
    take_back: Callable[[Keeper, list[Record], deque[Held], Befores, StorageError], None]
    bring_back: Callable[[Keeper], None]


class Keeper:
    """Owns the records of one node.

    Args:
        store: where they go; nobody else writes there.
        world: the node.
        recovered: what was there already.
        turns: who saves states, and takes back what was not written.
        stop: called once when the tree must end as it cannot write.

    Attributes:
        kept: what is known of each durable worker, by id.
        sessions: what calls with a request id came to.
        now: the input that is being stepped.
        half: an input that is recorded, while what it does to others is not held yet.
        sending: how many inputs wait in what is held, to be sent.
        again: inputs that were lost with an entry, and come back; see `rollback`.
        seq, entry, chain: the last record made; the last entry written, and its chain value.
        saving: the checkpoint under way, of `checkpoints`; None if none is.
        waits: the workers for which inputs may be put off.
        has_sent: whether the store has a cell of what is under way; `changes`: those that wait.
        error: why the last entry could not be written; None once one could be.
    """

    def __init__(
        self,
        store: Store,
        world: World,
        recovered: Recovered,
        turns: Turns,
        stop: Callable[[StorageError], None],
    ) -> None:
        self.store, self.world, self.recovered = store, world, recovered
        self.kept: dict[str, Kept] = {}
        self.sessions: Sessions = recovered.sessions
        self.now: Accepted | None = None
        self.seq, self.entry, self.chain = recovered.seq, recovered.entry, recovered.chain
        self.marks, self.head_seq = list(recovered.head.marks), recovered.head.seq
        self.number = recovered.number
        self.saving: Any = None
        self.waits: dict[WorkerCell, None] = {}
        self.has_sent = store.get(SENT) is not None
        self.error: StorageError | None = None
        self.sending = 0
        self.again: list[Input] = []
        self._turns, self._stop, self._at_s = turns, stop, recovered.at_s
        self._next = Recorded()
        self.half: Half | None = None
        self._flight: Recorded | None = None
        self._due: deque[Held] = deque()  # what was held for entries that are written
        self._back = False  # something could be written again, and nobody was told yet
        self.changes: dict[str, bytes | None] = {}

    def at_s(self) -> float:
        """The wall time for a record; it never runs backwards, whatever the clock does."""
        self._at_s = at_s = max(self._at_s, self.world.clock.wall_s())
        return at_s

    def next_number(self) -> int:
        """A number for what is set aside or quarantined."""
        self.number += 1
        return self.number

    # -- recording -----------------------------------------------------------------------------

    def add(self, record: Record, size: int = 0) -> int:
        """Put a record into the next entry; its number. Raises `StorageError`."""
        check_record(record)
        self._next.records.append(record)
        self._next.size += size + EACH_BYTES
        self.seq += 1
        return self.seq

    def dropped(self, worker: str, cause: Cause) -> None:
        """What that record has sent to a worker is told to be dropped: it does not come again."""
        number = last_record(self)
        self.add(Note("", self.at_s(), "dropped", worker, number=number, cause=cause))

    def hold(self, pending: Pending | None, function: Callable[..., None], *args: Any) -> None:
        """Call `function(*args)` once all so far is written; `pending` is told if it never is."""
        made = self._next
        made.held.append((pending, function, args))
        made.size += EACH_BYTES
        self.half = None
        if made.size >= MOST_BYTES:
            self.commit()

    def add_input(
        self, cell: WorkerCell, record: Input, size: int, timeout: TimeoutAfter | None = None
    ) -> int:
        """Put the record of an input that can be written into the next entry; its number.

        The worker still has the state and the time-out that were before it.
        """
        made, records, seq, before = self._next, self._next.records, self.seq, (cell.state, timeout)
        if cell not in made.before:
            made.before[cell] = before
        self.half = records, len(records), seq, cell, before
        records.append(record)
        made.size += size + EACH_BYTES
        self.seq = seq + 1
        return seq + 1

    def remember(self, cell: WorkerCell, timeout: TimeoutAfter | None = None) -> None:
        """The state of a worker is about to change; know what it was, until that is written."""
        if cell not in self._next.before:
            self._next.before[cell] = cell.state, timeout

    def change(self, key: str, data: bytes | None) -> None:
        """Store a cell with the next commit."""
        self.changes[key] = data

    # -- writing -------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether something waits to be written, or for something that is being written."""
        made = self._next.records or self._next.held or self.changes
        return bool(made or self._due or (self._flight and not self._flight.taken))

    def is_writing(self) -> bool:
        """Return whether an entry is under way."""
        return self._flight is not None

    def is_full(self) -> bool:
        """Whether nothing more may be stepped until an entry that is under way is written.

        Much waits behind it, or states must be saved, for which nothing may be under way.
        """
        if self._flight is None:
            return False
        late = LATE_SNAPSHOTS * self.world.root.spec.snapshot_every
        return self._next.size >= MOST_BYTES or bool(self.seq - self.head_seq >= late)

    def commit(self) -> None:
        """Write what was recorded, as one entry; then what was held for it happens.

        Goes on with what an exception from outside has left of the commit before.
        """
        if self.changes:
            self._put(self.changes)
        if self._flight is not None and not self._flight.taken:
            self._send(self._flight)
        if self._due or (self._back and self._flight is None):
            self._written()
        while self._flight is None and (self._next.records or self._next.held):
            made = self._next
            if not made.records:
                self._due, self._next = self._due + made.held, Recorded()
                self._release()
                continue
            first = self.seq - len(made.records) + 1
            made.entry = encode_entry(self.chain, first, made.records)
            self._flight, self._next = made, Recorded()
            self._send(made)

    def _put(self, changes: dict[str, bytes | None]) -> None:
        """Store cells; those that were not stored, or may not have been, are put again."""

        def done(error: StorageError | None) -> None:
            if error is not None:
                self.changes = {**changes, **self.changes}  # with the next commit, then
                self.failed(error)

        try:
            self.changes = {}
            self.store.put(changes, done)
        except BaseException:
            self.changes = {**changes, **self.changes}
            raise

    def _send(self, flight: Recorded) -> None:
        """Give an entry to the store, which tells once it is written, maybe at once."""
        self.store.append(self.entry + 1, flight.entry, partial(self._stored, flight))
        flight.taken = True

    def _stored(self, flight: Recorded, error: StorageError | None) -> None:
        """The entry under way is written, or cannot be; told again, nothing is left to do."""
        if self._flight is not flight:
            return
        if error is not None:
            self._lost(flight, error)
            self.failed(error)
        else:
            chain, held = chain_of(flight.entry), flight.held
            due = self._due + held if self._due else held
            self._back, self.error = self._back or self.error is not None, None
            self.entry, self.chain, self._flight, self._due = self.entry + 1, chain, None, due
            self._written()
        if self.world.outside.wake is not None and not self.world.pumping:
            self.world.outside.wake()

    def _written(self) -> None:
        """An entry is written: what was held for it happens, and states are saved if it is time."""
        self._release()
        world, back = self.world, self._back
        if back:
            self._back = False
            world.report("storage_restored", world.root)
            self._turns.bring_back(self)
        due = self.seq - self.head_seq >= world.root.spec.snapshot_every
        if (due or back) and not (self._next.records or self._flight):
            self._turns.save(self)

    def _release(self) -> None:
        """Have what was held happen, in order; what is interrupted is done again, to its end."""
        held: Held | None = None
        while self._due:
            try:
                held = self._due.popleft()
                held[1](*held[2])
            except BaseException:
                if held is not None:  # each can be repeated
                    held[1](*held[2])
                raise

    def _lost(self, sent: Recorded, error: StorageError) -> None:
        """Take back all that has not been written: states, records, and what was held."""
        lost = sent.then(self._next)
        seq = self.seq - len(lost.records)
        self._flight, self._next = None, Recorded()
        try:
            self._take_back(seq, lost, error)
        except BaseException:
            self._take_back(seq, lost, error)  # it can be repeated
            raise

    def _take_back(self, seq: int, lost: Recorded, error: StorageError) -> None:
        self.seq, self.sending = seq, 0
        self._turns.take_back(self, lost.records, lost.held, lost.before, error)

    def failed(self, error: StorageError) -> None:
        """Say it once, and do what the tree's file says."""
        was, self.error = self.error, error
        fenced = isinstance(error, Fenced)
        if was is not None and not (fenced and not isinstance(was, Fenced)):
            return
        world = self.world
        world.report("storage_failed", world.root, {"error": error_detail(error)})
        if fenced or world.root.spec.on_storage_error is OnStorageError.STOP:
            self._stop(error)

    def finish(self) -> None:
        """The tree is down: write what is left, and save what has changed."""
        if isinstance(self.error, Fenced):
            self._lost(Recorded(), self.error)  # what is another owner's now is not ours to write
            return
        self.commit()
        if self._flight is None and self.error is None:
            self._turns.save_all(self)


def released(keeper: Keeper) -> int:
    """Return the last record all of whose sends have been made; 0 where that is not known."""
    due, made, flight = keeper._due, keeper._next, keeper._flight  # noqa: SLF001 - its own module
    under = 0 if flight is None else len(flight.records)
    return 0 if due else keeper.seq - len(made.records) - under


def told_of(keeper: Keeper) -> Pending:
    """Return what fails if that which is recorded by now cannot be written."""
    told = Pending()
    keeper.hold(told, told.resolve, None)
    return told


def write_through(keeper: Keeper) -> StorageError | None:
    """Write what was recorded; why that could not be, whatever comes before or behind it."""
    told = told_of(keeper)
    keeper.commit()
    return None if told.error is None else keeper.error


def not_written(keeper: Keeper) -> Iterator[tuple[int, Record]]:
    """Return the records that are not known to be written, with their numbers."""
    flight, made = keeper._flight, keeper._next  # noqa: SLF001 - its own module
    records = [*(() if flight is None else flight.records), *made.records]
    return enumerate(records, keeper.seq - len(records) + 1)


def last_record(keeper: Keeper) -> int:
    """Return the number of the last record in the history of the node, as far as is known."""
    history = keeper.world.history
    return keeper.recovered.record if history is None else history.last()


def next_record(keeper: Keeper) -> int:
    """Return the number of the record that is being made; 0 in a node that keeps none."""
    history = keeper.world.history
    return 0 if history is None else history.last() + 1

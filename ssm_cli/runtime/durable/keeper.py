"""The keeper: writes down what must outlive the process before anybody is told of it.

Theory of operation. An input of a `persist: journal` worker is stepped at once and its state goes
on in memory, but what it does to others (its reply, its effects, its end) is *held*. When the loop
pauses, all that was recorded meanwhile goes to the store as one entry: one sync for many calls.
Once that is durable, what was held happens, in order. If it cannot be written, what was held never
happens: the states go back to what was written last, callers are told, and the tree stops, or
refuses such inputs until it can write again (`on_storage_error`).

Every `snapshot_every` records the states of the workers that have changed are saved beside the
journal (`checkpoints`), so that a recovery steps only what came after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.errors import CalleeStopped, Fenced, StorageError
from ssm_cli.runtime.durable import checkpoints
from ssm_cli.runtime.durable.format.records import Input, Note, Record, chain_of, encode_entry
from ssm_cli.runtime.durable.inputs import Accepted
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.recovery.rebuild import Recovered
from ssm_cli.runtime.durable.sessions import Sessions
from ssm_cli.runtime.engine.cell import Status, WorkerCell
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.reports import error_detail
from ssm_cli.spec.model import OnStorageError

MOST_BYTES = 512 * 1024  # of inputs in one entry, if more than one
MOST_RECORDS = 4096  # in one entry

Held = tuple[Pending | None, Callable[..., None], tuple[Any, ...]]


class Flight:
    """An entry on its way to the store, and what waits for it."""

    __slots__ = ("before", "entry", "first", "held", "records")

    def __init__(
        self,
        first: int,
        entry: bytes,
        records: list[Record],
        held: list[Held],
        before: dict[WorkerCell, tuple[int, Any]],
    ) -> None:
        self.first = first
        self.entry = entry
        self.records = records
        self.held = held
        self.before = before


class Keeper:
    """Owns the records of one node.

    Args:
        store: where they go; nobody else writes there.
        core: the node.
        recovered: what was there already.
        stop: called once when the tree must end as it cannot write.

    Attributes:
        kept: what is known of each durable worker, by id.
        sessions: what calls with a request id came to.
        now: the input that is being stepped.
        seq, entry, chain: the last record made; the last entry written, and its chain value.
        error: why the last entry could not be written; None once one could be.
    """

    def __init__(
        self,
        store: Store,
        core: Core,
        recovered: Recovered,
        stop: Callable[[StorageError], None],
    ) -> None:
        self.store = store
        self.core = core
        self.recovered = recovered
        self.kept: dict[str, Kept] = {}
        self.sessions: Sessions = recovered.sessions
        self.now: Accepted | None = None
        self.seq, self.entry, self.chain = recovered.seq, recovered.entry, recovered.chain
        self.marks = list(recovered.head.marks)
        self.head_seq = recovered.head.seq
        self.number = recovered.number
        self.error: StorageError | None = None
        self._stop = stop
        self._at_s = recovered.at_s
        self._records: list[Record] = []
        self._bytes = 0
        self._held: list[Held] = []
        self._before: dict[WorkerCell, tuple[int, Any]] = {}
        self._flight: Flight | None = None
        self._changes: dict[str, bytes | None] = {}

    def at_s(self) -> float:
        """The wall time for a record; it never runs backwards, whatever the clock does."""
        self._at_s = max(self._at_s, self.core.clock.wall_s())
        return self._at_s

    def next_number(self) -> int:
        """A number for what is set aside or quarantined."""
        self.number += 1
        return self.number

    def adopt(self, cell: WorkerCell) -> None:
        """A durable worker is in the tree: give it what is known of it."""
        name = cell.spec.id
        kept = self.kept.get(name)
        if kept is None:
            cell.behaviour = behaviour_of(cell.spec.start)
            kept = Kept(name, cell.spec.options, cell.behaviour, codec_of(cell))
            self.kept[name] = kept
            self.recovered.give(kept)
        cell.more().kept = kept

    # -- recording -----------------------------------------------------------------------------

    def add(self, record: Record, size: int = 0) -> int:
        """Put a record into the entry that will be written next; its number."""
        self._records.append(record)
        self._bytes += size
        self.seq += 1
        return self.seq

    def hold(self, pending: Pending | None, function: Callable[..., None], *args: Any) -> None:
        """Call `function(*args)` once all that is recorded so far is written.

        `pending` is the call that is told if it never is.
        """
        self._held.append((pending, function, args))
        if self._bytes >= MOST_BYTES or len(self._records) >= MOST_RECORDS:
            self.commit()

    def remember(self, cell: WorkerCell) -> None:
        """The state of a worker is about to change; know what it was, until that is written."""
        self._before.setdefault(cell, (cell.starts, cell.state))

    def change(self, key: str, data: bytes | None) -> None:
        """Store a cell with the next commit."""
        self._changes[key] = data

    def note(self, supervisor: str, event: str, child: str, children: tuple[str, ...] = ()) -> None:
        """A supervisor has decided something."""
        self.add(Note(supervisor, self.at_s(), event, child, children))

    # -- writing -------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether something waits to be written, or for something that is being written."""
        return bool(self._records or self._held or self._changes)

    def commit(self) -> None:
        """Write what was recorded, as one entry; then what was held for it happens."""
        if self._changes:
            changes, self._changes = self._changes, {}
            self.store.put(changes, self._put)
        while self._flight is None and (self._records or self._held):
            records, held, before = self._records, self._held, self._before
            self._records, self._held, self._before, self._bytes = [], [], {}, 0
            if not records:
                self._release(held)
                continue
            first = self.seq - len(records) + 1
            entry = encode_entry(self.chain, first, records)
            self._flight = Flight(first, entry, records, held, before)
            self.store.append(self.entry + 1, entry, self._stored)

    def _put(self, error: StorageError | None) -> None:
        if error is not None:
            self.failed(error)

    def _stored(self, error: StorageError | None) -> None:
        """The entry under way is written, or cannot be."""
        flight, self._flight = self._flight, None
        assert flight is not None, "a store tells once of each entry"
        if error is not None:
            self._lost(flight)
            self.failed(error)
            return
        if self.error is not None:
            self.error = None
            self.core.report("storage_restored", self.core.root)
        self.entry += 1
        self.chain = chain_of(flight.entry)
        self._release(flight.held)
        if self.seq - self.head_seq >= self.core.root.spec.snapshot_every and not self._records:
            checkpoints.write(self)
        if self.has_work() and self.core.wake is not None:
            self.core.wake()

    def _release(self, held: list[Held]) -> None:
        for _, function, args in held:
            function(*args)

    def _lost(self, flight: Flight) -> None:
        """Take back all that has not been written: states, records, and what was held."""
        before = {**self._before, **flight.before}
        held = [*flight.held, *self._held]
        lost = [*flight.records, *self._records]
        self._records, self._held, self._before, self._bytes = [], [], {}, 0
        self.seq = flight.first - 1
        self.sessions.forget(self.seq)
        for record in lost:
            kept = None if isinstance(record, Note) else self.kept.get(record.worker)
            if kept is not None:
                kept.resync = True
                if isinstance(record, Input):
                    self.sessions.ended(record.worker, record.request)
        for cell, (starts, state) in before.items():
            if cell.starts == starts and cell.status is Status.RUNNING:
                cell.state = state
        checkpoints.drop_sent(self.core, self.seq)
        for kept in self.kept.values():
            checkpoints.reopen(self.core, kept)
        for pending, _, _ in held:
            if pending is not None:
                pending.fail(CalleeStopped(NOT_WRITTEN, reason="storage"))

    def failed(self, error: StorageError) -> None:
        """Say it once, and do what the tree's file says."""
        first, self.error = self.error is None, error
        if not first:
            return
        core = self.core
        core.report("storage_failed", core.root, {"error": error_detail(error)})
        if isinstance(error, Fenced) or core.root.spec.on_storage_error is OnStorageError.STOP:
            self._stop(error)

    def finish(self) -> None:
        """The tree is down: write what is left, and save what has changed."""
        if self.error is not None and isinstance(self.error, Fenced):
            return
        self.commit()
        if self._flight is None and self.error is None:
            checkpoints.write(self)


NOT_WRITTEN = (
    "the input could not be written, so it does not count and its state is as before; "
    "it is safe to send it again"
)

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

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.errors import Fenced, StorageError
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.rebuild import Recovered, renamed_in
from ssm_cli.runtime.durable.records import (
    Cause,
    How,
    Input,
    Note,
    Record,
    chain_of,
    encode_entry,
)
from ssm_cli.runtime.durable.sessions import Sessions
from ssm_cli.runtime.durable.snapshots import SENT, STATE, pack
from ssm_cli.runtime.durable.unclaimed import DYNAMIC
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.reports import error_detail
from ssm_cli.spec.model import OnStorageError

MOST_BYTES = 512 * 1024  # of inputs and states in one entry, if more than one
MOST_RECORDS = 4096  # in one entry, and behind one that is under way
LATE_SNAPSHOTS = 2  # times `snapshot_every` records, and states are saved before all else

Held = tuple[Pending | None, Callable[..., None], tuple[Any, ...]]


class Accepted(msgspec.Struct, frozen=True):
    """An input that is about to be stepped, as its record will say.

    `timeout_ms` is the time-out of its worker that was under way.
    """

    how: How
    data: bytes
    key: str = ""
    cause: Cause | None = None
    request: str = ""
    timeout_ms: float | None = None


class Before:
    """What a worker was before the first record of it that is not written yet.

    Attributes:
        state: its state.
        timeout_ms: its time-out under way.
    """

    __slots__ = ("state", "timeout_ms")

    def __init__(self, state: Any, timeout_ms: float | None) -> None:
        self.state = state
        self.timeout_ms = timeout_ms


Befores = dict[WorkerCell, Before]


class Flight:
    """An entry on its way to the store, and what waits for it."""

    __slots__ = ("before", "entry", "first", "held", "records")

    def __init__(
        self,
        first: int,
        entry: bytes,
        records: list[Record],
        held: list[Held],
        before: Befores,
    ) -> None:
        self.first = first
        self.entry = entry
        self.records = records
        self.held = held
        self.before = before


class Turns(NamedTuple):
    """What a keeper has others do: they know it, it does not know them.

    Attributes:
        save: `save(keeper)` writes a slice of a checkpoint, as nothing is being written.
        save_all: `save_all(keeper)` writes a whole one.
        take_back: `take_back(keeper, lost, held, before, error)`: these records were not written.
        bring_back: `bring_back(keeper)`: something can be written again.
    """

    save: Callable[[Keeper], None]
    save_all: Callable[[Keeper], None]
    take_back: Callable[[Keeper, list[Record], list[Pending | None], Befores, StorageError], None]
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
        sending: how many inputs wait in what is held, to be sent.
        again: inputs that were lost with an entry, and come back; see `rollback`.
        seq, entry, chain: the last record made; the last entry written, and its chain value.
        saving: the checkpoint under way, of `checkpoints`; None if none is.
        waits: the workers for which inputs may be put off.
        has_sent: whether the store has a cell of what is under way.
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
        self.store = store
        self.world = world
        self.recovered = recovered
        self.kept: dict[str, Kept] = {}
        self.sessions: Sessions = recovered.sessions
        self.now: Accepted | None = None
        self.seq, self.entry, self.chain = recovered.seq, recovered.entry, recovered.chain
        self.marks = list(recovered.head.marks)
        self.head_seq = recovered.head.seq
        self.number = recovered.number
        self.saving: Any = None
        self.waits: dict[WorkerCell, None] = {}
        self.has_sent = store.get(SENT) is not None
        self.error: StorageError | None = None
        self.sending = 0
        self.again: list[Input] = []
        self._turns = turns
        self._stop = stop
        self._at_s = recovered.at_s
        self._records: list[Record] = []
        self._bytes = 0
        self._held: list[Held] = []
        self._before: Befores = {}
        self._flight: Flight | None = None
        self._changes: dict[str, bytes | None] = {}

    def at_s(self) -> float:
        """The wall time for a record; it never runs backwards, whatever the clock does."""
        self._at_s = max(self._at_s, self.world.clock.wall_s())
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
            kept = Kept(
                name,
                cell.spec.options,
                cell.behaviour,
                codec_of(cell),
                renamed_in(self.store, name),
                place=self.recovered.places.get(name, DYNAMIC),
            )
            self.recovered.give(kept)
            self.kept[name] = kept  # last: what is interrupted before is done again
            if kept.dirty and not kept.journals:  # it was journalled when it ran last
                kept.dirty = False
                saved = kept.snapshot(self.at_s(), self.seq, kept.last, (), None)
                self.change(STATE + name, pack(saved))
        kept.waits = self.waits
        cell.behaviour, cell.ensure_extra().kept = kept.behaviour, kept

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

    def remember(self, cell: WorkerCell, timeout_ms: float | None = None) -> None:
        """The state of a worker is about to change; know what it was, until that is written."""
        if cell not in self._before:
            self._before[cell] = Before(cell.state, timeout_ms)

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

    def is_writing(self) -> bool:
        """Return whether an entry is on its way to the store."""
        return self._flight is not None

    def is_full(self) -> bool:
        """Whether nothing more may be stepped until an entry that is under way is written.

        Much waits behind it, or states must be saved, for which nothing may be under way.
        """
        if self._flight is None:
            return False
        if max(len(self._records), len(self._held)) >= MOST_RECORDS or self._bytes >= MOST_BYTES:
            return True
        late = LATE_SNAPSHOTS * self.world.root.spec.snapshot_every
        return bool(self.seq - self.head_seq >= late)

    def commit(self) -> None:
        """Write what was recorded, as one entry; then what was held for it happens."""
        if self._changes:
            changes, self._changes = self._changes, {}
            self.store.put(changes, partial(self._put, changes))
        while self._flight is None and (self._records or self._held):
            records, held, before = self._records, self._held, self._before
            if not records:
                self._held = []
                self._release(held)
                continue
            first = self.seq - len(records) + 1
            entry = encode_entry(self.chain, first, records)
            flight = Flight(first, entry, records, held, before)
            self._flight, self._records, self._held = flight, [], []
            self._before, self._bytes = {}, 0
            self.store.append(self.entry + 1, entry, self._stored)

    def _put(self, changes: Mapping[str, bytes | None], error: StorageError | None) -> None:
        if error is not None:
            self._changes = {**changes, **self._changes}  # with the next commit, then
            self.failed(error)

    def _stored(self, error: StorageError | None) -> None:
        """The entry under way is written, or cannot be."""
        flight, self._flight = self._flight, None
        assert flight is not None, "a store tells once of each entry"
        world = self.world
        if error is not None:
            self._lost(flight, error)
            self.failed(error)
        else:
            again, self.error = self.error is not None, None
            self.entry += 1
            self.chain = chain_of(flight.entry)
            self._release(flight.held)
            if again:
                world.report("storage_restored", world.root)
                self._turns.bring_back(self)
            due = self.seq - self.head_seq >= world.root.spec.snapshot_every
            if (due or again) and not self._records:
                self._turns.save(self)
        wake = world.outside.wake
        if wake is not None and not world.pumping:
            wake()

    def _release(self, held: list[Held]) -> None:
        for _, function, args in held:
            function(*args)

    def _lost(self, flight: Flight | None, error: StorageError) -> None:
        """Take back all that has not been written: states, records, and what was held."""
        records, held, before = self._records, self._held, self._before
        self.seq -= len(records)
        if flight is not None:
            records, held = [*flight.records, *records], [*flight.held, *held]
            before, self.seq = {**before, **flight.before}, flight.first - 1
        self._records, self._held, self._before, self._bytes = [], [], {}, 0
        self.sending = 0
        waiting = [pending for pending, _, _ in held]
        self._turns.take_back(self, records, waiting, before, error)

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
            self._lost(None, self.error)  # what belongs to another owner now is not ours to write
            return
        self.commit()
        if self._flight is None and self.error is None:
            self._turns.save_all(self)

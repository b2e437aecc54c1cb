"""Recovery: from what is stored to what a node begins with.

The saved states are read, and the records behind them are stepped again, in their order, through
the same step. Every entry is checked against the chain; the states and outputs of every 64th
record of a worker, and its last, against the hashes that were taken then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.codec.build import codec_for
from ssm_cli.errors import StorageDamaged
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.life import CHECK_EVERY, Brought, Life, differs
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import (
    Exit,
    Input,
    Note,
    Record,
    chain_of,
    decode_entry,
)
from ssm_cli.runtime.durable.sessions import Sessions
from ssm_cli.runtime.durable.snapshots import (
    ASIDE,
    HEAD,
    INPUT,
    STATE,
    Head,
    Refused,
    Saved,
    Sent,
    unpack,
)
from ssm_cli.runtime.durable.values import Values, digest
from ssm_cli.spec.model import Persist, SupervisorSpec, WorkerSpec, walk

Seen = Callable[[int, Record], None]


def recover(store: Store, tree: SupervisorSpec) -> Recovered:
    """What a node begins with; if a step gives something else than it gave, names the first.

    Raises as `Recovered` does.
    """
    try:
        return Recovered(store, tree)
    except StorageDamaged as error:
        if not differs(error):
            raise
    return Recovered(store, tree, check_every=1)


class Tail:
    """A worker that is none of the tree's file: its records wait until one of its name is there."""

    def __init__(self, worker: str, saved: Saved | None) -> None:
        self.worker = worker
        self.saved = saved
        self.records: list[tuple[int, Record]] = [] if saved is None else [*saved.tail]
        self.changed = False

    def as_saved(self, at_s: float) -> Saved:
        """What is to be saved of it."""
        base = self.saved
        if base is None:
            return Saved(self.worker, "", "", at_s, 0, False, b"", tail=tuple(self.records))
        return Saved(
            base.worker, base.machine, base.version, base.at_s, base.seq, base.has, base.state,
            base.timers, base.timeout_ms, tuple(self.records),
        )  # fmt: skip


class Recovered:
    """What a node begins with.

    Args:
        store: what is stored.
        tree: the tree; its durable workers are stepped, others wait for their name.
        check_every: compare the hashes of every so-many-th record.
        seen: called with each record behind the saved states.

    Raises:
        StorageDamaged: something stored is not what was written, or does not give again what it
            gave.
        StorageError: a newer ssm has written it.
    """

    def __init__(
        self,
        store: Store,
        tree: SupervisorSpec,
        check_every: int = CHECK_EVERY,
        seen: Seen | None = None,
    ) -> None:
        self._store = store
        self._check_every = check_every
        self._specs: dict[str, WorkerSpec] = {}
        self._paths: dict[str, str] = {}
        for path, spec in walk(tree):
            if isinstance(spec, WorkerSpec) and spec.options.persist is not Persist.NONE:
                self._specs[spec.id], self._paths[path] = spec, spec.id
        data = store.get(HEAD)
        self.head = Head() if data is None else unpack(HEAD, data, Head)
        self.seq, self.entry, self.chain = self.head.seq, self.head.entry, self.head.chain
        self.at_s, self.number = self.head.at_s, self.head.number
        self.sessions = Sessions()
        self.sessions.load(store)
        self.records = 0
        self._lives: dict[str, Life] = {}
        self._tails: dict[str, Tail] = {}
        self._sent = {sent.cause: sent for sent in self.head.sent}
        self._crashes = {worker: dict(found) for worker, found in self.head.crashes.items()}
        self._refused = self._quarantine()
        self._read(seen)

    def _quarantine(self) -> dict[str, dict[bytes, int]]:
        found: dict[str, dict[bytes, int]] = {}
        for key in self._store.keys(INPUT):
            refused = unpack(key, self._store.get(key) or b"", Refused)
            found.setdefault(refused.worker, {})[digest(refused.data)] = refused.number
            self.number = max(self.number, refused.number)
        for key in self._store.keys(ASIDE):
            self.number = max(self.number, int(key.rpartition("/")[2]))
        return found

    def _read(self, seen: Seen | None) -> None:
        if self._store.last() < self.head.entry:
            raise StorageDamaged(
                f"the journal ends at entry {self._store.last()}, and the saved states are of "
                f"entry {self.head.entry}: entries are missing"
            )
        for number, entry in self._store.read(self.head.entry):
            if number != self.entry + 1:
                raise StorageDamaged(
                    f"entry {self.entry + 1} of the journal is missing; the next is {number}"
                )
            batch = decode_entry(number, self.chain, entry)
            if batch.first != self.seq + 1:
                raise StorageDamaged(f"record {self.seq + 1} of the journal is missing")
            self.entry, self.chain = number, chain_of(entry)
            self._take(batch.records, seen)
        for life in self._lives.values():
            life.finish()

    def _take(self, records: tuple[Record, ...], seen: Seen | None) -> None:
        lives = self._lives
        seq = self.seq
        for record in records:
            seq += 1
            if seen is not None:
                seen(seq, record)
            if isinstance(record, Note):
                continue
            life = lives.get(record.worker) or self._life(record.worker)
            if type(record) is Input:
                self._note_input(seq, record)
            if life is None:
                self._wait(seq, record)
                continue
            for brought in life.take(seq, record):
                self._bring(brought)
            if type(record) is Exit or (type(record) is Input and record.outcome == "crashed"):
                self._void(record.worker)
        if records:
            self.at_s = max(self.at_s, records[-1].at_s)
        self.records += len(records)
        self.seq = seq

    def _bring(self, brought: Brought) -> None:
        """An input is under way between two workers; only a recorded one will show its arrival."""
        to = brought.to if brought.to in self._specs else self._paths.get(brought.to, "")
        life = self._life(to)
        if life is not None:
            data = life.written(brought.message)
            self._sent[brought.cause] = Sent(brought.cause, to, brought.how, data)

    def _void(self, worker: str) -> None:
        """A life has ended: what that worker wanted to go on with is void."""
        for cause, sent in [*self._sent.items()]:
            if sent.how == "continue" and sent.to == worker:
                del self._sent[cause]

    def _note_input(self, seq: int, record: Input) -> None:
        """What an input means besides what it does to its worker."""
        if record.cause is not None:
            self._sent.pop(record.cause, None)
        if record.request:
            self.sessions.learn(seq, record)
        if record.outcome == "crashed":
            counts = self._crashes.setdefault(record.worker, {})
            key = digest(record.data)
            counts[key] = counts.get(key, 0) + 1

    def _life(self, worker: str) -> Life | None:
        """The life of a journalled worker of the tree's file, begun with its saved state."""
        spec = self._specs.get(worker)
        if spec is None or worker in self._lives or spec.options.persist is not Persist.JOURNAL:
            return self._lives.get(worker)
        return self._begin(worker, spec)

    def _begin(self, worker: str, spec: WorkerSpec) -> Life:
        behaviour = behaviour_of(spec.start)
        wanted = spec.options.codec
        codec = codec_for(
            behaviour.codec if wanted is None else wanted, behaviour.inputs, behaviour.outputs
        )
        saved = saved_of(self._store, worker)
        values = Values(behaviour)
        life = Life(worker, behaviour, codec, values, saved, check_every=self._check_every)
        for seq, record in () if saved is None else saved.tail:
            life.take(seq, record)
        self._lives[worker] = life
        return life

    def _wait(self, seq: int, record: Record) -> None:
        assert not isinstance(record, Note)
        tail = self._tails.get(record.worker)
        if tail is None:
            tail = self._tails[record.worker] = Tail(
                record.worker, saved_of(self._store, record.worker)
            )
        tail.records.append((seq, record))
        tail.changed = True

    def give(self, kept: Kept) -> None:
        """A durable worker is in the tree: tell it what is known of it, once."""
        worker = kept.worker
        kept.refused = self._refused.get(worker, {})
        kept.crashes = self._crashes.get(worker, {})
        life = self._lives.get(worker)
        if life is None:
            tail = self._tails.get(worker)
            saved = saved_of(self._store, worker) if tail is None else tail.as_saved(0.0)
            life = Life(worker, kept.behaviour, kept.codec, kept.values, saved)
            for seq, record in () if saved is None else saved.tail:
                life.take(seq, record)
            life.finish()
        kept.adopt(life)
        for known in (self._refused, self._crashes, self._lives, self._tails):
            known.pop(worker, None)  # now: what is interrupted before is done again

    def lives(self) -> Iterator[Life]:
        """The workers of the tree's file that have a state, with it; before they are given."""
        for worker, spec in self._specs.items():
            life = self._lives.get(worker)
            if life is None and STATE + worker in self._store.keys(STATE + worker):
                life = self._begin(worker, spec)
            if life is not None:
                yield life

    def tails(self, at_s: float) -> Iterator[Saved]:
        """What is to be saved of workers that nobody has asked for; raises `StorageError`."""
        for life in self._lives.values():  # a supervisor that did not start has not asked for its
            if life.touched and life.problem is None:
                yield life.saved(at_s, self.seq)
        for tail in self._tails.values():
            if tail.changed:
                yield tail.as_saved(at_s)

    def tails_saved(self) -> None:
        """It is saved."""
        for life in self._lives.values():
            life.touched = False
        for tail in self._tails.values():
            tail.changed = False

    def unsent(self) -> Iterator[Sent]:
        """What was sent between durable workers, was not served, and has not been taken up."""
        return iter(self._sent.values())

    def take_sent(self) -> list[Sent]:
        """The same, taken up."""
        sent, self._sent = sorted(self._sent.values(), key=lambda one: one.cause), {}
        return sent


def saved_of(store: Store, worker: str) -> Saved | None:
    """The saved state of a worker, if there is one."""
    data = store.get(STATE + worker)
    return None if data is None else unpack(STATE + worker, data, Saved)

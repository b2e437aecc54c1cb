"""Recovery: from what is stored to what a node begins with.

The saved states are read, and the records behind them are stepped again, in their order, through
the same step. Every entry is checked against the chain; the states and outputs of every 64th
record of a worker, and its last, against the hashes that were taken then.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from ssm_cli.behaviour.dispatch import Behaviour, behaviour_of
from ssm_cli.behaviour.partition import JOINT
from ssm_cli.codec.build import codec_for
from ssm_cli.codec.renames import Renames
from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.durable.again import Again, Answered, Taken
from ssm_cli.runtime.durable.checks import CHECK_EVERY, Checks, is_tied
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.life import Brought, Life, taken_in, told
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import (
    Cause,
    Code,
    Input,
    Note,
    Record,
    Repair,
    is_rename,
    number_in,
    number_of,
)
from ssm_cli.runtime.durable.roster import Roster
from ssm_cli.runtime.durable.sessions import Sessions
from ssm_cli.runtime.durable.snapshots import (
    ASIDE,
    INPUT,
    STATE,
    Refused,
    Renamed,
    Saved,
    Sent,
    unpack,
)
from ssm_cli.runtime.durable.stored import (
    Tail,
    batches,
    fill,
    head_of,
    renamed_in,
    saved_of,
    underway_in,
)
from ssm_cli.runtime.durable.unclaimed import claim, code_of, stands
from ssm_cli.runtime.durable.unsent import Unsent
from ssm_cli.runtime.durable.values import Values, digest
from ssm_cli.runtime.engine.guard import AlarmGuard, Guard
from ssm_cli.spec.model import Persist, SupervisorSpec, WorkerSpec


class Seen(Protocol):
    """What is told of the records behind the saved states of their workers."""

    def hear(self, seq: int, record: Record, life: Life | None) -> None:
        """A record comes, and is not done yet; nobody in the tree takes it where `life` is None."""

    def heard(
        self, seq: int, run: Sequence[Input], life: Life, before: Any, answers: Sequence[Answered]
    ) -> None:
        """Plain inputs of a worker were stepped, from record `seq` on.

        Args:
            seq: the number of the first in the journal.
            run: the records.
            life: the worker.
            before: its state before the first.
            answers: the inputs as values, with what they came to.
        """


def recover(store: Store, tree: SupervisorSpec, guard: Guard) -> Recovered:
    """What a node begins with; if a step gives something else than it gave, names the first.

    `guard` cuts steps. Raises as `Recovered` does.
    """
    recovered = Recovered(store, tree, guard=guard)
    if any(trouble.reason == "differs" for trouble in recovered.troubles.values()):
        return Recovered(store, tree, check_every=1, guard=guard)
    return recovered


class Recovered:
    """What a node begins with.

    Args:
        store: what is stored.
        tree: the tree; its durable workers are stepped, others wait for their name.
        check_every: compare the hashes of every so-many-th record.
        seen: is told of each record behind its worker's saved state.
        effects: compare what steps ask for, too.
        guard: what cuts steps at their limits; None for one of its own.
        roster: the durable workers that are looked at; None for those that are to start again.

    Attributes:
        roster, places: the durable workers of the tree; where those are that it starts by itself.
        troubles: why workers cannot go on, by worker; what is stored of them is kept as it is.
        tailed: the records that wait, by their worker; of some there are none yet.
        unsent: what was sent between durable workers, was not served, and was not taken up.

    Raises:
        StorageDamaged: something stored is not what was written.
        StorageError: a newer ssm has written it.
    """

    def __init__(
        self,
        store: Store,
        tree: SupervisorSpec,
        check_every: int = CHECK_EVERY,
        seen: Seen | None = None,
        *,
        effects: bool = False,
        guard: Guard | None = None,
        roster: Roster | None = None,
    ) -> None:
        self._store, self._seen = store, seen
        self._effects, self._check_every = effects, check_every
        self.guard, self.roster = guard or AlarmGuard(SystemClock()), roster or Roster(store, tree)
        self.places, self._specs = self.roster.places, self.roster.specs
        self.head = head_of(store)
        self.seq, self.entry, self.chain = self.head.seq, self.head.entry, self.head.chain
        self.at_s, self.number, self.records = self.head.at_s, self.head.number, 0
        self.record = self.head.record
        self.sessions = Sessions()
        self.sessions.load(store)
        self._lives: dict[str, Life] = {}
        self.tailed: dict[str, Tail] = {}
        self.troubles: dict[str, Unrecovered] = {}
        self.unsent = Unsent((*self.head.sent, *underway_in(store)))
        self._crashes = {worker: dict(found) for worker, found in self.head.crashes.items()}
        self._refused, number = quarantine_in(store)
        self.number = max(self.number, number)
        self._read()

    def _read(self) -> None:
        for worker in self.head.tailed:
            self._life(worker)
        for number, batch, chain in batches(self._store, self.head):
            self.entry, self.chain = number, chain
            self._take(batch.records)
        for life in self._lives.values():
            life.finish()
        for worker in self.roster.unfit.keys() & self._specs.keys():
            life = self._lives.get(worker) or self._begin(worker, self._specs[worker])
            life.trouble = self.roster.unfit[worker]
        self._hold_back()
        self.troubles |= self.roster.unfit
        self._hold_new()

    def _hold_new(self) -> None:
        """Keep new workers from beginning anew that may be old ones of another name."""
        lives = self._lives.items()
        seen = {worker for worker, life in lives if life.latest and not is_rename(life.latest)}
        new = {w: s for w, s in self._specs.items() if w in self.places and w not in seen}
        for worker, trouble in claimed(
            self._store, new, self.places, self.tailed, self.roster.names
        ):
            self.troubles[worker] = trouble
            self.tailed[worker] = Tail(worker, None)
            self._lives.pop(worker, None)

    def _hold_back(self) -> None:
        """Keep all that is stored of workers that cannot go on, for when they can."""
        for worker in [w for w, life in self._lives.items() if life.trouble is not None]:
            self.troubles[worker] = told(self._lives.pop(worker), self._store)
            self.tailed[worker] = Tail(worker, saved_of(self._store, worker))
        if not self.troubles:
            return
        fill(self._store, self.head, [self.tailed[worker] for worker in self.troubles])

    def _take(self, records: tuple[Record, ...]) -> None:
        at, seq = 0, self.seq + 1
        while at < len(records):
            life = None if self._crashes else self._lives.get(getattr(records[at], "worker", ""))
            count = 0 if life is None else straight_on(life, seq, records, at, self._seen)
            if count:
                self.record = max(self.record, *map(number_in, records[at : at + count]))
            else:
                self._one(seq, records[at])
            at, seq = at + (count or 1), seq + (count or 1)
        if records:
            self.at_s = max(self.at_s, records[-1].at_s)
        self.records, self.seq = self.records + len(records), seq - 1

    def _one(self, seq: int, record: Record) -> None:
        self.record = max(self.record, number_in(record))
        if isinstance(record, Note):
            self.unsent.passed(seq, record)
            return
        life = self._lives.get(record.worker) or self._life(record.worker)
        if self._seen is not None:
            self._seen.hear(seq, record, life)
        self._note(seq, record)
        if life is None:
            self._wait(seq, record)
        elif seq > life.since:
            for brought in life.again(seq, record):
                self._bring(brought, number_of(seq, record))

    def _bring(self, brought: Brought, number: int, own: Life | None = None) -> None:
        """An input is under way between two workers; only a recorded one will show its arrival.

        `own` is the life that goes on with it, if it does.
        """
        to = brought.to if own else self.roster.named(brought.to)
        life = own or self._life(to)
        data = None if life is None else taken_in(life, brought, number)
        if data is not None:
            self.unsent.add(Sent(brought.cause, to, brought.how, data))

    def _note(self, seq: int, record: Record) -> None:
        """Note what a record means to others: what is under way, who is answered."""
        self.unsent.read(seq, record)
        if type(record) is Input:
            if record.request:
                self.sessions.learn(seq, record)
            if record.outcome == "crashed":
                counts = self._crashes.setdefault(record.worker, {})
                key = digest(record.data)
                counts[key] = counts.get(key, 0) + 1
            elif record.worker in self._crashes and record.outcome != "dropped":
                self._crashes[record.worker].pop(digest(record.data), None)
        elif type(record) is Repair and is_rename(record):
            self.sessions.moved(record.worker, seq)

    def _life(self, worker: str) -> Life | None:
        """The life of a journalled worker of the tree's file, begun with its saved state."""
        spec = self._specs.get(worker)
        if spec is None or worker in self._lives or spec.options.persist is not Persist.JOURNAL:
            return self._lives.get(worker)
        return self._begin(worker, spec)

    def _begin(self, worker: str, spec: WorkerSpec) -> Life:
        names = renamed_in(self._store, worker)
        behaviour, values = code_in(spec, names, self.places.get(worker, ""))
        saved = saved_of(self._store, worker)
        checks = Checks(values, self._check_every, effects=self._effects)
        life = Life(worker, behaviour, values, saved, checks, again=Again(spec, self.guard))
        self._lives[worker] = life
        if saved is not None:
            self.records += len(saved.tail)
            for seq, record in saved.tail:
                if self._seen is not None:
                    self._seen.hear(seq, record, life)
                self._follow(life, seq, record, saved.arrived)
        return life

    def _follow(
        self, life: Life, seq: int, record: Record, arrived: Collection[Cause] | None = None
    ) -> None:
        """Step what has waited. Of what an older ssm has sent it is known what has `arrived`."""
        self.unsent.passed(seq, record)
        for brought in life.again(seq, record):
            own = life if brought.how == "continue" else None
            if own or (arrived is not None and brought.cause not in arrived):
                self._bring(brought, number_of(seq, record), own)

    def _wait(self, seq: int, record: Record) -> None:
        assert not isinstance(record, Note)
        tail = self.tailed.get(record.worker)
        if tail is None:
            tail = Tail(record.worker, saved_of(self._store, record.worker))
            self.tailed[record.worker] = tail
        tail.add(seq, record)

    def give(self, kept: Kept, spec: WorkerSpec) -> None:
        """A durable worker is in the tree: tell it what is known of it, once."""
        worker = kept.worker
        kept.refused, kept.crashes = self._refused.get(worker, {}), self._crashes.get(worker, {})
        life = self._lives.get(worker)
        old = None if life else unlabelled(self._store, worker, self.tailed, self.roster.names)
        if old is not None:
            self.hold(Tail(worker, None), old)
        if worker in self.troubles:
            kept.trouble = self.troubles[worker]
            return
        if life is None:
            tail = self.tailed.get(worker)
            saved = saved_of(self._store, worker) if tail is None else tail.as_saved(0.0)
            checks, again = Checks(kept.values), Again(spec, self.guard)
            life = Life(worker, kept.behaviour, kept.values, saved, checks, again=again)
            for seq, record in () if saved is None else saved.tail:
                self._follow(life, seq, record)
            life.finish()
            if life.trouble is not None:
                self.troubles[worker] = kept.trouble = told(life, self._store)
                self.tailed[worker] = tail or Tail(worker, saved)
                return
        kept.adopt(life)
        for known in (self._refused, self._crashes, self._lives, self.tailed):
            known.pop(worker, None)  # now: what is interrupted before is done again

    def hold(self, tail: Tail, trouble: Unrecovered) -> None:
        """A worker that ran cannot go on: keep all that is recorded of it, for when it can."""
        self.troubles[tail.worker], self.tailed[tail.worker] = trouble, tail

    def set_aside(self, worker: str, at_s: float) -> Saved | None:
        """What is stored of a worker that cannot go on, as somebody has consented to go on anew."""
        self.troubles.pop(worker, None)
        tail = self.tailed.pop(worker, None)
        return saved_of(self._store, worker) if tail is None else tail.as_saved(at_s)

    def lives(self) -> Iterator[Life]:
        """Yield those that nobody has asked for, and that can go on."""
        yield from self._lives.values()

    def look(self) -> dict[str, Unrecovered]:
        """Read the saved states that no record stands behind, too; what cannot go on."""
        for worker, spec in self._specs.items():
            known = worker in self._lives or worker in self.troubles
            if not known and self._store.get(STATE + worker) is not None:
                self._begin(worker, spec).finish()
        self._hold_back()
        return self.troubles

    def tails(self, at_s: float) -> Iterator[Saved]:
        """What is to be saved of workers that nobody has asked for; raises `StorageError`."""
        for life in self._lives.values():  # a supervisor that did not start has not asked for its
            if life.latest is not None:
                yield life.saved(at_s, self.seq)
        for tail in self.tailed.values():
            if tail.changed:
                yield tail.as_saved(at_s)

    def tails_saved(self) -> None:
        """It is saved."""
        for life in self._lives.values():
            life.latest = None
        for tail in self.tailed.values():
            tail.changed = False


def straight_on(
    life: Life, seq: int, records: tuple[Record, ...], at: int, seen: Seen | None
) -> int:
    """Step inputs of one worker that mean nothing to others; return how many."""
    record = records[at]
    if type(record) is not Input or seq <= life.since or is_tied(record):
        return 0
    taken: Taken = None if seen is None else []
    before = life.state
    count = life.straight(seq, records, at, CHECK_EVERY, taken)
    if count and seen is not None and taken is not None:
        run = cast("Sequence[Input]", records[at : at + count])
        seen.heard(seq, run, life, before, taken)
    return count


def claimed(
    store: Store,
    new: Mapping[str, WorkerSpec],
    places: Mapping[str, str],
    tails: Mapping[str, Tail],
    names: Collection[str],
) -> list[tuple[str, Unrecovered]]:
    """Return which of these workers are new and may be others, renamed, and why they do not start.

    Args:
        store: what is stored.
        new: those that have no records behind the saved states.
        places: where they are in the tree.
        tails: the records behind the saved states of those that are not in the tree.
        names: all workers of the tree.
    """
    stored = {key.removeprefix(STATE) for key in store.keys(STATE)} | {*tails}
    unclaimed: dict[str, Code] = {}
    for worker in sorted(stored.difference(names)) if new else ():
        tail = tails.get(worker) or Tail(worker, saved_of(store, worker))
        code = code_of(tail.saved, tail.records)
        if code is not None:
            unclaimed[worker] = code
    found: list[tuple[str, Unrecovered]] = []
    for worker in new if unclaimed else ():
        tail = tails.get(worker) or Tail(worker, saved_of(store, worker))
        if stands(tail.saved, tail.records)[0]:
            continue
        code = code_in(new[worker], Renamed(worker, {}), places[worker])[1].code
        trouble = claim(worker, code, unclaimed, store)
        if trouble is not None:
            found.append((worker, trouble))
    return found


def code_in(spec: WorkerSpec, names: Renamed, place: str = "") -> tuple[Behaviour, Values]:
    """The code of a worker, and what writes and reads its values."""
    renames = Renames(names.numbered(sys.maxsize).made)
    behaviour = behaviour_of(spec.start)
    wanted = spec.options.codec
    codec = codec_for(
        behaviour.codec if wanted is None else wanted, behaviour.inputs, behaviour.outputs
    )
    return behaviour, Values(spec.id, behaviour, codec, renames, place=place)


def unlabelled(
    store: Store, worker: str, tails: Mapping[str, Tail], names: Collection[str]
) -> Unrecovered | None:
    """Return why the child of a pool is not started: an older ssm has kept one under its label.

    Args:
        store: what is stored.
        worker: the child, of which nothing has been read.
        tails: the records behind the saved states of those that are not in the tree.
        names: all workers of the tree.
    """
    label = worker.rpartition(JOINT)[2]
    if label == worker or label in names or worker in tails:
        return None
    if store.get(STATE + worker) is not None:
        return None
    tail = tails.get(label) or Tail(label, saved_of(store, label))
    has, code = stands(tail.saved, tail.records)
    return claim(worker, code, {label: code}, store) if has else None


def quarantine_in(store: Store) -> tuple[dict[str, dict[bytes, Refused]], int]:
    """Return the inputs in quarantine, and the last number given to what was put somewhere."""
    found: dict[str, dict[bytes, Refused]] = {}
    last = max((int(key.rpartition("/")[2]) for key in store.keys(ASIDE)), default=0)
    for key in store.keys(INPUT):
        refused = unpack(key, store.get(key) or b"", Refused)
        found.setdefault(refused.worker, {})[digest(refused.data)] = refused
        last = max(last, refused.number)
    return found, last

"""All that is stored of a worker, under another name: its state, its answers, its quarantine."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ssm_cli.behaviour.partition import JOINT
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import Input, Note, Record
from ssm_cli.runtime.durable.sessions import answer_in, key_of
from ssm_cli.runtime.durable.snapshots import (
    CHILD,
    INPUT,
    RENAMED,
    REQUEST,
    SENT,
    STATE,
    Answered,
    Head,
    Pooled,
    Refused,
    Sent,
    Underway,
    pack,
    unpack,
)
from ssm_cli.runtime.durable.stored import Tail, renamed_in, underway_in
from ssm_cli.runtime.durable.values import digest

Cells = dict[str, bytes | None]


class Moved:
    """What is stored of one worker, under another name.

    Args:
        store: what is stored.
        head: up to where the saved states go.
        tail: what is stored of the worker.
        new: its name from now on.
        seq: the record that says so.
    """

    def __init__(self, store: Store, head: Head, tail: Tail, new: str, seq: int) -> None:
        self._store = store
        self._head = head
        self._tail = tail
        self._old = tail.worker
        self._new = new
        self._seq = seq

    def cells(self, at_s: float) -> Cells:
        """The cells to change; None stands for one that is gone."""
        own = self._tail.as_saved(at_s)
        tail = tuple((seq, _with_worker(record, self._new)) for seq, record in own.tail)
        state = msgspec.structs.replace(
            own, worker=self._new, seq=self._seq, wrote=own.written(), tail=tail
        )
        cells = {STATE + self._new: pack(state), STATE + self._old: None}
        under = underway_in(self._store)
        if under:
            cells[SENT] = pack(Underway(self._sent(under)))
        return cells | self._answers() | self._held() | self._renames() | self._place()

    def head(self) -> Head:
        """The head: what is under way to it, and its crashes on the way to quarantine."""
        crashes = dict(self._head.crashes)
        counts = dict(crashes.pop(self._old, {}))
        for record in (one for _, one in self._tail.records if isinstance(one, Input)):
            before = counts.pop(digest(record.data), 0)
            if record.outcome == "crashed":
                counts[digest(record.data)] = before + 1
        return msgspec.structs.replace(
            self._head,
            sent=self._sent(self._head.sent),
            crashes=crashes | ({self._new: counts} if counts else {}),
            tailed=tuple({*self._head.tailed, self._new} - {self._old}),
        )

    def _sent(self, sent: Iterable[Sent]) -> tuple[Sent, ...]:
        return tuple(
            msgspec.structs.replace(one, to=self._new) if one.to == self._old else one
            for one in sent
        )

    def _answers(self) -> Cells:
        """The answers to calls with a request id, saved and in the journal.

        They are of the record of the rename: those of the old name in the journal are older.
        """
        found: Cells = {}
        known = []
        for key in self._store.keys(f"{REQUEST}{self._old}/"):
            known.append(unpack(key, self._store.get(key) or b"", Answered))
            found[key] = None
        for seq, record in self._tail.records:
            if isinstance(record, Input) and record.request:
                known.append(answer_in(seq, record))
        for answered in known:
            moved = msgspec.structs.replace(answered, worker=self._new, seq=self._seq)
            found[key_of(moved)] = pack(moved)
        return found

    def _held(self) -> Cells:
        """Its inputs in quarantine."""
        found: Cells = {}
        for key in self._store.keys(INPUT):
            refused = unpack(key, self._store.get(key) or b"", Refused)
            if refused.worker == self._old:
                found[key] = pack(msgspec.structs.replace(refused, worker=self._new))
        return found

    def _place(self) -> Cells:
        """Its place in a durable pool, which it has in that of its new name."""
        data = self._store.get(CHILD + self._old)
        if data is None:
            return {}
        pool, _, label = self._new.rpartition(JOINT)
        one = unpack(CHILD + self._old, data, Pooled)
        there = msgspec.structs.replace(one, name=self._new, pool=pool, label=label)
        return {CHILD + self._old: None} | ({CHILD + self._new: pack(there)} if pool else {})

    def _renames(self) -> Cells:
        """The renames in its state; those of a worker that had the new name are gone."""
        names = renamed_in(self._store, self._old)
        known = names.names or names.made
        moved = pack(msgspec.structs.replace(names, worker=self._new)) if known else None
        return {RENAMED + self._new: moved, RENAMED + self._old: None}


def _with_worker(record: Record, worker: str) -> Record:
    return record if isinstance(record, Note) else msgspec.structs.replace(record, worker=worker)

"""What is stored, as it is read: the head, saved states, and the entries behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ssm_cli.errors import StorageDamaged
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import (
    Batch,
    Cause,
    Input,
    Record,
    chain_of,
    decode_entry,
    number_in,
)
from ssm_cli.runtime.durable.snapshots import (
    HEAD,
    RENAMED,
    SENT,
    STATE,
    Head,
    Renamed,
    Saved,
    Sent,
    Underway,
    unpack,
)


class Tail:
    """Records that wait: nobody of their name is in the tree's file, or it cannot go on."""

    def __init__(self, worker: str, saved: Saved | None) -> None:
        self.worker = worker
        self.saved = saved
        self.since = 0 if saved is None else saved.seq
        self.records: list[tuple[int, Record]] = [] if saved is None else [*saved.tail]
        self.arrived: tuple[Cause, ...] = () if saved is None else saved.arrived
        self.changed = False

    def add(self, seq: int, record: Record) -> None:
        """A record of it was read."""
        if seq > max(self.since, self.records[-1][0] if self.records else 0):
            self.records.append((seq, record))
            self.changed = True

    def as_saved(self, at_s: float) -> Saved:
        """What is to be saved of it."""
        base = self.saved or Saved(self.worker, "", "", at_s, 0, False, b"")
        return msgspec.structs.replace(base, tail=tuple(self.records), arrived=self.arrived)


def batches(store: Store, head: Head) -> Iterator[tuple[int, Batch, bytes]]:
    """What stands behind the saved states: the entries, each checked by the chain."""
    entry, chain, seq = head.entry, head.chain, head.seq
    if store.last() < entry:
        raise StorageDamaged(
            f"the journal ends at entry {store.last()}, and the saved states are of entry {entry}: "
            f"entries are missing"
        )
    for number, data in store.read(entry):
        if number != entry + 1:
            raise StorageDamaged(
                f"entry {entry + 1} of the journal is missing; the next is {number}"
            )
        batch = decode_entry(number, chain, data)
        if batch.first != seq + 1:
            raise StorageDamaged(f"record {seq + 1} of the journal is missing")
        entry, chain, seq = number, chain_of(data), seq + len(batch.records)
        yield number, batch, chain


def workers_in(store: Store, head: Head) -> dict[str, None]:
    """Return the workers that have records behind their saved states, by their first ones."""
    found = dict.fromkeys(head.tailed)
    for _, batch, _ in batches(store, head):
        found |= dict.fromkeys(getattr(record, "worker", "") for record in batch.records)
    return found


def fill(store: Store, head: Head, tails: Sequence[Tail]) -> tuple[int, bytes, int, int]:
    """Add to tails what stands of their workers behind the saved states.

    Returns:
        The number and the chain value of the last entry, its last record, and the last number in
        the history of the node.
    """
    by_name = {tail.worker: tail for tail in tails}
    causes: set[Cause] = set()
    last, known = (head.entry, head.chain, head.seq), head.record
    for number, batch, chain in batches(store, head):
        last = number, chain, batch.first + len(batch.records) - 1
        for seq, record in enumerate(batch.records, batch.first):
            known = max(known, number_in(record))
            tail = by_name.get(getattr(record, "worker", ""))
            if tail is not None:
                tail.add(seq, record)
            if type(record) is Input and record.cause is not None:
                causes.add(record.cause)
    for tail in tails:
        own = {seq for seq, _ in tail.records}
        arrived = {cause for cause in causes if cause[0] in own}
        tail.arrived = tuple(sorted(arrived | {*tail.arrived}))
    return *last, known


def head_of(store: Store) -> Head:
    """Up to where the saved states of a store go."""
    data = store.get(HEAD)
    return Head() if data is None else unpack(HEAD, data, Head)


def underway_in(store: Store) -> tuple[Sent, ...]:
    """What was under way between workers as the last states were saved, and is not in the head."""
    data = store.get(SENT)
    return () if data is None else unpack(SENT, data, Underway).sent


def renamed_in(store: Store, worker: str) -> Renamed:
    """The names of a worker's code, classes and fields that have become others."""
    data = store.get(RENAMED + worker)
    return Renamed(worker, {}) if data is None else unpack(RENAMED + worker, data, Renamed)


def saved_of(store: Store, worker: str) -> Saved | None:
    """The saved state of a worker, if there is one."""
    data = store.get(STATE + worker)
    return None if data is None else unpack(STATE + worker, data, Saved)

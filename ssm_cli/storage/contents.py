"""What is in a store, for people: saved states, the journal's extent, what was set aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ssm_cli.codec.classes import Inexact
from ssm_cli.codec.json import jsonable
from ssm_cli.errors import StorageDamaged, StorageError, message_of
from ssm_cli.runtime.durable.pools import Pools
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import (
    START_OF_CHAIN,
    Change,
    Record,
    Repair,
    Start,
    chain_of,
    decode_entry,
    number_of,
)
from ssm_cli.runtime.durable.snapshots import (
    ASIDE,
    INPUT,
    STATE,
    Aside,
    Head,
    Pooled,
    Refused,
    Saved,
    unpack,
)
from ssm_cli.runtime.durable.stored import head_of
from ssm_cli.runtime.durable.values import plain_of, text_of


class Contents(msgspec.Struct, frozen=True):
    """What a store holds.

    Attributes:
        where: the folder.
        size_bytes: the room it takes.
        head: up to where the saved states go.
        first, last: the oldest and the newest entry of the journal.
        states: the saved states, without what they hold.
        asides: states that a worker could not be started from.
        refused: inputs in quarantine.
        children: who is in durable pools, in the order in which they were started.
    """

    where: str
    size_bytes: int
    head: Head
    first: int
    last: int
    states: tuple[Saved, ...]
    asides: tuple[Aside, ...]
    refused: tuple[Refused, ...]
    children: tuple[Pooled, ...]


def contents(store: Store) -> Contents:
    """What a store holds; raises `StorageError` where a part of it cannot be read."""
    return Contents(
        store.where(),
        store.size_bytes(),
        head_of(store),
        store.first(),
        store.last(),
        tuple(unpack(key, store.get(key) or b"", Saved) for key in store.keys(STATE)),
        tuple(unpack(key, store.get(key) or b"", Aside) for key in store.keys(ASIDE)),
        tuple(unpack(key, store.get(key) or b"", Refused) for key in store.keys(INPUT)),
        tuple(Pools(store)),
    )


def history(store: Store) -> Iterator[tuple[int, Record]]:
    """All records that are kept, with their numbers, oldest first; each checked by the chain.

    Raises:
        StorageDamaged: an entry is missing, or is not what was written.
    """
    entry, chain, seq = before(store, store.first())
    expected = entry + 1
    for number, data in store.read(entry):
        if number != expected:
            raise StorageDamaged(f"entry {expected} of the journal is missing; {number} is next")
        batch = decode_entry(number, chain, data)
        if batch.first != seq + 1:
            raise StorageDamaged(f"record {seq + 1} of the journal is missing")
        for seq, record in enumerate(batch.records, batch.first):
            yield seq, record
        chain, expected = chain_of(data), number + 1
    if expected != store.last() + 1:
        raise StorageDamaged(f"entry {expected} of the journal is missing")


def newest(store: Store) -> int:
    """Return the number of the last record as users meet it; raises `StorageDamaged`."""
    first, last, head = store.first(), store.last(), head_of(store)
    records = history(store)
    if first < last:  # each checks the one behind it
        (_, ahead), (number, data) = store.read(last - 2)
        batch = decode_entry(number, chain_of(ahead), data)
        records = enumerate(batch.records, batch.first)
    return max(head.record or head.seq, *(number_of(seq, record) for seq, record in records), 0)


def behind(found: Contents, store: Store) -> int:
    """Return how many records stand behind the saved states; raises `StorageDamaged`.

    Those of workers that are down are kept with their states, and count.
    """
    kept = {seq for saved in found.states for seq, _ in saved.tail}
    return len(kept | {seq for seq, _ in history(store) if seq > found.head.seq})


def before(store: Store, first: int) -> tuple[int, bytes, int]:
    """Where history begins, whose oldest entry that is kept is `first`.

    Returns:
        The entry before it, its chain value, and its last record. What a kill kept from being
        forgotten, ahead of the oldest mark, is left out.

    Raises:
        StorageDamaged: nothing says that it may begin there; entries are missing.
    """
    if first == 1:
        return 0, START_OF_CHAIN, 0
    head = head_of(store)
    begins = {mark.entry: mark for mark in head.marks}
    begins |= {mark.entry: head.marks[0] for mark in head.before}
    if mark := begins.get(first - 1):
        return mark.entry, mark.chain, mark.seq
    raise StorageDamaged(f"the journal begins with entry {first}, and nothing says what was before")


def stored_text(seq: int, record: Record) -> dict[str, Any]:
    """A record as JSON-ready data: inputs and outputs as text, hashes in hexadecimal."""
    found: dict[str, Any] = {"v": 1, "type": "record", "seq": seq, "record": kind_of(record)}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, bytes):
            is_hash = name.endswith("hash")
            value = value.hex() if is_hash else _text(record, name, value)
        name = "input" if name == "data" else name  # noqa: PLW2901 - its name for people
        found[name] = value if not isinstance(value, tuple) else _plain(value)
    return found


def kind_of(record: Record) -> str:
    """The word for a kind of record.

    >>> kind_of(Change("kv", 0.0, b""))
    'set'
    """
    return str(record.__struct_config__.tag)


def _text(record: Record, name: str, value: bytes) -> Any:
    """Bytes as text, or, for a state, as the data that they hold."""
    if isinstance(record, Start | Change | Repair) and name == "state":
        return _state(value)
    return text_of(value)


def _state(value: bytes) -> Any:
    try:
        return jsonable(plain_of(value))
    except (msgspec.MsgspecError, Inexact, TypeError) as error:
        return f"<state that cannot be shown: {message_of(error)}>"


def _plain(value: tuple[Any, ...]) -> Any:
    return msgspec.to_builtins(value, builtin_types=(), enc_hook=str)


def state_shown(saved: Saved) -> Any:
    """The state of a worker as JSON-ready data."""
    return _state(saved.state) if saved.has else None


def let_go(store: Store, number: int) -> Aside | Refused:
    """Forget something set aside or quarantined; what it was.

    Raises:
        StorageError: there is nothing of that number, or it cannot be written.
    """
    key, found = numbered(store, number)
    change(store, {key: None})
    return found


def numbered(store: Store, number: int) -> tuple[str, Aside | Refused]:
    """What has that number, and its key; raises `StorageError` where nothing has."""
    for key in store.keys(ASIDE):
        aside = unpack(key, store.get(key) or b"", Aside)
        if aside.number == number:
            return key, aside
    for key in store.keys(INPUT):
        refused = unpack(key, store.get(key) or b"", Refused)
        if refused.number == number:
            return key, refused
    raise StorageError(f"nothing in {store.where()} has the number {number}: see `ssm data ls`")


def change(store: Store, changes: dict[str, bytes | None]) -> None:
    """Store some cells now; raises `StorageError` where they cannot be."""
    failed: list[StorageError] = []

    def done(error: StorageError | None) -> None:
        if error is not None:
            failed.append(error)

    store.put(changes, done)
    if failed:
        raise failed[0]

"""The output of `ssm data`: a store as lines of text and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs

from ssm_cli.commands.records import instant
from ssm_cli.commands.text import brief, brief_table, table
from ssm_cli.errors import StorageError, counted, some_names
from ssm_cli.runtime.durable.snapshots import HEAD, STATE, Aside, Refused, Saved, pack, unpack
from ssm_cli.runtime.durable.values import text_of
from ssm_cli.storage.contents import (
    Contents,
    behind,
    change,
    contents,
    let_go,
    newest,
    numbered,
    state_shown,
)
from ssm_cli.storage.folder import FolderStore
from ssm_cli.storage.lock import is_locked
from ssm_cli.storage.owner import embedded, owner_of

MOST_LABELS = 20  # of a pool in a line


def summary(folder: Path) -> dict[str, Any]:
    """Return the record of a folder; `error` if it cannot be read."""
    head: dict[str, Any] = {"v": 1, "type": "data", "name": folder.name, "folder": str(folder)}
    try:
        with FolderStore(folder, writing=False) as store:
            counted_in = counts(contents(store), store)
    except StorageError as error:
        return head | {"in_use": is_locked(folder), "error": str(error)}
    return head | {"in_use": is_locked(folder)} | counted_in


def counts(found: Contents, store: FolderStore) -> dict[str, Any]:
    """Count what a store holds; `records` is the number of the last one."""
    return {
        "size_bytes": found.size_bytes,
        "entries": found.last - found.first + 1,
        "records": newest(store),
        "states": len(found.states),
        "aside": len(found.asides),
        "refused": len(found.refused),
        "children": len(found.children),
    }


def row(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of a folder in the list of all."""
    used = "yes" if record["in_use"] else "no"
    if "error" in record:
        unread = brief(str(record["error"]))
        return (record["name"], "-", "-", "-", "-", "-", used, unread)
    cells = (record[key] for key in ("records", "states", "aside", "refused"))
    size = f"{record['size_bytes']:,}"
    return (record["name"], size, *map(str, cells), used, record["folder"])


def one(store: FolderStore) -> list[str]:
    """Return the lines that describe one store."""
    found, owner = contents(store), owner_of(store.path)
    count, last = behind(found, store), found.head.record or found.head.seq
    lines = [
        f"folder:   {found.where}{' (in use)' if is_locked(store.path) else ''}",
        *([] if owner is None else [f"tree:     {owner['tree'] or embedded(owner['name'])}"]),
        f"size:     {found.size_bytes:,} bytes",
        f"journal:  entries {found.first} to {found.last}",
        f"behind:   {counted(count, 'record')} behind the saved states, which are of record {last}",
    ]
    if found.states:
        head = ("WORKER", "VERSION", "SAVED", "BYTES", "STATE")
        lines += ["", *table([head, *map(_state_row, found.states)])]
    for pool in dict.fromkeys(one.pool for one in found.children):
        labels = [one.label for one in found.children if one.pool == pool]
        lines += ["", f"in {pool}: {some_names(labels, MOST_LABELS)}"]
    return [*lines, *held(store, found)]


def _state_row(saved: Saved) -> tuple[str, ...]:
    state = brief(str(state_shown(saved)), 60) if saved.has else "(begins by init)"
    return (saved.worker, saved.version, instant(saved.at_s), str(len(saved.state)), state)


def held(store: FolderStore, found: Contents | None = None) -> list[str]:
    """Return the table of aside states and quarantined inputs, with their numbers."""
    found = contents(store) if found is None else found
    rows = [(str(a.number), "state", a.worker, instant(a.at_s), a.reason) for a in found.asides]
    rows += [
        (str(r.number), "input", r.worker, instant(r.at_s), f"{_text(r)} ({r.crashes}x {r.error})")
        for r in found.refused
    ]
    if not rows:
        return ["", "nothing is set aside, and no input is in quarantine"]
    return ["", *brief_table([("NUMBER", "WHAT", "WORKER", "SINCE", "WHY"), *rows], 100)]


def one_record(store: FolderStore) -> dict[str, Any]:
    """Return one store as a JSON record."""
    found = contents(store)
    states = [
        {"worker": s.worker, "machine": s.machine, "version": s.version, "at": instant(s.at_s),
         "seq": s.seq, "bytes": len(s.state), "state": state_shown(s)}
        for s in found.states
    ]  # fmt: skip
    head = {"v": 1, "type": "data", "folder": found.where, "in_use": is_locked(store.path)}
    return head | counts(found, store) | {"states": states} | _held(found)


def held_record(store: FolderStore) -> dict[str, Any]:
    """Return aside states and quarantined inputs as a JSON record."""
    found = contents(store)
    return {"v": 1, "type": "quarantine", "folder": found.where} | _held(found)


def _held(found: Contents) -> dict[str, Any]:
    asides = [
        {"number": a.number, "worker": a.worker, "at": instant(a.at_s), "reason": a.reason,
         "state": None if a.saved is None else state_shown(a.saved)}
        for a in found.asides
    ]  # fmt: skip
    refused = [
        {"number": r.number, "worker": r.worker, "at": instant(r.at_s), "input": _text(r),
         "crashes": r.crashes, "error": r.error}
        for r in found.refused
    ]  # fmt: skip
    return {"aside": asides, "refused": refused}


def _text(refused: Refused) -> str:
    return text_of(refused.data)


def would_do(store: FolderStore, number: int, *, again: bool) -> list[str]:
    """Return what letting go of a number would do, a line each.

    Raises:
        StorageError: nothing has that number.
    """
    _, found = numbered(store, number)
    worker = found.worker
    if isinstance(found, Refused):
        crashes = counted(found.crashes, "time")
        line = f"{worker} takes {_text(found)} again, which has crashed it {crashes}"
        return [f"{line} ({found.error})"]
    aside = "none" if found.saved is None else str(state_shown(found.saved))
    if not again:
        return [f"this state of {worker} is gone for good: {aside}", f"why: {found.reason}"]
    data = store.get(STATE + worker)
    saved = None if data is None else unpack(STATE + worker, data, Saved)
    there = "none" if saved is None else str(state_shown(saved))
    return [
        f"{worker} begins with this state: {aside}",
        f"in place of this one, which is set aside as {number}: {there}",
    ]


def let_in(store: FolderStore, number: int, *, again: bool) -> list[str]:
    """Release number `number` of a store that no tree uses; restore a state if `again`.

    Raises:
        StorageError: nothing has that number, or later records depend on the current state.
    """
    key, found = numbered(store, number)
    if isinstance(found, Refused):
        let_go(store, number)
        return [f"{number}: {found.worker} takes {_text(found)} again"]
    if not again:
        let_go(store, number)
        return [f"{number} is forgotten: a state of {found.worker}"]
    put_back(store, key, found)
    return [f"{number}: {found.worker} will begin with that state again"]


def put_back(store: FolderStore, key: str, aside: Aside) -> None:
    """Swap a state that was set aside with the saved one."""
    head = contents(store).head
    if store.last() > head.entry:
        raise StorageError(
            f"{store.where()} has records behind its saved states: start the tree and stop it in "
            f"order first"
        )
    if aside.saved is None:
        raise StorageError(f"number {aside.number} holds no state that could be put back")
    worker = aside.worker
    data = store.get(STATE + worker)
    changes: dict[str, bytes | None] = {STATE + worker: pack(aside.saved), key: None}
    if data is not None:  # the two change places: nothing is lost by a mistake
        there = unpack(STATE + worker, data, Saved)
        why = f"replaced by what was set aside as {aside.number}"
        changes[key] = pack(Aside(aside.number, worker, there.at_s, why, there))
    if aside.saved.tail:
        changes[HEAD] = pack(structs.replace(head, tailed=(*head.tailed, worker)))
    change(store, changes)

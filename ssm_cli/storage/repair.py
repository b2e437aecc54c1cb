"""Repairing what is stored of a worker that cannot go on: what could be done, and doing it.

A repair is a record behind all others that says what the worker goes on with; what was stored
before is set aside under a number. Nothing is changed but by `carry_out`, and nothing is destroyed.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ssm_cli.codec.classes import Classes, Inexact
from ssm_cli.codec.exact import is_exact, names_in
from ssm_cli.codec.json import data_reader, jsonable
from ssm_cli.errors import StorageError, message_of
from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.code import state_type
from ssm_cli.runtime.durable.life import Anew
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.rebuild import (
    Tail,
    code_in,
    fill,
    head_of,
    renamed_in,
    saved_of,
    underway_in,
)
from ssm_cli.runtime.durable.records import Code, Note, Record, Repair, encode_entry
from ssm_cli.runtime.durable.snapshots import (
    ASIDE,
    HEAD,
    INPUT,
    RENAMED,
    REQUEST,
    SENT,
    STATE,
    Answered,
    Aside,
    Renamed,
    Saved,
    Underway,
    number_key,
    pack,
    unpack,
)
from ssm_cli.runtime.durable.values import digest, plain_of
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec, walk
from ssm_cli.storage.contents import change

How = Literal["as-new", "from-saved", "state", "rename", "forget"]
MOST_LINES = 20  # of a difference, and of notes, that are shown


class Repairing:
    """What is stored of one worker, and what can be made of it.

    Args:
        store: open for writing, so that nobody else changes it meanwhile.
        worker: its id.
        tree: the tree with the code that is here, if it is known.
        at_s: the wall time.

    Raises:
        StorageError: nothing is stored of a worker of that name.
    """

    def __init__(self, store: Store, worker: str, tree: SupervisorSpec | None, at_s: float) -> None:
        self.worker = worker
        self._store = store
        self._spec = spec_of(tree, worker)
        self._at_s = at_s
        self._head = head_of(store)
        self._tail = Tail(worker, saved_of(store, worker))
        self._last = fill(store, self._head, [self._tail])
        self._is_new = self._tail.saved is None and not self._tail.records
        if self._is_new and self._spec is None:
            known = [key.removeprefix(STATE) for key in store.keys(STATE)]
            raise StorageError(
                f"nothing is stored of {worker} in {store.where()}; there is of "
                f"{', '.join(known[:20]) or 'nobody'}; a new worker is told by --tree FILE"
            )
        numbers = [int(key.rpartition("/")[2]) for p in (ASIDE, INPUT) for key in store.keys(p)]
        self._number = max([self._head.number, *numbers]) + 1
        self._changes: dict[str, bytes | None] = {}
        self._record: Record | None = None

    def look(self) -> list[str]:
        """What is stored of it, and what can be done, a line each."""
        saved, records = self._tail.saved, self._tail.records
        state = "none" if saved is None or not saved.has else state_text(saved.state)
        by = "" if saved is None else f", by {saved.machine} version {saved.version}"
        lines = [
            f"saved state: {state} (record {0 if saved is None else saved.seq}{by})",
            f"behind it:   {len(records)} records",
        ]
        return [*lines, "", *WAYS]

    def as_new(self) -> list[str]:
        """Prepare to take what the code that is here makes of all that is stored.

        Returns:
            What differs, a line each.

        Raises:
            StorageError: the tree is not known, or no state comes of it.
        """
        if self._is_new:
            return self.forget()
        life = self._stepped()
        if life.trouble is not None:
            raise StorageError(
                f"the code of {self.worker} makes no state of what is stored: {life.trouble}. "
                f"Mend it, or give the state by --state"
            )
        saved = life.saved(self._at_s, self._last[2])
        state = saved.state if saved.has else None
        self._goes_on("as-new", state, saved.code(), saved)
        notes = [f"  {note}" for note in life.notes[:MOST_LINES]]
        if len(life.notes) > MOST_LINES:
            notes.append(f"  ... and {len(life.notes) - MOST_LINES} more")
        made = [f"{len(life.notes)} records differ:", *notes] if notes else ["no record differs"]
        base = self._tail.saved
        before = None if base is None or not base.has else base.state
        return [*made, "from the saved state to the new one:", *difference(before, state)]

    def _stepped(self) -> Anew:
        if self._spec is None:
            raise StorageError(
                f"--as-new steps the inputs of {self.worker} by its code: name the tree that it is "
                f"in, by --tree FILE"
            )
        behaviour, values = code_in(self._spec, renamed_in(self._store, self.worker))
        again = Again(self._spec)
        life = Anew(self.worker, behaviour, values, self._tail.saved, again=again)
        for seq, record in self._tail.records:
            life.again(seq, record)
        life.finish()
        return life

    def from_saved(self) -> list[str]:
        """Prepare to go on with the saved state; the records behind it are set aside."""
        saved = self._tail.saved
        if saved is None or not saved.has:
            raise StorageError(f"no state of {self.worker} is saved: see --as-new, or --forget")
        self._goes_on("from-saved", saved.state, saved.code(), saved)
        count = len(self._tail.records)
        return [f"state: {state_text(saved.state)}", f"{count} records behind it are set aside"]

    def state(self, text: str) -> list[str]:
        """Prepare to go on with a state that is given as JSON; raises `StorageError`."""
        try:
            given = json.loads(text)
        except ValueError as error:
            raise StorageError(f"--state takes JSON: {message_of(error)}") from error
        if self._spec is None:
            raise StorageError("--state is read by the type of the code: name it by --tree FILE")
        behaviour, values = code_in(self._spec, renamed_in(self._store, self.worker))
        try:
            value = data_reader(state_type(behaviour))(given)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise StorageError(
                f"--state is no state of {self.worker}: {message_of(error)}"
            ) from error
        data = values.dump(value)
        self._goes_on("state", data, values.code, self._tail.saved)
        return [f"state: {state_text(data)}"]

    def forget(self) -> list[str]:
        """Prepare to begin by `init`; all that is stored is set aside."""
        self._goes_on("as-new" if self._is_new else "forget", None, Code(), None)
        aside = "nothing is stored of it" if self._is_new else "what is stored of it is set aside"
        return [f"{self.worker} begins by init; {aside}"]

    def _goes_on(self, how: How, state: bytes | None, code: Code, saved: Saved | None) -> None:
        timers = () if saved is None else saved.timers
        timeout_ms = None if saved is None else saved.timeout_ms
        self._record = Repair(
            self.worker, self._at_s, how, state, code, self._number, timers, timeout_ms
        )
        if self._is_new:
            return
        aside = Aside(
            self._number, self.worker, self._at_s, f"repair: {how}", self._tail.as_saved(self._at_s)
        )
        self._changes = {number_key(ASIDE, self._number): pack(aside)}

    def rename(self, old: str, new: str) -> list[str]:
        """Prepare to take a name for another: of the worker itself, or of what is in its state.

        Raises:
            StorageError: nothing that is stored of it has the old name.
        """
        if self._is_new:
            raise StorageError(f"nothing is stored of {self.worker}, so nothing has another name")
        if old == self.worker:
            return self._rename_worker(new)
        known = self._names()
        once = Classes(renamed={old: new})
        hit = [name for name in known if name == old or once.now(name) != name]
        if not hit:
            raise StorageError(
                f"nothing that is stored of {self.worker} is called {old}; there is "
                f"{', '.join(known) or self.worker}"
            )
        names = renamed_in(self._store, self.worker) | {old: new}
        self._changes = {RENAMED + self.worker: pack(Renamed(self.worker, names))}
        self._record = Note("", self._at_s, "repair: rename", self.worker, (old, new))
        return [f"{name} is {once.now(name) if once.now(name) != name else new}" for name in hit]

    def _names(self) -> list[str]:
        """The names of code, classes and fields in what is stored of it."""
        saved = self._tail.saved
        codes = [] if saved is None else [saved.machine]
        states = [] if saved is None or not saved.has else [saved.state]
        for _, record in self._tail.records:
            codes.append(getattr(record, "code", Code()).machine)
            states.append(getattr(record, "state", None) or b"")
        inside = [name for state in states if is_exact(state) for name in names_in(state)]
        return [*dict.fromkeys(name for name in [*codes, *inside] if name)]

    def _rename_worker(self, new: str) -> list[str]:
        other = Tail(new, saved_of(self._store, new))
        fill(self._store, self._head, [other])
        moved = msgspec.structs.replace(
            self._tail.as_saved(self._at_s),
            worker=new,
            seq=self._last[2] + 1,
            tail=tuple((seq, with_worker(record, new)) for seq, record in self._tail.records),
        )
        self._goes_on("rename", None, Code(), None)
        if other.saved is not None or other.records:
            self._number += 1
            aside = Aside(self._number, new, self._at_s, "repair: rename", other.as_saved(0.0))
            self._changes[number_key(ASIDE, self._number)] = pack(aside)
        self._changes |= {STATE + new: pack(moved), STATE + self.worker: None}
        self._changes |= self._answers(new)
        names = renamed_in(self._store, self.worker)
        if names:
            self._changes[RENAMED + new] = pack(Renamed(new, names))
        sent = tuple(
            msgspec.structs.replace(one, to=new) if one.to == self.worker else one
            for one in self._head.sent
        )
        under = tuple(
            msgspec.structs.replace(one, to=new) if one.to == self.worker else one
            for one in underway_in(self._store)
        )
        if under:
            self._changes[SENT] = pack(Underway(under))
        tailed = tuple({*self._head.tailed, new} - {self.worker})
        self._head = msgspec.structs.replace(self._head, sent=sent, tailed=tailed)
        return [f"what is stored of {self.worker} becomes that of {new}"]

    def _answers(self, new: str) -> Mapping[str, bytes | None]:
        """The answers to calls with a request id, under the other name."""
        found: dict[str, bytes | None] = {}
        for key in self._store.keys(f"{REQUEST}{self.worker}/"):
            answered = unpack(key, self._store.get(key) or b"", Answered)
            moved = msgspec.structs.replace(answered, worker=new)
            found[f"{REQUEST}{new}/{digest(answered.request.encode()).hex()}"] = pack(moved)
            found[key] = None
        return found

    def carry_out(self) -> int:
        """Do what was prepared; the number of its record. Raises `StorageError`."""
        assert self._record is not None, "something was prepared"
        entry, chain, seq = self._last
        head = msgspec.structs.replace(self._head, number=self._number)
        change(self._store, {**self._changes, HEAD: pack(head)})
        failed: list[StorageError] = []
        data = encode_entry(chain, seq + 1, [self._record])
        self._store.append(entry + 1, data, lambda e: failed.append(e) if e is not None else None)
        if failed:
            raise failed[0]
        return seq + 1


WAYS = (
    "--as-new --tree FILE   take what the code that is here makes of it; shows what differs",
    "--from-saved           go on with the saved state; the records behind it are set aside",
    "--state JSON           go on with this state",
    "--rename OLD NEW       a name has become another: of the worker, a module, a class, a field",
    "--forget               begin by init",
)
"""What can be done, a line each. Each shows what it changes, asks, and is a record."""


def now_s() -> float:
    """The wall time, for the record of a repair."""
    return SystemClock().wall_s()


def spec_of(tree: SupervisorSpec | None, worker: str) -> WorkerSpec | None:
    """The spec of a worker of a tree; None without a tree, or where it is none of its file."""
    for _, spec in () if tree is None else walk(tree):
        if isinstance(spec, WorkerSpec) and spec.id == worker:
            return spec
    return None


def with_worker(record: Record, worker: str) -> Record:
    """A record as one of another worker."""
    return record if isinstance(record, Note) else msgspec.structs.replace(record, worker=worker)


def state_text(state: bytes | None) -> str:
    """A state as JSON, for people."""
    if state is None:
        return "none"
    try:
        return json.dumps(jsonable(plain_of(state)), ensure_ascii=False)
    except (Inexact, msgspec.MsgspecError) as error:
        return f"<it cannot be shown: {message_of(error)}>"


def difference(before: bytes | None, after: bytes | None) -> list[str]:
    """What is different between two states, a line each.

    >>> difference(None, None)
    ['  nothing']
    """
    found = [
        f"  {line}"
        for line in difflib.unified_diff(lines_of(before), lines_of(after), n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
    more = [f"  ... and {len(found) - MOST_LINES} more lines"] if len(found) > MOST_LINES else []
    return [*found[:MOST_LINES], *more] or ["  nothing"]


def lines_of(state: bytes | None) -> list[str]:
    """A state as lines of JSON, one for each part."""
    if state is None:
        return []
    try:
        value: Any = jsonable(plain_of(state))
    except (Inexact, msgspec.MsgspecError):
        return [state_text(state)]
    return json.dumps(value, indent=1, ensure_ascii=False).splitlines()

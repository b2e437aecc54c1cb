"""Repairing what is stored of a worker that cannot go on: what could be done, and doing it.

A repair is a record behind all others that says what the worker goes on with; what was stored
before is set aside under a number. Nothing is changed but by `carry_out`, and nothing is destroyed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.partition import JOINT, splits
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.behaviour.standing import check_standing
from ssm_cli.behaviour.statem import Statem
from ssm_cli.behaviour.visible import redacted_by, replaced, visible
from ssm_cli.codec.classes import Inexact
from ssm_cli.codec.exact import heads_in, is_exact, renamed
from ssm_cli.codec.json import jsonable
from ssm_cli.codec.loss import read_whole
from ssm_cli.codec.put_back import PutBack
from ssm_cli.codec.renames import Names, Renames
from ssm_cli.codec.words import json_of
from ssm_cli.errors import StorageError, counted, message_of
from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.durable.code import state_type
from ssm_cli.runtime.durable.life import Life, anew
from ssm_cli.runtime.durable.pools import is_durable
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.rebuild import code_in
from ssm_cli.runtime.durable.records import (
    Change,
    Code,
    Input,
    Note,
    Record,
    Repair,
    encode_entry,
    number_of,
)
from ssm_cli.runtime.durable.snapshots import (
    ASIDE,
    HEAD,
    INPUT,
    RENAMED,
    STATE,
    Aside,
    Head,
    Renamed,
    Saved,
    number_key,
    pack,
)
from ssm_cli.runtime.durable.stored import Tail, fill, head_of, renamed_in, saved_of
from ssm_cli.runtime.durable.unclaimed import stands
from ssm_cli.spec.keys import MAX_NAME, NAME
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec, made_of, walk
from ssm_cli.storage.contents import change
from ssm_cli.storage.moved import Moved
from ssm_cli.storage.sight import Sight

How = Literal["as-new", "from-saved", "state", "rename", "forget"]
MOST_LINES = 20  # of notes that are shown


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
        self._store, self._tree = store, tree
        self._spec = spec_of(tree, worker)
        self._sight = sight_of(tree, store, worker)
        self._at_s = at_s
        self._head = head_of(store)
        self._tail = Tail(worker, saved_of(store, worker))
        self._last = fill(store, self._head, [self._tail])
        self._seq = self._last[2] + 1
        self._as = self._last[3] + 1 if self._last[3] else self._seq
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
        return [
            f"saved state: {saved_text(self._tail, self._head, self._sight)}",
            f"behind it:   {counted(len(self._tail.records), 'record')}",
            *self._sight.notes, "", *WAYS,
        ]  # fmt: skip

    def as_new(self) -> list[str]:
        """Prepare to take what the code that is here makes of all that is stored.

        Returns:
            What differs, a line each.

        Raises:
            StorageError: the tree is not known, or no state comes of it.
        """
        if self._is_new:
            return self.forget()
        life, notes = self._stepped()
        if life.trouble is not None:
            raise StorageError(
                f"the code of {self.worker} makes no state of what is stored: {life.trouble}. "
                f"Mend it, or give the state by --state"
            )
        saved = life.saved(self._at_s, self._last[2])
        state = saved.state if saved.has else None
        self._goes_on("as-new", state, saved.code(), saved, saved.written())
        made = [
            f"differing: {counted(len(notes), 'record')}",
            *(f"  {n}" for n in notes[:MOST_LINES]),
        ]
        if len(notes) > MOST_LINES:
            made.append(f"  ... and {len(notes) - MOST_LINES} more")
        made = made if notes else ["no record differs"]
        base = self._tail.saved
        before, at = (base.state, base.written()) if base and base.has else (None, None)
        told = self._sight.difference(before, state, at)
        return [*made, "from the saved state to the new one:", *told]

    def _stepped(self) -> tuple[Life, list[str]]:
        if self._spec is None:
            raise StorageError(
                f"--as-new steps the inputs of {self.worker} by its code: name the tree that it is "
                f"in, by --tree FILE"
            )
        behaviour, values = code_in(self._spec, renamed_in(self._store, self.worker))
        again = Again(self._spec)
        life, notes = anew(self.worker, behaviour, values, self._tail.saved, again=again)
        for seq, record in self._tail.records:
            life.again(seq, record)
        life.finish()
        return life, notes

    def from_saved(self) -> list[str]:
        """Prepare to go on with the saved state; the records behind it are set aside."""
        saved = self._tail.saved
        if saved is None or not saved.has:
            raise StorageError(f"no state of {self.worker} is saved: see --as-new, or --forget")
        self._goes_on("from-saved", saved.state, saved.code(), saved, saved.written())
        count = counted(len(self._tail.records), "record")
        return [
            f"state: {self._sight.saved(saved)}",
            f"set aside: {count} behind it",
            *self._sight.notes,
        ]

    def state(self, text: str) -> list[str]:
        """Prepare to go on with a state that is given as JSON; raises `StorageError`."""
        if self._spec is None:
            raise StorageError("--state is read by the type of the code: name it by --tree FILE")
        behaviour, values = code_in(self._spec, renamed_in(self._store, self.worker))
        life = None if self._is_new else self._stepped()[0]
        known = life is not None and life.has and life.trouble is None
        saved = life.saved(self._at_s, self._last[2]) if life and known else self._tail.saved
        old = life.state if life and known else NOTHING
        try:
            value = written_state(behaviour, old, json_of(text))
        except Exception as error:  # the user's redaction, and what makes a value, are among them
            raise StorageError(
                f"--state is no state of {self.worker}: {message_of(error)}"
            ) from error
        data = values.dump(value)
        self._goes_on("state", data, values.code, saved)
        return [f"state: {self._sight.text(data)}"]

    def forget(self) -> list[str]:
        """Prepare to begin by `init`; all that is stored is set aside."""
        self._goes_on("as-new" if self._is_new else "forget", None, Code(), None)
        aside = "nothing is stored of it" if self._is_new else "what is stored of it is set aside"
        return [f"{self.worker} begins by init; {aside}"]

    def _goes_on(
        self,
        how: How,
        state: bytes | None,
        code: Code,
        saved: Saved | None,
        wrote: int | None = None,
    ) -> None:
        under = ((), None) if saved is None else (saved.timers, saved.timeout)
        self._record = Repair(
            self.worker, self._at_s, how, state, code, self._number, *under, wrote, self._as
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
        if old == new:
            raise StorageError(f"{old} is called so already: --rename takes another name")
        if old == self.worker:
            return self._rename_worker(new)
        if old.endswith(":") and new.endswith(":"):  # of modules, one called as the worker is
            old, new = old[:-1], new[:-1]
        found = renamed_in(self._store, self.worker).numbered(self._seq)
        known, once = self._names(Renames(found.made)), Names([(old, new)])
        check_new_name(old, new, known)
        heads = [(head, once.head_now(*head)) for head in known]
        hits = [
            f"{before} is {after}"
            for was, now in heads
            for before, after in zip(names_of(*was), names_of(*now), strict=True)
            if before != after
        ]
        if not hits:
            refuse_rename(
                self.worker, old, new, [name for head in known for name in names_of(*head)]
            )
        self._check_apart(Renames(found.made), once)
        made = (*found.made, (self._seq, old, new))
        self._changes = {RENAMED + self.worker: pack(Renamed(self.worker, {}, made))}
        self._record = Note("", self._at_s, "repair: rename", self.worker, (old, new), self._as)
        return [*dict.fromkeys(hits)]

    def _check_apart(self, renames: Renames, once: Names) -> None:
        """Raise `StorageError` where classes of other fields would have one name by a rename."""
        for at, _, state in self._parts():
            try:
                renamed(renamed(state, renames.since(at)), once)
            except Inexact as error:
                raise StorageError(
                    f"what is stored of {self.worker} would not be told apart: {error.why}"
                ) from error

    def _parts(self) -> list[tuple[int, str, bytes]]:
        """The code and the states that are stored of it, and up to which record each is written."""
        saved = self._tail.saved
        parts = [] if saved is None else [(saved.written(), saved.machine, saved.state)]
        for seq, record in self._tail.records:
            wrote = getattr(record, "wrote", None)
            at, code = seq if wrote is None else wrote, getattr(record, "code", Code())
            parts.append((at, code.machine, getattr(record, "state", None) or b""))
        return parts

    def _names(self, renames: Renames) -> list[tuple[str, list[str]]]:
        """The names by now of code and classes, with their fields, in what is stored of it."""
        found: dict[tuple[str, tuple[str, ...]], None] = {}
        for at, machine, state in self._parts():
            inside = heads_in(state) if is_exact(state) else []
            for name, fields in ((machine, []), *inside):
                now, held = renames.since(at).head_now(name, fields)
                if now:
                    found[now, tuple(held)] = None
        return [(name, [*fields]) for name, fields in found]

    def _rename_worker(self, new: str) -> list[str]:
        parts = re.split("[:/]", new) if JOINT in new else [new]
        if not all(map(NAME.fullmatch, parts)):
            wanted = f"1 to {MAX_NAME} letters, digits, _ . -, or POOL:LABEL of such"
            raise StorageError(f"no worker can be called {new!r}: expected {wanted}")
        need_state(self._tail, new)
        other = Tail(new, saved_of(self._store, new))
        fill(self._store, self._head, [other])
        self._goes_on("rename", None, Code(), None)
        lines = [f"what is stored of {self.worker} becomes that of {new}"]
        if other.saved is not None or other.records:
            self._number += 1
            aside = Aside(self._number, new, self._at_s, "repair: rename", other.as_saved(0.0))
            self._changes[number_key(ASIDE, self._number)] = pack(aside)
            sight = sight_of(self._tree, self._store, new)
            state = sight.saved(other.saved)
            lines.append(
                f"what was stored of {new} is set aside as {self._number}: the state {state}, and "
                f"{counted(len(other.records), 'record')} behind it"
            )
            lines += sight.notes
        moved = Moved(self._store, self._head, self._tail, new, self._seq)
        self._changes |= moved.cells(self._at_s)
        self._head = moved.head()
        return lines

    def carry_out(self) -> int:
        """Do what was prepared; the number of its record. Raises `StorageError`."""
        assert self._record is not None, "something was prepared"
        entry, chain, *_ = self._last
        head = msgspec.structs.replace(self._head, number=self._number)
        change(self._store, {**self._changes, HEAD: pack(head)})
        failed: list[StorageError] = []
        data = encode_entry(chain, self._seq, [self._record])
        self._store.append(entry + 1, data, lambda e: failed.append(e) if e is not None else None)
        if failed:
            raise failed[0]
        return self._as


WAYS = (
    "--as-new --tree FILE   take what the code that is here makes of it; shows what differs",
    "--from-saved           go on with the saved state; the records behind it are set aside",
    "--state JSON           go on with this state",
    "--rename OLD NEW       a name has become another: of the worker, a module, a class, a field",
    "--forget               begin by init",
)
"""What can be done, a line each. Each shows what it changes, asks, and is a record."""


def written_state(behaviour: Behaviour, old: Any, given: Any) -> Any:
    """Return the state of a worker that decoded JSON stands for, as `state -o json` shows it.

    Args:
        behaviour: its code.
        old: the state that is stored, of this code; `NOTHING` where there is none.
        given: decoded JSON.

    Raises:
        ValueError, TypeError: it is none.
    """
    if isinstance(behaviour, Event) or (isinstance(behaviour, Statem) and old is NOTHING):
        raise TypeError("nothing here tells the types in it; see --as-new, or --forget")
    if old is NOTHING:
        return read_whole(state_type(behaviour), given)
    seen = visible(redacted_by(behaviour, old))
    back = PutBack(visible(old), jsonable(seen))
    value = replaced(old, back.read(given, state_type(behaviour)))
    check_standing(behaviour, value)
    return value


def saved_text(tail: Tail, head: Head, sight: Sight) -> str:
    """Return the saved state of a worker with the record that it is of, and its code."""
    saved, last = tail.saved, head.record
    if saved is None or not saved.has:
        return "none"
    if tail.records:
        seq, record = tail.records[0]
        last = number_of(seq, record) - isinstance(record, Input | Change)
    by = f"by {saved.machine} version {saved.version}"
    return f"{sight.saved(saved)} (record {last or saved.seq}, {by})"


def now_s() -> float:
    """The wall time, for the record of a repair."""
    return SystemClock().wall_s()


def spec_of(tree: SupervisorSpec | None, worker: str) -> WorkerSpec | None:
    """The spec of a worker of a tree; None without a tree, or where it is none of its file.

    That of the child of a pool is its template.
    """
    nodes = {} if tree is None else {spec.id: spec for _, spec in walk(tree)}
    for pool, label in splits(worker):
        above = nodes.get(pool)
        if isinstance(above, SupervisorSpec) and is_durable(above):
            nodes |= {spec.id: spec for _, spec in walk(made_of(above, label, {}))}
    found = nodes.get(worker)
    return found if isinstance(found, WorkerSpec) else None


def names_of(kind: str, fields: Sequence[str]) -> list[str]:
    """The names of a class and its fields.

    >>> names_of("shop:Cart", ["n"])
    ['shop:Cart', 'shop:Cart.n']
    """
    return [kind, *(f"{kind}.{field}" for field in fields)]


def sight_of(tree: SupervisorSpec | None, store: Store, worker: str) -> Sight:
    """Return how states of a worker are shown: as the code of the tree says, if it has it."""
    spec = spec_of(tree, worker)
    return Sight(None if spec is None else code_in(spec, renamed_in(store, worker)))


def refuse_rename(worker: str, old: str, new: str, known: list[str]) -> NoReturn:
    """Say why a rename changes no name."""
    what = f"what is stored of {worker}"
    if old in known:
        raise StorageError(f"{old} cannot be called {new}: in {what} there is one of that name")
    there = ", ".join(dict.fromkeys(known)) or worker
    raise StorageError(f"nothing in {what} is called {old}; there is {there}")


def check_new_name(old: str, new: str, known: list[tuple[str, list[str]]]) -> None:
    """Raise `StorageError` where no module, class or field can have the new name."""
    module, colon, rest = new.partition(":")
    if ":" not in old:
        what, fits = "module", not colon and _is_path(module)
    elif colon or old in dict(known):
        what, fits = "class", colon == ":" and _is_path(module) and _is_path(rest)
    else:
        what, fits = "field", new.isidentifier()
    if not fits:
        raise StorageError(f"{old} is a {what}, and no {what} can be called {new!r}")


def _is_path(text: str) -> bool:
    parts = text.split(".")
    return all(one.isprintable() and not {*one} & {*" :/\\"} and one for one in parts)


def need_state(tail: Tail, new: str) -> None:
    """Raise `StorageError` where no state is left of a worker that is to be called otherwise."""
    if not stands(tail.saved, tail.records)[0]:
        raise StorageError(
            f"nothing is stored of {tail.worker} by now, so nothing of it has another name; it may "
            f"have been called {new} already"
        )

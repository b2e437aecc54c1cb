"""Crash notes: what is needed to tell all about a crash later, kept for the last few of them.

A note costs one small object when a worker crashes; it becomes a `CrashReport` when somebody asks.

All notes together hold 16 MiB at most. That follows from what one may hold: an input and
a state of `MOST_VALUE_BYTES` each, `MOST_EVENTS` events of `MOST_EVENT_BYTES`, texts of 1,000
characters, and no exception, whose frames hold what was in work: it is kept as its type, its text
and the places in its code. What is larger is kept as its text, which is written at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from ssm_cli.behaviour.sizes import AsText, form_of, size_of, too_large
from ssm_cli.runtime.engine.cell import Cell, WorkerCell
from ssm_cli.runtime.engine.events import Room
from ssm_cli.runtime.engine.recalled import Places
from ssm_cli.runtime.views import CrashReport, SysEvent
from ssm_cli.spec.sources import line_at

KEPT_CRASHES = 100
MOST_VALUE_BYTES = 32 * 1024  # of an input or a state that a note keeps as it is
MOST_EVENT_BYTES = 1024  # of an event that a note keeps as it is
MOST_EVENTS = 50  # of a worker that keeps events
MOST_CHILDREN = 1000
OURS = tuple(f"/ssm_cli/{room}/" for room in ("behaviour", "history", "runtime", "simulation"))
"""Where the code of frames lies that tell a user nothing."""
Shown = Callable[[WorkerCell, Any], str]


class CrashNote(msgspec.Struct, eq=False):
    """One crash: what went in, what was there, and what the supervisor made of it.

    `kind` and `text` are of the error, `places` where it passed, from the outside in. `before` is a
    note of the same end that waits for the same decision.
    """

    seq: int
    at_s: float
    cell: WorkerCell
    message: Any
    state: Any
    reason: str
    kind: str
    text: str
    places: Places
    events: tuple[SysEvent, ...] = ()
    decision: str = "pending"
    children: Sequence[str] = ()
    limits: dict[str, Any] = {}
    before: CrashNote | None = None

    def note(self) -> CrashNote:
        """Return the note."""
        return self


class KeptCrash(Protocol):
    """What is kept of a crash: a note, or what makes one when somebody asks.

    Attributes:
        message, state, places: what is kept of the input, the state, and of where the error
            passed, for as long as it is one of the last.
    """

    message: Any
    state: Any
    places: Any

    def note(self) -> CrashNote:
        """Return the note."""
        ...


class CrashNotes:
    """The last `KEPT_CRASHES` crashes of a node, oldest first.

    Attributes:
        room: that of the events which its workers keep.
    """

    __slots__ = ("_notes", "room")

    def __init__(self) -> None:
        self._notes: deque[KeptCrash] = deque()
        self.room = Room()

    def take_over(self, other: CrashNotes, copied: Callable[[CrashNote], CrashNote]) -> None:
        """Become a copy of `other`."""
        notes = [kept.note() for kept in other._notes]
        self._notes.extend(map(copied, notes))

    def all_kept(self) -> tuple[KeptCrash, ...]:
        """Return what is kept, oldest first."""
        return tuple(self._notes)

    def add(self, note: KeptCrash) -> None:
        """Keep a note; the oldest goes if there are too many, with what it holds."""
        notes = self._notes
        if len(notes) == KEPT_CRASHES:
            oldest = notes.popleft()
            oldest.message = oldest.state = oldest.places = None
        notes.append(note)

    def knows(self, worker: str) -> bool:
        """Return whether a crash of a worker of that name is kept."""
        return any(kept.note().cell.spec.id == worker for kept in self._notes)

    def reports(self, worker: str | None, last: int | None, shown: Shown) -> list[CrashReport]:
        """The kept crashes (of one worker), oldest first; at most `last`."""
        wanted = [kept.note() for kept in self._notes]
        if worker is not None:
            wanted = [note for note in wanted if note.cell.spec.id == worker]
        if last is not None:
            wanted = wanted[max(0, len(wanted) - last) :]
        return [crash_report(note, shown) for note in wanted]


def decide(cell: Cell, decision: str, children: Sequence[str], limits: dict[str, Any]) -> None:
    """Complete the notes of an end that its supervisor has looked at, if there are any."""
    extra = cell.extra
    if extra is None:
        return
    note: CrashNote | None = extra.crash
    extra.crash = None
    while note is not None:
        note.decision, note.children, note.limits = decision, children[:MOST_CHILDREN], limits
        before, note.before = note.before, None
        note = before


def kept(cell: WorkerCell, value: Any, most_bytes: int, shown: Shown) -> Any:
    """Return what is kept of a value of a worker: itself, if it is small, else its text."""
    form = form_of(size_of(value), most_bytes)
    if form == "as it is":
        return value
    return AsText(shown(cell, value)) if form == "as text" else too_large(value)


def said(cell: WorkerCell, value: Any, shown: Shown) -> str:
    """Return the text of a value that was `kept`."""
    return str(value) if type(value) is AsText else shown(cell, value)


def kept_events(cell: WorkerCell, shown: Shown) -> tuple[SysEvent, ...]:
    """Return the last events of a worker that keeps some."""
    debug = None if cell.extra is None else cell.extra.debug
    if debug is None or debug.log is None:
        return ()
    return tuple(
        SysEvent(event.kind, kept(cell, event.value, MOST_EVENT_BYTES, shown), event.caller)
        for event in [*debug.log][-MOST_EVENTS:]
    )


def stack_of(places: Places) -> tuple[str, ...]:
    """Return places as a crash report shows them, without our own."""
    lines = []
    for place in places:
        if isinstance(place, str):  # of a saved past, which holds no code
            lines.append(place)
            continue
        code, index = place
        if any(room in code.co_filename for room in OURS):
            continue
        number = next(islice(code.co_positions(), index // 2, None), (None,))[0] or 0
        line = line_at(code, number)[:200]
        lines.append(f"{code.co_filename}:{number} in {code.co_name}" + (line and f": {line}"))
    return tuple(lines)


def crash_report(note: CrashNote, shown: Shown) -> CrashReport:
    """The crash report that a note stands for; every part of it is bounded."""
    sup, limits = note.cell.parent, note.limits
    used = limits.get("restarts")
    allowed = limits.get("intensity")
    left = None if used is None or allowed is None else max(0, allowed - used)
    return CrashReport(
        seq=note.seq,
        at_s=note.at_s,
        worker=note.cell.spec.id,
        path=note.cell.path(),
        supervisor="" if sup is None else sup.spec.id,
        reason=note.reason,
        error_type=note.kind,
        error_message=note.text,
        stack=stack_of(note.places),
        input=said(note.cell, note.message, shown),
        state=said(note.cell, note.state, shown),
        events=tuple(f"{e.kind} {said(note.cell, e.value, shown)}" for e in note.events),
        decision=note.decision,
        strategy="" if sup is None or note.decision == "pending" else sup.spec.strategy.value,
        children=tuple(note.children),
        restarts=used,
        intensity=allowed,
        period=limits.get("period"),
        budget_left=left,
    )

"""Crash notes: what is needed to tell all about a crash later, kept for the last few of them.

A note costs one small object when a worker crashes; it becomes a `CrashReport` when somebody asks.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.reasons import Crash
from ssm_cli.runtime.engine.cell import Cell, WorkerCell
from ssm_cli.runtime.views import CrashReport, SysEvent

KEPT_CRASHES = 100
MOST_FRAMES = 50
MOST_CHILDREN = 1000
OURS = ("/ssm_cli/runtime/", "/ssm_cli/behaviour/")  # frames that tell a user nothing
Shown = Callable[[WorkerCell, Any], str]
Text = Callable[[BaseException], str]


class CrashNote(msgspec.Struct, eq=False):
    """One crash: what went in, what was there, and what the supervisor made of it."""

    seq: int
    at_s: float
    cell: WorkerCell
    message: Any
    state: Any
    reason: Crash
    events: tuple[SysEvent, ...] = ()
    decision: str = "pending"
    children: Sequence[str] = ()
    limits: dict[str, Any] = {}


class CrashNotes:
    """The last `KEPT_CRASHES` crashes of a node, oldest first."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: deque[CrashNote] = deque(maxlen=KEPT_CRASHES)

    def add(self, seq: int, at_s: float, cell: WorkerCell, message: Any, reason: Crash) -> None:
        """A worker has crashed; the report `seq` says so."""
        extra = cell.ensure_extra()
        log = extra.debug.log if extra.debug is not None else None
        events = () if log is None else tuple(log)
        extra.crash = CrashNote(seq, at_s, cell, message, cell.state, reason, events)
        self._notes.append(extra.crash)

    def take_over(self, other: CrashNotes, copied: Callable[[CrashNote], CrashNote]) -> None:
        """Become a copy of `other`."""
        self._notes.extend(map(copied, other._notes))

    def add_decided(self, note: CrashNote) -> None:
        """A worker has crashed, and its supervisor has looked at it in the same moment."""
        self._notes.append(note)

    def reports(
        self, worker: str | None, last: int | None, shown: Shown, text: Text
    ) -> list[CrashReport]:
        """The kept crashes (of one worker), oldest first; at most `last`."""
        wanted = [n for n in self._notes if worker is None or n.cell.spec.id == worker]
        if last is not None:
            wanted = wanted[max(0, len(wanted) - last) :]
        return [crash_report(note, shown, text) for note in wanted]


def decide(cell: Cell, decision: str, children: Sequence[str], limits: dict[str, Any]) -> None:
    """Complete the note of a crash that its supervisor has looked at, if there is one."""
    extra = cell.extra
    if extra is None or extra.crash is None:
        return
    note: CrashNote = extra.crash
    extra.crash = None
    note.decision, note.children, note.limits = decision, children, limits


def crash_report(note: CrashNote, shown: Shown, text: Text) -> CrashReport:
    """The crash report that a note stands for; every part of it is bounded."""
    error, sup = note.reason.error, note.cell.parent
    frames = traceback.extract_tb(error.__traceback__, limit=-MOST_FRAMES)
    limits = note.limits
    used = limits.get("restarts")
    allowed = limits.get("intensity")
    left = None if used is None or allowed is None else max(0, allowed - used)
    return CrashReport(
        seq=note.seq,
        at_s=note.at_s,
        worker=note.cell.spec.id,
        path=note.cell.path(),
        supervisor="" if sup is None else sup.spec.id,
        reason=str(note.reason),
        error_type=type(error).__name__,
        error_message=text(error),
        stack=tuple(
            f"{frame.filename}:{frame.lineno} in {frame.name}: {(frame.line or '')[:200]}"
            for frame in frames
            if not any(room in frame.filename for room in OURS)
        ),
        input=shown(note.cell, note.message),
        state=shown(note.cell, note.state),
        events=tuple(f"{event.kind} {shown(note.cell, event.value)}" for event in note.events),
        decision=note.decision,
        strategy="" if sup is None or note.decision == "pending" else sup.spec.strategy.value,
        children=tuple(note.children[:MOST_CHILDREN]),
        restarts=used,
        intensity=allowed,
        period=limits.get("period"),
        budget_left=left,
    )

"""Which objects of a node are saved, and which of their fields: the layout of the file.

What is not in these tables is not saved. An object is written as the number of its class and its
fields in order; so a file can be read where its tables are those of the reader (`layout`).
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import Any

from ssm_cli.behaviour import effects, reasons, results, runs
from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.runtime.engine import entries, recorder
from ssm_cli.runtime.engine.cell import (
    CellStatus,
    Extra,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
)
from ssm_cli.runtime.engine.crashes import CrashNote, CrashNotes
from ssm_cli.runtime.engine.groups import Groups, Member, Membership
from ssm_cli.runtime.engine.instants import Instants, Marks
from ssm_cli.runtime.engine.monitors import Monitors
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.recalled import PastError
from ssm_cli.runtime.engine.timers import Timers
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote import ports
from ssm_cli.runtime.reports import ReportStream
from ssm_cli.spec import model
from ssm_cli.supervision.window import RestartWindow

CELL = ("spec", "parent", "status", "starts", "steps", "since_s", "timed_s", "extra", "last_reason")

OBJECTS: dict[type, tuple[str, ...]] = {
    World: (
        "clock", "root", "names", "queue", "lane", "retries", "timers", "caller", "callers",
        "crashes", "groups", "monitors", "reports", "random", "batch", "dropped", "gave_up",
        "running",
    ),
    WorkerCell: (*CELL, "crashes", "state"),
    SupervisorCell: (*CELL, "children", "overdue", "sound", "window"),
    RemoteCell: (*CELL, "node", "epoch", "reachable", "age_s", "heard_s", "why"),
    Extra: (
        "attempt", "backlog", "callers", "runs", "timers", "timeout", "timeout_after", "suspended",
        "crash", "delay_until_s", "plan", "debug", "left", "links", "begun", "unbegun",
    ),
    Groups: ("groups", "joined", "number", "under_way"),
    Membership: ("members",),
    Monitors: ("watched", "watchers"),
    RestartWindow: ("period_s", "_times_s"),
    Timers: ("entries", "number"),
    ReportStream: ("_ring", "seq"),
    CrashNotes: ("_notes",),
    PastError: ("args", "places", "reason"),
    Pending: ("request", "number"),
    Instants: ("_times", "_walls"),
    Marks: ("_most", "_marks"),
}  # fmt: skip
"""Objects that may refer to each other in a circle: made blank first, and filled then."""

VALUES: tuple[Any, ...] = (
    reasons.Normal, reasons.Shutdown, reasons.Killed, reasons.NoProcess, reasons.Crash,
    reasons.Lost, reasons.Other, reasons.FailedToStart,
    effects.Cast, effects.Info, effects.StartTimer, effects.CancelTimer, effects.Defer,
    effects.Answer, effects.Exit, effects.Join, effects.Leave, effects.Publish, runs.Run,
    runs.CancelRun, effects.Link, effects.Unlink, effects.Reported, effects.Monitor,
    effects.Demonitor, effects.Down,
    results.Ok, results.Ignore, results.Stop, results.Continue, results.TimeoutAfter,
    results.Hibernate,
    entries.Arrived, entries.ChildEnded, entries.TryAgain, entries.Restart, entries.EndWorker,
    entries.Asked, entries.StopTree, entries.TimerDue, entries.TimeoutDue, entries.SaveDue,
    entries.StartAgain, entries.RunDue, entries.RunEnded, entries.ContinueDue, entries.DownDue,
    entries.Caused, entries.LinkBroken,
    recorder.Came, recorder.Began, recorder.Terminated, recorder.Fired, recorder.Tried,
    recorder.Ran, recorder.Acted, recorder.AskedFor, recorder.Moment, recorder.Told,
    recorder.PutOff, recorder.Passed,
    recorder.FarNews, ports.Launched, ports.Ended, ports.Linked, ports.Stopped, ports.NodeSeen,
    ports.LinkSeen, ports.ParentWaits, Member, Publishing,
    Outcome, CrashNote, model.Backoff, model.WorkerOptions, model.WorkerSpec,
    model.SupervisorSpec, model.RemoteSpec, model.Labelled,
)  # fmt: skip
"""Structs, with all their fields."""

ENUMS: tuple[type[Enum], ...] = (
    Kind, CellStatus, model.Strategy, model.Restart, model.AutoShutdown, model.Persist,
    model.OnCrash, model.OnStorageError, model.OnReplayDifference, model.OnUnrecoverable,
    model.Takeover, model.Orphan,
)  # fmt: skip

FIELDS: dict[type, tuple[str, ...]] = OBJECTS | {
    kind: tuple(kind.__struct_fields__) for kind in VALUES
}
CLASSES: tuple[type, ...] = (*FIELDS, *ENUMS)
NUMBERS = {kind: number for number, kind in enumerate(CLASSES)}

OF_USERS = frozenset({
    (WorkerCell, "state"), (CrashNote, "message"), (CrashNote, "state"),
    (Outcome, "state"), (Outcome, "reply"), (results.Ok, "state"), (results.Continue, "message"),
    (results.Stop, "reason"), (results.Stop, "state"), (results.Stop, "reply"),
    (effects.Cast, "message"), (effects.Info, "message"), (effects.StartTimer, "message"),
    (effects.StartTimer, "key"), (effects.CancelTimer, "key"), (effects.Defer, "key"),
    (results.TimeoutAfter, "message"),
    (effects.Join, "value"), (effects.Publish, "message"), (Member, "value"),
    (effects.Answer, "to"), (effects.Answer, "output"), (effects.Exit, "reason"),
    (entries.TimerDue, "key"), (entries.TimerDue, "message"), (entries.ContinueDue, "message"),
    (entries.TimeoutDue, "message"),
    (runs.Run, "function"), (runs.Run, "args"),
    (entries.RunEnded, "message"), (recorder.Ran, "message"),
    (entries.Caused, "message"), (entries.EndWorker, "reply"),
    (reasons.Shutdown, "detail"), (reasons.Other, "term"),
    (recorder.Began, "answer"), (recorder.Acted, "before"), (recorder.Acted, "after"),
    (recorder.PutOff, "message"), (recorder.Passed, "message"),
})  # fmt: skip
"""Fields whose values are a user's: they are redacted, and written exactly or as text."""

CONSTANTS: tuple[Any, ...] = (results.NOTHING, results.TIMEOUT)
"""Values that are known by their identity."""

VALUE, TEXT, CONSTANT, CODE, TUPLE, LIST, DEQUE, DICT, FUNCTION = range(-1, -10, -1)
"""What a node of the file is, where it is no object of a class (0 and above)."""


def layout() -> str:
    """Return a digest of the tables: two versions of `ssm` that have one read each other's files.

    >>> layout() == layout()
    True
    """
    said = "\n".join(
        f"{kind.__module__}.{kind.__qualname__}:{','.join(FIELDS.get(kind, ()))}"
        for kind in CLASSES
    )
    return blake2b(said.encode(), digest_size=8).hexdigest()

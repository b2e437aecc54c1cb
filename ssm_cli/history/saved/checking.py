"""Checking: what a file says of an object is of the types that the engine has there.

A file may come from anybody, and its checksum is no secret: nodes that are well formed may stand
for one another, for what nobody has, or for a tree that is none. What is opened was looked at here,
so that no question to it fails later. Values of users are theirs, and are of any type.
"""

from __future__ import annotations

import math
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.reasons import ExitReason
from ssm_cli.behaviour.results import TimeoutAfter
from ssm_cli.errors import a_or_an
from ssm_cli.history.saved.code import SavedCode
from ssm_cli.history.saved.forms import FIELDS, OBJECTS, OF_USERS
from ssm_cli.runtime.durable.records import MOST_INSTANT_S, Instant
from ssm_cli.runtime.engine import recorder
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    Extra,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
)
from ssm_cli.runtime.engine.crashes import CrashNote, CrashNotes
from ssm_cli.runtime.engine.entries import (
    ContinueDue,
    DownDue,
    Entry,
    Restart,
    RunDue,
    RunEnded,
    SaveDue,
    StartAgain,
    TimeoutDue,
    TimerDue,
    TryAgain,
)
from ssm_cli.runtime.engine.groups import Groups, Member, Membership
from ssm_cli.runtime.engine.instants import Instants, Marks
from ssm_cli.runtime.engine.monitors import Monitors
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recalled import PastError
from ssm_cli.runtime.engine.timers import Timers
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote import ports
from ssm_cli.runtime.reports import ReportStream
from ssm_cli.spec.model import RemoteSpec, SupervisorSpec, WorkerSpec
from ssm_cli.supervision.window import RestartWindow

Test = Callable[[Any], bool]
Names = tuple[str, ...]
Timed = TimerDue | TimeoutDue | RunDue | SaveDue | StartAgain | TryAgain | Restart
Token = TimerDue | TimeoutDue | RunEnded | ContinueDue | DownDue
News = (
    ports.Launched | ports.Ended | ports.Linked | ports.Stopped | ports.NodeSeen | ports.LinkSeen
    | ports.ParentWaits
)  # fmt: skip
Plain = (
    tuple[int, WorkerCell, Kind, Any, Any, tuple[Any, Any]]
    | tuple[int, WorkerCell, Kind, Any, Any, recorder.Came]
)
RING = Plain | tuple[int, Cell | None, None, None, None, recorder.Between]
"""What an entry of the ring of a recorder is."""
ROOT = {
    "now": World, "causes": dict[int, int], "askers": dict[int, str], "instants": Instants,
    "marks": Marks, "impure": dict[str, int],
}  # fmt: skip
"""What the root of a file has beside the ring."""

Detail = ExitReason | int | dict[str, Any] | None

CELL = {
    "parent": SupervisorCell | None, "status": CellStatus, "starts": int, "steps": int,
    "since_s": Instant, "timed_s": float, "extra": Extra | None, "last_reason": ExitReason,
}  # fmt: skip
HINTS: dict[type, Mapping[str, Any]] = {
    World: {
        "clock": tuple[Instant, Instant], "root": SupervisorCell, "names": dict[str, Cell],
        "queue": deque[tuple[WorkerCell, Kind, Any, Any]], "lane": deque[Entry],
        "retries": deque[TryAgain], "timers": Timers, "caller": int, "callers": dict[int, Pending],
        "crashes": CrashNotes, "groups": Groups, "monitors": Monitors, "reports": ReportStream,
        "random": tuple[int, tuple[int, ...], float | None], "batch": int, "dropped": int,
        "gave_up": bool, "running": bool,
    },
    WorkerCell: CELL | {"spec": WorkerSpec, "crashes": int, "state": Any},
    SupervisorCell: CELL | {
        "spec": SupervisorSpec, "children": dict[str, Cell], "overdue": bool, "sound": bool,
        "window": RestartWindow,
    },
    RemoteCell: CELL | {
        "spec": RemoteSpec, "node": str, "epoch": int, "reachable": bool, "age_s": float,
        "heard_s": Instant,
    },
    Extra: {
        "attempt": int, "backlog": deque[Any], "callers": dict[Any, Pending],
        "runs": dict[str, RunDue], "timers": dict[str, int], "timeout": int,
        "timeout_after": TimeoutAfter | None, "suspended": bool, "crash": CrashNote | None,
        "delay_until_s": float | None, "plan": Any, "debug": tuple[Any, ...] | None,
        "left": tuple[tuple[float, Timed], ...], "links": dict[str, Names], "begun": Any,
        "unbegun": bool,
    },
    Groups: {
        "groups": dict[str, Membership], "joined": dict[str, Names], "number": int,
        "under_way": int,
    },
    Membership: {"members": dict[str, Member]},
    Monitors: {"watched": dict[str, Names], "watchers": dict[str, dict[str, Names]]},
    RestartWindow: {"period_s": float, "_times_s": deque[Instant]},
    Timers: {"entries": dict[int, tuple[float, Timed]], "number": int},
    ReportStream: {"_ring": deque[tuple[Instant, str, Cell, Detail]], "seq": int},
    CrashNotes: {"_notes": deque[CrashNote]},
    PastError: {"args": Any, "places": tuple[str, ...], "reason": ExitReason | None},
    Pending: {"request": str, "number": int},
    Instants: {"_times": list[tuple[int, Instant]], "_walls": list[tuple[float, Instant]]},
    Marks: {"_most": int, "_marks": list[tuple[int, int]]},
}  # fmt: skip
OTHER: dict[tuple[type, str], Any] = {
    (WorkerSpec, "start"): SavedCode, (CrashNote, "at_s"): Instant,
    (recorder.Came, "marked"): Token | None, (recorder.FarNews, "news"): News,
    (recorder.FarNews, "now_s"): Instant, (recorder.Fired, "now_s"): Instant,
    (recorder.Tried, "now_s"): Instant, (TimerDue, "at_s"): Instant | None,
}  # fmt: skip
"""Fields of structs whose annotations say less than a file has to keep to."""


def check_fields(kind: type, values: Iterable[Any]) -> None:
    """Raise `ValueError` unless these may be the fields of an object of ours.

    >>> check_fields(recorder.Tried, [float("nan")])
    Traceback (most recent call last):
        ...
    ValueError: `now_s` of a Tried is a float that it cannot be
    """
    for (name, test), value in zip(tests_of(kind), values, strict=True):
        if not test(value):
            whose, what = a_or_an(kind.__name__), a_or_an(type(value).__name__)
            raise ValueError(f"`{name}` of {whose} is {what} that it cannot be")


@cache
def tests_of(kind: type) -> tuple[tuple[str, Test], ...]:
    """Return the fields of a class of ours in the order of a file, each with its test."""
    hints = HINTS[kind] if kind in OBJECTS else get_type_hints(kind)
    given = {name: hint for name, hint in hints.items() if (kind, name) not in OF_USERS}
    given |= {name: hint for (one, name), hint in OTHER.items() if one is kind}
    return tuple((name, test_of(given.get(name, Any))) for name in FIELDS[kind])


def anything(_value: Any) -> bool:
    """Return True."""
    return True


def is_instant(value: Any) -> bool:
    """Return whether a value is the time of a clock, of which a date can be made."""
    return type(value) in (int, float) and -MOST_INSTANT_S <= value <= MOST_INSTANT_S


BARE: dict[Any, Test] = {
    Any: anything, object: anything, Instant: is_instant,
    float: lambda value: type(value) in (int, float) and not math.isnan(value),
    int: lambda value: type(value) is int, bool: lambda value: type(value) is bool,
    type(None): lambda value: value is None, None: lambda value: value is None,
}  # fmt: skip


@cache
def test_of(hint: Any) -> Test:
    """Return the test of a type, as it is written in an annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(hint, TypeVar):
        return anything
    if hint in BARE:
        return BARE[hint]
    if origin in MADE:
        return MADE[origin](args)
    return lambda value: isinstance(value, origin or hint)


def in_any(args: tuple[Any, ...]) -> Test:
    """Return the test of a union."""
    tests = [test_of(arg) for arg in args]
    return lambda value: any(test(value) for test in tests)


def in_mapping(args: tuple[Any, ...]) -> Test:
    """Return the test of a mapping."""
    key, of = test_of(args[0]), test_of(args[1])

    def test(value: Any) -> bool:
        return isinstance(value, dict) and all(map(key, value)) and all(map(of, value.values()))

    return test


def in_tuple(args: tuple[Any, ...]) -> Test:
    """Return the test of a tuple."""
    if args[-1] is ...:
        return in_many((tuple,), args)
    each = [test_of(arg) for arg in args]

    def test(value: Any) -> bool:
        if type(value) is not tuple or len(value) != len(each):
            return False
        return all(test(part) for test, part in zip(each, value, strict=True))

    return test


def in_many(kinds: tuple[type, ...], args: tuple[Any, ...]) -> Test:
    """Return the test of a sequence or a set of one of these kinds."""
    part = test_of(args[0])

    def test(value: Any) -> bool:
        return isinstance(value, kinds) and all(map(part, value))  # type: ignore[call-overload]  # each can be walked

    return test


MADE: dict[Any, Callable[[tuple[Any, ...]], Test]] = {
    Union: in_any, types.UnionType: in_any, dict: in_mapping, Mapping: in_mapping, tuple: in_tuple,
    list: partial(in_many, (list,)), deque: partial(in_many, (deque,)),
    frozenset: partial(in_many, (frozenset,)), Sequence: partial(in_many, (list, tuple)),
    Literal: lambda args: lambda value: type(value) is str and value in args,
    Callable: lambda _: lambda value: callable(value) or isinstance(value, str),  # or its name
}  # fmt: skip


def check_world(world: World) -> None:
    """Raise `ValueError` unless the cells of a world are one tree."""
    below: dict[int, Cell] = {}
    todo: list[Cell] = [world.root]
    if world.root.parent is not None:
        raise ValueError("its root has a supervisor")
    while todo:
        cell = todo.pop()
        if id(cell) in below:
            raise ValueError(f"{cell.spec.id} is in its tree twice")
        below[id(cell)] = cell
        for name, child in each_child(cell):
            if child.parent is not cell or child.spec.id != name:
                raise ValueError(f"{name} is no child of {cell.spec.id}")
            todo.append(child)
    for name, cell in world.names.items():
        if cell.spec.id != name or id(cell) not in below:
            raise ValueError(f"{name} is not in its tree")
    if len(below) != len(world.names):
        raise ValueError("not all of its tree have a name")


def each_child(cell: Cell) -> Iterator[tuple[str, Cell]]:
    """Yield the children of a cell, by their ids."""
    yield from cell.children.items() if isinstance(cell, SupervisorCell) else ()


def check_ends(cells: Iterable[Cell]) -> None:
    """Raise `ValueError` where what is above a cell leads back to it."""
    known: set[int] = set()
    for cell in cells:
        way: set[int] = set()
        above: Cell | None = cell
        while above is not None and id(above) not in known:
            if id(above) in way:
                raise ValueError(f"{above.spec.id} is above itself")
            way.add(id(above))
            above = above.parent
        known |= way


def check_ring(ring: Sequence[Any], last: int) -> None:
    """Raise `ValueError` unless these may be the entries of a recorder up to a record."""
    test, before = test_of(RING), 0
    for entry in ring:
        if not test(entry) or not before <= entry[0] <= last:
            raise ValueError("an entry of its ring is none")
        before = entry[0]


def check_root(root: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless this may be the root of a file, whose nodes are read."""
    for name, hint in ROOT.items():
        if not test_of(hint)(root[name]):
            raise ValueError(f"its {name} are none")
    if not root["instants"]._walls:  # noqa: SLF001 - as of a file
        raise ValueError("its instants are none")

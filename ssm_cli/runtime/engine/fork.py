"""Forks: a world beside a world, equal in all that evolves, and connected to nothing.

Theory of operation. Cells and what waits (queue, lane, timers, callers) are copied, with every
reference to a cell or a call led to its copy; frozen entries are made anew for that. States,
messages and specs are values and shared, so a fork costs some microseconds a worker whatever its
state weighs. A worker that changes its state in place would be seen in both: `deep` copies states,
which takes as long as they are large; `deep_in_turns` copies a world that stands still meanwhile.

Calls that wait are copied as calls that nobody waits for. Installed functions, readers and all that
is `Outside` stay behind: nothing that a fork does leaves it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Generator
from typing import Any

import msgspec

from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.engine.cell import (
    Cell,
    CellStatus,
    Extra,
    RemoteCell,
    SupervisorCell,
    WorkerCell,
    replan,
)
from ssm_cli.runtime.engine.copying import deep_copied
from ssm_cli.runtime.engine.crashes import CrashNote
from ssm_cli.runtime.engine.groups import Groups, Member
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.engine.pending import Pending, SentInput, Waiter
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.world import World

SHARED = ("spec", "last_reason", "starts", "steps", "status", "timed_s")
ALIKE = ("attempt", "begun", "checked", "suspended", "timeout", "timeout_after", "unbegun")
"""Fields of an `Extra` that are immutable."""
EVOLVING = (
    "batch", "caller", "dropped", "expected", "gave_up", "has_held", "outbox", "running",
)  # fmt: skip
"""Fields of a `World` that a fork begins with."""


def fork(world: World, clock: Clock, guard: Guard, *, deep: bool = False) -> World:
    """Return a copy of a world that evolves by itself from now on.

    Args:
        world: it is not changed, and must not be in the middle of its loop.
        clock: of the copy. What is due in a second is due in a second by it, whatever it shows.
        guard: of the copy.
        deep: copy states and messages as well, for workers that change them in place.
    """
    forking = Forking(world, clock, guard, deep=deep)
    for _ in forking.turns():
        pass  # nobody else gets in
    return forking.made


def deep_in_turns(world: World) -> Generator[None, None, World]:
    """Return a deep copy of a fork that nobody else has; others may get in while it is made."""
    forking = Forking(world, world.clock, world.guard, deep=True)
    yield from forking.turns()
    return forking.made


def is_deep(copying: object) -> bool:
    """Return whether states are to be copied; raises ValueError for a word that is none of two."""
    if copying not in ("shared", "deep"):
        raise ValueError(f"copy={copying!r:.60} is no way to fork: expected 'shared' or 'deep'")
    return copying == "deep"


class Forking:
    """One fork while it is made: what has become of each cell, call and note.

    Attributes:
        made: the copy.
    """

    def __init__(self, world: World, clock: Clock, guard: Guard, *, deep: bool) -> None:
        self._world = world
        self._shift_s = clock.now_s() - world.clock.now_s()
        self._values: dict[int, Any] | None = {} if deep else None
        self._names: dict[str, Any] = dict.fromkeys(world.names)  # in their order; filled below
        self._gone: dict[int, Cell] = {}  # those that were taken out of the tree
        self._origins = world.origins.copy() if deep else world.origins
        self._made: list[Cell] = []  # the copies that share their `Extra` so far
        self._shared: list[WorkerCell] = []  # the copies that share their state
        self._calls: dict[int, Pending] = {}
        self._notes: dict[int, CrashNote] = {}
        root = self._supervisor(world.root, None)
        self.made = World(root, clock, guard, world.random, world.judge)
        self.made.shares_random = world.shares_random = True

    def turns(self) -> Generator[None, None, None]:
        """Make it, the states last: others may get in between two parts of those."""
        self._fork()
        if self._values is not None:
            for cell in self._shared:
                cell.state = yield from deep_copied(cell.state, self._values)

    def _fork(self) -> None:
        """Make it, with the states of the other."""
        world, other = self._world, self.made
        other.names = self._names
        other.pools = {name: self._cell(cell) for name, cell in world.pools.items()}
        other.queue = deque(
            (self._cell(cell), kind, self._marked(message), self._call(waiter))
            for cell, kind, message, waiter in world.queue
        )
        other.lane = deque(map(self._entry, world.lane))
        other.retries = deque(map(self._entry, world.retries))
        timers = [(s + self._shift_s, n, self._entry(e)) for s, n, e in world.timers.waiting()]
        other.timers.take_over(world.timers, timers)
        other.groups, other.monitors = self._groups(), world.monitors.copy()
        other.outside.carry = world.outside.carry
        other.outside.coming = {
            self._cell(cell): self._entry(asked) if isinstance(asked, msgspec.Struct) else asked
            for cell, asked in world.outside.coming.items()
        }
        other.callers = {n: self._single(call) for n, call in world.callers.items()}
        other.crashes.take_over(world.crashes, self._note)
        other.reports.take_over(world.reports)
        other.guard.expect_as(world.guard)
        other.forked, other.origins = True, self._origins
        for field in EVOLVING:
            setattr(other, field, getattr(world, field))
        while self._made:
            cell = self._made.pop()
            if cell.extra is not None:
                self._extra(cell, cell.extra)

    def _supervisor(self, cell: SupervisorCell, parent: SupervisorCell | None) -> SupervisorCell:
        new = SupervisorCell(cell.spec, parent)
        self._take(cell, new)
        new.overdue, new.sound, new.temporary = cell.overdue, cell.sound, cell.temporary
        new.window = cell.window.shifted(self._shift_s)
        children, worker, other = new.children, self._worker, self._child
        for name, child in cell.children.items():
            children[name] = (worker if type(child) is WorkerCell else other)(child, new)  # type: ignore[arg-type]  # it is one
        return new

    def _child(self, cell: Cell, parent: Any) -> Cell:
        if type(cell) is WorkerCell:
            return self._worker(cell, parent)
        if isinstance(cell, SupervisorCell):
            return self._supervisor(cell, parent)
        assert isinstance(cell, RemoteCell)
        far = RemoteCell(cell.spec, parent)
        self._take(cell, far)
        far.node, far.epoch, far.reachable = cell.node, cell.epoch, cell.reachable
        far.why = cell.why
        far.age_s, far.heard_s = cell.age_s, cell.heard_s + self._shift_s
        return far

    def _worker(self, cell: WorkerCell, parent: SupervisorCell) -> WorkerCell:
        new = WorkerCell.__new__(WorkerCell)
        new.spec, new.parent, new.extra = cell.spec, parent, cell.extra
        new.status, new.starts, new.steps = cell.status, cell.starts, cell.steps
        since_s, shift_s = cell.since_s, self._shift_s
        new.since_s, new.timed_s = since_s + shift_s if shift_s else since_s, cell.timed_s
        new.last_reason, new.behaviour, new.codec = cell.last_reason, cell.behaviour, cell.codec
        new.crashes = cell.crashes
        new.state, new.step = cell.state, cell.step
        self._shared.append(new)
        self._know(cell, new)
        if new.extra is not None:
            self._made.append(new)
        return new

    def _know(self, cell: Cell, new: Cell) -> None:
        """Note what a cell has become."""
        name = cell.spec.id
        if self._world.names.get(name) is cell:
            self._names[name] = new
        else:
            self._gone[id(cell)] = new

    def _cell(self, cell: Any) -> Any:
        """Return the copy of a cell; one that was taken out of the tree is copied with it."""
        name = cell.spec.id
        is_here = self._world.names.get(name) is cell
        known = self._names[name] if is_here else self._gone.get(id(cell))
        return (
            self._child(cell, cell.parent and self._cell(cell.parent)) if known is None else known
        )

    def _take(self, cell: Cell, new: Cell) -> None:
        for field in SHARED:
            setattr(new, field, getattr(cell, field))
        new.since_s = cell.since_s + self._shift_s
        new.extra = cell.extra
        self._know(cell, new)
        self._made.append(new)

    def _extra(self, cell: Cell, extra: Extra) -> None:
        """Give a copied cell an `Extra` of its own."""
        new = cell.extra = Extra()
        for field in ALIKE:
            setattr(new, field, getattr(extra, field))
        new.timers, new.links = dict(extra.timers), dict(extra.links)
        new.runs = {key: self._entry(entry) for key, entry in extra.runs.items()}
        new.callers = {key: self._single(call) for key, call in extra.callers.items()}
        new.crash = None if extra.crash is None else self._note(extra.crash)
        if extra.delay_until_s is not None:
            new.delay_until_s = extra.delay_until_s + self._shift_s
        new.left = tuple((due_s + self._shift_s, self._entry(e)) for due_s, e in extra.left)
        if extra.debug is not None:
            new.debug = extra.debug.without_hooks(self.made.crashes.room)
        if isinstance(cell, WorkerCell):
            held = ((kind, self._marked(m), self._call(call)) for kind, m, call in extra.backlog)
            new.backlog = deque(held)
            if extra.kept is not None and cell.status is not CellStatus.RUNNING and extra.kept.has:
                cell.state = extra.kept.last
            replan(cell)
        else:
            new.backlog = deque(map(self._entry, extra.backlog))

    def _entry(self, entry: Any) -> Any:
        """Return an entry with its cells and calls led to their copies."""
        return type(entry)(*(self._part(getattr(entry, f)) for f in entry.__struct_fields__))

    def _part(self, value: Any) -> Any:
        if isinstance(value, Cell):
            return self._cell(value)
        return self._single(value) if isinstance(value, Pending) else self._value(value)

    def _groups(self) -> Groups:
        """Return the groups; with states that are copied, the values of their members are, too."""
        other = self._world.groups.copy()
        for group in other.groups.values() if self._values is not None else ():
            for name, member in [*group.members.items()]:
                group.own()[name] = Member(member.number, self._value(member.value))
        return other

    def _marked(self, message: Any) -> Any:
        """Return a message, as it is unless it names a cell."""
        if type(message) is Publishing:
            return msgspec.structs.replace(message, message=self._copied(message.message))
        has_cell = isinstance(message, msgspec.Struct) and "cell" in message.__struct_fields__
        marked = has_cell and isinstance(message.cell, Cell)
        return self._entry(message) if marked else self._copied(message)

    def _copied(self, message: Any) -> Any:
        """Return an input that waits; of a copy it is remembered what it is the copy of."""
        new = self._value(message)
        if new is not message:
            self._origins[id(new)] = (new, self._world.origin(message))
        return new

    def _value(self, value: Any) -> Any:
        return value if self._values is None else copy.deepcopy(value, self._values)

    def _call(self, waiter: Waiter | None) -> Pending | None:
        return None if waiter is None or type(waiter) is SentInput else self._single(waiter)

    def _single(self, waiter: Waiter) -> Pending:
        """Return the copy of a call, for which nobody waits: it ends in an outcome all the same."""
        known = self._calls.get(id(waiter))
        if known is None:
            known = self._calls[id(waiter)] = Pending(
                request=getattr(waiter, "request", ""), number=getattr(waiter, "number", 0)
            )
        return known

    def _note(self, note: CrashNote) -> CrashNote:
        known = self._notes.get(id(note))
        if known is None:
            known = self._notes[id(note)] = copy.copy(note)
            known.cell = self._cell(note.cell)
            known.before = None if note.before is None else self._note(note.before)
        return known

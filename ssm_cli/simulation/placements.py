"""Placements: all ways to put a few faults into a tree, up to symmetry, and which take it down.

Theory of operation. A search breadth first over states of a tree of stand-ins: the number of faults
grows by one a level, so that the first way down is one of the fewest faults. Two states that agree
in what matters (statuses, restarts and delays relative to now, which inits are to fail) go on alike
and are expanded once. Between two faults as much time passes as makes a difference: none, or until
just before or just behind the instant at which a restart is no longer counted, or a delay is over.

Siblings with equal specs that stand alike are interchangeable where their order decides nothing;
one of them stands for all, and the others are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.stand_ins import Happened, Stand
from ssm_cli.spec.model import Strategy, SupervisorSpec

MOST_STATES = 20_000
MOST_FAULTS = 8
MARGIN_S = 0.001  # what just inside and just outside of a period mean
IN_ORDER = Strategy.REST_FOR_ONE
CRASH, INIT_FAILS = "crash", "init fails"
Key = tuple[Any, ...]


class PlacedFault(NamedTuple):
    """A fault, and how long after the one before it; `alike` placements of it are the same."""

    after_s: float
    fault: str
    worker: str
    alike: int = 1


class Edge(NamedTuple):
    """A fault in a state and the state that follows; None: the root goes down."""

    placed: PlacedFault
    then: Key | None


class PolicySearch(msgspec.Struct):
    """What a search has found.

    Attributes:
        faults: how many were placed at most.
        placements: how many ways there are to place them that were tried.
        down: how many of those take the root down.
        states: how many different states faults were put into.
        first: one of the shortest ways down; empty where there is none.
        most: by supervisor, the most restarts that it has counted within its period.
        gave_up: the supervisors that gave up in some placement.
        stopped: which bound has stopped the search; "" if it is complete.
    """

    faults: int
    placements: int = 0
    down: int = 0
    states: int = 0
    first: tuple[PlacedFault, ...] = ()
    most: dict[str, int] = {}
    gave_up: dict[str, None] = {}
    stopped: str = ""


class Searching:
    """One search while it goes on."""

    def __init__(self, start: Stand, faults: int, pace: Pace) -> None:
        self.found = PolicySearch(faults)
        self._pace = pace
        self._shapes: dict[str, int] = {}
        self._known: dict[int, tuple[Any, int]] = {}  # by the identity of a spec, which is kept
        self._edges: dict[Key, list[Edge]] = {}
        self._waiting: dict[Key, Stand] = {}
        self._came: dict[Key, tuple[Key, PlacedFault] | None] = {}
        key = self._key(start)
        self._waiting[key], self._came[key] = start, None
        self._level: dict[Key, int] = {key: 1}

    def run(self) -> PolicySearch:
        """PolicySearch level by level, until all faults are placed or a bound is reached."""
        found = self.found
        for used in range(1, found.faults + 1):
            level: dict[Key, int] = {}
            last = used == found.faults
            for key, ways in self._level.items():
                if not self._expand(key, last=last):
                    break
                for edge in self._edges[key]:
                    if last and edge.placed.fault == INIT_FAILS:
                        continue  # no crash comes behind it
                    self._count(key, edge, ways * edge.placed.alike, level)
            if found.stopped:
                break
            self._level = level
        found.states = len(self._edges)
        return found

    def _count(self, key: Key, edge: Edge, ways: int, level: dict[Key, int]) -> None:
        self.found.placements += ways
        if edge.then is not None:
            level[edge.then] = level.get(edge.then, 0) + ways
            return
        self.found.down += ways
        if not self.found.first:
            self.found.first = (*self._way_to(key), edge.placed)

    def _way_to(self, key: Key) -> tuple[PlacedFault, ...]:
        way: list[PlacedFault] = []
        while (came := self._came[key]) is not None:
            key, placed = came
            way.append(placed)
        return tuple(reversed(way))

    def _expand(self, key: Key, *, last: bool) -> bool:
        """Find what every fault in a state leads to; False: a bound is reached.

        What the `last` fault leads to is not looked at, unless it is the end of the root.
        """
        if key in self._edges:
            return True
        if self._is_over():
            return False
        edges = self._edges[key] = []
        for later, placed in self._placed(self._waiting.pop(key)):
            if self._is_over():
                break  # what was found so far counts
            if not (last and placed.fault == INIT_FAILS):
                edges.append(self._edge(key, later, placed, last=last))
        return True

    def _is_over(self) -> bool:
        """Return whether a bound is reached; note which."""
        if len(self._came) > MOST_STATES:
            self.found.stopped = f"{MOST_STATES:,} states"
        elif self._pace.is_over():
            self.found.stopped = self._pace.said
        self._pace.tell("states", len(self._edges), 0)
        return bool(self.found.stopped)

    def _edge(self, key: Key, later: Stand, placed: PlacedFault, *, last: bool) -> Edge:
        """Put a fault into a tree in which as much time as it wants has passed."""
        other = later.fork()
        place(other, placed._replace(after_s=0.0))
        self._note(later.happened)
        self._note(other.happened)
        if not other.is_up:
            return Edge(placed, None)
        if last:
            return Edge(placed, ())
        then = self._key(other)
        if then not in self._came:
            self._waiting[then], self._came[then] = other, (key, placed)
        return Edge(placed, then)

    def _note(self, events: list[Happened]) -> None:
        most = self.found.most
        for one in events:
            if one.decided:
                most[one.decided] = max(most.get(one.decided, 0), one.detail["restarts"])
            if one.event == "gave_up":
                self.found.gave_up[one.id] = None

    def _placed(self, stand: Stand) -> Iterator[tuple[Stand, PlacedFault]]:
        """Yield the faults that can come next, one for those that are alike, and the tree then."""
        for after_s in (0.0, *instants(stand)):
            later = stand
            if after_s:
                later = stand.fork()
                later.wait(after_s)
            if not later.is_up:
                yield later, PlacedFault(after_s, CRASH, "")
            for worker, count in self._orbits(later) if later.is_up else ():
                yield later, PlacedFault(after_s, CRASH, worker, count)
                if not after_s:
                    yield later, PlacedFault(after_s, INIT_FAILS, worker, count)

    def _orbits(self, stand: Stand) -> list[tuple[str, int]]:
        """Return the workers that run; of those that are interchangeable the first, counted."""
        counts: dict[Any, list[Any]] = {}
        for cell in stand.running():
            parent = cell.parent
            assert parent is not None, "a worker has a supervisor"
            alike: Any = cell.spec.id
            if parent.spec.strategy is not IN_ORDER:
                alike = id(parent), self._facts(cell, stand)
            counts.setdefault(alike, [cell.spec.id, 0])[1] += 1
        return [(worker, count) for worker, count in counts.values()]

    def _key(self, stand: Stand) -> Key:
        return self._facts(stand.world.root, stand)

    def _shape(self, spec: Any) -> int:
        """Return a number that a spec shares with those that differ from it in ids alone."""
        known = self._known.get(id(spec))
        if known is None:
            number = self._shapes.setdefault(repr(nameless(spec)), len(self._shapes))
            known = self._known[id(spec)] = spec, number
        return known[1]

    def _facts(self, cell: Cell, stand: Stand) -> Key:
        """Return what matters of a cell and of all below it, equal for what is alike."""
        now_s, extra, spec = stand.now_s(), cell.extra, cell.spec
        delay_s, attempt, held = -1.0, 0, False
        if extra is not None:
            attempt, held = extra.attempt, extra.suspended
            if extra.delay_until_s is not None:
                delay_s = round(extra.delay_until_s - now_s, 6)
        age_s = 0.0
        if attempt and cell.parent is not None:
            age_s = round(min(now_s - cell.since_s, cell.parent.spec.period_s + MARGIN_S), 6)
        own = (self._shape(spec), int(cell.status), delay_s, attempt, held, age_s)
        if not isinstance(cell, SupervisorCell):
            return *own, stand.armed.get(spec.id, 0)
        window = tuple(round(at_s - now_s, 6) for at_s in cell.window.within(now_s))
        children = [self._facts(child, stand) for child in cell.children.values()]
        if spec.strategy is not IN_ORDER:
            children.sort()
        return *own, window, tuple(children)


def place(stand: Stand, placed: PlacedFault) -> None:
    """Let time pass in a tree, and put a fault there."""
    stand.wait(placed.after_s)
    if placed.fault == INIT_FAILS:
        stand.armed[placed.worker] = stand.armed.get(placed.worker, 0) + 1
    elif stand.is_up and placed.worker:
        stand.crash(placed.worker)


def nameless(spec: Any) -> Any:
    """Return a spec without ids."""
    if not isinstance(spec, SupervisorSpec):
        return msgspec.structs.replace(spec, id="")
    children = tuple(map(nameless, spec.children))
    return msgspec.structs.replace(spec, id="", children=children)


def instants(stand: Stand) -> list[float]:
    """Return after how many seconds something is other than now: a restart counts no more, ...

    Of each such instant what lies just before it and just behind it, in order.
    """
    now_s, found = stand.now_s(), {0.0}
    for cell in stand.world.names.values():
        for left_s in changes_of(cell, now_s):
            found |= {round(left_s - MARGIN_S, 6), round(left_s + MARGIN_S, 6)}
    return sorted(s for s in found if s > 0)


def changes_of(cell: Cell, now_s: float) -> Iterator[float]:
    """Yield in how many seconds something of a cell changes by itself."""
    extra = cell.extra
    if isinstance(cell, SupervisorCell):
        for at_s in cell.window.within(now_s):
            yield at_s + cell.spec.period_s - now_s
    if extra is not None and extra.delay_until_s is not None:
        yield extra.delay_until_s - now_s
    elif extra is not None and extra.attempt and cell.parent is not None:
        yield cell.since_s + cell.parent.spec.period_s - now_s


def crash_matrix(start: Stand) -> dict[str, list[str]]:
    """Return, by worker that runs, which other workers go down when it crashes, in start order."""
    names = [name for name, cell in start.world.names.items() if isinstance(cell, WorkerCell)]
    found = {}
    for cell in start.running():
        stand = start.fork()
        stand.crash(cell.spec.id)
        gone = {one.id for one in stand.happened if one.event in ("terminated", "killed")}
        found[cell.spec.id] = [name for name in names if name in gone and name != cell.spec.id]
    return found

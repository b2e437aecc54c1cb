"""Looking at a part of a tree: one node, or the children of one, without a view of all others.

A screen shows some dozens of nodes of what may be a million. What it asks for here costs the
same whatever the size of the tree, but for `children` and `census`, which say what they cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell, SupervisorCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import delay_of, state_of, view
from ssm_cli.runtime.views import Kind, NodeView

CENSUS_CELLS = 5_000  # looked at between two rests of a census; some tenths of a millisecond
RUNNING = CellStatus.RUNNING  # looked at for each worker: a global is quick
TROUBLED = 4  # so many workers that do not run are remembered of each supervisor


class Glance(msgspec.Struct, frozen=True):
    """A node as it stands: its view without children, and how many it has."""

    view: NodeView
    size: int = 0


class Rows(msgspec.Struct, frozen=True):
    """Some nodes as they stand, and of all the others what is known at once.

    Attributes:
        seen: stands for what `Listing.moved` tells of this run of the tree.
        root: the name of the root.
        nodes: how many nodes the tree has.
        queue: how many inputs wait in the node's queue.
        deep: see `Listing.deep`.
        rows: the nodes that were asked for, None for one that is unknown; None for all of them
            where nothing has happened since they were last seen.
    """

    seen: str
    root: str
    nodes: int
    queue: int
    deep: dict[str, list[str]]
    rows: list[Glance | None] | None = None


class Branch(msgspec.Struct, frozen=True):
    """A supervisor with its children: how many, the first of them, and those with more below."""

    name: str
    size: int
    first: list[str]
    supervisors: list[str]


class Census(msgspec.Struct):
    """Counts over a whole tree, taken bit by bit.

    Attributes:
        workers: how many there are, remote children too.
        remotes: how many of them are remote.
        restarts: of all nodes.
        held: inputs that wait for workers that are suspended, or not started again yet.
        steps: by the name of each supervisor, the inputs that the workers below it have served.
        troubled: by the name of each supervisor, its first children that do not run.
    """

    workers: int = 0
    remotes: int = 0
    restarts: int = 0
    held: int = 0
    steps: dict[str, int] = {}
    troubled: dict[str, list[str]] = {}


class Listing:
    """What can be seen of a node's tree, piece by piece. Names are ids; an unknown one is None."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: Counter[int] = Counter()
        self._moved = 0
        self._seq, self._newest = -1, None

    def moved(self) -> int:
        """Return a number that stays the same only while nothing happens but that time passes.

        What happens is reported, or remembered; so it grows with every look at a node that
        remembers nothing, has remote children, or has inputs that wait.
        """
        world = self._world
        history, seq = world.history, world.reports.seq
        newest = history.ring[-1] if history is not None and history.ring else None
        busy = world.queue or history is None or world.outside.links is not None
        if busy or seq != self._seq or newest is not self._newest:
            self._moved += 1
        self._seq, self._newest = seq, newest
        return self._moved

    @property
    def root(self) -> str:
        """The name of the root."""
        name: str = self._world.root.spec.id
        return name

    @property
    def nodes(self) -> int:
        """How many nodes the tree has."""
        return len(self._world.names)

    @property
    def queue(self) -> int:
        """How many inputs wait in the node's queue."""
        return len(self._world.queue)

    def look(self) -> None:
        """Count the inputs that wait for each worker, for the glances that follow."""
        self._waiting = Counter(id(entry[0]) for entry in self._world.queue)

    def need(self, names: Sequence[str]) -> None:
        """Prepare for glances at these nodes: here they cost little each."""

    def deep(self, least: int) -> dict[str, list[str]]:
        """By supervisor, the first workers below it for which at least so many inputs wait."""
        found: dict[str, list[str]] = {}
        for cell, count in Counter(entry[0] for entry in self._world.queue).items():
            if count >= least and cell.parent is not None:
                deep = found.setdefault(cell.parent.spec.id, [])
                if len(deep) < TROUBLED:
                    deep.append(cell.spec.id)
        return found

    def glance(self, name: str) -> Glance | None:
        """One node; queues as of the last `look`."""
        cell = self._cell(name)
        if cell is None:
            return None
        if isinstance(cell, SupervisorCell):
            return Glance(self._supervisor(cell), len(cell.children))
        above = "" if cell.parent is None else cell.parent.path()
        return Glance(view(self._world, cell, above, self._waiting))

    def _supervisor(self, cell: SupervisorCell) -> NodeView:
        spec, now_s = cell.spec, self._world.clock.now_s()
        return NodeView(
            spec.id,
            cell.path(),
            "supervisor",
            state_of(self._world, cell),
            max(0, cell.starts - 1),
            now_s - cell.since_s if cell.status is CellStatus.RUNNING else 0.0,
            strategy=spec.strategy.value,
            intensity=spec.intensity,
            period=spec.period_s,
            budget_left=max(0, spec.intensity - cell.window.count(now_s)),
            delay_ms=delay_of(cell, now_s),
        )

    def size(self, name: str) -> int:
        """How many children a supervisor has; 0 for a worker."""
        cell = self._cell(name)
        return len(cell.children) if isinstance(cell, SupervisorCell) else 0

    def children(self, name: str, most: int | None = None) -> list[str]:
        """The first `most` children of a supervisor in start order; costs time for each."""
        cell = self._cell(name)
        return list(islice(cell.children, most)) if isinstance(cell, SupervisorCell) else []

    def supervisors(self, name: str) -> list[str]:
        """The children of a supervisor that are supervisors; costs time for each child."""
        cell = self._cell(name)
        if not isinstance(cell, SupervisorCell):
            return []
        return [id_ for id_, child in cell.children.items() if type(child) is SupervisorCell]

    def branches(self, first: int) -> Iterator[Branch]:
        """Each supervisor with its `first` children, as it is when it is reached."""
        waiting = [self.root]
        while waiting:
            name = waiting.pop()
            below = self.supervisors(name)
            yield Branch(name, self.size(name), self.children(name, first), below)
            waiting += below

    def census(self) -> Iterator[Census]:
        """Counts over the whole tree, `CENSUS_CELLS` cells a step; the last one is complete.

        Meanwhile the tree may change: each supervisor is counted as it was when it was reached.
        """
        census, looked = Census(), 0
        waiting: list[tuple[SupervisorCell, tuple[str, ...]]] = [(self._world.root, ())]
        while waiting:
            supervisor, above = waiting.pop()
            name = supervisor.spec.id
            line = (*above, name)
            census.steps.setdefault(name, 0)
            census.restarts += max(0, supervisor.starts - 1)
            cells = iter(tuple(supervisor.children.values()))
            while batch := list(islice(cells, CENSUS_CELLS)):
                steps, below = _count(census, name, batch)
                waiting += [(cell, line) for cell in below]
                census.workers += len(batch) - len(below)
                for one in line:
                    census.steps[one] += steps
                looked += len(batch)
                if looked >= CENSUS_CELLS:
                    looked = 0
                    yield census
        yield census

    def kind(self, name: str) -> Kind | None:
        """What a node is."""
        cell = self._cell(name)
        return None if cell is None else cell.kind

    def _cell(self, name: str) -> Cell | None:
        root = self._world.root
        return root if name == root.spec.id else self._world.names.get(name)


def _count(
    census: Census, supervisor: str, cells: Iterable[Cell]
) -> tuple[int, list[SupervisorCell]]:
    """Count workers among the children of a supervisor; return their steps, and the supervisors.

    A screen has all workers counted every few seconds: what is seldom alone is added one by one.
    """
    steps, below = 0, []
    for cell in cells:
        if type(cell) is SupervisorCell:
            below.append(cell)
            continue
        steps += cell.steps
        if cell.starts > 1:
            census.restarts += cell.starts - 1
        if type(cell) is RemoteCell:
            census.remotes += 1
        if cell.extra is not None:
            census.held += len(cell.extra.backlog)
        if cell.status is not RUNNING:
            _remember(census, supervisor, cell)
    return steps, below


def _remember(census: Census, supervisor: str, cell: Cell) -> None:
    troubled = census.troubled.setdefault(supervisor, [])
    if len(troubled) < TROUBLED:
        troubled.append(cell.spec.id)

"""Digests of worlds: two that have one will go on alike, given alike inputs.

What counts: which children there are and how each stands, states, what waits, and times relative
to now: of restarts within their periods, of timers, of back-offs. What does not: numbers that only
count (starts, steps, reports), and how long ago something began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from hashlib import blake2b
from typing import Any, get_args

from ssm_cli.runtime.engine.cell import Cell, CellStatus, Extra, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import MARKED, Entry
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World

DIGEST_BYTES = 16
PLAIN = (type(None), bool, int, float, complex, str, bytes)
ENTRIES = (*get_args(Entry), *MARKED)
MOST_DEPTH = 200  # of what is nested; a state that is deeper is taken by its type alone


def world_digest(world: World) -> bytes:
    """Return 16 bytes that stand for all of a world that decides how it goes on."""
    now_s = world.clock.now_s()
    parts: list[object] = [world.running, [*facts(world.root, now_s)]]
    parts.append([(cell.spec.id, kind, waiting(m), w is None) for cell, kind, m, w in world.queue])
    parts.append([entry_of(entry) for entry in (*world.lane, *world.retries)])
    timers = sorted(world.timers.waiting(), key=lambda due: due[:2])
    parts.append([(round(s - now_s, 9), entry_of(entry)) for s, _, entry in timers])
    if any(has_chance(cell) for cell in world.names.values()):
        parts.append(world.random.getstate())
    return sum_of(parts)


def facts(cell: Cell, now_s: float) -> Iterator[object]:
    """Yield what counts of a cell, and of all below it."""
    spec, extra = cell.spec, cell.extra
    yield spec.id, type(cell).__name__, int(cell.status)
    if cell.status is CellStatus.RUNNING and spec.backoff is not None and cell.parent is not None:
        yield now_s - cell.since_s > cell.parent.spec.period_s
    until_s = None if extra is None else extra.delay_until_s
    yield until_s and round(until_s - now_s, 9)
    if extra is not None and (extra.attempt or extra.suspended or extra.timeout_ms is not None):
        yield extra.attempt, extra.suspended, extra.timeout_ms
    if extra is not None and (extra.timers or extra.callers or extra.backlog):
        yield sorted(map(str, extra.timers)), called(extra), list(map(waiting, extra.backlog))
    if isinstance(cell, WorkerCell):
        yield cell.state
    elif isinstance(cell, SupervisorCell):
        yield [round(s - now_s, 9) for s in cell.window.within(now_s)], cell.overdue
        for child in cell.children.values():
            yield from facts(child, now_s)


def called(extra: Extra) -> list[str]:
    """Return under which keys calls wait; those with a `Caller` have none."""
    return sorted("" if isinstance(key, tuple) else str(key) for key in extra.callers)


def has_chance(cell: Cell) -> bool:
    """Return whether the random source of a world may decide something about a cell."""
    backoff = cell.spec.backoff
    return backoff is not None and backoff.jitter > 0


def waiting(item: Any) -> object:
    """Return what counts of something that waits: a message, a marked one, a triple, an entry."""
    if isinstance(item, tuple):
        return [waiting(part) for part in item]
    if isinstance(item, Pending):
        return "call"
    return entry_of(item) if isinstance(item, ENTRIES) else item


def entry_of(entry: Any) -> object:
    """Return what counts of an entry: its kind and its fields, but for numbers that only count."""
    fields = [f for f in entry.__struct_fields__ if f not in ("starts", "number", "restarts")]
    return type(entry).__name__, [part_of(getattr(entry, f)) for f in fields]


def part_of(value: Any) -> object:
    """Return a field of an entry, a cell by its id and a call as one."""
    if isinstance(value, Cell):
        return value.spec.id
    return "call" if isinstance(value, Pending) else value


def sum_of(value: object) -> bytes:
    """Return a digest of a value of a user's, by its content.

    Mappings and sets count whatever their order; an object by its type and what it would be copied
    from (`__reduce_ex__`), code by its name.

    >>> sum_of({"x": 1, "y": 2}) == sum_of({"y": 2, "x": 1}), sum_of(1) == sum_of(True)
    (True, False)
    """
    return Sums().of(value)


class Sums:
    """Digests of values. An object that many refer to is looked at once, and kept meanwhile."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}

    def of(self, value: Any, depth: int = 0) -> bytes:
        """Return the digest of a value that is nested `depth` deep."""
        kind = type(value)
        head = f"{kind.__module__}.{kind.__qualname__}:"
        if kind in PLAIN:
            return _hash(head, repr(value).encode("utf-8", "surrogatepass"))
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        above = _hash(head, b"above")
        if depth > MOST_DEPTH:
            return above
        self._known[id(value)] = value, above  # for what it holds, if that refers to it again
        parts = [self.of(part, depth + 1) for part in _parts(value)]
        if is_unordered(value):
            parts.sort()
        found = _hash(head, *parts)
        self._known[id(value)] = value, found
        return found


def is_unordered(value: Any) -> bool:
    """Return whether the order of what a value holds does not count."""
    return isinstance(value, Mapping | AbstractSet)


def _parts(value: Any) -> Iterable[object]:
    """Return what a value consists of."""
    if isinstance(value, Enum):
        return (value.name,)
    if is_unordered(value):
        return value.items() if isinstance(value, Mapping) else value
    if isinstance(value, deque):
        return (value.maxlen, *value)
    if isinstance(value, Sequence) and not isinstance(value, bytearray | memoryview | range):
        return value
    fields = getattr(value, "__struct_fields__", None)
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return (getattr(value, "__module__", ""), name)
    return _copied_from(value) if fields is None else [getattr(value, field) for field in fields]


def _copied_from(value: Any) -> Sequence[object]:
    """Return what an object would be copied from; nothing for one that cannot be copied."""
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:  # noqa: BLE001 - whatever cannot be copied counts by its type
        return ()
    return reduced[1:3] if isinstance(reduced, tuple) else (reduced,)


def _hash(head: str, *parts: bytes) -> bytes:
    found = blake2b(head.encode(), digest_size=DIGEST_BYTES)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()

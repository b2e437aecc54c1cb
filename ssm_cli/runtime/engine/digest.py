"""Digests of worlds: two that have one will go on alike, given alike inputs.

What counts: which children there are and how each stands, states, what waits, and times relative
to now: of restarts within their periods, of timers, of back-offs. What does not: numbers that only
count (starts, steps, reports), and how long ago something began.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import partial
from hashlib import blake2b
from itertools import islice
from types import MemberDescriptorType, ModuleType
from typing import Any, get_args

from ssm_cli.behaviour.sizes import whole_text
from ssm_cli.runtime.engine.cell import Cell, CellStatus, Extra, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.contained import contained
from ssm_cli.runtime.engine.entries import MARKED, Entry
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside

DIGEST_BYTES = 16
PLAIN = (type(None), bool, int, float, complex, str, bytes)
ENTRIES = (*get_args(Entry), *MARKED)
PROTOCOL = 4  # of copying; earlier ones leave out the fold of a time
COPYING = ("__reduce_ex__", "__reduce__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")
MODULE: Any = vars(type)["__module__"]
DEQUE_ROOM: Any = vars(deque)["maxlen"]
QUALNAME: Any = vars(type)["__qualname__"]
Parts = tuple[tuple[object, ...], tuple[object, ...]]
Run = Callable[[Callable[..., Parts], Any], Parts]
UNSEEN: Parts = ("unseen",), ()
LOOKS: dict[type, Callable[[Any], Parts]] = {
    OrderedDict: lambda value: (tuple(islice(OrderedDict.items(value), len(value))), ()),
    defaultdict: lambda value: ((value.default_factory,), tuple(dict.items(value))),
    dict: lambda value: ((), tuple(dict.items(value))),
    list: lambda value: (tuple(list.__iter__(value)), ()),
    tuple: lambda value: (tuple(tuple.__iter__(value)), ()),
    set: lambda value: ((), tuple(set.__iter__(value))),
    frozenset: lambda value: ((), tuple(frozenset.__iter__(value))),
    deque: lambda value: ((DEQUE_ROOM.__get__(value), *deque.__iter__(value)), ()),
    str: lambda value: ((str.__str__(value),), ()),
    memoryview: lambda value: ((value.format, value.shape, value.tobytes()), ()),
    Mapping: lambda value: ((), tuple(value.items())),
    AbstractSet: lambda value: ((), tuple(value)),
}
"""What values of these types, and of their subclasses, consist of: what counts in its order, and
what in any. But for the last two no user code is asked."""
COUNTS = frozenset({"starts", "number", "restarts", "record", "cause"})  # fields that only count
MOST_DEPTH = 200  # of what is nested; a state that is deeper is taken by its type alone


def world_digest(world: World) -> bytes:
    """Return 16 bytes that stand for all of a world that decides how it goes on."""
    now_s = world.clock.now_s()
    parts: list[object] = [world.running, [*facts(world.root, now_s)]]
    parts.append([(cell.spec.id, kind, waiting(m), is_sent(w)) for cell, kind, m, w in world.queue])
    parts.append([entry_of(entry) for entry in (*world.lane, *world.retries)])
    timers = sorted(world.timers.waiting(), key=lambda due: due[:2])
    parts.append([(round(s - now_s, 9), entry_of(entry)) for s, _, entry in timers])
    groups = sorted(world.groups.groups.items())
    parts.append(
        [(name, [(w, m.value) for w, m in group.members.items()]) for name, group in groups]
    )
    parts.append(sorted((who, *sorted(by.items())) for who, by in world.monitors.watchers.items()))
    if any(has_chance(cell) for cell in world.names.values()):
        parts.append(world.random.getstate())
    return sum_of(parts, partial(contained, world, world.root, unseen))


def unseen(_: BaseException) -> Parts:
    """Return what counts of a value that cannot be looked at, besides its type."""
    return UNSEEN


def facts(cell: Cell, now_s: float) -> Iterator[object]:
    """Yield what counts of a cell, and of all below it."""
    spec, extra = cell.spec, cell.extra
    yield spec.id, type(cell).__name__, int(cell.status)
    if cell.status is CellStatus.RUNNING and spec.backoff is not None and cell.parent is not None:
        yield now_s - cell.since_s > cell.parent.spec.period_s
    until_s = None if extra is None else extra.delay_until_s
    yield until_s and round(until_s - now_s, 9)
    if extra is not None and (extra.attempt or extra.suspended or extra.timeout_after is not None):
        yield extra.attempt, extra.suspended, extra.timeout_after
    if extra is not None and (extra.timers or extra.callers or extra.backlog or extra.runs):
        yield sorted(map(str, extra.timers)), called(extra), list(map(waiting, extra.backlog))
        yield sorted(extra.runs)
    if extra is not None and (extra.unbegun or extra.begun is not None):
        yield "begun", extra.unbegun, extra.begun is not None
    if extra is not None and extra.left:
        yield "left", [(round(due_s - now_s, 9), entry_of(entry)) for due_s, entry in extra.left]
    if extra is not None and extra.links:
        yield "links", sorted(extra.links)
    if isinstance(cell, WorkerCell):
        kept: Any = None if extra is None else extra.kept
        down = kept is not None and kept.has and cell.status is not CellStatus.RUNNING
        yield kept.last if down else cell.state
    elif isinstance(cell, SupervisorCell):
        yield [round(s - now_s, 9) for s in cell.window.within(now_s)], cell.overdue
        for child in cell.children.values():
            yield from facts(child, now_s)


def is_sent(waiter: object) -> bool:
    """Return whether nobody waits for an input."""
    return waiter is None or type(waiter) is SentInput


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
    if type(item) is SentInput:
        return None
    if type(item) is Publishing:
        return item.waiting()
    return entry_of(item) if isinstance(item, ENTRIES) else item


def entry_of(entry: Any) -> object:
    """Return what counts of an entry: its kind and its fields, but for numbers that only count."""
    fields = [f for f in entry.__struct_fields__ if f not in COUNTS]
    return type(entry).__name__, [part_of(getattr(entry, f)) for f in fields]


def part_of(value: Any) -> object:
    """Return a field of an entry, a cell by its id and a call as one."""
    if isinstance(value, Cell):
        return value.spec.id
    return "call" if isinstance(value, Pending) else value


def sum_of(value: object, run: Run | None = None) -> bytes:
    """Return a digest of a value of a user's, by its content.

    Mappings and sets count whatever their order, but for an `OrderedDict`; an object by its type
    and what it holds, or would be copied from (`__reduce_ex__`); code by its name, a method by its
    object as well; what cannot be looked at by its type. `run` runs what may be user code.

    >>> sum_of({"x": 1, "y": 2}) == sum_of({"y": 2, "x": 1}), sum_of(1) == sum_of(True)
    (True, False)
    """
    return Sums(run or by_itself).of(value)


def by_itself(function: Callable[..., Parts], value: Any) -> Parts:
    """Run user code that looks at a value; what it raises stays here, unless it is from outside."""
    try:
        return function(value)
    except BaseException as error:
        if is_from_outside(None, error):
            raise
        return UNSEEN


class Sums:
    """Digests of values. An object that many refer to is looked at once, and kept meanwhile."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[int, tuple[Any, bytes]] = {}

    def of(self, value: Any, depth: int = 0) -> bytes:
        """Return the digest of a value that is nested `depth` deep."""
        kind = type(value)
        head = ".".join(_name_of(kind))
        if kind is int:
            return _hash(head, whole_text(value).encode())
        if kind in PLAIN:
            return _hash(head, repr(value).encode("utf-8", "surrogatepass"))
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        above = _hash(head, b"above")
        if depth > MOST_DEPTH:
            return above
        self._known[id(value)] = value, above  # for what it holds, if that refers to it again
        look = None if kind is OrderedDict else LOOKS.get(kind)  # which hashes its keys to go on
        ordered, unordered = look(value) if look else self._run(_parts, value)
        deeper = partial(self.of, depth=depth + 1)
        parts = [*map(deeper, ordered), *sorted(map(deeper, unordered))]
        found = _hash(f"{head}:{len(ordered)}", *parts)
        self._known[id(value)] = value, found
        return found


def _name_of(kind: type) -> tuple[str, str]:
    """Return the names of the module and of a class, whatever its metaclass says."""
    module = MODULE.__get__(kind)
    return module if type(module) is str else "", QUALNAME.__get__(kind)


def _parts(value: Any) -> Parts:
    """Return what a value consists of, as `LOOKS`."""
    kind = type(value)
    if issubclass(kind, Enum):
        return (value._name_, value._value_), ()
    for base, look in LOOKS.items():
        if issubclass(kind, base):
            ordered, unordered = look(value)
            return (*_attributes(value, kind), *ordered), unordered
    if issubclass(kind, type):
        return _name_of(value), ()
    if issubclass(kind, ModuleType):
        return (value.__name__,), ()
    if kind.__module__ == "builtins" and hasattr(value, "__qualname__"):
        return (getattr(value, "__module__", ""), value.__qualname__, _owner(value)), ()
    return _attributes(value, kind) if _is_bare(kind) else _copied_from(value), ()


def _owner(value: Any) -> object:
    """Return the object of a method; nothing of a function, whose module it may be."""
    owner = getattr(value, "__self__", None)
    return None if isinstance(owner, ModuleType) else owner


def _attributes(value: Any, kind: type) -> tuple[object, ...]:
    """Return what an instance holds in attributes and slots, without asking its class."""
    found: list[object] = []
    for base in kind.__mro__:
        if "__slots__" in vars(base):
            for name, slot in vars(base).items():
                if type(slot) is MemberDescriptorType:
                    with contextlib.suppress(AttributeError):
                        found.append((name, slot.__get__(value, kind)))
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        held = None
    return (held or None, *found)


def _is_bare(kind: Any) -> bool:
    """Whether an object is no more than what its attributes hold: its class does not say how."""
    return all(getattr(kind, name, None) is getattr(object, name, None) for name in COPYING)


def _copied_from(value: Any) -> tuple[object, ...]:
    """Return what an object would be copied from; fails for one that cannot be copied."""
    reduced = value.__reduce_ex__(PROTOCOL)
    if not isinstance(reduced, tuple):
        return (reduced,)
    make, parts, state, *held = (*reduced, None, None, None)[:5]
    return make, parts, state, *(None if one is None else [*one] for one in held)


def _hash(head: str, *parts: bytes) -> bytes:
    found = blake2b(head.encode(), digest_size=DIGEST_BYTES)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()

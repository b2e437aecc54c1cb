"""Rerunning: a fork made anew, without some of its records or with other inputs in their place.

Theory of operation. Records up to the one that the fork was made at are those of its source. What
is left out of them is left out of the source's own past, and that is stepped again in its order.
Behind them come the fork's own records. If nothing of the source's changes, these are stepped again
in their order as well. Else the fork is another one by then, and brings other inputs itself: it is
given what it was given by hand, at the times of then, and what it brings is served in between.
What waited in it when it was made, or waits now, waits there again, unless it is gone with what had
sent it: so the fork stays where it is, and what differs has come of what was changed.

A record keeps its number where it can: one that is left out leaves a gap.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from ssm_cli.errors import Forgotten
from ssm_cli.history.places import Fork
from ssm_cli.history.turns import Turns
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.entries import MARKED
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.recorder import (
    LATER,
    Acted,
    AskedFor,
    Entry,
    Moment,
    Passed,
    PutOff,
    Recorder,
    go_on_at,
)
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.recording.given import BYTES, inputs_waiting, waits_as
from ssm_cli.runtime.recording.restep import is_own, known_by
from ssm_cli.runtime.recording.rewind import as_it_is, at_once

Copied = Callable[[Node, int], Turns[Node]]
Keys = Counter[tuple[str, int]]
"""How many inputs of which worker, by what each is known by (`waits_as`)."""


def rerun(fork: Fork, instead: Mapping[int, Any], copied: Copied) -> Turns[tuple[Node, Entry]]:
    """Return the tree of a fork, stepped again, and the moment behind which its own records are.

    Done in turns, between which its source may go on.

    Args:
        fork: it is not changed.
        instead: by record, the input to be served in its place; None leaves it out.
        copied: makes a scratch tree of a tree, behind a record, in turns.

    Raises:
        Forgotten: not all that is needed is remembered.
    """
    return (yield from again(fork, instead, copied, fork.node._world))  # noqa: SLF001 - of a fork that nobody else has


def again(
    fork: Fork, instead: Mapping[int, Any], copied: Copied, end: World, last: int | None = None
) -> Turns[tuple[Node, Entry]]:
    """Step a fork again, up to the `last` of its own records, and to the time of the world `end`.

    What waits in that waits in the end.

    Returns:
        Its tree, and the moment behind which its own records are.
    """
    source, own = fork.source.recorder(), fork.node.recorder()
    if source is None or own is None or fork.base not in own.ring:
        raise Forgotten(f"not all that {fork.name} has served is remembered; `fork` makes another")
    brought = brought_before(fork)
    awaited, at_first = left_waiting(end, brought), left_waiting(began(fork), brought)
    if min(instead) > fork.record:
        node = yield from copied((yield from fork.node.turns_to(fork.base[0])), fork.base[0])
        base = base_of(node)
        then = entries_between(own, fork.base[0], own.last())
        yield from node.step_again(own, then, instead, awaited)
        served = False
    else:
        node = yield from source_again(fork, instead, copied, at_first)
        base = base_of(node, fork.record)
        behind = (e for e in entries_behind(own, fork.base) if last is None or e[0] <= last)
        given, served = by_hand(own, behind, began(fork))
        yield from node.give_again(own, given, instead)
    yield from go_on_to(node, end, serves=served or not awaited)
    wait_as(node._world, awaited)  # noqa: SLF001 - of a fork that nobody else has
    return node, base


def source_again(
    fork: Fork, instead: Mapping[int, Any], copied: Copied, awaited: Sequence[Entry]
) -> Turns[Node]:
    """Step again what a fork was made of, up to where that was; leave waiting what waited there."""
    source, first, parent = fork.source.recorder(), min(instead), fork.parent
    assert source is not None, "it was looked for"
    if parent is not None and first <= parent.record:
        given = {n: said for n, said in {**parent.instead, **instead}.items() if n <= fork.record}
        node, _ = yield from again(parent, given, copied, began(fork), fork.record)
        return node
    known = as_it_is(source)
    then = [*at_once(known, entries_between(known, first - 1, fork.record), fork.record)]
    node = yield from copied((yield from fork.source.turns_to(first - 1)), first - 1)
    yield from node.step_again(known, then, instead, awaited)
    wait_as(node._world, awaited)  # noqa: SLF001 - of a fork that nobody else has
    return node


def began(fork: Fork) -> World:
    """Return what a fork began as, with all that waited in it."""
    world: World = fork.base[5].world
    return world


def go_on_to(node: Node, end: World, *, serves: bool) -> Turns[None]:
    """Let time pass in a tree up to that of another; it `serves` what waits meanwhile, or not."""
    left_s = max(0.0, end.clock.now_s() - node.now_s())
    if serves:
        yield from node.turns(left_s)
    else:
        cast("ManualClock", node._world.clock).advance_s(left_s)  # noqa: SLF001 - as above


def left_waiting(world: World, brought: Collection[int]) -> list[Entry]:
    """Return what waits in a tree, in its order, as entries; they say which of it was `brought`."""
    found: list[Entry] = []
    for cell, kind, waits, waiter in world.queue:
        message = world.origin(waits)
        own = type(waiter) is SentInput or type(message) is Publishing or id(message) in brought
        what = PutOff(kind, message, waiter is not None and not own, own)
        found.append((0, cell, None, None, None, what))
    return found


def wait_as(world: World, awaited: Sequence[Entry]) -> None:
    """Have in a queue what is awaited, in its order, and what waits there besides behind it.

    An input from outside may not have come there by itself; one that was brought has, or not.
    """
    here = [*world.queue]
    same, alike = defaultdict[Any, list[int]](list), defaultdict[Any, list[int]](list)
    for index, (cell, kind, message, _) in reversed([*enumerate(here)]):
        same[cell.spec.id, kind, waits_as(world.origin(message))].append(index)
        alike[known_by(cell, kind, message)].append(index)
    ordered: list[Any] = []
    for _, cell, _, _, _, what in awaited:
        key = cell.spec.id, what.kind, waits_as(what.message)
        own = what.own or isinstance(what.message, MARKED)
        found = taken(same[key], here) or (
            taken(alike[known_by(cell, what.kind, what.message)], here) if own else None
        )
        if found is None and not own and type(worker := world.names.get(key[0])) is WorkerCell:
            found = worker, what.kind, what.message, Pending() if what.waits else None
        if found is not None:
            ordered.append(found)
    world.queue.clear()
    world.queue.extend((*ordered, *(one for one in here if one is not None)))


def taken(places: list[int], here: list[Any]) -> Any:
    """Take the first of some places that is not empty yet; return None where none is left."""
    while places:
        index = places.pop()
        if here[index] is not None:
            found, here[index] = here[index], None
            return found
    return None


def base_of(node: Node, record: int = 0) -> Entry:
    """Return the moment that a fork keeps now; its next record comes behind `record`."""
    recorder = node.recorder()
    assert recorder is not None, "a scratch tree remembers"
    go_on_at(recorder, record + 1)
    if type(recorder.ring[-1][5]) is not Moment:
        recorder.moment()
    return recorder.ring[-1]


def entries_between(recorder: Recorder, first: int, last: int) -> list[Entry]:
    """Return what is remembered behind one record and what followed from it at once, to another."""
    behind, found = False, []
    for entry in recorder.ring:
        behind = behind or entry[0] > first or (entry[0] == first and type(entry[5]) in LATER)
        if behind and entry[0] <= last:
            found.append(entry)
    return found


def entries_behind(recorder: Recorder, base: Entry) -> Iterator[Entry]:
    """Yield what is remembered behind an entry."""
    entries = iter(recorder.ring)
    for entry in entries:
        if entry is base:
            return entries
    return entries


def by_hand(
    recorder: Recorder, entries: Iterable[Entry], first: World
) -> tuple[list[tuple[Entry, bool]], bool]:
    """Return what a tree was given from outside, once each, but for what waited in it at `first`.

    Each comes with whether all of that had been served by then, and so do all of them.
    """
    given: list[tuple[Entry, bool]] = []
    known, put_off, served = Keys(), Keys(), 0
    for name, message, _, _ in inputs_waiting(first):
        known[name, waits_as(message)] += 1
    waiting = sum(not held for _, _, _, held in inputs_waiting(first))
    for entry in entries:
        number, cell, kind, message, _, what = entry
        if isinstance(what, Acted | AskedFor):
            given.append((entry, served >= waiting))
            continue
        aside = isinstance(what, PutOff | Passed)
        if not (aside or kind is not None):
            continue
        if aside:
            message = what.message
        own = what.own or isinstance(message, MARKED) if aside else is_own(recorder, number, what)
        key = cell.spec.id, waits_as(recorder.world.origin(message))
        found = put_off if put_off[key] else known
        if own or one_less(found, key) or one_less(known, (key[0], BYTES)):
            served += found is known
        else:
            given.append((entry, served >= waiting))
        put_off[key] += type(what) is PutOff
    return given, served >= waiting


def one_less(known: Keys, key: tuple[str, int]) -> bool:
    """Take one away of what is known; return whether there was one."""
    there = known[key] > 0
    known[key] -= there
    return there


def brought_before(fork: Fork) -> set[int]:
    """Return the inputs that workers have brought, and that waited when a fork was made.

    It may be made of one that had them from the tree that it was made of itself.
    """
    brought = set[int]()
    level: Fork | None = fork
    while level is not None:
        if (source := level.source.recorder()) is not None:
            origin, record = source.world.origin, level.record
            served = (e for e in source.ring if e[0] > record and e[2] is not None)
            brought.update(id(origin(e[3])) for e in served if is_own(source, e[0], e[5]))
            waiting = inputs_waiting(source.world)
            brought.update(id(one) for _, one, who, _ in waiting if type(who) is SentInput)
        level = level.parent
    return brought

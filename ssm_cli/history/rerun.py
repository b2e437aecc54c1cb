"""Rerunning: a fork made anew, without some of its records or with other inputs in their place.

Theory of operation. Records up to the one that the fork was made at are those of its source. What
is left out of them is left out of the source's own past, and that is stepped again in its order.
Behind them come the fork's own records. If nothing of the source's changes, these are stepped again
in their order as well. Else the fork is another one by then, and brings other inputs itself: it is
given what it was given by hand, at the times of then, and what it brings is served in between.

A record keeps its number where it can: one that is left out leaves a gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ssm_cli.errors import Forgotten
from ssm_cli.history.places import Fork
from ssm_cli.history.turns import Turns
from ssm_cli.runtime.engine.entries import MARKED
from ssm_cli.runtime.engine.pending import SentInput
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
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.recording.given import inputs_waiting
from ssm_cli.runtime.recording.restep import is_own
from ssm_cli.runtime.recording.rewind import as_it_is, at_once

Copied = Callable[[Node, int], Turns[Node]]
Keys = Counter[tuple[str, int]]
"""How many inputs of which worker: each is known by the object that was given first."""


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
    node, base, _ = yield from again(fork, instead, copied)
    yield from node.turns(max(0.0, fork.node.now_s() - node.now_s()))
    return node, base


def again(
    fork: Fork, instead: Mapping[int, Any], copied: Copied, last: int | None = None
) -> Turns[tuple[Node, Entry, Keys]]:
    """Step a fork again, up to the `last` of its own records; `rerun` lets time pass behind that.

    Returns:
        Its tree, the moment behind which its own records are, and what waited at the beginning.
    """
    source, own = fork.source.recorder(), fork.node.recorder()
    if source is None or own is None or fork.base not in own.ring:
        raise Forgotten(f"not all that {fork.name} has served is remembered; `fork` makes another")
    if min(instead) > fork.record:
        node = yield from copied((yield from fork.node.turns_to(fork.base[0])), fork.base[0])
        base, here = base_of(node), waiting_in_world(node)
        then = entries_between(own, fork.base[0], own.last())
        yield from node.step_again(own, then, instead)
        return node, base, here
    brought = brought_before(fork)
    node, here = yield from source_again(fork, instead, copied)
    base = base_of(node, fork.record)
    known = known_by_itself(fork, brought, here)
    behind = (e for e in entries_behind(own, fork.base) if last is None or e[0] <= last)
    yield from node.give_again(own, [*by_hand(own, behind, known)], instead)
    return node, base, here


def source_again(
    fork: Fork, instead: Mapping[int, Any], copied: Copied
) -> Turns[tuple[Node, Keys]]:
    """Step again what a fork was made of, up to where that was; return also what waited first."""
    source, first, parent = fork.source.recorder(), min(instead), fork.parent
    assert source is not None, "it was looked for"
    if parent is not None and first <= parent.record:
        given = {n: said for n, said in {**parent.instead, **instead}.items() if n <= fork.record}
        node, _, here = yield from again(parent, given, copied, fork.record)
        yield from node.turns(max(0.0, fork.base[5].world.clock.now_s() - node.now_s()))
        return node, here
    known = as_it_is(source)
    then = [*at_once(known, entries_between(known, first - 1, fork.record), fork.record)]
    node = yield from copied((yield from fork.source.turns_to(first - 1)), first - 1)
    here = waiting_in_world(node)
    yield from node.step_again(known, then, instead)
    return node, here


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


def by_hand(recorder: Recorder, entries: Iterable[Entry], known: Keys) -> Iterator[Entry]:
    """Yield what a tree was given from outside, once each, but for inputs that are known."""
    put_off = Keys()
    for entry in entries:
        number, cell, kind, message, _, what = entry
        if isinstance(what, Acted | AskedFor):
            yield entry
            continue
        aside = isinstance(what, PutOff | Passed)
        if aside:
            message = what.message
        own = what.own or isinstance(message, MARKED) if aside else is_own(recorder, number, what)
        if own or not (aside or kind is not None):
            continue
        key = cell.spec.id, id(recorder.world.origin(message))
        if put_off[key]:
            put_off[key] -= 1
        elif known[key]:
            known[key] -= 1
        else:
            yield entry
        put_off[key] += type(what) is PutOff


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


def known_by_itself(fork: Fork, brought: Collection[int], here: Keys) -> Keys:
    """Return the inputs that waited in a fork when it was made, and that another one has by itself.

    Those that wait `here` in it before it is stepped again, and those that workers have `brought`.
    """
    found = Keys()
    for key in map(waits_as, inputs_waiting(fork.base[5].world)):
        found[key] += key[1] in brought or found[key] < here[key]
    return found


def waiting_in_world(node: Node) -> Keys:
    """Return what waits in a tree."""
    return Keys(map(waits_as, inputs_waiting(node._world)))  # noqa: SLF001 - of a fork that nobody else has


def waits_as(one: tuple[str, Any, Any, bool]) -> tuple[str, int]:
    """Return what an input that waits is known by."""
    return one[0], id(one[1])

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
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ssm_cli.errors import Forgotten
from ssm_cli.history.places import Fork
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
from ssm_cli.runtime.recording.rewind import at_once

Keys = Counter[tuple[str, int]]
"""How many inputs of which worker: each is known by the object that was given first."""


def rerun(
    fork: Fork, instead: Mapping[int, Any], copied: Callable[[Node, int], Node]
) -> tuple[Node, Entry]:
    """Return the tree of a fork, stepped again, and the moment behind which its own records are.

    Args:
        fork: it is not changed.
        instead: by record, the input to be served in its place; None leaves it out.
        copied: returns a scratch tree of a tree, behind a record.

    Raises:
        Forgotten: not all that is needed is remembered.
    """
    source, own = fork.source.recorder(), fork.node.recorder()
    if source is None or own is None or fork.base not in own.ring:
        raise Forgotten(f"not all that {fork.name} has served is remembered; `fork` makes another")
    of_source = {number for number in instead if number <= fork.record}
    begin = min(of_source) - 1 if of_source else fork.base[0]
    node = copied((fork.source if of_source else fork.node).at(begin), begin)
    if not of_source:
        base = base_of(node)
        node.step_again(own, entries_between(own, begin, own.last()), instead)
    else:
        known = known_by_itself(fork, source, Counter(map(waits_as, inputs_waiting(node._world))))  # noqa: SLF001 - of a fork that nobody else has
        then = at_once(entries_between(source, begin, fork.record), fork.record)
        node.step_again(source, then, instead)
        base = base_of(node, fork.record)
        node.give_again(own, [*by_hand(own, entries_behind(own, fork.base), known)], instead)
    node.run(max(0.0, fork.node.now_s() - node.now_s()))
    return node, base


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


def known_by_itself(fork: Fork, source: Recorder, here: Keys) -> Keys:
    """Return the inputs that waited in a fork when it was made, and that another one has by itself.

    Those that wait `here` in it before it is stepped again, and those that workers have brought.
    """
    origin, brought = source.world.origin, set[int]()
    for entry in source.ring:
        if entry[0] > fork.record and entry[2] is not None and is_own(source, entry[0], entry[5]):
            brought.add(id(origin(entry[3])))
    brought.update(id(one[1]) for one in inputs_waiting(source.world) if type(one[2]) is SentInput)
    found = Keys()
    for key in map(waits_as, inputs_waiting(fork.base[5].world)):
        found[key] += key[1] in brought or found[key] < here[key]
    return found


def waits_as(one: tuple[str, Any, Any, bool]) -> tuple[str, int]:
    """Return what an input that waits is known by."""
    return one[0], id(one[1])

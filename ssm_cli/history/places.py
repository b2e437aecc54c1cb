"""Places: where in time one is: now, at a record, or in a fork; and the trees that stand there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from ssm_cli.errors import MOST_PLACES, CommandError, Forgotten, is_number, whole_number
from ssm_cli.history.records import has_number
from ssm_cli.history.turns import Turns, all_turns
from ssm_cli.runtime.engine.inplace import InPlace
from ssm_cli.runtime.engine.recorder import Came, Entry, Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.intake import hint_for
from ssm_cli.runtime.recording.rewind import as_it_is, at_once

T = TypeVar("T")
MOST_FORKS = 64
KEPT_TREES = 4  # at records that were looked at last
TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
WHERE = "expected a record, `now`, `start`, `crash`, a fork, or a time like 17:51 or 17:51:41.195"


class Fork(msgspec.Struct, eq=False):
    """A scratch tree.

    Attributes:
        name: what it is called: `fork1`, ...
        node: the tree.
        record: the record that it was forked behind.
        source: of the node whose records those are.
        above: the place where that stood.
        base: the moment behind which the fork's own records are.
        instead: by record of the source, what was stepped in its place so far; None for nothing.
        code: the module that its workers are stepped by; None for their own.
        parent: the fork that it was made of, as that was then; None for one of the live tree.
        busy: whether it is being stepped, in turns.
    """

    name: str
    node: Node
    record: int
    source: Node
    above: str
    base: Entry
    instead: dict[int, Any] = {}
    code: Any = None
    parent: Fork | None = None
    busy: bool = False

    def recorder_of(self, number: int) -> Recorder | None:
        """Return what remembers a record of its past: its own tree, or one that it was made of."""
        if number > self.record:
            return None if number <= self.base[0] else self.node.recorder()
        if self.parent is None or number > self.parent.record:
            return self.source.recorder()
        return self.parent.recorder_of(number)

    def known(self) -> Recorder:
        """Return what is remembered of its whole past.

        What was before its own records is remembered by what it was made of, up to where that was.
        """
        own = self.node.recorder()
        before = self.source.recorder() if self.parent is None else self.parent.known()
        assert own is not None, "a scratch tree remembers"
        return own if before is None else behind(before, own, min(self.begin, self.record))

    @property
    def begin(self) -> int:
        """The record behind which its own are remembered: that of its source, or an earlier one."""
        own = self.node.recorder()
        assert own is not None, "as above"
        return own.ring[0][0] - (own.ring[0][1] is not None)

    @property
    def depth(self) -> int:
        """Of how many forks, each made of the next, it is the first."""
        return 1 if self.parent is None else 1 + self.parent.depth

    @contextmanager
    def stepped(self) -> Iterator[None]:
        """A block in which nobody else makes it go on.

        Raises:
            CommandError: somebody does already.
        """
        need_rest(self)
        self.busy = True
        try:
            yield
        finally:
            self.busy = False


def behind(before: Recorder, own: Recorder, record: int) -> Recorder:
    """Return what two recorders know: one up to a record and what came at once, the other since."""
    known, earlier = as_it_is(own), [*before.ring]
    earlier = earlier[: bisect_right(earlier, record, key=itemgetter(0))]
    known.ring = deque([*at_once(before, earlier, record), *own.ring])
    known.causes = up_to(before.causes, record) | own.causes
    known.askers = up_to(before.askers, record) | own.askers
    known.instants.take_earlier(before.instants, record)
    known.impure = InPlace()
    for recorder in (own, before):
        recorder.impure.compare()
        known.impure.found |= recorder.impure.found
    return known


def up_to(known: dict[int, T], record: int) -> dict[int, T]:
    """Return what is known by the numbers of records, of those up to one."""
    return {number: said for number, said in known.items() if number <= record}


def need_rest(fork: Fork) -> None:
    """Raise `CommandError` for a fork that is being stepped."""
    if fork.busy:
        raise CommandError(f"{fork.name} is being stepped for somebody else; ask again behind that")


class Places:
    """The live tree, the trees at its records, and the forks that were made of them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.forks: dict[str, Fork] = {}
        self._trees: OrderedDict[int, Node] = OrderedDict()
        self._made = 0

    def tree(self, place: str) -> Node:
        """Return the tree that stands at a place: "" is now, a number a record, else a fork.

        Raises:
            Forgotten: the record is not remembered, or there is no such fork.
        """
        if not place:
            return self.node
        if not is_number(place):
            return self.fork_of(place).node
        found: Node = all_turns(self.turns_to(record_said(place)))
        return found

    def turns_to(self, record: int) -> Turns[Node]:
        """Return the tree that stood at a record of the live one; raises `Forgotten`."""
        if record not in self._trees:
            self._trees[record] = yield from self.node.turns_to(record)
        self._trees.move_to_end(record)
        while len(self._trees) > KEPT_TREES:
            self._trees.popitem(last=False)
        return self._trees[record]

    def tree_at(self, record: int, place: str) -> Turns[Node]:
        """Return the tree that stood at a record of a place; raises `Forgotten`."""
        if not place or is_number(place):
            return (yield from self.turns_to(record))
        fork: Fork | None = self.fork_of(place)
        source = self.node
        while fork is not None:
            if record >= fork.node.first_record():
                source = fork.node
                break
            source, fork = fork.source, fork.parent  # what was before, it has in common
        going = self.turns_to(record) if source is self.node else source.turns_to(record)
        return (yield from going)

    def fork_of(self, place: str) -> Fork:
        """Return the fork of that name.

        Raises:
            Forgotten: there is none, or not any more.
        """
        if place not in self.forks:
            there = ", ".join(self.forks) or "none"
            raise Forgotten(f"there is no fork `{place}`; there is {there}")
        return self.forks[place]

    def add(self, node: Node, record: int, place: str, base: Entry) -> Fork:
        """Keep a fork of the tree whose records are asked at a place, under a name of its own.

        Raises:
            CommandError: there are `MOST_FORKS` already.
        """
        if len(self.forks) >= MOST_FORKS:
            told = f"there are {MOST_FORKS} forks already: {', '.join(self.forks)}"
            raise CommandError(f"{told}; forget one by `drop {next(iter(self.forks))}`")
        self._made += 1
        above = "" if is_number(place) else place
        fork = Fork(f"fork{self._made}", node, record, self.tree(above), above, base)
        if above and self.forks[above].depth < MOST_FORKS:
            fork.parent = msgspec.structs.replace(self.forks[above])
        self.forks[fork.name] = fork
        return fork

    def drop(self, place: str) -> Fork:
        """Forget a fork. Its tree is not stopped: nothing of a user's runs for that."""
        fork = self.fork_of(place)
        del self.forks[place]
        return fork

    def remembered(self, place: str) -> tuple[Node, Recorder, int]:
        """Return whose records are asked at a place, the recorder, and the last record there.

        Raises:
            Forgotten: nothing is remembered, or there is no such record.
        """
        node = self.fork_of(place).node if place and not is_number(place) else self.node
        recorder = node.recorder()
        if recorder is None:
            raise Forgotten(f"{node.name} remembers nothing; start it with `--history N`")
        last = recorder.last()
        here = record_said(place) if is_number(place) else last
        if here > last:
            raise Forgotten(f"there is no record {here}; the last one is {last}")
        return node, recorder, here

    def known(self, place: str) -> tuple[Recorder, int]:
        """Return what is known of the past of a place, and the last record there.

        In a fork that is what it has served, and before it what it was made of.

        Raises:
            Forgotten: nothing is remembered, or there is no such record.
        """
        _, recorder, here = self.remembered(place)
        is_fork = bool(place) and not is_number(place)
        return (self.fork_of(place).known() if is_fork else recorder), here

    def begin(self, place: str) -> int | None:
        """Return behind which record a fork has records of its own; None at any other place."""
        return self.fork_of(place).begin if place and not is_number(place) else None

    def record_at(self, where: str, place: str = "") -> int:
        """Return the record that a word stands for, seen from a place.

        Raises:
            CommandError: it stands for none.
            Forgotten: there is none at that time, or no crash.
        """
        node, recorder, _ = self.remembered(place)
        if is_number(where):
            return record_said(where)
        if where == "now":
            return recorder.last()
        if where == "start":
            return node.first_record()
        recorder, _ = self.known(place)
        if where == "crash":
            return last_crash(recorder)
        return at_time(recorder, instant_of(where, recorder.world.clock.wall_s()))


def record_said(digits: str) -> int:
    """Return the number of a record; raises `Forgotten` for one that none can have."""
    number = whole_number(digits)
    if number is None:
        told = f"there is no record {digits[:40]}"
        raise Forgotten(f"{told}; the number of one has at most {MOST_PLACES} digits")
    return number


def of_its_own(place: str) -> str:
    """Return what to know of a place where something is not remembered; "" for now and then."""
    is_live = place in ("", "now") or is_number(place)
    return "" if is_live else "; a fork has records of its own, `now` comes back"


def unless_there(world: World, name: str) -> str:
    """Return that there is no worker of a name, and which may be meant; "" where there is one."""
    is_there = world.find(name) is not None
    return "" if is_there else f"; there is no worker `{name[:80]}`{hint_for(world, name)}"


def last_crash(recorder: Recorder) -> int:
    """Return the record of the last crash."""
    for entry in reversed(recorder.ring):
        what = entry[5]
        if type(what) is Came and what.outcome is None:
            return entry[0]
    raise Forgotten("no crash is remembered")


def at_time(recorder: Recorder, at_s: float) -> int:
    """Return the last record that was served at or before an instant."""
    for entry in reversed(recorder.ring):
        if has_number(entry) and recorder.instants.of(entry[0])[1] <= at_s:
            return entry[0]
    raise Forgotten("nothing is remembered of that time")


def instant_of(text: str, now_s: float) -> float:
    """Return the instant that a time stands for, the last one up to now, as seconds since 1970.

    Raises:
        CommandError: it is no time.

    >>> instant_of("1970-01-02T00:00:00+00:00", 0.0)
    86400.0
    """
    try:
        if TIME.fullmatch(text):
            today = datetime.fromtimestamp(now_s).astimezone()
            at = datetime.combine(today.date(), time.fromisoformat(text.zfill(5))).astimezone()
            if len(text) <= 5:
                at += timedelta(seconds=59, microseconds=999_999)
            return (at if at.timestamp() <= now_s + 60 else at - timedelta(days=1)).timestamp()
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.astimezone()).astimezone(UTC).timestamp()
    except ValueError as error:
        raise CommandError(f"`{text[:60]}` is no place in time; {WHERE}") from error

"""Stepping again: a fork is led on by the inputs that a node has served, and its workers step them.

Theory of operation. Inputs from outside are served at their times, in their order. Those that
workers, timers and continues have brought are not given: the fork brings its own, and each is
served where the one of then was, as far as there is one. So what is left out, or put in another's
place, has all its consequences, and nothing else is in another order.

`init` answers as it did then, as long as there is an answer; only then does it run. `terminate`
does not run: nothing of a fork has anything to clean up.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any, cast

from ssm_cli.behaviour.dispatch import Kind, advance
from ssm_cli.behaviour.event_loop import farewell
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import Cell, WorkerCell
from ssm_cli.runtime.engine.entries import MARKED, TimeoutDue, TimerDue
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.publishing import catch_up
from ssm_cli.runtime.engine.recalled import raised
from ssm_cli.runtime.engine.recorder import (
    Began,
    Came,
    Entry,
    FarNews,
    Fired,
    Passed,
    PutOff,
    Recorder,
    Terminated,
    Told,
    Tried,
    go_on_at,
)
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.forks import left_to, own_answer
from ssm_cli.runtime.performer.loop import (
    BATCH,
    hear_links,
    serve,
    step_one,
)
from ssm_cli.runtime.performer.perform import drain, fire_timers, try_restart
from ssm_cli.runtime.performer.starting import WITHHELD
from ssm_cli.runtime.recording.acting import act_again, is_record, note_askers, noted_again
from ssm_cli.runtime.recording.far import PastLinks
from ssm_cli.runtime.recording.given import BYTES, Given, waits_as
from ssm_cli.runtime.recording.rewind import is_down
from ssm_cli.runtime.recording.straight import step_straight
from ssm_cli.spec.model import OnCrash, Persist

Turns = Callable[[float], Iterator[None]]
MOST_ROUNDS = 10_000  # of timers that a fork alone has, between two records


class Inits:
    """What `init` answered then, worker by worker; later starts run it."""

    def __init__(self, world: World, entries: Iterable[Entry]) -> None:
        self._world = world
        self._before = world.outside.init
        self._known: defaultdict[str, deque[Began]] = defaultdict(deque)
        for entry in entries:
            if type(entry[5]) is Began:
                self._known[entry[1].spec.id].append(entry[5])
            elif is_down(entry[5]):
                self._known[entry[1].spec.id].append(Began(WITHHELD))

    def answer(self, name: str, *args: Any) -> Any:
        """Return the next answer, or run `init`."""
        own = self._before or partial(own_answer, self._world)  # before: of other code
        if not self._known[name]:
            return own(name, *args)
        began = self._known[name].popleft()
        if began.reason is not None:
            return raised(began.reason)
        cell = self._world.names[name]
        if began.answer is WITHHELD or not isinstance(cell, WorkerCell) or saves(cell):
            return began.answer
        left = left_to(cell)
        return began.answer if left is NOTHING else left


def saves(cell: WorkerCell) -> bool:
    """Return whether a worker begins with what was saved of it last, which a fork does not know."""
    options = cell.spec.options
    return options.persist is Persist.SNAPSHOT and options.on_crash is OnCrash.SAVED


@contextmanager
def known_inits(world: World, entries: Iterable[Entry]) -> Iterator[None]:
    """A block in which `init` answers as it did then, as long as there is an answer."""
    before = world.outside.init
    world.outside.init = Inits(world, entries).answer
    try:
        yield
    finally:
        world.outside.init = before


def no_terminate(_behaviour: Any, _name: str, _reason: Any, state: Any) -> Any:
    """Run in the place of `terminate`; return what others are told all the same."""
    return farewell(state)


def step_again(
    recorder: Recorder,
    world: World,
    entries: Sequence[Entry],
    instead: Mapping[int, Any],
    turns: Turns,
    *,
    awaited: Sequence[Entry] = (),
) -> Iterator[None]:
    """Lead a fork on, as what is returned is iterated over; serve what waits then.

    Args:
        recorder: whose records they are.
        world: of the fork, as it was before the first of them.
        entries: what is remembered behind that.
        instead: by record, the input to be served in its place; None leaves it out.
        turns: has the fork serve what waits, for so many seconds, some inputs at a time.
        awaited: what is to wait behind them, as `PutOff`; it is not served.
    """
    leading = Leading(recorder, world, entries, instead, turns, awaited=awaited)
    world.retry_at_s = math.inf  # restarts that fail are tried again where they were
    world.outside.links = PastLinks()
    try:
        with known_inits(world, entries):
            yield from leading.lead()
    finally:
        world.outside.links = None
    world.retry_at_s = 0.0
    yield from leading.serve_new(is_end=True)


def give_again(recorder: Recorder, world: World, entry: Entry, instead: Mapping[int, Any]) -> None:
    """Do to a fork what an entry says, with all that follows from it at once, whatever waits."""
    if is_record(entry):
        if instead.get(entry[0], NOTHING) is None:
            return
        go_on_at(world.history, entry[0])
    world.pumping = True
    try:
        do_again(recorder, world, entry, instead, Given(world))
        drain(world)
    finally:
        world.pumping = False


class Leading:
    """One way of a fork along what is remembered.

    As long as nothing differs the fork does what the tree did, in its order, and nothing else: it
    waits for the record of each input that it has brought, and timers come up where they did.
    From the first difference on what it has brought besides is served once time passes, and its
    timers come up when they are due.
    """

    def __init__(
        self, recorder: Recorder, world: World, entries: Iterable[Entry],
        instead: Mapping[int, Any], turns: Turns, *, awaited: Sequence[Entry] = (),
    ) -> None:  # fmt: skip
        self._recorder, self._world, self._turns = recorder, world, turns
        self._entries, self._instead, self._awaited = list(entries), instead, awaited
        self._given = Given(world)
        self._differs = world.outside.advance is not advance  # other code
        self._next = 0  # of the entries that are still to come
        self._counted = -1  # the first that is counted in these two
        self._own, self._others = Counter[Any](), Counter[tuple[str, int]]()

    def lead(self) -> Iterator[None]:
        """Do all of it, as long as the tree runs; others may get in between two entries."""
        world = self._world
        while self._next < len(self._entries):
            yield
            entry = self._entries[self._next]
            self._next += 1
            number, cell, _, _, _, what = entry
            if type(what) in (Fired, Tried):
                yield from self._come_up(what)
            elif type(what) is FarNews:
                yield from self._hear(what)
            self._given.follow(cell, what)
            if cell is None or type(what) in FOLLOWED:
                continue
            instead = self._instead.get(number, NOTHING) if is_record(entry) else NOTHING
            self._differs = self._differs or instead is not NOTHING
            if instead is None:
                leave_out(self._recorder, world, entry, self._given)
                continue
            yield from self._move_to(self._recorder.instants.of(number)[0])
            if not world.running:
                return
            if is_record(entry) and world.history is not None:
                go_on_at(world.history, number)
            self._serve_again(entry)
            if type(what) is tuple:
                more = self._entries[self._next : self._next + BATCH]
                count = step_straight(self._recorder, world, more, self._instead, self._given)
                note_askers(self._recorder, world.history, more[:count])
                self._next += count

    def _count(self) -> None:
        """Count what is still to come: by what the tree has brought, and by the inputs."""
        begun = self._counted >= 0
        begin, end = (self._counted, self._next) if begun else (self._next, len(self._entries))
        step = -1 if begun else 1
        for entry in chain(islice(self._entries, begin, end), () if begun else self._awaited):
            self._own[self._key(entry)] += step
            for key in self._ids_of(entry):
                self._others[key] += step
        self._counted = self._next

    def _key(self, entry: Entry) -> tuple[Any, ...] | None:
        """Return what an input that the tree has brought itself is known by; None for another."""
        number, cell, kind, message, _, what = entry
        if type(what) in (PutOff, Passed):
            kind, message = what.kind, what.message
            own = what.own or isinstance(message, MARKED)
        else:
            message = what.marked if type(what) is Came else None
            own = kind is not None and is_own(self._recorder, number, what)
        return known_by(cell, kind, message) if own and cell is not None else None

    def _ids_of(self, entry: Entry) -> Iterator[tuple[str, int]]:
        """Yield what an input of a worker may be known by that waits: see `waits_as`."""
        _, cell, kind, message, _, what = entry
        if type(what) in (PutOff, Passed):
            yield cell.spec.id, waits_as(self._recorder.world.origin(what.message))
        elif kind is not None:
            yield cell.spec.id, id(self._recorder.world.origin(message))
            yield cell.spec.id, BYTES  # what it was before it was decoded

    def _come_up(self, what: Fired | Tried) -> Iterator[None]:
        """Have come up what came up then: timers, or a restart that had failed."""
        world = self._world
        if type(what) is Fired:
            cancel_left_out(world, self._entries, self._next, self._instead)
        yield from self._move_to(what.now_s)
        if type(what) is Fired:
            self._fire()
        elif world.retries:
            try_now(world)

    def _hear(self, what: FarNews) -> Iterator[None]:
        """Have the links bring what they brought then."""
        yield from self._move_to(what.now_s)
        self._world.outside.links.news.append(what.news)
        self._world.pumping = True
        try:
            hear_links(self._world)
        finally:
            self._world.pumping = False

    def _move_to(self, to_s: float) -> Iterator[None]:
        """Let time pass, with what that brings besides what is remembered."""
        world, clock = self._world, cast("ManualClock", self._world.clock)
        if to_s <= clock.now_s():
            return
        for _ in range(MOST_ROUNDS if self._differs else 0):
            yield from self.serve_new()
            due_s = world.timers.next_s()
            if due_s >= to_s or not world.running:
                break
            clock.advance_s(max(0.0, due_s - clock.now_s()))
            self._fire()
        clock.advance_s(max(0.0, to_s - clock.now_s()))

    def _fire(self, by_s: float = 0.0) -> None:
        world = self._world
        world.pumping = True
        try:
            fire_timers(world, max(by_s, world.clock.now_s()))
            drain(world)
        finally:
            world.pumping = False

    def serve_new(self, *, is_end: bool = False) -> Iterator[None]:
        """Serve what waits and is not remembered to be served later; in the end what is due too."""
        queue, counted = self._world.queue, Counter[Any]()
        if queue:
            self._count()
        new: list[Any] = []
        later: list[Any] = []
        for entry in queue:
            cell, kind, message, _ = entry
            key = known_by(cell, kind, message)
            known = cell.spec.id, waits_as(self._world.origin(message))
            counted[key] += 1
            counted[known] += 1
            awaited = counted[key] <= self._own[key] or counted[known] <= self._others[known]
            (later if awaited else new).append(entry)
        if new or is_end:
            queue.clear()
            queue.extend(new)
            yield from self._turns(0.0)
            queue.extendleft(reversed(later))

    def _serve_again(self, entry: Entry) -> None:
        """Do to the fork what an entry says, with all that follows from it at once."""
        world, what = self._world, entry[5]
        if not self._differs and type(what) is Came:
            self._due_by_now(entry[1], what.marked)
        world.pumping = True
        try:
            do_again(self._recorder, world, entry, self._instead, self._given)
            drain(world)
        finally:
            world.pumping = False
        if self._differs:
            self._fire()

    def _due_by_now(self, cell: Cell, marked: Any) -> None:
        """Have a timer come up that has brought an input, if it is due by a moment later only.

        The times of records are known as near as they were noted.
        """
        here = self._world.names.get(cell.spec.id)
        extra = here.extra if type(here) is WorkerCell else None
        number = 0
        if extra is not None and type(marked) is TimerDue:
            number = extra.timers.get(marked.key, 0)
        elif extra is not None and type(marked) is TimeoutDue:
            number = extra.timeout
        if (due := self._world.timers.find(number)) is not None:
            self._fire(due[0])


def known_by(cell: Cell, kind: Kind | None, message: Any) -> tuple[Any, ...]:
    """Return what counts of an input that a fork has brought: one like it stands for another."""
    return cell.spec.id, kind, type(message) if isinstance(message, MARKED) else None


def try_now(world: World) -> None:
    """Try a restart that had failed."""
    world.retry_at_s = 0.0
    try_restart(world, world.clock.now_s())
    world.retry_at_s = math.inf


FOLLOWED = (Began, Terminated, Told)
"""What follows from something else, also now."""


def do_again(
    recorder: Recorder,
    world: World,
    entry: Entry,
    instead: Mapping[int, Any],
    given: Given,
) -> None:
    """Do to a fork what an entry says; who asked for it then has asked for it there."""
    with noted_again(recorder, world.history, entry, given.numbers):
        lead_on(recorder, world, entry, instead, given)


def lead_on(
    recorder: Recorder,
    world: World,
    entry: Entry,
    instead: Mapping[int, Any],
    given: Given,
) -> None:
    """Do what it says."""
    number, cell, kind, message, _, what = entry
    here = world.names.get(cell.spec.id)
    if type(what) in (PutOff, Passed):
        if type(here) is WorkerCell:
            unserved_again(world, here, what, given, recorder.world.origin(what.message))
    elif kind is None:
        act_again(world, cell.spec.id, what)
    elif type(here) is WorkerCell:
        catch_up(world, here.spec.id)
        origin = recorder.world.origin(message)
        if is_own(recorder, number, what):
            serve_own(world, here, kind, what, by=brought_by(recorder, number, given))
        elif not given.take(here.spec.id, origin):
            said = instead.get(number, message)
            if world.history is not None:
                world.history.next_at(world.clock.now_s())
            step_one(world, here, kind, said, Pending() if kind is Kind.CALL else None)
        elif number not in instead:
            serve_own(world, here, kind, what, origin)
        elif (waits := taken_own(world, here, kind, what, origin)) is not None:
            serve(world, here, kind, instead[number], waits[1])


def unserved_again(
    world: World, cell: WorkerCell, what: PutOff | Passed, given: Given, origin: Any
) -> None:
    """Have a worker get an input that was put off or passed over then; now it may be served."""
    catch_up(world, cell.spec.id)
    known = given.put_off if type(what) is PutOff else given.take
    if what.own or isinstance(what.message, MARKED):
        serve_own(world, cell, what.kind, what)
    elif known(cell.spec.id, origin):
        serve_own(world, cell, what.kind, what, origin)
    else:
        waits = what.waits if type(what) is PutOff else what.kind is Kind.CALL
        serve(world, cell, what.kind, what.message, Pending() if waits else None)


def serve_own(
    world: World, cell: WorkerCell, kind: Kind, what: Any, message: Any = NOTHING, *, by: int = 0
) -> None:
    """Serve an input that the fork has waiting, in the place of the one that was served then."""
    own = taken_own(world, cell, kind, what, message, by=by)
    if own is not None:
        waits, pending = own
        serve(world, cell, kind, waits, pending)


def taken_own(
    world: World, cell: WorkerCell, kind: Kind, what: Any, message: Any = NOTHING, *, by: int = 0
) -> tuple[Any, Any] | None:
    """Return an input that the fork has waiting in the place of another, taken out of there.

    It is the first one like it, sent `by` the same record where it is known which has sent it: one
    that is not sent any more leaves its place empty. Where a `message` is given it is that itself,
    or the first in bytes.
    """
    brought = what.marked if type(what) is Came else getattr(what, "message", None)
    marked = type(brought) if isinstance(brought, MARKED) else None
    found = -1
    for index, (who, of, waits, waiter) in enumerate(world.queue):
        alike = type(waits) is marked if marked else not isinstance(waits, MARKED)
        if who is not cell or of is not kind or (by and sent_by(waiter) not in (0, by)):
            continue
        if alike if message is NOTHING else world.origin(waits) is message:
            found = index
            break
        if found < 0 and message is not NOTHING and type(waits) is bytes:
            found = index
    if found < 0:
        return None
    _, _, waits, pending = world.queue[found]
    del world.queue[found]
    return waits, pending


def sent_by(waiter: Any) -> int:
    """Return the record whose effect has sent an input, by who waits for it; 0: it is not known."""
    return waiter.cause if type(waiter) is SentInput else 0


def brought_by(recorder: Recorder, number: int, given: Given) -> int:
    """Return which record of a fork brings an input, by that which had brought it; 0 for none."""
    cause = recorder.causes.get(number, 0)
    return given.numbers.get(cause, cause)


def is_own(recorder: Recorder, number: int, what: Any) -> bool:
    """Return whether the tree itself had brought an input: by an effect, a timer, a continue."""
    return number in recorder.causes or (type(what) is Came and what.marked is not None)


def cancel_left_out(
    world: World, entries: Sequence[Entry], at: int, instead: Mapping[int, Any]
) -> None:
    """Cancel the timers and time-outs that come up now, from `at` on, and are left out."""
    for index in range(at, len(entries)):
        number, cell, _, _, _, what = entries[index]
        if type(what) is Fired:
            return
        marked = what.marked if type(what) is Came else None
        if marked is None or instead.get(number, NOTHING) is not None:
            continue
        here = world.names.get(cell.spec.id)
        if type(here) is WorkerCell and type(marked) is TimerDue:
            commit.cancel_timer(world, here, marked.key)
        elif type(here) is WorkerCell and type(marked) is TimeoutDue:
            commit.stop_timeout(world, here)


def leave_out(recorder: Recorder, world: World, entry: Entry, given: Given) -> None:
    """Take an input that waits in the fork already out of its queue, unserved."""
    number, cell, kind, message, _, what = entry
    here = world.names.get(cell.spec.id)
    if kind is None or type(here) is not WorkerCell:
        return
    origin = recorder.world.origin(message)
    if is_own(recorder, number, what):
        taken_own(world, here, kind, what, by=brought_by(recorder, number, given))
    elif given.take(cell.spec.id, origin):
        taken_own(world, here, kind, what, origin)

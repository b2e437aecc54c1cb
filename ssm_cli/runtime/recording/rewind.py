"""Rewinding: a tree as it was at a record, made of a moment and of the answers behind it.

Theory of operation. A moment is forked, and what the recorder has written down behind it is done
to the fork: inputs, with the answers that their steps gave then; timers, restarts and requests at
their places between them. Wherever a callback would run, its answer of then stands in for it. So no
user code runs, and what supervisors decided they decide again: by the same code, from the same
facts, at the same times.

Inputs that effects, timers or continues have brought wait in the fork as they did then; they are
taken out of its queue when their record comes up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from copy import copy
from itertools import islice
from typing import Any

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Kind, finish
from ssm_cli.behaviour.effects import Down
from ssm_cli.behaviour.results import ExitSignal
from ssm_cli.errors import Forgotten, SsmError
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.backlog import hold
from ssm_cli.runtime.engine.cell import Cell, CellStatus, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import MARKED, Asked, ContinueDue, DownDue, TimerDue
from ssm_cli.runtime.engine.fork import fork
from ssm_cli.runtime.engine.guard import NoGuard
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.publishing import GONE, catch_up
from ssm_cli.runtime.engine.recalled import raised
from ssm_cli.runtime.engine.recorder import (
    HOWS,
    LATER,
    Acted,
    AskedFor,
    Began,
    Came,
    Entry,
    FarNews,
    Fired,
    Frozen,
    Moment,
    Passed,
    PutOff,
    Ran,
    Recorder,
    Terminated,
    Told,
    Tried,
)
from ssm_cli.runtime.engine.runs import end_run
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.failing import end_crashed
from ssm_cli.runtime.performer.loop import hear_links, message_of, serve
from ssm_cli.runtime.performer.perform import drain, fire_timers, try_restart
from ssm_cli.runtime.performer.requests import answer_request
from ssm_cli.runtime.performer.settling import commit_outcome, show_answer, show_input
from ssm_cli.runtime.performer.starting import WITHHELD
from ssm_cli.runtime.recording.far import PastLinks, note_heard

Followed = Began | Terminated | Told | PutOff | Passed
"""What has followed from something else."""


def world_at(recorder: Recorder, record: int) -> Generator[None, None, World]:
    """Return the tree as it was behind a record and all that followed from it.

    Done in turns, between which the tree itself may go on.

    Raises:
        Forgotten: the record is forgotten, or not there yet.
    """
    entries = entries_to(recorder, record)
    start, known = next(entries), as_it_is(recorder)
    world = begun(recorder, start[5].world)
    rewinding = Rewinding(known, world)
    for entry in entries:
        yield
        rewinding.do(entry)
    return rewinding.finish(record)


def as_it_is(recorder: Recorder) -> Recorder:
    """Return what a recorder knows now: it may forget, and learn more, while somebody reads it."""
    known = copy(recorder)
    known.ring, known.askers = recorder.ring.copy(), recorder.askers.copy()
    known.causes, known.instants = recorder.causes.copy(), copy(recorder.instants)
    known.instants.take_over(recorder.instants)
    return known


def first_in(recorder: Recorder) -> int | None:
    """Return the first record at which the tree can be shown, 0 for its start; None for none."""
    for entry in recorder.ring:
        if type(entry[5]) is Moment:
            return entry[0]
    return None


def entries_to(recorder: Recorder, record: int) -> Iterator[Entry]:
    """Yield the last moment up to a record, and all that is remembered behind it, in order."""
    if record > recorder.last() or record < 0:
        raise Forgotten(f"there is no record {record}; the last one is {recorder.last()}")
    behind: deque[Entry] = deque()
    begins = 0  # from the end: where the last moment that serves is
    for entry in reversed(recorder.ring):
        if entry[0] > record:
            continue
        behind.appendleft(entry)
        if type(entry[5]) is Moment:
            begins = len(behind)
            if entry[0] < record:  # else time may have passed since the record
                break
    if begins:
        return at_once(recorder, islice(behind, len(behind) - begins, None), record)
    first = first_in(recorder)
    since = f"from record {first} on" if first is not None else "from the next one on"
    raise Forgotten(f"record {record} is forgotten; the tree is remembered {since}")


def at_once(recorder: Recorder, entries: Iterable[Entry], record: int) -> Iterator[Entry]:
    """Yield entries up to what has come later behind a record."""
    before: Entry | None = None
    for entry in entries:
        later = entry[0] == record and type(entry[5]) in LATER
        if later and not comes_first(recorder, before, entry):
            return
        yield entry
        before = entry


def comes_first(recorder: Recorder, before: Entry | None, entry: Entry) -> bool:
    """Return whether timers came up before it was looked at that an input has ended its worker.

    Its supervisor starts it at once, and it did not begin until they had. The input is the entry
    `before` theirs.
    """
    number, _, _, _, _, what = entry
    if before is None or type(what) is not Fired or number != before[0]:
        return False
    cell, came = before[1], before[5]
    if type(came) is not Came or cell.spec.options.backoff is not None:
        return False
    ends = came.outcome is None or came.outcome.stop is not None
    return ends and any(
        one[0] == number and one[1] is cell and type(one[5]) is Began for one in recorder.ring
    )


def begun(recorder: Recorder, moment: World) -> World:
    """Return a fork of a moment that is ready to be led on by answers."""
    frozen = Frozen(moment.clock.now_s(), moment.clock.wall_s())
    world = fork(moment, frozen, NoGuard(frozen))
    world.reports.record_of = recorder.marks.record_of
    world.reports.subscribe(ignore, ignore)  # so that each start is one of its own
    return world


def is_down(what: object) -> bool:
    """Return whether this tells that a start was withheld."""
    return type(what) is Told and what.event == "down"


def ignore(_: object) -> None:
    """Hear, and do nothing."""


class Rewinding:
    """One way from a moment to a record.

    What leads the tree on (an input, a timer, a request) is performed once all that is remembered
    behind it is known, up to the next of its kind: the answers of `init` and `terminate`, messages
    that reached nobody.
    """

    def __init__(self, recorder: Recorder, world: World) -> None:
        self._recorder = recorder
        self._world = world
        self._todo: Entry | None = None
        self._behind: list[Entry] = []
        self._unknown = ""
        self._timed = -1  # the record at whose time the clock stood last
        outside = world.outside
        outside.init, outside.finish, outside.dropping = self._init, self._finish, self._drop
        outside.links = PastLinks()

    def do(self, entry: Entry) -> None:
        """Take the next entry."""
        if isinstance(entry[5], Followed):
            self._behind.append(entry)
        elif type(entry[5]) is not Moment:
            waits = not self._behind and comes_first(self._recorder, self._todo, entry)
            self._perform(drains=not waits)
            self._todo = entry

    def finish(self, record: int) -> World:
        """Return the world, whose clock stands where the record was served."""
        self._perform()
        world, outside = self._world, self._world.outside
        if record != self._timed:
            self._set_time(record)
        outside.init, outside.finish, outside.dropping = None, finish, None
        outside.links = None
        note_heard(world)
        world.retry_at_s = math.inf  # whoever looks at it must not try a restart again
        if self._unknown:
            raise Forgotten(f"what the init of {self._unknown} answered is not remembered")
        return world

    def _init(self, name: str, *_: Any) -> Any:
        answer = self._answer(lambda cell, what: type(what) is Began and cell.spec.id == name)
        if answer is None and self._was_down(name):
            return WITHHELD
        if answer is None:
            self._unknown = self._unknown or name
            return None
        if answer.reason is not None:
            raised(answer.reason)
        return answer.answer

    def _was_down(self, name: str) -> bool:
        """Return whether a start was withheld, as a state could not be gone on with; report it."""
        told = self._answer(lambda cell, what: is_down(what) and cell.spec.id == name)
        if told is not None:
            self._world.report(told.event, self._world.names[name], told.detail)
        return told is not None

    def _finish(self, _behaviour: Any, name: str, *_: Any) -> Any:
        answer = self._answer(lambda cell, what: type(what) is Terminated and cell.spec.id == name)
        if answer is not None and answer.reason is not None:
            raised(answer.reason)
        return () if answer is None else answer.effects

    def _drop(self, detail: dict[str, Any]) -> None:
        """A message reaches nobody, as it did then: it is not told a second time."""
        self._answer(lambda _, what: type(what) is Told and what.detail == detail)

    def _answer(self, wanted: Callable[[Any, Any], bool]) -> Any:
        for index, entry in enumerate(self._behind):
            if wanted(entry[1], entry[5]):
                del self._behind[index]
                return entry[5]
        return None

    def _perform(self, *, drains: bool = True) -> None:
        entry, self._todo = self._todo, None
        world = self._world
        world.pumping = True
        if entry is not None:
            number, cell, kind, message, _, what = entry
            if number != self._timed:
                self._set_time(number)
            if kind is not None:
                own = number in self._recorder.causes
                self._input(cell, kind, message, what, own=own)
            else:
                self._lead(cell, what)
            if drains:
                drain(world)
        for _, cell, _, _, _, what in self._behind:
            self._follow(cell, what)
        self._behind.clear()
        world.pumping = False

    def _set_time(self, record: int) -> None:
        self._timed = record
        clock: Any = self._world.clock
        clock.at_s, clock.wall = self._recorder.instants.of(record)

    def _here(self, cell: Cell) -> Any:
        """Return the cell of this world that stands for one of the node; None where it is gone."""
        return self._world.names.get(cell.spec.id)

    def _lead(self, cell: Any, what: Any) -> None:
        """Do what has led the tree on."""
        world = self._world
        clock: Any = world.clock
        match what:
            case Fired(now_s):
                clock.at_s = now_s
                fire_timers(world, now_s)
            case Ran(number, _, message) if (due := world.timers.find(number)) is not None:
                end_run(world, due[1], message)
            case FarNews(news, now_s):
                clock.at_s = now_s
                world.outside.links.news.append(news)
                hear_links(world)
            case Tried(now_s):
                clock.at_s = world.retry_at_s = now_s
                if world.retries:
                    try_restart(world, now_s)
            case Acted(function, args) if function is not None and self._here(cell) is not None:
                suppressed(function, world, self._here(cell), *args)
            case AskedFor(verb, args) if isinstance(sup := self._here(cell), SupervisorCell):
                answer_request(world, Asked(sup, sup.starts, verb, args, Pending()))

    def _follow(self, cell: Any, what: Any) -> None:
        """Do what has followed from that, and does not by itself."""
        world, here = self._world, self._here(cell)
        if type(what) is Told:
            world.dropped += what.event == "dropped"
            if what.detail.get("why") == GONE and what.detail["how"] == "publish":
                self._pass_gone(what.detail["to"])
            world.report(what.event, here or cell, what.detail)
        elif isinstance(what, Began | Terminated):
            self._unknown = self._unknown or cell.spec.id
        else:
            own = type(what) is PutOff and what.own
            came = self._taken(cell, what.kind, what.message, own=own)
            if type(what) is PutOff and isinstance(here, WorkerCell):
                hold(self._world, here, what.kind, came, Pending() if what.waits else None)

    def _pass_gone(self, worker: str) -> None:
        """Let a publish pass by a member that has ended; it may have been brought here already."""
        queue, here = self._world.queue, self._world.names.get(worker)
        for index, (who, of, _, _) in enumerate(queue):
            if who.spec.id == worker and who is not here and of is Kind.CAST:
                del queue[index]
                return
        catch_up(self._world, worker, gone=True)

    def _input(self, cell: WorkerCell, kind: Kind, message: Any, what: Any, *, own: bool) -> None:
        """Have a worker answer an input as it did then; `own`: an effect has sent it."""
        world = self._world
        here = world.names.get(cell.spec.id)
        if type(here) is not WorkerCell:
            return
        how = what.how if type(what) is Came else ""
        came = self._taken(here, kind, message, how, own=own)
        if type(what) is Came and type(what.marked) is TimerDue and came is message:
            came = msgspec.structs.replace(what.marked, cell=here)
        pending = Pending() if kind is Kind.CALL else None
        if here.status is not CellStatus.RUNNING:
            serve(world, here, kind, came, pending)
            return
        if isinstance(came, MARKED):
            message_of(world, here, came, pending)  # takes a timer away that counts
        if type(what) is Came and what.reads:
            show_input(world, here, message, pending)
            here.steps += 1
            show_answer(world, here, what.outcome and what.outcome.reply, pending)
            return
        commit.stop_timeout(world, here)
        show_input(world, here, message, pending)
        if pending is not None and isinstance(here.behaviour, Callbacks):
            commit.caller_of(world, pending)
        if type(what) is tuple:
            here.state = what[0]
            here.steps += 1
        elif what.outcome is None:
            end_crashed(world, here, message, pending, what.reason)
        else:
            commit_outcome(world, here, message, pending, what.outcome)

    def _taken(
        self, cell: WorkerCell, kind: Kind, message: Any, how: str = "", *, own: bool = False
    ) -> Any:
        """Return an input as it waits in the world, taken out of there; else its message.

        In a past that was saved, what is published is another object for each who gets it: there
        it is the first `own` input that waits for the worker. What waits as bytes is decoded only
        as it is served: of those it is the first, too.
        """
        queue = self._world.queue
        catch_up(self._world, cell.spec.id)
        for index, (who, of, waits, _) in enumerate(queue):
            if who.spec.id == cell.spec.id and of is kind and is_it(waits, message, how):
                del queue[index]
                return waits
        for index, (who, of, waits, _) in enumerate(queue):
            fits = type(waits) is bytes if not own else not isinstance(waits, MARKED)
            if fits and who.spec.id == cell.spec.id and of is kind:
                del queue[index]
                return waits
        return message


def is_it(waits: Any, message: Any, how: str) -> bool:
    """Return whether what waits is the input that was served."""
    if type(waits) is type(message) is ExitSignal:  # the node makes it, here as it did there
        return waits.sender == message.sender and str(waits.reason) == str(message.reason)
    if type(waits) is type(message) and isinstance(waits, MARKED):
        same = all(getattr(waits, w, 0) == getattr(message, w, 0) for w in ("starts", "number"))
        if type(waits) is DownDue:
            return same and bool(waits.message == message.message)
        # one with a number is known by it; a life has one continue, which `init` may make anew
        one = getattr(waits, "number", 0) or type(waits) is ContinueDue
        return same and (
            bool(one) or getattr(waits, "message", 0) is getattr(message, "message", 0)
        )
    if type(waits) is DownDue:
        return type(message) is Down and bool(waits.message == message)
    if isinstance(waits, MARKED):
        return how == HOWS.get(type(waits)) or getattr(waits, "message", None) is message
    return waits is message


def suppressed(function: Any, *args: Any) -> None:
    """Do again what may have been refused then."""
    try:
        function(*args)
    except SsmError:
        return

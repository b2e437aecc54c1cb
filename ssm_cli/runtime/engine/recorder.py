"""The recorder: what a node remembers of the inputs that it has served, and of what came of them.

Theory of operation. States are values, so a record keeps the state before it and the answer of its
step *by reference*: to write it down costs one tuple. All stands in one ring in the order in which
it happened; whatever user code has answered, or an outside has decided, is in it:

    an input      (number, cell, kind, message, state before, (state, output))   plain, or `Came`
    in between    (number, cell, None, None, None, what)    with the number of the input before it:
        `Began` `Terminated`      what `init` and `terminate` answered; they are not run again
        `Fired` `Tried`      when timers came up, when a restart that failed was tried again
        `Ran`                that a run has ended, and how
        `FarNews`            news of remote children, nodes and what links them to the tree
        `Acted` `AskedFor`   what somebody did by hand: those that change something have a number
    `Told` `PutOff` `Passed`   inputs that were not stepped
        `Moment`             the whole tree as a fork, now and then

So the tree at any record that is remembered is a moment and the answers behind it
(`recording/rewind.py`), and no user code is needed to go there.

Bounds: `most` entries, and about `most_bytes` of what they hold, as sampled: every 256th input of a
worker stands for those between, and one whose values are large is looked at each time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.effects import Effect
from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.behaviour.runs import Ended
from ssm_cli.behaviour.visible import with_state
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell, replan
from ssm_cli.runtime.engine.entries import ContinueDue, DownDue, RunEnded, TimeoutDue, TimerDue
from ssm_cli.runtime.engine.fork import fork
from ssm_cli.runtime.engine.guard import NoGuard
from ssm_cli.runtime.engine.inplace import InPlace
from ssm_cli.runtime.engine.instants import Instants, Marks
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.recalled import frameless
from ssm_cli.runtime.engine.weights import LARGE_BYTES, Weights, input_before, weight_of
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.reports import crash_text

LEAST, MOST = 16, 10_000_000  # records that may be remembered
MOST_BYTES = 64 * 1024 * 1024
FIRST = 64  # inputs of a worker, after which it is weighed again: its first state says little
WATCHED = 64  # inputs of a worker that are weighed one by one behind a large one
MOST_CELLS = 200_000  # of all moments together, but for the last
MOMENT_SHARE = 100  # a moment that took a second is followed by another after so many: the shorter
# of two in a row, as the first is slow, and other programs get on in the midst of some
HOWS: dict[Any, str] = {
    TimerDue: "timer", TimeoutDue: "timeout", RunEnded: "run", ContinueDue: "continue",
    DownDue: "down",
}  # fmt: skip
WORDS = tuple(kind.name.lower() for kind in Kind)
KINDS = dict(zip(WORDS, Kind, strict=True))


class Came(msgspec.Struct, frozen=True, eq=False):
    """What came of an input that is more than a pair of state and output.

    `outcome` is None where its worker ended for `reason`: it crashed. `reads`: it changed nothing.
    `marked` is the timer, time-out or continue that brought it.
    """

    how: str
    outcome: Outcome | None
    reason: ExitReason | None = None
    reads: bool = False
    marked: Any = None


class Began(msgspec.Struct, frozen=True, eq=False):
    """What `init` answered; `reason` why it failed."""

    answer: Any
    reason: ExitReason | None = None


class Terminated(msgspec.Struct, frozen=True, eq=False):
    """What came of `terminate`: None for nothing, and what others were told."""

    reason: ExitReason | None
    effects: Sequence[Effect] = ()


class Fired(msgspec.Struct, frozen=True, eq=False):
    """The timers that were due at `now_s` came up."""

    now_s: float


class Ran(msgspec.Struct, frozen=True, eq=False):
    """A run has ended, before its time was over."""

    number: int
    key: str
    message: Ended


class FarNews(msgspec.Struct, frozen=True, eq=False):
    """News of the links (`runtime/remote/ports.py`) that were taken at `now_s`."""

    news: Any
    now_s: float


class Tried(msgspec.Struct, frozen=True, eq=False):
    """A restart that failed was tried again."""

    now_s: float


class Acted(msgspec.Struct, eq=False):
    """A system message: `function(world, cell, *args)`; None once it has failed.

    `change` is what people call it; "" where it has changed nothing but a time-out.
    """

    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    change: str
    before: Any = None
    after: Any = None


class AskedFor(msgspec.Struct, frozen=True, eq=False):
    """A request to a supervisor that changes something."""

    verb: str
    args: tuple[Any, ...]


class Moment(msgspec.Struct, frozen=True, eq=False):
    """The whole tree, as it was."""

    world: World


class Told(msgspec.Struct, frozen=True, eq=False):
    """A report about what did not happen: an input `dropped` or `undecodable`, a start `down`."""

    event: str
    detail: dict[str, Any]


class PutOff(msgspec.Struct, frozen=True, eq=False):
    """An input was put off, as its worker was held or down; `own`: an effect has sent it."""

    kind: Kind
    message: Any
    waits: bool
    own: bool = False


class Passed(msgspec.Struct, frozen=True, eq=False):
    """An input was taken out of the queue and not stepped: void, or its worker was not there.

    `own`: an effect has sent it.
    """

    kind: Kind
    message: Any
    own: bool = False


Between = (
    Began
    | Terminated
    | Fired
    | Ran
    | FarNews
    | Tried
    | Acted
    | AskedFor
    | Told
    | PutOff
    | Passed
    | Moment
)
Entry = tuple[int, Any, Kind | None, Any, Any, Any]
LATER = (Fired, Ran, FarNews)
"""What time alone, or work outside of the node, has brought: it belongs to the next record."""


class Frozen:
    """A clock that shows one instant."""

    def __init__(self, now_s: float, wall_s: float) -> None:
        self.at_s, self.wall = now_s, wall_s

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.at_s

    def wall_s(self) -> float:
        """Seconds since 1970."""
        return self.wall

    def sleep_s(self, seconds: float) -> None:
        """Time stands still."""


class Recorder:
    """What a node remembers. It belongs to one world, and is never copied with it.

    Args:
        world: whose inputs they are.
        most: entries that are kept, at least 16.
        most_bytes: what they may hold.
        number: of the last record before the first here.

    Attributes:
        append: puts an entry into the ring; `World.numbers` gives it its number.
        causes: by record, the record that sent its input, or started its timer.
        answered: the record of the call whose outcome was told last.
        askers: by record, who asked.
        current: the record whose effects are carried out.
        impure: which workers change their states in place, as far as was noticed.
        instants: when records were served.
        marks: which reports are about which record.
        readers: called now and then, long before what they have not read is forgotten.
        sender: of the input that is served now, where an effect has sent it.
    """

    def __init__(
        self, world: World, most: int, most_bytes: int = MOST_BYTES, number: int = 0
    ) -> None:
        self.world = world
        self.most, self.most_bytes = most, most_bytes
        self.ring: deque[Entry] = deque(maxlen=most)
        self.append = self.ring.append
        self.every = max(4, min(2500, most // 4))
        self.causes: dict[int, int] = {}
        self.askers: dict[int, str] = {}
        self.answered = 0
        self.sender: SentInput | None = None
        self.how = ""
        self.marked: Any = None
        self.instants, self.marks = Instants(world.clock, most), Marks(most)
        self.impure = InPlace()
        self.readers: list[Callable[[], None]] = []
        self._weights = Weights()
        self.begin(number)

    def begin(self, number: int) -> None:
        """Forget all, and go on behind the record `number`."""
        self.ring.clear()
        self.world.numbers = count(number + 1)
        self.current = self._number = number
        self._due, self._due_s, self._took_s = number, -math.inf, 0.0
        self._weighed = self._newest = number
        self.causes.clear()
        self.askers.clear()
        self._weights.clear()

    def last(self) -> int:
        """Return the number of the last record."""
        ring, number = self.ring, self._number
        return ring[-1][0] if ring and ring[-1][0] > number else number

    # -- inputs --------------------------------------------------------------------------------

    def arrive(self, cell: WorkerCell, kind: Kind, came: Any) -> None:
        """Note how the input came that is served next; in a moment kept now it still waits."""
        marked = HOWS.get(type(came))
        if self.due():
            queue, own = self.world.queue, marked is not None or self.sender is not None
            if own:
                queue.appendleft((cell, kind, came, None))
            self.moment()
            if own:
                queue.popleft()
        self.how = WORDS[kind] if marked is None else marked
        self.marked = None if marked is None else came
        if marked is not None and came.record:
            self.sender = SentInput(self, came.record)

    def served(
        self, cell: WorkerCell, message: Any, outcome: Outcome, pending: Pending | None,
        *, reads: bool = False,
    ) -> None:  # fmt: skip
        """Record an input and its outcome, before that is committed."""
        came = Came(self._how(pending), outcome, reads=reads, marked=self.marked)
        self._add(cell, message, came, pending)
        if outcome.stop is not None:
            self.marks.note(self.world.reports.seq, self.last())

    def crashed(
        self, cell: WorkerCell, message: Any, reason: ExitReason, pending: Pending | None
    ) -> None:
        """Record an input that ended its worker."""
        said = crash_text(reason) if type(reason) is Crash else ""
        came = Came(self._how(pending), None, frameless(reason, said), marked=self.marked)
        self._add(cell, message, came, pending)
        self.marks.note(self.world.reports.seq, self.last())

    def retract(self, cell: WorkerCell) -> None:
        """Forget the last record, if it is of a step of `cell` that counts as not run."""
        self.sender = None
        if self.ring and self.ring[-1][1] is cell and self.ring[-1][2] is not None:
            number, _, _, _, before, what = self.ring[-1]
            if before is cell.state and type(what) is tuple and what[0] is not before:
                self.ring.pop()
                self._number = number - 1

    def held(self, cell: Cell, kind: Kind, message: Any, pending: Pending | None) -> Any:
        """Return who waits for an input that is put off: its sender, where an effect sent it."""
        sender, self.sender = self.sender, None
        self._note(cell, PutOff(kind, message, pending is not None, sender is not None))
        return pending if sender is None else sender

    def _how(self, pending: Pending | None) -> str:
        how, self.how = self.how, ""
        if not how:
            self.marked = None
        return how or ("cast" if pending is None else "call")

    def _add(self, cell: WorkerCell, message: Any, came: Came, pending: Pending | None) -> None:
        each = cell.extra is not None and cell.extra.weighed
        if each or not cell.steps & 15:  # while the record before is the last one
            self._weigh(cell, message, 1 if each else 16, self.last())
        kind = KINDS.get(came.how, Kind.INFO)
        self.current = number = next(self.world.numbers)
        self.append((number, cell, kind, message, cell.state, came))
        sender, self.sender = self.sender, None
        if sender is not None:
            self.causes[number] = sender.cause
        if pending is not None:
            pending.record = number
        self.instants.note(number)

    # -- what lies between them ----------------------------------------------------------------

    def add(self, cell: Cell | None, what: Between, *, by_hand: bool = False) -> None:
        """Record something that is no input; a change by hand has a number of its own."""
        if by_hand and self.due():
            self.moment()
        number = next(self.world.numbers) if by_hand else self.last()
        self.current = number
        self.append((number, cell, None, None, None, what))
        self._due -= 1
        self.marks.note(self.world.reports.seq, self.last())
        if by_hand:
            self.instants.note(number)

    def told(self, cell: Cell, event: str, detail: dict[str, Any]) -> None:
        """Record a report about what did not happen; it is told next."""
        self.marks.note(self.world.reports.seq, record_behind(self, cell, event))
        self.marks.note(self.world.reports.seq + 1, self.last())
        self.sender, self.how = None, ""  # of that input alone
        self._note(cell, Told(event, detail))

    def passed(self, cell: Cell, kind: Kind, message: Any) -> None:
        """Record that an input is not stepped; how it came is not how the next one comes."""
        own = self.sender is not None
        self.sender, self.how, self.marked = None, "", None
        self._note(cell, Passed(kind, message, own))

    def _note(self, cell: Cell, what: Between) -> None:
        self.append((self.last(), cell, None, None, None, what))
        self._due -= 1

    def began(self, cell: WorkerCell | SupervisorCell, answer: Any) -> None:
        """Record what `init` answered."""
        self._note(cell, Began(answer))
        self.current = self.last()

    def keeps(self, cell: WorkerCell) -> None:
        """Note that a worker begins with the state that it has, and not with that of `init`.

        The answer of `init` that was recorded last stands there with that state.
        """
        number, _, _, _, _, what = self.ring[-1]
        answer = with_state(what.answer, cell.state)
        self.ring[-1] = (number, cell, None, None, None, Began(answer))

    def failed(self, cell: Cell, reason: ExitReason) -> None:
        """Record why `init` failed."""
        said = crash_text(reason) if type(reason) is Crash else ""
        self._note(cell, Began(None, frameless(reason, said)))

    def terminated(self, cell: WorkerCell, what: Terminated) -> None:
        """Record what came of `terminate`."""
        self._note(cell, what)

    # -- now and then --------------------------------------------------------------------------

    def next_at(self, now_s: float) -> None:
        """Note that the next record is served at `now_s` or later."""
        self.instants.note_at(self.last() + 1, now_s)

    def look(self, cell: WorkerCell, message: Any, now_s: float) -> None:
        """Look closer, every 64th input of a worker, before it is stepped."""
        if not cell.steps & 255 or cell.steps == FIRST:
            number = self.last()
            self.instants.note_at(number + 1, now_s)
            self._weigh(cell, message, 256, number)
        if now_s >= self._due_s and self.due():
            self.next_at(now_s)
            self.moment()

    def _weigh(self, cell: WorkerCell, message: Any, stands_for: int, number: int) -> None:
        """Estimate what an input and its state hold; forget the oldest where that is too much.

        `number` is that of the last record.
        """
        weights = self._weights
        size = weight_of(message, cell.state, *input_before(self.ring, cell))
        if not cell.steps:
            self.impure.watch(cell.spec.id, number + 1, cell.state, size)
        watched = 0 if cell.extra is None else cell.extra.weighed
        if watched or size > LARGE_BYTES:
            extra = cell.ensure_extra()
            extra.weighed = WATCHED if size > LARGE_BYTES else watched - 1
            if not watched or not extra.weighed:
                replan(cell)
        since, self._weighed = number - self._weighed, number  # of any worker
        weights.add(number, size, max(1, min(stands_for, since)))
        while weights.bytes > self.most_bytes and not weights.is_last():
            first = weights.drop()
            while len(self.ring) > 1 and self.ring[0][0] < first:
                self.ring.popleft()
            if 2 * self._newest < first + number:  # half of what is left cannot be shown, or less
                self._due = min(self._due, number)
        weights.forget_before(self.ring[0][0] if self.ring else number)

    def moment(self) -> None:
        """Keep the whole tree as it is now, where that is due and cheap enough."""
        world, clock = self.world, self.world.clock
        begun_s = clock.now_s()
        if begun_s < self._due_s:
            return
        self._newest = self.last()
        self._due = self._newest + self.every
        self.instants.note_wall()
        frozen = Frozen(begun_s, clock.wall_s())
        entry = Moment(fork(world, frozen, NoGuard(frozen)))
        self.append((self.last(), None, None, None, None, entry))
        before_s, self._took_s = self._took_s, clock.now_s() - begun_s
        self._due_s = begun_s + MOMENT_SHARE * min(before_s, self._took_s)
        keep_few(self, len(world.names))
        for reader in [*self.readers]:
            reader()
        self.impure.compare()
        self.impure.watch_last(reversed(self.ring))
        for known in (self.causes, self.askers):
            while known and next(iter(known)) < self.ring[0][0]:
                del known[next(iter(known))]

    def due(self) -> bool:
        """Return whether a moment is to be kept before the next input is served."""
        return self.last() >= self._due


def record_behind(recorder: Recorder, cell: Cell, event: str) -> int:
    """Return the record that brought an input which is not served; 0: it came from outside."""
    world, sender = recorder.world, recorder.sender
    if sender is not None:
        return sender.cause
    what = recorder.ring[-1][5] if recorder.ring else None
    passed = type(what) is Passed and not what.own
    outside = cell is world.root and not world.pumping
    return 0 if outside or passed or event == "undecodable" else recorder.last()


def reach(recorder: Recorder, number: int) -> None:
    """Have this number for the last record, though nothing may be remembered of it."""
    recorder._number = max(recorder.last(), number)  # noqa: SLF001 - its own file


def go_on_at(recorder: Recorder, number: int) -> None:
    """Give the next record this number, unless that is behind the last one already."""
    if number > recorder.last() + 1:
        recorder.world.numbers = count(number)


def keep_few(recorder: Recorder, cells: int) -> None:
    """Forget the oldest moments of a large tree, and what lies before the oldest that stays."""
    room, ring = max(1, MOST_CELLS // max(1, cells)), recorder.ring
    if recorder.most // recorder.every <= room:
        return
    moments = [entry for entry in ring if type(entry[5]) is Moment]
    while len(moments) > room and ring[0] is not moments[-room]:
        ring.popleft()

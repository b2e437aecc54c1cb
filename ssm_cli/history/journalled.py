"""The past that a journal holds: durable workers, stepped again from their saved states.

Theory of operation. Recovery steps the records of a journal, as when a tree starts; it is heard
here, and what each record found and left is an entry of a recorder. So all questions to a past are
answered, by the numbers that the node gave. Nothing is written, and no tree is started.

Bounds: as of the memory of a node, and the oldest records are left out. So states of a megabyte do
not fill the memory of whoever asks.
"""

from __future__ import annotations

import gc
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Outcome, advance, behaviour_of
from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.behaviour.results import NOTHING, TIMEOUT
from ssm_cli.behaviour.sizes import AsText
from ssm_cli.errors import Unrecovered, message_of
from ssm_cli.history.journalled_trees import FromJournal, with_trees
from ssm_cli.history.records import NOT_KEPT
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.durable.again import Again, Answered
from ssm_cli.runtime.durable.life import KINDS, Life, take_given
from ssm_cli.runtime.durable.pools import is_durable
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.rebuild import Recovered, code_in
from ssm_cli.runtime.durable.records import Change, Exit, Input, Record, Start, number_in
from ssm_cli.runtime.durable.roster import Roster
from ssm_cli.runtime.durable.stored import head_of, renamed_in, workers_in
from ssm_cli.runtime.durable.values import ODD, text_of
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.recalled import class_of, frameless
from ssm_cli.runtime.engine.recorder import (
    MOST_BYTES,
    WATCHED,
    Acted,
    Began,
    Came,
    Entry,
    Recorder,
    reach,
)
from ssm_cli.runtime.engine.weights import LARGE_BYTES, Weights, weight_of
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.children import without_collector
from ssm_cli.runtime.performer.system import put_state
from ssm_cli.spec.model import Persist, SupervisorSpec, walk

MOST_RECORDS = 1_000_000  # that are remembered; older ones go
EVERY = (
    256  # records of a worker, of which one is weighed; more of its first, and behind large ones
)
WRITTEN = AsText("")  # an output that is in no journal


class Taken(msgspec.Struct, eq=False):
    """A record that a worker took, and what it had before and after it; `NOTHING` for no state.

    `given` is its input, if it was decoded to be stepped; else `NOTHING`.
    """

    seq: int
    record: Any
    before: Any
    after: Any = NOTHING
    given: Any = NOTHING


class Straight(msgspec.Struct, eq=False):
    """Plain inputs of one worker, from record `seq` on; the state `before` them, what came of them.

    A pure step has answered each with a state and an output.
    """

    seq: int
    records: Sequence[Input]
    before: Any
    answers: Sequence[Answered]


class Listener:
    """Hears a recovery.

    Args:
        most: records that are kept, about.
        most_bytes: about what they may hold.

    Attributes:
        taken: the records of journalled workers behind their saved states; oldest first at the end.
        left: how many older ones are left out.
        gone: the workers that have ended by those.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.taken: Sequence[Taken | Straight] = ()
        self.left, self.gone = 0, set[str]()
        self._most, self._most_bytes = most, most_bytes
        self._kept: deque[Taken | Straight] = deque()
        self._last: dict[Life, Taken] = {}  # of whom the last record is not done yet
        self._weights, self._first, self._newest, self._since = Weights(), 0, 0, 0
        self._count = 0  # of the records that are kept
        self._due: dict[Life, int] = {}  # records until one is weighed
        self._gaps: dict[Life, int] = {}  # of them, between two that are
        self._watched: dict[Life, int] = {}  # records that are weighed one by one

    def hear(self, seq: int, record: Record, life: Life | None) -> None:
        """Note what a worker has before a record, which is also what the one before has left."""
        if life is None:
            return
        had = state_had(life)
        self._settle(life, had)
        self._last[life] = one = Taken(seq, record, had)
        self._keep(one, 1)
        if seq < self._first:  # it has waited for the start of its worker
            self._leave(self._kept.pop())

    def heard(
        self, seq: int, run: Sequence[Input], life: Life, before: Any, answers: Sequence[Answered]
    ) -> None:
        """Note what plain inputs have found and left."""
        self._settle(life, before)
        self._keep(Straight(seq, run, before, answers), len(run))
        due, since = self._due.get(life, 0), self._since
        at, weighed = due, -1
        while at < len(run):
            given, (state, output) = answers[at]
            self._since = since + at - weighed
            was = answers[at - 1][1][0] if at else before
            gap = self._weigh(life, seq + at, weight_of(given, state, was, output))
            since, weighed, at = 0, at, at + gap + 1
        self._since = since + len(run) - 1 - weighed
        self._due[life] = at - len(run)

    def _settle(self, life: Life, had: Any) -> None:
        """Note what the last record of a worker has left."""
        last = self._last.pop(life, None)
        if last is None:
            return
        last.after, last.given, self._since = had, take_given(life), self._since + 1
        due = self._due.get(life, 0)
        if due:
            self._due[life] = due - 1
        else:
            size = weight_of(last.given, had, last.before, None)
            self._due[life] = self._weigh(life, last.seq, size)

    def _weigh(self, life: Life, seq: int, size: float) -> int:
        """Note what a record has left; return how many of its worker may pass until the next.

        The oldest go where that is too much.
        """
        self._newest = max(self._newest, seq)
        watched = WATCHED if size > LARGE_BYTES else max(0, self._watched.get(life, 0) - 1)
        gap = self._gaps[life] = 0 if watched else min(2 * self._gaps.get(life, 0) + 1, EVERY - 1)
        self._watched[life] = watched
        self._weights.add(self._newest, size, min(EVERY, self._since))
        self._since = 0
        while self._weights.bytes > self._most_bytes and not self._weights.is_last():
            self._leave_before(self._weights.drop())
        return gap

    def _keep(self, one: Taken | Straight, count: int) -> None:
        self._kept.append(one)
        self._count += count
        while self._count > self._most and len(self._kept) > 1:
            self._leave_before(last_of(self._kept[0]) + 1)

    def _leave_before(self, seq: int) -> None:
        """Leave out what is older; of plain inputs in a row all, or none."""
        self._first, kept = max(self._first, seq), self._kept
        while kept and last_of(kept[0]) < self._first:
            self._leave(kept.popleft())

    def _leave(self, one: Taken | Straight) -> None:
        count = len(one.records) if isinstance(one, Straight) else 1
        self.left, self._count = self.left + count, self._count - count
        if isinstance(one, Taken) and type(one.record) is Exit:
            self.gone.add(one.record.worker)

    def end(self) -> None:
        """Note what each worker has at the end."""
        for life in [*self._last]:
            self._settle(life, state_had(life))
        self._kept = deque(sorted(self._kept, key=attrgetter("seq")))  # what waited came later
        self._leave_before(self._first)
        self.taken = self._kept


def last_of(one: Taken | Straight) -> int:
    """Return the number of the last record of something in the journal."""
    return one.seq + (len(one.records) - 1 if isinstance(one, Straight) else 0)


def state_had(life: Life) -> Any:
    """Return the state of a worker; `NOTHING` where it begins with `init`."""
    return life.state if life.has else NOTHING


def journalled_node(
    store: Store,
    tree: SupervisorSpec,
    name: str,
    most_bytes: int = MOST_BYTES,
    tell: Callable[[int], object] = bool,
) -> tuple[Node, list[Unrecovered]]:
    """Return a node that was never started and remembers what a journal holds, and what it cannot.

    At a record it has the durable workers alone; the others are not running.

    Args:
        store: open for reading.
        tree: with the code that steps; a worker that steps to something else is a trouble.
        name: of the node.
        most_bytes: about what the records may hold that are remembered.
        tell: called with how many older records are left out, if any are.

    Raises:
        StorageDamaged: what is stored is not what was written.
    """
    listener = Listener(MOST_RECORDS, most_bytes)
    node = Node(tree, name=name, clock=ManualClock(0.0, 0.0), guard=False, history=MOST_RECORDS)
    recorder = node.recorder()
    assert recorder is not None, "it was asked for"
    with without_collector(recorder.world):  # all that is made stays
        pooled = any(is_durable(spec) for _, spec in walk(tree))  # else nobody has gone from there
        roster = Roster(store, tree, workers_in(store, head_of(store)) if pooled else ())
        recovered = Recovered(store, tree, seen=listener, roster=roster)
        troubles = [*recovered.look().values()]
        listener.end()
        since, ends = Retelling(store, recovered, recorder, listener).tell(listener.taken)
        pass_over()
    if listener.left:
        tell(listener.left)
    states = states_at_end(recovered)
    told = FromJournal(recorder, roster.pools, since, states, ends, listener.left)
    return with_trees(node, told), troubles


def states_at_end(recovered: Recovered) -> dict[str, Any]:
    """Return the states of the journalled workers that can go on."""
    specs = recovered.roster.specs
    return {
        life.worker: state_had(life)
        for life in recovered.lives()
        if specs[life.worker].options.persist is Persist.JOURNAL
    }


def pass_over() -> None:
    """Count all that there is now as old, so that the collector does not walk it at once."""
    if not gc.get_freeze_count():  # else what somebody else has frozen would thaw
        gc.freeze()
        gc.unfreeze()


class Retelling:
    """Makes entries of records."""

    def __init__(
        self, store: Store, recovered: Recovered, recorder: Recorder, heard: Listener
    ) -> None:
        self._store, self._recorder, self._last = store, recorder, recovered.head.record
        self._heard = heard
        self._specs, self._guard = recovered.roster.specs, recovered.guard
        self._cells: dict[str, WorkerCell] = {}
        self._numbers: dict[int, int] = {}
        self._decoders: dict[str, Any] = {}

    def tell(self, taken: Sequence[Taken | Straight]) -> tuple[int, dict[str, int]]:
        """Fill the recorder.

        Returns:
            The record that is known of whom nothing came since, and the one behind which each
            worker has ended last.
        """
        recorder = self._recorder
        last, most = self._ends_of(taken)
        since = max(self._last, last)
        ends = dict.fromkeys(self._heard.gone, since)
        senders, numbered = senders_of(taken), most > 0
        recorder.begin(last)
        for found in taken:
            if isinstance(found, Straight):
                last = self._tell_run(last, found, numbered=numbered)
                continue
            record = found.record
            last = number_behind(last, found, numbered=numbered)
            if type(record) is Exit:
                ends[record.worker] = last
            entry = self._entry(found, last)
            if entry is None:
                continue
            recorder.append(entry)
            if isinstance(record, Input | Change):  # a start has the number of another
                recorder.instants.note_at(last, record.at_s)
            if senders:
                self._note_cause(found, last, senders)
        reach(recorder, max(self._last, last, most))
        return since, ends

    def _tell_run(self, last: int, run: Straight, *, numbered: bool) -> int:
        """Add plain inputs behind the record `last`; return the last of them."""
        worker, before, at_s, seq = run.records[0].worker, run.before, -math.inf, run.seq
        append, note_at = self._recorder.append, self._recorder.instants.note_at
        cell = self._cells.get(worker) or self._cell(worker)
        for record, (given, answer) in zip(run.records, run.answers, strict=True):
            number = record.number
            last = number if number > last else last + 1 if numbered else seq
            append((last, cell, KINDS[record.how], given, before, answer))
            if record.at_s != at_s:
                at_s = record.at_s
                note_at(last, at_s)
            before, seq = answer[0], seq + 1
        return last

    def _ends_of(self, taken: Sequence[Taken | Straight]) -> tuple[int, int]:
        """Return the number before that of the first record, and the last; 0 if they have none."""
        given = [number for record in records_of(taken) if (number := number_in(record))]
        most = max(given, default=0)
        if self._heard.left:
            return min(given, default=taken[0].seq) - 1, most
        return min([self._last, *(number - 1 for number in given)]), most

    def _note_cause(self, found: Taken, number: int, senders: set[int]) -> None:
        """Note the number of a record that has sent others; and of another, which has sent it."""
        if found.seq in senders:
            self._numbers[found.seq] = number
        cause = getattr(found.record, "cause", None)
        if cause is not None and cause[0] in self._numbers:
            self._recorder.causes[number] = self._numbers[cause[0]]

    def _entry(self, found: Taken, number: int) -> Entry | None:
        record = found.record
        cell = self._cells.get(record.worker) or self._cell(record.worker)
        match record:
            case Input(outcome="dropped"):
                dropped = Acted(None, (), "drop", found.before, found.before)
                return (number, cell, None, None, None, dropped)
            case Input():
                message = self._message(found)
                came = came_of(found, self._crash(found, cell, message))
                return (number, cell, KINDS[record.how], message, found.before, came)
            case Start():
                return (number, cell, None, None, found.before, Began(found.after))
            case Change():
                acted = Acted(put_state, (found.after,), "replace_state", found.before, found.after)
                return (number, cell, None, None, None, acted)
        return None

    def _crash(self, found: Taken, cell: WorkerCell, message: Any) -> ExitReason | None:
        """Return how an input crashed, found by stepping it again; None where that goes well."""
        record = found.record
        if record.outcome != "crashed" or found.before is NOTHING or type(message) is AsText:
            return None
        _, again = self._decoders.get(record.worker) or (None, Again(cell.spec, self._guard))
        kind = KINDS[record.how]
        try:
            again.step(advance, cell.behaviour, kind, message, None, found.before)
        except BaseException as error:
            if again.is_from_outside(error):
                raise
            return frameless(Crash(error), message_of(error))
        return None

    def _cell(self, worker: str) -> WorkerCell:
        spec = self._specs[worker]
        cell = self._cells[worker] = WorkerCell(spec, self._recorder.world.root)
        cell.behaviour = behaviour_of(spec.start)
        return cell

    def _message(self, found: Taken) -> Any:
        """Return an input by the codec that is here; its text, where that does not take it."""
        record = found.record
        if record.how == "timeout" and not record.data:
            return TIMEOUT
        worker = record.worker
        if worker not in self._decoders:
            spec = self._specs[worker]
            _, values = code_in(spec, renamed_in(self._store, worker), "")
            self._decoders[worker] = values, Again(spec, self._guard)
        values, again = self._decoders[worker]
        try:
            if record.data[:1] == ODD:
                return again.step(values.read, record.data, found.seq)
            return again.step(values.codec.decode, record.data)
        except BaseException as error:
            if again.is_from_outside(error):
                raise
            return AsText(text_of(record.data))


def records_of(taken: Sequence[Taken | Straight]) -> Iterator[Record]:
    """Yield the records."""
    for one in taken:
        if isinstance(one, Straight):
            yield from one.records
        else:
            yield one.record


def senders_of(taken: Sequence[Taken | Straight]) -> set[int]:
    """Return the records that have sent the inputs of others, as these say."""
    inputs = (one.record for one in taken if isinstance(one, Taken) and type(one.record) is Input)
    return {record.cause[0] for record in inputs if record.cause is not None}


def number_behind(last: int, found: Taken, *, numbered: bool) -> int:
    """Return the number in the history of the node of a record, or of the one before it.

    Args:
        last: that of the record before it.
        found: the record.
        numbered: the node has given numbers to its records.
    """
    record, given = found.record, number_in(found.record)
    if given:
        return max(given, last + (type(record) is Input and record.outcome != "dropped"))
    if isinstance(record, Input | Change):
        return last + 1 if numbered else found.seq
    return last


def came_of(found: Taken, crash: ExitReason | None) -> Came:
    """Return what came of an input; its output is not in a journal, nor is how it crashed."""
    record: Input = found.record
    if record.outcome == "replied":
        return Came(record.how, Outcome(found.after, WRITTEN, None, None, NOT_KEPT))
    if crash is not None:
        return Came(record.how, None, crash)
    if record.outcome == "crashed":
        said = text_of(record.output) or "the journal does not say why"
        return Came(record.how, None, Crash(class_of("Crash")(said), said=said))
    return Came(record.how, Outcome(found.after, NOTHING, None, None, NOT_KEPT))

"""The timeline: questions to the past of a node, as effects of verbs; all answers are data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import CommandError, Forgotten, is_number
from ssm_cli.history.changes import Change, change_record, changes, same
from ssm_cli.history.expr import Asking, parse_expr
from ssm_cli.history.marks import crash_from
from ssm_cli.history.paths import NoSuchPart, Path, parse_path
from ssm_cli.history.places import Places
from ssm_cli.history.records import Served, entries_in, latest_of, served, served_in
from ssm_cli.history.telling import Data, Teller
from ssm_cli.history.turns import Clock, Quota, Turns, bounded
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.recorder import Entry, Recorder
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.intake import hint_for
from ssm_cli.runtime.recording.rewind import as_it_is, first_in

MOST_S = 2.0  # that a question may take
LOOK_S = 20.0  # of processor time, for one that is asked in turns
AT_ONCE_S = 0.05  # and while the tree stands still, where it can be answered beside it
SHOWN = 20  # records, unless it is said how many
MOST_SHOWN = 100_000
AS_IT_WAS = "as it was before"  # the note of a part that a worker has begun with again
MOST_CAUSES = 1000  # in one chain


P = ParamSpec("P")
T = TypeVar("T")


def looking(
    question: Callable[Concatenate[Timeline, P], Turns[T]],
) -> Callable[Concatenate[Timeline, P], Turns[T]]:
    """Have a question asked in turns, for `LOOK_S` at most."""

    @wraps(question)
    def asked(timeline: Timeline, /, *args: P.args, **given: P.kwargs) -> Turns[T]:
        quota = Quota(timeline.clock, timeline.processor, LOOK_S, lambda: True)
        what = f"this takes more than {LOOK_S:g} s of the processor"
        return (yield from bounded(quota, question(timeline, *args, **given), what))

    return asked


class Timeline:
    """What can be asked of the past of one node.

    Each question has a `place`: "" for the live tree, a record for the tree as it was there, or
    the name of a fork. Times are written by `instant`.

    Attributes:
        places: the trees that stand at places, and the forks.
        patience: how long a question may take.
        clock, processor: of the machine.
    """

    def __init__(
        self,
        node: Node,
        instant: Callable[[float], str],
        clock: Clock = time.perf_counter,
        processor: Clock = time.process_time,
    ) -> None:
        self.clock, self.processor = clock, processor
        self.patience = Patience(clock)
        self.places = Places(node)
        self.instant = instant

    # -- looking -------------------------------------------------------------------------------

    @looking
    def history(self, worker: str | None = None, last: int = SHOWN, place: str = "") -> Turns[Data]:
        """Return the last records (of one worker), oldest first, and what is remembered."""
        recorder, here = self.places.known(place)
        recorder, begin = as_it_is(recorder), self.places.begin(place)
        first = first_in(recorder)
        teller = Teller(recorder)
        told: list[Data] = []
        records = served_in(recorder, 0, here, worker, back=True)
        for one in islice(records, min(max(0, last), MOST_SHOWN)):
            of_fork = {"fork": place} if begin is not None and one.record > begin else {}
            told.append(teller.record(one, self.instant) | of_fork)
            yield
        if worker is not None and not told:
            self._need(recorder, worker)
        last = recorder.last()
        return {"first": last if first is None else first, "last": last, "records": told[::-1]}

    @looking
    def go(self, where: str, place: str = "") -> Turns[Data]:
        """Return the place that a word stands for (`at`), and its record."""
        if where.startswith("fork"):
            _, recorder, record = self.places.remembered(where)
            return self._arrived(where, recorder, record)
        place = "" if where == "now" else place
        refuse_fork(place, where)
        record, (_, recorder, _) = self.places.record_at(where), self.places.remembered("")
        if where == "now":
            return self._arrived("", recorder, record)
        crashed = where == "crash"
        shown = record - 1 if crashed else record
        found = self._arrived(str(shown), recorder, record)
        yield from self.places.turns_to(shown)
        return found

    def step(
        self,
        by: int = 1,
        worker: str | None = None,
        change: str | None = None,
        when: str | None = None,
        *,
        crash: str = "",
        place: str = "",
    ) -> Data:
        """Return the place some records on (`next`), or back where `by` is negative.

        With `worker`, `change` (a PATH) or `when` (an EXPR) only records of that worker, that
        change that part, after which that holds, are counted; with `crash` places of crashes are.
        """
        refuse_fork(place)
        refuse_zero(by)
        _, recorder, here = self.places.remembered(place)
        if crash == "yes":
            if worker or change or when:
                raise CommandError("`--crash` goes alone, without --worker, --change, --when")
            record = crash_from(recorder, here, by)
            self.places.tree(str(record))
            return self._arrived(str(record), recorder, record + 1)
        if by < 0 and not (worker or change or when):
            record = here + by
            if record < 0:
                raise Forgotten(f"record {here} has none {-by} before it; `at start` is the first")
        else:
            wanted = self._wanted(recorder, worker, change, when)
            first, last = (0, here - 1) if by < 0 else (here + 1, None)
            entries = self.patience.in_time(entries_in(recorder, first, last, back=by < 0))
            ones = (served(recorder, entry) for entry in entries)
            hits = (one for one in ones if one is not None and wanted(one))
            hit = next(islice(hits, abs(by) - 1, None), None)
            if hit is None:
                raise Forgotten("no such record is remembered in that direction")
            record = hit.record
        self.places.tree(str(record))
        return self._arrived(str(record), recorder, record)

    @looking
    def diff(
        self, one: str | None = None, other: str | None = None, place: str = ""
    ) -> Turns[Data]:
        """Return what a record changed, or what lies between two places, worker by worker."""
        recorder, here = self.places.known(place)
        teller = Teller(recorder)
        if one is None or other is None:
            record = here if one is None else self.places.record_at(one, place)
            found = self._record(recorder, record)
            return {
                "record": teller.record(found, self.instant),
                "changes": [change_of(found.worker, c) for c in teller.changes(found, 1000)],
            }
        first, second = (self.places.record_at(word, place) for word in (one, other))
        before = yield from self.places.tree_at(first, place)
        after = yield from self.places.tree_at(second, place)
        told = yield from self.differing(before, after)
        return {"from": first, "to": second, "changes": told}

    def blame(
        self, worker: str, path: str, when: str | None = None, last: int = SHOWN, place: str = ""
    ) -> Data:
        """Return the records that wrote a part of a worker's state, newest first.

        The largest change of a number is marked, and the first after which `when` holds.
        """
        recorder, here = self.places.known(place)
        self._need(recorder, worker)
        teller, part = Teller(recorder), parse_path(path)
        asking = None if when is None else Asking(parse_expr(when))
        wrote: list[tuple[Served, Change]] = []
        impure = teller.is_impure(worker)
        first: int | None = None
        writes = Writes(teller, part)
        for entry in self.patience.in_time(entries_in(recorder, 0, here, worker)):
            change = None if impure else writes.by(entry)
            one = None if change is None else served(recorder, entry)
            if one is not None and change is not None:
                wrote.append((one, change))
            if asking is not None and first is None and asking.holds(teller.names_in(entry)):
                first = entry[0]
        if not wrote:
            need_part(recorder, teller, worker, part)
        largest = max(wrote, key=lambda each: moved(each[1]), default=None)
        shown = wrote[::-1][: min(max(1, last), MOST_SHOWN)]
        return {
            "worker": worker,
            "path": str(part),
            "count": len(wrote),
            "largest": largest[0].record if largest and moved(largest[1]) > 0 else None,
            "first": first,
            "impure": impure,
            "never": [] if asking is None else list(asking.never()),
            "records": [teller.record(one, self.instant, [change]) for one, change in shown],
        }

    def when(self, worker: str, expr: str, place: str = "") -> Data:
        """Return the first record after which an EXPR holds; `record` is None where none is."""
        recorder, here = self.places.known(place)
        self._need(recorder, worker)
        teller, asking = Teller(recorder), Asking(parse_expr(expr))
        for entry in self.patience.in_time(entries_in(recorder, 0, here, worker)):
            if asking.holds(teller.names_in(entry)):
                one = served(recorder, entry)
                if one is not None:
                    return {"record": teller.record(one, self.instant), "never": []}
        return {"record": None, "never": list(asking.never())}

    def why(self, record: str | None = None, place: str = "") -> Data:
        """Return the chain of causes of a record: itself first, what came from outside last.

        Without a record that of the place is meant.
        """
        recorder, here = self.places.known(place)
        teller = Teller(recorder)
        chain: list[Data] = []
        number: int | None = here if record is None else self.places.record_at(record, place)
        while number is not None and len(chain) < MOST_CAUSES:
            one = latest_of(recorder, number)
            if one is None:
                if not chain:
                    self._record(recorder, number)
                break
            chain.append(teller.record(one, self.instant))
            number = one.cause
        return {"records": chain, "forgotten": number}

    # -- inside --------------------------------------------------------------------------------

    def _record(self, recorder: Recorder, number: int) -> Served:
        one = latest_of(recorder, number)
        if one is None:
            ring, last = recorder.ring, recorder.last()
            here = f"records {ring[0][0]} to {last} are" if ring else "none is"
            raise Forgotten(f"record {number} is not remembered here; {here}{kept_of(recorder)}")
        return one

    def _need(self, recorder: Recorder, worker: str | None) -> None:
        """Raise `Forgotten` for a worker that is neither there nor remembered."""
        if worker is None or type(recorder.world.names.get(worker)) is WorkerCell:
            return
        if not any(entry[1] is not None and entry[1].spec.id == worker for entry in recorder.ring):
            hint = hint_for(recorder.world, worker)
            raise Forgotten(f"no worker `{worker}` is there or remembered{hint}")

    def _arrived(self, place: str, recorder: Recorder, record: int) -> Data:
        one = latest_of(recorder, record)
        told = None if one is None else Teller(recorder).record(one, self.instant)
        return {"place": place, "number": record, "record": told}

    def _wanted(
        self, recorder: Recorder, worker: str | None, change: str | None, when: str | None
    ) -> Callable[[Served], bool]:
        self._need(recorder, worker)
        teller = Teller(recorder)
        writes = None if change is None else Writes(teller, parse_path(change))
        asking = None if when is None else Asking(parse_expr(when))

        def wanted(one: Served) -> bool:
            if not one.is_input and one.how in ("start", "exit"):
                return False
            if worker is not None and one.worker != worker:
                return False
            if writes is not None and (
                teller.is_impure(one.worker)
                or writes.between(one.cell, one.before, one.after) is None
            ):
                return False
            return asking is None or asking.holds(teller.names(one))

        return wanted

    def differing(
        self, one: Node, other: Node, names: Sequence[str] | None = None
    ) -> Turns[list[Data]]:
        """Return what differs between two trees: each worker's state, and who is there.

        Both are compared in the classes of now, where a reload has put others in their place.
        """
        live, found = self.places.node, list[Data]()
        names = names or [*dict.fromkeys([*one.names("worker"), *other.names("worker")])]
        for name in names:
            yield
            before, after = (in_its_classes(live, name, state_in(n, name)) for n in (one, other))
            if before is not after:
                found += [change_of(name, change) for change in changes(before, after)]
        return found


class Patience:
    """How long a question may take.

    Attributes:
        most_s: that it may.
        is_late: whether one has taken longer, since somebody has set it to False.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.most_s, self.is_late = MOST_S, False
        self._clock = clock

    def in_time(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield entries while there is time.

        Raises:
            CommandError: `most_s` are over.
        """
        end_s = self._clock() + self.most_s
        for entry in entries:
            if self._clock() > end_s:
                self.is_late = True
                raise CommandError(
                    f"this takes more than {self.most_s:g} s, and a tree may wait meanwhile: it "
                    f"got to record {entry[0]}; ask about less, or of a saved past (`save`, "
                    f"`ssm open`)"
                )
            yield entry


class Writes:
    """Which records change one part of a state.

    What a record left the next one of its worker finds: the part is looked for once.
    """

    def __init__(self, teller: Teller, part: Path) -> None:
        self._teller, self._part = teller, part
        self._had: Any = NOTHING
        self._last: Any = None
        self._found: Any = NOTHING

    def by(self, entry: Entry) -> Change | None:
        """Return how an entry changed the part; None where it did not."""
        _, cell, _, _, before, what = entry
        if type(what) is tuple:
            self._had = what[0]
            return self.between(cell, before, what[0])
        one = served(self._teller.recorder, entry)
        if one is None:
            return None
        had, self._had = self._had, self._had if one.after is NOTHING else one.after
        change = self.between(cell, one.before, one.after)
        if change is None or one.how != "start" or had is NOTHING:
            return change
        kept = self.between(cell, had, one.after) is None
        return msgspec.structs.replace(change, note=AS_IT_WAS) if kept else change

    def between(self, cell: Any, before: Any, after: Any) -> Change | None:
        """Return how the part differs in two states of a worker."""
        if before is after:
            return None
        try:
            was, now = self._of(cell, before), self._of(cell, after)
        except CommandError:
            return None
        return None if same(was, now) else Change(self._part, was, now)

    def _of(self, cell: Any, state: Any) -> Any:
        if state is not self._last:
            shown = NOTHING if state is NOTHING else self._teller.state(cell, state)
            self._found = NOTHING if shown is NOTHING else self._part.find(shown)
            self._last = state
        return self._found


def change_of(worker: str, change: Change) -> Data:
    """Return a change of a worker's state as data."""
    return {"worker": worker, **change_record(change)}


def kept_of(recorder: Recorder) -> str:
    """Return where a journal may have more than is remembered; "" where there is none."""
    keeper = recorder.world.outside.keeper
    data = "" if keeper is None else keeper.store.where()
    return f"; its journal may have it: `ssm history --data {data} --tree FILE`" if data else ""


def state_in(node: Node, worker: str) -> Any:
    """Return the redacted state of a worker; `NOTHING` where it does not run."""
    return node.get_state(worker) if node.whereis(worker) is not None else NOTHING


def in_its_classes(node: Node, worker: str, value: Any) -> Any:
    """Return a value in the classes that a worker's code has now; as it is where there are none."""
    world = node._world  # noqa: SLF001 - its own room
    carry, cell = world.outside.carry, world.names.get(worker)
    if carry is None or type(cell) is not WorkerCell or value is NOTHING:
        return value
    try:
        return carry(cell, value)
    except Exception:  # noqa: BLE001 - it has no place in them
        return value


def refuse_zero(by: int) -> None:
    """Raise `CommandError` for a step of no record."""
    if not by:
        raise CommandError("`back` and `next` take a number of records from 1, not `0`")


def refuse_fork(place: str, where: str = "RECORD") -> None:
    """Raise `CommandError` for a fork: it is where it has got to, and nowhere else."""
    if place and not is_number(place):
        raise CommandError(
            f"{place} is where it has got to; `drop` leaves it, and so does `now`: then "
            f"`at {where[:40]}` goes there, and `at {place}` comes back"
        )


def moved(change: Change) -> float:
    """Return by how much a number changed; 0 for all else."""
    before, after = change.before, change.after
    numbers = all(type(value) in (int, float) for value in (before, after))
    return abs(after - before) if numbers else 0


def need_part(recorder: Recorder, teller: Teller, worker: str, part: Path) -> None:
    """Raise `NoSuchPart` for a part that is misspelt, as the worker's present state tells."""
    cell = recorder.world.names.get(worker)
    if not isinstance(cell, WorkerCell) or cell.state is None:
        return
    try:
        part.of(teller.state(cell, cell.state))
    except NoSuchPart as error:
        if "did you mean" in str(error):
            raise

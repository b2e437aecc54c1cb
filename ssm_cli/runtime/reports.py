"""The report stream: one ordered record of what happened, kept in a ring and told to readers.

Recording costs one tuple, which names what it is about and why; a `Report` is made of it only for
somebody who reads it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from ssm_cli.behaviour.reasons import (
    Crash,
    ExitReason,
    Killed,
    Lost,
    NoProcess,
    Normal,
    Shutdown,
)
from ssm_cli.errors import is_interruption, message_of
from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.traces import calls_user
from ssm_cli.runtime.views import Kind, Report

KEPT_REPORTS = 10_000
MOST_TEXT = 1000  # characters of what an error says
WORDS = frozenset({Killed, NoProcess, Normal})  # reasons that say no more
SLACK_REPORTS = 100  # so many more are kept, at times, and then forgotten together


class Spec(Protocol):
    """What a subject is made from."""

    @property
    def id(self) -> str:
        """Its name."""
        ...


class Subject(Protocol):
    """What a report is about."""

    @property
    def spec(self) -> Spec:
        """What it is made from."""
        ...

    @property
    def kind(self) -> Kind:
        """Worker or supervisor."""
        ...

    def path(self) -> str:
        """Its path in the tree."""
        ...


Fields = dict[str, Any]
Detail = ExitReason | int | Fields | Callable[[], Fields] | None
"""The further fields of an event: why it ended, which start it is, any fields by name, or what
makes them when somebody reads."""

Entry = tuple[float, str, Subject, Detail]


class Several(Protocol):
    """Several events of one moment, told when somebody reads: an entry in the ring.

    Attributes:
        count: how many they are.
    """

    count: int

    def entries(self, begin: int, end: int) -> Iterator[Entry]:
        """The reports that it stands for, in order, from one index up to another."""
        ...


class Group:
    """The same events of many subjects, one subject after the other: an entry in the ring.

    `starts` holds the number of each subject's start, for a `starting` event.
    """

    __slots__ = ("at_s", "count", "detail", "events", "starts", "subjects")

    def __init__(
        self,
        at_s: float,
        events: tuple[str, ...],
        subjects: Sequence[Subject],
        *,
        detail: Detail = None,
        starts: Sequence[int] = (),
    ) -> None:
        self.at_s = at_s
        self.events = events
        self.subjects = subjects
        self.detail = detail
        self.starts = starts
        self.count = len(subjects) * len(events)

    def entries(self, begin: int, end: int) -> Iterator[Entry]:
        """The reports that it stands for, in order, from one index up to another."""
        for index in range(begin, end):
            which, of = divmod(index, len(self.events))
            event = self.events[of]
            number = self.starts[which] if event == "starting" else self.detail
            yield self.at_s, event, self.subjects[which], number


class Subscription:
    """A reader, and the number of the last report that it was told of; see `subscribe`."""

    __slots__ = ("failed", "reader", "told")

    def __init__(
        self, reader: Callable[[Report], None], failed: Callable[[BaseException], None], told: int
    ) -> None:
        self.reader = reader
        self.failed = failed
        self.told = told


class ReportStream:
    """Numbers, keeps (the last `KEPT_REPORTS`) and hands out what happened, in order.

    Attributes:
        seq: the number of the last report; numbers have no gaps.
        record_of: which record a report is about; None where nothing is remembered.
    """

    __slots__ = ("_kept", "_readers", "_ring", "record_of", "seq", "wall_s")

    def __init__(self, clock: Clock) -> None:
        self.wall_s = clock.wall_s
        self.record_of: Callable[[int], int] | None = None
        self._ring: deque[Entry | Several] = deque()
        self._kept = 0
        self._readers: list[Subscription] = []
        self.seq = 0

    def add(self, event: str, subject: Subject, detail: Detail = None) -> None:
        """Record an event; readers are called at once, in the order in which they subscribed."""
        entry = (self.wall_s(), event, subject, detail)
        self._ring.append(entry)
        self.seq, self._kept = self.seq + 1, self._kept + 1
        if self._kept > KEPT_REPORTS + SLACK_REPORTS:
            self._forget()
        if self._readers:
            self._tell(self._report(self.seq, entry))

    def take_over(self, other: ReportStream) -> None:
        """Become a copy of `other`, without its readers."""
        self._ring, self._kept, self.seq = other._ring.copy(), other._kept, other.seq

    def ring(self) -> tuple[Entry | Several, ...]:
        """Return what is kept, oldest first; an entry may stand for several reports."""
        return tuple(self._ring)

    def fill(self, reports: Iterable[Entry], seq: int) -> None:
        """Keep these reports, oldest first; `seq` is the number of the last."""
        self._ring.extend(reports)
        self._kept, self.seq = len(self._ring), seq

    def mend(self) -> None:
        """Let numbers and entries agree again, after an interruption between the two."""
        kept = sum(map(size_of, self._ring))
        self.seq, self._kept = self.seq + max(0, kept - self._kept), kept
        told = min((one.told for one in self._readers), default=self.seq)
        for report in self.since(told, None):
            self._tell(report)

    def watched(self) -> bool:
        """Whether somebody reads as things happen."""
        return bool(self._readers)

    def add_many(self, group: Several) -> None:
        """Record several events at once, and tell the readers."""
        count = group.count
        self._ring.append(group)
        self.seq, self._kept = self.seq + count, self._kept + count
        if self._kept > KEPT_REPORTS + SLACK_REPORTS:
            self._forget()
        if self._readers:
            self._tell_last(count)

    def add_to(self, group: Several) -> None:
        """Record one more event of what was recorded last, and tell the readers."""
        group.count += 1
        self.seq, self._kept = self.seq + 1, self._kept + 1
        if self._readers:
            self._tell_last(1)

    def _tell_last(self, count: int) -> None:
        for report in self._between(self.seq - count, self.seq):
            self._tell(report)

    def _forget(self) -> None:
        """Drop the oldest entries; what is left is at least what is to be kept, if need be more."""
        ring = self._ring
        while len(ring) > 1:
            oldest = ring[0]
            count = 1 if isinstance(oldest, tuple) else oldest.count
            if self._kept - count < KEPT_REPORTS:
                return
            self._kept -= count if ring.popleft() else 0  # in one: nothing comes between the two

    @calls_user
    def _tell(self, report: Report) -> None:
        """Tell each reader; one that raises is let go, and said so: it must not hurt the tree."""
        seq = report.seq
        for one in tuple(self._readers):
            if one.told >= seq:
                continue
            try:
                if one.told < seq - 1:  # the one before was interrupted
                    self._catch_up(one)
                else:
                    one.told = (one.reader(report), seq)[1]  # nothing comes between the two
            except BaseException as error:  # noqa: BLE001 - it may raise anything
                one.failed(error)
                self._let_go(one)

    @calls_user
    def _catch_up(self, one: Subscription) -> None:
        for report in self.since(one.told, None):
            one.told = (one.reader(report), report.seq)[1]  # as above

    def _let_go(self, one: Subscription) -> None:
        if one in self._readers:
            self._readers.remove(one)

    def subscribe(
        self, reader: Callable[[Report], None], failed: Callable[[BaseException], None]
    ) -> Callable[[], None]:
        """Call `reader` with every report from now on; the result ends that.

        `failed` hears what the reader raised, and raises what is not the reader's own.
        """
        one = Subscription(reader, failed, self.seq)
        self._readers.append(one)
        return lambda: self._let_go(one)

    def since(self, after: int, last: int | None) -> list[Report]:
        """The kept reports with a `seq` greater than `after`, oldest first; at most `last`."""
        wanted = self._kept_behind(after)
        return self._between(self.seq - (wanted if last is None else min(wanted, last)), self.seq)

    def following(self, after: int, most: int) -> list[Report]:
        """The next kept reports behind `after`, at most `most`: what comes later costs nothing."""
        begin = self.seq - self._kept_behind(after)
        return self._between(begin, min(self.seq, begin + most))

    def _kept_behind(self, after: int) -> int:
        return min(self._kept, KEPT_REPORTS, max(0, self.seq - after))

    def _between(self, begin: int, end: int) -> list[Report]:
        """The reports behind number `begin`, up to `end`."""
        found: list[list[Report]] = []
        above = self.seq  # the number of the last report of an entry
        for entry in reversed(self._ring):
            if above <= begin:
                break
            below = above - size_of(entry)
            first, last = max(begin, below) - below, min(end, above) - below
            if first < last:
                some = (entry,) if isinstance(entry, tuple) else entry.entries(first, last)
                found.append(
                    [self._report(seq, one) for seq, one in enumerate(some, below + first + 1)]
                )
            above = below
        return [report for some in reversed(found) for report in some]

    def _report(self, seq: int, entry: Entry) -> Report:
        """The report that an entry stands for."""
        return as_report(seq, entry, 0 if self.record_of is None else self.record_of(seq))


def size_of(entry: Entry | Several) -> int:
    """Return how many reports an entry of the ring stands for."""
    return 1 if isinstance(entry, tuple) else entry.count


def as_report(seq: int, entry: Entry, record: int = 0) -> Report:
    """The report that an entry stands for."""
    at_s, event, subject, detail = entry
    name, path = subject.spec.id, subject.path()
    return Report(seq, at_s, event, name, path, subject.kind, fields(detail), record)


def fields(detail: Detail) -> Fields:
    """The further fields of an event, by name.

    >>> fields(3), fields(None)
    ({'n': 3}, {})
    """
    if detail is None:
        return {}
    if isinstance(detail, dict):
        return detail
    if isinstance(detail, int):
        return {"n": detail}
    return detail() if callable(detail) else {"reason": str(detail)}


def failure(reason: ExitReason) -> Fields:
    """The fields that tell why something failed: `reason` and, for a crash, `error`."""
    if isinstance(reason, Crash):
        error = {"type": type(reason.error).__name__, "message": crash_text(reason)}
        return {"reason": str(reason), "error": error}
    if isinstance(reason, Lost) and reason.detail:
        return {"reason": str(reason), "error": {"type": "Lost", "message": reason.detail}}
    return {"reason": str(reason)}


def ending(reason: ExitReason) -> Detail:
    """The same for an end. What is kept holds no frames and no terms of any size."""
    if type(reason) in WORDS or (type(reason) is Shutdown and reason.detail is None):
        return reason
    return {"reason": str(reason)}


def error_detail(error: BaseException) -> Fields:
    """An exception as a report shows it; never raises itself."""
    return {"type": type(error).__name__, "message": error_text(error)}


def error_text(error: BaseException) -> str:
    """What an exception says, bounded to 1,000 characters; see `message_of`.

    Of a user's exception only under the guard: see `engine/contained.py`.
    """
    return message_of(error, passes_on)[:MOST_TEXT]


def passes_on(failed: BaseException) -> bool:
    """Return whether what came of asking for a text is meant for whoever runs the loop."""
    return is_interruption(failed) or is_from_outside(None, failed)


def crash_text(reason: Crash) -> str:
    """What the exception of a crash says: the text made when its worker ended, if one was."""
    return reason.said or error_text(reason.error)

"""The report stream: one ordered record of what happened, kept in a ring and told to readers.

Recording costs one tuple, which names what it is about and why; a `Report` is made of it only for
somebody who reads it.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.views import Kind, Report

KEPT_REPORTS = 10_000


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
Moment = tuple[float, str, Detail]


class ReportStream:
    """Numbers, keeps (the last `KEPT_REPORTS`) and hands out what happened, in order.

    Attributes:
        seq: the number of the last report; numbers have no gaps.
    """

    __slots__ = ("_readers", "_ring", "seq", "wall_s")

    def __init__(self, clock: Clock) -> None:
        self.wall_s = clock.wall_s
        self._ring: deque[Entry] = deque(maxlen=KEPT_REPORTS)
        self._readers: list[Callable[[Report], None]] = []
        self.seq = 0

    def add(self, event: str, subject: Subject, detail: Detail = None) -> None:
        """Record an event; readers are called at once, in the order in which they subscribed."""
        self.seq += 1
        entry = (self.wall_s(), event, subject, detail)
        self._ring.append(entry)
        if self._readers:
            report = as_report(self.seq, entry)
            for reader in tuple(self._readers):
                self._tell(reader, report)

    def watched(self) -> bool:
        """Whether somebody reads as things happen."""
        return bool(self._readers)

    def add_pair(self, subject: Subject, first: Moment, second: Moment) -> None:
        """Record two events that follow on each other; only while nobody is `watched`.

        What many workers do at once (a start, an end) is recorded at half the price.
        """
        self.seq += 2
        self._ring.append((first[0], first[1], subject, first[2]))
        self._ring.append((second[0], second[1], subject, second[2]))

    def _tell(self, reader: Callable[[Report], None], report: Report) -> None:
        """A reader that raises is let go, and said so: it must not hurt the tree."""
        try:
            reader(report)
        except Exception:  # noqa: BLE001 - a reader is foreign code; its failure is its own
            if reader in self._readers:
                self._readers.remove(reader)
            sys.stderr.write(f"ssm: a report reader failed and is unsubscribed: {reader!r}\n")
            traceback.print_exc(file=sys.stderr)

    def subscribe(self, reader: Callable[[Report], None]) -> Callable[[], None]:
        """Call `reader` with every report from now on; the result ends that."""
        self._readers.append(reader)

        def unsubscribe() -> None:
            if reader in self._readers:
                self._readers.remove(reader)

        return unsubscribe

    def since(self, after: int, last: int | None) -> list[Report]:
        """The kept reports with a `seq` greater than `after`, oldest first; at most `last`."""
        kept = len(self._ring)
        wanted = min(kept, max(0, self.seq - after))
        if last is not None:
            wanted = min(wanted, last)
        first = self.seq - wanted + 1
        entries = islice(self._ring, kept - wanted, None)
        return [as_report(seq, entry) for seq, entry in enumerate(entries, first)]


def as_report(seq: int, entry: Entry) -> Report:
    """The report that an entry stands for."""
    at_s, event, subject, detail = entry
    return Report(seq, at_s, event, subject.spec.id, subject.path(), subject.kind, fields(detail))


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
        return {"reason": str(reason), "error": error_detail(reason.error)}
    return {"reason": str(reason)}


def ending(reason: ExitReason) -> Detail:
    """The same for an end. A crash leaves its word only: what is kept holds no frames alive."""
    return {"reason": reason.kind} if type(reason) is Crash else reason


def error_detail(error: BaseException) -> Fields:
    """An exception as a report shows it; never raises itself."""
    return {"type": type(error).__name__, "message": error_text(error)}


def error_text(error: BaseException) -> str:
    """What an exception says, bounded to 1,000 characters; never raises itself."""
    try:
        return str(error)[:1000]
    except Exception as failed:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<error that cannot be shown: {type(failed).__name__}>"

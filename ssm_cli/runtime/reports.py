"""The report stream: one ordered record of what happened, kept in a ring and told to readers.

Recording costs one tuple; a `Report` is made only for somebody who reads it.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple, Protocol

from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.views import Kind, Report

KEPT_REPORTS = 10_000


class Subject(Protocol):
    """What a report is about."""

    def path(self) -> str:
        """Its path in the tree."""
        ...


class Entry(NamedTuple):
    """A report before anybody reads it."""

    seq: int
    at_s: float
    event: str
    id: str
    subject: Subject
    kind: Kind
    detail: dict[str, Any] | None


class ReportStream:
    """Numbers, keeps (the last `KEPT_REPORTS`) and hands out what happened, in order.

    Attributes:
        seq: the number of the last report; numbers have no gaps.
    """

    __slots__ = ("_clock", "_readers", "_ring", "seq")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ring: deque[Entry] = deque(maxlen=KEPT_REPORTS)
        self._readers: list[Callable[[Report], None]] = []
        self.seq = 0

    def add(
        self, event: str, id_: str, subject: Subject, kind: Kind, detail: dict[str, Any] | None
    ) -> None:
        """Record an event; readers are called at once, in the order in which they subscribed."""
        self.seq += 1
        entry = Entry(self.seq, self._clock.wall_s(), event, id_, subject, kind, detail)
        self._ring.append(entry)
        if self._readers:
            report = as_report(entry)
            for reader in tuple(self._readers):
                self._tell(reader, report)

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
        return [as_report(entry) for entry in islice(self._ring, kept - wanted, None)]


def as_report(entry: Entry) -> Report:
    """The report that an entry stands for."""
    seq, at_s, event, id_, subject, kind, detail = entry
    return Report(seq, at_s, event, id_, subject.path(), kind, detail or {})

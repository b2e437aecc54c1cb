"""What a page shows, as the caller gives it: plain data, checked as it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PageData(msgspec.Struct, frozen=True, kw_only=True):
    """A history, redacted already: every text of it may be seen by whoever opens the page.

    Attributes:
        name: the name of the tree.
        at: when the page was made, as in records.
        ssm: version of ssm.
        python: version of Python.
        tree: the tree as `ssm tree -o json` prints it.
        records: record objects in the order of their numbers.
        reports: report objects in the order of `seq`; `record` is the number of the record that
            each follows, 0 for those before the first.
        trimmed: number of the last record that is not remembered any more; 0 if all are.
    """

    name: str
    at: str
    ssm: str
    python: str
    tree: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]] = ()
    reports: Sequence[Mapping[str, Any]] = ()
    trimmed: int = 0


class ErrorSeen(msgspec.Struct, frozen=True):
    """What a step raised; `places` are lines of its stack, the innermost last."""

    type: str
    message: str = ""
    places: tuple[str, ...] = ()


class ChangeSeen(msgspec.Struct, frozen=True):
    """One path of a state that a record changed; unset: there was, or is, nothing."""

    path: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET


class RecordSeen(msgspec.Struct, frozen=True):
    """The part of a record object (`CONTRACT`, section 7) that is shown."""

    record: int
    at: str
    worker: str
    how: str
    input: str = ""
    outcome: str = ""
    output: str = ""
    changed: tuple[ChangeSeen, ...] = ()
    cause: int | None = None
    by: str = ""
    error: ErrorSeen | None = None


class ReportSeen(msgspec.Struct, frozen=True):
    """The part of a report object that is drawn."""

    seq: int
    at: str
    event: str
    id: str
    path: str
    kind: str
    record: int = 0
    strategy: str = ""
    child: str = ""
    children: tuple[str, ...] = ()


class TreeNode(msgspec.Struct, frozen=True):
    """The part of a node of the tree that is drawn."""

    id: str
    path: str
    kind: str
    strategy: str = ""
    children: tuple[TreeNode, ...] = ()


def numbered_reports(reports: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return report objects in their order, each with the number of the record that it follows.

    One that is of no record, as that of an input that was dropped, follows that of the one before.

    >>> numbered_reports([{"seq": 1, "record": 2}, {"seq": 2}])
    [{'seq': 1, 'record': 2}, {'seq': 2, 'record': 2}]
    """
    found, last = [], 0
    for report in reports:
        last = max(last, report.get("record", 0))
        found.append({**report, "record": last})
    return found


def microseconds(at: str) -> int:
    """Return an instant as microseconds since 1970.

    Raises:
        ValueError: the text is no instant with a time zone.

    >>> microseconds("1970-01-01T00:00:01.000002Z")
    1000002
    """
    try:
        passed = datetime.fromisoformat(at) - EPOCH
    except (TypeError, OverflowError, ValueError) as wrong:
        expected = "expected an instant such as 2026-01-31T12:00:00.123456Z"
        raise ValueError(f"`at` is {at!r}: {expected}") from wrong
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds

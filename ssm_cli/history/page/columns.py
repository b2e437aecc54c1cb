"""A history as columns of numbers beside a list of texts: the compact form that a page embeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ssm_cli.errors import message_of
from ssm_cli.history.page.data import (
    ErrorSeen,
    PageData,
    RecordSeen,
    ReportSeen,
    TreeNode,
    microseconds,
)
from ssm_cli.history.page.lanes import Lanes
from ssm_cli.history.page.texts import Texts

RECORDS = 100_000
RECORDS_BYTES = 18_000_000
REPORTS = 100_000
REPORTS_BYTES = 5_000_000
CHANGES = 40
PLACES = 30
SIBLINGS = 1_000
"""How many of a record's changed paths, of an error's places, of those restarted together."""

DRAWN = {"v", "type", "seq", "at", "event", "id", "path", "kind", "record", "error"}
Packed = dict[str, Any]
Seen = TypeVar("Seen", RecordSeen, ReportSeen)


def columns(data: PageData) -> Packed:
    """Return what a page embeds: the newest records and reports that have room, oldest first.

    Texts are numbers in `texts`, workers and supervisors numbers in `lanes`, instants in
    microseconds behind `start`.

    Raises:
        ValueError: as `page` says.
    """
    texts = Texts()
    seen = {str(record.get("worker")) for record in data.records[-RECORDS:]}
    lanes = Lanes(msgspec.convert(data.tree, TreeNode), texts, seen)
    start = _start(data)
    records, first = _records(data.records, lanes, texts, start)
    trimmed = data.trimmed if first is None else max(data.trimmed, first - 1)
    whole = first is None or len(records["number"]) == len(data.records)
    return {
        "format": 1,
        "name": data.name,
        "at": data.at,
        "ssm": data.ssm,
        "python": data.python,
        "trimmed": trimmed,
        "forgotten": data.trimmed,
        "start": start,
        "records": records,
        "reports": _reports(data.reports, lanes, texts, start, 0 if whole else trimmed),
        "lanes": lanes.columns(),
        "left_out": lanes.left_out,
        "texts": texts.kept,
    }


def _start(data: PageData) -> int:
    """The earliest instant of all, as the clock may have been set back in between."""
    return min(map(_instant, (*data.records, *data.reports)), default=0)


def _instant(given: Mapping[str, Any]) -> int:
    try:
        return microseconds(str(given.get("at")))
    except ValueError as wrong:
        raise ValueError(f"{_called(given)}: {message_of(wrong)}") from wrong


def _called(given: Mapping[str, Any]) -> str:
    """What a record or a report is called in an error; reports name a record, too.

    >>> _called({"record": 7}), _called({"seq": 3, "record": 7})
    ('record 7', 'report 3')
    """
    return f"report {given['seq']!r}" if "seq" in given else f"record {given.get('record')!r}"


def _records(
    given: Sequence[Mapping[str, Any]], lanes: Lanes, texts: Texts, start: int
) -> tuple[Packed, int | None]:
    """The newest records as columns, and the number of the oldest of them."""
    names = ("number", "at", "lane", "how", "input", "outcome", "output", "cause", "by", "error")
    rows: list[tuple[int, ...]] = []
    changed: list[list[list[int] | int]] = []
    errors: list[list[Any]] = []
    above = None
    for index in range(len(given) - 1, max(-1, len(given) - 1 - RECORDS), -1):
        if texts.spent_bytes > RECORDS_BYTES:
            break
        record = _checked(given[index], RecordSeen, above)
        above = record.record
        rows.append(
            (
                record.record, microseconds(record.at) - start, lanes.of_worker(record.worker),
                texts.number(record.how), texts.number(record.input), texts.number(record.outcome),
                texts.number(record.output), record.cause or 0, texts.number(record.by),
                _error(record.error, errors, texts),
            )
        )  # fmt: skip
        changed.append(_changes(record, texts))
        texts.charge(60)
    rows.reverse()
    packed: Packed = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
    packed = packed or {name: [] for name in names}
    return {**packed, "changed": changed[::-1], "errors": errors}, above


def _checked(
    given: Mapping[str, Any], kind: type[Seen], above: int | None, *, same: bool = False
) -> Seen:
    """A record or report that stands before the one with record number `above`.

    `same`: it may have that number itself.
    """
    try:
        seen = msgspec.convert({n: given[n] for n in kind.__struct_fields__ if n in given}, kind)
    except ValueError as wrong:
        raise ValueError(f"{_called(given)}: {message_of(wrong)}") from wrong
    if above is not None and seen.record >= above + same:
        raise ValueError(f"{_called(given)} stands before record {above}: expected rising numbers")
    return seen


def _changes(record: RecordSeen, texts: Texts) -> list[list[int] | int]:
    """The first changed paths as `[path, before, after]`; behind them how many more there are."""
    found: list[list[int] | int] = [
        [texts.number(one.path), texts.value(one.before), texts.value(one.after)]
        for one in record.changed[:CHANGES]
    ]
    texts.charge(20 * len(found))
    more = len(record.changed) - CHANGES
    return [*found, more] if more > 0 else found


def _error(error: ErrorSeen | None, errors: list[list[Any]], texts: Texts) -> int:
    """The number of an error from 1; 0 if there is none."""
    if error is None:
        return 0
    places = [texts.number(place) for place in error.places[-PLACES:]]
    errors.append([texts.number(error.type), texts.number(error.message), places])
    texts.charge(20 + 7 * len(places))
    return len(errors)


def _reports(
    given: Sequence[Mapping[str, Any]], lanes: Lanes, texts: Texts, start: int, after: int
) -> Packed:
    """The newest reports that follow a record behind `after`, as columns."""
    names = ("seq", "at", "event", "lane", "record", "said")
    rows: list[tuple[int, ...]] = []
    taken: list[list[Any]] = []
    limit = texts.spent_bytes + REPORTS_BYTES
    above = None
    for report in reversed(given[-REPORTS:]):
        seen = _checked(report, ReportSeen, above, same=True)
        above = seen.record
        if texts.spent_bytes > limit or seen.record < after:
            break
        lane = lanes.of_report(seen.id, seen.path, seen.kind)
        rows.append(
            (
                seen.seq, microseconds(seen.at) - start, texts.number(seen.event), lane,
                seen.record, texts.number(_said(report)),
            )
        )  # fmt: skip
        texts.charge(40)
        if seen.event == "restarting":
            others = _lanes_of(seen.children[:SIBLINGS], lanes)
            child = lanes.known(seen.child)
            taken.append([seen.seq, texts.number(seen.strategy), child, others])
            texts.charge(20 + 6 * len(others))
    rows.reverse()
    packed: Packed = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
    return {**(packed or {name: [] for name in names}), "taken": taken[::-1]}


def _lanes_of(names: Iterable[str], lanes: Lanes) -> list[int]:
    return [lane for name in names if (lane := lanes.known(name)) is not None]


def _said(report: Mapping[str, Any]) -> str:
    """The fields of a report that are not drawn, as text.

    >>> _said({"event": "restarting", "strategy": "rest_for_one", "children": ["kv2", "kv3"]})
    'strategy rest_for_one, children kv2 kv3'
    """
    return ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for key, value in report.items()
        if key not in DRAWN
    )

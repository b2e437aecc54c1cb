"""Marks: what was served, one mark a record, as a timeline shows it; and the places of crashes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import Forgotten
from ssm_cli.history.places import Places
from ssm_cli.history.records import Served, latest_of, served
from ssm_cli.history.telling import Data, Teller
from ssm_cli.runtime.engine.recorder import Came, Entry, Recorder

SHOWN_MARKS = 60  # unless it is said how many
MOST_MARKS = 1000
MOST_LOOKED_AT = 50_000  # entries on each side of a place, of which most may be no news to people
NUMBER = itemgetter(0)


def timeline(
    places: Places, instant: Callable[[float], str], last: int = SHOWN_MARKS, place: str = ""
) -> Data:
    """Return up to `last` marks around a place, and where that is.

    `here` is the record of the place, `record` all about it (None where it is not remembered),
    `first` and `last` what is remembered.
    """
    node, recorder, here = places.remembered(place)
    one = latest_of(recorder, here)
    return {
        "place": place,
        "first": node.first_record(),
        "last": recorder.last(),
        "here": here,
        "record": None if one is None else Teller(recorder).record(one, instant),
        "marks": marks_around(recorder, here, last),
    }


def marks_around(recorder: Recorder, here: int, most: int) -> list[Data]:
    """Return up to `most` marks, oldest first, with the record `here` in the middle.

    Where there are fewer on one side, there are more on the other. A mark has the `record`, the
    `worker`, and what it was (`mark`): `changed` or `same` (an input that did or did not change
    the state), `crashed`, `stopped`, `by_hand` or `started`. Starts and failed starts that followed
    from one record stand together: there are `count` of them.
    """
    most = min(max(1, most), MOST_MARKS)
    ring = recorder.ring
    middle = bisect_right(ring, here, key=NUMBER)
    behind = _marks(recorder, _onwards(ring, middle), most)
    before = _marks(recorder, _backwards(ring, middle), most)
    left = max(most - most // 2, most - len(behind))
    before = before[:left][::-1]
    return [*before, *behind[: most - len(before)]]


def crash_from(recorder: Recorder, here: int, by: int) -> int:
    """Return the place before the `by`-th crash from a record on; backwards where `by` is negative.

    The place of a crash is the record before it: the state is that which the step was given.

    Raises:
        Forgotten: none is remembered there.
    """
    ring = recorder.ring
    middle = bisect_right(ring, here, key=NUMBER)
    entries = _onwards(ring, middle) if by > 0 else _backwards(ring, middle)
    places = (entry[0] - 1 for entry in entries if _is_crash(entry))
    found = next(islice((at for at in places if (at > here) == (by > 0) and at != here),
                        abs(by) - 1, None), None)  # fmt: skip
    if found is None:
        raise Forgotten(f"no crash is remembered {'behind' if by > 0 else 'before'} record {here}")
    return found


def _is_crash(entry: Entry) -> bool:
    what = entry[5]
    return type(what) is Came and what.outcome is None


def _onwards(ring: Any, middle: int) -> Iterator[Entry]:
    return islice(ring, middle, None)


def _backwards(ring: Any, middle: int) -> Iterator[Entry]:
    return islice(reversed(ring), len(ring) - middle, None)


def _marks(recorder: Recorder, entries: Iterable[Entry], most: int) -> list[Data]:
    """Return the marks of entries in their order; likes of one record in a row are one."""
    marks: list[Data] = []
    for entry in islice(entries, MOST_LOOKED_AT):
        one = None if entry[1] is None else served(recorder, entry)
        what = None if one is None else mark_of(one, recorder.impure.found)
        if one is None or what is None:
            continue
        last = marks[-1] if marks else None
        if last is not None and last["record"] == one.record and last["mark"] == what:
            last["count"] += 1
            continue
        if len(marks) == most:
            break
        marks.append({"record": one.record, "mark": what, "worker": one.worker, "count": 1})
    return marks


def mark_of(one: Served, impure: Iterable[str]) -> str | None:
    """Return what a record was in one word; None for an end that is no news."""
    if one.outcome in ("crashed", "stopped"):
        return one.outcome
    if one.how == "exit":
        return None
    if one.how == "start":
        return "started"
    if not one.is_input:
        return "by_hand"
    pure = one.before is one.after and one.worker not in impure
    return "same" if pure or one.before is NOTHING else "changed"

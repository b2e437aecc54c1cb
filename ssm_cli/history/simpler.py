"""Simpler values: of the same type, with less in them, nearer to what one would write by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

from ssm_cli.history.fewer import thinned
from ssm_cli.history.shapes import MOST_DEEP, SETS, items_of, of_items, parts_of, with_part

Holds = Callable[[Any], bool]
"""Whether a value still does what it has to do."""

MOST_ROUNDS = 200  # of one text or number
MOST_CHARACTERS = 64  # a text of more is cut in halves alone


def simplest(value: Any, holds: Holds, deep: int = 0) -> Any:
    """Return a value as simple as can be found for which `holds` is True, as it is of `value`.

    Containers are thinned, then their parts are made simpler, each on its own. Types stay.

    >>> simplest({"a": [3, 900], "b": []}, lambda v: sum(v.get("a", ())) > 100)
    {'a': [101]}
    """
    parts = parts_of(value) if deep < MOST_DEEP else []
    if not parts:
        return simplest_whole(value, holds)
    value = fewest_items(value, holds)
    for key, part in parts_of(value):
        if type(value) in SETS and part not in value:
            continue

        def still(part: Any, whole: Any = value, key: Any = key) -> bool:
            changed = changed_part(whole, key, part)
            return changed is not whole and holds(changed)

        simple = simplest(part, still, deep + 1)
        if simple is not part:
            value = changed_part(value, key, simple)
    return value


def changed_part(whole: Any, key: Any, part: Any) -> Any:
    """Return a value with another part; the value itself where its class does not take that."""
    try:
        changed = with_part(whole, key, part)
    except Exception:  # noqa: BLE001 - the `__post_init__` of a user's class may raise anything
        return whole
    return changed if len(parts_of(changed)) == len(parts_of(whole)) else whole


def fewest_items(value: Any, holds: Holds) -> Any:
    """Return a container without what can be spared in it."""
    items = items_of(value)
    if items is None:
        return value
    now = [items]

    def without(low: int, high: int) -> list[tuple[Any, Any]] | None:
        fewer = now[0][:low] + now[0][high:]
        if not holds(of_items(value, fewer)):
            return None
        now[0] = fewer
        return fewer

    if items and without(0, len(items)) is not None:
        return of_items(value, [])
    thinned(items, without)
    return value if len(now[0]) == len(items) else of_items(value, now[0])


def simplest_whole(value: Any, holds: Holds) -> Any:
    """Return a simpler text, number, ...; the same object where there is none."""
    for _ in range(MOST_ROUNDS):
        for candidate in simpler(value):
            if holds(candidate):
                value = candidate
                break
        else:
            break
    return value


def simpler(value: Any) -> Iterator[Any]:
    """Yield values of the same type that are simpler than this one, the simplest first.

    >>> [*simpler(9)], [*simpler("bc")]
    ([0, 1, 4, 7, 8], ['a', 'b', 'c', 'ac', 'ba'])
    """
    kind = type(value)
    if kind is bool:
        yield from [False][: int(value)]
    elif kind is int:
        yield from simpler_numbers(value, int)
    elif kind is str:
        yield from simpler_texts(value)
    elif kind is bytes:
        yield from (text.encode("latin-1") for text in simpler_texts(value.decode("latin-1")))
    elif kind is float:
        yield from simpler_floats(value)
    elif kind is Decimal or kind is Fraction:
        yield from simpler_exact(value)
    elif kind is timedelta:
        yield from (timedelta(seconds=s) for s in simpler_numbers(int(value.total_seconds()), int))
    elif kind is datetime or kind is date:
        yield from simpler_dates(value)
    elif isinstance(value, Enum):
        members: list[Any] = [*vars(kind)["_member_map_"].values()]
        yield from members[: members.index(value)] if value in members else ()


def simpler_numbers(value: Any, kind: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield numbers nearer to 0: 0, 1, the positive one, then by halves of the way."""
    if value == 0:
        return
    yield kind(0)
    if value < 0:
        yield kind(-value)
    if value not in (1, -1):
        yield kind(1 if value > 0 else -1)
    seen = {0, 1, -1, value}
    step = abs(value) - abs(value) // 2
    while step > 0:
        nearer = value - step if value > 0 else value + step
        if nearer not in seen:
            seen.add(nearer)
            yield kind(nearer)
        step //= 2


def simpler_floats(value: float) -> Iterator[float]:
    """Yield floats nearer to 0, first those without a fraction, then those with fewer digits."""
    if not math.isfinite(value):
        yield from (0.0, 1.0, math.copysign(1e9, value))
        return
    short = [round(value, digits) for digits in (0, 1, 2, 3)]
    if value.is_integer():
        yield from (float(n) for n in simpler_numbers(int(value), int))
    elif short[0] != value:
        yield 0.0
        yield 1.0
        digits = len(repr(value))
        yield from (n for n in short if abs(n) < abs(value) or len(repr(n)) < digits)


def simpler_exact(value: Any) -> Iterator[Any]:
    """Yield decimals or fractions that are whole and nearer to 0."""
    kind = type(value)
    if kind is Decimal and not value.is_finite():
        yield from (Decimal(0), Decimal(1))
        return
    if abs(value) > 10**30 or value == int(value):
        yield from simpler_numbers(int(value) if abs(value) <= 10**30 else 10**9, kind)
    else:
        yield from (kind(0), kind(1), kind(int(value)))


def simpler_dates(value: Any) -> Iterator[Any]:
    """Yield dates at the first of a year, of the month, and times without what is small in them."""
    if type(value) is date:
        candidates = [value.replace(month=1, day=1), value.replace(day=1)]
    else:
        midnight = value.replace(hour=0, minute=0, second=0, microsecond=0)
        candidates = [
            midnight.replace(month=1, day=1), midnight,
            value.replace(minute=0, second=0, microsecond=0), value.replace(microsecond=0),
        ]  # fmt: skip
    yield from (one for one in candidates if one != value)


def rank(text: str) -> list[int]:
    """Return how simple the characters are: `a` is the simplest, ASCII before the others."""
    return [0 if c == "a" else ord(c) + (0 if c.isascii() and c.isalnum() else 200) for c in text]


def simpler_texts(text: str) -> Iterator[str]:
    """Yield shorter texts, and those with `a` in place of a character; never the empty one."""
    if not text:
        return
    count = len(text)
    parts = ["a", text[: count // 2], text[count // 2 :]]
    if count <= MOST_CHARACTERS:
        parts += [text[:n] + text[n + 1 :] for n in range(count)]
        parts += [f"{text[:n]}a{text[n + 1 :]}" for n in range(count)]
    seen = {text, ""}
    for part in parts:
        if part not in seen and (len(part), rank(part)) < (count, rank(text)):
            seen.add(part)
            yield part

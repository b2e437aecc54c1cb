"""The same inputs in other words: other names and amounts, with which fewer of them may do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import combinations
from string import ascii_lowercase
from typing import Any

from ssm_cli.errors import is_number
from ssm_cli.history.fewer import in_pairs
from ssm_cli.history.shapes import (
    Renames,
    fields_of,
    is_record,
    names_in,
    renamed,
    with_fields,
)
from ssm_cli.history.trials import Stepped

MOST_NAMES = 12  # of which each pair is tried as one
MOST_RENAMED = 60
MOST_FROM_HISTORY = 40  # messages that are tried in the place of two others
MOST_SUBSTITUTED = 8  # inputs; where there are more, no two are replaced by one
MOST_DIGITS = 20  # of a text that may be a number of the state
NUMBERS = (int, float, Decimal)

Tail = tuple[Stepped, ...]


def names_of(served: Sequence[Stepped]) -> list[tuple[type, Any]]:
    """Return the names and numbers in messages, each once, in the order of their appearance."""
    return [*dict.fromkeys((type(n), n) for one in served for n in names_in(one.message))]


def with_message(one: Stepped, message: Any) -> Stepped:
    """Return an input with another message."""
    return Stepped(one.kind, message, one.reply)


def changed_record(record: Any, name: str, value: Any) -> Any:
    """Return a record with another value in a field; None where its class refuses that.

    A message that is a number itself has itself in the field "".
    """
    if not name:
        return value
    try:
        return with_fields(record, {name: value})
    except Exception:  # noqa: BLE001 - the `__post_init__` of a user's class may raise anything
        return None


def renamed_inputs(served: Sequence[Stepped], names: Renames) -> Tail | None:
    """Return the inputs with other names; None where nothing changes, or a class refuses one."""
    try:
        new = [renamed(one.message, names) for one in served]
    except Exception:  # noqa: BLE001 - the `__post_init__` of a user's class may raise anything
        return None
    if all(message is one.message for message, one in zip(new, served, strict=True)):
        return None
    return tuple(with_message(one, message) for one, message in zip(served, new, strict=True))


def numeric(message: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a message that are numbers: name and value; see `changed_record`."""
    if type(message) in NUMBERS:
        yield "", message
    if is_record(message):
        for name in fields_of(message):
            value = getattr(message, name, None)
            if type(value) in NUMBERS and value == value:  # noqa: PLR0124 - a NaN is no amount
                yield name, value


def merged(served: Sequence[Stepped]) -> Iterator[Tail]:
    """Yield the inputs with two of a type made one, by the sum of an amount, in either place."""
    for low, high in in_pairs(len(served)):
        one, other = served[low].message, served[high].message
        if type(one) is not type(other):
            continue
        amounts = dict(numeric(one))
        for name, value in numeric(other):
            if type(amounts.get(name)) is not type(value):
                continue
            for base, at, out in ((other, high, low), (one, low, high)):
                both = changed_record(base, name, amounts[name] + value)
                if both is not None:
                    new = [*served]
                    new[at] = with_message(served[at], both)
                    yield (*new[:out], *new[out + 1 :])


def unified(served: Sequence[Stepped], fixed: set[tuple[type, Any]]) -> Iterator[Tail]:
    """Yield the inputs with two of their texts made one; not those that are `fixed`."""
    texts = [name for name in names_of(served) if name[0] is str][:MOST_NAMES]
    for one, other in combinations(texts, 2):
        for old, new in ((other, one), (one, other)):
            changed = None if old in fixed else renamed_inputs(served, {old: new[1]})
            if changed is not None:
                yield changed


def grown(served: Sequence[Stepped], history: Sequence[Stepped]) -> Iterator[Tail]:
    """Yield the inputs with the largest and smallest amounts that the history has, and with more.

    All inputs of a type change at once, then each alone.
    """
    kinds = list(dict.fromkeys(type(one.message) for one in served))
    for kind in kinds:
        amounts: dict[str, list[Any]] = {}
        for one in history:
            if type(one.message) is kind:
                for name, value in numeric(one.message):
                    amounts.setdefault(name, []).append(value)
        places = [index for index, one in enumerate(served) if type(one.message) is kind]
        for name, seen in amounts.items():
            for value in (max(seen), min(seen), max(seen) * 10, max(seen) * 1000):
                for where in [places, *([[place] for place in places] if len(places) > 1 else [])]:
                    yield from amounting(served, where, name, value)


def amounting(
    served: Sequence[Stepped], places: list[int], name: str, value: Any
) -> Iterator[Tail]:
    """Yield the inputs with an amount in a field of those at some places."""
    new = [*served]
    for place in places:
        message = changed_record(served[place].message, name, value)
        if message is None:
            return
        new[place] = with_message(served[place], message)
    yield tuple(new)


def substituted(served: Sequence[Stepped], history: Sequence[Stepped]) -> Iterator[Tail]:
    """Yield the inputs with one of the history in the place of two of them."""
    if not 2 < len(served) <= MOST_SUBSTITUTED:
        return
    step = max(1, len(history) // MOST_FROM_HISTORY)
    for other in history[::step]:
        for low, high in in_pairs(len(served) - 1):
            new = [*served]
            new[low] = other
            yield (*new[:high], *new[high + 1 :])


def reworded(served: Sequence[Stepped], state: Any) -> list[Renames]:
    """Return renames to try: all texts to `a`, `b`, `c`, then each name or number on its own.

    Args:
        served: inputs, whose names get the first letters.
        state: the state that they begin with; names that are in it stay as they are.
    """
    inside = list(dict.fromkeys((type(n), n) for n in names_in(state)))
    named = names_of(served)
    names = [n for n in named if n not in inside][:MOST_RENAMED]
    taken = {n[1] for n in (*named, *inside)}
    letters = [c for c in ascii_lowercase if c not in taken]
    digits = [n for n in range(1, 100) if n not in taken and str(n) not in taken]
    texts = [n for n in names if n[0] is str and not is_simple(n[1])]
    renames = dict(zip(texts, letters, strict=False))
    numbers = [n for n in names if n[0] is int and n[1] > 9]
    alone: list[Renames] = [{text: letter} for text, letter in renames.items()]
    alone += [
        {n: str(digits[0]), (int, int(n[1])): digits[0]}
        for n in texts
        if is_number(n[1]) and len(n[1]) < MOST_DIGITS and digits
    ]
    alone += [{n: small} for n, small in zip(numbers, digits, strict=False)]
    return [renames, *alone]


def is_simple(name: str) -> bool:
    """Return whether a name is a letter already."""
    return len(name) == 1 and name in ascii_lowercase

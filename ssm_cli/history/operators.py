"""What the operators and functions of EXPR do, on plain data alone.

They agree with Python's where Python has an answer. Where it would raise (a text and a number have
no order), the answer is not known: `NotKnown`. No method of a user's class is called; all that can
take long is counted in steps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from enum import Flag
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from typing import Any
from uuid import UUID

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.words import shorten
from ssm_cli.history.plain import (
    MOST_KEY_BITS,
    Spend,
    atom,
    elements,
    entries,
    fields,
    form_of,
    keyed,
    label_of,
    name_of_class,
    opened,
    size,
    written_as,
)

CHARACTERS_A_STEP = 256  # of texts that are searched or copied
NUMBERS = (int, float, bool, Decimal, Fraction)
MOMENTS = (date, datetime, time)
ORDERED = (*MOMENTS, timedelta, UUID, PurePath)
EXACT = Context(prec=60, traps=[])

Say = Callable[[], str]


class NotKnown(Exception):
    """An answer that is not known: a part is missing, or values do not go together.

    Attributes:
        say: makes the text that says why.
        part: the part of the EXPR that it comes from; "" until it is known.
    """

    def __init__(self, say: Say, part: str = "") -> None:
        super().__init__()
        self.say = say
        self.part = part


def unfit(values: Sequence[Any], what: str) -> NotKnown:
    """Return the answer to an operation that does not exist between values of such types."""
    return NotKnown(partial(_unfit_words, tuple(map(type, values)), what))


def _unfit_words(kinds: Sequence[type], what: str) -> str:
    names = " and ".join(f"`{shorten(name_of_class(kind))}`" for kind in kinds)
    return f"{what} of {names} is not known"


# --- truth, equality, order -------------------------------------------------------------------


def truth(value: Any) -> bool:
    """Return what Python says of a value in an `if`; a user's class without elements is true.

    >>> truth([]), truth("x"), truth(0.0)
    (False, True, False)
    """
    if value is True or value is False:
        return value
    value = _mixed(opened(value))
    form = form_of(value)
    if form.sort == "atom":
        return bool(atom(value))
    if form.sort == "standard":
        return bool(value)
    return size(value) != 0


def _mixed(value: Any) -> Any:
    """Return what a member of an `IntEnum`, a `StrEnum`, a `Flag` is besides; others unchanged."""
    if form_of(value).sort == "enum" and issubclass(type(value), int | str | float | Flag):
        return fields(value, form_of(value))["value"]
    return value


def equal(one: Any, other: Any, spend: Spend) -> bool:
    """Return whether two values are equal as Python has it, and in a few more cases.

    A member of an enum is equal to its name and to its value; a date, an id, a path, or a decimal
    to the text that it is shown as. Instances of one class are equal if what they hold is.
    """
    spend(1)
    if type(one) is type(other) is int:
        return bool(one == other)
    one, other = opened(one), opened(other)
    sorts = form_of(one).sort, form_of(other).sort
    for sort, alike in _EQUAL.items():
        if sort in sorts:
            return alike(one, other, spend)
    return one is other


def _equal_atoms(one: Any, other: Any, spend: Spend) -> bool:
    left, right = atom(one), atom(other)
    if type(left) is str or type(left) is bytes:
        spend(len(left) // CHARACTERS_A_STEP)
    return form_of(one).sort == form_of(other).sort and bool(left == right)


def _equal_members(one: Any, other: Any, spend: Spend) -> bool:
    if form_of(one).sort != "enum":
        one, other = other, one
    held = fields(one, form_of(one))
    if form_of(other).sort == "enum":
        mixed = _mixed(one) is not one and _mixed(other) is not other
        same = mixed or type(one) is type(other)
        return same and equal(held["value"], fields(other, form_of(other))["value"], spend)
    return equal(held["name"], other, spend) or equal(held["value"], other, spend)


def _equal_standard(one: Any, other: Any, spend: Spend) -> bool:
    kind, theirs = form_of(one).base, form_of(other).base
    if kind in NUMBERS and theirs in NUMBERS:
        return _asked(operator.eq, atom(one), atom(other))
    if type(one) is not type(other):
        return _is_text(other, label_of(one)) or _is_text(one, label_of(other))
    if kind in MOMENTS and _has_known_zone(one) and _has_known_zone(other):
        return bool(one == other)
    return equal(written_as(one), written_as(other), spend)


def _is_text(value: Any, label: str) -> bool:
    return bool(label) and form_of(value).base is str and bool(atom(value) == label)


def _equal_fields(one: Any, other: Any, spend: Spend) -> bool:
    if type(one) is not type(other):
        return False
    left, right = fields(one, form_of(one)), fields(other, form_of(other))
    return left.keys() == right.keys() and all(
        held is right[name] or equal(held, right[name], spend) for name, held in left.items()
    )


def _equal_containers(one: Any, other: Any, spend: Spend) -> bool:
    form, theirs = form_of(one), form_of(other)
    if form.sort != theirs.sort or (form.base is not theirs.base and form.sort != "set"):
        return False
    if size(one) != size(other):
        return False
    if form.sort == "sequence":
        pairs = zip(elements(one), elements(other), strict=True)
        return all(a is b or equal(a, b, spend) for a, b in pairs)
    for key, held in entries(one):
        there = keyed(other, key, spend)
        if there is NOTHING or not (
            form.sort == "set" or there is held or equal(held, there, spend)
        ):
            return False
    return True


_EQUAL: Mapping[str, Callable[[Any, Any, Spend], bool]] = {
    "opaque": lambda one, other, _: one is other,
    "enum": _equal_members,
    "standard": _equal_standard,
    "atom": _equal_atoms,
    "record": _equal_fields,
    "mapping": _equal_containers,
    "sequence": _equal_containers,
    "set": _equal_containers,
}
"""By the sort of either value, the particular before the general."""


def contains(container: Any, value: Any, spend: Spend) -> bool:
    """Return whether a value is in a text, a list, a set, or among the keys of a mapping."""
    container = opened(container)
    form = form_of(container)
    if form.sort in {"mapping", "set"}:
        return keyed(container, atom(value), spend) is not NOTHING
    if form.sort == "sequence":
        return any(one is value or equal(one, value, spend) for one in elements(container))
    if form.base in (str, bytes) and form_of(value).base is form.base:
        spend(1 + size(container) // CHARACTERS_A_STEP)
        return atom(value) in atom(container)
    raise unfit((value, container), "`in`")


def ordered(
    compare: Callable[[Any, Any], Any], sign: str, one: Any, other: Any, spend: Spend
) -> bool:
    """Return whether two values are in an order (`<`, `<=`, `>`, `>=`), as Python has it.

    A date or a time also has an order with the text of one, as `"2026-01-31"`.

    Raises:
        NotKnown: they have none.
    """
    spend(1)
    if type(one) is type(other) is int:
        return bool(compare(one, other))
    left, right = _comparable(one), _comparable(other)
    kind, theirs = form_of(left).base, form_of(right).base
    if (kind in NUMBERS and theirs in NUMBERS) or (kind is theirs and kind in (str, bytes)):
        return _asked(compare, left, right)
    if (kind is str and theirs in MOMENTS) or (kind in MOMENTS and theirs is str):
        return bool(compare(label_of(left) or left, label_of(right) or right))
    known = kind is not object and theirs is not object and issubclass(kind, ORDERED)
    if known and _has_known_zone(left) and _has_known_zone(right):
        return _asked(compare, left, right)
    form = form_of(left)
    if form.sort == "sequence" and form.base is form_of(right).base:
        for a, b in zip(elements(left), elements(right), strict=False):
            if a is not b and not equal(a, b, spend):
                return ordered(compare, sign, a, b, spend)
        return bool(compare(size(left), size(right)))
    raise unfit((one, other), f"`{sign}`")


def _comparable(value: Any) -> Any:
    value = opened(value)
    if form_of(value).sort == "enum":
        value = fields(value, form_of(value))["value"]
    return atom(value)


def _has_known_zone(value: Any) -> bool:
    """Whether no code of a user's says what a time is in other zones."""
    zone = getattr(value, "tzinfo", None)
    return zone is None or form_of(zone).sort == "standard"


def _asked(compare: Callable[[Any, Any], Any], one: Any, other: Any) -> bool:
    try:
        return bool(compare(one, other))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise unfit((one, other), "the order") from error


# --- numbers ----------------------------------------------------------------------------------

ARITHMETIC: Mapping[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "+": (operator.add, EXACT.add),
    "-": (operator.sub, EXACT.subtract),
    "*": (operator.mul, EXACT.multiply),
    "/": (operator.truediv, EXACT.divide),
    "//": (operator.floordiv, EXACT.divide_int),
    "%": (operator.mod, EXACT.remainder),
}
"""By sign: what is done with numbers of Python's own, and what with decimals."""


def number(value: Any) -> Any:
    """Return the int, float or decimal that a value is.

    Raises:
        NotKnown: it is none, or of too many bits to reckon with.
    """
    plain = value if type(value) is int else atom(_mixed(value))
    kind = form_of(plain).base
    if kind is bool or kind is int:
        if plain.bit_length() > MOST_KEY_BITS:
            raise NotKnown(
                lambda: f"numbers of more than {MOST_KEY_BITS} bits are not reckoned with"
            )
        return int(plain)
    if kind is float or kind is Decimal:
        return plain
    raise unfit((value,), "the number")


def reckon(sign: str, one: Any, other: Any) -> Any:
    """Return the result of `+ - * / // %` on two numbers.

    Raises:
        NotKnown: one is no number, there is no result, or it has too many bits.
    """
    left, right = number(one), number(other)
    kinds = {type(left), type(right)}
    if Decimal in kinds and float in kinds:
        raise unfit((one, other), f"`{sign}`")
    try:
        if Decimal not in kinds:
            return number(ARITHMETIC[sign][0](left, right))
        found = ARITHMETIC[sign][1](left, right)
    except ArithmeticError as error:
        raise unfit((one, other), f"`{sign}`") from error
    if not found.is_finite() and Decimal(left).is_finite() and Decimal(right).is_finite():
        raise unfit((one, other), f"`{sign}`")
    return found


def negated(value: Any) -> Any:
    """Return a number with the other sign; `NotKnown` of what is no number."""
    plain = number(value)
    return EXACT.minus(plain) if type(plain) is Decimal else -plain


def magnitude(value: Any) -> Any:
    """Return a number without its sign; `NotKnown` of what is no number."""
    plain = number(value)
    return EXACT.abs(plain) if type(plain) is Decimal else abs(plain)


def total(values: Iterable[Any]) -> Any:
    """Return the sum of numbers, 0 of none.

    >>> total([1, 2.5]), total([])
    (3.5, 0)
    """
    numbers = [*map(number, values)]
    if Decimal not in set(map(type, numbers)):
        return number(sum(numbers))
    found: Any = 0
    for one in numbers:
        found = reckon("+", found, one)
    return found


def extreme(sign: str, values: Iterable[Any], spend: Spend) -> Any:
    """Return the first of the smallest values (`<`), or of the largest (`>`).

    Raises:
        NotKnown: there is none, or two of them have no order.
    """
    compare = operator.lt if sign == "<" else operator.gt
    found: Any = NOTHING
    for one in values:
        if found is NOTHING or ordered(compare, sign, one, found, spend):
            found = one
    if found is NOTHING:
        raise NotKnown(lambda: "the smallest or largest of no values is not known")
    return found


# --- containers and texts ---------------------------------------------------------------------


def each(value: Any, spend: Spend) -> Iterator[Any]:
    """Yield the elements of a container, the keys of a mapping, the characters of a text.

    Raises:
        NotKnown: it has none.
    """
    value = opened(value)
    form = form_of(value)
    if form.sort not in {"mapping", "sequence", "set"} and form.base is not str:
        raise unfit((value,), "what is in it")
    for one in elements(value):
        spend(1)
        yield one


def length(value: Any) -> int:
    """Return how many elements or characters there are.

    Raises:
        NotKnown: it has none.
    """
    count = size(opened(value))
    if count < 0:
        raise unfit((value,), "the length")
    return count

"""The functions and methods that an EXPR may call, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.history.operators import (
    CHARACTERS_A_STEP,
    each,
    extreme,
    length,
    magnitude,
    total,
    truth,
    unfit,
)
from ssm_cli.history.plain import Spend, atom, entries, form_of, keyed, opened, size

VALUES_A_STEP = 16  # of a mapping that are listed in the time of one step


class Allowed(NamedTuple):
    """A function, with the fewest and the most arguments that it takes.

    It is called with what counts steps before them, and raises `NotKnown` where it has no result.
    """

    do: Callable[..., Any]
    fewest: int
    most: int
    over: bool = False  # whether it may go over a generator


def _len(_: Spend, value: Any) -> int:
    return length(value)


def _abs(_: Spend, value: Any) -> Any:
    return magnitude(value)


def _min(spend: Spend, *values: Any) -> Any:
    return extreme("<", each(values[0], spend) if len(values) == 1 else values, spend)


def _max(spend: Spend, *values: Any) -> Any:
    return extreme(">", each(values[0], spend) if len(values) == 1 else values, spend)


def _sum(spend: Spend, values: Any) -> Any:
    return total(each(values, spend))


def _any(spend: Spend, values: Any) -> bool:
    return any(map(truth, each(values, spend)))


def _all(spend: Spend, values: Any) -> bool:
    return all(map(truth, each(values, spend)))


def _mapping(spend: Spend, value: Any, what: str) -> Any:
    value = opened(value)
    if form_of(value).sort != "mapping":
        raise unfit((value,), f"`.{what}()`")
    spend(1 + size(value) // VALUES_A_STEP)
    return value


def _keys(spend: Spend, value: Any) -> list[Any]:
    return [key for key, _ in entries(_mapping(spend, value, "keys"))]


def _values(spend: Spend, value: Any) -> list[Any]:
    return [held for _, held in entries(_mapping(spend, value, "values"))]


def _items(spend: Spend, value: Any) -> list[Any]:
    return [*entries(_mapping(spend, value, "items"))]


def _get(spend: Spend, value: Any, key: Any, default: Any = None) -> Any:
    found = keyed(_mapping(spend, value, "get"), atom(key), spend)
    return default if found is NOTHING else found


def _texts(what: str, *values: Any) -> list[str]:
    if any(form_of(value).base is not str for value in values):
        raise unfit(values, f"`.{what}()`")
    return [atom(value) for value in values]


def _starts(_: Spend, value: Any, start: Any) -> bool:
    text, beginning = _texts("startswith", value, start)
    return text.startswith(beginning)


def _ends(_: Spend, value: Any, end: Any) -> bool:
    text, ending = _texts("endswith", value, end)
    return text.endswith(ending)


def _lower(spend: Spend, value: Any) -> str:
    (text,) = _texts("lower", value)
    spend(1 + len(text) // CHARACTERS_A_STEP)
    return text.lower()


FUNCTIONS: Mapping[str, Allowed] = {
    "len": Allowed(_len, 1, 1),
    "abs": Allowed(_abs, 1, 1),
    "min": Allowed(_min, 1, 20, over=True),
    "max": Allowed(_max, 1, 20, over=True),
    "sum": Allowed(_sum, 1, 1, over=True),
    "any": Allowed(_any, 1, 1, over=True),
    "all": Allowed(_all, 1, 1, over=True),
}

METHODS: Mapping[str, Allowed] = {
    "keys": Allowed(_keys, 0, 0),
    "values": Allowed(_values, 0, 0),
    "items": Allowed(_items, 0, 0),
    "get": Allowed(_get, 1, 2),
    "startswith": Allowed(_starts, 1, 1),
    "endswith": Allowed(_ends, 1, 1),
    "lower": Allowed(_lower, 0, 0),
}

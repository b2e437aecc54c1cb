"""Whether two values of a user's are equal, whatever their `==` does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def equal(one: Any, other: Any) -> bool:
    """Whether `==` says so; two values that cannot be compared are not equal."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the user's __eq__ may raise anything
        return False


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, NaN to itself included, whatever they are nested in.

    >>> same({"x": [math.nan]}, {"x": [math.nan]}), same([1], (1,)), same([1], [2])
    (True, False, False)
    """
    if equal(one, other) or type(one) is not type(other):
        return equal(one, other)
    match one:
        case float():
            return math.isnan(one) and math.isnan(other)
        case Mapping():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
    fields = getattr(one, "__struct_fields__", ())
    return bool(fields) and all(same(getattr(one, f), getattr(other, f)) for f in fields)

"""Whether two values of a user's are equal, whatever their `==` does."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


def equal(one: Any, other: Any) -> bool:
    """Whether `==` says so; two values that cannot be compared are not equal."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the user's __eq__ may raise anything
        return False


def identical(one: Any, other: Any) -> bool:
    """Whether two values are one to OTP (`=:=`), part by part: 1, 1.0 and True are three."""
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, Mapping):
        return _keys_alike(one, other) and all(identical(one[key], other[key]) for key in one)
    return equal(one, other)


def one_value(one: Any, other: Any) -> bool:
    """Whether two values of a tree's settings are the same value of the same type, part by part.

    Numbers of two types differ, `nan` is itself, and an instance of a class whose module was run
    again is compared with one of before by its fields. Bounded by the size of the values.

    >>> one_value({"n": [1, float("nan")]}, {"n": [1, float("nan")]}), one_value(1, True)
    (True, False)
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return _one_class(type(one), type(other)) and _fields_alike(one, other)
    if isinstance(one, Mapping):
        return _keys_alike(one, other) and all(one_value(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(one_value, one, other))
    if isinstance(one, float) and one != one:  # noqa: PLR0124 - it is `nan`
        return other != other  # type: ignore[no-any-return]  # noqa: PLR0124 - as above
    return equal(one, other)


def _keys_alike(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Whether two mappings have the same keys, of the same types, in whatever order."""
    kinds = {key: type(key) for key in other}
    return len(one) == len(other) and all(kinds.get(key) is type(key) for key in one)


def _one_class(one: type, other: type) -> bool:
    """Whether two classes are one, of two runs of its module."""
    return one.__module__ == other.__module__ and one.__qualname__ == other.__qualname__


def _fields_alike(one: Any, other: Any) -> bool:
    """Whether two structs, dataclasses or members of an enum hold the same."""
    if isinstance(one, Enum):
        return bool(one.name == other.name)
    names = getattr(one, "__struct_fields__", None) or getattr(one, "__dataclass_fields__", None)
    return names is not None and all(
        one_value(getattr(one, name, None), getattr(other, name, None)) for name in names
    )

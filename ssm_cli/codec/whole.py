"""What msgspec reads, made whole: a dataclass has its defaults as fields of its own.

msgspec leaves a field that was not given to the class where its default is a plain value. Whoever
asks the instance finds it there; whoever writes the instance, msgspec among them, does not, so that
two equal values would be written differently.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Read = Callable[[Any], Any]
NOTHING = dataclasses.MISSING
SEVERAL = (list, tuple, set, frozenset)


def making_whole(annotation: Any, read: Read) -> Read:
    """Return `read`, whose values are of that type, with what it leaves out put in."""
    return (lambda data: whole(read(data))) if holds_dataclass(annotation, set()) else read


def holds_dataclass(annotation: Any, seen: set[Any]) -> bool:
    """Return whether a dataclass is in the values of a type; `seen` has been looked at already.

    >>> holds_dataclass(dict[str, list[int]], set())
    False
    """
    if isinstance(annotation, type) and not typing.get_args(annotation):
        if dataclasses.is_dataclass(annotation):
            return True
        if annotation in seen or not issubclass(annotation, msgspec.Struct):
            return False
        seen.add(annotation)
        try:
            inside = tuple(typing.get_type_hints(annotation).values())
        except Exception:  # noqa: BLE001 - its annotations name what is not there; values will tell
            return True
    else:
        value = getattr(annotation, "__value__", None)  # `type X = ...`
        inside = (*typing.get_args(annotation), value, getattr(annotation, "__supertype__", None))
    return any(holds_dataclass(one, seen) for one in inside if one is not None)


def whole(value: Any) -> Any:
    """Return a value that was just read, and that is not deeper than what it was read from."""
    if dataclasses.is_dataclass(value):
        kept = getattr(value, "__dict__", None)
        for field in dataclasses.fields(value):
            if kept is not None and field.name not in kept and field.default is not NOTHING:
                object.__setattr__(value, field.name, field.default)
            whole(getattr(value, field.name, None))
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            whole(getattr(value, name, None))
    elif isinstance(value, Mapping):
        for held in value.values():
            whole(held)
    elif isinstance(value, SEVERAL):
        for held in value:
            whole(held)
    return value

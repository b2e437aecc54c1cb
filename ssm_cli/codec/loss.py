"""Whether a value that was read says all that was written, and nothing more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from ssm_cli.codec.json import spelling
from ssm_cli.codec.schema import Slot, is_record, shape_of
from ssm_cli.codec.shown import read_shown
from ssm_cli.codec.words import suggestion


def read_whole(said: Any, given: Any) -> Any:
    """Return the value of a type that decoded JSON stands for; nothing left out or ignored.

    Raises:
        ValueError, TypeError: it is none, or does not say all.
    """
    value = read_shown(said, given)
    refuse_loss(given, value)
    return value


def refuse_fields(given: Mapping[str, Any], name: str, slots: Mapping[str, Slot]) -> None:
    """Raise `ValueError` for a field that there is not, or that is missing."""
    for key in given:
        if key not in slots and key != "type":
            raise ValueError(f"{name}: no field `{key[:40]}`{suggestion(key, slots)}")
    for key in slots:
        if key not in given:
            raise ValueError(f"{name}: {key} is missing")


def refuse_loss(given: Any, value: Any) -> None:
    """Raise where a value does not hold all that it was read of, or holds more.

    Raises:
        ValueError, TypeError: says which part.
    """
    if is_record(type(value)):
        _refuse_in_record(given, value)
    elif isinstance(value, AbstractSet):
        for one in given if isinstance(given, list) else ():
            _refuse_in_set(one, value)
    elif isinstance(given, dict) and isinstance(value, Mapping):
        if len(given) != len(value):
            raise ValueError("two of its keys stand for one")
        for one, other in zip(given.values(), value.values(), strict=True):
            refuse_loss(one, other)
    elif isinstance(given, list) and isinstance(value, Collection):
        if len(given) != len(value):
            raise ValueError(f"it has {len(given)} items, of which {len(value)} are read")
        for one, other in zip(given, value, strict=True):
            refuse_loss(one, other)


def _refuse_in_record(given: Any, value: Any) -> None:
    kind: Any = type(value)
    shape = shape_of(kind, lenient=True)
    name, slots = shape.constructor.name, {spelling(s.field.name): s for s in shape.slots}
    if isinstance(given, list) and len(given) == len(slots):
        given = dict(zip(slots, given, strict=True))
    if not isinstance(given, dict):
        raise TypeError(f"{name}: a field is missing, or is one too many")
    if given.get("type", name) != name:
        raise ValueError(f"expected {name}, got {str(given['type'])[:40]}")
    refuse_fields(given, name, slots)
    for key, slot in slots.items():
        refuse_loss(given[key], getattr(value, slot.field.name))


def _refuse_in_set(given: Any, values: AbstractSet[Any]) -> None:
    """Raise `ValueError` where none of the values holds all of what one of them was read of."""
    error: Exception | None = None
    for value in values if isinstance(given, dict | list) else ():
        try:
            refuse_loss(given, value)
        except (ValueError, TypeError) as why:
            error = why
        else:
            return
    if error is not None:
        raise error

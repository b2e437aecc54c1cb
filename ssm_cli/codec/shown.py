"""Data as `jsonable` shows values, read as values of a type again.

Only what has another form there than msgspec reads is made into that: enum members by their names,
constructors with their `type`, bytes as text, floats that are no numbers.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from inspect import isabstract
from itertools import chain, repeat
from typing import Any, get_args, get_origin

from ssm_cli.codec.json import data_reader, spelling
from ssm_cli.codec.schema import is_record, members, shape_of

NUMBERS = ("nan", "inf", "-inf")
NOT = object()


def read_shown(said: Any, data: Any) -> Any:
    """Return the value of a type that decoded JSON stands for, as it is shown.

    What is left out has its default; keys of mappings are text that is read by their type.

    Raises:
        msgspec.ValidationError, ValueError, TypeError: it is none; says where and why.

    >>> read_shown(dict[int, bytes], {"3": "x"})
    {3: b'x'}
    """
    return data_reader(said)(unshown(said, data))


def shown_type(value: Any, declared: Any = Any) -> Any:
    """Return the type of a value: as it is declared, else as far as the value itself tells.

    Of None it is all that is declared.

    >>> shown_type({1: "x"}), shown_type({"x": 1}), shown_type({}, dict[int, str])
    (dict[int, typing.Any], <class 'dict'>, dict[int, str])
    """
    kind = type(value)
    if value is None and any(part not in (Any, kind) for part in members(declared)):
        return declared
    for part in members(declared):
        form = get_origin(part) or part
        if form is kind or (isabstract(form) and issubclass(kind, form)):
            return part
    keys = {type(key) for key in value} if kind is dict else set()
    return kind if len(keys) != 1 or keys == {str} else dict[keys.pop(), Any]  # type: ignore[misc]  # made by what is there


def unshown(said: Any, data: Any) -> Any:
    """Return data in the form that msgspec reads as values of a type."""
    for part in members(said):
        found = _as(part, data)
        if found is not NOT:
            return found
    return data


def _as(part: Any, data: Any) -> Any:
    """Return data as that of a type which is no union; `NOT` where it has another form."""
    kind, inside = get_origin(part) or part, get_args(part)
    if not isinstance(kind, type):
        return NOT
    if isinstance(data, str):
        return _of_text(kind, data)
    if is_record(kind):
        return _of_record(part, data) if isinstance(data, dict) else NOT
    if isinstance(data, dict) and issubclass(kind, Mapping):
        key, value = inside if len(inside) == 2 else (Any, Any)
        return {unshown(key, one): unshown(value, other) for one, other in data.items()}
    if isinstance(data, list) and issubclass(kind, list | tuple | AbstractSet):
        return [unshown(one, item) for one, item in zip(_items(kind, inside), data, strict=False)]
    return NOT


def _items(kind: type, inside: tuple[Any, ...]) -> Iterable[Any]:
    """Yield the types of the items of a sequence, and what goes beyond them as it is."""
    if issubclass(kind, tuple) and inside and inside[-1] is not Ellipsis:
        return chain(inside, repeat(Any))
    return repeat(inside[0] if inside else Any)


def _of_text(kind: type, data: str) -> Any:
    if issubclass(kind, Enum) and data in kind.__members__:
        return kind[data].value
    if issubclass(kind, bytes | bytearray):
        return b64encode(data.encode()).decode()
    if kind is float and data in NUMBERS:
        return float(data)
    return NOT


def _of_record(part: Any, data: dict[str, Any]) -> Any:
    """Return the fields of a constructor as an object; those of a NamedTuple as a list."""
    shape, kind = shape_of(part, lenient=True), get_origin(part) or part
    if data.get("type", shape.constructor.name) != shape.constructor.name:
        return NOT
    fields = {spelling(slot.field.name): slot for slot in shape.slots}
    read = {
        fields[key].field.name if key in fields else key:
            unshown(fields[key].annotation, item) if key in fields else item
        for key, item in data.items() if key != "type"
    }  # fmt: skip
    if issubclass(kind, tuple) and read.keys() == {slot.field.name for slot in shape.slots}:
        return [read[slot.field.name] for slot in shape.slots]
    return read

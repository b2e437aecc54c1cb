"""Shapes of values: what a value is made of, and the same value with other parts.

Values are made anew and keep their types; what is none of the types here is looked at as a whole.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ssm_cli.behaviour.reasons import plain

MOST_DEEP = 60  # values in each other; what is deeper is a whole
Renames = dict[tuple[type, Any], Any]
"""By the type and value of a text or an int: what stands in its place."""

SEQUENCES = (list, tuple, deque)
SETS = (set, frozenset)
MAPS = (dict, OrderedDict, defaultdict)


def is_named_tuple(value: Any) -> bool:
    """Return whether a value is of a class made by `NamedTuple` or `namedtuple`."""
    return isinstance(value, tuple) and hasattr(type(value), "_fields")


def is_record(value: Any) -> bool:
    """Return whether a value has fields: a dataclass, a Struct, a named tuple."""
    kind = type(value)
    return (
        issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or is_named_tuple(value)
    )


def fields_of(value: Any) -> tuple[str, ...]:
    """Return the names of the fields of a record, in order."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if is_named_tuple(value):
        return tuple(type(value)._fields)
    return tuple(field.name for field in dataclasses.fields(value))


def with_fields(value: Any, changed: Mapping[str, Any]) -> Any:
    """Return a record with some fields changed. Raises what its class raises."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changed)
    return (
        value._replace(**changed)
        if is_named_tuple(value)
        else dataclasses.replace(value, **changed)
    )


def parts_of(value: Any) -> list[tuple[Any, Any]]:
    """Return (key, part) of what a value holds; none where it is a whole.

    A set has its elements as keys, which are its parts. Sets are in an order of their texts, so
    that it is the same in each process.

    >>> parts_of({"a": 1}), parts_of([7]), parts_of(5)
    ([('a', 1)], [(0, 7)], [])
    """
    kind = type(value)
    if kind in MAPS:
        return list(value.items())
    if kind in SEQUENCES:
        return list(enumerate(value))
    if kind in SETS:
        return [
            (one, one)
            for one in sorted(value, key=lambda one: (type(one).__name__, plain(one, repr)))
        ]
    if is_record(value):
        return [(name, getattr(value, name)) for name in fields_of(value) if hasattr(value, name)]
    return []


def items_of(value: Any) -> list[tuple[Any, Any]] | None:
    """Return the parts of a value that can be fewer; None where it holds a fixed number."""
    return parts_of(value) if type(value) in (*MAPS, *SEQUENCES, *SETS) else None


def of_items(value: Any, items: list[tuple[Any, Any]]) -> Any:
    """Return a container of the type of `value` that holds these parts."""
    kind: Any = type(value)
    if kind is defaultdict:
        return kind(value.default_factory, items)
    if kind in MAPS:
        return kind(items)
    parts = [part for _, part in items]
    return deque(parts, value.maxlen) if kind is deque else kind(parts)


def with_part(value: Any, key: Any, part: Any) -> Any:
    """Return the value with another part in the place of one."""
    kind = type(value)
    if kind in SETS:
        return kind([*(value - {key}), part])
    items = items_of(value)
    if items is None:
        return with_fields(value, {key: part})
    return of_items(value, [(k, part if k is key or k == key else p) for k, p in items])


def leaves_of(value: Any, deep: int = 0) -> Iterator[Any]:
    """Yield each value within that is a whole, and the keys of dicts; in order."""
    parts = parts_of(value) if deep < MOST_DEEP else []
    if not parts:
        yield value
    for key, part in parts:
        if type(value) in MAPS:
            yield from leaves_of(key, deep + 1)
        yield from leaves_of(part, deep + 1)


def changed_leaves(value: Any, change: Callable[[Any], Any], deep: int = 0) -> Any:
    """Return the value with each leaf, keys of dicts included, as `change` gives it.

    What has not changed is the same object. Raises what the classes of its records raise.
    """
    parts = parts_of(value) if deep < MOST_DEEP else []
    if not parts:
        return change(value)
    keyed = type(value) in MAPS
    new = [
        (changed_leaves(k, change, deep + 1) if keyed else k, changed_leaves(p, change, deep + 1))
        for k, p in parts
    ]
    if all(k is a and p is b for (k, p), (a, b) in zip(parts, new, strict=True)):
        return value
    if items_of(value) is not None:
        return of_items(value, new)
    old = dict(parts)
    return with_fields(value, {name: part for name, part in new if part is not old[name]})


def renamed(value: Any, names: Renames) -> Any:
    """Return the value with other texts and numbers in it.

    >>> renamed({"acc7": ["acc7", 1]}, {(str, "acc7"): "a"})
    {'a': ['a', 1]}
    """

    def change(leaf: Any) -> Any:
        kind = type(leaf)
        if kind is str and " " in leaf:
            return " ".join(names.get((str, word), word) for word in leaf.split(" "))
        return names.get((kind, leaf), leaf) if kind is str or kind is int else leaf

    return changed_leaves(value, change)


def differences(one: Any, other: Any, deep: int = 0) -> Renames:
    """Return what the texts and numbers of one value are in another of the same shape.

    >>> differences(("id", 7), ("id", 2))
    {(<class 'int'>, 7): 2}
    """
    if one is other or type(one) is not type(other) or deep >= MOST_DEEP:
        return {}
    if type(one) is str or type(one) is int:
        return {} if one == other else {(type(one), one): other}
    left, right = parts_of(one), parts_of(other)
    if len(left) != len(right):
        return {}
    found: Renames = {}
    for (_, a), (_, b) in zip(left, right, strict=True):
        found.update(differences(a, b, deep + 1))
    return found


def names_in(value: Any) -> list[Any]:
    """Return the texts, and the numbers beyond 1, in a value; of a line, its words but the first.

    >>> names_in({"a": [1, 7], "b": "open door"})
    ['a', 7, 'b', 'door']
    """
    found: list[Any] = []
    for leaf in leaves_of(value):
        if type(leaf) is str:
            found += (
                [word for word in leaf.split(" ")[1:] if word]
                if " " in leaf
                else [leaf] * bool(leaf)
            )
        elif type(leaf) is int and abs(leaf) > 1:
            found.append(leaf)
    return found

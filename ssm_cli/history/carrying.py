"""Carrying values between two loads of one module, whose classes look the same and are others."""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from enum import Enum
from operator import is_
from typing import Any

import msgspec

Classes = Mapping[type, type]
MOST_DEEP = 200  # levels that values are nested


def classes_of(home: Any, module: Any) -> dict[type, type]:
    """Return the classes of a module, each with that of the same name in another one.

    Classes inside classes are among them; those that functions have made are not.
    """
    found: dict[type, type] = {}
    pairs = [(vars(home), vars(module))]
    while pairs:
        here, there = pairs.pop()
        for name, kind in [*here.items()]:
            other = there.get(name)
            ours = isinstance(kind, type) and kind.__module__ == home.__name__
            if ours and isinstance(other, type) and kind not in found:
                found[kind] = other
                pairs.append((vars(kind), vars(other)))
    return found


def carried(value: Any, classes: Classes, depth: int = 0) -> Any:
    """Return a value with the classes in it put in each other's place; itself where none is.

    A field that the other class does not have is left out; one that only it has gets its default.
    An object that is no dataclass and no struct gets its attributes without its `__init__`.

    Raises:
        TypeError: a field without a default is missing.
        KeyError: an enum has no such member.
        RecursionError: it is nested too deeply.
    """
    if not classes or type(value) in PLAIN:
        return value
    if depth > MOST_DEEP:
        raise RecursionError(f"a value is nested more than {MOST_DEEP} levels deep")
    kind = type(value)
    if isinstance(value, dict) and kind in DICTS:
        return carried_dict(value, classes, depth + 1)
    if kind in MANY or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return carried_parts(value, classes, depth + 1)
    if isinstance(value, type):
        return classes.get(value, value)
    target = classes.get(kind, kind)
    if isinstance(value, Enum):
        return value if target is kind else target[value.name]  # type: ignore[index]  # an enum, too
    return carried_object(value, target, classes, depth + 1)


MANY = frozenset((list, tuple, set, frozenset, deque))
PLAIN = frozenset((int, float, str, bytes, bool, type(None)))
DICTS = (dict, OrderedDict, defaultdict, Counter)


def carried_parts(value: Any, classes: Classes, depth: int) -> Any:
    """Return a list, a tuple of whatever kind, a set or a deque with its parts carried."""
    kind = type(value)
    target: Any = classes.get(kind, kind)
    parts = [carried(part, classes, depth) for part in value]
    if target is kind and all(map(is_, parts, value)):
        return value
    if kind is deque:
        return deque(parts, value.maxlen)
    return target(parts) if kind in MANY else target(*parts)


def carried_dict(value: dict[Any, Any], classes: Classes, depth: int) -> Any:
    """Return a dict with its keys and values carried."""
    items = [(carried(k, classes, depth), carried(v, classes, depth)) for k, v in value.items()]
    if all(k is a and v is b for (k, v), (a, b) in zip(items, value.items(), strict=True)):
        return value
    made = dict(items)
    if isinstance(value, defaultdict):
        return defaultdict(carried(value.default_factory, classes, depth), made)
    return made if type(value) is dict else type(value)(made)


def carried_object(value: Any, target: type, classes: Classes, depth: int) -> Any:
    """Return an object with its fields carried, of another class if it has one."""
    kind = type(value)
    names = fields_taken(kind)
    if target is kind and not names:
        return value  # of a class of somebody else, whose inside is not ours
    if not names and not fields_taken(target):
        is_struct = issubclass(target, msgspec.Struct)
        return target() if is_struct else with_attributes(value, target, classes, depth)
    there = {name: getattr(value, name) for name in names}
    parts = {name: carried(part, classes, depth) for name, part in there.items()}
    if target is kind and all(parts[name] is there[name] for name in names):
        return value
    known = fields_taken(target)
    return target(**{name: part for name, part in parts.items() if name in known})


def with_attributes(value: Any, target: type, classes: Classes, depth: int) -> Any:
    """Return an object of another class with the attributes of this one."""
    made: Any = object.__new__(target)
    for name in [*getattr(value, "__dict__", ()), *slots_of(type(value))]:
        if hasattr(value, name):
            object.__setattr__(made, name, carried(getattr(value, name), classes, depth))
    return made


def slots_of(kind: type) -> list[str]:
    """Return the names of the slots of a class and its bases."""
    found = [getattr(base, "__slots__", ()) for base in kind.__mro__]
    names = [name for one in found for name in ((one,) if isinstance(one, str) else one)]
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def fields_taken(kind: type) -> tuple[str, ...]:
    """Return the fields that the constructor of a class takes."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind) if field.init)
    return ()

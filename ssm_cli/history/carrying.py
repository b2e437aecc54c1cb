"""Carrying values between two loads of one module, whose classes look the same and are others."""

from __future__ import annotations

import dataclasses
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable, Mapping
from enum import Enum, Flag
from functools import cached_property, partial, reduce
from operator import is_, or_
from types import FunctionType, MappingProxyType, MethodType, SimpleNamespace
from typing import Any

import msgspec

from ssm_cli.errors import CodeRefused, a_or_an
from ssm_cli.history.inherited import emptied, fill_from, need_all, type_below
from ssm_cli.history.plain import opened
from ssm_cli.spec.afresh import is_of_users

Classes = Mapping[Any, Any]
"""Classes and functions of one load of a module, each with the one of the other load."""

Lost = Mapping[Any, str]
"""What the other load has not, or not as one of its own: each with what is said of it."""

NONE: Lost = MappingProxyType({})
MOST_DEEP = 200  # levels that values are nested


def classes_of(home: Any, module: Any) -> dict[Any, Any]:
    """Return the classes and functions of a module, each with that of the same name in another.

    Classes inside classes are among them; those that functions have made are not.
    """
    found: dict[Any, Any] = {}
    pairs = [(vars(home), vars(module))]
    while pairs:
        here, there = pairs.pop()
        for name, kind in [*here.items()]:
            other = there.get(name)
            if getattr(kind, "__module__", None) != home.__name__:
                continue
            if isinstance(kind, type) and isinstance(other, type) and kind not in found:
                found[kind] = other
                pairs.append((vars(kind), vars(other)))
            elif type(kind) is type(other) is FunctionType and here is vars(home):
                found.setdefault(kind, other)
    return found


def carried(value: Any, classes: Classes, lost: Lost = NONE) -> Any:
    """Return a value with the classes in it put in each other's place; itself where none is.

    What is known of an object goes along: fields, whether its `__init__` takes them or not, other
    attributes, and what a subclass of a type of Python's own holds. A field that the other class
    does not have is left out; one that only it has gets its default. What is one object in two
    places is one object again.

    Raises:
        TypeError: a field without a default is missing, or a class inherits from another type now.
        KeyError: an enum has no such member.
        RecursionError: it is nested too deeply, or holds itself other than by attributes.
        CodeRefused: it is or holds something of a class that is `lost`, or such a class; or keys,
            members of a set or members of an enum, which differ, become one.
    """
    return Carrier(classes, lost).carry(value) if classes or lost else value


OPEN = frozenset((SimpleNamespace, ChainMap, UserDict, UserList))
MANY = frozenset((list, tuple, set, frozenset, deque))
PLAIN = frozenset((int, float, str, bytes, bool, type(None)))
DICTS = (dict, OrderedDict, defaultdict, Counter)
UNDER_WAY = object()
HEAP_TYPE = 1 << 9  # the flag of classes that are made by Python code


class Carrier:
    """Carries the parts of one value, each object once."""

    def __init__(self, classes: Classes, lost: Lost = NONE) -> None:
        self._classes, self._lost = classes, lost
        self._made: dict[int, tuple[Any, Any]] = {}
        self._layouts: dict[type, Layout] = {}
        self._inner: set[int] = set()  # objects that are looked into, and hold themselves
        self._ways: dict[type, Callable[[Any, int], Any]] = {
            **dict.fromkeys(DICTS, self._dict), **dict.fromkeys(MANY, self._many),
            partial: self._partial, MethodType: self._method, MappingProxyType: self._view,
        }  # fmt: skip

    def carry(self, value: Any, depth: int = 0) -> Any:
        """Return a part, carried."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if isinstance(value, type | FunctionType):
            return self._there(value)
        if isinstance(value, Enum):
            return member_of(value, self._there(kind))
        known = self._made.get(id(value))
        if known is None:
            if depth > MOST_DEEP:
                raise RecursionError(f"a value is nested more than {MOST_DEEP} levels deep")
            self._made[id(value)] = value, UNDER_WAY
            known = self._made[id(value)] = value, self._whole(value, depth + 1)
        elif known[1] is UNDER_WAY:
            if not self._is_as_it_is(kind):
                raise RecursionError(f"{a_or_an(kind.__name__)} holds itself")
            self._inner.add(id(value))
            return value
        return known[1]

    def _there(self, one: Any) -> Any:
        """Return what takes the place of a class or a function: itself where nothing does."""
        found = self._classes.get(one, one)
        for each in (one, found):
            if each in self._lost:
                raise CodeRefused(self._lost[each])
        return found

    def _is_as_it_is(self, kind: type) -> bool:
        """Return whether objects of a class stay, unless a part of them changes."""
        return kind not in self._classes and not fields_taken(kind) and is_open(kind)

    def _whole(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in self._ways:
            return self._ways[kind](value, depth)
        target = self._there(kind)
        if self._layout(kind).is_record or self._layout(target).is_record:
            return self._record(value, target, depth)
        base = type_below(kind)
        if base is not None and (target is not kind or self._holds_other(value, base, depth)):
            return self._inherited(value, base, target, depth)
        if target is not kind:
            return self._object(value, object.__new__(target), depth)
        return self._looked_into(value, depth) if is_open(kind) else value

    def _layout(self, kind: type) -> Layout:
        known = self._layouts.get(kind)
        if known is None:
            known = self._layouts[kind] = Layout(kind)
        return known

    def _many(self, value: Any, depth: int) -> Any:
        """Return a list, a tuple, a set or a deque with its parts carried."""
        parts = [self.carry(part, depth) for part in value]
        if all(map(is_, parts, value)):
            return value
        made = deque(parts, value.maxlen) if type(value) is deque else type(value)(parts)
        need_all(len(made), len(value))
        return made

    def _view(self, value: Any, depth: int) -> Any:
        inner = opened(value)
        made = self.carry(inner, depth)
        return value if made is inner else MappingProxyType(made)

    def _partial(self, value: Any, depth: int) -> Any:
        parts = value.func, value.args, value.keywords
        made = [self.carry(part, depth) for part in parts]
        return value if all(map(is_, made, parts)) else partial(made[0], *made[1], **made[2])

    def _method(self, value: Any, depth: int) -> Any:
        """Return the method of that name of the object in the place of another."""
        owner, name = self.carry(value.__self__, depth), value.__name__
        if owner is value.__self__:
            return value
        if getattr(value.__self__, name, None) != value:
            raise TypeError(f"a method {name} is none that its object has by that name")
        return getattr(owner, name)

    def _holds_other(self, value: Any, base: Any, depth: int) -> bool:
        """Return whether an exception of Python's own holds what is carried."""
        if base is not type(value) or not issubclass(base, BaseException):
            return False
        return any(self.carry(part, depth) is not part for part in value.args)

    def _inherited(self, value: Any, base: Any, target: Any, depth: int) -> Any:
        """Return an object of a class that inherits from a type of Python's own, carried."""
        made = emptied(value, base, target, lambda part: self.carry(part, depth))
        self._object(value, made, depth)
        fill_from(made, value, base, lambda part: self.carry(part, depth))
        return made

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        """Return a dict with its keys and values carried."""
        items = [(self.carry(k, depth), self.carry(v, depth)) for k, v in value.items()]
        made = dict(items)
        need_all(len(made), len(value))
        if isinstance(value, defaultdict):
            factory = self.carry(value.default_factory, depth)
            if factory is not value.default_factory:
                return defaultdict(factory, made)
        if all(k is a and v is b for (k, v), (a, b) in zip(items, value.items(), strict=True)):
            return value
        if isinstance(value, defaultdict):
            return defaultdict(value.default_factory, made)
        return made if type(value) is dict else type(value)(made)

    def _record(self, value: Any, target: type, depth: int) -> Any:
        """Return what has fields with these, and what else it has, carried."""
        own, other = self._layout(type(value)), self._layout(target)
        there = own.attributes(value)
        parts = {name: self.carry(part, depth) for name, part in there.items()}
        if target is type(value) and all(parts[name] is there[name] for name in there):
            return value
        made = made_with(target, {name: parts[name] for name in other.taken if name in parts})
        for name, part in parts.items():
            gone = name in own.fields and name not in other.fields
            if not gone and getattr(made, name, UNDER_WAY) is not part:
                put_attribute(made, name, part)
        return made

    def _object(self, value: Any, made: Any, depth: int) -> Any:
        """Give an object, which was made without its `__init__`, the attributes of another."""
        self._made[id(value)] = value, made  # what it holds may hold it
        for name, part in self._layout(type(value)).attributes(value).items():
            put_attribute(made, name, self.carry(part, depth))
        return made

    def _looked_into(self, value: Any, depth: int) -> Any:
        """Return an object whose class stays: itself, unless one of its attributes does not."""
        there = self._layout(type(value)).attributes(value)
        if all(self.carry(part, depth) is part for part in there.values()):
            return value
        if id(value) in self._inner:
            raise RecursionError(f"{a_or_an(type(value).__name__)} holds itself")
        kind = type(value)
        made = kind() if kind is SimpleNamespace else object.__new__(kind)
        return self._object(value, made, depth)


def made_with(target: Any, parts: dict[str, Any]) -> Any:
    """Return an object of a class with these fields; of a NamedTuple without its `__new__`."""
    if not issubclass(target, tuple):
        return target(**parts)
    parts = target._field_defaults | parts if hasattr(target, "_field_defaults") else parts
    missing = [name for name in target._fields if name not in parts]
    if missing:
        raise TypeError(f"{target.__qualname__} has nothing for the field {missing[0]}")
    return tuple.__new__(target, [parts[name] for name in target._fields])


def member_of(value: Enum, target: Any) -> Any:
    """Return the member of an enum that has the name of one of another; of flags all of them.

    Raises:
        CodeRefused: another member becomes the same one; or flags have bits that are lost.
    """
    if target is type(value):
        return value
    if not isinstance(value, Flag):
        return named_as(value, target)
    nameless = value.value & ~reduce(or_, (one.value for one in value), 0)
    rest = target(nameless)
    if nameless and getattr(rest, "value", None) != nameless:
        raise CodeRefused(f"the flags {value!r} have bits that `{target.__qualname__}` has not")
    return reduce(or_, (named_as(one, target) for one in value), rest)


def named_as(value: Any, target: Any) -> Any:
    """Return the member of an enum that has the name of a member, and of no other one there."""
    made = target[value.name]
    if made.name != value.name:  # else it is another one that would become this
        for other in type(value):
            if other is not value and target.__members__.get(other.name) is made:
                kind = target.__qualname__
                raise CodeRefused(f"`{value.name}` and `{other.name}` of `{kind}` are one now")
    return made


def with_attributes(value: Any, target: type, classes: Classes) -> Any:
    """Return an object of another class with the attributes of this one."""
    carrier = Carrier({**classes, type(value): target})
    return carrier.carry(value)


class Layout:
    """What objects of a class hold."""

    def __init__(self, kind: type) -> None:
        self.taken, self.fields = fields_taken(kind), {*all_fields(kind)}
        self.is_record = bool(self.taken) or issubclass(kind, msgspec.Struct)
        self.named = tuple(dict.fromkeys((*all_fields(kind), *slots_of(kind))))
        parts = {name: part for base in kind.__mro__[::-1] for name, part in vars(base).items()}
        self.computed = {n for n, part in parts.items() if isinstance(part, cached_property)}

    def attributes(self, value: Any) -> dict[str, Any]:
        """Return fields, slots and other attributes of an object, but nothing computed once."""
        found = {name: getattr(value, name) for name in self.named if hasattr(value, name)}
        for name, part in getattr(value, "__dict__", found).items():
            if name not in self.computed:
                found.setdefault(name, part)
        return found


def put_attribute(made: Any, name: str, part: Any) -> None:
    """Have an object hold a part, whether it is frozen or not; leave out what has no place."""
    if isinstance(made, msgspec.Struct) and name in made.__struct_fields__:
        msgspec.structs.force_setattr(made, name, part)
    elif hasattr(made, "__dict__") and name not in slots_of(type(made)):
        vars(made)[name] = part
    elif name in slots_of(type(made)):
        object.__setattr__(made, name, part)


def slots_of(kind: type) -> list[str]:
    """Return the names of the slots of a class and its bases, as attributes are called."""
    found: list[str] = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            hidden = name.startswith("__") and not name.endswith("__")
            found.append(f"_{base.__name__.lstrip('_')}{name}" if hidden else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def is_open(kind: type) -> bool:
    """Return whether objects of a class are looked into: plain ones, of modules of users.

    The inside of a class of somebody else is not ours; what ends by `__del__` is there once.
    """
    if kind in OPEN:
        return True
    built_in = next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)
    return built_in is object and is_of_users(kind.__module__) and not hasattr(kind, "__del__")


def fields_taken(kind: type) -> tuple[str, ...]:
    """Return the fields that the constructor of a class takes; those of a NamedTuple."""
    if names_its_parts(kind):
        return tuple(kind._fields)  # type: ignore[attr-defined]  # it has them
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind) if field.init)
    return ()


def names_its_parts(kind: type) -> bool:
    """Return whether objects of a class are tuples whose parts have names."""
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def all_fields(kind: type) -> tuple[str, ...]:
    """Return the fields of a dataclass or a struct, whether its constructor takes them or not."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return fields_taken(kind)

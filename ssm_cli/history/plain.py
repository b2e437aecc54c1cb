"""Values read without asking them: what a value holds, found without running code of a user's.

Whoever asks about a state may be somebody on the network, and may ask a hundred thousand times. So
no property, descriptor, `__getattr__`, `__eq__`, `__hash__`, `__len__` or `__repr__` of a worker's
runs here. A class is looked at once (`Form`); then only slots, `__dict__`, and the methods of
Python's own containers are used. What cannot be read in this way is opaque: the same as itself, and
as nothing else.
"""

from __future__ import annotations

import gc
import math
from abc import ABCMeta
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum, EnumMeta
from functools import cached_property, lru_cache
from itertools import islice, repeat
from operator import is_
from types import (
    BuiltinFunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    SimpleNamespace,
)
from typing import Any, Generic, Literal, NamedTuple

import msgspec

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.kinds import STANDARD, standard
from ssm_cli.codec.words import quote
from ssm_cli.errors import writable

Sort = Literal["atom", "standard", "enum", "mapping", "sequence", "set", "record", "opaque"]
Read = Callable[[Any], Any]
Spend = Callable[[int], None]

ATOM_TYPES: Mapping[type, Read] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__bytes__,
}
"""How a value of these types, or of a class that inherits from them, becomes one of the type."""

KEYS = frozenset(map(id, ATOM_TYPES))
"""The types of keys that Python compares by itself, as ids: a class may hash as it likes."""

CONTAINERS: tuple[tuple[type, Sort], ...] = (
    (dict, "mapping"),
    (list, "sequence"),
    (tuple, "sequence"),
    (deque, "sequence"),
    (set, "set"),
    (frozenset, "set"),
)
METAS = (type, type(msgspec.Struct), EnumMeta, ABCMeta)
IS_STRUCT = type(msgspec.Struct)
MOST_FORMS = 4096  # classes that are kept
TIMES = frozenset({datetime, time})
KEYS_A_STEP = 64  # keys of types of Python's own that are passed over in the time of one step
MOST_NAMES = 1000  # of a value, among which one is sought that was meant
MOST_KEY_CHARACTERS = 200  # of a key that can be written
MOST_KEY_BITS = 1024
MOST_KEY_DEPTH = 4  # levels of tuples
TUPLE_FIELD: type = type(NamedTuple("Pair", [("one", int)]).__dict__["one"])

HEAP, IMMUTABLE, NO_INSTANCES = 1 << 9, 1 << 8, 1 << 7  # flags of CPython's classes
MRO: Any = vars(type)["__mro__"]
DICT: Any = vars(type)["__dict__"]
NAME: Any = vars(type)["__name__"]
FLAGS: Any = vars(type)["__flags__"]
INSIDE_NAMESPACE: Any = vars(SimpleNamespace)["__dict__"]
OF_EXCEPTIONS: Any = [vars(BaseException)[n] for n in ("args", "__cause__", "__dict__")]
FIELDS: Any = vars(IS_STRUCT)["__struct_fields__"]


class Form(NamedTuple):
    """What the instances of a class consist of, and how that is read.

    Attributes:
        sort: what can be done with them.
        base: the type of Python's own that they are, where they are one.
        order: the names of fields that the class declares, in order.
        slots: the slots of the class and its bases, by name.
        held: reads `__dict__`, where there is one.
        places: at which index the fields of a NamedTuple are.
        derived: names in `__dict__` that are computed from the others.
    """

    sort: Sort
    base: Any = object
    order: tuple[str, ...] = ()
    slots: Mapping[str, Read] = {}
    held: Read | None = None
    places: Mapping[str, int] = {}
    derived: frozenset[str] = frozenset()


class EnumName(msgspec.Struct, frozen=True):
    """The key of a mapping that is the member of an enum with that name."""

    name: str


def form_of(value: Any) -> Form:
    """Return the form of a value's class.

    >>> form_of({}).sort, form_of(1).sort, form_of(len).sort
    ('mapping', 'atom', 'opaque')
    """
    kind = type(value)
    meta = type(kind)
    if meta is type or any(meta is known for known in METAS):
        return _known(kind)  # type: ignore[arg-type]  # a class is hashable
    return _look_at(kind)  # a metaclass of the user's may hash its classes as it likes


@lru_cache(maxsize=MOST_FORMS)
def _known(kind: type) -> Form:
    return _look_at(kind)


def _look_at(kind: type) -> Form:
    bases: tuple[type, ...] = MRO.__get__(kind)
    spaces = [DICT.__get__(base) for base in bases]
    if issubclass(kind, Enum):
        return Form("enum", held=_dict_reader(spaces))
    sort, base = _sort_of(kind, bases, spaces)
    if sort in {"opaque", "standard"}:
        return Form(sort, base)
    return Form(
        sort,
        base,
        _declared(kind, spaces),
        {
            name: found.__get__
            for space in reversed(spaces)
            for name, found in space.items()
            if type(found) is MemberDescriptorType
        },
        _dict_reader(spaces),
        _places(kind, spaces),
        frozenset(n for space in spaces for n, v in space.items() if type(v) is cached_property),
    )


def _sort_of(kind: type, bases: Sequence[type], spaces: Sequence[Any]) -> tuple[Sort, type]:
    for base in ATOM_TYPES:
        if issubclass(kind, base) and base is not bool:
            return "atom", bool if kind is bool else base
    for base, sort in CONTAINERS:
        if issubclass(kind, base):
            return sort, base
    meta = type(kind)
    if (meta is type or meta is ABCMeta) and standard(kind):
        return "standard", kind
    bare = kind is not object and all(
        base is object or base is Generic or _is_bare(base, space)
        for base, space in zip(bases, spaces, strict=True)
    )
    return "record" if bare or issubclass(kind, msgspec.Struct) else "opaque", object


def _is_bare(base: type, space: Mapping[str, Any]) -> bool:
    """Whether a class is one of Python's code: instances of others hold what is unseen."""
    flags = FLAGS.__get__(base)
    made = type(space.get("__new__")) is BuiltinFunctionType
    return bool(flags & HEAP) and not flags & (IMMUTABLE | NO_INSTANCES) and not made


def _dict_reader(spaces: Sequence[Mapping[str, Any]]) -> Read | None:
    """Return what reads `__dict__` itself, and not what a class has put in its place."""
    for space in spaces:
        found = space.get("__dict__")
        if type(found) is GetSetDescriptorType:
            return found.__get__
    return None


def _declared(kind: type, spaces: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the fields that a class declares, in order."""
    if issubclass(kind, msgspec.Struct):
        return tuple(FIELDS.__get__(kind))
    if not any("__dataclass_fields__" in space or "__attrs_attrs__" in space for space in spaces):
        return ()
    for space in spaces:
        if type(named := space.get("__dataclass_fields__")) is dict:
            return tuple(name for name in named if type(name) is str)
        listed: Any = space.get("__attrs_attrs__", ())
        if listed and issubclass(type(listed), tuple):
            return tuple(one.name for one in tuple.__iter__(listed))
    return ()


def _places(kind: type, spaces: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    """Return the fields of a NamedTuple, each with its index."""
    if not issubclass(kind, tuple):
        return {}
    for space in spaces:
        named = space.get("_fields")
        if type(named) is tuple and all(type(space.get(n)) is TUPLE_FIELD for n in named):
            return {name: index for index, name in enumerate(named)}
    return {}


def inside(value: Any) -> tuple[Any, ...] | None:
    """Return what an exception or a `SimpleNamespace` holds; None of anything else.

    >>> inside(ValueError("no")), inside(SimpleNamespace(a=1)), inside(len)
    ((('no',), None, {}), ({'a': 1},), None)
    """
    kind = type(value)
    if issubclass(kind, SimpleNamespace):
        return (INSIDE_NAMESPACE.__get__(value),)
    if not issubclass(kind, BaseException):
        return None
    spaces = [DICT.__get__(base) for base in MRO.__get__(kind) if FLAGS.__get__(base) & HEAP]
    slots = (v for space in spaces for v in space.values() if type(v) is MemberDescriptorType)
    parts = [read.__get__(value) for read in OF_EXCEPTIONS]
    return (*parts, *(_slot(read.__get__, value) for read in slots))


def opened(value: Any) -> Any:
    """Return the mapping behind a read-only view of one, any other value as it is.

    >>> opened(MappingProxyType({"a": 1}))
    {'a': 1}
    """
    while type(value) is MappingProxyType:
        (value,) = gc.get_referents(value)
    return value


def fields(value: Any, form: Form) -> dict[str, Any]:
    """Return what an instance holds by name: declared fields first, then slots and attributes."""
    if form.sort == "enum":
        return dict(_enum_parts(value, form))
    found = {name: tuple.__getitem__(value, n) for name, n in form.places.items()}
    for name, read in form.slots.items():
        held = _slot(read, value)
        if held is not NOTHING:
            found[name] = held
    if form.held is not None:
        attributes = form.held(value)
        found |= {
            name: held
            for name, held in dict.items(attributes)
            if type(name) is str and name not in form.derived
        }
    if not form.order:
        return found
    first = {name: found[name] for name in form.order if name in found}
    return first | found


def _slot(read: Read, value: Any) -> Any:
    try:
        return read(value)
    except AttributeError:
        return NOTHING


def _enum_parts(value: Any, form: Form) -> Iterable[tuple[str, Any]]:
    held = {} if form.held is None else form.held(value)
    return (("name", held.get("_name_")), ("value", held.get("_value_")))


def free(_: int) -> None:
    """Count no work: what is looked at once may take its time."""


def named(value: Any, name: str, spend: Spend = free) -> Any:
    """Return the part that `.name` stands for, a field or else an entry; `NOTHING` without one.

    `spend` is told how much work a look into a mapping is, in steps.

    >>> named({"a": 1}, "a"), named(1, "real")
    (1, NOTHING)
    """
    if type(value) is dict:
        return _entry(value, name, spend)
    form = form_of(value)
    found = _field(value, form, name)
    if found is not NOTHING:
        return found
    if form.sort == "mapping":
        return _entry(value, name, spend)
    inside = opened(value)
    return NOTHING if inside is value else named(inside, name, spend)


def _field(value: Any, form: Form, name: str) -> Any:
    if form.sort == "enum":
        return dict(_enum_parts(value, form)).get(name, NOTHING)
    if (read := form.slots.get(name)) is not None:
        return _slot(read, value)
    if name in form.places:
        return tuple.__getitem__(value, form.places[name])
    if form.held is None or name in form.derived:
        return NOTHING
    return _entry(form.held(value), name, free)


def keyed(value: Any, key: Any, spend: Spend = free) -> Any:
    """Return the part that `[key]` stands for; `NOTHING` without one.

    It is an entry of a mapping, an element by its index, an element of a set by itself, or a field
    by its name. A text also finds a key that is shown as that text: an enum member, a date.

    >>> keyed({1: "x"}, 1), keyed(["a", "b"], -1), keyed({"a"}, "a"), keyed({}, 1)
    ('x', 'b', 'a', NOTHING)
    """
    value = opened(value)
    form = form_of(value)
    if form.sort in {"mapping", "set"}:
        return _entry(value, key, spend)
    if form.sort == "sequence" and type(key) is int:
        length = form.base.__len__(value)
        within = -length <= key < length
        return form.base.__getitem__(value, key) if within else NOTHING
    return _field(value, form, key) if type(key) is str else NOTHING


def _entry(value: Any, key: Any, spend: Spend) -> Any:
    """Return an entry of a mapping, or an element of a set, whose keys may be of any class."""
    base = dict if type(value) is dict else form_of(value).base
    kind, count = type(key), base.__len__(value)
    spend(count // KEYS_A_STEP)
    if all(map(is_, map(type, base.__iter__(value)), repeat(kind))) and id(kind) in KEYS:
        if base is dict:
            return dict.get(value, key, NOTHING)
        return key if base.__contains__(value, key) else NOTHING
    spend(count)
    wanted, near = spelled(key), NOTHING
    for one, held in entries(value):
        if id(type(one)) in KEYS and id(kind) in KEYS:
            if one == key:
                return held
        elif kind is str and form_of(one).sort in {"enum", "standard"}:
            near = held if near is NOTHING and label_of(one) == key else near
        elif wanted and spelled(one) == wanted:
            return held
    return near


def elements(value: Any) -> Iterable[Any]:
    """Return what a container holds, of a mapping its keys, in order; it must be one."""
    found: Iterable[Any] = form_of(value).base.__iter__(value)
    return found


def entries(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the keys of a mapping with their values, the elements of a set with themselves."""
    if form_of(value).base is dict:
        return dict.items(value)
    return ((one, one) for one in elements(value))


def size(value: Any) -> int:
    """Return how many elements a container holds; -1 of what is none.

    >>> size([1, 2]), size("ab"), size(1)
    (2, 2, -1)
    """
    form = form_of(value)
    if form.sort in {"mapping", "sequence", "set"} or form.base in {str, bytes}:
        length: int = form.base.__len__(value)
        return length
    return -1


def atom(value: Any) -> Any:
    """Return the number, text, bytes, truth value or None that a value is, of Python's own type.

    What is none of these is returned as it is.
    """
    if id(type(value)) in KEYS:
        return value
    form = form_of(value)
    return ATOM_TYPES[form.base](value) if form.sort == "atom" else value


def written_as(value: Any) -> Any:
    """Return what a value of the standard library is written as: a text, a tuple of others."""
    kind: Any = type(value)
    return STANDARD[standard(kind)].parts(value)


def label_of(value: Any) -> str:
    """Return the text that an enum member, a date, an id, a path or a decimal is shown as; or "".

    >>> from datetime import date
    >>> label_of(date(2026, 1, 31)), label_of(1)
    ('2026-01-31', '')
    """
    form = form_of(value)
    if form.sort == "enum":
        name = _field(value, form, "name")
        return name if type(name) is str else ""
    if form.sort != "standard":
        return ""
    zone = getattr(value, "tzinfo", None) if form.base in TIMES else None
    if zone is not None and form_of(zone).sort != "standard":
        value = value.replace(tzinfo=None)  # a zone of the user's would be asked for its offset
    if form.base in TIMES or form.base is date:
        return str(value.isoformat())
    try:
        return str(value)
    except ValueError:
        return ""  # a fraction of more digits than Python writes


def spelled(key: Any, depth: int = 0) -> str:
    """Return how a key is written in brackets, "" of one that cannot be written.

    >>> spelled("1726"), spelled(1726), spelled(("a", None)), spelled(float("inf")), spelled([])
    ('"1726"', '1726', '("a", None)', '', '')
    """
    form = form_of(key)
    if form.sort == "enum" or type(key) is EnumName:
        name = key.name if type(key) is EnumName else label_of(key)
        return name if name.isidentifier() else ""
    if form.sort == "standard":
        text = label_of(key)
        return quote(text) if text else ""
    if form.base is tuple and depth < MOST_KEY_DEPTH:
        words = [spelled(one, depth + 1) for one in elements(key)]
        return f"({', '.join(words)}{',' * (len(words) == 1)})" if all(words) else ""
    return _atom_spelled(atom(key)) if form.sort == "atom" else ""


def _atom_spelled(value: Any) -> str:
    match value:
        case str():
            plain = len(value) <= MOST_KEY_CHARACTERS and writable(value) == value
            return quote(value) if plain else ""
        case bytes():
            return repr(value) if len(value) <= MOST_KEY_CHARACTERS else ""
        case float():
            return repr(value) if math.isfinite(value) else ""
        case int() if value.bit_length() > MOST_KEY_BITS:
            return ""
        case _:
            return repr(value)


def name_of_class(kind: type) -> str:
    """Return the name of a class, whatever its metaclass says.

    >>> name_of_class(dict)
    'dict'
    """
    return str(NAME.__get__(kind))


def part_names(value: Any) -> list[str]:
    """Return the names of the parts that a value has, as they are written, at most `MOST_NAMES`."""
    value = opened(value)
    form = form_of(value)
    found = [*islice(fields(value, form), MOST_NAMES)] if form.sort != "atom" else []
    if form.sort in {"mapping", "set"}:
        keys = islice(elements(value), MOST_NAMES)
        found += [one if type(one) is str else spelled(one) for one in keys]
    return [name for name in found if name]

"""Which values of the standard library, and which classes, can be written and brought back exactly.

A value of the standard library is known by the name of its type and is made again by a function of
this table. A class of a program is known by the names of its fields; an instance is made without
running its `__init__`, but for `msgspec.Struct`, which has no other way.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property, lru_cache
from importlib import import_module
from itertools import takewhile
from types import MemberDescriptorType
from typing import Any, NamedTuple

import msgspec

BUILTINS = (int, float, complex, str, bytes, bytearray, list, dict, set, frozenset, BaseException)
FROM_FILE = re.compile(r"^ssm_file_[0-9a-f]{16}_")  # how `spec.modules` names what is no package's


class Parts(NamedTuple):
    """How values of one type of the standard library become plainer values, and come back."""

    parts: Callable[[Any], Any]
    make: Callable[[Any, Any], Any]


def _text(kind: Any, text: Any) -> Any:
    return kind(text)


def _spread(kind: Any, parts: Any) -> Any:
    return kind(*parts)


def _zone_key(zone: Any) -> str:
    if zone.key is None:
        raise ValueError(
            "a ZoneInfo without a key; make it by its name, as ZoneInfo('Europe/Oslo')"
        )
    return str(zone.key)


def _moment(kind: Any, parts: Any) -> Any:
    """A datetime or a time from its text, its fold and its zone."""
    text, fold, zone = parts
    return kind.fromisoformat(text).replace(fold=fold, tzinfo=zone)


def _moment_parts(value: Any) -> Any:
    return (value.replace(tzinfo=None, fold=0).isoformat(), value.fold, value.tzinfo)


def _fraction(kind: Any, parts: Any) -> Any:
    return kind(parts) if isinstance(parts, str) else kind(*parts)


def _fraction_parts(value: Any) -> Any:
    """Its text; where Python writes no text of numbers that long, the two of them."""
    try:
        return str(value)
    except ValueError:
        return (value.numerator, value.denominator)


_TEXT = Parts(str, _text)

STANDARD: dict[str, Parts] = {
    "builtins:complex": Parts(lambda v: (v.real, v.imag), _spread),
    "builtins:bytearray": Parts(bytes, _text),
    "builtins:range": Parts(lambda v: (v.start, v.stop, v.step), _spread),
    "datetime:date": Parts(lambda v: v.isoformat(), lambda kind, text: kind.fromisoformat(text)),
    "datetime:datetime": Parts(_moment_parts, _moment),
    "datetime:time": Parts(_moment_parts, _moment),
    "datetime:timedelta": Parts(lambda v: (v.days, v.seconds, v.microseconds), _spread),
    "datetime:timezone": Parts(lambda v: v.__getinitargs__(), _spread),
    "decimal:Decimal": _TEXT,
    "fractions:Fraction": Parts(_fraction_parts, _fraction),
    "uuid:UUID": Parts(lambda v: v.bytes, lambda kind, data: kind(bytes=data)),
    "zoneinfo:ZoneInfo": Parts(_zone_key, _text),
    "ssm_cli:Caller": Parts(lambda _: 0, lambda kind, number: kind(number, [])),
    **{
        f"pathlib:{name}": _TEXT
        for name in ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")
    },
    **{
        f"ipaddress:IPv{number}{what}": _TEXT
        for number in (4, 6)
        for what in ("Address", "Network", "Interface")
    },
}
"""By the name of the type; what `parts` gives is written in its place, and given to `make`.

Who waits for an answer (`Caller`) does not outlive the process: it comes back as nobody.
"""

FACTORIES = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "set",
     "str", "tuple"}
)  # fmt: skip


@lru_cache(maxsize=4096)
def standard(kind: type) -> str:
    """The name in `STANDARD` of a type; "" where it is none of these, but a namesake or a subclass.

    >>> import decimal
    >>> standard(decimal.Decimal), standard(list)
    ('decimal:Decimal', '')
    """
    module = kind.__module__.partition(".")[0]  # of a path it is `pathlib._local`, in Python 3.13
    name = f"{module}:{kind.__qualname__}"
    known = name in STANDARD and getattr(sys.modules.get(module), kind.__qualname__, None) is kind
    return name if known else ""


def standard_type(name: str) -> Any:
    """The type of a name in `STANDARD`."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


class Form(NamedTuple):
    """What an instance of a class is made of.

    Attributes:
        kind: the class.
        name: its lasting name.
        fields: the names of its fields, in order; none of an enum.
        make: makes an instance of the values of some of these fields.
        wary: code of the program has a hand in that, so that each value is to be looked at.
        hidden: slots of the class and its bases that hold no field.
    """

    kind: type
    name: str
    fields: tuple[str, ...]
    make: Callable[[type, Mapping[str, Any]], Any]
    wary: bool = False
    hidden: tuple[MemberDescriptorType, ...] = ()

    def flaw(self, value: Any) -> str:
        """What is wrong with an instance that would not be the same when it comes back; or ""."""
        if self.make is _joined and tuple.__len__(value) != len(self.fields):
            return f"it has {tuple.__len__(value)} elements, and {self.name} {len(self.fields)}"
        stray = self._stray(value)
        return f"it holds `{stray[0]}`, which is no field of {self.name}" if stray else ""

    def _stray(self, value: Any) -> list[str]:
        """What an instance holds besides its fields, and would not have when it comes back."""
        full = [slot.__name__ for slot in self.hidden if _holds(slot, value)]
        held = getattr(value, "__dict__", None)
        if full or not held or held.keys() <= set(self.fields):
            return full
        cached = {
            name
            for base in self.kind.__mro__
            for name, found in vars(base).items()
            if isinstance(found, cached_property)
        }
        return sorted(held.keys() - set(self.fields) - cached)

    def held(self, value: Any, field: str, absent: Any) -> Any:
        """The value of a field, as it is kept: what the class makes of it for readers is not it."""
        if self.wary and field in (kept := getattr(value, "__dict__", {})):
            return kept[field]
        try:
            return object.__getattribute__(value, field)
        except AttributeError:
            return absent


def _holds(slot: MemberDescriptorType, value: Any) -> bool:
    try:
        slot.__get__(value, type(value))
    except AttributeError:
        return False
    return True


def _bare(kind: type, values: Mapping[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _called(kind: type, values: Mapping[str, Any]) -> Any:
    return kind(**values)


def _joined(kind: Any, values: Mapping[str, Any]) -> Any:
    return tuple.__new__(kind, values.values())


def _member(kind: Any, values: Mapping[str, Any]) -> Any:
    return kind(values["value"])


@lru_cache(maxsize=4096)
def kept_form(kind: Any) -> Form | None:
    """The form of a class of a program; None of a class whose instances cannot be made again."""
    if issubclass(kind, Enum):
        return Form(kind, name_of(kind), (), _member)
    fields, make = _fields_of(kind)
    if fields is None or (make is _bare and not is_made_bare(kind)):
        return None
    found = [_found_in(kind, field) for field in fields]
    if make is _joined and not all(type(one) is _TUPLE_FIELD for one in found):
        return None
    wary = make is not _joined and any(_has_code(one) for one in found)
    if make is _called:
        wary = wary or hasattr(kind, "__post_init__") or type(kind) is not type(msgspec.Struct)
    return Form(kind, name_of(kind), fields, make, wary, _hidden(kind, fields))


def _fields_of(kind: Any) -> tuple[tuple[str, ...] | None, Any]:
    """The names of the fields of a class, None where it has none, and how an instance is made."""
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None), _joined
    if issubclass(kind, BUILTINS):
        return None, _bare
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__, _called
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind)), _bare
    held = vars(kind).get("__attrs_attrs__")
    return None if held is None else tuple(field.name for field in held), _bare


def is_made_bare(kind: type) -> bool:
    """Whether a class is one of Python's code alone: of others an instance holds what is unseen.

    >>> from collections import deque
    >>> is_made_bare(Parts), is_made_bare(deque), is_made_bare(type("A", (), {}))
    (False, False, True)
    """
    if getattr(kind, "__abstractmethods__", None):
        return all(map(is_made_bare, kind.__bases__))
    try:
        object.__new__(kind)
    except TypeError:
        return False
    return True


_TUPLE_FIELD: type = type(Parts.__dict__["make"])


def _found_in(kind: type, name: str) -> Any:
    """What a class has by that name, as it stands there."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def _has_code(found: Any) -> bool:
    """Whether an attribute of a class runs code when a field of its name is set."""
    return hasattr(type(found), "__set__") and type(found) is not MemberDescriptorType


def _hidden(kind: type, fields: tuple[str, ...]) -> tuple[MemberDescriptorType, ...]:
    """The slots of a class that hold no field; those that attrs makes for what it caches do not."""
    return tuple(
        slot
        for base in kind.__mro__
        if not {"__attrs_attrs__", "__getattr__"} <= vars(base).keys()
        for name, slot in vars(base).items()
        if type(slot) is MemberDescriptorType
        and (name not in fields or _found_in(kind, name) is not slot)
    )


def lasting(module: str) -> str:
    """The name of a module without what depends on the folder that a file of it lies in.

    A state is not to be lost because a tree was moved, or is started by its own file.

    >>> lasting("ssm_file_0123456789abcdef_bank"), lasting("shop.bank")
    ('bank', 'shop.bank')
    """
    if module == "__main__":
        main = sys.modules.get(module)
        spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:
            return str(spec.name).removesuffix(".__main__")
        return module if path is None else re.split(r"[/\\]", path)[-1].removesuffix(".py")
    return FROM_FILE.sub("", module)


def name_of(kind: Any) -> str:
    """The name that stands for a class in what is written, `module:Class`."""
    return f"{lasting(kind.__module__)}:{kind.__qualname__}"


def found(name: str, home: str = "") -> type | None:
    """The class of that name in a module that is loaded; None where there is none.

    Nothing is imported, and no code runs: what a file says is looked up, not carried out. Of
    modules that share a lasting name, `home` is the one, or that whose file lies nearest to it.
    """
    at = found_code(name, home, type)
    return at if isinstance(at, type) else None


def found_code(name: str, home: str = "", kind: Any = object) -> Any:
    """The class or function of that name, likewise; `kind` is what it has to be."""
    wanted, _, path = name.partition(":")
    modules = [module for module in [*sys.modules] if lasting(module) == wanted]
    if len(modules) > 1 and home in sys.modules:
        modules.sort(key=lambda module: -_nearness(module, home))
    for module in [home] if home in modules else modules:
        at: Any = sys.modules.get(module)
        for part in path.split("."):
            at = getattr(at, "__dict__", {}).get(part)
        if at is not None and isinstance(at, kind):
            return at
    return None


def _nearness(module: str, home: str) -> int:
    """How many letters the paths of two modules begin with in common."""
    files = [str(getattr(sys.modules.get(name), "__file__", "")) for name in (module, home)]
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*files, strict=False)))

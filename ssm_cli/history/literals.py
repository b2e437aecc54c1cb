"""Values as Python source: literals and constructors that make an equal value again."""

from __future__ import annotations

import dataclasses
import enum
import keyword
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from ssm_cli.behaviour.equality import equal
from ssm_cli.behaviour.results import Caller
from ssm_cli.errors import a_or_an
from ssm_cli.history.layout import Group, Pieces, Source, flat
from ssm_cli.history.shapes import MAPS, MOST_DEEP, fields_of, is_named_tuple, is_record

MOST_POSITIONAL = 3  # arguments without their names
PIECE = 60  # characters of a text, or bytes, in one line of a long one
MOST_DIGITS = 40  # of a number that is written in decimals
BASES = (str, bytes, int, float, tuple, list, dict, set, frozenset)
MISSING = object()

Name = Callable[[Any], str]
"""The text by which source names a class or function of a module; raises `Unwritable`."""


class Unwritable(Exception):
    """A value has no source: where it is in what was to be written, and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} {why}")


class Literals:
    """What writes values; `name` says what classes are called in the file that is written."""

    def __init__(self, name: Name) -> None:
        self._name = name

    def source(self, value: Any, where: str, deep: int = 0) -> Source:  # noqa: PLR0911 - one a kind
        """Return the source of a value. Raises `Unwritable`, with the path to what has none."""
        if deep > MOST_DEEP:
            raise Unwritable(where, "is too deep, or holds itself")
        kind: Any = type(value)
        plain = self._plain(kind, value)
        if plain is not None:
            return plain
        if isinstance(value, enum.Enum):
            return self._member(value, where)
        if kind in (list, tuple, set, frozenset, deque):
            return self._items(kind, value, where, deep)
        if kind in MAPS or kind is Counter:
            return self._map(kind, value, where, deep)
        if is_record(value):
            return self._record(value, where, deep)
        if kind is Caller:
            return Group(f"{self._name(Caller)}(", [("", "1"), ("", "[]")], ")")
        parts = constructor_parts(value)
        if parts is not None:
            return self._call(kind, parts, where, deep)
        if callable(value) and hasattr(value, "__qualname__"):
            return self._name(value)
        return self._of_base(value, where, deep)

    def _plain(self, kind: type, value: Any) -> Source | None:  # noqa: PLR0911 - one a kind
        """Return what is written without a name that has to be imported."""
        if value is None or value is Ellipsis or kind is bool:
            return repr(value)
        if kind is int:
            return int_source(value)
        if kind is float:
            return repr(value) if math.isfinite(value) else f'float("{value}")'
        if kind is str or kind is bytes:
            return text_source(value)
        if kind is complex:
            parts = [("", self._plain(float, part)) for part in (value.real, value.imag)]
            return Group("complex(", [(label, part or "") for label, part in parts], ")")
        if kind is bytearray:
            return Group("bytearray(", [("", text_source(bytes(value)))], ")")
        return repr(value) if kind is range else None

    def _member(self, value: enum.Enum, where: str) -> Source:
        kind = type(value)
        known = kind.__members__.get(value.name or "")
        if known is value and value.name.isidentifier() and not keyword.iskeyword(value.name):
            return f"{self._name(kind)}.{value.name}"
        return Group(f"{self._name(kind)}(", [("", self.source(value.value, where, 1))], ")")

    def _items(self, kind: type, value: Any, where: str, deep: int) -> Source:
        items = [("", self.source(one, f"{where}[{i}]", deep + 1)) for i, one in enumerate(value)]
        if kind is tuple:
            return Group("(", items, ")", ",")
        if kind is list:
            return Group("[", items, "]")
        if kind is deque:
            many: list[tuple[str, Source]] = [("", Group("[", items, "]"))]
            if value.maxlen is not None:
                many.append(("maxlen=", str(value.maxlen)))
            return Group(f"{self._name(deque)}(", many, ")")
        items.sort(key=str)
        inner = Group("{", items, "}")
        if kind is frozenset:
            return Group("frozenset(", [("", inner)] if items else [], ")")
        return inner if items else "set()"

    def _map(self, kind: type, value: Any, where: str, deep: int) -> Source:
        items: list[tuple[str, Source]] = []
        for key, part in value.items():
            place = f"{where}[{key_shown(key)}]"
            known = self.source(key, f"a key of {where}", deep + 1)
            inside = self.source(part, place, deep + 1)
            items.append((f"{flat(known)}: ", inside))
        inner = Group("{", items, "}")
        if kind is dict:
            return inner
        given: list[tuple[str, Source]] = [("", inner)] if items else []
        if kind is defaultdict:
            given.insert(0, ("", self.source(value.default_factory, f"the default of {where}", 1)))
        return Group(f"{self._name(kind)}(", given, ")")

    def _record(self, value: Any, where: str, deep: int) -> Source:
        kind = type(value)
        names = fields_of(value)
        held = {name: getattr(value, name, MISSING) for name in names}
        if any(part is MISSING for part in held.values()):
            raise Unwritable(where, f"lacks a field of {kind.__name__}")
        default, derived = defaults_of(value), derived_of(value)
        given = {
            n: p
            for n, p in held.items()
            if n not in derived and not is_default(p, default.get(n, MISSING))
        }
        taken = [name for name in names if name not in derived]
        first = taken[: len(given)] == list(given) and len(given) <= MOST_POSITIONAL
        if first and makes(kind, value, given, positional=True):
            keys = dict.fromkeys(given, "")
        elif makes(kind, value, given, positional=False):
            keys = {name: f"{name}=" for name in given}
        else:
            raise Unwritable(
                where, f"is {a_or_an(kind.__name__)} that its fields do not make again"
            )
        items = [(keys[n], self.source(p, f"{where}.{n}", deep + 1)) for n, p in given.items()]
        if any(keys.values()) and not all(is_name(n) for n in given):
            pairs = [
                (f"{flat(text_source(n))}: ", s) for n, (_, s) in zip(given, items, strict=True)
            ]
            items = [("**", Group("{", pairs, "}"))]
        return Group(f"{self._name(kind)}(", items, ")")

    def _call(self, kind: Any, parts: tuple[Any, ...], where: str, deep: int) -> Source:
        positional, named = parts
        items = [("", self.source(part, where, deep + 1)) for part in positional]
        items += [(f"{k}=", self.source(part, where, deep + 1)) for k, part in named.items()]
        return Group(f"{self._name(kind)}(", items, ")")

    def _of_base(self, value: Any, where: str, deep: int) -> Source:
        """Return the source of a value of a subclass of a builtin type that adds nothing to it."""
        kind = type(value)
        base = next((base for base in BASES if isinstance(value, base)), None)
        name = f"{kind.__module__}.{kind.__qualname__}"
        said = f"is {a_or_an(name)}, which cannot be written as Python source"
        if base is None or getattr(value, "__dict__", None):
            raise Unwritable(where, said)
        plain = base(value)
        if not makes_equal(kind, plain, value):
            raise Unwritable(where, said)
        return Group(f"{self._name(kind)}(", [("", self.source(plain, where, deep + 1))], ")")


def constructor_parts(  # noqa: PLR0911 - one a kind
    value: Any,
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return what a value of the standard library is made of; None if it is none of those known."""
    kind = type(value)
    if kind is Decimal or kind is UUID or isinstance(value, PurePath):
        return (str(value),), {}
    if kind is Fraction:
        return (value.numerator, value.denominator), {}
    if kind is date:
        return (value.year, value.month, value.day), {}
    if kind is timedelta:
        named = {n: getattr(value, n) for n in ("days", "seconds", "microseconds")}
        return (), {name: part for name, part in named.items() if part}
    if kind is datetime or kind is time:
        clock = [value.hour, value.minute, value.second, value.microsecond]
        while len(clock) > 2 and not clock[-1]:
            clock.pop()
        day = [value.year, value.month, value.day] if kind is datetime else []
        zone = {} if value.tzinfo is None else {"tzinfo": value.tzinfo}
        return (*day, *clock), {**zone, **({"fold": 1} if value.fold else {})}
    if kind is timezone:
        return (value.utcoffset(None),), {}
    return ((value.key,), {}) if kind is ZoneInfo and value.key else None


def int_source(value: int) -> Source:
    """Return the source of an int; of a very long one, in hexadecimal digits."""
    if abs(value) < 10**MOST_DIGITS:
        return str(value)
    digits = text_source(hex(value))
    return Group("int(", [("", digits), ("", "16")], ")")


def quoted(value: str | bytes) -> str:
    """Return a literal on one line, in double quotes unless that takes more escapes.

    >>> print(quoted("it's"), quoted('say "x"'), quoted(b"x"))
    "it's" 'say "x"' b"x"
    """
    known, quote = repr(value), '"' if isinstance(value, str) else b'"'
    begin = known.index(known[-1])
    if known[-1] == '"' or (quote in value and known.count('"') > known.count("\\'")):  # type: ignore[operator]  # of its type
        return known
    inside = known[begin + 1 : -1].replace("\\'", "'").replace('"', '\\"')
    return f'{known[:begin]}"{inside}"'


def text_source(value: str | bytes) -> Source:
    """Return the source of a text or bytes; a long one has pieces, each a literal."""
    pieces = [quoted(value[at : at + PIECE]) for at in range(0, len(value), PIECE)]
    return Pieces(quoted(value), pieces) if len(pieces) > 1 else quoted(value)


def key_shown(key: Any) -> str:
    """Return a key as a path shows it."""
    return repr(key) if type(key) in (str, int, bytes, bool) else f"{a_or_an(type(key).__name__)}"


def is_name(name: str) -> bool:
    """Return whether a text can be the name of an argument."""
    return name.isidentifier() and not keyword.iskeyword(name)


def is_default(value: Any, default: Any) -> bool:
    """Return whether a field holds what it would hold anyway."""
    return default is value or (type(default) is type(value) and equal(default, value))


def defaults_of(record: Any) -> dict[str, Any]:
    """Return the defaults of the fields of a record that have one; those of factories made anew."""
    kind = type(record)
    if is_named_tuple(record):
        return dict(kind._field_defaults)
    if issubclass(kind, msgspec.Struct):
        fields: Any = [(f.name, f.default, f.default_factory) for f in msgspec.structs.fields(kind)]
        none: Any = msgspec.NODEFAULT
    else:
        fields = [(f.name, f.default, f.default_factory) for f in dataclasses.fields(kind)]
        none = dataclasses.MISSING
    made = {name: factory() for name, _, factory in fields if factory is not none}
    return {**made, **{name: default for name, default, _ in fields if default is not none}}


def derived_of(record: Any) -> set[str]:
    """Return the fields of a record that its class makes by itself, and does not take."""
    fields = dataclasses.fields(record) if dataclasses.is_dataclass(record) else ()
    return {field.name for field in fields if not field.init}


def makes(kind: Any, value: Any, given: dict[str, Any], *, positional: bool) -> bool:
    """Return whether a class makes an equal record of some of its fields."""
    try:
        made = kind(*given.values()) if positional else kind(**given)
        parts = [(getattr(made, name), getattr(value, name)) for name in fields_of(value)]
    except Exception:  # noqa: BLE001 - the class is the user's, and may raise anything
        return False
    return all(one is other or is_default(one, other) for one, other in parts)


def makes_equal(kind: Any, plain: Any, value: Any) -> bool:
    """Return whether a class makes an equal value of a plain one."""
    try:
        return is_default(kind(plain), value)
    except Exception:  # noqa: BLE001 - the class is the user's, and may raise anything
        return False

"""States of every kind of class, and classes whose every method is a trap."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import msgspec

T = TypeVar("T")


class Trapped(BaseException):
    """Code of the user's ran."""


def _trap(*_: object, **__: object) -> NoReturn:
    raise Trapped


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    NONE = 0
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Hold(msgspec.Struct, frozen=True):
    who: str
    count: int = 1


@dataclass
class Account:
    name: str
    held: dict[str, int] = field(default_factory=dict)
    total = 7  # of the class: no data of an instance

    @property
    def worth(self) -> int:
        raise Trapped

    @cached_property
    def doubled(self) -> int:
        return 2


@dataclass(frozen=True, slots=True)
class Key:
    bank: str
    number: int


class Pair(NamedTuple):
    left: Any
    right: Any


class Bare:
    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any) -> None:
        self.a = a  # and `b` is never set


class Boxed(Generic[T]):
    def __init__(self, inside: T) -> None:
        self.inside = inside


class Beside(dict[str, int]):
    """A dict that has an attribute with the name of a key."""


TRAPS = (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__", "__len__", "__iter__",
    "__contains__", "__getitem__", "__getattr__", "__getattribute__", "__repr__", "__str__",
    "__hash__", "__format__", "__int__", "__float__", "__index__", "__abs__", "__add__",
    "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__mod__", "__neg__",
    "__reduce_ex__", "__sizeof__", "__dir__", "__instancecheck__", "__subclasscheck__", "__get__",
    "__call__",
)  # fmt: skip


class Metaclass(type):
    """A metaclass whose classes cannot be hashed, compared, or asked for anything."""

    __eq__ = __hash__ = __getattribute__ = __instancecheck__ = __subclasscheck__ = _trap


def trapped(*bases: type, **parts: Any) -> Any:
    """An instance of a class in which every method is a trap, but for its `__init__`."""
    space: dict[str, Any] = dict.fromkeys(TRAPS, _trap)
    space["__class__"] = property(_trap)
    kind = type("Trap", bases, space)
    made = kind.__new__(kind, *parts.pop("given", ()))
    for name, value in parts.items():
        object.__setattr__(made, name, value)
    return made


def trapped_metaclass(**parts: Any) -> Any:
    kind: Any = Metaclass("Odd", (), {})
    made: Any = object.__new__(kind)
    made.__dict__.update(parts)
    return made


class Zone(tzinfo):
    utcoffset = dst = tzname = _trap


STATE: Any = Account("a", {"acc16": 11300, "from": 2, "a b": 3})
BANK: dict[Any, Any] = {
    "held": {"acc16": 11300},
    "holds": {"1726": Hold("acc16", 3), "from": 1, "é": 2, 'a"b\n': 4},
    "numbers": {1726: "n", 1.5: "f", True: "t", None: "x", b"k": "b", (1, "a"): "tuple"},
    "colours": {Colour.RED: 1, Colour.BLUE: 2},
    "days": {date(2026, 1, 31): "last", Decimal("1.50"): "price"},
    "items": ["a", "b", ["c"]],
    "tags": {"x", "y"},
    "queue": deque([1, 2, 3]),
    "pair": Pair(1, {"z": 2}),
    "bare": Bare(x=1, _hidden=2),
    "slotted": Slotted(5),
    "boxed": Boxed("in"),
    "view": MappingProxyType({"k": "v"}),
    "colour": Colour.BLUE,
    "account": STATE,
    "at": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),  # noqa: UP017 - what users write
}

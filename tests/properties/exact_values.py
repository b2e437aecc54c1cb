"""Types and values of all kinds that a state may hold, and a text that tells any two apart."""

from __future__ import annotations

import datetime as dt
import enum
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import strategies as st

T = TypeVar("T")


class Suit(enum.Enum):
    HEARTS = "h"
    SPADES = ("s", 2)


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**40


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


class Point(NamedTuple):
    x: Any
    y: Any = None


@dataclass
class Open:
    parts: Any
    count: Any = 0
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shut:
    why: Any


@dataclass(frozen=True)
class Box(Generic[T]):
    held: T


class Row(msgspec.Struct):
    key: Any
    value: Any = None


class Leaf(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    n: Any


ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.sampled_from(["Europe/Oslo", "America/New_York", "UTC"]).map(ZoneInfo),
    st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m))),
    st.just(dt.timezone(dt.timedelta(hours=2), "summer")),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**63, 2**64, -(2**63) - 1, 2**200]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0]),
    st.complex_numbers(),
    st.text(max_size=5),
    st.sampled_from(["\ud800", "a\x00b", ""]),
    st.binary(max_size=5),
    st.binary(max_size=3).map(bytearray),
    st.decimals(),
    st.sampled_from([Decimal("1.10"), Decimal("1.1"), Decimal("-0"), Decimal("sNaN")]),
    st.fractions(),
    st.uuids(),
    st.datetimes(timezones=ZONES),
    st.datetimes().map(lambda moment: moment.replace(fold=1)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    ZONES,
    st.sampled_from([Path("/a/b"), PurePosixPath("x"), PureWindowsPath("c:/x"), Path()]),
    st.sampled_from([IPv4Address("10.0.0.1"), IPv6Network("::/64")]),
    st.sampled_from([*Suit, *Word, *Level, *Right, *Bits, Right(0), Bits(3), Right(3)]),
    st.sampled_from([range(3), range(0, 10, 2)]),
)
FACTORIES = st.sampled_from([None, int, list, dict, str, Counter, Open])


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.one_of(
        st.integers(), st.text(max_size=3), st.booleans(), st.none(), st.floats(allow_nan=False),
        st.tuples(st.integers(), st.text(max_size=2)), st.sampled_from([*Suit, Shut(1), Point(1)]),
    )  # fmt: skip
    lists = st.lists(inner, max_size=3)
    dicts = st.dictionaries(keys, inner, max_size=3)
    return st.one_of(
        lists,
        lists.map(tuple),
        st.sets(keys, max_size=3),
        st.frozensets(keys, max_size=3),
        dicts,
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        dicts.map(OrderedDict),
        st.dictionaries(keys, st.integers(), max_size=3).map(Counter),
        st.builds(defaultdict, FACTORIES, dicts),
        st.builds(deque, lists, st.none() | st.integers(3, 5)),
        st.builds(Point, inner, inner),
        st.builds(Open, inner, inner),
        st.builds(Shut, inner),
        st.builds(Box, inner),
        st.builds(Row, inner, inner),
        st.builds(Leaf, n=inner),
    )


VALUES = st.recursive(LEAVES, _nested, max_leaves=6)


def described(value: Any) -> str:  # noqa: C901, PLR0911 - a case for each kind of value
    """All that there is to tell of a value: its type, its parts in order, and their types."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    match value:
        case enum.Enum():
            return f"{kind}.{value.name}={described(value.value)}"
        case float():
            return f"{kind} {value.hex()}"
        case complex():
            return f"{kind} {value.real.hex()} {value.imag.hex()}"
        case set() | frozenset():
            return f"{kind} {sorted(map(described, value))}"
        case dict():
            extra = described(value.default_factory) if isinstance(value, defaultdict) else ""
            pairs = [f"{described(key)}: {described(held)}" for key, held in value.items()]
            return f"{kind} {extra} {pairs}"
        case deque():
            return f"{kind} {value.maxlen} {[*map(described, value)]}"
        case list() | tuple():
            return f"{kind} {[*map(described, value)]}"
        case dt.datetime() | dt.time():
            return f"{kind} {value.isoformat()} {value.fold} {described(value.tzinfo)}"
        case msgspec.Struct():
            return f"{kind} {[described(getattr(value, f)) for f in value.__struct_fields__]}"
        case Open() | Shut() | Box():
            return f"{kind} {[described(getattr(value, f.name)) for f in fields(value)]}"
    return f"{kind} {value!r}"


def main() -> None:
    """Read values that another process wrote, one a line in hexadecimal, and describe them."""
    from ssm_cli.codec.classes import Classes  # noqa: PLC0415 - in the fresh process alone
    from ssm_cli.codec.exact import read  # noqa: PLC0415 - the same

    for line in sys.stdin:
        print(ascii(described(read(bytes.fromhex(line), Classes()))))


__all__ = ["LEAVES", "UUID", "VALUES", "Fraction", "described", "main"]

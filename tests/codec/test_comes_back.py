"""What is written comes back as it is; what would not is refused where it is written."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import pytest

from ssm_cli.codec.classes import Classes, Inexact
from ssm_cli.codec.exact import canonical, read, read_plain, write


class Slotted:
    __slots__ = ("cache",)


@dataclass(slots=True)
class OverSlots(Slotted):
    x: int = 0


@dataclass
class OverBoth(Slotted):
    x: int = 0


@dataclass(slots=True)
class Again(OverSlots):
    y: int = 0


class Clamped(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        self.n = max(self.n, 0)


class Strict(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("negative")


class Counting(msgspec.Struct):
    names: list[str]

    def __post_init__(self) -> None:
        self.names.append("again")


class Open(msgspec.Struct):
    parts: list[Any]

    def __post_init__(self) -> None:
        pass


class Filled(msgspec.Struct):
    n: int = 5


class Positive:
    """A descriptor that keeps its value in the `__dict__` of its owner, and none below 0."""

    def __get__(self, one: Any, kind: Any = None) -> Any:
        return 0 if one is None else max(0, vars(one)["n"])

    def __set__(self, one: Any, value: int) -> None:
        vars(one)["n"] = max(0, value)


@dataclass
class Described:
    n: Any = Positive()


@dataclass(eq=False)
class ById:
    n: int


class Odd(enum.Enum):
    IDENTITY = ById(1)
    NAN = float("nan")
    INSIDE = (1, float("nan"))


class Sound(enum.Enum):
    TEXT = "a"
    PAIR = (1, 2)
    LIST = [1]  # noqa: RUF012 - values that cannot be hashed are looked for in turn


@dataclass
class Queue(deque[int]):
    x: int = 0


class Pair(NamedTuple):
    a: int
    b: int


class Doubled(Pair):
    __slots__ = ()

    @property
    def a(self) -> int:
        return max(0, self[0])


@dataclass(unsafe_hash=True)
class Key:
    n: int


class Shape(ABC):
    @abstractmethod
    def area(self) -> int: ...


@dataclass
class Square(Shape):
    side: int

    def area(self) -> int:
        return self.side**2


def changed(made: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def without(made: Any, field: str) -> Any:
    delattr(made, field)
    return made


def same_keys(make: Callable[[list[Key]], Any]) -> Any:
    keys = [Key(1), Key(2)]
    made = make(keys)
    keys[1].n = 1
    return made


def raw(made: Any, **fields: Any) -> Any:
    vars(made).update(fields)
    return made


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "slot of a base": (lambda: changed(OverSlots(1), cache=7), "holds `cache`"),
    "slot beside a dict": (lambda: changed(OverBoth(1), cache=7), "holds `cache`"),
    "slot of a base of a base": (lambda: changed(Again(1), cache=7), "holds `cache`"),
    "post_init changes": (lambda: changed(Clamped(1), n=-1), "Clamped is another one"),
    "post_init refuses": (lambda: changed(Strict(1), n=-1), "a .*Strict cannot be made of it"),
    "post_init in place": (lambda: Counting(["x"]), "Counting is another one"),
    "a default for nothing": (lambda: without(Filled(1), "n"), "Filled is another one"),
    "a descriptor": (lambda: raw(Described(1), n=-1), "Described is another one"),
    "enum by identity": (lambda: Odd.IDENTITY, "Odd.IDENTITY cannot be kept: a copy"),
    "enum of NaN": (lambda: Odd.NAN, "Odd.NAN cannot be kept"),
    "enum of NaN inside": (lambda: Odd.INSIDE, "Odd.INSIDE cannot be kept"),
    "deque with fields": (lambda: Queue(3), "as it is a subclass of deque; keep a deque"),
    "a property over a tuple": (lambda: Doubled(-1, 2), "a subclass of tuple"),
    "a tuple too long": (lambda: tuple.__new__(Pair, (1, 2, 3)), "has 3 elements, and .*Pair 2"),
    "a tuple too short": (lambda: tuple.__new__(Pair, (1,)), "has 1 elements, and .*Pair 2"),
    "keys that became one": (lambda: same_keys(dict.fromkeys), "1 of its keys .* were changed"),
    "elements that became one": (lambda: same_keys(set), "1 of its keys or elements"),
    "ordered keys": (lambda: same_keys(OrderedDict.fromkeys), "1 of its keys or elements"),
}
WAYS = pytest.mark.parametrize("way", [write, canonical])


@WAYS
@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_come_back_is_refused_by_name_and_place(
    make: Callable[[], Any], why: str, way: Any
) -> None:
    with pytest.raises(Inexact, match=why) as caught:
        way({"held": [0, make()]}, Classes())
    assert caught.value.path == "['held'][1]"


@WAYS
def test_of_records_in_records_the_one_that_changes_is_named(way: Any) -> None:
    inner = changed(Clamped(1), n=-1)
    with pytest.raises(Inexact, match="Clamped") as caught:
        way([Strict(1), Open([Strict(2), inner])], Classes())
    assert caught.value.path == "[1].parts[1]"


def test_looking_at_a_value_does_not_change_it() -> None:
    value = Counting(["x"])
    names = [*value.names]
    with pytest.raises(Inexact):
        write(value, Classes())
    assert value.names == names


@pytest.mark.parametrize(
    "value",
    [
        OverSlots(1), Again(1, 2), Clamped(3), Strict(4), Filled(6), Pair(1, 2), Square(3),
        Described(4), [Sound.TEXT, Sound.PAIR, Sound.LIST], {Key(1): 1, Key(2): 2},
        changed(Clamped(1), n=2**70), [Strict(n) for n in range(50)], {float("inf"): Clamped(1)},
    ],
    ids=repr,
)  # fmt: skip
def test_what_comes_back_is_taken_as_before(value: Any) -> None:
    again = read(write(value, Classes()), Classes())
    assert type(again) is type(value)
    assert again == value
    assert canonical(again, Classes()) == canonical(value, Classes())


@pytest.mark.parametrize(
    "value",
    [
        Fraction(10**5000, 3), Fraction(3, 10**5000), Fraction(-(10**4300), 7),
        Decimal("1" * 6000), Decimal("1E+999999"), [{10**5000: Fraction(1, 10**9000)}],
    ],
    ids=["above", "below", "minus", "digits", "exponent", "inside"],
)  # fmt: skip
def test_numbers_have_no_limit_of_digits(value: Any) -> None:
    again = read(write(value, Classes()), Classes())
    assert again == value
    assert canonical(again, Classes()) == canonical(value, Classes())


def test_a_fraction_that_python_writes_is_written_as_it_was() -> None:
    assert b"1/3" in write(Fraction(1, 3), Classes())


@WAYS
def test_a_key_that_cannot_be_shown_still_names_the_place(way: Any) -> None:
    with pytest.raises(Inexact, match="cannot be kept") as caught:
        way({10**5000: object()}, Classes())
    assert "int that cannot be shown" in caught.value.path


class Bed(enum.Enum):
    SINGLE = 1
    SIDE = "1"


def test_without_its_class_a_member_of_an_enum_is_no_other_key() -> None:
    classes = Classes()
    value = {1: "one", Bed.SINGLE: "member", "1": "text", Bed.SIDE: "side", "x": {1, Bed.SINGLE}}
    told = {1: "one", "SINGLE": "member", "1": "text", "SIDE": "side", "x": {1, "SINGLE"}}
    assert read_plain(write(value, classes)) == told
    alone = write({Bed.SINGLE: Bed.SINGLE}, classes)
    assert (read_plain(alone), read_plain(alone, named=True)) == ({1: 1}, {"SINGLE": 1})
    both = write({1: 0, Bed.SINGLE: 1, "SINGLE": 2}, classes)
    assert read_plain(both) == {1: 0, "Bed.SINGLE": 1, "SINGLE": 2}

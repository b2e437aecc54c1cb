"""Carrying what inherits from Python's own types, or stands for an object of the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli.history.carrying import carried, classes_of
from tests.history.test_carrying import forgotten, loads_of

__all__ = ["forgotten"]

HEAD = """
import collections
from types import MappingProxyType
from functools import partial
from typing import NamedTuple
@dataclass(frozen=True)
class P:
    x: int = 0
"""
Held = Callable[[Any], object]
HELD: dict[str, tuple[str, str, Held]] = {
    "dict": ("dict", "a=P(1)", lambda s: s["a"]),
    "OrderedDict": ("collections.OrderedDict", "a=P(1)", lambda s: s["a"]),
    "defaultdict": ("collections.defaultdict", "P, {1: P(1)}", lambda s: (s[1], s[7])),
    "Counter": ("collections.Counter", "[P(1), P(1)]", lambda s: [*s.items()]),
    "list": ("list", "[P(1), 2]", lambda s: s[:]),
    "set": ("set", "[P(1)]", lambda s: [*s]),
    "frozenset": ("frozenset", "[P(1)]", lambda s: [*s]),
    "deque": ("collections.deque", "[P(1), 2, 3], 2", lambda s: ([*s], s.maxlen)),
    "tuple": ("tuple", "(P(1), 2)", lambda s: s[:]),
    "str": ("str", "'x'", str),
    "int": ("int", "5", int),
    "float": ("float", "1.5", float),
    "complex": ("complex", "1j", complex),
    "bytes": ("bytes", "b'x'", bytes),
    "Exception": ("Exception", "'no', P(1)", lambda s: s.args),
    "OSError": ("OSError", "2, 'no'", lambda s: (s.errno, s.strerror)),
}


@pytest.mark.parametrize("what", HELD)
def test_what_inherits_from_a_type_of_python_holds_what_it_held(what: str) -> None:
    base, given, held = HELD[what]
    text = f"class S({base}):\n    pass\nmade = S({given})\nmade.note = P(3)"
    here, there = loads_of(HEAD + text)
    made = carried(here.made, classes_of(here, there))
    assert type(made) is there.S
    assert held(made) == held(there.made)
    assert made.note == there.P(3)


def test_a_dict_of_a_class_of_the_module_may_hold_itself() -> None:
    here, there = loads_of(HEAD + "class S(dict):\n    pass\nmade = S()\nmade['me'] = made")
    made = carried(here.made, classes_of(here, there))
    assert type(made) is there.S
    assert made["me"] is made


def test_an_exception_goes_along_with_its_cause_and_what_its_init_has_made() -> None:
    text = (
        "class E(Exception):\n    def __init__(self, a, b):\n        super().__init__(a)\n"
        "        self.b = b\n"
        "made = E(1, P(2))\nmade.__cause__ = ValueError(P(3))"
    )
    here, there = loads_of(HEAD + text)
    made = carried(here.made, classes_of(here, there))
    assert (type(made), made.args, made.b) == (there.E, (1,), there.P(2))
    assert made.__cause__.args == (there.P(3),)


def test_a_class_that_inherits_from_something_else_now_is_told() -> None:
    here, _ = loads_of("class S(dict):\n    pass\nmade = S()")
    there, _ = loads_of("class S(list):\n    pass")
    with pytest.raises(TypeError, match="S is no dict, as it was"):
        carried(here.made, {here.S: there.S})


NAMED = "class N(NamedTuple):\n    low: int\n    high: int = 7\nmade = N(1, 9)"
OTHERS: list[tuple[str, dict[str, int]]] = [
    ("    high: int\n    low: int", {"high": 9, "low": 1}),
    ("    name: int = 0\n    low: int = 0\n    high: int = 0", {"name": 0, "low": 1, "high": 9}),
    ("    low: int", {"low": 1}),
]


@pytest.mark.parametrize("row", OTHERS, ids=[" ".join(row[1]) for row in OTHERS])
def test_a_named_tuple_is_carried_by_the_names_of_its_fields(
    row: tuple[str, dict[str, int]],
) -> None:
    here, _ = loads_of(HEAD + NAMED)
    there, _ = loads_of(HEAD + f"class N(NamedTuple):\n{row[0]}")
    made = carried(here.made, {here.N: there.N})
    assert type(made) is there.N
    assert made._asdict() == row[1]


def test_a_named_tuple_with_a_new_field_without_a_default_is_told() -> None:
    here, _ = loads_of(HEAD + NAMED)
    there, _ = loads_of(HEAD + "class N(NamedTuple):\n    more: int")
    with pytest.raises(TypeError, match="N has nothing for the field more"):
        carried(here.made, {here.N: there.N})


STANDING: dict[str, tuple[str, Held]] = {
    "a partial of a function": ("partial(f, P(1))", lambda s: (s(), s.func.__globals__["f"])),
    "a bound method": ("S(P(1)).held", lambda s: s()),
    "a method of a class": ("S.made", lambda s: s()),
    "a ChainMap": ("collections.ChainMap({'a': P(1)})", lambda s: s["a"]),
    "a UserDict": ("collections.UserDict(a=P(1))", lambda s: s["a"]),
    "a view of a dict": ("MappingProxyType({'a': P(1)})", lambda s: s["a"]),
    "an exception of Python": ("ValueError(P(1))", lambda s: s.args[0]),
}


@pytest.mark.parametrize("what", STANDING)
def test_what_stands_for_an_object_of_the_module_stands_for_the_new_one(what: str) -> None:
    made, held = STANDING[what]
    text = (
        "def f(one):\n    return one\n"
        "class S:\n    def __init__(self, x): self.x = x\n    def held(self): return self.x\n"
        "    @classmethod\n    def made(cls): return cls(P(1)).x\n"
        f"made = {made}"
    )
    here, there = loads_of(HEAD + text)
    found = held(carried(here.made, classes_of(here, there)))
    first = found[0] if isinstance(found, tuple) else found
    assert type(first) is there.P
    if isinstance(found, tuple):
        assert found[1] is there.f

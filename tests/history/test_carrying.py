"""Carrying: a value between two loads of a module keeps all that it knows, and what is one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ssm_cli.history.carrying import carried, classes_of

HEAD = """
from __future__ import annotations
from collections import defaultdict
from dataclasses import InitVar, dataclass, field
from enum import Flag
from functools import cached_property
from typing import Any
import msgspec
"""
KNOWN: dict[str, tuple[str, Callable[[Any], object]]] = {
    # what a state is, and what is known of it
    "a field that __init__ does not take": (
        (
            "@dataclass\nclass S:\n    a: int\n    total: int = field(init=False, default=0)\n"
            "made = S(1)\nmade.total = 55"
        ),
        lambda s: (s.a, s.total),
    ),
    "a frozen one": (
        (
            "@dataclass(frozen=True, slots=True)\nclass S:\n    a: int\n"
            "    total: int = field(init=False, default=0)\n"
            "made = S(1)\nobject.__setattr__(made, 'total', 55)"
        ),
        lambda s: (s.a, s.total),
    ),
    "what __init__ is given, and no field": (
        (
            "@dataclass\nclass S:\n    a: int\n    k: InitVar[int] = 3\n"
            "    b: int = field(init=False)\n    def __post_init__(self, k): self.b = k\n"
            "made = S(1, 9)"
        ),
        lambda s: (s.a, s.b),
    ),
    "what __post_init__ counts": (
        (
            "@dataclass\nclass S:\n    n: int = 0\n    def __post_init__(self): self.n += 1\n"
            "made = S()"
        ),
        lambda s: s.n,
    ),
    "what a struct counts": (
        (
            "class S(msgspec.Struct, frozen=True):\n    n: int = 0\n    def __post_init__(self):\n"
            "        msgspec.structs.force_setattr(self, 'n', self.n + 1)\nmade = S()"
        ),
        lambda s: s.n,
    ),
    "an attribute beside the fields": (
        "@dataclass\nclass S:\n    a: int\nmade = S(1)\nmade.more = 55",
        lambda s: (s.a, s.more),
    ),
    "an attribute beside those of a struct": (
        "class S(msgspec.Struct, dict=True):\n    a: int\nmade = S(1)\nmade.more = 55",
        lambda s: (s.a, s.more),
    ),
    "a slot whose name is hidden": (
        (
            "class S:\n    __slots__ = ('__x', 'y')\n    def __init__(self):\n"
            "        self.__x = 5\n        self.y = 6\n"
            "    def x(self): return self.__x\nmade = S()"
        ),
        lambda s: (s.x(), s.y),
    ),
    "flags": (
        "class F(Flag):\n    A = 1\n    B = 2\nmade = [F.A | F.B, F.B, F(0)]",
        lambda s: [one.value for one in s],
    ),
    "one object in two fields": (
        (
            "@dataclass\nclass A:\n    n: int\n@dataclass\nclass S:\n    a: A\n    by_name: dict\n"
            "one = A(1)\nmade = S(one, {'x': one})"
        ),
        lambda s: s.a is s.by_name["x"],
    ),
    "one list in two places": (
        "@dataclass\nclass A:\n    n: int\nboth = [A(1)]\nmade = {'x': both, 'y': both}",
        lambda s: s["x"] is s["y"],
    ),
    "objects that know each other": (
        (
            "class S:\n    pass\nmade = S()\nmade.children = [S(), S()]\n"
            "for one in made.children: one.above = made"
        ),
        lambda s: all(one.above is s for one in s.children),
    ),
}
numbers = count()


def loads_of(text: str) -> tuple[ModuleType, ModuleType]:
    """Return two loads of one module."""
    name, found = f"carried_{next(numbers)}", []
    for _ in range(2):
        module = ModuleType(name)
        sys.modules[name] = module
        exec(compile(HEAD + text, name, "exec", dont_inherit=True), vars(module))  # noqa: S102 - of this file
        found.append(module)
    return found[0], found[1]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("carried_")]:
        del sys.modules[name]


def classes_in(value: Any) -> set[type]:
    """Return the classes of the objects that a value holds, but those of lists and dicts."""
    found, todo, seen = set[type](), [value], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, list | dict):
            todo += [*one.values()] if isinstance(one, dict) else one
        elif type(one).__module__.startswith("carried_"):
            found.add(type(one))
            todo += [*getattr(one, "__dict__", {}).values()]
    return found


@pytest.mark.parametrize("what", KNOWN)
def test_what_is_known_of_a_state_goes_along(what: str) -> None:
    text, known = KNOWN[what]
    here, there = loads_of(text)
    made = carried(here.made, classes_of(here, there))
    assert known(made) == known(here.made)
    assert classes_in(made) == classes_in(there.made)


def test_what_is_computed_once_is_computed_anew() -> None:
    text = (
        "@dataclass(frozen=True)\nclass S:\n    a: int\n    @cached_property\n"
        "    def b(self): return self.a + ADDED\nADDED = 1\nmade = S(1)\nmade.b"
    )
    here, there = loads_of(text)
    vars(there)["ADDED"] = 100
    assert carried(here.made, classes_of(here, there)).b == 101


def test_a_field_that_is_gone_is_left_out_and_a_new_one_has_its_default() -> None:
    text = "@dataclass\nclass S:\n    a: int\n    b: int = 2\nmade = S(1)"
    here, _ = loads_of(text)
    _, there = loads_of("@dataclass\nclass S:\n    a: int\n    c: int = 3")
    made = carried(here.made, {here.S: there.S})
    assert vars(made) == {"a": 1, "c": 3}


def test_a_function_of_the_module_is_that_of_the_other_load() -> None:
    here, there = loads_of("def f(): pass\nclass A: pass\nmade = {'do': f, 'kind': A}")
    made = carried(here.made, classes_of(here, there))
    assert made == {"do": there.f, "kind": there.A}


class Plain:
    """A class of somebody's other module, which is not loaded anew."""

    def __init__(self, held: Any) -> None:
        self.held = held


@dataclass
class Whole:
    """The same, as a dataclass."""

    held: Any


@pytest.mark.parametrize("kind", [Plain, Whole, lambda held: SimpleNamespace(held=held)])
def test_an_object_of_another_module_holds_what_is_carried(kind: Callable[[Any], Any]) -> None:
    here, there = loads_of("class A: pass")
    before = kind([here.A()])
    made = carried(before, classes_of(here, there))
    assert (type(made), type(made.held[0])) == (type(before), there.A)
    assert type(before.held[0]) is here.A


def test_an_object_that_holds_nothing_of_the_module_stays() -> None:
    here, there = loads_of("class A: pass")
    one = Plain([1])
    one.held.append(Plain(one))
    assert carried(one, classes_of(here, there)) is one


class Ends(Plain):
    """What ends by itself."""

    def __del__(self) -> None:
        """There is one of it."""


@pytest.mark.parametrize("kind", [Ends, type("Kinds", (list,), {})])
def test_what_can_be_there_but_once_stays(kind: Callable[[Any], Any]) -> None:
    here, there = loads_of("class A: pass")
    one = kind([here.A()])
    assert carried(one, classes_of(here, there)) is one


def test_what_holds_itself_and_cannot_is_told() -> None:
    here, there = loads_of("@dataclass\nclass A:\n    up: Any = None\nmade = A()\nmade.up = made")
    with pytest.raises(RecursionError, match="an A holds itself"):
        carried(here.made, classes_of(here, there))

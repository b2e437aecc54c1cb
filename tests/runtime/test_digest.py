"""Digests: states that go on differently have two; what the code of a state does stays in it."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, StateMachine, Supervisor, SystemClock, Worker
from ssm_cli.runtime.engine.digest import sum_of
from ssm_cli.spec.model import SupervisorSpec


class Has:
    def __init__(self, k: Any) -> None:
        self.k = k

    def m(self) -> Any:
        return self.k


class Slots:
    __slots__ = ("k",)

    def __init__(self, k: Any) -> None:
        self.k = k


class Bag(dict[str, int]):
    limit = 0


class Row(list[int]):
    pass


class Made:
    """Copied from what its items are, and by which function it is made."""

    def __init__(self, how: Any, items: list[int]) -> None:
        self._how, self._items = how, items

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._how, (), None, iter(self._items)


def with_limit(made: Any, limit: int) -> Any:
    made.limit = limit
    return made


def moved() -> OrderedDict[str, int]:
    made = OrderedDict(a=1, b=2)
    made.move_to_end("a")
    return made


MORNING = dt.datetime.fromisoformat("2020-01-01")
PAIRS: dict[str, tuple[Any, Any]] = {
    "order of an OrderedDict": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "moved in an OrderedDict": (OrderedDict(a=1, b=2), moved()),
    "factory of a defaultdict": (defaultdict(int), defaultdict(list)),
    "fold of a datetime": (MORNING, MORNING.replace(fold=1)),
    "fold of a time": (dt.time(1), dt.time(1, fold=1)),
    "object of a method": (Has(1).m, Has(2).m),
    "object of a method of C": ([1].append, [2].append),
    "a method in a partial": (partial(Has(1).m), partial(Has(2).m)),
    "attributes of a dict": (with_limit(Bag(), 1), with_limit(Bag(), 2)),
    "attributes of a list": (with_limit(Row(), 1), with_limit(Row(), 2)),
    "slots": (Slots(1), Slots(2)),
    "what is appended": (Made(list, [1]), Made(list, [2])),
    "what makes it": (Made(list, [1]), Made(deque, [1])),
    "a memoryview": (memoryview(b"a"), memoryview(b"b")),
    "modules": (sys, time),
    "room of a deque": (deque([1], 1), deque([1], 2)),
    "a mapping of Python's": (UserDict(a=1), UserDict(a=2)),
    "a view of a mapping": (MappingProxyType({"a": 1}), MappingProxyType({"a": 2})),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_what_goes_on_differently_has_another_digest(one: Any, other: Any) -> None:
    assert sum_of(one) == sum_of(one) != sum_of(other) == sum_of(other)


def test_the_order_of_other_mappings_does_not_count() -> None:
    kinds: list[Any] = [dict, Counter, Bag, partial(defaultdict, int), MappingProxyType, UserDict]
    for kind in kinds:
        one, other = kind({"a": 1, "b": 2}), kind({"b": 2, "a": 1})
        assert sum_of(one) == sum_of(other)


class Leaves:
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise SystemExit(3)


class NeverAsked:
    def __getattr__(self, name: str) -> Any:
        raise KeyboardInterrupt


class Lies:
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class Closed(dict[str, int]):
    def items(self) -> Any:
        raise ValueError("no")

    def __iter__(self) -> Any:
        raise SystemExit


class Shut(list[int]):
    def __iter__(self) -> Iterator[int]:
        raise SystemExit


class Unshown(UserDict[str, int]):
    def items(self) -> Any:
        raise SystemExit


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__module__"):
            raise SystemExit
        return super().__getattribute__(name)


def named() -> Any:
    return Meta("Named", (), {})


class Unhashed:
    def __init__(self) -> None:
        self.dead = False

    def __hash__(self) -> int:
        if self.dead:
            raise SystemExit
        return 1


def unhashed() -> Any:
    key = Unhashed()
    made = OrderedDict({key: 1})
    key.dead = True
    return made


class Endless:
    def __reduce_ex__(self, protocol: Any) -> Any:
        while True:
            pass


def tree_of(state: Any, **options: Any) -> SupervisorSpec:
    machine = StateMachine(step=lambda _m, s: (s, "ok"), init=lambda _n, _a: state)
    return Supervisor("root", children=[Worker("w", machine, **options)])


HOSTILE: dict[str, Callable[[], Any]] = {
    "leaves": Leaves,
    "never asked": NeverAsked,
    "lies": Lies,
    "a dict": lambda: Closed(a=1),
    "a list": lambda: Shut([1]),
    "a mapping": lambda: Unshown(a=1),
    "a class": named,
    "of a class": named(),
    "hash": unhashed,
    "a module": lambda: ModuleType("m"),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_what_the_code_of_a_state_raises_stays_there(make: Callable[[], Any]) -> None:
    state = make()
    with Node(tree_of({"held": [state]}), clock=ManualClock()) as node:
        assert node.digest() == node.digest()
        with node.fork() as other:
            assert other.digest() == node.digest()


def test_a_container_that_cannot_be_asked_counts_by_what_it_holds() -> None:
    assert sum_of(Closed(a=1)) != sum_of(Closed(a=2))
    assert sum_of(Shut([1])) != sum_of(Shut([2]))


def test_a_state_whose_code_does_not_end_is_cut_at_the_limit_of_a_step() -> None:
    state: list[Any] = []
    with Node(tree_of(state, step_timeout=50), clock=SystemClock()) as node:
        state.append(Endless())
        assert len(node.digest()) == 16
        assert node.call("w", 1) == "ok"


@pytest.mark.parametrize(
    "wrong", [{"copy": "x"}, {"copy": None}, {"copy": ["deep"]}, {"guard": "no"}, {"guard": 1},
              {"clock": 5}],
    ids=repr,
)  # fmt: skip
def test_a_fork_refuses_what_is_no_argument_of_it(wrong: Any) -> None:
    name, value = next(iter(wrong.items()))
    with Node(tree_of(0), clock=ManualClock()) as node:
        with pytest.raises((TypeError, ValueError), match=name) as caught:
            node.fork(**wrong)
        assert repr(value) in str(caught.value)
        assert "expected" in str(caught.value)
        assert node.call("w", 1) == "ok"

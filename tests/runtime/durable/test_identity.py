"""A state outlives its process as it was, type by type, or is refused by name."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import math
import socket
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    Cast,
    NoReply,
    StartFailed,
    StartTimer,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.runtime.durable.code import digest_of, lasting_name
from tests.runtime.durable.parts import World, tree, worker


class Mode(enum.StrEnum):
    ON = "on"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: int
    right: str | None = None


@dataclasses.dataclass(frozen=True)
class Idle:
    since: int = 0


@dataclasses.dataclass(frozen=True)
class Busy:
    since: int = 0
    parts: tuple[Any, ...] = ()


class Money(msgspec.Struct, frozen=True):
    amount: float


class Put(msgspec.Struct, frozen=True):
    """The worker's next state, which its codec could not write."""

    value: Any


class Look(TypedDict):
    at: int


def put(message: Put, state: Any) -> tuple[Any, Any]:
    return message.value, None


putter = StateMachine(step=put, init=lambda _name, args: args["first"], inputs=Put)
ZONED = dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Oslo"), fold=1)
SAMPLES: dict[str, Any] = {
    "int for float": 0,
    "minus zero": -0.0,
    "nan": math.nan,
    "bool for int": True,
    "large int": 2**70,
    "complex": 1 - 2j,
    "bytearray": bytearray(b"x"),
    "zone": ZONED,
    "utc": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "offset": dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    "timedelta": dt.timedelta(days=-1, microseconds=3),
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=7),
    "path": Path("/srv/data"),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "counter": collections.Counter("aab"),
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    "deque": collections.deque([1, 2], maxlen=3),
    "named tuple": Pair(1),
    "tuple in list": [(1, [2, (3,)])],
    "int keys": {1: "one", 2: {3: "three"}},
    "mixed keys": {1: "a", "1": "b", (2, 3): "c", None: "d"},
    "sets": {"a": {1, 2}, "b": frozenset({("x", 1)})},
    "str enum": Mode.ON,
    "flags": Right.READ | Right.WRITE,
    "union": Busy(1, (Idle(2), Mode.ON)),
    "half a pair": "\ud800",
}


def same_as(value: Any) -> Any:
    """A text that tells types apart, and NaN from nothing."""
    if isinstance(value, collections.defaultdict):
        return repr((value.default_factory, dict(value)))
    return repr((type(value), value, getattr(value, "fold", None)))


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_state_is_back_as_it_was_after_an_orderly_stop(persist: str, name: str) -> None:
    world = World(tree(worker("a", putter, args={"first": SAMPLES[name]}, persist=persist)))
    world.restart()
    assert same_as(world.seen()) == same_as(SAMPLES[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_state_is_back_as_it_was_after_kill(name: str) -> None:
    world = World(tree(worker("a", putter, args={"first": None})))
    world.node.call("a", Put(1))
    world.node.call("a", Put(SAMPLES[name]))
    world.crash()
    assert world.events("down") == []
    assert same_as(world.seen()) == same_as(SAMPLES[name])


# -- equal, and not the same -----------------------------------------------------------------------


def add(message: str, total: float) -> tuple[float, float]:
    return total + len(message), total


def deposit(message: Money, seen: tuple[Any, ...]) -> Any:
    if len(seen) > 1:
        return (*seen, message.amount), None
    effects = [Cast(None, Money(3)), StartTimer("t", 0, Money(4))] if not seen else []
    return (*seen, message.amount), None, effects


def test_an_int_in_the_place_of_a_float_goes_on_after_kill() -> None:
    world = World(tree(worker("a", StateMachine(step=add, init=lambda _name, _args: 0))))
    world.node.call("a", b"xyz")
    world.crash()
    assert same_as(world.seen()) == same_as(3)


def test_an_int_in_a_field_of_a_call_a_cast_and_a_timer_is_one_when_it_is_stepped_again() -> None:
    machine = StateMachine(step=deposit, init=lambda _name, _args: (), inputs=Money)
    world = World(tree(worker("a", machine)))
    world.node.call("a", Money(2))
    world.node.run()
    before = world.peek()
    assert same_as(before[:2]) == same_as((2, 3))
    world.crash()
    assert world.events("down") == []
    assert same_as(world.seen()) == same_as(before)


class Raw:
    """A codec of a program's own, whose inputs may begin with any byte."""

    def decode(self, data: bytes) -> bytes:
        return data

    def encode(self, value: Any) -> bytes:
        return value if isinstance(value, bytes) else b""


@pytest.mark.parametrize("data", [b"\xc1\x02\x92", b"\xc1\x00", b"\xc1", b""])
def test_inputs_of_another_codec_are_never_taken_for_ours(data: bytes) -> None:
    def keep(message: bytes, seen: list[bytes]) -> tuple[list[bytes], bytes]:
        return [*seen, message], message

    machine = StateMachine(step=keep, init=lambda _name, _args: [], codec=Raw())
    world = World(tree(worker("a", machine)))
    world.node.call("a", data)
    world.node.call("a", data, request_id="r")
    world.crash()
    assert same_as(world.seen()) == same_as([data, data])


# -- refused ---------------------------------------------------------------------------------------


class MyDict(dict[str, int]):
    pass


def local() -> Any:
    @dataclasses.dataclass
    class Hidden:
        n: int = 0

    return Hidden()


def gone() -> Any:
    kind = dataclasses.make_dataclass("Gone", ["n"])
    kind.__module__ = "no.such.module"
    return kind(1)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an object": (object, r"state: a builtins:object cannot be kept"),
    "in a list": (lambda: [1, {"conn": [object()]}], r"state\[1\]\['conn'\]\[0\]: a builtins:obj"),
    "in a field": (lambda: Busy(1, (object(),)), r"state\.parts\[0\]: a builtins:object"),
    "a subclass": (lambda: {"m": MyDict()}, r"state\['m'\]: .*:MyDict .* subclass of dict; keep a"),
    "a lambda": (lambda: collections.defaultdict(lambda: 1), r"default_factory .*lambda.*a type"),
    "a local class": (local, r"Hidden cannot be kept: a later process does not find this class"),
    "a class that is not there": (gone, r"Gone cannot be kept: a later process"),
    "a function": (lambda: print, r"state: a builtins:builtin_function_or_method cannot be kept"),
    "an error": (lambda: ValueError("x"), r"state: a builtins:ValueError cannot be kept"),
}


def endless() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


REFUSED["itself"] = (endless, r"nested deeper than 200 levels, or holds itself")


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_value_that_would_not_come_back_crashes_the_input_that_made_it(
    persist: str, name: str
) -> None:
    def bring(message: str, state: Any) -> tuple[Any, str]:
        return (REFUSED[name][0]() if message == "bad" else [*state, message]), "ok"

    machine = StateMachine(step=bring, init=lambda _name, _args: [])
    world = World(tree(worker("a", machine, persist=persist)))
    world.node.call("a", b"good")
    with pytest.raises(CalleeCrashed, match=f"the state of a cannot outlive.*{REFUSED[name][1]}"):
        world.node.call("a", b"bad")
    world.node.call("a", b"again")
    world.restart()
    assert list(map(str, world.seen())) == ["good", "again"]


@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_a_first_state_that_would_not_come_back_is_a_failed_start(persist: str) -> None:
    spec = tree(worker("a", putter, args={"first": [object()]}, persist=persist))
    with pytest.raises(StartFailed, match=r"the state of a cannot outlive.*state\[0\]"):
        World(spec)


@dataclasses.dataclass
class Holder:
    name: str
    conn: dict[str, list[socket.socket]]


@dataclasses.dataclass
class Perhaps:
    conn: socket.socket | None = None


class Protocolled(GenServer):
    state = Holder

    def handle_cast(self, message: Any, state: Any) -> NoReply:
        return NoReply(state)


def test_a_type_that_cannot_be_kept_is_refused_at_the_start_by_worker_and_path() -> None:
    with pytest.raises(StorageError, match=r"state of a .*: state\.conn\[\.\.\.\].* socket:socket"):
        World(tree(worker("a", Protocolled)))


def test_a_field_that_may_be_none_is_looked_at_as_it_is() -> None:
    def take(message: str, state: Perhaps) -> tuple[Perhaps, str]:
        return state, "ok"

    world = World(tree(worker("a", StateMachine(step=take, init=lambda _n, _a: Perhaps()))))
    world.node.call("a", b"x")
    world.crash()
    assert same_as(world.seen()) == same_as(Perhaps())


def test_a_typed_dict_and_a_mapping_are_kept() -> None:
    def take(message: str, state: Mapping[str, Look]) -> tuple[Mapping[str, Look], str]:
        return {**state, message: {"at": len(state)}}, "ok"

    world = World(tree(worker("a", StateMachine(step=take, init=lambda _n, _a: {}))))
    world.node.call("a", b"x")
    world.crash()
    assert same_as(world.seen()) == same_as({"x": {"at": 0}})


# -- names of code ---------------------------------------------------------------------------------


class Called:
    def __call__(self, message: str, state: int) -> tuple[int, int]:
        return state + 1, state

    def step(self, message: str, state: int) -> tuple[int, int]:
        return state + 1, state


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (functools.partial(add), "add"),
        (functools.partial(functools.partial(add)), "add"),
        (Called(), "Called"),
        (Called().step, "Called.step"),
        (lambda message, state: (state, message), "<lambda>"),
    ],
)
def test_no_name_of_code_holds_an_address(step: Any, name: str) -> None:
    assert lasting_name(step) == f"{__name__}:{name}"
    assert "0x" not in digest_of(step)
    spec = Supervisor("root", children=[Worker("a", StateMachine(step=step), persist="journal")])
    World(spec).restart(spec)

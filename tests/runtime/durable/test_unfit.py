"""What no record can carry fails the step that asks for it; what comes back is what was there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any, ClassVar

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    CalleeStopped,
    Cast,
    GenServer,
    ManualClock,
    MemoryStore,
    Node,
    NoProc,
    NoReply,
    Ok,
    Persist,
    Reply,
    StartFailed,
    StartTimer,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.effects import Exit
from ssm_cli.behaviour.results import Exited, Stop, TimeoutAfter
from ssm_cli.runtime.durable.records import Note, check_record
from ssm_cli.storage.memory import MemoryStore as Store
from tests.ids import stable

Step = Callable[[Any, Any], Any]


class Key(str):
    __slots__ = ()


class Whole(int):
    pass


class Part(float):
    pass


class Name(StrEnum):
    K = "k"


class Ms(IntEnum):
    FIVE = 5


ODD_KEYS = ["caf\udce9", "\ud800", object(), 2**70, 5, 1.5, None, b"k", ("a", 1)]
ODD_TIMES = [10**30, 2**64, Whole(10**30)]
SUBCLASSES = [(Key("k"), Whole(5)), (Name.K, Part(5.0)), ("k", Ms.FIVE)]
ODD_TEXTS = ["\ud800", "caf\udce9", "ok \udfff" * 3]


def plain(_message: Any, state: int) -> tuple[int, str]:
    return state + 1, str(state + 1)


class Code:
    """A step that can become another one, as after a new version of the code."""

    def __init__(self, step: Step) -> None:
        self.now = step

    def __call__(self, message: Any, state: Any) -> Any:
        return self.now(message, state) if message == "odd" else plain(message, state)


def node_of(
    store: Store | None, step: Step, clock: ManualClock | None = None, **options: Any
) -> Node:
    """A journalled worker `a` with that step, and a plain neighbour `o`."""
    kept: dict[str, Any] = {} if store is None else {"persist": Persist.JOURNAL}
    machine = StateMachine(step=step, init=lambda _n, _a: 0)
    other = StateMachine(step=plain, init=lambda _n, _a: 0)
    children = [
        Worker("a", machine, on_crash="last_good", **kept, **options),
        Worker("o", other, **kept),
    ]
    tree = Supervisor("root", children=children, intensity=100)
    return Node(tree, store=store, clock=clock or ManualClock()).start()


def goes_on(node: Node, store: Store, code: Code | None = None) -> None:
    """Nothing is lost, in this process and in the next one."""
    assert node.call("a", "x") == "2"
    assert node.call("o", "x") == "1"
    again = node_of(store, code or Code(plain))
    assert again.call("a", "x") == "3"


@pytest.mark.parametrize("key", ODD_KEYS, ids=stable)
def test_a_timer_key_that_no_record_carries_is_a_bad_return_value(key: Any) -> None:
    store = MemoryStore()
    node = node_of(store, Code(lambda _m, s: (s + 1, "ok", [StartTimer(key, 60_000, "tick")])))
    node.call("a", "x")
    with pytest.raises(CalleeCrashed, match="cannot be recorded; expected a str") as crash:
        node.call("a", "odd")
    assert crash.value.reason == "bad_return_value"
    goes_on(node, store)


@pytest.mark.parametrize("ms", ODD_TIMES, ids=repr)
def test_a_time_that_no_record_carries_is_a_bad_return_value(ms: Any) -> None:
    store = MemoryStore()
    node = node_of(store, Code(lambda _m, s: (s + 1, "ok", [StartTimer("k", ms, "tick")])))
    node.call("a", "x")
    with pytest.raises(CalleeCrashed, match=r"StartTimer lasts .* cannot be recorded") as crash:
        node.call("a", "odd")
    assert crash.value.reason == "bad_return_value"
    goes_on(node, store)


class Waits(GenServer):
    state: ClassVar[Any] = int

    ms: ClassVar[Any] = 5

    def init(self, _name: str, args: Any) -> Ok:
        return Ok(0, then=TimeoutAfter(self.ms) if args else None)

    def handle_call(self, message: Any, _caller: Any, state: int) -> Any:
        then = TimeoutAfter(self.ms) if message == "odd" else None
        return Reply("ok", state + 1, then=then)


@pytest.mark.parametrize("ms", ODD_TIMES, ids=repr)
def test_so_is_a_time_out_in_a_callback_and_a_failed_start_in_init(ms: Any) -> None:
    Waits.ms = ms

    def tree(args: Any) -> Any:
        child = Worker("a", Waits, args=args, persist="journal", on_crash="saved")
        return Supervisor("root", children=[child], intensity=9)

    store = MemoryStore()
    with Node(tree({}), store=store, clock=ManualClock()) as node:
        with pytest.raises(CalleeCrashed, match="TimeoutAfter lasts"):
            node.call("a", "odd")
        assert node.call("a", "x") == "ok"
        assert node.get_state("a") == 1
    with pytest.raises(StartFailed, match="TimeoutAfter lasts"):
        Node(tree({"odd": 1}), store=MemoryStore(), clock=ManualClock()).start()


@pytest.mark.parametrize(("key", "ms"), SUBCLASSES, ids=repr)
def test_a_key_and_a_time_of_a_subclass_count_as_what_they_are(key: Any, ms: Any) -> None:
    store = MemoryStore()
    code = Code(lambda _m, s: (s + 1, "ok", [StartTimer(key, ms, "tick")]))
    assert node_of(store, code).call("a", "odd") == "ok"  # and its process is lost
    clock = ManualClock()
    node = node_of(store, code, clock)
    node._world.outside.keeper._turns.save_all(node._world.outside.keeper)
    clock.advance_s(1)
    node.run()
    assert node.get_state("a") == 2
    assert node_of(store, code).call("a", "x") == "3"


class Sleeps(Waits):
    """Goes on after a time-out of a subclass."""

    def handle_info(self, _message: Any, state: int) -> Any:
        return NoReply(state + 10)


@pytest.mark.parametrize("ms", [Whole(5), Part(5.0), Ms.FIVE], ids=repr)
def test_so_does_a_time_out(ms: Any) -> None:
    Sleeps.ms, store, clock = ms, MemoryStore(), ManualClock()
    child = Worker("a", Sleeps, persist="journal", on_crash="saved")
    tree = Supervisor("root", children=[child])
    assert Node(tree, store=store, clock=ManualClock()).start().call("a", "odd") == "ok"
    with Node(tree, store=store, clock=clock) as node:
        clock.advance_s(1)
        node.run()
        assert node.get_state("a") == 11
    with Node(tree, store=store, clock=clock) as node:
        assert node.get_state("a") == 11


@pytest.mark.parametrize("ms", [10**400, True], ids=["beyond all floats", "a bool"])
@pytest.mark.parametrize("durable", [True, False])
def test_a_time_that_is_none_is_refused_at_the_step(durable: bool, ms: Any) -> None:
    store = MemoryStore() if durable else None
    node = node_of(store, Code(lambda _m, s: (s, "ok", [StartTimer("k", ms, "t")])))
    with pytest.raises(CalleeCrashed, match="no effect that can be carried out"):
        node.call("a", "odd")
    assert node.call("o", "x") == "1"


@pytest.mark.parametrize("odd", [StartTimer("\ud800", 5, "t"), StartTimer("k", 10**30, "t")])
def test_where_new_code_asks_for_it_that_worker_is_down_and_the_others_run(odd: Any) -> None:
    store, code = MemoryStore(), Code(plain)
    node_of(store, code).call("a", "odd")
    code.now = lambda _m, s: (s + 1, str(s + 1), [odd])
    node = node_of(store, code)
    with pytest.raises(NoProc, match=r"\(raises\): record \d+: .*cannot be recorded"):
        node.call("a", "x")
    assert node.call("o", "x") == "1"
    code.now = plain
    assert node_of(store, code).call("a", "x") == "2"


def failing(error: BaseException) -> Step:
    def step(_message: Any, _state: Any) -> Any:
        raise error

    return step


ODD_ENDS: list[tuple[str, Callable[[str], Step]]] = [
    ("error", lambda text: failing(ValueError(text))),
    ("key error", lambda text: failing(KeyError(text))),
    ("odd error", lambda text: failing(type("Odd", (Exception,), {"__str__": lambda _s: text})())),
    ("exited", lambda text: failing(Exited(text))),
    ("exit", lambda text: lambda _m, s: (s, "ok", [Exit(text)])),
    ("cast", lambda text: lambda _m, s: (s, "ok", [Cast(text, "x")])),
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=stable)
@pytest.mark.parametrize("end", [make for _, make in ODD_ENDS], ids=[name for name, _ in ODD_ENDS])
def test_a_text_with_lone_surrogates_is_written_as_escapes(
    end: Callable[[str], Step], text: str
) -> None:
    store = MemoryStore()
    code = Code(end(text))
    node = node_of(store, code)
    node.call("a", "x")
    try:
        node.call("a", "odd")
    except (CalleeCrashed, CalleeStopped) as error:
        str(error).encode()
    goes_on(node, store, code)
    msgspec.json.encode([report.detail for report in node.reports()])
    for report in node.crash_reports():
        report.error_message.encode()


class Stops(GenServer):
    def handle_call(self, message: Any, _caller: Any, state: Any) -> Any:
        return Stop(message, state, reply="ok")


@pytest.mark.parametrize("text", ODD_TEXTS, ids=stable)
def test_so_is_the_reason_of_a_stop(text: str) -> None:
    child = Worker("a", Stops, persist="journal", on_crash="saved")
    tree = Supervisor("root", children=[child], intensity=9)
    with Node(tree, store=MemoryStore(), clock=ManualClock()) as node:
        assert node.call("a", text) == "ok"
        assert node.call("a", "shutdown") == "ok"


def test_a_record_that_cannot_be_written_is_refused_and_leaves_nothing_behind() -> None:
    store = MemoryStore()
    node = node_of(store, plain)
    keeper = node._world.outside.keeper
    with pytest.raises(StorageError, match=r"a record of .*cannot be written"):
        keeper.add(Note("\ud800", 0.0, "restarting", "x"))
    assert node.call("a", "x") == "1"
    assert node.call("o", "x") == "1"


@pytest.mark.parametrize("child", ["\ud800", 2**70, b"x", object()], ids=stable)
def test_a_record_is_read_again_before_it_counts_as_one(child: Any) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        check_record(Note("root", 0.0, "restarting", child))


# -- stepped again ---------------------------------------------------------------------------------


class Own(BaseException):
    pass


ENDS = [asyncio.CancelledError(), GeneratorExit(), Own("x"), SystemExit(3), StopIteration()]


@pytest.mark.parametrize("error", ENDS, ids=repr)
def test_whatever_new_code_raises_for_an_old_input_hurts_its_worker_alone(
    error: BaseException,
) -> None:
    store, code = MemoryStore(), Code(plain)
    node_of(store, code).call("a", "odd")
    code.now = failing(error)
    node = node_of(store, code)
    with pytest.raises(NoProc, match=r"\(raises\): record \d+: its code raises"):
        node.call("a", "x")
    assert node.call("o", "x") == "1"


@pytest.mark.parametrize("error", ENDS, ids=repr)
def test_so_does_whatever_migrate_raises(error: BaseException) -> None:
    def machine(**parts: Any) -> Any:
        kept = StateMachine(step=plain, init=lambda _n, _a: 0, **parts)
        other = StateMachine(step=plain, init=lambda _n, _a: 0)
        children = [Worker("a", kept, persist="journal"), Worker("o", other)]
        return Supervisor("root", children=children)

    store = MemoryStore()
    with Node(machine(), store=store, clock=ManualClock()) as node:
        node.call("a", "x")
    new = machine(version="2", migrate=failing(error))
    with Node(new, store=store, clock=ManualClock()) as node:
        with pytest.raises(NoProc, match="migrate"):
            node.call("a", "x")
        assert node.call("o", "x") == "1"


def test_ctrl_c_in_a_step_that_is_stepped_again_goes_on() -> None:
    store, code = MemoryStore(), Code(plain)
    node_of(store, code).call("a", "odd")
    code.now = failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        node_of(store, code)


@pytest.mark.parametrize("swallows", [False, True])
def test_a_step_that_overruns_its_limit_again_hurts_its_worker_alone(
    swallows: bool,
) -> None:
    store, code, clock = MemoryStore(), Code(plain), ManualClock()
    node_of(store, code).call("a", "odd")

    class Hangs(Exception):
        def __str__(self) -> str:
            clock.sleep_s(60)
            return "never"

    def hang(_message: Any, state: int) -> Any:
        if swallows:
            raise Hangs
        clock.sleep_s(60)
        return state + 1, str(state + 1)

    code.now = hang
    node = node_of(store, code, clock, step_timeout=200)
    why = "cannot be shown: StepTimeout" if swallows else "ran longer than 200 ms"
    with pytest.raises(NoProc, match=rf"\(raises\): record \d+: .*{why}"):
        node.call("a", "x")
    assert node.call("o", "x") == "1"
    code.now = plain
    assert node_of(store, code).call("a", "x") == "2"

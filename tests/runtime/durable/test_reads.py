"""Inputs that are declared as reading: not journalled, never in quarantine, without a change."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from ssm_cli import (
    CalleeCrashed,
    Cast,
    GenServer,
    NoReply,
    Ok,
    Reply,
    SpecError,
    StartTimer,
    StateMachine,
    Stop,
)
from ssm_cli.behaviour.effects import Exit
from ssm_cli.behaviour.results import TIMEOUT, Continue, TimeoutAfter
from ssm_cli.runtime.durable.records import Input
from ssm_cli.storage.contents import history
from tests.runtime.durable.parts import World, failing, tree, worker


class Put(msgspec.Struct, frozen=True):
    n: int


class Get(msgspec.Struct, frozen=True):
    """Answer with the state, and do whatever else is asked for."""

    how: str = ""


class Reset(msgspec.Struct, frozen=True):
    """Change the state in place, as a read must not."""


Message = Put | Get | Reset
MORE: dict[str, Any] = {
    "effects": [Cast("b", Put(9))], "timer": [StartTimer("k", 5, Put(9))], "exit": [Exit("normal")]
}  # fmt: skip


def step(message: Message, state: list[int]) -> Any:
    match message:
        case Put(n):
            return [*state, n], "put"
        case Get("another"):
            return [*state, 0], len(state)
        case Get("equal"):
            return [float(n) for n in state], len(state)
        case Get("copy"):
            return [*state], len(state)
        case Get("crash"):
            raise ZeroDivisionError
        case Get(how) if how in MORE:
            return state, len(state), MORE[how]
        case Reset():
            state.clear()
    return state, len(state)


READS = Get | Reset
pure = StateMachine(
    step=step, init=lambda _name, _args: [], inputs=Message, reads=READS, state=list[int]
)


class Server(GenServer):
    inputs: ClassVar[Any] = Message
    reads: ClassVar[Any] = READS
    state: ClassVar[Any] = list[int]

    def init(self, name: str, args: Any) -> Any:
        return Ok([])

    def handle_call(self, message: Any, caller: Any, state: list[int]) -> Any:
        match message:
            case Get("stop"):
                return Stop("normal", state, reply=0)
            case Get("then"):
                return Reply(0, state, then=Continue("more"))
            case Put(-1):
                return Reply("quiet", state, then=TimeoutAfter(50))
        state, output, *effects = step(message, state)
        return Reply(output, state, effects=effects[0] if effects else ())

    def handle_cast(self, message: Any, state: list[int]) -> Any:
        return NoReply(step(message, state)[0])

    def handle_info(self, message: Any, state: list[int]) -> Any:
        return NoReply([*state, 99] if message is TIMEOUT else state)


BOTH = pytest.mark.parametrize("start", [pure, Server], ids=["step", "callbacks"])
KEPT = pytest.mark.parametrize("persist", ["journal", "snapshot", "none"])


def world(start: Any = pure, **options: Any) -> World:
    return World(tree(worker("a", start, **options), worker("b", start)))


def inputs(world: World, name: str = "a") -> list[bytes]:
    found = (record for _, record in history(world.store))
    return [r.data for r in found if isinstance(r, Input) and r.worker == name]


@BOTH
@pytest.mark.parametrize("request_id", ["", "r1"])
def test_a_read_is_answered_and_not_journalled(start: Any, request_id: str) -> None:
    w = world(start)
    w.node.call("a", Put(1))
    before = w.store.last()
    for message in (Get(), b"Get", Get("copy")):
        assert w.node.call("a", message, request_id=request_id) in (1, b"1")
    w.node.cast("a", Get())
    w.node.run()
    assert w.store.last() == before, "not even an entry"
    assert inputs(w) == [b"Put 1"]
    w.crash()
    assert w.peek() == [1]
    assert w.node.call("a", Get()) == 1


@BOTH
@KEPT
@pytest.mark.parametrize("how", ["another", "effects", "timer", "exit"])
def test_a_read_that_does_more_than_answer_crashes_and_changes_nothing(
    start: Any, persist: str, how: str
) -> None:
    w = world(start, persist=persist, on_crash="last_good" if persist == "journal" else "init")
    w.node.call("a", Put(1))
    with pytest.raises(CalleeCrashed, match=r"Get is declared as reading .* asks for \w+") as told:
        w.node.call("a", Get(how))
    assert told.value.reason == "bad_return_value"
    assert w.peek() == ([1] if persist == "journal" else [])
    assert w.peek("b") == []
    if persist == "journal":
        assert w.crash() is w.node
        assert w.peek() == [1]


def test_what_is_equal_and_not_the_same_is_another_state() -> None:
    w = world()
    w.node.call("a", Put(1))
    with pytest.raises(CalleeCrashed, match="another state"):
        w.node.call("a", Get("equal"))
    assert type(w.peek()[0]) is int


@pytest.mark.parametrize("how", ["stop", "then"])
def test_a_read_neither_ends_its_worker_nor_goes_on(how: str) -> None:
    w = world(Server)
    with pytest.raises(CalleeCrashed, match="declared as reading"):
        w.node.call("a", Get(how))


@BOTH
def test_a_change_in_place_is_seen_and_taken_back(start: Any) -> None:
    w = world(start)
    w.node.call("a", Put(1))
    with pytest.raises(CalleeCrashed, match="Reset is declared as reading"):
        w.node.call("a", Reset())
    assert w.node.call("a", Get()) == 1
    w.crash()
    assert w.peek() == [1]


def test_a_read_that_crashes_is_never_in_quarantine() -> None:
    w = world(quarantine=2)
    w.node.call("a", Put(1))
    for _ in range(5):
        with pytest.raises(CalleeCrashed, match="ZeroDivisionError"):
            w.node.call("a", Get("crash"))
    assert w.node.quarantined() == []
    w.crash()
    assert w.peek() == [1]


def test_a_read_is_served_while_what_it_sees_is_written_and_answered_after_it() -> None:
    w = world()
    w.store.late = True
    w.ask("a", Put(1))
    [read] = w.ask("a", Get())
    w.node.run()
    assert not read.done, "nobody may see what may still be denied"
    w.store.land()
    w.node.run()
    assert read.result() == 1


def test_while_nothing_can_be_written_reads_go_on() -> None:
    w = World(tree(worker("a", pure), on_storage_error="refuse"))
    w.node.call("a", Put(1))
    failing(w.store)
    [put, read] = w.ask("a", Put(2), Get())
    w.node.run()
    for denied in (put, read):  # it had seen what was denied
        with pytest.raises(Exception, match="could not be written"):
            denied.result()
    assert w.node.call("a", Get()) == 1


def test_a_read_leaves_a_time_out_under_way() -> None:
    w = world(Server)
    w.node.call("a", Put(-1))
    assert w.node.call("a", Get()) == 0
    w.clock.advance_s(0.06)
    w.node.run()
    assert w.peek() == [99]


@KEPT
def test_so_it_does_in_every_life_and_kind_of_worker(persist: str) -> None:
    w = world(Server, persist=persist)
    w.node.call("a", Put(-1))
    assert w.node.call("a", Get()) == 0
    if persist == "journal":
        w.crash()
    assert w.node.call("a", Get()) == 0
    w.clock.advance_s(0.06)
    w.node.run()
    assert w.peek() == [99]


def test_what_is_no_read_ends_a_time_out() -> None:
    w = world(Server)
    w.node.call("a", Put(-1))
    w.node.call("a", Put(1))
    w.crash()
    w.clock.advance_s(0.06)
    w.node.run()
    assert w.peek() == [1]


def test_a_timer_and_a_send_between_durable_workers_count_once_though_they_only_read() -> None:
    def ask(message: Message, state: list[int]) -> Any:
        if message == Put(5):
            return [*state, 5], "sent", [Cast("b", Get()), StartTimer("k", 5, Get())]
        return step(message, state)

    asking = StateMachine(step=ask, init=pure.init, inputs=Message, reads=READS, state=list[int])
    w = World(tree(worker("a", asking), worker("b", pure)))
    w.node.call("a", Put(5))
    w.node.run()
    w.clock.advance_s(1)
    w.node.run()
    assert (inputs(w), inputs(w, "b")) == ([b"Put 5", b'Get ""'], [b'Get ""'])
    w.crash()
    w.node.run()
    assert (len(inputs(w)), len(inputs(w, "b"))) == (2, 1)


@pytest.mark.parametrize(
    ("reads", "said"),
    [(Put(1), "Put"), ("Get", "Get"), (Get | int, "int"), ([Get], "list")],
)
def test_what_is_no_class_of_its_inputs_is_no_reading(reads: Any, said: str) -> None:
    odd = StateMachine(step=step, inputs=Message, reads=reads)
    with pytest.raises(SpecError, match=f"has the reads .*{said}.*expected classes of its inputs"):
        World(tree(worker("a", odd)))


def test_a_large_state_is_not_written_for_each_read() -> None:
    calls = 0

    big = list(range(100_000))
    start = StateMachine(
        step=step, init=lambda _n, _a: big, inputs=Message, reads=READS, state=list[int]
    )
    w = World(tree(worker("a", start)))
    kept: Any = w.node._world.names["a"]
    values = kept.extra.kept.values
    dump = values.dump

    def counted(state: Any) -> Any:
        nonlocal calls
        calls += 1
        return dump(state)

    values.dump = counted
    for _ in range(50):
        assert w.node.call("a", Get()) == 100_000
    assert calls <= 2

"""Time-outs and timers at an instant of the node's clock, and time-outs with a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from ssm_cli import (
    TIMEOUT,
    CalleeCrashed,
    GenServer,
    KeepState,
    KeepStateAndData,
    ManualClock,
    MemoryStore,
    Next,
    Node,
    NoReply,
    Ok,
    Postpone,
    Reply,
    SetTimeout,
    StartTimer,
    StateEvent,
    Statem,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.behaviour.dispatch import Outcome
from ssm_cli.behaviour.results import Then
from tests.runtime.workers import Server, running, worker

NOON_MS = 1_767_225_600_000 + 12 * 3_600_000  # of the day on which a `ManualClock` begins
HALF_DAY_S = 12 * 3600.0


def server(then: Then | None = None) -> Any:
    return Worker("s", Server, args={"init": lambda _: Ok([], then)})


OVER = {"zero": 0, "before 1970": -86_400_000.5}


def asks(*effects: Any) -> Any:
    return lambda state: (state, None, list(effects))


def seen(node: Node) -> Any:
    node.run()
    return node.get_state("s")


def test_a_timer_at_an_instant_comes_then_and_one_whose_instant_is_over_at_once() -> None:
    with running(worker("a", args={"state": ()})) as node:

        def note(what: str) -> Any:
            return lambda state: ((*state, what), None)

        noon = StartTimer("noon", NOON_MS, note("noon"), absolute=True)
        past = [StartTimer(key, ms, note(key), absolute=True) for key, ms in OVER.items()]
        node.call("a", asks(noon, *past))
        node.run(HALF_DAY_S - 1)
        assert sorted(node.get_state("a")) == sorted(OVER)
        node.run(1)
        assert node.get_state("a")[-1] == "noon"


def test_a_time_out_brings_its_message_unless_an_input_comes_first() -> None:
    with running(server()) as node:
        waits = TimeoutAfter(100, "too late")
        node.cast("s", lambda state: NoReply(state, waits))
        node.run(0.2)
        assert seen(node) == ["too late"]
        node.cast("s", lambda state: NoReply(state, waits))
        node.info("s", "in time")
        node.run(0.2)
        assert seen(node) == ["too late", "in time"]


def test_a_system_message_begins_a_time_anew_and_leaves_an_instant_where_it_is() -> None:
    for waits, comes_s in ((TimeoutAfter(1000, "x"), 1.5), (TimeoutAfter(NOON_MS, "x", True), 1.0)):
        clock = ManualClock(NOON_MS / 1000 - 1)
        with Node(Supervisor("root", children=[server(waits)]), clock=clock) as node:
            node.run(0.5)
            node.suspend("s")
            node.resume("s")
            node.run(comes_s - 0.5 - 0.01)
            assert node._world.names["s"].state == []  # type: ignore[attr-defined]  # a worker's
            node.run(0.02)
            assert seen(node) == ["x"]


@pytest.mark.parametrize(
    "asked",
    [
        StartTimer("k", NOON_MS, "x", absolute=1),  # type: ignore[arg-type]  # the point of the test
        StartTimer("k", float("nan"), "x", absolute=True),
        StartTimer("k", -1, "x"),
    ],
    ids=str,
)
def test_a_timer_whose_instant_is_none_is_a_crash(asked: StartTimer) -> None:
    with running(worker("a")) as node, pytest.raises(CalleeCrashed, match="no effect"):
        node.call("a", asks(asked))


@pytest.mark.parametrize("waits", [TimeoutAfter(5, absolute="yes"), TimeoutAfter(-1)], ids=str)  # type: ignore[arg-type]  # the point of the test
def test_a_time_out_whose_instant_is_none_is_a_crash(waits: TimeoutAfter) -> None:
    with running(server()) as node, pytest.raises(CalleeCrashed, match="expected Continue"):
        node.call("s", lambda _caller, state: Reply(1, state, waits))


class Shop(Statem):
    """Shut until noon; a customer who comes is told when it opens."""

    inputs = str

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return Next("shut", [], [SetTimeout("state_timeout", NOON_MS, "noon", absolute=True)])

    def shut(self, event: StateEvent, data: Any) -> Any:
        if event.type == "state_timeout":
            past = SetTimeout("timeout", -5, "at once", absolute=True)
            return Next("open", [*data, event.content], [past])
        return KeepState([*data, event.content])

    def open(self, event: StateEvent, data: Any) -> Any:
        return KeepState([*data, event.content])


def test_a_state_time_out_may_be_at_an_instant_and_is_whatever_is_asked_meanwhile() -> None:
    with running(Worker("shop", Shop)) as node:
        node.run(HALF_DAY_S - 1)
        node.cast("shop", "hello")
        node.run(0.9)
        assert node.get_state("shop") == ("shut", ["hello"])
        node.run(0.2)
        assert node.get_state("shop") == ("open", ["hello", "noon", "at once"])


@pytest.mark.parametrize(
    "asked",
    [
        SetTimeout("timeout", 5, None, absolute=None),  # type: ignore[arg-type]  # the point of it
        SetTimeout("timeout", -1),
        SetTimeout("timeout", "soon"),  # type: ignore[arg-type]  # the fault
        SetTimeout("timeout", float("inf"), absolute=True),
        Postpone("yes"),  # type: ignore[arg-type]  # as above
    ],
    ids=str,
)
def test_a_time_that_is_none_and_a_word_for_a_bool_are_no_action(asked: Any) -> None:
    class Odd(Shop):
        def shut(self, event: StateEvent, data: Any) -> Any:
            return KeepStateAndData([asked])

    with running(Worker("shop", Odd)) as node:
        node.cast("shop", "x")
        node.run()
        assert str(node.crash_reports()[-1].reason) == "bad_action_from_state_function"


# -- what outlives a process ---------------------------------------------------------------------


class Late(msgspec.Struct, frozen=True):
    text: str


class At(msgspec.Struct, frozen=True):
    """Wait, in one of three ways."""

    how: str
    ms: float


class Desk(GenServer):
    inputs: ClassVar[Any] = At | Late
    state: ClassVar[Any] = list[str]

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        return Ok([])

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        del caller
        match message:
            case At("timer", ms):
                return Reply(1, state, effects=[StartTimer("k", ms, Late("timer"), absolute=True)])
            case At("instant", ms):
                return Reply(1, state, TimeoutAfter(ms, Late("instant"), absolute=True))
            case At("plain", ms):
                return Reply(1, state, TimeoutAfter(ms))
        return Reply(1, state, TimeoutAfter(message.ms, Late("message")))

    def handle_info(self, message: Any, state: Any) -> Any:
        return NoReply([*state, "plain" if message is TIMEOUT else message.text])


@pytest.mark.parametrize("snapshot_every", [1, 1000])
@pytest.mark.parametrize(
    ("how", "ms", "gone_s", "left_s"),
    [
        ("timer", NOON_MS, 5.0, 5.0),
        ("timer", NOON_MS, 20.0, 0.0),
        ("timer", NOON_MS, -3600.0, 3610.0),  # the clock was set back: noon is later
        ("instant", NOON_MS, 4.0, 6.0),
        ("instant", NOON_MS, -60.0, 70.0),
        ("message", 10_000, 4.0, 10.0),
        ("plain", 10_000, 4.0, 10.0),
    ],
)
def test_an_instant_is_kept_over_a_loss_of_the_process_whatever_the_clock_does(
    how: str, ms: float, gone_s: float, left_s: float, snapshot_every: int
) -> None:
    desk = Worker("desk", Desk, persist="journal")
    tree = Supervisor("root", children=[desk], snapshot_every=snapshot_every)
    store, clock = MemoryStore(), ManualClock(NOON_MS / 1000 - 10)
    node = Node(tree, store=store, clock=clock).start()
    node.call("desk", At(how, ms))
    for _ in range(2):  # the second time it is what the first one has written
        clock = ManualClock(clock.wall_s() + gone_s / 2)
        node = Node(tree, store=store, clock=clock).start()
    cell: Any = node._world.names["desk"]
    node.run(max(0.0, left_s - 0.1))
    assert cell.state == ([] if left_s else [how])
    node.run(0.2)
    assert cell.state == [how]
    node = Node(tree, store=store, clock=ManualClock(clock.wall_s())).start()
    node.run(5000.0)
    assert node.get_state("desk") == [how], "it comes once, and is stepped again as it came"


def test_a_time_out_that_cannot_be_written_is_a_crash_with_the_state_unchanged() -> None:
    class Odd(Desk):
        def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
            del message, caller
            return Reply(1, ["changed"], TimeoutAfter(10, object()))

    tree = Supervisor("root", children=[Worker("desk", Odd, persist="journal")])
    with Node(tree, store=MemoryStore(), clock=ManualClock()) as node:
        with pytest.raises(CalleeCrashed, match="cannot be recorded"):
            node.call("desk", At("x", 1))
        assert node.get_state("desk") == []


def test_the_digest_of_effects_is_that_of_an_older_ssm_where_nothing_new_is_asked() -> None:
    tree = Supervisor("root", children=[Worker("desk", Desk, persist="journal")])
    with Node(tree, store=MemoryStore(), clock=ManualClock()) as node:
        values = node._world.outside.keeper.kept["desk"].values

        def taken(timer: StartTimer, waits: TimeoutAfter) -> str:
            digest: bytes = values.hash_of_effects(Outcome(0, then=waits, effects=[timer]))
            return digest.hex()

        assert taken(StartTimer("k", 5, None), TimeoutAfter(7)) == BEFORE
        assert taken(StartTimer("k", 5, None, absolute=True), TimeoutAfter(7)) != BEFORE
        assert taken(StartTimer("k", 5, None), TimeoutAfter(7, "x")) != BEFORE


BEFORE = "023b33bfc267651465"

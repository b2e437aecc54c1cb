"""Progress or yield: a loop that user code can feed lets everything else have its turn.

Each loop serves at least one thing and at most a budget, then looks at the clock, at signals, at
deadlines and at other callers. `call(timeout_s=T)` is back within T plus the limit of one callback.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import pytest

import ssm_cli
from ssm_cli import (
    TIMEOUT,
    Answer,
    CalledFromStep,
    CallError,
    CallTimeout,
    Cast,
    Continue,
    Defer,
    Exit,
    GenServer,
    Info,
    ManualClock,
    Node,
    NoReply,
    Ok,
    StartTimer,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.spec.model import Backoff, ChildSpec, SupervisorSpec
from tests.runtime.bounded import (
    Lives,
    PassingClock,
    bounded,
    elapsed_s,
    refuse,
    signal_soon,
    signalled,
)
from tests.runtime.workers import Server, actor, add, fail, get, worker

ROOM = str(Path(ssm_cli.__file__).parent)
ALWAYS = 10**8  # an intensity that is never exceeded
NEVER_S = 1000.0  # longer than a bounded test may take, so that whatever ends was ended
PLACES = ("flat", "one_for_all", "rest_for_one", "nested", "simple_one_for_one")


class Enough(BaseException):
    """Raised by a signal handler."""


def raise_enough(_number: int, _frame: FrameType | None) -> None:
    raise Enough


def tree_at(place: Any, init: Callable[[str], Any], **flags: Any) -> tuple[SupervisorSpec, str]:
    """A tree with a worker `other` and one that has this init somewhere; and the name of that."""
    limit = {"init_timeout": flags.pop("init_timeout")} if "init_timeout" in flags else {}
    bad = worker("bad", args={"init": init}, **limit)
    beside = worker("other")
    match place:
        case "flat":
            return Supervisor("root", children=[bad, beside], **flags), "bad"
        case "one_for_all" | "rest_for_one":
            group = Supervisor("group", place, [bad, worker("sibling")], **flags)
        case "nested":  # `inner` gives up at once, and then does not start again
            inner = Supervisor("inner", children=[bad], intensity=0)
            group = Supervisor("group", children=[inner], **flags)
        case _:
            group = Supervisor("group", place, [bad], **flags)
    tree = Supervisor("root", children=[group, beside], intensity=ALWAYS)
    return tree, "bad-1" if place == "simple_one_for_one" else "bad"


def started(place: str, init: Callable[[str], Any], clock: Any = None, **flags: Any) -> Node:
    """A node whose bad worker has a crash ahead of it, and an `init` that will not do again."""
    tree, name = tree_at(place, init, **flags)
    node = Node(tree, clock=clock).start()
    if place == "simple_one_for_one":
        name = node.start_child("group", "1") or ""
    node.cast(name, fail)
    return node


def hang(clock: ManualClock) -> Callable[[int], None]:
    """An `init` that is cut at its limit, and takes a hundredth of a second more to clean up."""

    def begin(_life: int) -> None:
        try:
            clock.sleep_s(3600)
        finally:
            clock.sleep_s(0.01)

    return begin


def outcome_of(node: Node, name: str, message: Any = get, timeout_s: float = 0.5) -> Any:
    """The output of a call, or the class of its error."""
    try:
        return node.call(name, message, timeout_s=timeout_s)
    except CallError as error:
        return type(error)


# -- restarts that fail again and again --------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("intensity", [8, ALWAYS])
@bounded()
def test_a_call_is_served_between_two_tries_of_a_restart_that_raises(
    place: str, intensity: int
) -> None:
    node = started(place, Lives(refuse), ManualClock(), intensity=intensity)
    assert outcome_of(node, "other") == 0


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("intensity", [8, ALWAYS])
@bounded()
def test_a_call_is_back_within_its_time_and_one_init_of_a_restart_that_hangs(
    place: str, intensity: int
) -> None:
    clock = ManualClock()
    flags = {"intensity": intensity, "period": 3600, "init_timeout": 100}
    node = started(place, Lives(hang(clock)), clock, **flags)
    begun_s = clock.now_s()
    assert outcome_of(node, "other") in (0, CallTimeout)
    assert clock.now_s() - begun_s <= 0.5 + 0.11


@pytest.mark.parametrize("place", PLACES)
@bounded()
def test_a_restart_that_hangs_just_outside_the_default_period_lets_a_call_come_back(
    place: str,
) -> None:
    clock = ManualClock()
    node = started(place, Lives(hang(clock)), clock)
    begun_s = clock.now_s()
    assert outcome_of(node, "other") in (0, CallTimeout)
    assert clock.now_s() - begun_s <= 0.5 + 5.01


@pytest.mark.parametrize("calls", ["call_value", "wait", "run_clients"])
@bounded()
def test_every_way_to_wait_is_back_while_a_restart_fails(calls: str) -> None:
    node = started("flat", Lives(refuse), ManualClock(), intensity=ALWAYS)

    def client() -> Generator[tuple[str, Any], Any, Any]:
        return (yield "other", get)

    if calls == "run_clients":
        assert node.run_clients(client(), timeout_s=0.5) == [0]
    elif calls == "wait":
        assert node.wait(node.send_request("other", get), 0.5) == 0
    else:
        assert node.call_value("other", b"word", 0.5)[0] == b"word"


@bounded()
def test_requests_to_supervisors_are_answered_while_a_restart_fails() -> None:
    node = started("flat", Lives(refuse), ManualClock(), intensity=ALWAYS)
    outcome_of(node, "other")
    assert [child.id for child in node.which_children("root")] == ["other", "bad"]
    node.terminate_child("root", "bad")  # and that is how to end it
    node.run()
    assert node.tree().children[0].state == "stopped"


@pytest.mark.parametrize("place", PLACES)
@bounded()
def test_asyncio_turns_while_a_restart_fails(place: str) -> None:
    async def main() -> None:
        lives = Lives(refuse)
        tree, name = tree_at(place, lives, intensity=ALWAYS)
        node = Node(tree).start()
        if place == "simple_one_for_one":
            name = node.start_child("group", "1") or ""
        serving = asyncio.create_task(node.serve())
        node.cast(name, fail)
        for _ in range(20):
            await asyncio.sleep(0)
        assert lives.count > 2, "it was tried again meanwhile"
        assert await node.acall("other", get, timeout_s=0.5) == 0
        node.stop(drain=False)
        await serving

    asyncio.run(main())


@pytest.mark.parametrize(
    ("place", "clock"), [*((place, "manual") for place in PLACES), ("flat", "system")]
)
@bounded(20)
def test_a_stop_that_serves_what_waits_ends_restarts_that_fail(place: str, clock: str) -> None:
    node = started(
        place, Lives(refuse), ManualClock() if clock == "manual" else None, intensity=ALWAYS
    )
    node.cast("other", add(1))
    node.stop()
    assert not node.running
    assert [report.event for report in node.reports(last=2)] == ["exited", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", PLACES)
@bounded()
def test_a_signal_handler_that_stops_the_node_ends_restarts_that_fail(
    place: str, number: int
) -> None:
    node = started(place, Lives(refuse), intensity=ALWAYS)

    def stop(*_: object) -> None:
        try:
            node.stop()
        except CalledFromStep:  # it interrupted a callback, as it may: once more
            signal_soon(number, 0.001)

    signal.signal(number, stop)
    signal_soon(number, 0.05)
    node.run(for_s=NEVER_S)
    assert not node.running


@pytest.mark.parametrize("place", PLACES)
@bounded()
def test_a_signal_handler_that_raises_reaches_the_caller_of_run_while_a_restart_fails(
    place: str,
) -> None:
    node = started(place, Lives(refuse), intensity=ALWAYS)
    signal.signal(signal.SIGTERM, raise_enough)
    with pytest.raises(Enough), signalled(signal.SIGTERM):
        node.run(for_s=NEVER_S)


@bounded()
def test_a_worker_that_comes_up_and_crashes_for_ever_lets_others_in() -> None:
    def begin(_: str) -> Ok:
        return Ok(0, effects=[Cast(None, fail)])

    bad = worker("bad", args={"init": begin})
    tree = Supervisor("root", children=[bad, worker("other")], intensity=ALWAYS)
    node = Node(tree, clock=ManualClock()).start()
    assert outcome_of(node, "other") == 0


@bounded()
def test_two_children_whose_restarts_fail_share_their_turns() -> None:
    first, second = Lives(refuse), Lives(refuse)
    children = [worker("x", args={"init": first}), worker("y", args={"init": second})]
    tree = Supervisor("root", children=[*children, worker("other")], intensity=ALWAYS)
    node = Node(tree, clock=ManualClock()).start()
    node.cast("x", fail)
    node.cast("y", fail)
    for _ in range(20):
        assert outcome_of(node, "other") == 0
    assert min(first.count, second.count) > 2


# -- workers that feed themselves --------------------------------------------------------------


def timer_again(state: int) -> Any:
    return state + 1, None, [StartTimer("t", 0, timer_again)]


def short_timer_again(state: int) -> Any:
    return state + 1, None, [StartTimer("t", 1e-9, short_timer_again)]


def cast_again(state: int) -> Any:
    return state + 1, None, [Cast(None, cast_again)]


def info_again(state: int) -> Any:
    return state + 1, None, [Info(None, info_again)]


def cast_over(state: int) -> Any:
    return state + 1, None, [Cast("partner", cast_back)]


def cast_back(state: int) -> Any:
    return state + 1, None, [Cast("feeder", cast_over)]


class Continues(GenServer):
    """Goes on for ever by a continue."""

    def init(self, name: str, args: Any) -> Any:
        return Ok(0)

    def handle_cast(self, message: Any, state: Any) -> Any:
        return NoReply(state, then=Continue("on"))

    def handle_continue(self, message: Any, state: Any) -> Any:
        return NoReply(state + 1, then=Continue("on"))


class TimesOut(Continues):
    """Goes on for ever by a time-out of 0 ms."""

    def handle_cast(self, message: Any, state: Any) -> Any:
        return NoReply(state, then=TimeoutAfter(0))

    def handle_info(self, message: Any, state: Any) -> Any:
        assert message == TIMEOUT
        return NoReply(state + 1, then=TimeoutAfter(0))


FEEDERS: dict[str, tuple[Any, Any]] = {
    "timer of 0 ms": (actor, timer_again),
    "timer of a picosecond": (actor, short_timer_again),
    "cast to itself": (actor, cast_again),
    "info to itself": (actor, info_again),
    "cast to and fro": (actor, cast_over),
    "continue": (Continues, "go"),
    "time-out of 0 ms": (TimesOut, "go"),
}


def fed(name: str, clock: Any = None, **options: Any) -> Node:
    """A node with a worker that feeds itself from its next input on, and that input waiting."""
    start, first = FEEDERS[name]
    children = [Worker("feeder", start), worker("partner"), worker("other")]
    node = Node(Supervisor("root", children=children), clock=clock, **options).start()
    node.cast("feeder", first)
    return node


@pytest.mark.parametrize("name", FEEDERS)
@bounded()
def test_run_leaves_a_worker_that_feeds_itself_about_a_second_later(name: str) -> None:
    clock = PassingClock()
    node = fed(name, clock, guard=False)
    begun_s = clock.now_s()
    node.run()
    assert clock.now_s() - begun_s < 2
    assert node.get_state("feeder") > 1


@pytest.mark.parametrize("name", FEEDERS)
@bounded()
def test_run_leaves_a_worker_that_feeds_itself_on_a_clock_that_stands_still(name: str) -> None:
    node = fed(name, ManualClock())
    node.run()
    least = 1 if name == "timer of a picosecond" else 2  # which never comes while the clock stands
    assert node.get_state("feeder") >= least


@pytest.mark.parametrize("name", FEEDERS)
@bounded()
def test_a_worker_that_feeds_itself_does_not_keep_a_caller_of_another_waiting(name: str) -> None:
    node = fed(name, PassingClock(), guard=False)
    assert outcome_of(node, "other") == 0
    assert outcome_of(node, "other") == 0


@pytest.mark.parametrize("name", FEEDERS)
@bounded()
def test_asyncio_turns_while_a_worker_feeds_itself(name: str) -> None:
    async def main() -> None:
        node = fed(name)
        serving = asyncio.create_task(node.serve())
        for _ in range(20):
            await asyncio.sleep(0)
        assert await node.acall("other", get, timeout_s=1) == 0
        node.stop(drain=False)
        await serving

    asyncio.run(main())


@pytest.mark.parametrize("name", FEEDERS)
@bounded()
def test_a_signal_handler_that_raises_ends_run_while_a_worker_feeds_itself(name: str) -> None:
    node = fed(name)
    signal.signal(signal.SIGTERM, raise_enough)
    with pytest.raises(Enough), signalled(signal.SIGTERM):
        node.run(for_s=NEVER_S)


# -- a loop that serves nothing ----------------------------------------------------------------


class Ticks:
    """Ticks of the guard at the `place`th line of ours that runs (0: at every line)."""

    def __init__(self, place: int) -> None:
        self.place, self.seen = place, 0

    def __enter__(self) -> Self:
        sys.settrace(self._enter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(ROOM) else None

    def _line(self, _frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            self.seen += 1
            guarded = callable(signal.getsignal(signal.SIGALRM))
            if guarded and self.place in (0, self.seen):
                signal.raise_signal(signal.SIGALRM)
        return self._line


def call_in_time(node: Node) -> None:
    with suppress(CallTimeout):  # a busy machine may take so long
        node.call("a", add(1), timeout_s=0.9)


def ask_as_client(node: Node) -> None:
    def client() -> Generator[tuple[str, Any], Any, Any]:
        return (yield "a", add(1))

    node.run_clients(client())


WAYS: dict[str, Callable[[Node], object]] = {
    "cast": lambda node: node.cast("a", add(1)),
    "info": lambda node: node.info("a", add(1)),
    "call": lambda node: node.call("a", add(1)),
    "call with a time": call_in_time,
    "call_value": lambda node: node.call_value("a", b"word"),
    "send_request": lambda node: node.send_request("a", add(1)),
    "run_clients": ask_as_client,
}


def full_node() -> tuple[Node, Callable[[], int]]:
    """A node with a small queue, and what fills it up and says how many inputs it was given."""
    node = Node(Supervisor("root", children=[worker("a")], queue=3)).start()

    def fill() -> int:
        given = 0
        while True:
            try:
                node.cast_nowait("a", add(1))
            except ssm_cli.QueueFull:
                return given
            given += 1

    return node, fill


@pytest.mark.parametrize("way", WAYS)
@bounded(30)
def test_a_tick_at_any_line_finds_room_in_a_full_queue(way: str) -> None:
    node, fill = full_node()
    place = given = 0
    while True:
        given += fill()
        place += 1
        with Ticks(place) as ticks:
            WAYS[way](node)
        if way != "call_value":
            given += 1
        if ticks.seen < place:
            break
    node.run()
    assert place > 20
    assert node.get_state("a") == given


@pytest.mark.parametrize("way", WAYS)
@bounded()
def test_a_tick_at_every_line_lets_each_call_make_progress(way: str) -> None:
    node, fill = full_node()
    for _ in range(20):
        fill()
        with Ticks(0):
            WAYS[way](node)


@bounded()
def test_a_tick_at_every_line_lets_run_and_stop_make_progress() -> None:
    node, fill = full_node()
    given = fill()
    with Ticks(0):
        node.run()
    assert node.get_state("a") == given
    fill()
    with Ticks(0):
        node.stop()
    assert not node.running


# -- what is due -------------------------------------------------------------------------------


def starts(*effects: Any) -> Any:
    """A message whose step asks for these effects."""
    return lambda state: (state, None, effects)


def crash_with_delay(node: Node) -> None:
    with pytest.raises(ssm_cli.CalleeCrashed):
        node.call("a", fail)


def timed_out(_: Any, state: Any) -> Any:
    return ssm_cli.Reply(None, state, then=TimeoutAfter(1000))


DUE: dict[str, tuple[ChildSpec, Callable[[Node], object], Callable[[Node], bool]]] = {
    "timer": (
        worker("a"),
        lambda node: node.call("a", starts(StartTimer("t", 1000, add(1)))),
        lambda node: node.get_state("a") == 1,
    ),
    "time-out": (
        Worker("a", Server, args={"state": []}),
        lambda node: node.call("a", timed_out),
        lambda node: node.tree().children[0].steps == 2,  # to ask for its state would void it
    ),
    "back-off": (
        worker("a", backoff=Backoff(initial_ms=1000)),
        crash_with_delay,
        lambda node: node.tree().children[0].state == "running",
    ),
}
CALLS: dict[str, Callable[[Node], object]] = {
    "call": lambda node: node.call("b", get),
    "call with a time": lambda node: node.call("b", get, timeout_s=0.5),
    "call with bytes": lambda node: node.call("b", b"word"),
    "call_value": lambda node: node.call_value("b", b"word"),
    "run": lambda node: node.run(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", DUE)
def test_what_is_due_is_served_by_the_next_call_of_another_worker(what: str, call: str) -> None:
    spec, begin, has_come = DUE[what]
    clock = ManualClock()
    with Node(Supervisor("root", children=[spec, worker("b")], intensity=9), clock=clock) as node:
        begin(node)
        node.call("b", get)
        clock.advance_s(0.9)
        CALLS[call](node)
        assert not has_come(node)
        clock.advance_s(0.2)
        CALLS[call](node)
        assert has_come(node)


@pytest.mark.parametrize("guard", [True, False])
@bounded()
def test_a_program_that_only_calls_fires_its_timers_on_the_clock_of_the_machine(
    guard: bool,
) -> None:
    tree = Supervisor("root", children=[worker("a"), worker("b")])
    node = Node(tree, guard=guard).start()
    node.call("a", starts(StartTimer("t", 10, add(1))))
    begun_s = time.monotonic()
    while node.get_state("a") == 0 and elapsed_s(begun_s) < 60:
        node.call("b", get)
    assert node.get_state("a") == 1


def on_a_loop(scene: Callable[[Node, ManualClock], Coroutine[Any, Any, None]], spec: Any) -> None:
    """Run a scene beside a node that serves on a manual clock."""

    async def main() -> None:
        clock = ManualClock()
        tree = Supervisor("root", children=[spec, worker("b")], intensity=9)
        with Node(tree, clock=clock) as node:
            serving = asyncio.create_task(node.serve())
            await asyncio.sleep(0)
            await scene(node, clock)
            node.stop()
            await serving

    asyncio.run(main())


async def turn() -> None:
    """Let the loop go round often enough for whatever is ready."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", DUE)
@bounded()
def test_a_manual_clock_that_advances_fires_what_is_due_on_a_node_that_serves(what: str) -> None:
    spec, begin, has_come = DUE[what]

    async def scene(node: Node, clock: ManualClock) -> None:
        begin(node)
        await turn()
        clock.advance_s(0.9)
        await turn()
        assert not has_come(node)
        clock.advance_s(0.2)
        await turn()
        assert has_come(node)

    on_a_loop(scene, spec)


@bounded()
def test_a_manual_clock_that_advances_ends_the_time_of_a_call_on_a_node_that_serves() -> None:
    async def scene(node: Node, clock: ManualClock) -> None:
        deferred = lambda state: (state, None, [Defer("k")])  # noqa: E731 - one message
        waiting = asyncio.create_task(node.acall("a", deferred, timeout_s=100))
        await turn()
        assert not waiting.done()
        clock.advance_s(101)
        await turn()
        assert waiting.done()
        with pytest.raises(CallTimeout):
            await waiting

    on_a_loop(scene, worker("a"))


@bounded()
def test_a_timer_that_starts_itself_again_comes_at_each_of_its_times() -> None:
    def again(state: int) -> Any:
        return state + 1, None, [StartTimer("t", 100, again)]

    clock = ManualClock()
    node = Node(Supervisor("root", children=[worker("a"), worker("b")]), clock=clock).start()
    node.call("a", again)
    for n in range(2, 12):
        clock.advance_s(0.1001)
        node.call("b", get)
        assert node.get_state("a") == n


# -- many callers ------------------------------------------------------------------------------


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what it is asked to do."""

    count = 0

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]  # less exact
        self.count += 1
        return super().call_soon(callback, *args, context=context)


def turns_for(callers: int, ask: str) -> int:
    """How much a loop has to do for so many concurrent calls at a queue of 128."""

    async def main() -> None:
        with Node(Supervisor("root", children=[worker("a")])) as node:
            if ask == "acall":
                asked = [node.acall("a", add(1), timeout_s=None) for _ in range(callers)]
            else:
                asked = [node.acall_value("a", b"word", timeout_s=None) for _ in range(callers)]
            await asyncio.gather(*asked)
            if ask == "acall":
                assert node.get_state("a") == callers

    loop = CountingLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return loop.count


@pytest.mark.parametrize("ask", ["acall", "acall_value"])
@bounded(30)
def test_concurrent_calls_cost_the_loop_in_proportion_to_their_number(ask: str) -> None:
    few, many = turns_for(2_000, ask), turns_for(16_000, ask)
    assert many < 12 * few  # 8 times as many; in the square it would be 64


@bounded()
def test_a_concurrent_call_that_waits_for_room_is_back_when_its_time_is_over() -> None:
    async def main() -> list[Any]:
        node = Node(Supervisor("root", children=[worker("b")], queue=1)).start()

        def defer(state: int) -> Any:
            return state + 1, None, [Defer(f"{state}")]

        asked = [node.acall("b", defer, timeout_s=0.1) for _ in range(50)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        node.stop(drain=False)
        return found

    assert {type(one) for one in asyncio.run(main())} == {CallTimeout}


# -- signals -----------------------------------------------------------------------------------


def wait_long(node: Node, way: str) -> None:
    """Wait for longer than a test may take, in one of the ways there are, for what never comes."""

    def defer(state: Any) -> Any:
        timer = StartTimer("t", int(NEVER_S * 2000), lambda s: (s, None, [Answer("k", "late")]))
        return state, None, [Defer("k"), timer]

    def client() -> Generator[tuple[str, Any], Any, Any]:
        return (yield "a", defer)

    match way:
        case "run":
            node.run(for_s=NEVER_S)
        case "call":
            node.call("a", defer, timeout_s=NEVER_S)
        case "wait":
            node.wait(node.send_request("a", defer), NEVER_S)
        case _:
            node.run_clients(client(), timeout_s=NEVER_S)


@pytest.mark.parametrize("way", ["run", "call", "wait", "run_clients"])
@bounded()
def test_a_signal_handler_that_raises_ends_a_wait_at_once(way: str) -> None:
    node = Node(Supervisor("root", children=[worker("a")])).start()
    signal.signal(signal.SIGTERM, raise_enough)
    with pytest.raises(Enough), signalled(signal.SIGTERM):
        wait_long(node, way)


@pytest.mark.parametrize("way", ["run", "call", "wait", "run_clients"])
@bounded()
def test_a_signal_handler_that_stops_the_node_ends_a_wait_at_once(way: str) -> None:
    node = Node(Supervisor("root", children=[worker("a")])).start()
    signal.signal(signal.SIGTERM, lambda *_: node.stop())
    signal_soon(signal.SIGTERM, 0.05)
    if way == "run":
        wait_long(node, way)
    else:
        with pytest.raises(CallError):
            wait_long(node, way)
    assert not node.running


@bounded()
def test_a_signal_handler_that_casts_is_served_within_a_wait() -> None:
    last = worker("a", restart="temporary", significant=True)
    tree = Supervisor("root", children=[last], auto_shutdown="any_significant")
    node = Node(tree).start()
    signal.signal(signal.SIGTERM, lambda *_: node.cast("a", starts(Exit())))
    signal_soon(signal.SIGTERM, 0.05)
    node.run(for_s=NEVER_S)
    assert not node.running

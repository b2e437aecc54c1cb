"""Steps that do not end, cut for real: a real alarm, real time, limits of tens of milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ssm_cli import CalleeCrashed, Node, StartFailed, StateMachine, Supervisor, Worker
from ssm_cli.errors import StepTimeout
from ssm_cli.runtime.engine.guard import ALARM
from ssm_cli.runtime.engine.ticker import IntervalTicker
from ssm_cli.spec.model import ChildSpec
from tests.runtime.workers import Server, actor, add, events, get

LIMIT_MS = 50


def loop(_: Any) -> Any:
    while True:
        pass


def sleep(_: Any) -> Any:
    time.sleep(600)


def loop_in_finally(_: Any) -> Any:
    try:
        return 1, 1
    finally:
        while True:
            pass


def loop_under_except(_: Any) -> Any:
    while True:
        with contextlib.suppress(Exception):  # what a careless step looks like
            time.sleep(600)


def swallow_once(state: Any) -> Any:
    with contextlib.suppress(BaseException):
        loop(state)
    return loop(state)


def wait_on_a_lock(_: Any) -> Any:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def guarded(name: str, start: Any = actor, **options: Any) -> ChildSpec:
    return Worker(name, start, step_timeout=LIMIT_MS, **options)


def node_of(*children: ChildSpec, **flags: Any) -> Node:
    return Node(Supervisor("root", children=children, intensity=100, **flags))


RUNAWAYS = [loop, sleep, loop_in_finally, loop_under_except, wait_on_a_lock]


@pytest.mark.parametrize("runaway", RUNAWAYS)
def test_a_step_that_does_not_end_is_cut_restarted_and_others_answer(
    runaway: Callable[[Any], Any],
) -> None:
    with node_of(guarded("a"), guarded("b")) as node:
        node.call("a", add(1))
        begin_s = time.monotonic()
        with pytest.raises(CalleeCrashed, match="a crashed: StepTimeout: ") as caught:
            node.call("a", runaway)
        took_s = time.monotonic() - begin_s
        assert caught.value.reason == "step_timeout"
        assert isinstance(caught.value.error, StepTimeout)
        assert took_s >= LIMIT_MS / 1000
        assert took_s < 60  # a loaded machine is slow, but not that slow
        assert node.call("b", "here") == "here"
        assert node.call("a", get) == 0
        assert "restarting root" in events(node)


def test_a_callback_of_a_gen_server_is_cut_too() -> None:
    with (
        node_of(guarded("a", Server)) as node,
        pytest.raises(CalleeCrashed, match="StepTimeout"),
    ):
        node.call("a", lambda _caller, state: loop(state))


def test_a_step_that_swallows_the_interruption_is_interrupted_again() -> None:
    with node_of(guarded("a")) as node:
        with pytest.raises(CalleeCrashed, match="StepTimeout"):
            node.call("a", swallow_once)
        assert node.call("a", "on") == "on"


def test_a_step_that_swallows_every_interruption_is_named_on_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def swallow_many(state: Any) -> Any:
        for _round in range(30):
            with contextlib.suppress(BaseException):
                loop(state)
        return 1, "swallowed"

    with node_of(guarded("stubborn")) as node:
        assert node.call("stubborn", swallow_many) == "swallowed"
    shown = capfd.readouterr().err
    assert shown.count("ssm: stubborn swallows every interruption") == 1
    assert "swallow_many" in shown


def test_a_terminate_that_sleeps_longer_than_its_shutdown_is_cut_there() -> None:
    ended: list[str] = []
    sleeper = StateMachine(
        step=actor.step,
        terminate=lambda _name, _state, _reason: time.sleep(600),
    )
    last = StateMachine(step=actor.step, terminate=lambda name, _state, _reason: ended.append(name))
    node = node_of(Worker("last", last), Worker("sleeper", sleeper, shutdown=LIMIT_MS)).start()
    begin_s = time.monotonic()
    node.stop()
    assert LIMIT_MS / 1000 <= time.monotonic() - begin_s < 60
    assert ended == ["last"]
    assert "killed sleeper" in events(node)


def test_an_init_that_overruns_its_limit_is_a_failed_start() -> None:
    spec = Worker("slow", actor, args={"init": loop}, init_timeout=LIMIT_MS)
    node = node_of(Worker("first", actor), spec)
    with pytest.raises(StartFailed, match="root did not start") as caught:
        node.start()
    failed = {"failed_to_start_child": ["slow", "step_timeout"]}
    assert caught.value.term == {"shutdown": failed}
    assert events(node)[-3:] == ["terminating first", "terminated first", "start_failed root"]


def test_infinity_lets_a_step_take_as_long_as_it_needs() -> None:
    spec = Worker("patient", actor, step_timeout="infinity")

    def take_long(state: Any) -> Any:
        end_s = time.monotonic() + 3 * LIMIT_MS / 1000
        while time.monotonic() < end_s:
            pass
        return state, "done"

    with node_of(spec, guarded("a")) as node:
        assert node.call("patient", take_long) == "done"


def test_many_quick_steps_under_a_hot_alarm_are_never_cut() -> None:
    with node_of(guarded("a"), Worker("fine", actor, step_timeout=20)) as node:
        for _ in range(10_000):
            node.call("a", add(1))
        assert node.call("a", get) == 10_000
        assert node.statistics("a").crashes == 0


def test_no_interruption_leaks_however_close_to_its_limit_a_step_ends() -> None:
    with Node(
        Supervisor("root", children=[Worker("a", actor, step_timeout=2)], intensity=10_000)
    ) as node:
        crashes = 0
        for number in range(300):
            length_s = 0.0015 + (number % 20) / 20_000

            def last(state: Any, length_s: float = length_s) -> Any:
                end_s = time.perf_counter() + length_s
                while time.perf_counter() < end_s:
                    pass
                return state, "ended"

            try:
                assert node.call("a", last) == "ended"
            except CalleeCrashed as error:
                assert error.reason == "step_timeout"  # noqa: PT017 - either outcome is right
                crashes += 1
        assert node.statistics("a").crashes == crashes


@pytest.mark.parametrize("interval_timer", [False, True])
def test_the_handlers_found_at_the_start_are_put_back_on_stop(
    monkeypatch: pytest.MonkeyPatch, interval_timer: bool
) -> None:
    def mine(_number: int, _frame: object) -> None:
        raise AssertionError("nobody asked for this alarm")

    if interval_timer:
        monkeypatch.setattr(ALARM, "_ticker", IntervalTicker(time.monotonic))
    numbers = (signal.SIGALRM, signal.SIGURG)
    before = [signal.signal(number, mine) for number in numbers]
    try:
        with node_of(guarded("a")) as node:
            node.call("a", 1)
            assert ALARM.number in signal.valid_signals()
            assert signal.getsignal(ALARM.number) not in {mine, signal.SIG_DFL}
        assert [signal.getsignal(number) for number in numbers] == [mine, mine]
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def gives_up(node: Node) -> None:
    node.start()
    for _ in range(2):
        with contextlib.suppress(CalleeCrashed):
            node.call("a", lambda _: 1 // 0)


def stopped_by_a_reader(node: Node) -> None:
    node.start()
    node.subscribe(lambda _: node.stop())
    node.kill("a")


def fails_to_start(node: Node) -> None:
    with pytest.raises(StartFailed):
        node.start()


@pytest.mark.parametrize(
    ("life", "child"),
    [
        (gives_up, guarded("a")),
        (stopped_by_a_reader, guarded("a")),
        (fails_to_start, guarded("a", args={"init": lambda _: 1 // 0})),
    ],
)
def test_the_alarm_is_given_back_however_the_tree_ends(
    life: Callable[[Node], None], child: ChildSpec
) -> None:
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    node = Node(Supervisor("root", children=[child], intensity=1))
    life(node)
    assert not node.running
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before


def test_a_node_that_is_started_again_is_guarded_again() -> None:
    node = node_of(guarded("a"))
    for _ in range(2):
        with node, pytest.raises(CalleeCrashed, match="StepTimeout"):
            node.call("a", loop)


def test_two_nodes_are_guarded_at_once_and_the_last_puts_the_handler_back() -> None:
    with node_of(guarded("a")) as one:
        with node_of(guarded("a")) as other:
            for node in (one, other, one):
                with pytest.raises(CalleeCrashed, match="StepTimeout"):
                    node.call("a", loop)
        assert signal.getsignal(ALARM.number) != signal.SIG_DFL
        with pytest.raises(CalleeCrashed, match="StepTimeout"):
            one.call("a", loop)
    assert signal.getsignal(ALARM.number) == signal.SIG_DFL


def test_a_node_in_another_thread_runs_without_the_guard() -> None:
    outcomes: list[Any] = []

    def run() -> None:
        with node_of(guarded("a")) as node:

            def take_long(state: Any) -> Any:
                time.sleep(4 * LIMIT_MS / 1000)
                return state, "uncut"

            outcomes.append(node.call("a", take_long))
            outcomes.append(node._world.guard.armed)

    with node_of(guarded("a")) as node:
        node.call("a", 1)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert outcomes == ["uncut", False]
        with pytest.raises(CalleeCrashed, match="StepTimeout"):
            node.call("a", loop)


def test_steps_are_cut_inside_asyncio_too_and_the_loop_goes_on() -> None:
    async def main() -> None:
        with node_of(guarded("a"), guarded("b")) as node:
            async with asyncio.TaskGroup() as group:
                other = group.create_task(node.acall("b", "here"))
                with pytest.raises(CalleeCrashed, match="StepTimeout"):
                    await node.acall("a", loop_under_except)
            assert other.result() == "here"
            assert await node.acall("a", get) == 0
            with pytest.raises(CalleeCrashed, match="StepTimeout"):
                node.call("a", sleep)
            serving = asyncio.ensure_future(node.serve())
            node.cast("a", loop)
            assert await node.acall("a", get) == 0
        await serving

    asyncio.run(main())

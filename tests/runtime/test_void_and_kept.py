"""What has become void is not served; what was accepted is served, or its sender is told.

A message that can become void carries what makes it void (the timer, the life), and is looked at
when it is served. Nothing is dropped without a report and a counter.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator
from typing import Any

import pytest

from ssm_cli import (
    TIMEOUT,
    CalledFromStep,
    CalleeCrashed,
    CalleeStopped,
    CallTimeout,
    CancelTimer,
    Cast,
    Continue,
    Info,
    ManualClock,
    MemoryStore,
    Node,
    NoProc,
    NoReply,
    Ok,
    Reply,
    SsmError,
    StartTimer,
    StateMachine,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.behaviour.reasons import ExitReason
from ssm_cli.spec.model import Backoff, ChildSpec
from tests.http.serving import serve
from tests.runtime.bounded import bounded, drive
from tests.runtime.workers import Server, actor, add, fail, get, worker


def tree_of(*children: ChildSpec, clock: ManualClock, **flags: Any) -> Node:
    flags.setdefault("intensity", 100)
    return Node(Supervisor("root", children=children, **flags), clock=clock)


def asks(*effects: Any) -> Any:
    """A message whose step asks for these effects."""
    return lambda state: (state, "asked", effects)


def note(word: object) -> Any:
    """A message that is put down in a list."""
    return lambda state: ([*state, word], None)


def timer(ms: float, word: str = "timer") -> StartTimer:
    return StartTimer("t", ms, note(word))


def listing(name: str, **options: Any) -> ChildSpec:
    return worker(name, args={"state": []}, **options)


def dropped(node: Node) -> list[str]:
    """The id that each dropped input is reported under; a report may stand for several."""
    told = [report for report in node.reports() if report.event == "dropped"]
    return [report.id for report in told for _ in range(report.detail.get("count", 1))]


# -- timers that are due already when they become void -----------------------------------------


@pytest.mark.parametrize(
    ("voids", "later"),
    [
        ([CancelTimer("t")], []),
        ([timer(20, "again")], ["again"]),
        ([CancelTimer("t"), timer(20, "again")], ["again"]),
        ([timer(20, "again"), CancelTimer("t")], []),
        ([timer(0, "at once"), timer(20, "again")], ["again"]),
    ],
    ids=["cancelled", "replaced", "cancelled and new", "replaced and cancelled", "replaced twice"],
)
def test_a_timer_that_is_due_is_void_once_a_step_ahead_of_it_has(
    voids: list[Any], later: list[str]
) -> None:
    clock = ManualClock()
    with tree_of(listing("a"), worker("b"), clock=clock) as node:
        node.call("a", asks(timer(10)))
        node.cast("a", asks(*voids))
        clock.advance_s(1)
        node.run()
        assert node.call("a", get) == []
        node.run(1)
        assert node.call("a", get) == later


def test_of_two_timers_that_are_due_the_first_may_cancel_the_second() -> None:
    clock = ManualClock()
    with tree_of(listing("a"), clock=clock) as node:
        first = StartTimer("first", 10, asks(CancelTimer("t")))
        node.call("a", asks(first, timer(10)))
        clock.advance_s(1)
        node.run()
        assert node.call("a", get) == []


def test_a_cancel_in_a_continue_makes_a_timer_that_is_due_void() -> None:
    clock = ManualClock()
    cancels = lambda state: NoReply(state, effects=[CancelTimer("t")])  # noqa: E731 - one message
    with tree_of(Worker("s", Server, args={"state": []}), clock=clock) as node:
        begin = StartTimer("t", 10, "timer")
        node.call("s", lambda _, state: Reply(None, state, effects=[begin]))
        node.cast("s", lambda state: NoReply(state, then=Continue(cancels)))
        clock.advance_s(1)
        node.run(1)
        assert node.get_state("s") == []


def lives_with_timer(seen: list[str]) -> Any:
    """A worker that starts a timer in each `init`; the timer notes whose life it is of."""
    lives: list[str] = []

    def begin(_name: str) -> Ok:
        lives.append(f"life {len(lives) + 1}")
        word = lives[-1]

        def tell(state: Any) -> Any:
            seen.append(f"{word} in life {len(lives)}")
            return state, None

        return Ok(0, effects=[StartTimer("t", 10, tell)])

    return worker("a", args={"init": begin})


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("end", ["crash", "kill", "stop", "sibling", "restart_child"])
def test_a_timer_that_is_due_is_void_in_the_next_life(strategy: str, end: str) -> None:
    clock, seen = ManualClock(), list[str]()
    children = [worker("b"), lives_with_timer(seen)]
    with tree_of(*children, clock=clock, strategy=strategy) as node:
        if end == "sibling" and strategy == "one_for_one":
            return  # it does not end then
        if end in ("crash", "sibling"):
            node.cast("a" if end == "crash" else "b", fail)
        clock.advance_s(0.01)
        if end == "kill":
            node.kill("a")
        elif end == "stop":
            node.stop_process("a")
        elif end == "restart_child":
            node.terminate_child("root", "a")
            node.restart_child("root", "a")
        node.run()
        assert seen == []
        node.run(1)
        assert seen == ["life 2 in life 2"]


def test_a_timer_that_waits_for_a_suspended_worker_is_void_in_its_next_life() -> None:
    clock = ManualClock()
    with tree_of(listing("a"), clock=clock) as node:
        node.call("a", asks(timer(10)))
        node.suspend("a")
        node.run(1)
        node.kill("a")
        node.run(1)
        assert node.call("a", get) == []


def test_a_timer_that_waits_for_a_suspended_worker_can_be_cancelled_by_what_waits_ahead() -> None:
    clock = ManualClock()
    with tree_of(listing("a"), clock=clock) as node:
        node.call("a", asks(timer(10)))
        node.suspend("a")
        node.cast("a", asks(CancelTimer("t")))
        node.run(1)
        node.resume("a")
        node.run(1)
        assert node.call("a", get) == []


def test_a_send_of_an_earlier_life_to_another_worker_is_no_timer_and_is_kept() -> None:
    clock = ManualClock()
    with tree_of(listing("a"), listing("b"), clock=clock) as node:
        node.cast("a", asks(Cast("b", note(1)), Info("b", note(2))))
        node.cast("a", fail)
        node.run()
        assert node.call("b", get) == [1, 2]


# -- time-outs ---------------------------------------------------------------------------------


def waits(ms: float) -> Any:
    return lambda _caller, state: Reply(None, state, then=TimeoutAfter(ms))


@pytest.mark.parametrize("first", ["cast", "info", "call"])
def test_a_time_out_that_is_due_is_void_once_an_input_came_first(first: str) -> None:
    clock = ManualClock()
    with tree_of(Worker("s", Server, args={"state": []}), clock=clock) as node:
        node.call("s", waits(10))
        if first == "cast":
            node.cast("s", NoReply)
        elif first == "info":
            node.info("s", "info")
        else:
            node.send_request("s", "call")
        clock.advance_s(1)
        node.run(1)
        assert TIMEOUT not in node.get_state("s")


@pytest.mark.parametrize("ms", [0, 10])
@pytest.mark.parametrize("end", ["kill", "stop", "crash", "sibling"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_time_out_ends_with_its_life(strategy: str, end: str, ms: float) -> None:
    clock = ManualClock()
    children = [worker("b"), Worker("s", Server, args={"state": []})]
    with tree_of(*children, clock=clock, strategy=strategy) as node:
        node.cast("s", lambda state: NoReply(state, then=TimeoutAfter(ms)))
        if end in ("crash", "sibling"):
            node.cast("s" if end == "crash" else "b", fail)
        node.run()
        if end == "kill":
            node.kill("s")
        elif end == "stop":
            node.stop_process("s")
        clock.advance_s(1)
        node.run(1)
        assert node.statistics("s").starts == 2
        assert node.get_state("s") == []


def test_a_time_out_under_way_in_a_back_off_is_void_in_the_next_life() -> None:
    clock = ManualClock()
    spec = Worker("s", Server, args={"state": []}, backoff=Backoff(initial_ms=100))
    with tree_of(spec, clock=clock) as node:
        node.call("s", waits(50))
        node.kill("s")
        node.run(1)
        assert node.statistics("s").starts == 2
        assert node.get_state("s") == []


# -- inputs that wait while their worker is away -----------------------------------------------


def test_casts_that_wait_during_a_back_off_are_served_by_the_next_life_in_order() -> None:
    clock = ManualClock()
    with tree_of(listing("a", backoff=Backoff(initial_ms=100)), clock=clock) as node:
        for message in (fail, note(1), note(2), note(3)):
            node.cast("a", message)
        node.run()
        assert node.tree().children[0].state == "restarting"
        assert node.tree().children[0].queue == 3
        node.run(1)
        assert node.get_state("a") == [1, 2, 3]
        assert dropped(node) == []


def test_calls_that_wait_during_a_back_off_are_answered_by_the_next_life() -> None:
    clock = ManualClock()
    with tree_of(worker("a", backoff=Backoff(initial_ms=100)), clock=clock) as node:
        node.cast("a", fail)
        waiting = [node.send_request("a", add(1)) for _ in range(3)]
        node.run()
        assert not any(pending.done for pending in waiting)
        assert [node.wait(pending) for pending in waiting] == [1, 2, 3]


def test_a_call_that_waits_longer_than_its_time_during_a_back_off_is_told_timeout() -> None:
    clock = ManualClock()
    with tree_of(
        worker("a", backoff=Backoff(initial_ms=60_000, max_ms=60_000)), clock=clock
    ) as node:
        node.cast("a", fail)
        with pytest.raises(CallTimeout):
            node.call("a", add(1), timeout_s=2)
        assert clock.now_s() == pytest.approx(2)


def test_a_concurrent_call_that_waits_during_a_back_off_is_answered_by_the_next_life() -> None:
    async def main() -> list[Any]:
        tree = Supervisor("root", children=[worker("a", backoff=Backoff(20))], intensity=9)
        with Node(tree) as node:
            asked = [node.acall("a", message) for message in (fail, add(1), add(1))]
            return await asyncio.gather(*asked, return_exceptions=True)

    crashed, first, second = asyncio.run(main())
    assert isinstance(crashed, CalleeCrashed)
    assert [first, second] == [1, 2]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_inputs_of_siblings_wait_during_a_back_off_too(strategy: str) -> None:
    clock = ManualClock()
    children = [listing("a", backoff=Backoff(initial_ms=100)), listing("b")]
    with tree_of(*children, clock=clock, strategy=strategy) as node:
        for name, message in (("a", fail), ("b", note(1)), ("a", note(2)), ("b", note(3))):
            node.cast(name, message)
        waiting = node.send_request("b", lambda state: (state, "there"))
        assert node.wait(waiting) == "there"
        node.run(1)
        assert node.get_state("a") == [2]
        assert dropped(node) == []


@pytest.mark.parametrize("tries", [2, 5])
def test_inputs_wait_while_a_supervisor_above_is_restarted_again_and_again(tries: int) -> None:
    lives: list[int] = []

    def begin(_: str) -> Any:
        lives.append(1)
        if 1 < len(lives) <= tries:
            raise OSError("not yet")
        return []

    clock = ManualClock()
    inner = Supervisor(
        "inner", children=[worker("a", args={"init": begin}), listing("b")], intensity=0
    )
    with tree_of(inner, clock=clock) as node:
        node.cast("a", fail)
        node.cast("a", note(1))
        node.cast("b", note(2))
        asked = node.send_request("a", lambda state: (state, "there"))
        node.run(1)
        assert asked.result() == "there"
        assert node.get_state("a") == [1]
        assert node.get_state("b") == [2]


def test_inputs_that_wait_for_a_worker_whose_restarts_fail_are_served_once_one_succeeds() -> None:
    lives: list[int] = []

    def begin(_: str) -> Any:
        lives.append(1)
        if 1 < len(lives) < 20:
            raise OSError("not yet")
        return 0

    clock = ManualClock()
    with tree_of(worker("a", args={"init": begin}), worker("b"), clock=clock) as node:
        node.cast("a", fail)
        asked = [node.send_request("a", add(1)) for _ in range(3)]
        assert [node.wait(pending) for pending in asked] == [1, 2, 3]


def test_a_back_off_that_ends_in_giving_up_tells_the_callers_that_wait() -> None:
    lives: list[int] = []

    def begin(_: str) -> int:
        lives.append(1)
        if len(lives) > 1:
            raise OSError("no disk")
        return 0

    clock = ManualClock()
    spec = worker("a", args={"init": begin}, backoff=Backoff(initial_ms=100))
    with tree_of(spec, clock=clock, intensity=2, period=60) as node:
        node.cast("a", fail)
        asked = node.send_request("a", get)
        node.cast("a", add(1))
        node.run(10)
        assert node.gave_up
        with pytest.raises((CalleeStopped, NoProc)):
            asked.result()


def test_a_child_that_is_terminated_during_its_back_off_tells_the_callers_that_wait() -> None:
    clock = ManualClock()
    with tree_of(worker("a", backoff=Backoff(initial_ms=1000)), clock=clock) as node:
        node.cast("a", fail)
        asked = node.send_request("a", get)
        node.run()
        node.terminate_child("root", "a")
        node.run(5)
        with pytest.raises((CalleeStopped, NoProc)):
            asked.result()


def test_a_tree_and_its_fork_that_stop_during_a_back_off_report_the_casts_that_wait() -> None:
    clock = ManualClock()
    node = tree_of(worker("a", backoff=Backoff(initial_ms=1000)), worker("b"), clock=clock)
    with node:
        node.cast("a", fail)
        node.cast("a", add(1))
        node.run()
        other = node.fork()
        other.stop()
    for one in (node, other):
        assert dropped(one) == ["a"]


def test_effects_to_a_worker_in_its_back_off_are_served_by_its_next_life_or_reported() -> None:
    clock = ManualClock()
    children = [listing("a", backoff=Backoff(initial_ms=100)), worker("b")]
    with tree_of(*children, clock=clock) as node:
        node.cast("b", lambda state: (state, None, [Cast("a", note(1)), Info("a", note(2))]))
        node.cast("a", fail)
        node.run(1)
        assert node.get_state("a") == [1, 2] or len(dropped(node)) == 2


# -- a call that is refused is not stepped -----------------------------------------------------


def as_client(node: Node) -> Any:
    def client() -> Generator[tuple[str, Any], Any, Any]:
        return (yield "b", add(1))

    return node.run_clients(client())


WAYS: dict[str, Callable[[Node], object]] = {
    "call": lambda node: node.call("b", add(1)),
    "call with a time": lambda node: node.call("b", add(1), timeout_s=0.5),
    "call_value": lambda node: node.call_value("b", b"word"),
    "cast": lambda node: node.cast("b", add(1)),
    "cast_nowait": lambda node: node.cast_nowait("b", add(1)),
    "info": lambda node: node.info("b", add(1)),
    "acall": lambda node: drive(node.acall("b", add(1))),
    "acall_value": lambda node: drive(node.acall_value("b", b"word")),
    "send_request": lambda node: node.send_request("b", add(1)),
    "run_clients": as_client,
}
PLACES = ("step", "init", "terminate", "reader", "notify", "callback")


def try_it(node: list[Node], way: str, refused: list[bool]) -> None:
    """Ask in one of the ways, once, and note whether that was refused."""
    if node and not refused:
        refused.append(True)
        try:
            WAYS[way](node[0])
        except (SsmError, RuntimeError):  # without a loop that runs, asyncio refuses as well
            return
        refused[0] = False


def asked_from(place: str, way: str) -> tuple[bool, int]:
    """Whether a request made in that place was refused, and how often it was stepped."""
    found: list[Node] = []
    refused: list[bool] = []

    def ask(*_: object) -> Any:
        try_it(found, way, refused)
        return 0, None

    def end(_name: str, _state: Any, _reason: ExitReason) -> None:
        ask()

    machine = StateMachine(step=actor.step, init=actor.init, terminate=end)
    args = {"init": lambda _: ask()[0]} if place == "init" else {}
    spec = Worker("a", machine if place == "terminate" else actor, args=args)
    callback = Worker("s", Server, args={"state": []})
    with tree_of(spec, worker("b"), callback, clock=ManualClock()) as node:
        found.append(node)
        if place == "reader":
            node.subscribe(ask)
        if place in ("init", "terminate", "reader"):
            node.kill("a") if place == "init" else node.cast("a", fail)
        elif place == "notify":
            node.send_request("a", get, ask)
        elif place == "callback":
            node.cast("s", lambda state: NoReply([*state, ask()]))
        else:
            node.cast("a", ask)
        node.run()
        node.run()
        assert refused, "it was tried"
        return refused[0], node.tree().children[1].steps


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
@bounded()
def test_what_is_refused_is_not_stepped_later_and_what_is_not_is_stepped_once(
    way: str, place: str
) -> None:
    refused, steps = asked_from(place, way)
    assert steps == (0 if refused else 1)


@pytest.mark.parametrize("way", ["call", "call with a time", "call_value", "run_clients"])
@pytest.mark.parametrize("place", ["step", "reader"])
@bounded()
def test_a_call_that_would_wait_for_the_loop_it_is_in_is_refused(place: str, way: str) -> None:
    refused, _ = asked_from(place, way)
    assert refused


@pytest.mark.parametrize("place", ["step", "reader"])
@bounded()
def test_an_acall_that_is_refused_beside_a_running_loop_is_not_stepped_later(place: str) -> None:
    found: list[Node] = []
    refused: list[bool] = []

    def ask(*_: object) -> Any:
        try_it(found, "acall", refused)
        return 0, None

    async def main() -> int:
        tree = Supervisor("root", children=[worker("a"), worker("b")], intensity=9)
        with Node(tree, clock=ManualClock()) as node:
            await node.acall("a", get)
            found.append(node)
            if place == "reader":
                node.subscribe(ask)
            await asyncio.gather(node.acall("a", ask), return_exceptions=True)
            await asyncio.gather(node.acall("a", fail), return_exceptions=True)
            for _ in range(20):
                await asyncio.sleep(0)
            return node.tree().children[1].steps

    steps = asyncio.run(main())
    assert steps == (0 if refused[0] else 1)


def test_a_refused_call_with_a_request_id_leaves_the_id_free() -> None:
    refused: list[bool] = []
    store = MemoryStore()
    spec = Worker("d", DURABLE, persist="journal")
    tree = Supervisor("root", children=[spec, worker("a")])
    with Node(tree, clock=ManualClock(), store=store) as node:

        def ask(*_: object) -> Any:
            with pytest.raises(CalledFromStep):
                node.call("d", b"one", request_id="r1")
            refused.append(True)

        stop = node.subscribe(lambda report: ask() if report.event == "crashed" else None)
        node.cast("a", fail)
        node.run()
        stop()
        assert refused == [True]
        assert node.get_state("d") == []
        node.call("d", b"two", request_id="r1")
        assert node.get_state("d") == ["two"]


# -- durable workers ---------------------------------------------------------------------------


def write(message: str, state: list[str]) -> Any:
    if message.startswith("send "):
        many = int(message.removeprefix("send "))
        return state, "sent", [Cast("to", f"{n}") for n in range(many)]
    return [*state, message], f"{len(state) + 1}"


DURABLE = StateMachine(step=write, init=lambda _name, _args: [], state=list[str])


@pytest.mark.parametrize("at_once", [1, 100, 300])
def test_nothing_that_a_durable_worker_sends_to_a_suspended_one_is_lost(at_once: int) -> None:
    children = [Worker(name, DURABLE, persist="journal") for name in ("from", "to")]
    tree = Supervisor("root", children=children)
    with Node(tree, clock=ManualClock(), store=MemoryStore()) as node:
        node.suspend("to")
        for _ in range(300 // at_once):
            assert node.call("from", f"send {at_once}".encode()) == b"sent"
            node.run()
        node.resume("to")
        node.run(1)
        assert node.get_state("to") == [f"{n}" for n in range(at_once)] * (300 // at_once)
        assert dropped(node) == []


def test_what_a_durable_worker_sent_to_a_suspended_one_is_there_after_a_stop_and_a_start() -> None:
    children = [Worker(name, DURABLE, persist="journal") for name in ("from", "to")]
    tree, store = Supervisor("root", children=children), MemoryStore()
    with Node(tree, clock=ManualClock(), store=store) as node:
        node.suspend("to")
        node.call("from", b"send 300")
        node.run()
    with Node(tree, clock=ManualClock(), store=store) as node:
        node.run(1)
        assert node.get_state("to") == [f"{n}" for n in range(300)]


# -- what is dropped is told -------------------------------------------------------------------

DROPS: dict[str, Callable[[Node], object]] = {
    "cast effect": lambda node: node.call("a", asks(Cast("nobody", 1))),
    "info effect": lambda node: node.call("a", asks(Info("root", 1))),
    "cast to a stopped worker": lambda node: node.cast("gone", 1),
    "info to a stopped worker": lambda node: node.info("gone", 1),
    "effect to a stopped worker": lambda node: node.call("a", asks(Cast("gone", 1))),
    "timer of an effect to nobody": lambda node: node.call(
        "a", asks(StartTimer("t", 0, asks(Cast("nobody", 1))))
    ),
}


@pytest.mark.parametrize("way", DROPS)
def test_an_input_that_is_dropped_is_reported(way: str) -> None:
    clock = ManualClock()
    with tree_of(worker("a"), worker("gone"), clock=clock) as node:
        node.terminate_child("root", "gone")
        DROPS[way](node)
        node.run()
        assert len(dropped(node)) == 1


def test_an_input_that_a_suspended_worker_has_no_room_for_is_refused_or_reported() -> None:
    clock = ManualClock()
    with tree_of(worker("a"), worker("b"), clock=clock, queue=4) as node:
        node.suspend("b")
        node.cast("a", asks(*[Cast("b", add(1))] * 10))
        node.run()
        lost = len(dropped(node))
        node.resume("b")
        node.run()
        assert node.get_state("b") + lost == 10


def test_what_waits_for_a_worker_when_it_is_terminated_is_reported() -> None:
    clock = ManualClock()
    with tree_of(worker("a"), worker("b"), clock=clock) as node:
        for _ in range(3):
            node.cast("a", add(1))
        node.terminate_child("root", "a")
        node.run()
        assert len(dropped(node)) == 3


def test_what_waits_for_a_temporary_worker_when_it_ends_is_reported() -> None:
    clock = ManualClock()
    with tree_of(worker("a", restart="temporary"), clock=clock) as node:
        for message in (fail, add(1), add(1)):
            node.cast("a", message)
        node.run()
        assert len(dropped(node)) == 2


def test_the_metrics_count_what_was_dropped() -> None:
    async def main() -> str:
        sends = StateMachine(step=lambda _, state: (state, "ok", [Cast("nobody", 1)] * 3))
        async with serve(Supervisor("root", children=[Worker("a", sends)])) as served:
            for _ in range(2):
                status, _, _ = await served.call("a", "go")
                assert status == 200
            metrics: bytes = (await served.ask("GET", "/metrics"))[1]
            return metrics.decode()

    text = asyncio.run(main())
    counts = re.findall(r"^ssm_\w*dropped\w*_total(?:\{.*\})? ([\d.e+]+)$", text, re.MULTILINE)
    assert sum(float(count) for count in counts) == 6

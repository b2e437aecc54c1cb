from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_cli import (
    Answer,
    CalledFromStep,
    CalleeCrashed,
    CalleeStopped,
    Caller,
    CallTimeout,
    DecodeError,
    Defer,
    FakeLinks,
    ManualClock,
    Node,
    NoProc,
    QueueFull,
    Remote,
    Reply,
    SsmError,
    StartTimer,
    StateMachine,
    Supervisor,
    Worker,
)
from ssm_cli.machines.kv import Lookup, Ok, Result, Store, kv_store
from ssm_cli.runtime.remote.ports import Outcome
from tests.runtime.workers import Server, add, events, fail, get, running, worker

Talking = Generator[tuple[str, Any], Any, Any]


def asks(*calls: tuple[str, Any]) -> Talking:
    """Ask these one after the other; what came of each."""
    outcomes: list[Any] = []
    for call in calls:
        try:
            outcomes.append((yield call))
        except SsmError as error:
            outcomes.append(error)
    return outcomes


def kinds(outcomes: list[Any]) -> list[Any]:
    """Outcomes, errors by their class."""
    return [type(o) if isinstance(o, SsmError) else o for o in outcomes]


def defer(state: Any) -> Any:
    return state, None, [Defer("later")]


def answer(value: Any) -> Any:
    return lambda state: (state, "given", [Answer("later", value)])


# -- what a client gets ------------------------------------------------------------------------


def test_each_client_returns_what_it_made_of_the_outputs_that_it_was_sent() -> None:
    def adder(n: int) -> Talking:
        first = yield "a", add(n)
        second = yield "a", add(n)
        return first, second

    with running(worker("a")) as node:
        assert node.run_clients(adder(1), adder(10)) == [(1, 12), (11, 22)]


def test_no_clients_are_done_at_once_and_one_that_asks_nothing_is_too() -> None:
    with running(worker("a")) as node:
        assert node.run_clients() == []
        assert node.run_clients(asks()) == [[]]


def test_bytes_in_give_bytes_out_and_typed_in_gives_typed_out() -> None:
    with running(Worker("kv", kv_store)) as node:
        calls = [("kv", b"Store x 1"), ("kv", Lookup("x")), ("root/kv", Store("y", 2))]
        (outcomes,) = node.run_clients(asks(*calls, ("kv", b"Lookup y")))
    assert outcomes == [b"Ok", Result(1), Ok(), b"Result 2"]


def test_clients_take_turns_and_are_served_in_the_order_in_which_they_asked() -> None:
    served: list[str] = []

    def note(who: str) -> Any:
        def step(state: Any) -> Any:
            served.append(who)
            return state, None

        return step

    with running(worker("a")) as node:
        node.run_clients(*(asks(*[("a", note(f"{who}{n}")) for n in range(3)]) for who in "xyz"))
    assert served == ["x0", "y0", "z0", "x1", "y1", "z1", "x2", "y2", "z2"]


def test_more_clients_than_the_queue_holds_are_all_served() -> None:
    with running(worker("a"), queue=3) as node:
        sums = node.run_clients(*(asks(("a", add(1)), ("a", add(1))) for _ in range(50)))
        assert sorted(n for pair in sums for n in pair) == list(range(1, 101))


# -- outcomes other than replied ---------------------------------------------------------------


def test_any_other_outcome_is_raised_where_the_client_waits_and_it_may_go_on() -> None:
    with running(worker("a"), Worker("kv", kv_store)) as node:
        broken = asks(("a", fail), ("b", 1), ("kv", b"Stare"), ("root", 1), ("a", "on"))
        fine = asks(*[("a", "on")] * 5)
        outcomes, others = node.run_clients(broken, fine)
    assert kinds(outcomes) == [CalleeCrashed, NoProc, DecodeError, NoProc, "on"]
    assert str(outcomes[1]) == "no worker b"
    assert others == ["on"] * 5


def test_a_crash_restarts_the_worker_before_the_next_call_is_served() -> None:
    with running(worker("a")) as node:
        before = len(node.reports())
        assert kinds(node.run_clients(asks(("a", add(1)), ("a", fail), ("a", get)))[0])[2] == 0
        assert events(node, before)[:2] == ["crashed a", "terminating a"]


class ReadsOnly:
    """A codec that cannot write numbers."""

    def decode(self, data: bytes) -> Any:
        return data.decode()

    def encode(self, value: Any) -> bytes:
        if isinstance(value, int):
            raise OSError(f"cannot write {value}")
        return str(value).encode()


def test_an_output_that_its_codec_cannot_write_is_undecodable() -> None:
    machine = StateMachine(step=lambda m, s: (s, len(m) if m == "count" else m), codec=ReadsOnly())
    with running(Worker("a", machine)) as node:
        (outcomes,) = node.run_clients(asks(("a", b"count"), ("a", b"say")))
    assert kinds(outcomes) == [DecodeError, b"say"]
    assert "a answered, but its codec cannot write that: OSError" in str(outcomes[0])


def test_an_error_that_leaves_a_client_is_raised_and_the_others_are_closed() -> None:
    closed: list[str] = []

    def patient() -> Talking:
        try:
            yield "a", add(1)
            yield "a", defer
        finally:
            closed.append("patient")

    def hasty() -> Talking:
        yield "a", add(10)
        yield "a", fail

    with running(worker("a")) as node:
        with pytest.raises(CalleeCrashed, match="a crashed: ValueError: as asked"):
            node.run_clients(patient(), hasty())
        assert closed == ["patient"]
        assert node.call("a", get) == 0  # what was asked was served, up to the crash


def test_a_client_that_stops_the_node_leaves_the_others_with_callee_stopped() -> None:
    def stops(node: Node) -> Talking:
        yield "a", "first"
        node.stop(drain=False)
        return "stopped"

    with running(worker("a")) as node:
        waits, stopped = node.run_clients(asks(("a", "on"), ("a", "on"), ("a", "on")), stops(node))
    assert stopped == "stopped"
    assert kinds(waits) == ["on", CalleeStopped, CalleeStopped]


def test_a_suspended_worker_with_too_many_waiting_refuses_more() -> None:
    with running(worker("a"), queue=2) as node:
        node.suspend("a")
        outcomes = node.run_clients(*(asks(("a", "on")) for _ in range(4)))
    assert [kinds(one) for one in outcomes] == [[CallTimeout]] * 2 + [[QueueFull]] * 2


# -- time --------------------------------------------------------------------------------------


def test_a_call_that_is_not_answered_times_out_after_its_time_and_the_client_goes_on() -> None:
    with running(worker("a")) as node:
        (outcomes,) = node.run_clients(asks(("a", defer), ("a", "on")), timeout_s=2.5)
        assert kinds(outcomes) == [CallTimeout, "on"]
        assert node._world.clock.now_s() == 2.5


def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_call() -> None:
    def late() -> Talking:
        outcomes = yield from asks(("a", defer))
        second = yield "a", answer("of the first")
        third = yield "a", "third"
        return [*kinds(outcomes), second, third]

    with running(worker("a")) as node:
        assert node.run_clients(late(), timeout_s=1.0) == [[CallTimeout, "given", "third"]]


def test_an_input_that_waits_longer_than_its_client_is_served_without_it() -> None:
    with running(worker("a"), worker("b")) as node:
        node.suspend("a")

        def resumes() -> Talking:
            outcomes = yield from asks(("a", add(5)))
            node.resume("a")
            outcomes.append((yield "b", "b"))
            outcomes.append((yield "a", get))
            return kinds(outcomes)

        assert node.run_clients(resumes(), timeout_s=1.0) == [[CallTimeout, "b", 5]]


def test_a_step_that_takes_longer_than_its_client_waits_counts_as_timeout() -> None:
    with running(worker("a")) as node:
        clock = node._world.clock
        assert isinstance(clock, ManualClock)

        def slow(state: int) -> Any:
            clock.advance_s(0.5)
            return state + 1, "late"

        (outcomes,) = node.run_clients(asks(("a", slow), ("a", get)), timeout_s=0.2)
    assert kinds(outcomes) == [CallTimeout, 1]


def test_without_a_time_calls_that_nothing_can_answer_end_at_once() -> None:
    with running(worker("a")) as node:
        outcomes = node.run_clients(asks(("a", defer)), asks(("a", "on")), timeout_s=None)
        assert kinds(outcomes[0]) == [CallTimeout]
        assert "nothing that could answer is under way" in str(outcomes[0][0])
        assert outcomes[1] == ["on"]


def test_time_passes_for_timers_while_all_clients_wait() -> None:
    def later(state: Any) -> Any:
        timer = StartTimer("t", 3000, answer("in time"))
        return state, None, [Defer("later"), timer]

    with running(worker("a")) as node:
        assert node.run_clients(asks(("a", later))) == [["in time"]]
        assert node._world.clock.now_s() == 3.0


def test_a_call_of_one_client_times_out_while_another_keeps_the_node_busy() -> None:
    def busy(clock: ManualClock) -> Talking:
        def takes_time(state: Any) -> Any:
            clock.advance_s(0.25)
            return state, None

        for _ in range(40):
            yield "b", takes_time

    with running(worker("a"), worker("b")) as node:
        clock = node._world.clock
        assert isinstance(clock, ManualClock)
        outcomes, _ = node.run_clients(asks(("a", defer), ("a", "on")), busy(clock), timeout_s=2.0)
    assert kinds(outcomes) == [CallTimeout, "on"]


# -- one outcome for each call -----------------------------------------------------------------


def test_a_server_that_answers_twice_answers_one_call_once() -> None:
    def twice(caller: Caller, state: Any) -> Any:
        caller.reply("early")
        return Reply("again", state)

    with running(Worker("s", Server)) as node:
        (outcomes,) = node.run_clients(asks(("s", twice), ("s", "next"), ("s", twice)))
    assert outcomes == ["early", "next", "early"]


def test_a_caller_that_is_answered_again_later_does_not_answer_the_next_call() -> None:
    kept: list[Caller] = []

    def keep(caller: Caller, state: Any) -> Any:
        kept.append(caller)
        return Reply("first", state)

    def answer_kept(caller: Caller, state: Any) -> Any:
        kept[0].reply("stale")
        return Reply("second", state)

    with running(Worker("s", Server)) as node:
        (outcomes,) = node.run_clients(asks(("s", keep), ("s", answer_kept), ("s", "third")))
    assert outcomes == ["first", "second", "third"]


Plan = list[tuple[str, str]]
PLANS = st.lists(
    st.lists(st.tuples(st.sampled_from("abz"), st.sampled_from(["add", "fail", "defer"]))),
    max_size=8,
)


@given(plans=PLANS)
@settings(max_examples=60)
def test_every_call_has_one_outcome_and_it_is_that_of_its_own_input(plans: list[Plan]) -> None:
    messages: dict[str, Callable[[int], Any]] = {
        "add": lambda n: lambda s: (s, n),
        "fail": lambda _: fail,
        "defer": lambda _: defer,
    }

    def client(plan: Plan, base: int) -> Talking:
        return (
            yield from asks(
                *((who, messages[what](base + i)) for i, (who, what) in enumerate(plan))
            )
        )

    with running(worker("a"), worker("b"), queue=4, intensity=10**6) as node:
        got = node.run_clients(*(client(p, i * 1000) for i, p in enumerate(plans)), timeout_s=1.0)
    assert [len(outcomes) for outcomes in got] == [len(plan) for plan in plans]
    for i, (plan, outcomes) in enumerate(zip(plans, got, strict=True)):
        for j, ((who, what), outcome) in enumerate(zip(plan, outcomes, strict=True)):
            if who == "z":
                assert type(outcome) is NoProc
            elif what == "add":
                assert outcome == i * 1000 + j
            else:  # a deferred call ends by time, by a crash of its worker, or by another's key
                assert type(outcome) in {CalleeCrashed, CallTimeout, CalleeStopped}


# -- where clients may be run, and what they may do --------------------------------------------


def test_a_client_may_do_with_the_node_what_its_owner_may() -> None:
    def inner() -> Talking:
        return (yield "a", add(100))

    def outer(node: Node) -> Talking:
        node.cast("a", add(1))
        first = yield "a", get
        node.call("a", add(10))
        assert node.run_clients(inner()) == [111]
        return first, node.get_state("a"), (yield "a", get)

    with running(worker("a")) as node:
        assert node.run_clients(outer(node)) == [(1, 111, 111)]


def test_a_step_may_not_run_clients() -> None:
    with running(worker("a")) as node:
        caught: list[str] = []

        def runs(state: Any) -> Any:
            try:
                node.run_clients(asks(("a", "on")))
            except CalledFromStep as error:
                caught.append(str(error))
            return state, None

        node.call("a", runs)
    assert caught == ["a called its own node from a step; return an effect"]


def test_what_is_no_generator_is_refused_before_anything_runs() -> None:
    with running(worker("a")) as node:
        first = asks(("a", add(1)))
        with pytest.raises(TypeError, match=r"a client is a generator that yields calls, got 7"):
            node.run_clients(first, 7)  # type: ignore[arg-type]  # that is what is tested
        assert node.call("a", get) == 0


@pytest.mark.parametrize("wrong", [None, 7, ("a",), ("a", 1, 2)])
def test_what_is_no_call_is_refused_and_said(wrong: Any) -> None:
    def client() -> Talking:
        yield wrong

    with (
        running(worker("a")) as node,
        pytest.raises(TypeError, match=r"a client yields \(worker, message\), got "),
    ):
        node.run_clients(client())


def test_workers_on_other_computers_are_called_as_by_call() -> None:
    clock = ManualClock()
    links = FakeLinks(clock, {"far.echo": lambda data: Outcome("replied", b"got " + data)})
    tree = Supervisor("root", children=[Remote("far", "far.yaml"), worker("near")])
    with Node(tree, clock=clock, links=links) as node:
        calls = [("far.echo", b"x"), ("far.nobody", b"x"), ("far.echo", 1), ("near", "on")]
        (outcomes,) = node.run_clients(asks(*calls))
    assert kinds(outcomes) == [b"got x", NoProc, DecodeError, "on"]

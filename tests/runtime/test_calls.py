from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    Answer,
    CalleeCrashed,
    CalleeStopped,
    CallTimeout,
    Cast,
    DecodeError,
    Defer,
    ManualClock,
    Node,
    NoProc,
    QueueFull,
    SsmError,
    Strategy,
    Supervisor,
    Worker,
)
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.machines.kv import Lookup, Ok, Result, Store, kv_store
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.spec.model import Backoff
from tests.runtime.workers import add, events, fail, get, running, worker


def defer(state: Any) -> Any:
    return state, None, [Defer("later")]


def give_answer(state: Any) -> Any:
    return state, "given", [Answer("later", "answer")]


class Slow:
    """A step that takes half a second of the manual clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def __call__(self, state: int) -> tuple[int, str]:
        self.clock.advance_s(0.5)
        return state + 1, "late"


class Stubborn:
    """A codec that can neither write nor read."""

    def decode(self, data: bytes) -> Any:
        raise OSError(f"cannot read {data!r}")

    def encode(self, value: Any) -> bytes:
        raise OSError(f"cannot write {value!r}")


# -- replied -----------------------------------------------------------------------------------


def test_bytes_in_give_bytes_out_and_typed_in_gives_typed_out() -> None:
    with running(Worker("kv", kv_store)) as node:
        assert node.call("kv", b"Store x 1") == b"Ok"
        assert node.call("kv", Lookup("x")) == Result(1)
        assert node.call("root/kv", Store("y", 2)) == Ok()
        assert node.call("kv", b"Lookup y") == b"Result 2"
        assert node.call_value("kv", b"Lookup x") == (b"Result 1", Result(1))


def test_casts_and_calls_of_one_caller_are_served_in_order() -> None:
    with running(worker("a", args={"state": []})) as node:
        for number in range(1000):  # the queue holds 128
            node.cast("a", lambda state, n=number: ([*state, n], None))
        assert node.call("a", get) == list(range(1000))


def test_an_output_that_cannot_be_written_is_undecodable_and_the_step_counts() -> None:
    spec = Worker("a", StateMachine(step=lambda m, _: (m, m), codec=Stubborn()))
    with running(spec) as node:
        assert node.call("a", 1) == 1
        with pytest.raises(DecodeError, match=r"a answered, but its codec .* OSError"):
            node.encode("a", 1)


# -- crashed -----------------------------------------------------------------------------------


def test_a_crash_is_told_to_the_caller_whose_input_did_it() -> None:
    with running(worker("a")) as node:
        with pytest.raises(CalleeCrashed, match="a crashed: ValueError: as asked") as caught:
            node.call("a", fail)
        assert caught.value.worker == "a"
        assert caught.value.reason == "crash"
        assert isinstance(caught.value.error, ValueError)
        assert node.call("a", "on") == "on"


def test_the_crashing_caller_is_told_before_the_worker_terminates() -> None:
    seen: list[str] = []
    with running(worker("a")) as node:
        node.subscribe(lambda report: seen.append(report.event))
        node.send_request("a", fail, lambda pending: seen.append(type(pending.error).__name__))
        node.run()
    assert seen[: seen.index("started")] == [
        "crashed", "CalleeCrashed", "terminating", "terminated", "restarting", "starting",
    ]  # fmt: skip


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("base")])
def test_whatever_a_step_raises_is_a_crash(error: BaseException) -> None:
    def raise_it(_: Any) -> Any:
        raise error

    with running(worker("a")) as node:
        with pytest.raises(CalleeCrashed) as caught:
            node.call("a", raise_it)
        assert caught.value.error is error
        assert node.call("a", "on") == "on"


NONSENSE: list[Any] = [None, 1, (1,), (1, 2, 3), (1, 2, [3]), (1, 2, None), (1, 2, [], 4)]


@pytest.mark.parametrize("answer", NONSENSE)
def test_a_step_that_answers_nonsense_is_a_crash_and_its_state_stays(answer: Any) -> None:
    left: list[int] = []
    spec = Worker(
        "a",
        StateMachine(
            step=lambda m, s: m(s),
            init=lambda _name, _args: 7,
            terminate=lambda _name, state, _reason: left.append(state),
        ),
    )
    with running(spec) as node:
        with pytest.raises(CalleeCrashed, match="a crashed: BadReturnError: ") as caught:
            node.call("a", lambda _: answer)
        assert caught.value.reason == "bad_return_value"
        assert left == [7]


def test_a_crash_is_reported_even_where_its_codec_cannot_show_the_input() -> None:
    spec = Worker("a", StateMachine(step=lambda m, s: m(s), codec=Stubborn()))
    with running(spec) as node:
        with pytest.raises(CalleeCrashed):
            node.call("a", fail)
        (crash,) = (report for report in node.reports() if report.event == "crashed")
        assert crash.detail["input"] == "<function that cannot be shown: OSError>"
        assert crash.detail["error"] == {"type": "ValueError", "message": "as asked"}


def test_what_a_worker_redacts_is_not_in_its_crash_report() -> None:
    spec = Worker(
        "kv",
        StateMachine(
            step=kv_store.step, inputs=Store | Lookup, redact=lambda _: Store("hidden", 0)
        ),
    )
    with running(spec) as node:
        with pytest.raises(CalleeCrashed):
            node.call("kv", b"Lookup crash")
        (crash,) = (report for report in node.reports() if report.event == "crashed")
        assert crash.detail["input"] == "Store hidden 0"


# -- noproc ------------------------------------------------------------------------------------


def test_an_unknown_name_is_noproc_and_the_nearest_one_is_named() -> None:
    with running(worker("counter")) as node:
        with pytest.raises(NoProc, match=r"no worker countr; did you mean counter\?"):
            node.call("countr", 1)
        with pytest.raises(NoProc, match=r"no worker zzz$"):
            node.call("zzz", 1)
        with pytest.raises(NoProc, match="no worker elsewhere/counter"):
            node.call("elsewhere/counter", 1)


def test_a_supervisor_is_no_worker_and_a_worker_no_supervisor() -> None:
    with running(worker("a")) as node:
        with pytest.raises(NoProc, match="root is a supervisor, not a worker"):
            node.call("root", 1)
        with pytest.raises(NoProc, match="a is a worker, not a supervisor"):
            node.which_children("a")


def test_a_child_that_was_terminated_is_noproc_until_it_is_started_again() -> None:
    with running(worker("a")) as node:
        node.terminate_child("root", "a")
        with pytest.raises(NoProc, match="a is not running"):
            node.call("a", 1)
        node.restart_child("root", "a")
        assert node.call("a", 1) == 1


def test_a_child_between_restart_attempts_is_noproc() -> None:
    with running(worker("a", backoff=Backoff(1000))) as node:
        with pytest.raises(CalleeCrashed):
            node.call("a", fail)
        with pytest.raises(NoProc, match="a is being restarted"):
            node.call("a", 1)
        node.run(1.0)
        assert node.call("a", 1) == 1


def test_casts_to_who_does_not_run_are_counted_and_reported_as_dropped() -> None:
    pool = Supervisor("users", Strategy.SIMPLE_ONE_FOR_ONE, [worker("user")])
    with running(worker("a"), worker("once", restart="temporary"), pool) as node:
        node.kill("once")
        before = len(node.reports())
        node.terminate_child("root", "a")
        node.cast("a", 1)
        for name in ("users:ann", "root/users:ann", "once"):
            node.cast(name, 1)
            node.cast_nowait(name, 1)
            node.info(name, 1)
        node.run()
        told = ["terminating a", "terminated a", "dropped a", *["dropped root"] * 9]
        assert events(node, before) == told
        assert node.dropped == 10


@pytest.mark.parametrize("how", ["cast", "cast_nowait", "info"])
@pytest.mark.parametrize(
    "name", ["nobody", "wrong/a", "root", "root/nobody", "a:ann", "nobody:ann", "users:", "aa"]
)
def test_a_message_to_a_name_that_nothing_can_have_is_refused_as_a_call_of_it_is(
    name: str, how: str
) -> None:
    pool = Supervisor("users", Strategy.SIMPLE_ONE_FOR_ONE, [worker("user")])
    with running(worker("a"), pool) as node:
        before = len(node.reports())
        with pytest.raises(NoProc) as called:
            node.call(name, 1)
        with pytest.raises(NoProc) as caught:
            getattr(node, how)(name, 1)
        assert str(caught.value) == str(called.value)
        assert (len(node.reports()), node.dropped) == (before, 0)


# -- timeout -----------------------------------------------------------------------------------


def test_a_deferred_reply_that_is_never_given_times_out_after_exactly_its_time() -> None:
    with running(worker("a")) as node:
        with pytest.raises(CallTimeout, match="no answer yet") as caught:
            node.call("a", defer, timeout_s=2.5)
        assert node._world.clock.now_s() == 2.5
        assert caught.value.outcome == "timeout"


def test_without_a_time_a_call_that_nothing_can_answer_ends_at_once() -> None:
    with (
        running(worker("a")) as node,
        pytest.raises(CallTimeout, match="nothing that could answer"),
    ):
        node.call("a", defer, timeout_s=None)


def test_a_call_to_a_suspended_worker_times_out_and_its_input_is_served_after_resume() -> None:
    with running(worker("a")) as node:
        node.suspend("a")
        with pytest.raises(CallTimeout):
            node.call("a", add(1), timeout_s=0.1)
        node.resume("a")
        assert node.call("a", get) == 1


def test_an_answer_that_took_longer_than_the_caller_waits_counts_as_timeout() -> None:
    with running(worker("a")) as node:
        clock = node._world.clock
        assert isinstance(clock, ManualClock)
        with pytest.raises(CallTimeout, match=r"a did not answer within 0\.2 s"):
            node.call("a", Slow(clock), timeout_s=0.2)
        assert node.call("a", get) == 1  # stepped all the same


@pytest.mark.parametrize("timeout_s", [0.2, 5.0, None])
def test_how_long_a_call_may_take_is_its_own_affair_however_it_is_measured(
    timeout_s: float | None,
) -> None:
    with running(worker("a", step_timeout="infinity")) as node:
        clock = node._world.clock
        assert isinstance(clock, ManualClock)

        def takes(seconds: float) -> Any:
            def step(state: Any) -> Any:
                clock.advance_s(seconds)
                return state, seconds

            return step

        for seconds in (0.1, 0.3, 0.1, 4.9, 5.1, 0.1, 60.0, 0.1, 0.1):
            if timeout_s is None or seconds <= timeout_s:
                assert node.call("a", takes(seconds), timeout_s) == seconds
            else:
                with pytest.raises(CallTimeout, match=rf"within {timeout_s:g} s"):
                    node.call("a", takes(seconds), timeout_s)


def test_a_late_answer_is_dropped() -> None:
    with running(worker("a")) as node:
        with pytest.raises(CallTimeout):
            node.call("a", defer, timeout_s=1.0)
        assert node.call("a", give_answer) == "given"
        assert node.call("a", get) == 0


def test_a_request_may_be_waited_for_again_after_a_wait_that_timed_out() -> None:
    with running(worker("a")) as node:
        outcomes: list[Any] = []
        pending = node.send_request("a", defer, lambda p: outcomes.append(p.error or p.value))
        for timeout_s in (0.0, 1.0):
            with pytest.raises(CallTimeout):
                node.wait(pending, timeout_s)
        assert node.call("a", give_answer) == "given"
        assert [node.wait(pending, 0.0), node.wait(pending, 0.0)] == outcomes * 2


def test_a_pending_call_has_the_first_outcome_only() -> None:
    outcomes: list[Any] = []
    pending = Pending()
    pending.notify = lambda p: outcomes.append(p.value)
    pending.notify = lambda p: outcomes.append(p.value)
    pending.resolve(1)
    pending.resolve(2)
    pending.fail(NoProc("late"))
    assert (outcomes, pending.result()) == ([1], 1)


def test_a_listener_for_an_outcome_that_raises_hurts_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(pending: Pending) -> None:
        raise RuntimeError(f"cannot take {type(pending.error).__name__}")

    with running(worker("a")) as node:
        pending = node.send_request("a", fail, broken)
        node.run()
        assert isinstance(pending.error, CalleeCrashed)
        assert node.call("a", "on") == "on"
        assert "restarting root" in events(node)
    assert "RuntimeError: cannot take CalleeCrashed" in capsys.readouterr().err


# -- undecodable -------------------------------------------------------------------------------


def test_an_undecodable_input_does_not_touch_the_worker() -> None:
    with running(Worker("kv", kv_store)) as node:
        node.call("kv", b"Store x 1")
        before, seq = node.statistics("kv"), len(node.reports())
        with pytest.raises(DecodeError) as caught:
            node.call("kv", b"Stare x 1")
        assert "Store key:str value:int" in caught.value.expected
        assert caught.value.worker == "kv"
        assert node.statistics("kv") == before
        assert events(node, seq) == []


def test_an_undecodable_cast_is_reported_since_nobody_else_can_be_told() -> None:
    with running(Worker("kv", kv_store)) as node:
        node.cast("kv", b"Stare x 1")
        node.run()
        report = node.reports()[-1]
        assert (report.event, report.id) == ("undecodable", "kv")
        assert report.detail["input"] == "Stare x 1"
        assert report.detail["error"]["type"] == "DecodeError"


def test_whatever_a_codec_raises_is_undecodable() -> None:
    spec = Worker("a", StateMachine(step=lambda m, s: (s, m), codec=Stubborn()))
    with running(spec) as node:
        with pytest.raises(DecodeError, match="a: OSError: cannot read b'x'"):
            node.call("a", b"x")
        assert node.call("a", "typed") == "typed"


# -- queue full --------------------------------------------------------------------------------


def test_a_full_queue_refuses_casts_that_do_not_wait_and_names_its_bound() -> None:
    with running(worker("a"), queue=3) as node:
        for _ in range(3):
            node.cast_nowait("a", add(1))
        with pytest.raises(QueueFull, match="the queue is full: 3 inputs wait"):
            node.cast_nowait("a", add(1))
        assert node.call("a", get) == 3


def test_a_full_queue_is_served_for_callers_that_wait() -> None:
    with running(worker("a"), queue=3) as node:
        for _ in range(3):
            node.cast_nowait("a", add(1))
        node.cast("a", add(1))
        assert node.call("a", get) == 4


def test_a_caller_finds_room_though_two_workers_never_stop_talking() -> None:
    def forward(to: str) -> Any:
        other = "b" if to == "a" else "a"
        return lambda state: (state + 1, None, [Cast(to, forward(other))])

    with running(worker("a"), worker("b"), queue=4) as node:
        for _ in range(3):
            node.cast("a", forward("b"))
        for _ in range(20):
            node.cast("b", add(0))
        assert node.call("a", "on") == "on"
        node.kill("b")
        node.stop(drain=False)


def test_the_backlog_of_a_suspended_worker_is_bounded() -> None:
    with running(worker("a"), queue=2) as node:
        node.suspend("a")
        waiting = [node.send_request("a", get) for _ in range(2)]
        node.run()
        with pytest.raises(QueueFull, match="a is suspended and 2 inputs wait already"):
            node.call("a", get)
        node.resume("a")
        node.run()
        assert [pending.result() for pending in waiting] == [0, 0]


# -- stopped -----------------------------------------------------------------------------------


def test_callers_whose_inputs_wait_while_the_tree_stops_are_told() -> None:
    with running(worker("a")) as node:
        pending = node.send_request("a", get)
        node.stop("maintenance", drain=False)
        with pytest.raises(CalleeStopped, match="the tree has stopped: stop:maintenance"):
            pending.result()


def test_a_stop_serves_what_waits_already_unless_told_otherwise() -> None:
    with running(worker("a")) as node:
        pending = node.send_request("a", add(1))
        node.stop()
        assert pending.result() == 1


def test_a_deferred_caller_is_told_that_its_worker_was_stopped() -> None:
    with running(worker("a")) as node:
        pending = node.send_request("a", defer)
        node.run()
        node.terminate_child("root", "a")
        with pytest.raises(CalleeStopped, match="a ended: shutdown"):
            pending.result()


def test_a_deferred_caller_is_told_that_its_worker_crashed() -> None:
    with running(worker("a")) as node:
        pending = node.send_request("a", defer)
        node.cast("a", fail)
        node.run()
        with pytest.raises(CalleeCrashed, match="as asked"):
            pending.result()


def test_a_node_that_does_not_run_takes_no_calls() -> None:
    node = Node(Supervisor("root", children=[worker("a")]))
    with pytest.raises(SsmError):
        node.call("a", 1)
    with node:
        pass
    with pytest.raises(CalleeStopped, match="the tree is not running"):
        node.call("a", 1)
    with pytest.raises(NoProc, match="the tree is not running"):
        node.get_state("a")


def test_requests_that_a_stopping_supervisor_did_not_get_to_are_answered() -> None:
    with running(worker("a")) as node:
        pending = node.request("root", "which_children")
        node.stop(drain=False)
        with pytest.raises(CalleeStopped, match="root ended"):
            pending.result()


# -- surviving a restart -----------------------------------------------------------------------


def test_inputs_in_the_queue_survive_a_restart_and_are_served_by_the_new_life() -> None:
    with running(worker("a", args={"state": 10})) as node:
        first = node.send_request("a", add(1))
        crash = node.send_request("a", fail)
        second = node.send_request("a", add(5))
        node.run()
        assert first.result() == 11
        assert isinstance(crash.error, CalleeCrashed)
        assert second.result() == 15


def test_a_restart_is_whole_before_anything_else_is_stepped() -> None:
    order: list[str] = []
    log = StateMachine(
        step=lambda message, state: (state, order.append(f"step {message}")),  # type: ignore[func-returns-value]  # None will do
        init=lambda name, _args: order.append(f"init {name}"),
        terminate=lambda name, _state, _reason: order.append(f"terminate {name}"),
    )
    children = [worker("a"), Worker("b", log), Worker("c", log)]
    with running(*children, strategy="one_for_all") as node:
        order.clear()
        node.cast("a", fail)
        node.cast("b", 1)
        node.cast("c", 2)
        node.run()
        assert order == ["terminate c", "terminate b", "init b", "init c", "step 1", "step 2"]

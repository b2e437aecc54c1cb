from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    TIMEOUT,
    Answer,
    CalleeCrashed,
    CalleeStopped,
    Caller,
    CallTimeout,
    Cast,
    Continue,
    Exited,
    ExitSignal,
    GenServer,
    Hibernate,
    Info,
    Node,
    NoReply,
    Ok,
    Other,
    Reply,
    StartTimer,
    Stop,
    TimeoutAfter,
    Worker,
)
from ssm_cli.spec.model import ChildSpec
from tests.runtime.workers import Server, events, running, worker


def server(**options: Any) -> ChildSpec:
    args: dict[str, Any] = {"init": lambda _: Ok([])}
    return Worker("s", Server, args=args, **options)


def state_of(node: Node) -> Any:
    node.run()
    return node.get_state("s")


def test_reply_answers_and_keeps_the_state() -> None:
    with running(server()) as node:
        assert node.call("s", lambda _caller, _state: Reply("value", ["new"])) == "value"
        assert state_of(node) == ["new"]


def test_a_reply_may_be_none() -> None:
    with running(server()) as node:
        assert node.call("s", lambda _caller, state: Reply(None, state)) is None


def test_no_reply_keeps_the_caller_waiting_until_somebody_answers_it() -> None:
    def keep(caller: Caller, _state: Any) -> NoReply:
        return NoReply([caller])

    def answer(_caller: Caller, state: Any) -> Reply:
        return Reply("second", [], effects=[Answer(state[0], "first")])

    with running(server()) as node:
        waiting = node.send_request("s", keep)
        assert node.call("s", answer) == "second"
        assert waiting.result() == "first"


def test_no_reply_without_an_answer_times_out() -> None:
    with running(server()) as node, pytest.raises(CallTimeout):
        node.call("s", lambda _caller, state: NoReply(state), timeout_s=1)


def test_caller_reply_counts_even_if_the_callback_raises_afterwards() -> None:
    def reply_and_crash(caller: Caller, _state: Any) -> Any:
        caller.reply("early")
        raise RuntimeError("afterwards")

    with running(server()) as node:
        assert node.call("s", reply_and_crash) == "early"
        assert "crashed s" in events(node)


def test_only_the_first_reply_counts() -> None:
    def reply_twice(caller: Caller, state: Any) -> Reply:
        caller.reply("first")
        caller.reply("second")
        return Reply("third", state)

    with running(server()) as node:
        assert node.call("s", reply_twice) == "first"


def test_a_kept_caller_can_be_answered_from_a_cast() -> None:
    def answer(state: Any) -> NoReply:
        state[0].reply("from a cast")
        return NoReply([])

    with running(server()) as node:
        waiting = node.send_request("s", lambda caller, _state: NoReply([caller]))
        node.cast("s", answer)
        node.run()
        assert waiting.result() == "from a cast"


def test_stop_with_a_reply_terminates_and_then_answers() -> None:
    order: list[str] = []
    with running(server(restart="transient")) as node:
        node.subscribe(lambda report: order.append(report.event))
        stop = Stop[str, list[Any]]("normal", [], reply="bye")
        node.send_request("s", lambda *_: stop, lambda pending: order.append(pending.value))
        node.run()
    assert order[:3] == ["terminating", "terminated", "bye"]


def test_stop_without_a_reply_tells_the_caller_the_reason() -> None:
    with running(server(restart="temporary")) as node:
        with pytest.raises(CalleeStopped, match="s ended: stop:out of paper") as caught:
            node.call("s", lambda _caller, state: Stop("out of paper", state))
        assert caught.value.reason == "stop:out of paper"


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("normal", "normal"), ({"shutdown": "x"}, "shutdown:x"), ("oops", "stop:oops")],
)
def test_exited_ends_the_worker_with_its_reason(reason: object, shown: str) -> None:
    def leave(_caller: Caller, _state: Any) -> Any:
        raise Exited(reason)

    with running(server(restart="temporary")) as node:
        with pytest.raises(CalleeStopped) as caught:
            node.call("s", leave)
        assert caught.value.reason == shown
        assert "crashed s" not in events(node)


def test_continue_comes_before_any_other_input() -> None:
    def go_on(_caller: Caller, state: Any) -> Reply:
        return Reply("ok", [*state, "call"], then=Continue("continued"))

    with running(server()) as node:
        node.send_request("s", go_on)
        node.cast("s", lambda state: NoReply([*state, "cast"]))
        assert state_of(node) == ["call", "continued", "cast"]


def test_a_continue_may_continue_and_init_may_too() -> None:
    again = Continue(lambda state: NoReply([*state, "again"]))
    begin = Ok(["init"], Continue(lambda state: NoReply([*state, "once"], then=again)))
    with running(Worker("s", Server, args={"init": lambda _: begin})) as node:
        node.cast("s", lambda state: NoReply([*state, "cast"]))
        assert state_of(node) == ["init", "once", "again", "cast"]


def test_a_time_out_comes_when_no_input_does() -> None:
    with running(server()) as node:
        node.call("s", lambda _caller, state: Reply(1, state, then=TimeoutAfter(100)))
        node.run(0.05)
        assert state_of(node) == []
        node.run(0.1)
        assert state_of(node) == [TIMEOUT]


def test_any_input_voids_a_time_out() -> None:
    with running(server()) as node:
        node.call("s", lambda _caller, state: Reply(1, state, then=TimeoutAfter(100)))
        node.cast("s", NoReply)
        node.run(1)
        assert state_of(node) == []


def test_a_time_out_of_zero_comes_behind_what_waits_already() -> None:
    with running(server()) as node:
        node.cast("s", lambda state: NoReply(state, then=TimeoutAfter(0)))
        node.run()
        assert state_of(node) == [TIMEOUT]
        node.replace_state("s", [])
        node.cast("s", lambda state: NoReply(state, then=TimeoutAfter(0)))
        node.cast("s", NoReply)
        assert state_of(node) == []


def test_hibernate_is_accepted() -> None:
    with running(server()) as node:
        assert node.call("s", lambda _caller, state: Reply(1, state, then=Hibernate())) == 1


def test_timers_and_messages_arrive_in_handle_info() -> None:
    with running(server(), worker("a")) as node:
        node.call("s", lambda _c, s: Reply(1, s, effects=[StartTimer("t", 10, "timer")]))
        node.call("a", lambda state: (state, 1, [Info("s", "info")]))
        node.info("s", "outside")
        node.run(1)
        assert state_of(node) == ["info", "outside", "timer"]


def test_a_crash_in_a_timer_before_the_first_call_is_reported() -> None:
    class Fragile(Server):
        def handle_info(self, message: Any, state: Any) -> NoReply:
            raise ValueError(f"cannot take {message}")

    begin: dict[str, Any] = {"init": lambda _: Ok([], effects=[StartTimer("t", 10, "timer")])}
    with running(Worker("s", Fragile, args=begin, restart="temporary")) as node:
        node.run(1)
        (crash,) = (report for report in node.reports() if report.event == "crashed")
        assert crash.detail["input"] == "timer"
        assert crash.detail["error"]["message"] == "cannot take timer"


@pytest.mark.parametrize("result", [None, 1, "ok", Ok([]), Reply, Reply(1, [], then="later")])  # type: ignore[arg-type]  # the point of the test
def test_a_bad_return_value_ends_the_worker(result: Any) -> None:
    with running(server()) as node:
        with pytest.raises(CalleeCrashed, match="BadReturnError") as caught:
            node.call("s", lambda *_: result)
        assert caught.value.reason == "bad_return_value"


@pytest.mark.parametrize(
    "result",
    [Reply(1, []), Stop("normal", [], reply=1), NoReply([], then=TimeoutAfter(float("nan")))],
)
def test_a_cast_must_not_reply_and_a_time_out_must_be_a_time(result: Any) -> None:
    with running(server()) as node:
        node.cast("s", lambda _: result)
        node.run()
        (crash,) = (report for report in node.reports() if report.event == "crashed")
        assert crash.detail["reason"] == "bad_return_value"


@pytest.mark.parametrize("effects", [None, 5, [1], [Cast("a", 1), "x"]])
def test_effects_must_be_a_sequence_of_effects(effects: Any) -> None:
    with running(server()) as node:
        with pytest.raises(CalleeCrashed, match="BadReturnError"):
            node.call("s", lambda _caller, state: Reply(1, state, effects=effects))
        assert node.call("s", 1) == 1


def test_an_exit_signal_arrives_as_a_message_where_it_is_trapped() -> None:
    class Trapping(Server):
        trap_exit = True

    begin: dict[str, Any] = {"init": lambda _: Ok([])}
    with running(Worker("s", Trapping, args=begin), Worker("t", Server, args=begin)) as node:
        node.exit("s", "oops", sender="t")
        assert state_of(node) == [ExitSignal(Other("oops"), "t")]
        node.exit("t", "oops")
        assert "terminated t" in events(node)
        node.exit("t", "normal")
        assert node.tree().children[1].restarts == 1


def test_a_callback_that_is_not_written_says_which() -> None:
    with (
        running(Worker("s", GenServer, restart="temporary")) as node,
        pytest.raises(CalleeCrashed, match=r"GenServer\.handle_call got str"),
    ):
        node.call("s", "x")

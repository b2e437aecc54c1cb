from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import (
    Answer,
    CalleeCrashed,
    CalleeStopped,
    CancelTimer,
    Cast,
    Defer,
    Exit,
    Info,
    Join,
    Leave,
    ManualClock,
    Node,
    Ok,
    Publish,
    Reply,
    StartFailed,
    StartTimer,
    StateMachine,
    Supervisor,
    TimeoutAfter,
    Worker,
)
from ssm_cli.behaviour.results import TIMEOUT, Continue, Timeout
from ssm_cli.machines.kv import kv_store
from tests.runtime.workers import Server, actor, add, events, fail, get, running, worker


def asks(*effects: Any) -> Any:
    """A message whose step asks for these effects."""
    return lambda state: (state, "asked", effects)


def note(word: object) -> Any:
    """A message that is put down in a list."""
    return lambda state: ([*state, word], None)


# -- timers ------------------------------------------------------------------------------------


def test_a_timer_comes_back_as_an_input_when_its_time_is_over() -> None:
    with running(worker("a")) as node:
        node.call("a", asks(StartTimer("t", 1500, add(1))))
        node.run(1.4)
        assert node.call("a", get) == 0
        node.run(0.2)
        assert node.call("a", get) == 1


def test_several_timers_come_in_the_order_of_time_then_of_asking() -> None:
    with running(worker("a", args={"state": []})) as node:
        timers = [("x", 30), ("y", 10), ("z", 30), ("w", 20)]
        node.call("a", asks(*(StartTimer(key, ms, note(key)) for key, ms in timers)))
        node.run(1)
        assert node.call("a", get) == ["y", "w", "x", "z"]


def test_timers_that_came_due_together_are_served_in_order_too() -> None:
    with running(worker("a", args={"state": []}), worker("b")) as node:
        timers = [("x", 30), ("y", 10), ("z", 30), ("w", 20)]
        node.call("a", asks(*(StartTimer(key, ms, note(key)) for key, ms in timers)))
        node._world.clock.sleep_s(1)
        node.run()
        assert node.call("a", get) == ["y", "w", "x", "z"]


def test_a_timer_of_the_same_key_is_replaced_and_one_of_another_worker_is_not() -> None:
    with running(worker("a", args={"state": []}), worker("b", args={"state": []})) as node:
        node.call("b", asks(StartTimer("t", 10, note("b"))))
        node.call("a", asks(StartTimer("t", 10, note("first"))))
        node.call("a", asks(StartTimer("t", 20, note("second"))))
        node.run(1)
        assert node.call("a", get) == ["second"]
        assert node.call("b", get) == ["b"]


def test_a_cancelled_timer_does_not_come_and_an_unknown_one_is_no_error() -> None:
    with running(worker("a", args={"state": []})) as node:
        node.call("a", asks(StartTimer("t", 10, note("t")), CancelTimer("t"), CancelTimer("u")))
        node.run(1)
        assert node.call("a", get) == []


def test_timers_end_with_the_life_that_asked_for_them() -> None:
    with running(worker("a")) as node:
        node.call("a", asks(StartTimer("t", 10, add(1))))
        node.cast("a", fail)
        node.run(1)
        assert node.call("a", get) == 0
        assert node.statistics("a").crashes == 1


def test_a_call_is_answered_by_a_timer_while_its_caller_waits() -> None:
    def later(state: Any) -> Any:
        timer = StartTimer("t", 700, lambda s: (s, None, [Answer("who", "at last")]))
        return state, None, [Defer("who"), timer]

    with running(worker("a")) as node:
        assert node.call("a", later) == "at last"
        assert node._world.clock.now_s() == 0.7


def test_a_timer_may_carry_bytes_which_the_codec_decodes() -> None:
    with running(Worker("kv", kv_store), worker("a")) as node:
        node.call("a", asks(Cast("kv", b"Store x 1")))
        node.run()
        assert node.call("kv", b"Lookup x") == b"Result 1"


# -- defer and answer --------------------------------------------------------------------------


def test_a_deferred_call_is_answered_with_what_the_answer_holds() -> None:
    with running(worker("a")) as node:
        waiting = node.send_request("a", asks(Defer("k")))
        node.call("a", asks(Answer("k", 1), Answer("k", 2), Answer("unknown", 3)))
        assert waiting.result() == 1


def test_a_second_call_deferred_under_the_same_key_ends_the_first() -> None:
    with running(worker("a")) as node:
        first = node.send_request("a", asks(Defer("k")))
        second = node.send_request("a", asks(Defer("k")))
        node.call("a", asks(Answer("k", "second")))
        with pytest.raises(CalleeStopped, match=r"a deferred another call under the key 'k'"):
            first.result()
        assert second.result() == "second"


def test_a_cast_cannot_be_deferred_and_that_is_no_error() -> None:
    with running(worker("a")) as node:
        node.cast("a", asks(Defer("k")))
        assert node.call("a", asks(Answer("k", 1))) == "asked"


# -- exit --------------------------------------------------------------------------------------


def test_exit_ends_the_worker_after_its_answer_with_its_reason() -> None:
    with running(worker("a", restart="transient")) as node:
        assert node.call("a", asks(Exit("normal"))) == "asked"
        assert node.tree().children[0].state == "stopped"
        assert events(node)[-2:] == ["terminating a", "terminated a"]


@pytest.mark.parametrize(
    ("reason", "restarts"), [("normal", 0), ("shutdown", 0), ({"shutdown": 1}, 0), ("oops", 1)]
)
def test_the_reason_of_an_exit_decides_whether_a_transient_child_is_restarted(
    reason: object, restarts: int
) -> None:
    with running(worker("a", restart="transient")) as node:
        node.call("a", asks(Exit(reason)))
        assert node.tree().children[0].restarts == restarts


def test_exit_is_an_effect_of_a_gen_server_as_well() -> None:
    with running(Worker("s", Server, restart="temporary")) as node:
        answer = node.call("s", lambda _caller, state: Reply("bye", state, effects=[Exit()]))
        assert answer == "bye"
        assert not node.exists("s")


# -- sending -----------------------------------------------------------------------------------


def test_effects_leave_in_the_order_given_once_the_state_is_committed() -> None:
    with running(worker("a"), worker("b", args={"state": []})) as node:
        node.call("a", asks(Cast("b", note(1)), Cast("root/b", note(2)), Info("b", note(3))))
        assert node.call("b", get) == [1, 2, 3]


def test_a_worker_may_send_to_itself() -> None:
    with running(worker("a")) as node:
        node.call("a", asks(Cast(None, add(5))))
        assert node.call("a", get) == 5


def test_an_input_for_nobody_is_dropped() -> None:
    with running(worker("a")) as node:
        assert node.call("a", asks(Cast("nobody", 1), Info("root", 1), Cast("a/b", 1))) == "asked"
        node.run()
        assert node._world.dropped == 3


def test_effects_that_find_no_room_are_a_crash_with_the_state_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[int] = []
    keeper = StateMachine(
        step=actor.step,
        init=lambda _name, _args: 7,
        terminate=lambda _name, state, _reason: left.append(state),
    )

    def flood(_: Any) -> Any:
        return 99, "flooded", [Cast("b", add(1))] * 2000

    monkeypatch.setattr("ssm_cli.runtime.engine.commit.MOST_EFFECTS", 1000)
    with running(Worker("a", keeper, restart="temporary"), worker("b")) as node:
        with pytest.raises(CalleeCrashed, match="QueueFull: the effects of a do not fit"):
            node.call("a", flood)
        assert left == [7]
        assert node.call("b", get) == 0


def test_effects_of_an_init_that_find_no_room_are_a_failed_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ssm_cli.runtime.engine.commit.MOST_EFFECTS", 1000)
    flood = Ok(0, effects=[Cast("a", add(1))] * 2000)
    with (
        pytest.raises(StartFailed) as caught,
        running(worker("a", args={"init": lambda _: flood})),
    ):
        pass
    assert caught.value.term == {"shutdown": {"failed_to_start_child": ["a", "crash"]}}


BAD: list[Any] = [
    "no effect",
    Cast(5, 1),  # type: ignore[arg-type]  # the point of the test
    StartTimer("t", "5", 1),  # type: ignore[arg-type]  # the point of the test
    StartTimer("t", float("nan"), 1),
    StartTimer("t", -1, 1),
    StartTimer([], 5, 1),  # type: ignore[arg-type]  # the point of the test
    CancelTimer([]),  # type: ignore[arg-type]  # the point of the test
    Join(""),
    Leave(b"g"),  # type: ignore[arg-type]  # the point of the test
    Publish("x" * 201, 1),
    Defer({}),  # type: ignore[arg-type]  # the point of the test
    Answer([], 1),
]


@pytest.mark.parametrize("effect", BAD)
def test_an_effect_that_cannot_be_carried_out_is_a_crash_with_the_state_unchanged(
    effect: Any,
) -> None:
    with running(worker("a"), worker("b")) as node:
        with pytest.raises(CalleeCrashed, match="BadReturnError") as caught:
            node.call("a", lambda _: (99, "asked", [Cast("b", add(1)), effect]))
        assert caught.value.reason == "bad_return_value"
        assert node.call("b", get) == 0


# -- what comes next ---------------------------------------------------------------------------


def test_a_time_out_from_init_reaches_a_pure_step_unless_an_input_comes_first() -> None:
    begun = Ok(0, then=TimeoutAfter(100))

    def step_on(state: Any) -> Any:
        return state + 1, None

    seen: list[Any] = []

    def step(message: Any, state: Any) -> Any:
        seen.append(message)
        return step_on(state)

    machine = StateMachine(step=step, init=lambda _name, _args: begun)
    with running(Worker("quiet", machine), Worker("busy", machine)) as node:
        node.call("busy", "input")
        node.run(1)
        assert seen == ["input", TIMEOUT]
        node.call("quiet", "input")
        assert node.get_state("quiet") == 2


def test_an_undecodable_input_does_not_void_a_time_out() -> None:
    begin: dict[str, Any] = {"init": lambda _: Ok([], TimeoutAfter(100))}
    with running(Worker("s", Server, args=begin, codec="json")) as node:
        node.cast("s", b"{")
        node.run(1)
        assert node.get_state("s") == [Timeout()]


def test_a_continue_of_an_earlier_life_is_not_served_to_the_next_one() -> None:
    lives: list[str] = []

    def begin(name: str) -> Ok:
        lives.append(name)
        return Ok([], Continue(f"life {len(lives)}"))

    def break_once(_: str) -> int:
        if len(lives) == 2:
            raise RuntimeError("the second life of s starts before this")
        return 0

    children = [
        Worker("s", Server, args={"init": begin}),
        worker("b", args={"init": break_once}),
    ]
    with running(*children, strategy="one_for_all") as node:
        node.kill("b")
        node.run()
        assert lives == ["s", "s", "s"]
        assert node.get_state("s") == ["life 3"]


def test_run_leaves_workers_that_talk_without_end_after_a_second() -> None:
    clock = ManualClock()

    def talk(message: int, state: int) -> tuple[int, None, list[Cast]]:
        clock.sleep_s(0.01)
        return state + 1, None, [Cast(None, message)]

    talker = StateMachine(step=talk, init=lambda name, args: 0)
    with Node(Supervisor("root", children=[Worker("a", talker)]), clock=clock) as node:
        node.cast("a", 1)
        node.run()
        assert 1.0 <= clock.now_s() < 2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from ssm_cli import EventHandler, Exited, GenServer, Ignore, StateEvent, Statem, StateMachine
from ssm_cli.behaviour.dispatch import (
    Kind,
    Outcome,
    advance,
    behaviour_of,
    finish,
    of_callback,
    of_init,
    of_step,
    with_effects,
)
from ssm_cli.behaviour.effects import Cast, Exit
from ssm_cli.behaviour.reasons import NORMAL, BadReturnError, Crash, Other
from ssm_cli.behaviour.results import (
    NOTHING,
    Caller,
    Continue,
    Hibernate,
    NoReply,
    Ok,
    Reply,
    Stop,
    TimeoutAfter,
    reason_for,
)
from ssm_cli.errors import StepTimeout

TOLD = "4711 0815"  # what no text of ours repeats


class Recorder(GenServer):
    """Answers with the name of the callback that was asked."""

    def handle_call(self, message: Any, caller: Caller, state: Any) -> Reply:
        return Reply("call", state)

    def handle_cast(self, message: Any, state: Any) -> NoReply:
        return NoReply("cast")

    def handle_info(self, message: Any, state: Any) -> NoReply:
        return NoReply("info")

    def handle_continue(self, message: Any, state: Any) -> NoReply:
        return NoReply("continue")


def test_a_gen_server_class_is_instantiated_and_instances_are_taken_as_they_are() -> None:
    machine = StateMachine(step=lambda m, s: (s, m))
    server = Recorder()
    assert behaviour_of(machine) is machine
    assert behaviour_of(server) is server
    assert isinstance(behaviour_of(Recorder), Recorder)


@pytest.mark.parametrize("start", [None, 5, object, int, "ssm_cli.machines.kv:kv_store"])
def test_anything_else_is_no_behaviour(start: object) -> None:
    with pytest.raises(TypeError, match="start must be a StateMachine or a class of callbacks"):
        behaviour_of(start)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (Kind.CALL, Outcome(0, "call")),
        (Kind.CAST, Outcome("cast")),
        (Kind.INFO, Outcome("info")),
        (Kind.CONTINUE, Outcome("continue")),
    ],
)
def test_each_kind_of_input_has_its_callback(kind: Kind, outcome: Outcome) -> None:
    assert advance(Recorder(), kind, "m", Caller(0, []), 0) == outcome


def test_a_pure_step_takes_every_kind_of_input() -> None:
    machine = StateMachine(step=lambda m, s: (s + 1, m))
    for kind in Kind:
        assert advance(machine, kind, "m", None, 1) == Outcome(2, "m")


def test_a_plain_state_from_the_init_of_a_state_machine_is_ok() -> None:
    machine = StateMachine(step=lambda m, s: (s, m))
    assert of_init(machine, None) == Outcome(None)
    assert of_init(machine, ("a", {"x": 1})) == Outcome(("a", {"x": 1}))


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (Ignore(), Ignore()),
        (Stop("no"), Outcome(None, stop=Other("no"))),
        (Ok(1, Continue(2)), Outcome(1, then=Continue(2))),
        (Ok(1, effects=[Exit()]), Outcome(1, stop=NORMAL, effects=[])),
    ],
)
def test_init_may_answer_ok_ignore_or_stop(answer: Any, meaning: object) -> None:
    machine = StateMachine(step=lambda m, s: (s, m))
    assert of_init(machine, answer) == meaning


def test_the_last_exit_counts_and_no_exit_stays_among_the_effects() -> None:
    outcome = of_step((1, "out", [Exit("first"), Cast("a", 1), Exit("last")]))
    assert outcome == Outcome(1, "out", Other("last"), effects=[Cast("a", 1)])


@pytest.mark.parametrize("effects", [None, 5, {Exit()}, iter([Exit()]), [Exit], "x"])
def test_effects_are_a_sequence_of_effects(effects: Any) -> None:
    with pytest.raises(BadReturnError, match="effect"):
        with_effects(Outcome(1), effects)


@pytest.mark.parametrize(
    "then", [Hibernate(cast("Any", "x")), TimeoutAfter(ms=True), TimeoutAfter(-1), "hibernate"]
)
def test_what_is_nothing_to_go_on_with_is_refused(then: Any) -> None:
    with pytest.raises(BadReturnError, match=r"then is .*; expected Continue, Hibernate, or a"):
        of_callback(Kind.CAST, NoReply(1, then))
    assert of_callback(Kind.CAST, NoReply(1, Hibernate(on=False))).then == Hibernate(on=False)


@pytest.mark.parametrize("kind", [Kind.CAST, Kind.INFO, Kind.CONTINUE])
def test_only_a_call_can_be_answered(kind: Kind) -> None:
    for result in (Reply(1, 2), Stop("normal", 1, reply=None)):
        with pytest.raises(BadReturnError, match=f"handle_{kind.name.lower()} answered"):
            of_callback(kind, result)
    assert of_callback(kind, Stop("normal", 1)).reply is NOTHING


def test_what_a_callback_raises_says_why_it_ended() -> None:
    assert reason_for(Exited("oops")) == Other("oops")
    assert reason_for(Exited()) == NORMAL
    for error, kind in (
        (StepTimeout(), "step_timeout"),
        (BadReturnError(), "bad_return_value"),
        (KeyError(), "crash"),
        (SystemExit(), "crash"),
    ):
        assert reason_for(error) == Crash(error, kind)


def test_finish_runs_terminate_of_either_kind() -> None:
    seen: list[object] = []

    class Leaver(GenServer):
        def terminate(self, reason: Any, state: Any) -> None:
            seen.append((reason, state))

    finish(Leaver(), "a", NORMAL, 1)
    machine = StateMachine(
        step=lambda m, s: (s, m), terminate=lambda name, state, _reason: seen.append((name, state))
    )
    finish(machine, "a", NORMAL, 2)
    finish(StateMachine(step=machine.step), "a", NORMAL, 3)
    assert seen == [(NORMAL, 1), ("a", 2)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: GenServer().handle_call(TOLD, Caller(1, []), 0),
        lambda: GenServer().handle_cast(TOLD, 0),
        lambda: GenServer().handle_continue(TOLD, 0),
        lambda: EventHandler().handle_event(TOLD, 0),
        lambda: EventHandler().handle_call(TOLD, 0),
        lambda: Statem().handle_event(StateEvent("cast", TOLD), "s", 0),
        lambda: Statem().init("s", {"pin": TOLD}),
    ],
)
def test_a_callback_that_is_not_there_tells_no_value(call: Callable[[], object]) -> None:
    with pytest.raises(NotImplementedError) as raised:
        call()
    assert TOLD not in str(raised.value)

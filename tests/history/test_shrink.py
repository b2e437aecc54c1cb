from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pytest

from ssm_cli import StateMachine
from ssm_cli.behaviour.dispatch import Kind, Outcome, advance
from ssm_cli.errors import StepTimeout
from ssm_cli.history.shrink import Shrunk, Unshrunk, shrink
from ssm_cli.history.trials import Bounds, Broken, SameCrash, Trial, crash_goal, own_run
from tests.history.histories import Planted, drawn_trial, of_ledger, planted
from tests.history.planted import ledger
from tests.history.planted.ledger import Deposit, Hold, Open, Release, State, machine

MOST_STEPS = 400_000  # of 15 microseconds each, which is a slow one: 6 seconds
FAULTS = list(planted())


def found(trial: Trial, **bounds: Any) -> Shrunk:
    shrunk = shrink(trial, **bounds)
    assert isinstance(shrunk, Shrunk), shrunk
    return shrunk


def crash_of(shrunk: Shrunk) -> SameCrash:
    """The crash of the last input; those before it step."""
    run, state = own_run(shrunk.behaviour), shrunk.state
    for kind, message in shrunk.inputs[:-1]:
        state = run(state, kind, message).state
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever the fault raises
        run(state, *shrunk.inputs[-1])
    trace = raised.value.__traceback__
    raised.value.__traceback__ = trace and trace.tb_next
    return crash_goal(raised.value)


@pytest.mark.parametrize("fault", FAULTS, ids=[name for name, _, _ in FAULTS])
def test_a_planted_fault_needs_at_most_three_inputs_more_than_the_least(fault: Planted) -> None:
    _, least, draw = fault
    trial = draw()
    shrunk = found(trial)
    assert len(shrunk.inputs) <= least + 3
    assert shrunk.complete
    assert shrunk.steps <= MOST_STEPS
    assert crash_of(shrunk) == trial.goal


def test_there_are_twenty_planted_faults_and_long_histories_of_them() -> None:
    assert len(FAULTS) == 20
    assert all(len(draw().inputs) > 500 for _, _, draw in FAULTS)


@pytest.mark.parametrize("number", [0, 6, 12])
def test_the_same_history_gives_the_same_result_twice(number: int) -> None:
    _, _, draw = FAULTS[number]
    one, other = found(draw()), found(draw())
    assert (one.inputs, one.state, one.runs) == (other.inputs, other.state, other.runs)


def test_a_fault_is_told_from_init_where_few_inputs_do() -> None:
    trial = drawn_trial(machine(ledger.hold_of_a_closed_account), State(), of_ledger, 5)
    shrunk = found(trial)
    assert shrunk.from_init
    assert shrunk.state is trial.state
    assert [message for _, message in shrunk.inputs] == [
        Open("a"), Hold("a", 0), ledger.Close("a"), Release("1"),
    ]  # fmt: skip


def test_a_number_that_a_reply_has_given_is_followed_when_it_becomes_another() -> None:
    trial = drawn_trial(machine(ledger.hold_of_a_closed_account), State(), of_ledger, 5)
    assert trial.inputs[-1][1].hold not in {"1", "2", "3"}
    assert found(trial).inputs[-1][1] == Release("1")


def states_of(trial: Trial) -> list[Any]:
    """All states that the inputs of a trial lead to, as they were given."""
    run, states = own_run(trial.behaviour), [trial.state]
    for kind, message in trial.inputs[:-1]:
        states.append(run(states[-1], kind, message).state)
    return states


@pytest.mark.parametrize("fault", FAULTS, ids=[name for name, _, _ in FAULTS])
def test_a_test_begins_with_a_state_that_occurred(fault: Planted) -> None:
    trial = fault[2]()
    states = states_of(trial)
    for one in (trial, later_trial(trial, states, len(states) // 2)):
        shrunk = shrink(one)
        if isinstance(shrunk, Shrunk):
            assert shrunk.state in states
            assert shrunk.from_init == (one.from_init and shrunk.state is trial.state)


def later_trial(trial: Trial, states: list[Any], at: int) -> Trial:
    """The trial of which what came before an input is forgotten."""
    return Trial(trial.behaviour, states[at], trial.inputs[at:], trial.goal, from_init=False)


def test_where_init_is_forgotten_a_fault_begins_with_the_oldest_state_as_it_was() -> None:
    trial = drawn_trial(machine(ledger.large_amount), State(), of_ledger, 4)
    states = states_of(trial)
    shrunk = found(later_trial(trial, states, 400))
    assert not shrunk.from_init
    assert len(shrunk.inputs) == 1
    assert shrunk.state == states[400]


def test_a_count_that_takes_hundreds_of_inputs_is_told_from_a_later_state() -> None:
    trial = drawn_trial(machine(ledger.three_hundred_moves), State(), of_ledger, 3)
    shrunk = found(trial)
    assert shrunk.state == states_of(trial)[-1]
    assert shrunk.state.moves == 299
    assert "-> 1 input from a state with " in shrunk.said(1.9)


@dataclass(frozen=True)
class Pair:
    a: int = 3
    b: int = 3
    seen: tuple[int, ...] = (*range(40),)


def counting(message: str, pair: Pair) -> tuple[Pair, str]:
    """Count in two places, and forget one of them at 5: that is the fault."""
    if message == "check" and pair.a != pair.b:
        raise ArithmeticError(pair)
    if message == "inc":
        return Pair(pair.a + 1, pair.b + (pair.a != 5), pair.seen), "ok"
    return pair, "ok"


def test_a_fault_that_an_earlier_step_prepared_is_shown_with_that_step() -> None:
    with pytest.raises(ArithmeticError) as raised:
        counting("check", Pair(6, 5))
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    words = ["inc", "check", "inc", "inc", "look", "inc", "check"]
    inputs = [(Kind.CALL, word) for word in words]
    trial = Trial(StateMachine(step=counting), Pair(), inputs, crash_goal(raised.value))
    shrunk = found(trial)
    assert shrunk.state is trial.state, "large as it is"
    assert [message for _, message in shrunk.inputs] == ["inc"] * 3 + ["check"]


def test_amounts_end_at_the_boundary_of_the_fault() -> None:
    shrunk = found(drawn_trial(machine(ledger.large_amount), State(), of_ledger, 4))
    assert [message for _, message in shrunk.inputs] == [Open("a"), Deposit("a", 6001)]


def test_another_crash_on_the_way_is_not_the_one_that_is_looked_for() -> None:
    def step(message: str, state: int) -> tuple[int, str]:
        if message == "fall":
            raise KeyError(message)
        if message == "end" and state > 1:
            raise KeyError(message)
        return state + 1, "ok"

    words = ["go", "go", "go", "end"]
    with pytest.raises(KeyError) as raised:
        step("end", 3)
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    goal = crash_goal(raised.value)
    trial = Trial(StateMachine(step=step), 0, [(Kind.CALL, w) for w in words], goal)
    assert [m for _, m in found(trial).inputs][-1] == "end"
    others = Trial(StateMachine(step=step), 0, [(Kind.CALL, "fall")], goal)
    assert isinstance(shrink(others), Unshrunk)


def test_an_invariant_breaks_at_the_last_input() -> None:
    trial = drawn_trial(machine(ledger.three_hundred_moves), State(), of_ledger, 3)
    goal = Broken(lambda state: any(n < -100 for n in state.balance.values()), "...")
    shrunk = found(Trial(trial.behaviour, trial.state, trial.inputs[:2000], goal))
    assert len(shrunk.inputs) <= 3
    run, state, broke = own_run(shrunk.behaviour), shrunk.state, []
    for kind, message in shrunk.inputs:
        state = run(state, kind, message).state
        broke.append(goal.holds(state))
    assert broke == [*([False] * (len(broke) - 1)), True]


def test_an_invariant_that_is_broken_from_the_start_is_refused() -> None:
    trial = Trial(
        StateMachine(step=lambda message, state: (state, message)),
        -1,
        [(Kind.CALL, 1)],
        Broken(lambda state: state < 0),
    )
    refused = shrink(trial)
    assert isinstance(refused, Unshrunk)
    assert "already" in refused.why


def test_a_worker_that_depends_on_more_than_its_inputs_is_refused_with_a_hint() -> None:
    calls: list[int] = []

    def step(message: int, state: int) -> tuple[int, str]:
        calls.append(message)
        if len(calls) == 3:
            raise ValueError(message)
        return state + 1, "ok"

    place = shrink(Trial(StateMachine(step=step), 0, [(Kind.CALL, 1)] * 2, SameCrash("ValueError")))
    assert isinstance(place, Unshrunk)
    assert "more than its inputs" in place.why


@dataclass
class Shelf:
    books: list[str] = field(default_factory=list)


def changing(message: str, shelf: Shelf) -> tuple[Shelf, str]:
    shelf.books.append(message)
    if shelf.books.count("b") == 2:
        raise LookupError(message)
    return shelf, "ok"


def in_place(*, copying: bool) -> Trial:
    with pytest.raises(LookupError) as raised:
        changing("b", Shelf(["b"]))
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    words = ["a", "c", "b", *"adcadcac" * 40, "b"]
    return Trial(
        StateMachine(step=changing), Shelf(), [(Kind.CALL, w) for w in words],
        crash_goal(raised.value), copying=copying,
    )  # fmt: skip


def test_a_worker_that_changes_its_state_in_place_is_shrunk_with_copies() -> None:
    trial = in_place(copying=True)
    shrunk = found(trial)
    assert [message for _, message in shrunk.inputs] == ["b", "b"]
    assert trial.state == Shelf([])


def test_such_a_worker_is_found_out_without_being_told_and_its_state_is_left_alone() -> None:
    trial = in_place(copying=False)
    assert [message for _, message in found(trial).inputs] == ["b", "b"]
    assert trial.state == Shelf([])


def test_the_bounds_of_runs_and_steps_hold_and_what_was_found_by_then_is_true() -> None:
    trial = drawn_trial(machine(ledger.three_hundred_moves), State(), of_ledger, 3)
    shrunk = found(trial, bounds=Bounds(runs=30))
    assert shrunk.runs <= 30
    assert not shrunk.complete
    assert "stopped at a bound" in shrunk.said(0)
    assert crash_of(shrunk) == trial.goal
    assert found(trial, bounds=Bounds(steps=20_000)).steps < 20_000 + len(trial.inputs)


def test_the_seconds_are_those_of_the_clock_that_is_given() -> None:
    now = [0.0]

    def now_s() -> float:
        now[0] += 0.1
        return now[0]

    trial = drawn_trial(machine(ledger.the_seventh_move), State(), of_ledger, 2)
    shrunk = found(trial, bounds=Bounds(now_s=now_s, seconds=5.0))
    assert shrunk.runs <= 50
    assert not shrunk.complete


def test_steps_run_by_what_the_caller_gives_and_a_cut_step_is_a_crash_like_another() -> None:
    def step(message: int, state: int) -> tuple[int, str]:
        return state + message, "ok"

    machine = StateMachine(step=step)

    def cut(state: Any, kind: Kind, message: Any) -> Outcome:
        if state + message > 50:
            raise StepTimeout("1 s")
        return advance(machine, kind, message, None, state)

    trial = Trial(machine, 0, [(Kind.CALL, n % 9) for n in range(40)], SameCrash("StepTimeout"))
    shrunk = shrink(trial, cut)
    assert isinstance(shrunk, Shrunk)
    assert len(shrunk.inputs) <= 8


def test_only_messages_that_the_worker_may_get_are_tried() -> None:
    trial = drawn_trial(machine(ledger.two_holds_of_one), State(), of_ledger, 7)
    shrunk = found(trial, is_input=lambda message: getattr(message, "amount", 9) > 5)
    assert [m.amount for _, m in shrunk.inputs if isinstance(m, Hold)] == [6, 6]


class Pay(msgspec.Struct, frozen=True):
    currency: Literal["EUR", "NOK"]
    amount: Annotated[int, msgspec.Meta(ge=5)]


def test_messages_that_their_annotations_exclude_are_not_tried() -> None:
    def step(message: Pay, state: int) -> tuple[int, str]:
        if state + message.amount > 40:
            raise OverflowError(state)
        return state + message.amount, message.currency

    pays = [Pay("NOK" if n % 3 else "EUR", 6) for n in range(7)]
    with pytest.raises(OverflowError) as raised:
        step(Pay("EUR", 90), 0)
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    trial = Trial(
        StateMachine(step=step), 0, [(Kind.CALL, p) for p in pays], crash_goal(raised.value)
    )
    assert found(trial).inputs == ((Kind.CALL, Pay("EUR", 41)),)


class Window(msgspec.Struct, frozen=True):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_values_that_a_class_refuses_are_not_tried() -> None:
    def step(message: Window, state: int) -> tuple[int, str]:
        if message.low > 10:
            raise RuntimeError("beyond")
        return state, "ok"

    with pytest.raises(RuntimeError) as raised:
        step(Window(50, 90), 0)
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    trial = Trial(
        StateMachine(step=step), 0, [(Kind.CALL, Window(50, 90))], crash_goal(raised.value)
    )
    assert found(trial).inputs == ((Kind.CALL, Window(11, 11)),)


@pytest.mark.parametrize("change", [lambda text: text.upper(), lambda text: f"{text} {text}"])
def test_names_in_lines_of_text_become_letters(change: Callable[[str], str]) -> None:
    def step(message: str, state: frozenset[str]) -> tuple[frozenset[str], str]:
        word, _, name = message.partition(" ")
        if word == "in":
            return state | {name}, "ok"
        if name in state:
            raise PermissionError(name)
        return state, "ok"

    name = change("visitor")
    with pytest.raises(PermissionError) as raised:
        step(f"out {name}", frozenset({name}))
    raised.value.__traceback__ = raised.value.__traceback__ and raised.value.__traceback__.tb_next
    lines = [f"in {n}" for n in range(90)] + [f"in {name}", "out nobody", f"out {name}"]
    inputs = [(Kind.CAST, line) for line in lines]
    trial = Trial(StateMachine(step=step), frozenset(), inputs, crash_goal(raised.value))
    first, last = (message for _, message in found(trial).inputs)
    assert first.startswith("in ")
    assert first.partition(" ")[2] == last.partition(" ")[2]
    assert set(first.partition(" ")[2]) <= {"a", " "}

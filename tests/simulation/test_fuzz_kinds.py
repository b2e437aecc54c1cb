"""Whatever ends a worker abnormally is found, shrunk and written as a test; and is no impurity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ssm_cli import (
    Answer,
    Exit,
    Exited,
    GenServer,
    KeepState,
    ManualClock,
    Next,
    Node,
    NoReply,
    Ok,
    PureStatem,
    Reply,
    Run,
    SetTimeout,
    Statem,
    StateMachine,
    Stop,
    Supervisor,
    Worker,
)
from ssm_cli.errors import CommandError
from ssm_cli.simulation.asking import chaos_in
from ssm_cli.simulation.fuzz import Fuzzing, fuzz
from ssm_cli.simulation.pace import Pace

END = 3  # how many inputs it takes


@dataclass(frozen=True)
class Go:
    n: int


def zero(_name: str, _args: Any) -> int:
    return 0


def no_answer(message: Go, state: int) -> Any:
    return None if state == END else (state + 1, 1)


def no_effect(message: Go, state: int) -> Any:
    return (state, 1, ["x"]) if state == END else (state + 1, 1)


def bad_run(message: Go, state: int) -> Any:
    return (state, 1, [Run("", int)]) if state == END else (state + 1, 1)


def error_as_exit(message: Go, state: int) -> Any:
    return (state, 1, [Exit(ValueError("x"))]) if state == END else (state + 1, 1)


def exited(message: Go, state: int) -> Any:
    if state == END:
        raise Exited("tired")
    return state + 1, 1


def machine(step: Any) -> StateMachine[Any, Any, Any]:
    return StateMachine(step=step, init=zero, inputs=Go)


MACHINES = {step: machine(step) for step in (no_answer, no_effect, bad_run, error_as_exit, exited)}


class Server(GenServer):
    inputs = Go

    def init(self, name: str, args: Any) -> Any:
        return Ok(0)

    def handle_call(self, message: Go, caller: Any, state: int) -> Any:
        return self.last(state) if state == END else Reply(1, state + 1)

    def last(self, state: int) -> Any:
        return 5


class BadEffect(Server):
    def last(self, state: int) -> Any:
        return Reply(1, state, effects=["x"])  # type: ignore[list-item]  # on purpose


class BadThen(Server):
    def last(self, state: int) -> Any:
        return Reply(1, state, then="x")  # type: ignore[arg-type]  # on purpose


class Failing(Server):
    def last(self, state: int) -> Any:
        return Stop(ValueError("x"), state)


class Exiting(Server):
    def last(self, state: int) -> Any:
        raise Exited("tired")


class Raising(Server):
    """It takes no casts: the fault behind them is to be found."""

    def last(self, state: int) -> Any:
        raise RuntimeError("planted")


class Casting(GenServer):
    inputs = Go

    def init(self, name: str, args: Any) -> Any:
        return Ok(0)

    def handle_cast(self, message: Go, state: int) -> Any:
        return Reply(1, state) if state == END else NoReply(state + 1)


class Lamp(Statem):
    inputs = Go

    def init(self, name: str, args: Any) -> Any:
        return Next("idle", 0)

    def idle(self, event: Any, data: int) -> Any:
        if data == END:
            return self.last(event, data)
        return KeepState(data + 1, [Answer(event.caller, data)] if event.caller else [])

    def last(self, event: Any, data: int) -> Any:
        return 7


class BadAction(Lamp):
    def last(self, event: Any, data: int) -> Any:
        return KeepState(data, [SetTimeout("x", 5)])


class NoCaller(Lamp):
    def last(self, event: Any, data: int) -> Any:
        return KeepState(data, [Answer(None, data)])


class Nowhere(Lamp):
    def last(self, event: Any, data: int) -> Any:
        return Next("nowhere", data)


class Dark(Lamp):
    def last(self, event: Any, data: int) -> Any:
        raise Exited("tired")


def lit(event: Any, state: str, data: int) -> Any:
    return 7 if data == END else KeepState(data + 1)


pure = PureStatem(step=lit, init=lambda _name, _args: Next("idle", 0), inputs=Go)
SERVERS = (Server, BadEffect, BadThen, Failing, Exiting, Raising, Casting)
STATEMS = (Lamp, BadAction, NoCaller, Nowhere, Dark)
ALL = {
    **{step.__name__: one for step, one in MACHINES.items()},
    **{kind.__name__: kind for kind in (*SERVERS, *STATEMS)}, "PureStatem": pure,
}  # fmt: skip


def fuzzed(start: Any, seed: int = 1) -> Any:
    tree = Supervisor("root", children=[Worker("w", start)])
    with Node(tree, clock=ManualClock()) as node:
        return fuzz(node, Fuzzing("w", seed, 500), Pace(60.0, float))


@pytest.mark.parametrize("start", ALL.values(), ids=ALL)
def test_every_abnormal_end_is_found_and_shrunk_and_its_test_fails(start: Any) -> None:
    told = fuzzed(start)
    last = END + 2 if start is Nowhere else END + 1  # in the state there is none of
    assert (told["found"], told["inputs"]) == (True, last), told["said"]
    found: dict[str, Any] = {}
    exec(compile(told["test"], "test_found.py", "exec"), found)  # noqa: S102 - it was just written
    (test,) = (value for name, value in found.items() if name.startswith("test_"))
    with pytest.raises((Exception,)):
        test()


@pytest.mark.parametrize("seed", range(4))
def test_what_takes_no_casts_is_given_none_and_the_fault_behind_is_found(seed: int) -> None:
    assert "test_w_runtime_error_in_last" in fuzzed(Raising, seed)["test"]


def done(message: Go, state: int) -> Any:
    if state == END:
        raise Exited
    return state + 1, 1


def test_an_end_in_order_is_no_fault() -> None:
    told = fuzzed(machine(done))
    assert (told["found"], told["steps"]) == (False, 500)


@pytest.mark.parametrize("start", ALL.values(), ids=ALL)
def test_a_bad_answer_is_no_impurity(start: Any) -> None:
    tree = Supervisor("root", children=[Worker("w", start)], intensity=1000)
    told = chaos_in(tree, "tree", {"seed": "1", "steps": "60"}, str)
    assert told["survived"]
    assert told["supervisors"][0]["restarts"] > 0


class Drifting(Lamp):
    ends: Any = iter([ValueError, KeyError] * 100)

    def last(self, event: Any, data: int) -> Any:
        return Stop(next(self.ends)("x"), data)


def test_another_crash_the_second_time_is_one() -> None:
    tree = Supervisor("root", children=[Worker("w", Drifting)], intensity=1000)
    with pytest.raises(CommandError, match="w is not pure: the same input and state give another"):
        chaos_in(tree, "tree", {"seed": "1", "steps": "60"}, str)

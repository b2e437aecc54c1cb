"""How two specs differ: by value and type, code by its name."""

from __future__ import annotations

from functools import partial
from math import nan
from typing import Any, cast

import msgspec
import pytest

from ssm_cli import Backoff, Remote, StateMachine, Supervisor, Worker
from ssm_cli.spec.model import WorkerSpec
from ssm_cli.supervision.differing import differences, same_code, settled


def step(message: Any, state: Any) -> Any:
    return state, message


def init(_name: str, _args: Any) -> int:
    return 0


def other_init(_name: str, _args: Any) -> int:
    return 1


class Thing(msgspec.Struct):
    n: int


class Odd:
    def __eq__(self, other: object) -> bool:
        raise ValueError("compares nothing")

    __hash__ = None  # type: ignore[assignment]  # as of anything with such an `__eq__`


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
TURN: list[Any] = []
TURN.append(TURN)
typed = StateMachine(step=step, inputs=int | str, state=list[int])
machine = StateMachine(step=step, init=init)


def args(value: Any) -> Any:
    return Worker("a", machine, args={"x": value})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True), (1, 1.0, False), (1, True, False), (0, False, False), (nan, nan, True),
        (nan, float("nan"), True), ("1", 1, False), (None, 0, False),
        ([1, [2]], [1, [2]], True), ([1, [2]], [1, [2.0]], False), ([1], (1,), False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True), ({"a": 1}, {"a": 1, "b": 2}, False),
        ({1: 2}, {True: 2}, False), ({1, 2}, {2, 1}, True),
        (Thing(1), Thing(1), True), (Thing(1), Thing(2), False),
        (Odd(), Odd(), False), (CIRCLE, CIRCLE, True), (CIRCLE, TURN, False),
    ],
)  # fmt: skip
def test_args_differ_by_value_and_by_type(one: Any, other: Any, same: bool) -> None:
    found = differences(args(one), args(other))
    assert (found == (), [d.key for d in found]) == (same, [] if same else ["args"])


def test_values_of_args_are_told_to_nobody() -> None:
    (found,) = differences(args("s3cret"), args("0ther"))
    assert (found.said, found.restarts) == ("args: x", True)


def test_of_many_arguments_some_are_named() -> None:
    many = {f"key{n}": n for n in range(9)}
    (found,) = differences(Worker("a", machine), Worker("a", machine, args=many))
    assert found.said == "args: key0, key1, key2, key3, key4 and 4 more"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (machine, StateMachine(step=step, init=init), True),
        (machine, StateMachine(step=step, init=other_init), False),
        (machine, StateMachine(step=step, init=init, codec="json"), False),
        (machine, StateMachine(step=step, init=init, inputs=int | str), False),
        (typed, StateMachine(step=step, inputs=int | str, state=list[int]), True),
        (typed, StateMachine(step=step, inputs=int | str, state=list[str]), False),
        (StateMachine(step=lambda m, s: (s, m)), StateMachine(step=lambda m, s: (s, m)), False),
        (
            StateMachine(step=partial(step, state=1)), StateMachine(step=partial(step, state=1)),
            True,
        ),
        (
            StateMachine(step=partial(step, state=1)), StateMachine(step=partial(step, state=2)),
            False,
        ),
        (machine, Thing, False),
    ],
)  # fmt: skip
def test_code_is_told_by_its_name_and_what_has_none_is_only_itself(
    one: Any, other: Any, same: bool
) -> None:
    assert (same_code(one, other), same_code(other, one)) == (same, same)
    assert same_code(one, one)


@pytest.mark.parametrize(
    ("option", "said", "restarts"),
    [
        ({"restart": "temporary"}, "restart permanent -> temporary", False),
        ({"shutdown": "infinity"}, "shutdown 5000 -> infinity", False),
        ({"significant": True}, "significant false -> true", False),
        ({"step_timeout": 0.5}, "step_timeout 1000 -> 0.5", False),
        ({"init_timeout": 9}, "init_timeout 5000 -> 9, from its next start on", False),
        (
            {"backoff": Backoff(jitter=0.5)},
            "backoff none -> 100 to 30000 ms (factor 2, jitter 0.5)",
            False,
        ),
        ({"persist": "snapshot"}, "persist none -> snapshot", True),
        ({"on_crash": "last_good"}, "on_crash init -> last_good, from its next start on", False),
        ({"codec": "json"}, "codec none -> json, also for inputs that wait", False),
        ({"label": "a b"}, 'label "" -> "a b"', False),
        ({"save_inputs": 3}, "save_inputs none -> 3", False),
        ({"quarantine": "never"}, "quarantine 3 -> never", False),
        ({"on_unrecoverable": "init"}, "on_unrecoverable down -> init", False),
    ],
)
def test_every_option_of_a_worker_is_told_by_its_key(
    option: dict[str, Any], said: str, restarts: bool
) -> None:
    (found,) = differences(Worker("a", machine), Worker("a", machine, **option))
    assert (found.said, found.restarts) == (said, restarts)
    assert found.key in option


def test_the_codec_of_what_is_journalled_is_part_of_it() -> None:
    one = Worker("a", machine, persist="journal")
    (found,) = differences(one, Worker("a", machine, persist="journal", codec="json"))
    assert found.restarts


def test_a_period_is_the_same_as_a_number_of_any_type() -> None:
    assert differences(Supervisor("s", period=5), Supervisor("s", period=5.0)) == ()


def test_what_is_the_same_stays_the_very_spec() -> None:
    old: Any = args(1)
    assert id(settled(old, args(1))) == id(old)
    again = StateMachine(step=step, init=init)
    more = cast("WorkerSpec", settled(old, Worker("a", again, args={"x": 1}, shutdown=1)))
    assert (more.start is old.start, more.args is old.args, more.shutdown_ms) == (True, True, 1)
    place = Remote("r", "a.yaml")
    assert settled(place, Remote("r", "a.yaml", lease=3.0)) != place

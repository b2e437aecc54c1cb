"""Fields of a `StateMachine` that contradict its step's annotations; only where it is certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from ssm_cli import Cast, StateMachine
from ssm_cli.spec.code import start_fault


@dataclass(frozen=True)
class Add:
    n: int


@dataclass(frozen=True)
class Get:
    pass


@dataclass(frozen=True)
class GetAll(Get):
    pass


@dataclass(frozen=True)
class Count:
    n: int


@dataclass(frozen=True)
class State:
    n: int


class Sized(Protocol):
    n: int


def step(message: Add | Get, state: State) -> tuple[State, Count]:
    return state, Count(state.n)


def sends(message: Add | Get, state: State) -> tuple[State, Count, Sequence[Cast]]:
    return state, Count(state.n), []


def loose(message: Any, state: Any) -> Any:
    return state, message


def open_to_all(message: object, state: object) -> tuple[object, object]:
    return state, message


def structural(message: Sized, state: Sized) -> tuple[Sized, Sized]:
    return state, message


def unknown(message: Missing, state: Missing) -> tuple[Missing, Missing]:  # type: ignore[name-defined]  # noqa: F821 - on purpose
    return state, message


def later(message: Add | Get, state: State) -> tuple[State, None]:
    return state, None


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"inputs": Count}, "has the inputs the class Count; expected Add | Get, as its step is annot"),
    (
        {"inputs": Add | Get, "outputs": Add},
        "has the outputs the class Add; expected Count, as its",
    ),
    (
        {"reads": Count},
        "has the reads the class Count; expected Add | Get, as its step is annotated",
    ),
    ({"reads": Get | str}, "has the reads the class str; expected Add | Get, as its step is annot"),
]
FINE: list[dict[str, Any]] = [
    {}, {"inputs": Add | Get}, {"inputs": Add}, {"inputs": Add | Get | Count}, {"reads": Get},
    {"inputs": Add | GetAll, "reads": GetAll}, {"outputs": Count | None}, {"outputs": Count},
    {"state": State}, {"state": State | None}, {"state": str},  # what is kept is what it says
]  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), CONTRADICTIONS)
@pytest.mark.parametrize("code", [step, sends])
def test_what_contradicts_the_step_is_told_before_it_starts(
    code: Any, fields: dict[str, Any], said: str
) -> None:
    assert said in str(start_fault(StateMachine(step=code, **fields)))


@pytest.mark.parametrize("fields", FINE)
@pytest.mark.parametrize("code", [step, sends])
def test_what_fits_is_let_through(code: Any, fields: dict[str, Any]) -> None:
    assert start_fault(StateMachine(step=code, **fields)) is None


@pytest.mark.parametrize("code", [loose, open_to_all, structural, unknown, lambda m, s: (s, m)])
@pytest.mark.parametrize(("fields", "_"), CONTRADICTIONS)
def test_where_the_step_does_not_say_it_nothing_is_told(
    code: Any, fields: dict[str, Any], _: str
) -> None:
    assert "as its step is annotated" not in str(start_fault(StateMachine(step=code, **fields)))


def test_a_step_that_answers_later_says_nothing_of_its_outputs() -> None:
    assert start_fault(StateMachine(step=later, inputs=Add | Get, outputs=Count)) is None


class Raw:
    def decode(self, data: bytes) -> bytes:
        return data

    def encode(self, value: object) -> bytes:
        return bytes(str(value), "utf-8")


def test_a_codec_of_ones_own_gives_what_it_likes() -> None:
    assert start_fault(StateMachine(step=step, inputs=Count, codec=Raw())) is None

"""Counterparts: machines that have no name are made again of their parts, some of them missing."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from ssm_cli import Next, PureStatem, StateMachine
from ssm_cli.errors import CommandError
from ssm_cli.history.counterparts import counterpart

HERE = sys.modules[__name__]


def pure(event: Any, state: Any, data: Any) -> Any:
    """Step."""
    return Next(state, data)


def step(message: Any, state: Any) -> Any:
    """Step."""
    return state, message


def init(name: str, args: Any) -> Any:
    """Begin."""
    return 0


def other(**names: Any) -> ModuleType:
    """Return another load of this module, with these names in it."""
    made = ModuleType(__name__)
    vars(made).update(names)
    return made


@pytest.mark.parametrize("kind", [StateMachine, PureStatem])
def test_a_machine_without_a_name_is_made_again_of_its_parts(kind: Any) -> None:
    own: Any = kind(step=pure, init=init, version="3")
    new = other(pure=lambda *_: None, init=lambda *_: None)
    made = counterpart(own, [(HERE, new)])
    assert type(made) is kind
    assert (made.step, made.init, made.version) == (new.pure, new.init, "3")
    assert own.step is pure


@pytest.mark.parametrize("by_name", [True, False])
def test_a_step_that_is_missing_is_refused(*, by_name: bool) -> None:
    with pytest.raises(CommandError, match="has no `step`: is it the code of this worker"):
        counterpart(StateMachine(step=step, init=init), [(HERE, other(init=init))], by_name=by_name)


def test_another_part_that_is_missing_stays_unless_all_is_wanted() -> None:
    own, new = StateMachine(step=step, init=init), other(step=lambda *_: None)
    made = counterpart(own, [(HERE, new)])
    assert (made.step, made.init) == (new.step, init)
    with pytest.raises(CommandError, match="has no `init`"):
        counterpart(own, [(HERE, new)], by_name=True)


named = StateMachine(step=step, init=init)


def test_a_name_that_stands_for_something_else_is_not_taken_for_the_machine() -> None:
    new = other(named=5, step=lambda *_: None)
    assert counterpart(named, [(HERE, new)]).step is new.step

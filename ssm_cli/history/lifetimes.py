"""Lives: what a worker was given since the last state that is known without a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, Kind
from ssm_cli.behaviour.results import NOTHING, Ok
from ssm_cli.history.comparing import kind_of
from ssm_cli.history.records import entries_in, served
from ssm_cli.history.trials import Given, Goal, Trial
from ssm_cli.runtime.engine.recorder import Acted, Began, Recorder

ENDED = ("crashed", "stopped")


class Lifetime(msgspec.Struct, frozen=True):
    """What one worker was given.

    Attributes:
        state: what it began with; `NOTHING` where no state of it is remembered.
        inputs: (kind, message), oldest first.
        from_init: `state` is what `init` gave; else it was put there, or is the oldest remembered.
    """

    state: Any
    inputs: Sequence[Given]
    from_init: bool

    def trial(self, behaviour: Behaviour, goal: Goal) -> Trial:
        """Return what it comes to: the last input has led to the goal."""
        return Trial(behaviour, self.state, self.inputs, goal, self.from_init)


def life_of(recorder: Recorder, worker: str, record: int, *, ended: bool = True) -> Lifetime:
    """Return the life of a worker up to a record.

    A restart with the state that it had (`on_crash: last_good`) goes on with the life, without the
    input that has ended it.

    Args:
        recorder: remembers it.
        worker: its id.
        record: the last one that counts.
        ended: the life ends with it: a start right behind it is of the next one.
    """
    inputs: list[tuple[Kind, Any]] = []
    state: Any = NOTHING
    now, fell = state, False  # what it has, and whether the last input has ended it
    from_init = recorder.ring[0][0] == 0  # all since the tree began
    for entry in entries_in(recorder, last=record, worker=worker):
        what = entry[5]
        if type(what) is Began:
            if entry[0] == record and ended:
                continue
            begun = what.answer.state if type(what.answer) is Ok else what.answer
            if now is NOTHING or begun is not now:
                inputs, state, from_init = [], begun, True
            elif fell:
                inputs.pop()
            now, fell = begun, False
        elif type(what) is Acted and what.change and what.after is not None:
            inputs, state, from_init = [], what.after, False
            now, fell = state, False
        elif entry[2] is not None and (one := served(recorder, entry)) is not None:
            state = one.before if state is NOTHING else state
            inputs.append((kind_of(one), one.input))
            now, fell = one.after, one.outcome in ENDED
    return Lifetime(state, inputs, from_init)

"""Stepping again, in a recovery: user code runs under the limits of its worker, as it did live.

What overruns its limit is cut (`engine/guard.py`); whoever called it takes that, and whatever else
user code raises, for a trouble of that worker alone. What comes from outside goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Odd
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.json import unshowable
from ssm_cli.errors import message_of
from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.durable.records import Input
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.guard import (
    INIT,
    STEP,
    AlarmGuard,
    Guard,
    NoGuard,
    engine_code,
    guarded,
)
from ssm_cli.runtime.outside import is_from_outside, is_raised_by_code
from ssm_cli.spec.model import WorkerSpec

Call = Callable[..., Any]
Answered = tuple[Any, tuple[Any, Any]]
"""An input, and the state and the output that it came to."""
Taken = list[Answered] | None


class Again:
    """Runs user code of one worker.

    Args:
        spec: the worker, whose limits hold; None for none.
        guard: what cuts; None for one of its own.

    Attributes:
        given: the input that was decoded last; `NOTHING` once it was taken.
        guard, cell: what cuts, and what stands for the worker there.
    """

    def __init__(self, spec: WorkerSpec | None = None, guard: Guard | None = None) -> None:
        self.given: Any = NOTHING
        self.cell = WorkerCell(spec)
        self._step_s = self._init_s = math.inf
        if spec is None:
            self.guard: Guard = NoGuard(SystemClock())
            return
        self.guard = guard or AlarmGuard(SystemClock())
        self._step_s = self.cell.limit_s(STEP)
        self._init_s = max(self._step_s, self.cell.limit_s(INIT))
        self.guard.expect(self._step_s)

    def step(self, call: Call, *args: Any) -> Any:
        """Return `call(*args)`, within the limit of a step."""
        return guarded(self.guard, self.cell, self._step_s, call, *args)

    def straight(
        self, step: Call, decode: Call, records: Iterable[Input], state: Any, taken: Taken
    ) -> tuple[int, Any, Odd | None]:
        """Step plain inputs one behind the other, each within the limit of a step.

        Each that came to a state and an output is added to `taken`, if there is one: it with the
        input, and the answer, which holds the state before the next one.

        Returns:
            How many they are, the last answer, and what came of one that has stopped it.
        """
        guard, cell, count, answer = self.guard, self.cell, 0, (state, None)
        for record in records:
            given, found = NOTHING, None
            cell.steps += 1  # it is another one than the step before
            guard.used, guard.cell = True, cell
            try:
                if not guard.armed:
                    guard.arm()
                given = decode(record.data)
                found = step(given, answer[0])
            except BaseException as error:
                guard.cell = None
                if self.is_from_outside(error):
                    raise
                return count, answer, Odd(given, None, error)
            guard.cell = None
            if type(found) is not tuple or len(found) != 2:
                return count, answer, Odd(given, found)
            count, answer = count + 1, found
            if taken is not None:
                taken.append((given, found))
        return count, answer, None

    def revive(self, call: Call, *args: Any) -> Any:
        """Return `call(*args)`, which brings a state, within the limit of `init` or of a step."""
        return guarded(self.guard, self.cell, self._init_s, call, *args)

    def is_from_outside(self, error: BaseException) -> bool:
        """Return whether what left such a call was raised by somebody else."""
        return is_from_outside(self.guard, error)

    def said(self, error: BaseException, *, tried: bool = False) -> str:
        """Return what an exception of user code says; raise one from outside.

        Of code that is only `tried`, a `KeyboardInterrupt` that it raises itself is its own, too.
        """
        if self.is_from_outside(error) and not (tried and is_raised_by_code(error)):
            raise error
        try:
            text: str = self.step(message_of, error)
        except BaseException as failed:
            if self.is_from_outside(failed):
                raise
            return unshowable(error, failed)
        return text


engine_code(Again.straight)


def with_limits(spec: WorkerSpec, step_s: float, init_s: float | None = None) -> WorkerSpec:
    """Return a spec whose steps, and `init` if that is given, are cut after so many seconds."""
    options = msgspec.structs.replace(spec.options, step_timeout_ms=int(step_s * 1000))
    if init_s is not None:
        options = msgspec.structs.replace(options, init_timeout_ms=int(init_s * 1000))
    return msgspec.structs.replace(spec, options=options)

"""Stepping again, in a recovery: user code runs under the limits of its worker, as it did live.

What overruns its limit is cut (`engine/guard.py`); whoever called it takes that, and whatever else
user code raises, for a trouble of that worker alone. What comes from outside goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.json import unshowable
from ssm_cli.errors import message_of
from ssm_cli.runtime.clock import SystemClock
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


class Again:
    """Runs user code of one worker.

    Args:
        spec: the worker, whose limits hold; None for none.
        guard: what cuts; None for one of its own.

    Attributes:
        given: the input that was decoded last; `NOTHING` once it was taken.
    """

    def __init__(self, spec: WorkerSpec | None = None, guard: Guard | None = None) -> None:
        self.given: Any = NOTHING
        self._cell = WorkerCell(spec)
        self._step_s = self._init_s = math.inf
        if spec is None:
            self._guard: Guard = NoGuard(SystemClock())
            return
        self._guard = guard or AlarmGuard(SystemClock())
        self._step_s = self._cell.limit_s(STEP)
        self._init_s = max(self._step_s, self._cell.limit_s(INIT))
        self._guard.expect(self._step_s)

    def step(self, call: Call, *args: Any) -> Any:
        """Return `call(*args)`, within the limit of a step."""
        return guarded(self._guard, self._cell, self._step_s, call, *args)

    def plain(self, step: Call, decode: Call, data: bytes, state: Any) -> Any:
        """Return `step(decode(data), state)`, within the limit of a step; as `serve_plainly`."""
        guard, cell = self._guard, self._cell
        cell.steps += 1  # it is another one than the step before
        try:
            try:
                guard.used, guard.cell = True, cell
                if not guard.armed:
                    guard.arm()
                self.given = given = decode(data)
                return step(given, state)
            finally:
                guard.cell = None
        except BaseException:
            guard.cell = None  # nobody else mends a guard of its own
            raise

    def revive(self, call: Call, *args: Any) -> Any:
        """Return `call(*args)`, which brings a state, within the limit of `init` or of a step."""
        return guarded(self._guard, self._cell, self._init_s, call, *args)

    def is_from_outside(self, error: BaseException) -> bool:
        """Return whether what left such a call was raised by somebody else."""
        return is_from_outside(self._guard, error)

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


engine_code(Again.plain)


def with_limits(spec: WorkerSpec, step_s: float, init_s: float | None = None) -> WorkerSpec:
    """Return a spec whose steps, and `init` if that is given, are cut after so many seconds."""
    options = msgspec.structs.replace(spec.options, step_timeout_ms=int(step_s * 1000))
    if init_s is not None:
        options = msgspec.structs.replace(options, init_timeout_ms=int(init_s * 1000))
    return msgspec.structs.replace(spec, options=options)

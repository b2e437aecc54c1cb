"""The guard of a simulation: it cuts user code by the time of the machine, but patiently."""

from __future__ import annotations

import math
import signal

from ssm_cli.runtime.clock import SystemClock
from ssm_cli.runtime.engine.cell import Cell
from ssm_cli.runtime.engine.guard import OVERDUE_TICKS, STEP, AlarmGuard, Guard, NoGuard

HANG_S = 5.0  # of the machine, that a step is taken to run at most
PATIENCE = 3  # times its limit that a callback may take by the time of the machine


class PatientGuard(AlarmGuard):
    """Cuts user code by the time of the machine, at `PATIENCE` times its limits.

    A machine that is busy with something else is not to change what a seed does, nor how many
    inputs are served at a time: no tick ends a batch. A step, and whatever has no limit, counts as
    one of `HANG_S` at most: somebody waits for the run.
    """

    __slots__ = ("_due_s",)

    @property
    def ticked(self) -> bool:
        """Whether a batch is to end early."""
        return False

    @ticked.setter
    def ticked(self, value: bool) -> None:
        """Take no notice of a tick."""

    def _limit_s(self, cell: Cell) -> float:
        limit_s = super()._limit_s(cell)
        bounded = self.phase == STEP or limit_s == math.inf
        return PATIENCE * (min(limit_s, HANG_S) if bounded else limit_s)

    def _put_off(self) -> None:
        """Have `look` see when ticks are missing: the loop compares with the virtual clock."""
        self.overdue_s = math.inf
        self._due_s = self.clock.now_s() + OVERDUE_TICKS * self._tick_s

    def look(self) -> None:
        """Set the ticks up anew where they are missing, as user code may take their signal away."""
        if self.armed and self.clock.now_s() > self._due_s:
            self.arm()


def patient(guard: Guard) -> Guard:
    """Return a guard with the limits of another that cuts only what really hangs."""
    clock = SystemClock()
    real: Guard = PatientGuard(clock) if hasattr(signal, "setitimer") else NoGuard(clock)
    real.expect_as(guard)
    return real

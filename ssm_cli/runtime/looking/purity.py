"""Whether steps are pure: each callback is run twice, on copies, and what differs is reported."""

from __future__ import annotations

import copy
from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour, Kind, Outcome, advance
from ssm_cli.behaviour.equality import equal
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.behaviour.results import Caller
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.contained import said_by
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.outside import is_from_outside


class Purity:
    """Runs callbacks in the place of `dispatch.advance`, each twice, and says what is not pure.

    The first run's outcome counts. A worker is reported at its first three faults, and no more.
    """

    MOST_FAULTS = 3

    def __init__(self, world: World) -> None:
        self._world = world
        self._faults: dict[str, int] = {}

    def advance(
        self, behaviour: Behaviour, kind: Kind, message: Any, caller: Caller | None, state: Any
    ) -> Outcome:
        """What the callback answers; see `dispatch.advance`."""
        try:
            first, second = copy.deepcopy((message, state)), copy.deepcopy((message, state))
        except Exception as error:
            if is_from_outside(self._world.guard, error):
                raise
            said = said_by(self._world, self._world.root, error)
            self._report(message, f"its state cannot be copied to check it: {said}")
            return advance(behaviour, kind, message, caller, state)
        outcome: Outcome | None = None
        failed: Exception | None = None
        try:
            outcome = advance(behaviour, kind, first[0], caller, first[1])
        except Exception as error:
            if is_from_outside(self._world.guard, error):
                raise
            failed = error  # a crash, which is raised again below
        if not equal(first[1], state):
            self._report(message, "it changes the state that it is given, in place")
        elif not equal(first[0], message):
            self._report(message, "it changes the input that it is given, in place")
        self._compare(outcome, failed, (behaviour, kind, second[0], caller, second[1]), message)
        if failed is not None:
            raise failed
        assert outcome is not None, "it has answered, or raised"
        return outcome

    def _compare(
        self, outcome: Outcome | None, failed: Exception | None, again: Any, message: Any
    ) -> None:
        """Run it again, and say so if it answers, or raises, something else."""
        try:
            other: Outcome = advance(*again)
        except Exception as error:
            if is_from_outside(self._world.guard, error):
                raise
            if type(error) is not type(failed):
                self._report(message, f"it raises {type(error).__name__} the second time alone")
            return
        if failed is not None:
            self._report(message, f"it raises {type(failed).__name__} the first time alone")
        elif not equal(compared(other), compared(outcome)):
            what = "state" if not equal(other.state, getattr(outcome, "state", None)) else "output"
            self._report(message, f"the same input and state give another {what} the second time")

    def _report(self, message: Any, how: str) -> None:
        cell = self._world.guard.cell
        if not isinstance(cell, WorkerCell):
            return
        count = self._faults.get(cell.spec.id, 0) + 1
        self._faults[cell.spec.id] = count
        if count <= self.MOST_FAULTS:
            detail = {"input": shown(self._world, cell, message), "how": how}
            self._world.report("impure", cell, detail)


def compared(outcome: Outcome | None) -> Any:
    """Return what two runs have to agree on: of a crash that was answered the type, as if raised.

    No exception equals another one.
    """
    if outcome is None or type(outcome.stop) is not Crash:
        return outcome
    return outcome.state, outcome.reply, type(outcome.stop.error), outcome.effects

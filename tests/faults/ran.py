"""Runs that end, are replaced, cancelled, and end with their worker, on a loop of their own."""

from __future__ import annotations

from typing import Any

from ssm_cli import CancelRun, Run
from tests.faults.scenarios import add, asking, crash, flat
from tests.faults.stage import Own, Scenario, Stage
from tests.runtime.outside_work import adouble, aforever, araises


def runs(stage: Stage) -> None:
    """Ask for runs of all kinds, and serve the node between."""
    stage.start()
    stage.call("a", asking(Run("x", adouble, 1), Run("y", aforever), Run("z", adouble, 2, limit=1)))
    stage.act("run", stage.node.run)
    stage.call("a", asking(CancelRun("y"), Run("x", araises(ValueError))))
    stage.act("run", stage.node.run)
    stage.call("b", asking(Run("t", aforever, timeout_ms=100)))
    stage.act("run", stage.node.run)
    stage.act("time", later, stage)
    stage.call("b", add)
    stage.call("b", asking(Run("t", aforever), Run("u", adouble, 1)))
    stage.act("run", stage.node.run)
    stage.call("b", crash)
    stage.act("run", stage.node.run)
    stage.call("c", asking(Run("x", aforever)))
    stage.act("run", stage.node.run)
    stage.call("c", asking(Run("y", interrupted)))
    stage.act("run", stage.node.run)
    stage.stop()


async def interrupted() -> None:
    """Be where Ctrl-C comes."""
    (_ for _ in ()).throw(Own("in a run"))


def later(stage: Stage) -> Any:
    """Let the time of a run be over."""
    stage.clock.advance_s(1.0)


SCENARIOS = [
    Scenario("runs", flat("one_for_one"), runs, kinds=(KeyboardInterrupt,)),
]

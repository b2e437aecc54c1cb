"""Workers that are held at breaks and go on, and inputs that only read."""

from __future__ import annotations

from typing import Any

from ssm_cli import StartTimer, Supervisor
from ssm_cli.runtime.performer.breaking import Break
from tests.faults.scenarios import add, asking, flat
from tests.faults.stage import Scenario, Stage


def each_time(*_given: Any) -> tuple[str, str]:
    """Hold it, whatever it was."""
    return "an input", "a change"


def breaks(stage: Stage) -> None:
    """Hold a worker at each input; go on with it, without it, and with another one."""
    node = stage.node
    stage.start()
    stage.do("set_breaks", "a", (Break(1, "True", each_time),))
    for options in ({}, {"drop": True}, {"given": add}):
        stage.ask("a", add)
        stage.do("run")
        stage.act("leave_break", node.leave_break, "a", **options)
        stage.do("run")
    stage.do("set_breaks", "a", ())
    stage.call("a", asking(StartTimer("t", 10, add)))
    stage.do("set_breaks", "a", (Break(2, "True", each_time),))
    stage.do("run", 1.0)
    stage.act("leave_break", node.leave_break, "a", given=add)
    stage.do("run")
    stage.act("leave_break", node.leave_break, "a")
    stage.do("run")
    stage.do("set_breaks", "a", ())
    stage.do("resume", "a")
    stage.stop()


def reader(stage: Stage) -> Any:
    """A worker whose words only read."""
    return Supervisor("root", children=[
        stage.worker("a", start=stage.machine(reads=str)), stage.worker("b"),
    ], intensity=100)  # fmt: skip


def reads(stage: Stage) -> None:
    """Read, write, read, and crash while reading."""
    stage.start()
    for message in ("word", add, "word", "crash", "word"):
        stage.call("a", message)
        stage.ask("a", message)
        stage.do("run")
    stage.stop()


SCENARIOS = [
    Scenario(
        "breaks", flat("one_for_one"), breaks, frozenset("a"), watched=False, defers=True,
        options={"history": 64},
    ),
    Scenario("reads", reader, reads, options={"history": 64}),
]  # fmt: skip

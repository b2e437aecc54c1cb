"""Acts that are interrupted already, by user code or in a report, when the exception strikes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ssm_cli import Backoff, Report, Supervisor
from tests.faults.scenarios import add, crash, flat
from tests.faults.stage import Own, Scenario, Stage

REPORTS = ("crashed", "terminating", "terminated", "restarting", "starting", "started")
CALLBACKS = ("terminate", "init")


def trapped(stage: Stage, trap: tuple[str, str], do: Callable[..., Any], *args: Any) -> None:
    """An act in which a report, or a callback, raises `Own`."""
    stage.trap = trap
    stage.act(f"{do.__name__} with {trap}", do, *args)
    stage.trap = ("", "")


def interrupts(_state: Any) -> Any:
    raise Own("in a step")


def in_restarts(names: Sequence[str]) -> Callable[[Stage], None]:
    """Interruptions in each part of a restart, with callers that wait."""

    def acts(stage: Stage) -> None:
        node = stage.node
        stage.start()
        for name in names:
            for what in (*REPORTS, *CALLBACKS):
                stage.ask("a", add)
                trapped(stage, (what, name), node.call, "b", crash)
                stage.do("run")
        stage.call("a", interrupts)
        stage.ask("b", interrupts)
        stage.ask("c", add)
        stage.do("run")
        stage.do("cast", "a", interrupts)
        stage.do("run")
        stage.stop()

    return acts


def nested(stage: Stage) -> Any:
    below = [stage.worker("b"), stage.worker("c")]
    inner = Supervisor("inner", "one_for_all", below, intensity=0)
    return Supervisor("root", "rest_for_one", [stage.worker("a"), inner], intensity=100)


def below(stage: Stage) -> None:
    """Interruptions while a supervisor gives up, is started again, held, and ended by request."""
    node = stage.node
    stage.start()
    for name in ("inner", "b", "c"):
        for what in (*REPORTS, *CALLBACKS, "gave_up", "exited"):
            trapped(stage, (what, name), node.call, "b", crash)
            stage.do("run")
    stage.do("suspend", "inner")
    trapped(stage, ("crashed", "b"), node.call, "b", crash)
    stage.do("resume", "inner")
    stage.do("suspend", "a")
    stage.ask("a", add)
    trapped(stage, ("terminate", "c"), node.terminate_child, "root", "inner")
    stage.do("resume", "a")
    trapped(stage, ("init", "c"), node.restart_child, "root", "inner")
    stage.do("restart_child", "root", "inner")
    trapped(stage, ("init", "x"), node.start_child, "root", stage.worker("x"))
    trapped(
        stage,
        ("starting", "y"),
        node.start_child,
        "root",
        Supervisor("y", children=[stage.worker("z")]),
    )
    trapped(stage, ("terminate", "a"), node.kill, "inner")
    trapped(stage, ("killed", "b"), node.kill, "b")
    trapped(stage, ("terminate", "b"), node.stop_process, "b", "odd")
    trapped(stage, ("terminate", "c"), node.stop)
    stage.start()
    trapped(stage, ("terminated", "c"), node.stop)
    trapped(stage, ("init", "c"), node.start)
    trapped(stage, ("started", "b"), node.start)
    stage.start()


def waiting(stage: Stage) -> Any:
    slow = {"backoff": Backoff(100, 2, 1000)}
    return Supervisor(
        "root", "rest_for_one", [stage.worker("a", **slow), stage.worker("b", **slow)],
        intensity=100,
    )  # fmt: skip


def in_back_off(stage: Stage) -> None:
    """Interruptions in restarts that are held back."""
    node = stage.node
    stage.start()
    for what in (*REPORTS, *CALLBACKS):
        trapped(stage, (what, "a"), node.call, "a", crash)
        stage.ask("b", add)
        trapped(stage, (what, "b"), node.run, 1.0)
        stage.act("run 3 s", node.run, 3.0)
    stage.stop()


def interrupted_twice(stage: Stage) -> None:
    """A stop in which more than one callback is interrupted: what is left is killed."""
    node = stage.node

    told = {"b", "c"}

    def again(report: Report) -> None:
        if report.event == "terminating" and report.id in told and not stage.fired:
            told.remove(report.id)
            raise Own(report.id)

    stage.start()
    end = node.subscribe(again)
    stage.act("stop", node.stop)
    end()
    stage.start()


SCENARIOS = [
    *(Scenario(f"in_restarts_{strategy}", flat(strategy), in_restarts("abc"), kills=True)
      for strategy in ("one_for_one", "one_for_all", "rest_for_one")),
    Scenario("stopped_twice", flat("one_for_one"), interrupted_twice, kills=True, may_end=True,
             watched=False),
    Scenario("below", nested, below, frozenset("abcxyz"), kills=True, may_end=True),
    Scenario("in_back_off", waiting, in_back_off, frozenset("ab"), kills=True),
]  # fmt: skip

"""What a node remembers of its inputs: bounds, weights, inputs that are void, and what is odd."""

from __future__ import annotations

from typing import Any

from ssm_cli import (
    CancelRun,
    Cast,
    Defer,
    Demonitor,
    Exit,
    Info,
    Join,
    Link,
    Monitor,
    Run,
    StartTimer,
    Supervisor,
)
from ssm_cli.behaviour.reasons import NORMAL, Crash
from ssm_cli.behaviour.runs import Done
from ssm_cli.runtime.engine import bonds, groups, inplace, instants, monitors, recalled, recorder
from ssm_cli.runtime.engine import runs as runs_room
from ssm_cli.runtime.engine.entries import Caused, ContinueDue, RunEnded, TimerDue, message_in
from ssm_cli.runtime.engine.recorder import go_on_at, record_behind
from ssm_cli.runtime.performer.breaking import Break
from tests.faults.doors import tried
from tests.faults.edges import plain
from tests.faults.rest import interrupts
from tests.faults.scenarios import add, asking, crash, failing, flat
from tests.faults.stage import Scenario, Stage
from tests.faults.ticks import patched
from tests.runtime.outside_work import adouble, aforever

LARGE = "x" * 100_000


def grows(state: Any) -> Any:
    """Answer much, and hold much."""
    return (state[0], [LARGE, len(state)]), LARGE * 2


def changes(state: Any) -> Any:
    """Change the state in place."""
    if isinstance(state[1], list):
        state[1].append(1)
    return state, "changed"


def weighed(stage: Stage) -> None:
    """Inputs beyond the bytes that may be remembered, and states that are changed in place."""
    node, history = stage.node, stage.node._world.history
    stage.start()
    history.most_bytes = 300_000
    for number in range(6):
        stage.call("a", lambda state, n=number: (grows(state)[0], LARGE * (n + 1)))
    for _ in range(3):
        stage.call("a", b"word")
    stage.do("replace_state", "b", (1, [1]))
    for _ in range(40):
        node.call("b", changes)
    stage.call("b", changes)
    stage.act("moment", history.moment)
    with patched(recorder, "MOST_CELLS", 4):
        for _ in range(3):
            history._due_s = -1.0
            stage.act("moment", history.moment)
    stage.act("go on", go_on_at, history, history.last() + 9)
    stage.call("a", add)
    history.instants._most = 1
    with patched(instants, "WALL_STEP_S", -1.0):
        stage.act("wall", history.instants.note_wall)
    for number in range(70):
        stage.clock.advance_s(0.001)
        history.instants.note_at(history.last() + number, stage.clock.now_s())
    stage.act("note", note_many, history)
    stage.act("know", history.instants.take_over, history.instants)
    known = instants.Instants(stage.clock, 9)
    for _ in range(2):
        stage.act("know", known.take_earlier, history.instants, history.last())
    stage.act("behind", record_behind, history, node._world.root, "undecodable")
    stage.stop()


def note_many(history: Any) -> None:
    """Note more times than are kept."""
    for number in range(3):
        history.instants.note_at(10**6 + number, 1e6 + number)


def told_of(stage: Stage) -> None:
    """A worker that is told of what an effect has sent, as it is put off, dropped, interrupted."""
    history = stage.node._world.history
    stage.start()
    stage.call("a", asking(Cast("b", interrupts), Cast("c", add)))
    stage.do("run")
    stage.call("a", asking(Cast("b", interrupts)))
    for _ in range(3):
        stage.do("run")
    readers: list[Any] = [lambda: None]
    history.readers = readers
    history._due_s = -1.0
    stage.act("moment", history.moment)
    stage.call("a", lambda state: interrupts())
    stage.call("a", asking(Cast("nobody", add), Exit("odd")))
    stage.do("run")
    stage.do("cast", "a", b"\xff")
    stage.call("a", asking(Cast("b", b"\xff")))
    stage.do("run")
    stage.stop()


def keeps_good(stage: Stage) -> Any:
    """A worker that keeps its last good state in a crash."""
    quick = stage.machine(terminate=None)  # the number of a life is kept with its state
    children = [stage.worker("a", start=quick, on_crash="last_good"), stage.worker("b")]
    return Supervisor("root", children=children, intensity=100)


def goes_on_with(stage: Stage) -> None:
    """Crashes of a worker that goes on with the state that it had."""
    stage.start()
    for message in (add, crash, add, crash):
        stage.call("a", message)
    stage.stop()


def void(stage: Stage) -> None:
    """Messages that became void: timers, runs, continues of earlier lives; and runs that end."""
    done = Done("r", 1)
    world = stage.node._world
    stage.start()
    cell: Any = world.names["a"]
    stage.call("a", asking(StartTimer("t", 10, add), Run("r", aforever)))
    starts = cell.starts
    for marked in (
        TimerDue(0, cell, starts - 1, "t", add), TimerDue(99, cell, starts, "t", add),
        TimerDue(0, cell, starts, "t", add),
        RunEnded(0, cell, starts - 1, "r", done), RunEnded(99, cell, starts, "r", done),
        ContinueDue(starts - 1, add), Caused((1, 1), add),
    ):  # fmt: skip
        stage.act("void", message_in, cell, marked)
    for key in ("r", "nothing"):
        stage.act("under way", runs_room.run_of, cell, key)
    stage.act("nobody", runs_room.run_of, None, "r")
    stage.do("set_breaks", "a", (Break(1, "True", lambda *_: ("x", "y")),))
    stage.call("a", asking(Run("q", adouble, 1)))
    stage.do("run")
    stage.act("leave", tried, stage.node.leave_break, "a")
    stage.act("run", stage.node.run, 0.0)
    stage.act("run", stage.node.run, 0.0)
    stage.do("set_breaks", "a", ())
    stage.do("resume", "a")
    stage.call("a", asking(CancelRun("r")))
    stage.do("run")
    stage.stop()


def bonded(stage: Stage) -> None:
    """Groups and monitors beyond their bounds, links and supervisors in digests."""
    node = stage.node
    stage.start()
    with patched(groups, "MOST_JOINED", 0), patched(bonds, "MOST_JOINED", 0):
        stage.call("a", asking(Join("g")))
    with patched(monitors, "MOST_MONITORED", 0):
        stage.call("a", asking(Monitor("b")))
    stage.call("a", asking(Join("g"), Monitor("b"), Link("c")))
    stage.call("a", asking(Monitor("b"), Demonitor("b"), Demonitor("b")))
    stage.do("suspend", "b")
    stage.ask("b", asking(Defer("k")))
    stage.do("cast", "b", add)
    stage.do("run")
    stage.call("a", asking(Cast("b", add), Info("b", add)))
    stage.do("digest")
    stage.act("fork", node.fork, copy="deep")
    stage.do("resume", "b")
    stage.call("b", crash)
    stage.do("start_child", "root", stage.worker("x", args={"init": failing(2, 3, 4)}))
    stage.do("kill", "x")
    stage.do("terminate_child", "root", "x")
    stage.do("digest")
    stage.do("fork")
    stage.stop()


def recalls(stage: Stage) -> None:
    """Ends of the past, as values, are raised again."""
    error = recalled.PastError("as asked")
    crashed = recalled.frameless(Crash(ValueError("x")), "x")
    stage.start()
    for reason in (Crash(error), NORMAL, crashed):
        stage.act("again", caught, reason)
        stage.act("frameless", recalled.frameless, reason, "x")
    stage.act("places", recalled.places_of, error)
    stage.act("watched", in_place)
    stage.stop()


def caught(reason: Any) -> Any:
    """Raise an exit reason of the past, and look at it."""
    try:
        recalled.raised(reason)
    except recalled.PastError as error:
        return error.reason


def in_place() -> None:
    """A state that is changed in place is noticed."""
    state = [1]
    look = inplace.InPlace()
    look.watch("a", 1, state, 0)
    state.append(2)
    look.compare()


HISTORY: dict[str, Any] = {"history": 64}

SCENARIOS = [
    Scenario("weighed", flat("one_for_one"), weighed, watched=False, options=HISTORY),
    Scenario("told_of", plain(*"abc"), told_of, frozenset("c"), kills=True, watched=False,
             failing_inits=2, options=HISTORY),
    Scenario("goes_on_with", keeps_good, goes_on_with, kills=True, options=HISTORY),
    Scenario("void", flat("one_for_one"), void, frozenset("a"), defers=True, watched=False,
             kinds=(KeyboardInterrupt,), options=HISTORY),
    Scenario("bonded", flat("one_for_one"), bonded, frozenset("x"), kills=True, defers=True,
             options=HISTORY),
    Scenario("recalls", flat("one_for_one"), recalls),
]  # fmt: skip

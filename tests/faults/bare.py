"""More parts of the engine asked plainly, with what a tree that runs has, or seldom comes to."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ssm_cli import Cast, Supervisor
from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.reasons import NORMAL, Lost
from ssm_cli.runtime import driver, outside, reports, traces
from ssm_cli.runtime.engine import (
    backlog,
    commit,
    contained,
    crashes,
    digest,
    failures,
    guard,
    naming,
    publishing,
    ticker,
)
from ssm_cli.runtime.engine import runs as runs_room
from ssm_cli.runtime.engine.entries import ChildEnded, Restart, StartAgain, TryAgain
from ssm_cli.runtime.engine.pending import Pending, SentInput
from ssm_cli.runtime.engine.recalled import PastError
from ssm_cli.runtime.looking.purity import Purity
from ssm_cli.runtime.performer import applying, arriving, loop, mend, supervise
from tests.faults.doors import tried
from tests.faults.edges import Unhashed
from tests.faults.rest import interrupts
from tests.faults.scenarios import add, asking, crash, flat
from tests.faults.stage import Own, Scenario, Stage
from tests.faults.ticks import nothing, patched, refuse

LARGE = "x" * 100_000


def asked(stage: Stage, do: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return stage.act(getattr(do, "__name__", "ask"), tried, do, *args, **options)


def loaded(stage: Stage) -> None:
    """Modules are loaded that call functions of their own then."""
    stage.start()
    for module in (contained, driver, guard, loop, mend, traces):
        stage.act(module.__name__, load, module)
    stage.stop()


@cache
def compiled(path: str) -> Any:
    """Return the code of a file; the same at each run, as a point is one of its functions."""
    return compile(Path(path).read_text(encoding="utf-8"), path, "exec")


def load(module: Any) -> None:
    """Load a module once more, beside the one that is in use."""
    exec(compiled(module.__file__), {"__name__": f"{module.__name__}_again"})  # noqa: S102 - ours


def waits_and_keys(stage: Stage) -> None:
    """Keys that cannot be looked up, inputs put off, and what stands for what waits."""
    world, history = stage.node._world, stage.node._world.history
    stage.start()
    cell: Any = world.names["a"]
    stage.call("a", add)
    asked(stage, commit.answer, world, cell, "nobody", 1)
    cell.ensure_extra()
    asked(stage, commit.keep_caller, world, cell, Unhashed("k"), Pending())
    asked(stage, commit.start_timer, world, cell, Unhashed("k"), 1.0, add)
    asked(stage, commit.start_timer, world, cell, "k", 1.0, add, at_s=stage.clock.wall_s())
    asked(stage, commit.answer, world, cell, "nobody", 1)
    backlog.hold(world, cell, Kind.CAST, add, None)
    asked(stage, backlog.refuse_held, world, cell)
    asked(stage, digest.waiting, (1, SentInput(history, 1), Pending()))
    asked(stage, runs_room.not_recorded, "k", ValueError("x"))
    asked(stage, digest.sum_of, nested_list(200))
    asked(stage, naming.at_path, world.root, "root")
    asked(stage, naming.at_path, world.root, "root/x/y")
    asked(stage, world.origin, add)
    world.outside.dropping = nothing
    stage.call("a", asking(Cast("nobody", add)))
    world.outside.dropping = None
    remembered(stage, cell, history)
    stage.stop()


def nested_list(depth: int) -> list[Any]:
    """Return lists within lists."""
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


def remembered(stage: Stage, cell: Any, history: Any) -> None:
    """Records that are taken back, or weighed."""
    answer = ((cell.state[0], 7), "x")
    history.append((next(history.world.numbers), cell, Kind.CALL, add, cell.state, answer))
    asked(stage, history.retract, cell)
    history.most_bytes = 200_000
    for number in range(70):
        if number < 5 or number > 62:
            asked(stage, history._weigh, cell, LARGE if number < 5 else add, 256, history.last())
        else:
            history._weigh(cell, add, 256, history.last())
        history.append((next(history.world.numbers), cell, Kind.CALL, add, cell.state, answer))
    history._due_s = float("inf")
    asked(stage, history.moment)
    asked(stage, history.instants.until, 1)


def gone(stage: Stage) -> None:
    """Entries about children that are gone, and about earlier lives; forks with them."""
    world = stage.node._world
    stage.start()
    stage.do("start_child", "root", stage.worker("x", restart="temporary"))
    cell: Any = world.names.get("x") or world.names["a"]
    stage.do("terminate_child", "root", "x")
    ended = ChildEnded(cell, cell.starts, NORMAL)
    world.lane.append(ended)
    for copying in ("shared", "deep"):
        stage.ask("c", [1])
        stage.act("fork", stage.node.fork, copy=copying)
    stage.do("run")
    a: Any = world.names["a"]
    asked(stage, supervise.on_exit, world, ChildEnded(a, 99, NORMAL))
    asked(stage, supervise.on_try_again, world, TryAgain(a, 99))
    asked(stage, supervise.on_restart, world, Restart(a, 99, 1))
    asked(stage, supervise.on_start_again, world, StartAgain(a, 99))
    with patched(world, "forked", True):
        asked(stage, failures.why_down, world)
    asked(stage, crashes.kept_events, a, lambda value: value)
    asked(stage, crashes.stack_of, ("a line",))
    asked(stage, world.crashes.all_kept)
    asked(stage, contained.ended_by, world, a, past())
    asked(stage, contained.told_at_a_glance, None, ValueError("x"))
    asked(stage, publishing.catch_up, world, "nobody")
    asked(stage, applying.why_of, Lost("noconnection", "as asked"))
    asked(stage, applying.why_of, NORMAL)
    asked(stage, lambda: [*applying.each_below([world.root])])
    asked(stage, arriving.mend_start_of, world, a)
    asked(stage, Purity(world)._report, add, "as asked")
    stage.stop()


def past() -> PastError:
    """Return an end of the past."""
    error = PastError("as asked")
    error.reason = NORMAL
    return error


def from_whom(stage: Stage) -> None:
    """Whose an exception is: of code itself, of the handler of a signal, of nobody."""
    number = signal.SIGURG
    before = signal.signal(number, raises)
    try:
        stage.start()
        for error in (ValueError("x"), caught(raised), caught(handled), caught(interrupts)):
            asked(stage, outside.is_from_outside, None, error)
            asked(stage, outside.is_raised_by_code, error)
            asked(stage, outside.is_ctrl_c, error)
            asked(stage, traces.in_runtime_alone, error.__traceback__)
        asked(stage, called_in_c)
        signal.signal(number, looks)
        asked(stage, signal.raise_signal, number)
        asked(stage, outside.complain, "as asked", Unsaid())
        with patched(traceback, "format_exception", refuse):
            asked(stage, outside.complain, "as asked", Unsaid())
        signal.signal(number, raises)
        stage.act("call", overtaken, stage)
        stage.stop()
    finally:
        signal.signal(number, before)


class Unsaid(Exception):
    """An exception that cannot be told."""

    def __str__(self) -> str:
        raise ZeroDivisionError("as asked")

    @property
    def __notes__(self) -> Any:  # type: ignore[override]  # as bad code does
        raise ZeroDivisionError("as asked")


def raises(_number: int, _frame: object) -> None:
    raise LookupError("as asked")


def looks(_number: int, _frame: object) -> Any:
    return outside.in_signal_handler()


def raised() -> None:
    raise LookupError("as asked")


def handled() -> None:
    signal.raise_signal(signal.SIGURG)


def caught(do: Callable[[], Any]) -> BaseException:
    """Return what a function raises."""
    try:
        do()
    except (LookupError, Own) as error:
        return error
    raise AssertionError("it has raised nothing")


def called_in_c(as_runtime: Callable[[Any], Any] = lambda made: made) -> bool:
    """A callback in C has raised in the frame that calls it."""
    made = as_runtime(traces.calls_user(traced_call))
    try:
        made(int)
    except ValueError as error:
        trace = error.__traceback__
        return traces.in_runtime_alone(trace and trace.tb_next)
    finally:
        traces.CALLERS.discard(traced_call.__code__)
    return False


def traced_call(function: Any) -> Any:
    return function("x")


def overtaken(stage: Stage) -> None:
    """A step, copied and run twice, in which the handler of a signal raises."""
    seen: list[int] = []

    def the_second_time(state: Any) -> Any:
        seen.append(0)
        return handled() if len(seen) == 2 else (state, "x")

    for message in (lambda _state: handled(), Overtaken(), the_second_time):
        try:
            stage.node.call("a", message)
        except LookupError:
            continue


class Overtaken:
    """An input that is copied as a signal comes."""

    def __call__(self, state: Any) -> Any:
        return state, "copied"

    def __deepcopy__(self, _memo: Any) -> Any:
        handled()


def full_ring(stage: Stage) -> None:
    """More reports than are kept, one by one and several at once; readers that are behind."""
    node, stream = stage.node, stage.node._world.reports
    with patched(reports, "KEPT_REPORTS", 3), patched(reports, "SLACK_REPORTS", 1):
        stage.start()
        for _ in range(3):
            stage.call("b", crash)
        stage.stop()
    stage.start()
    asked(stage, stream.ring)
    asked(stage, reports.ReportStream(stage.clock).fill, node.reports(), stream.seq)
    told: list[int] = []
    end = node.subscribe(lambda report: told.append(report.seq))
    stream._readers[-1].told -= 2
    stage.call("b", crash)
    stream._readers[-1].told += 99
    stage.call("b", crash)
    end()
    stage.stop()
    stage.start()


def refuses(stage: Stage) -> None:
    """A system that has no timers left to give."""
    stage.start()
    made = asked(stage, ticker.new_ticker, stage.clock.now_s)
    if isinstance(made, ticker.PosixTicker):
        asked(stage, refused_timer, made)
    stage.stop()


def refused_timer(made: Any) -> None:
    """Ask for a timer of a clock that is none."""
    try:
        made._create(9999, signal.SIGURG)
    except OSError as error:
        raise ValueError from error


def impure(stage: Stage) -> Any:
    """A step that is run twice."""
    return Supervisor("root", children=[stage.worker("a")], intensity=100)


HISTORY: dict[str, Any] = {"history": 64}

SCENARIOS = [
    Scenario("loaded", flat("one_for_one"), loaded),
    Scenario("waits_and_keys", flat("one_for_one"), waits_and_keys, watched=False, kills=True,
             defers=True, options=HISTORY),
    Scenario("gone", flat("one_for_one"), gone, frozenset("x"), kills=True, defers=True),
    Scenario("from_whom", impure, from_whom, kinds=(KeyboardInterrupt,),
             options={"verify_pure": True}),
    Scenario("full_ring", flat("one_for_one"), full_ring, watched=False, may_end=True,
             forgets=True),
    Scenario("refuses", flat("one_for_one"), refuses),
]  # fmt: skip

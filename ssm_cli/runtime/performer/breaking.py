"""Breaks: a worker is held before it would commit a state for which something is true.

Theory of operation. A worker with breaks is served with care (`Plan.CARE`), so that all others pay
nothing. What a step has come to is shown to the breaks before anything of it is written, committed
or sent. Where one says so, the input goes back to where inputs of a suspended worker wait, the
first of them, and the worker is suspended: callers wait there with their time-outs, and what ends
the worker ends them. Once it goes on, the input comes again, and what it came to is committed
without a second step, as long as the state is still the one that the step was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.backlog import hold
from ssm_cli.runtime.engine.cell import WorkerCell, replan
from ssm_cli.runtime.engine.entries import RunDue, RunEnded, TimerDue
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recorder import Acted
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.callback import run_callback
from ssm_cli.runtime.performer.settling import commit_outcome, show_input
from ssm_cli.runtime.performer.system import hold_at_break

Look = Callable[[WorkerCell, Kind, Any, Outcome], tuple[str, str] | None]


class Break(msgspec.Struct, eq=False):
    """A break of a worker.

    Attributes:
        number: its number in the node.
        text: the question, as it was written.
        look: asks it of an input and its outcome; None where it does not hold, else the input and
            what it would change, as texts.
        hits: how often it has held the worker.
    """

    number: int
    text: str
    look: Look
    hits: int = 0


class Caught(msgspec.Struct, eq=False):
    """An input that is held: as it came, what it came to, from which state, in which life."""

    came: Any
    outcome: Outcome
    before: Any
    starts: int
    number: int
    given: str
    changed: str
    since_s: float


class Breaks(msgspec.Struct, eq=False):
    """The breaks of one worker, and what is held by them now.

    `ended` is the run whose end was served last.
    """

    breaks: tuple[Break, ...]
    caught: Caught | None = None
    ended: RunDue | None = None

    def again(self, cell: WorkerCell, came: Any) -> Outcome | None:
        """Return what an input that was held has come to; None: it is to be stepped."""
        caught, self.caught = self.caught, None
        if caught is None or caught.came is not came or caught.starts != cell.starts:
            return None
        return caught.outcome if caught.before is cell.state else None

    def held(self, cell: WorkerCell) -> Caught | None:
        """Return what is held, as long as it is still the first that waits for the worker."""
        caught, extra = self.caught, cell.extra
        waits = extra.backlog[0][1] if extra is not None and extra.backlog else None
        return caught if caught is not None and caught.came is waits and cell.suspended else None


def serve_at_breaks(
    world: World, cell: WorkerCell, came: tuple[Kind, Any, Any], pending: Pending | None
) -> None:
    """Serve an input of a worker with breaks: its kind, as it came, and as a value."""
    kind, waits, message = came
    outcome = cell.ensure_extra().breaks.again(cell, waits)
    if outcome is None:
        outcome = run_callback(world, cell, kind, message, pending)
        if outcome is None or catches(world, cell, came, pending, outcome):
            return
    commit.stop_timeout(world, cell)
    show_input(world, cell, message, pending)
    commit_outcome(world, cell, message, pending, outcome)


def catches(
    world: World,
    cell: WorkerCell,
    came: tuple[Kind, Any, Any],
    pending: Pending | None,
    outcome: Outcome,
) -> bool:
    """Hold a worker before it commits an outcome, if one of its breaks says so."""
    breaks: Breaks = cell.ensure_extra().breaks
    for one in breaks.breaks:
        found = one.look(cell, came[0], came[2], outcome)
        if found is not None:
            one.hits += 1
            now_s = world.clock.now_s()
            breaks.caught = Caught(
                came[1], outcome, cell.state, cell.starts, one.number, *found, now_s
            )
            put_back(world, cell, came, pending, (one.number, one.text, *found))
            return True
    return False


def put_back(
    world: World,
    cell: WorkerCell,
    came: tuple[Kind, Any, Any],
    pending: Pending | None,
    told: tuple[int, str, str, str],
) -> None:
    """Put an input back, the first of those that wait, and hold its worker.

    A timer or a run that has brought it counts again; its worker does not run until then.
    """
    kind, waits, _ = came
    extra, history = cell.ensure_extra(), world.history
    if type(waits) is TimerDue and waits.number:
        commit.with_key(world, cell, waits.key, extra.timers.__setitem__, waits.number)
    elif type(waits) is RunEnded and waits.number:
        extra.runs[waits.key] = extra.breaks.ended
    if history is not None:
        history.add(cell, Acted(hold_at_break, told, "break"), by_hand=True)
    hold_at_break(world, cell, *told)
    if history is not None:
        pending = history.held(cell, kind, waits, pending)
    hold(world, cell, kind, waits, pending)
    extra.backlog.rotate(1)


def set_breaks(world: World, cell: WorkerCell, breaks: tuple[Break, ...]) -> None:
    """Give a worker these breaks; with none it is as fast as before."""
    del world
    extra = cell.ensure_extra()
    known: Breaks | None = extra.breaks
    if known is not None:
        known.breaks = breaks
    elif breaks:
        extra.breaks = Breaks(breaks)
    if not breaks and known is not None and known.held(cell) is None:
        extra.breaks = None
    replan(cell)

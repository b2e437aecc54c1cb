"""`fuzz`: inputs made from a worker's types, stepped from its real state on, until it crashes.

Each session begins with the state that the worker has, and gives it inputs that are made near to
what its state, its code, its remembered inputs and its own replies hold. A worker is a function of
its state and its input, so that it is stepped alone: what it sends goes nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from random import Random
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import behaviour_of, callback_of
from ssm_cli.behaviour.equality import equal
from ssm_cli.behaviour.reasons import is_abnormal
from ssm_cli.behaviour.results import NOTHING, reason_for
from ssm_cli.behaviour.sizes import AsText
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.errors import CommandError, StepTimeout, counted, message_of
from ssm_cli.history.expr import STATE, Asking, parse_expr
from ssm_cli.history.lifetimes import Lifetime, life_of
from ssm_cli.history.shrink import Shrunk
from ssm_cli.history.trials import Broken, Goal, Trial, crash_goal
from ssm_cli.history.trying import guarded_run, tested
from ssm_cli.runtime.durable.again import Again, with_limits
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell, WorkerCell, seconds
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import redacted, shown
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.outside import is_ctrl_c
from ssm_cli.runtime.performer.intake import hint_for
from ssm_cli.simulation.load import Input, kind_for, remembered, takes
from ssm_cli.simulation.making import Maker, Pool, constants_of, maker_of
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.patience import HANG_S
from ssm_cli.simulation.stand_ins import world_of
from ssm_cli.simulation.told import Data

STEPS = 20_000
MOST_STEPS = 10_000_000
SESSION = 60  # inputs that begin with one state
AGAIN = 0.2  # how often an input is one that the worker was given before
LEAVES = 50  # of a reply, or of a state on the way, that inputs are made near to
STEPS_BETWEEN_LOOKS = 8  # at the state on the way
SHRUNK_AFTER = 2  # times its time shrinking is cut: a `__post_init__` may not end
MOST_TEXT = 200  # characters of an input that is shown


Past = tuple[Recorder | None, int | None]
NO_PAST: Past = (None, None)


class Fuzzing(msgspec.Struct, frozen=True):
    """What is asked for.

    Attributes:
        worker: its name.
        seed: what decides about the inputs.
        steps: how many inputs at most.
        invariant: an EXPR over `state` that has to hold; "" for none.
        beside: the folder that a test is for; None for absolute paths.
    """

    worker: str
    seed: int
    steps: int
    invariant: str = ""
    beside: str | None = None


def fuzz(node: Node, asked: Fuzzing, pace: Pace, past: Past = NO_PAST) -> Data:
    """Look for inputs that crash a worker, or break a rule, from the state that it has.

    What is found is told from the begin of the worker's life, where that is remembered and leads
    to its state: the fault may lie in what it was given before.

    Args:
        node: where the worker stands; it is left as it is.
        asked: what is asked for.
        pace: how long it may take.
        past: what remembers the inputs up to there, and the last record; None for all.

    Returns:
        How many inputs were tried, and the fewest that were found, as a test; where none can be
        written of them, what was found and why there is no test.

    Raises:
        CommandError: the worker cannot be fuzzed.
    """
    world = world_of(node)
    session = FuzzSessions(world, fuzzed_cell(world, asked.worker), asked, past)
    found = session.run(asked.steps, pace)
    told: Data = {
        "worker": asked.worker, "seed": asked.seed, "steps": session.steps,
        "sessions": session.count, "found": found is not None, "stopped": session.stopped,
        "invariant": asked.invariant, "said": "", "test": "", "inputs": 0, "given": 0,
    }  # fmt: skip
    if found is None:
        return told | {"never": session.never()}
    try:
        least, text = least_of(session, found, asked, pace)
    except (CommandError, StepTimeout) as error:
        said = f"{session.said(found)}; {message_of(error)}"
        return told | {"said": said, "given": len(found.inputs), "never": []}
    said = least.said(0.0).partition(" (")[0]
    counts = {"inputs": len(least.inputs), "given": least.given}
    return told | counts | {"said": said, "test": text, "never": []}


def least_of(session: FuzzSessions, found: Trial, asked: Fuzzing, pace: Pace) -> tuple[Shrunk, str]:
    """Return the fewest inputs, from the begin of the worker's life if that goes; and a test.

    Raises:
        CommandError, StepTimeout: it cannot be shrunk, or not written down; says why.
    """
    shrinking = partial(tested, told=session.told, beside=asked.beside, live=session.live)
    whole = Again(with_limits(session.spec, SHRUNK_AFTER * pace.seconds))

    def shrunk(trial: Trial) -> tuple[Shrunk, str]:
        least: tuple[Shrunk, str] = whole.step(
            shrinking, asked.worker, trial, session.step, pace.shrinking()
        )
        return least

    begun = session.from_begin(found, pace.is_over)
    if begun is not None:
        with suppress(CommandError, StepTimeout):  # else of the worker's own state
            return shrunk(begun)
    return shrunk(found)


def fuzzed_cell(world: World, worker: str) -> WorkerCell:
    """Return the cell of a worker that runs here.

    Raises:
        CommandError: there is none, it is a remote child or a supervisor, or it is down.
    """
    cell = world.find(worker)
    if isinstance(cell, RemoteCell):
        raise CommandError(f"{worker} runs on another computer; fuzz it where its tree runs")
    if not isinstance(cell, WorkerCell):
        hint = hint_for(world, worker) or "; `tree` shows them"
        raise CommandError(f"there is no worker `{worker[:60]}`{hint}")
    if cell.status is not CellStatus.RUNNING:
        raise CommandError(f"{worker} does not run, and has no state to begin with")
    return cell


class FuzzSessions:
    """FuzzSessions with one worker.

    Attributes:
        spec: that of the worker.
        count, steps: how many sessions, and inputs in all of them, there were.
        stopped: which bound has ended them; "" for none.
        step: steps one input, cut at the worker's limit, or at `HANG_S` where that is longer.
        live: where the worker lives, if what it remembers is known.
    """

    def __init__(self, world: World, cell: WorkerCell, asked: Fuzzing, past: Past) -> None:
        self.count = self.steps = 0
        self.stopped = ""
        self.spec = cell.spec
        own_s = seconds(cell.spec.options.step_timeout_ms)
        self._runs = Again(with_limits(cell.spec, min(own_s, HANG_S)))
        self.step = guarded_run(cell, self._runs)
        self._world, self._cell = world, cell
        self._behaviour = cell.behaviour or behaviour_of(cell.spec.start)
        self._chance = Random(asked.seed)  # noqa: S311 - it is to be the same each time
        self._goal = broken(asked.invariant, self.told)
        self._recorder, self._last = past
        self.live = world if self._recorder is None else self._recorder.world
        known = {} if self._recorder is None else remembered(self._recorder, self._last)
        self._known: list[Input] = [
            one for one in known.get(cell.spec.id, []) if takes(self._behaviour, one[0])
        ]
        self._pool, self._state = Pool(), cell.state
        self._maker = self._made()
        if self._goal is not None and self._goal[1].holds(self._state):
            raise CommandError(
                f"`{asked.invariant}` does not hold in the state that {cell.spec.id} has already"
            )

    def run(self, steps: int, pace: Pace) -> Trial | None:
        """Go on until something is found, or so many inputs, or so much time, are over."""
        while self.steps < steps:
            pace.tell("inputs", self.steps, steps)
            found = self._session(min(SESSION, steps - self.steps), pace.is_over)
            if found is not None:
                return found
            if pace.is_over():
                self.stopped = pace.said
                return None
        return None

    def from_begin(self, found: Trial, is_over: Callable[[], bool]) -> Trial | None:
        """Return what was found behind all that has led to the state that the worker has.

        None where that is not remembered, or comes to another state when it is stepped again.
        """
        recorder, worker = self._recorder, self._cell.spec.id
        if recorder is None:
            return None
        last = recorder.last() if self._last is None else self._last
        life = life_of(recorder, worker, last, ended=False)
        if life.state is NOTHING:  # nothing has reached it
            return msgspec.structs.replace(found, from_init=life.from_init)
        if not self._leads_here(life, is_over):
            return None
        inputs = [*life.inputs, *found.inputs]
        return msgspec.structs.replace(life, inputs=inputs).trial(found.behaviour, found.goal)

    def _leads_here(self, life: Lifetime, is_over: Callable[[], bool]) -> bool:
        """Return whether a life comes to the state of the worker, from one that breaks no rule."""
        if self._goal is not None and self._goal[1].holds(life.state):
            return False
        state = self._runs.revive(deepcopy, life.state)
        for kind, message in life.inputs:
            if is_over() or type(message) is AsText:
                return False
            try:
                state = self.step(state, kind, deepcopy(message)).state
            except BaseException as error:  # the worker has gone on with the state from before
                if is_ctrl_c(error):
                    raise
        return equal(state, self._state)

    def told(self, value: Any) -> Any:
        """Return a value of the worker without what it hides."""
        hides = does_hide(self._behaviour)
        return redacted(self._world, self._cell, value) if hides else value

    def said(self, found: Trial) -> str:
        """Return in words what was found, where no test can be written of it."""
        goal, count = found.goal, counted(len(found.inputs), "input")
        last = shown(self._world, self._cell, found.inputs[-1][1])[:MOST_TEXT]
        what = goal.text if isinstance(goal, Broken) else goal.error
        return f"{what} after {count}, the last of them `{last}`"

    def never(self) -> list[str]:
        """Return which parts of the rule no state had."""
        return [] if self._goal is None else [*self._goal[0].never()]

    def _made(self) -> Maker:
        worker = self._cell.spec.id
        for value in (*constants_of(callback_of(self._behaviour)), *(m for _, m in self._known)):
            self._pool.add(value)
        self._pool.add(self._state)
        maker = maker_of(self._behaviour, self._pool)
        if maker is None:
            raise CommandError(
                f"{worker} has no typed inputs, from which others could be made; give its class or "
                f"StateMachine `inputs=...`"
            )
        return maker

    def _next(self) -> Input | None:
        chance = self._chance
        if self._known and chance.random() < AGAIN:
            return chance.choice(self._known)
        made = self._runs.step(self._maker.make, chance)
        if made is None:
            return None
        return kind_for(self._behaviour, chance), made

    def _session(self, most: int, is_over: Callable[[], bool]) -> Trial | None:
        """Give the worker inputs, from its real state on, until so many are given or all is over.

        Raises:
            CommandError: the state cannot be copied.
        """
        self.count += 1
        state, given = self._own_state(), list[Input]()
        for number in range(most):
            if is_over():
                return None
            one = self._next()
            self.steps += 1
            if one is None:
                continue
            given.append(one)
            try:
                outcome = self.step(state, one[0], deepcopy(one[1]))
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                return self._crashed(given, error)
            if self._goal is not None and self._goal[1].holds(outcome.state):
                return self._trial(given, self._goal[1])
            if outcome.stop is not None:
                return None
            state = outcome.state
            if outcome.reply is not NOTHING:
                self._pool.add(outcome.reply, stays=False, most=LEAVES)
            if number % STEPS_BETWEEN_LOOKS == 0:
                self._pool.add(state, stays=False, most=LEAVES)
        return None

    def _crashed(self, given: list[Input], error: BaseException) -> Trial | None:
        """Return what an exception has shown; None where the worker ends by it in order."""
        return self._trial(given, crash_goal(error)) if is_abnormal(reason_for(error)) else None

    def _trial(self, given: list[Input], goal: Goal) -> Trial:
        return Trial(self._behaviour, self._own_state(), given, goal, from_init=False)

    def _own_state(self) -> Any:
        """Return a copy of the worker's state, which a step may change in place.

        Raises:
            CommandError: it has none; the state itself is the live one.
        """
        try:
            return self._runs.revive(deepcopy, self._state)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            why = f"{type(error).__name__}: {message_of(error)[:200]}"
            raise CommandError(
                f"{self._cell.spec.id} cannot be fuzzed: its state cannot be copied ({why}), and a "
                f"step might change the live one; keep locks and sockets out of the state"
            ) from error


def broken(invariant: str, told: Callable[[Any], Any]) -> tuple[Asking, Broken] | None:
    """Return the goal to break a rule; one that is not known is not broken. None without a rule.

    Raises:
        BadExpr: it is none.
    """
    if not invariant:
        return None
    parse_expr(invariant, STATE)  # for the column of a mistake in it
    rule = f"not ({invariant})"
    asking = Asking(parse_expr(rule))
    return asking, Broken(lambda state: asking.holds({"state": told(state)}), rule)

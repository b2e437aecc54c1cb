"""Trials: inputs of one worker stepped again, to see whether they still end in the same fault.

A worker is a function of its state and its input, so that a fault of it needs nothing else: calls,
casts, timers and continues are inputs alike, whatever sent them.
"""

from __future__ import annotations

import copy
import os
import sysconfig
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, Kind, Outcome, advance
from ssm_cli.behaviour.equality import equal
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.behaviour.results import NOTHING, Caller
from ssm_cli.history.shapes import Renames, differences, renamed
from ssm_cli.runtime.engine.crashes import OURS, stack_of
from ssm_cli.runtime.engine.recalled import Places, places_of
from ssm_cli.runtime.outside import is_ctrl_c
from ssm_cli.spec.sources import line_at

MOST_RUNS = 20_000
MOST_STEPS = 500_000
MOST_S = 10.0
STEPS_BETWEEN_MARKS = 32
MOST_MARKS = 64  # states of one run that are kept, to begin the next run at
ANYWHERE = frozenset({"StepTimeout", "RecursionError"})
"""Exceptions that are raised wherever the code happens to be."""

Given = tuple[Kind, Any]
Run = Callable[[Any, Kind, Any], Outcome]


class CrashPlace(NamedTuple):
    """Where code of the user raised: file, function, text of the line, and its place in there.

    `below` counts lines from the first one of the function: the same text may stand there twice,
    and what is written above the function does not matter.
    """

    file: str
    function: str
    line: str
    below: int


class SameCrash(msgspec.Struct, frozen=True):
    """The goal to crash alike: an exception of that name at the same place.

    `place` is None where no code of the user was running, as for a bad answer. `told` is the
    innermost line of a stack that is known as text alone, `step: return 1 // 0`.
    """

    error: str
    place: CrashPlace | None = None
    told: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether what the worker has answered is the fault, and not what its code raised."""
        return self.place is None and not self.told and self.error not in ANYWHERE


class Broken(msgspec.Struct, frozen=True):
    """The goal to get from a state for which `holds` is False to one for which it is True.

    `text` is the expression that it stands for.
    """

    holds: Callable[[Any], bool]
    text: str = ""


Goal = SameCrash | Broken


class Trial(msgspec.Struct, frozen=True):
    """What one worker was given, and what came of the last of it.

    Attributes:
        behaviour: the worker.
        state: what the inputs begin with; it is never changed in place, unless the worker does so.
        inputs: (kind, message), oldest first; the last one has led to the goal.
        goal: what they have to lead to.
        from_init: `state` is what `init` gave; else the oldest state that is remembered.
        copying: the worker changes states or inputs in place, so that it is given copies.
    """

    behaviour: Behaviour
    state: Any
    inputs: Sequence[Given]
    goal: Goal
    from_init: bool = True
    copying: bool = False


class Stepped(NamedTuple):
    """An input that was stepped, and the reply that came of it (`NOTHING` where none did)."""

    kind: Kind
    message: Any
    reply: Any


class Reached(msgspec.Struct, frozen=True):
    """A run that has reached its goal.

    Attributes:
        state: what it began with.
        served: its inputs; the last one reached the goal.
        marks: the states before some of the inputs, by their index, ascending.
        after: the state behind the last input that did not crash.
    """

    state: Any
    served: tuple[Stepped, ...]
    marks: tuple[tuple[int, Any], ...] = ()
    after: Any = None


def crash_goal(error: BaseException) -> SameCrash:
    """Return the goal to crash as that exception did."""
    places: Any = places_of(error)
    if places and isinstance(places[-1], str):  # out of a file
        return SameCrash(type(error).__name__, told=places[-1].partition(" in ")[2])
    return SameCrash(type(error).__name__, crash_place(places))


def crash_place(places: Places) -> CrashPlace | None:
    """Return the innermost place in code of the user; that of a library where there is no other."""
    coded = [place for place in places if not isinstance(place, str)]
    theirs = [place for place in coded if not any(o in place[0].co_filename for o in OURS)]
    own = [place for place in theirs if not is_library(place[0].co_filename)]
    if not theirs:
        return None
    code, index = (own or theirs)[-1]
    number = next(islice(code.co_positions(), index // 2, None), (None,))[0] or 0
    line = line_at(code, number)
    return CrashPlace(code.co_filename, code.co_name, line, number - code.co_firstlineno)


def is_library(file: str) -> bool:
    """Return whether a file is of Python itself, or was installed beside it."""
    return file.startswith(("<frozen", LIBRARY)) or f"{os.sep}site-packages{os.sep}" in file


LIBRARY = sysconfig.get_path("stdlib") + os.sep


def own_run(behaviour: Behaviour) -> Run:
    """Return what steps a worker without a guard; a call comes from a new caller."""
    return lambda state, kind, message: uncrashed(
        advance(behaviour, kind, message, Caller(1, []), state)
    )


def uncrashed(outcome: Outcome) -> Outcome:
    """Return an outcome; raise the crash that it is where a callback has not raised, but answered.

    A `Statem` ends so with a bad answer, and every worker with an exception as its reason.
    """
    if type(outcome.stop) is Crash and isinstance(outcome.stop.error, Exception):
        raise outcome.stop.error.with_traceback(None)
    return outcome


class Bounds(msgspec.Struct, frozen=True):
    """When to end a search, with what is found by then.

    Attributes:
        runs: how many may be tried.
        steps: how many inputs may be stepped in all of them.
        seconds: how long it may take, by `now_s`; that stands still unless a clock is given.
        now_s: a clock.
    """

    runs: int = MOST_RUNS
    steps: int = MOST_STEPS
    seconds: float = MOST_S
    now_s: Callable[[], float] = float


class Tries:
    """Runs of a trial with fewer or other inputs, or from another state, and their bounds.

    Attributes:
        runs: how many there were.
        steps: how many inputs were stepped in them.
        dropping: leave out of a run what cannot matter to it, if steps are pure.
        spent: a bound was reached; what is tried from then on is not run, and reaches nothing.
    """

    def __init__(self, trial: Trial, run: Run | None = None, bounds: Bounds | None = None) -> None:
        self.trial = trial
        self.dropping = not trial.copying
        self.runs = self.steps = 0
        self.spent = False
        self._run = own_run(trial.behaviour) if run is None else run
        self._bounds = Bounds() if bounds is None else bounds
        self._begun_s = self._bounds.now_s()

    def attempt(
        self, base: Reached, keep: int, tail: Sequence[Stepped], *, following: bool = False
    ) -> Reached | None:
        """Step the first `keep` inputs of `base`, then `tail`; return the run if it reaches.

        Inputs that crash in another way, stop the worker, or leave the state as it was, are left
        out of the run: a step cannot tell. Where `dropping` is off, a run in which one crashes or
        stops does not reach. What follows the goal is left out in any case.

        Args:
            base: a run whose marks are made use of.
            keep: how many inputs of it come first.
            tail: the inputs behind them, with the replies that they had.
            following: where a reply is another one than it was, later inputs say the new value.
        """
        self.spent = self.spent or self.used() >= 1
        if self.spent:
            return None
        self.runs += 1
        copying = self.trial.copying
        at, state = (0, base.state) if copying else mark_before(base, keep)
        going = Going(base, at, copy.deepcopy(state) if copying else state, following)
        for served in (*base.served[at:keep], *tail):
            if self.runs > 1 and self.used() >= 1:  # each step of it may be slow
                self.spent = True
                return None
            reached = self._serve(going, served)
            if reached is not None:
                return going.reached() if reached else None
        return None

    def used(self) -> float:
        """Return how much of what may be used has been, from 0 to 1."""
        most = self._bounds
        took_s = most.now_s() - self._begun_s
        return max(self.runs / most.runs, self.steps / most.steps, took_s / most.seconds)

    def begin(self, state: Any, inputs: Sequence[Given]) -> Reached | None:
        """Step inputs from a state."""
        tail = [Stepped(kind, message, NOTHING) for kind, message in inputs]
        return self.attempt(Reached(state, ()), 0, tail)

    def state_before(self, base: Reached, index: int) -> Any:
        """Return the state before an input of a run."""
        copying = self.trial.copying
        at, state = (0, copy.deepcopy(base.state)) if copying else mark_before(base, index)
        for kind, message, _ in base.served[at:index]:
            self.steps += 1
            state = self._run(state, kind, copy.deepcopy(message) if copying else message).state
        return state

    def _serve(self, going: Going, served: Stepped) -> bool | None:
        """Step one input; return whether that is the goal, or None to go on."""
        goal, before = self.trial.goal, going.state
        kind, message, was = served
        if going.links:
            message = renamed(message, going.links)
        self.steps += 1
        given = copy.deepcopy(message) if self.trial.copying else message
        try:
            outcome = self._run(before, kind, given)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            if type(goal) is SameCrash and is_same(goal, error):
                going.add(Stepped(kind, message, NOTHING), before)
                return True
            return None if self.dropping else False
        after = outcome.state
        if type(goal) is Broken and does_break(goal, after):
            going.add(Stepped(kind, message, outcome.reply), after)
            return True
        if outcome.stop is not None:
            return None if self.dropping else False
        if not (self.dropping and is_unchanged(before, after)):
            going.follow(was, outcome.reply)
            going.add(Stepped(kind, message, outcome.reply), after)
        return None


class Going:
    """A run that is under way."""

    def __init__(self, base: Reached, at: int, state: Any, following: bool) -> None:
        self.state = state
        self.links: Renames = {}
        self._start = base.state
        self._served = [*base.served[:at]]
        self._marks = [mark for mark in base.marks if mark[0] <= at]
        self._following = following

    def add(self, served: Stepped, after: Any) -> None:
        """Note an input that was stepped from the present state, and the state after it."""
        if not len(self._served) % STEPS_BETWEEN_MARKS and len(self._marks) < MOST_MARKS:
            self._marks.append((len(self._served), self.state))
        self._served.append(served)
        self.state = after

    def follow(self, was: Any, now: Any) -> None:
        """Have later inputs say what a reply says now, in place of what it said."""
        if self._following and was is not NOTHING and now is not NOTHING:
            self.links.update(differences(was, now))

    def reached(self) -> Reached:
        """Return the run, whose last input has reached the goal."""
        return Reached(self._start, tuple(self._served), tuple(self._marks), self.state)


def mark_before(base: Reached, keep: int) -> tuple[int, Any]:
    """Return the index of an input of a run, at most `keep`, and the state before it."""
    return next(
        (mark for mark in reversed(base.marks) if mark[0] <= keep),
        (0, base.state),
    )


def is_same(goal: SameCrash, error: BaseException) -> bool:
    """Return whether an exception is the crash that is looked for."""
    if type(error).__name__ != goal.error:
        return False
    if goal.told:
        lines = stack_of(places_of(error))
        return bool(lines) and lines[-1].partition(" in ")[2] == goal.told
    return goal.error in ANYWHERE or crash_place(places_of(error)) == goal.place


def does_break(goal: Broken, state: Any) -> bool:
    """Return whether a state breaks the rule; one that lacks what the rule looks at does not."""
    try:
        return bool(goal.holds(state))
    except Exception:  # noqa: BLE001 - it may look for what a smaller state has no more
        return False


def is_unchanged(before: Any, after: Any) -> bool:
    """Return whether a step has left the state as it was, and of the same type."""
    return before is after or (type(before) is type(after) and equal(before, after))

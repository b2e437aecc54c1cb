"""Shrinking: the fewest, simplest inputs, from a state that occurred, that end in a fault.

Theory of operation. A run that reaches the goal is replaced by a better one for as long as one is
found: fewer inputs first, then simpler ones. The state that they begin with is never a made-up one:
a fault may lie in the step that led to it, and from a state that no step leads to a test would fail
after that step is mended, too. What `init` gave is the best start state there is, as a test that
begins with it tells the whole story; a later one, as it was, is taken only where `init` is
forgotten, or too many inputs are needed from it.

Nothing here draws by chance or looks at a clock of its own: the same trial gives the same result,
unless its seconds run out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.equality import equal
from ssm_cli.errors import counted
from ssm_cli.history.fewer import in_pairs, thinned
from ssm_cli.history.rewording import (
    grown,
    merged,
    renamed_inputs,
    reworded,
    substituted,
    unified,
)
from ssm_cli.history.shapes import is_record, items_of, names_in, parts_of
from ssm_cli.history.simpler import simplest
from ssm_cli.history.trials import (
    Bounds,
    Broken,
    Given,
    Goal,
    Reached,
    Run,
    Stepped,
    Trial,
    Tries,
    does_break,
)

MOST_FROM_INIT = 20  # inputs from `init`; where more are needed, a later state is the start
THINNING = 0.6  # of all bounds, that leaving out inputs may use up before anything else is tried
MOST_ROUNDS = 8  # of making a run better in every way


class Unshrunk(msgspec.Struct, frozen=True):
    """Nothing could be shrunk, and why."""

    why: str


class Shrunk(msgspec.Struct, frozen=True):
    """The fewest and simplest inputs that were found.

    Attributes:
        behaviour: the worker.
        state: what they begin with.
        inputs: (kind, message), oldest first; the last one reaches the goal.
        goal: what they lead to.
        after: the state behind the last of them that did not crash.
        from_init: `state` is what `init` gave.
        given: how many inputs there were.
        runs, steps: how many runs were tried, of how many inputs together.
        complete: no bound was reached before the search was over.
    """

    behaviour: Behaviour
    state: Any
    inputs: tuple[Given, ...]
    goal: Goal
    after: Any
    from_init: bool
    given: int
    runs: int
    steps: int
    complete: bool

    def said(self, took_s: float) -> str:
        """Return it in one line: `2,217 inputs -> 4 inputs from init (212 runs, 1.9 s)`."""
        start = "init" if self.from_init else f"a state{held_in(self.state)}"
        stopped = "" if self.complete else ", stopped at a bound"
        return (
            f"{counted(self.given, 'input')} -> {counted(len(self.inputs), 'input')} from {start} "
            f"({counted(self.runs, 'run')}, {took_s:.1f} s{stopped})"
        )


def held_in(state: Any) -> str:
    """Return what the containers of a state hold, as ` with 1 account, 2 holds`; "" for none.

    >>> held_in({"accounts": {"a": 1}, "holds": [1, 2], "next": 3})
    ' with 1 account, 2 holds'
    """
    held = [
        f"{len(items)} {str(name)[: -1 if len(items) == 1 and str(name).endswith('s') else None]}"
        for name, part in parts_of(state)
        if (items := items_of(part))
    ]
    return f" with {', '.join(held[:3])}" if held else ""


def shrink(
    trial: Trial,
    run: Run | None = None,
    *,
    bounds: Bounds | None = None,
    is_input: Callable[[Any], bool] | None = None,
) -> Shrunk | Unshrunk:
    """Find the fewest, simplest inputs that still reach the goal, from a state that occurred.

    Args:
        trial: what has happened.
        run: steps one input, as `run(state, kind, message) -> Outcome`; raises what the step
            raises. Give one that cuts steps that run away; without it nothing does.
        bounds: when to stop with what is found by then.
        is_input: whether a message is one that the worker may get; by default whether it fits the
            annotations of its class, where all that were given do.

    Returns:
        What was found; or why not: the inputs do not lead there, or not twice.
    """
    if type(trial.goal) is Broken and does_break(trial.goal, trial.state):
        return Unshrunk("the rule is broken in the start state already; begin before it broke")
    if not trial.copying and changes_in_place(trial, run):
        trial = msgspec.structs.replace(trial, copying=True)
    is_input = fitting_annotations(trial.inputs) if is_input is None else is_input
    tries = Tries(trial, run, bounds)
    for dropping in (False,) if trial.copying else (True, False):
        tries.dropping = dropping
        base = tries.begin(trial.state, trial.inputs)
        if base is None:
            return Unshrunk(not_reached(trial, tries))
        best = Search(trial, tries, base, is_input).shrunk()
        if is_repeated(trial, run, best):
            return result(trial, tries, best)
    return Unshrunk(
        "the same inputs do not lead there twice: the worker depends on more than its inputs, or "
        "changes its state in place; in the latter case shrink it with copies"
    )


def fitting_annotations(inputs: Sequence[Given]) -> Callable[[Any], bool]:
    """Return what tells whether a message fits the annotations of its class.

    A class of which some of the inputs do not fit says nothing, and all fit it.
    """
    loose = {type(message) for _, message in inputs if not fits_annotations(message)}
    return lambda message: type(message) in loose or fits_annotations(message)


def fits_annotations(message: Any) -> bool:
    """Return whether the fields of a record are as its annotations say; True for what is none."""
    if not is_record(message):
        return True
    try:
        msgspec.convert(msgspec.to_builtins(message), type(message))
    except Exception:  # noqa: BLE001 - its annotations, and its checks, are the user's
        return False
    return True


def changes_in_place(trial: Trial, run: Run | None) -> bool:
    """Return whether the inputs change a copy of the start state in place."""
    try:
        copied = copy.deepcopy(trial.state)
    except Exception:  # noqa: BLE001 - a user's value may raise anything; without a copy: unknown
        return False
    if not equal(copied, trial.state):
        return False
    Tries(trial, run).begin(copied, trial.inputs)
    return not equal(copied, trial.state)


def not_reached(trial: Trial, tries: Tries) -> str:
    """Return why nothing was reached at the first try."""
    if tries.spent:
        return "a bound was reached before the inputs were stepped once; raise it"
    begin = "the state that init gave" if trial.from_init else "the oldest remembered state"
    what = "a broken rule" if type(trial.goal) is Broken else "the same crash"
    return (
        f"the {counted(len(trial.inputs), 'input')} from {begin} do not lead to {what} again: "
        f"is the code another one, or does the worker depend on more than its inputs?"
    )


def is_repeated(trial: Trial, run: Run | None, best: Reached) -> bool:
    """Return whether a run, with every input of it, reaches the goal at its end once more."""
    again = Tries(trial, run)
    again.dropping = False
    reached = again.begin(best.state, [(s.kind, s.message) for s in best.served])
    return reached is not None and len(reached.served) == len(best.served)


def result(trial: Trial, tries: Tries, best: Reached) -> Shrunk:
    """Return what is told of the best run."""
    return Shrunk(
        behaviour=trial.behaviour,
        state=best.state,
        inputs=tuple((served.kind, served.message) for served in best.served),
        goal=trial.goal,
        after=best.after,
        from_init=trial.from_init and best.state is trial.state,
        given=len(trial.inputs),
        runs=tries.runs,
        steps=tries.steps,
        complete=not tries.spent,
    )


class Search:
    """The search for the best run; `best` is the best one so far."""

    def __init__(
        self, trial: Trial, tries: Tries, base: Reached, is_input: Callable[[Any], bool]
    ) -> None:
        self.best = base
        self._trial, self._tries = trial, tries
        self._is_input = is_input
        self._following = has_links(base.served)
        self._whole, self._history = base, base.served

    def shrunk(self) -> Reached:
        """Search, and return the best run."""
        self._fewest()
        if len(self.best.served) > MOST_FROM_INIT:
            self._begin_later()
        for _ in range(MOST_ROUNDS):
            before = self.best
            self._reword()
            self._simplify_messages()
            self._fewer_still()
            if self.best is before or self._tries.spent:
                break
        return self.best

    def _fewest(self) -> None:
        """Leave out inputs, in both directions, then by changing some."""
        base = self._without_groups(self._shortest_end(self.best))
        last = self.best = self._thin(base)
        if len(last.served) <= MOST_FROM_INIT:
            first = self._thin(base, first=True)
            self.best = min(last, first, key=lambda reached: len(reached.served))
            self._fewer_still()

    def _shortest_end(self, base: Reached) -> Reached:
        """Return the run of the last 1, 2, 4, 8 ... inputs that reaches the goal."""
        size = 1
        while size < len(base.served):
            found = self._try(base, 0, base.served[-size:])
            if found is not None:
                return found
            size *= 2
        return base

    def _without_groups(self, base: Reached) -> Reached:
        """Return a run without all inputs of some types, and all that say some names."""
        now = [base]
        for groups_of in (type_group, name_groups):
            groups = list(dict.fromkeys(g for one in base.served for g in groups_of(one.message)))

            def without(
                low: int, high: int, groups: list[Any] = groups, of: Any = groups_of
            ) -> Any:
                out, served = {*groups[low:high]}, now[0].served
                left = tuple(one for one in served if out.isdisjoint(of(one.message)))
                found = None if len(left) == len(served) else self._try(now[0], 0, left)
                if found is None and len(left) < len(served):
                    return None
                now[0] = now[0] if found is None else found
                del groups[low:high]
                return groups

            thinned(groups, without)
        return now[0]

    def _try(self, base: Reached, keep: int, tail: tuple[Stepped, ...]) -> Reached | None:
        """Try inputs as they are, then with what replies say now, where inputs repeat replies."""
        found = self._tries.attempt(base, keep, tail)
        if found is None and self._following:
            found = self._tries.attempt(base, keep, tail, following=True)
        return found

    def _thin(self, base: Reached, *, first: bool = False) -> Reached:
        """Return a run of as few inputs of `base` as thinning finds."""
        now = [base]

        def without(low: int, high: int) -> tuple[Stepped, ...] | None:
            wide = len(now[0].served) > MOST_FROM_INIT and self._tries.used() > THINNING
            found = None if wide else self._try(now[0], low, now[0].served[high:])
            if found is None or len(found.served) >= len(now[0].served):
                return None
            now[0] = found
            return found.served

        thinned(base.served, without, first=first)
        return now[0]

    def _fewer_still(self) -> None:
        """Leave out pairs, and single inputs once others have changed, for as long as it helps."""
        while len(self.best.served) > 1 and not self._tries.spent:
            if not (self._without_a_pair() or self._with_others()):
                break

    def _without_a_pair(self) -> bool:
        served = self.best.served
        for low, high in in_pairs(len(served)):
            tail = (*served[low + 1 : high], *served[high + 1 :])
            found = self._try(self.best, low, tail)
            if found is not None and len(found.served) < len(served):
                self.best = self._thin(found)
                return True
        return False

    def _with_others(self) -> bool:
        """Try other messages: with names made one, amounts added up, or from the history."""
        served = self.best.served
        fixed = {(type(name), name) for name in names_in(self.best.state)}
        for change in (merged(served), unified(served, fixed), grown(served, self._history)):
            for tail in change:
                if self._take_shorter(tail, thin=True):
                    return True
        return any(
            self._take_shorter(tail, thin=False) for tail in substituted(served, self._history)
        )

    def _take_shorter(self, tail: tuple[Stepped, ...], *, thin: bool) -> bool:
        if not self._are_inputs(tail):
            return False
        found = self._tries.attempt(Reached(self.best.state, ()), 0, tail)
        if found is not None and (thin or len(found.served) < len(self.best.served)):
            found = self._thin(found)
        if found is None or len(found.served) >= len(self.best.served):
            return False
        self.best = found
        return True

    def _are_inputs(self, served: tuple[Stepped, ...]) -> bool:
        return all(self._is_input(one.message) for one in served)

    def _take(self, state: Any, served: tuple[Stepped, ...]) -> bool:
        """Take a run of as many inputs, if it reaches the goal."""
        if not self._are_inputs(served):
            return False
        found = self._tries.attempt(Reached(state, ()), 0, served)
        if found is None or len(found.served) != len(served):
            return False
        self.best = found
        return True

    def _reword(self) -> None:
        """Give names and numbers that stand in several places shorter ones, everywhere at once."""
        for names in reworded(self.best.served, self.best.state):
            served = renamed_inputs(self.best.served, names)
            if served is not None:
                self._take(self.best.state, served)

    def _simplify_messages(self) -> None:
        for index in reversed(range(len(self.best.served))):
            kind, message, _ = self.best.served[index]

            def still(message: Any, index: int = index, kind: Any = kind) -> bool:
                served = self.best.served
                new = Stepped(kind, message, served[index].reply)
                return self._take(self.best.state, (*served[:index], new, *served[index + 1 :]))

            simplest(message, still)

    def _begin_later(self) -> None:
        """Begin with the state that all inputs, as they were given, have led to before the last."""
        last = len(self._whole.served) - 1
        self._take(self._tries.state_before(self._whole, last), self._whole.served[last:])


def type_group(message: Any) -> list[Any]:
    """Return what inputs of one form have in common: the type, or the first word of a text."""
    return [message.split(" ")[0] if type(message) is str else type(message)]


def name_groups(message: Any) -> list[Any]:
    """Return the texts in a message."""
    return [name for name in names_in(message) if type(name) is str]


def has_links(served: tuple[Stepped, ...]) -> bool:
    """Return whether some input says a name or a number that an earlier reply has said."""
    said: set[tuple[type, Any]] = set()
    for one in served:
        if any((type(leaf), leaf) in said for leaf in names_in(one.message)):
            return True
        said.update((type(leaf), leaf) for leaf in names_in(one.reply))
    return False

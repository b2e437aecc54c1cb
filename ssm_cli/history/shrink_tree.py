"""Shrinking what a whole tree came to: the fewest inputs that end its root, or crash a worker.

Each try goes on in a fork, with a clock of its own: nothing leaves it, and the time between two
inputs, which decides about restart intensities, passes as it is told. What one worker answered may
be in the input of another (a number, a name): a try in which the answer is another one is made a
second time, and later inputs say what it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, Self

import msgspec

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import CallError, counted
from ssm_cli.history.fewer import in_pairs, thinned
from ssm_cli.history.shapes import Renames, differences, names_in, renamed
from ssm_cli.history.shrink import Unshrunk
from ssm_cli.history.simpler import simplest
from ssm_cli.history.trials import Bounds
from ssm_cli.runtime.node import Node

INPUTS_BETWEEN_FORKS = 64
MOST_FORKS = 16  # nodes that are kept to begin the next try at


class TreeInput(msgspec.Struct, frozen=True):
    """An input of a worker of a tree.

    Attributes:
        worker: its id; "" where time alone passes.
        kind, message: the input.
        after_s: the time since the one before it.
        reply: what a call was answered; `NOTHING` where that is not known.
    """

    worker: str
    kind: Kind
    message: Any
    after_s: float = 0.0
    reply: Any = NOTHING


class ShrunkTree(msgspec.Struct, frozen=True):
    """The fewest inputs that were found after which the goal is reached.

    Attributes:
        inputs: what is left, oldest first; the last one reaches the goal.
        given: how many inputs there were.
        runs, steps: how many tries there were, of how many inputs together.
        complete: no bound was reached before the search was over.
    """

    inputs: tuple[TreeInput, ...]
    given: int
    runs: int
    steps: int
    complete: bool
    lead_to: str = "take the root down"

    def said(self, took_s: float) -> str:
        """Return it in one line: `300 inputs -> 4 inputs take the root down (90 runs, 0.4 s)`."""
        return (
            f"{counted(self.given, 'input')} -> {counted(len(self.inputs), 'input')} "
            f"{self.lead_to} ({counted(self.runs, 'run')}, {took_s:.1f} s)"
        )


class Forkable(Protocol):
    """A tree of which the next try begins as a fork: a node, or what stands for one."""

    @property
    def gave_up(self) -> bool:
        """Whether its root is down."""
        ...

    def fork(self) -> Self:
        """Return a tree beside this one that goes on from here by itself."""
        ...


class TreeGoal(msgspec.Struct, frozen=True):
    """What inputs have to lead to, asked of a fork behind each; and how that is said."""

    reached: Callable[[Any], bool]
    lead_to: str
    not_reached: str


GIVEN_UP = TreeGoal(lambda node: node.gave_up, "take the root down", "the root does not give up")


def crash_of(start: Node, worker: str, error: str, stack: Sequence[str]) -> TreeGoal:
    """Return the goal that a worker crashes with an exception of that name at the same place.

    `start` is the node that the inputs are given to: what it has of crashes does not count.
    """
    before = max((report.seq for report in start.crash_reports()), default=0)

    def reached(node: Node) -> bool:
        return any(
            report.error_type == error and report.stack[-1:] == tuple(stack[-1:])
            for report in node.crash_reports()
            if report.seq > before and report.worker == worker
        )

    return TreeGoal(reached, f"crash {worker} alike", f"{worker} does not crash so")


def shrink_tree(
    start: Callable[[], Forkable],
    inputs: Sequence[TreeInput],
    bounds: Bounds | None = None,
    give: Callable[[Any, TreeInput], Any] | None = None,
    is_like: Callable[[Any, Any], bool] | None = None,
    *,
    goal: TreeGoal = GIVEN_UP,
) -> ShrunkTree | Unshrunk:
    """Find the fewest and simplest inputs after which a goal is reached: the root gives up.

    Args:
        start: gives a running node to fork, such as a fork of the past; it is left as it is.
        inputs: what its workers were given since.
        bounds: when to end, with what is found by then.
        give: gives an input to a tree; by default to its worker, as it came (`give_input`). What it
            returns is the reply.
        is_like: whether a simpler message may stand in the place of another; by default any.
        goal: what they have to lead to.

    Returns:
        What was found; or why not: they do not lead to it.
    """
    tries = TreeTries(start(), Bounds() if bounds is None else bounds, give or give_input, goal)
    tries.is_like = is_like
    if not tries.take(0, inputs):
        return Unshrunk(
            f"{goal.not_reached} after these {counted(len(inputs), 'input')}: is the code "
            f"another one, or does a worker depend on more than its inputs?"
        )
    tries.improve()
    return ShrunkTree(
        inputs=tries.best,
        given=len(inputs),
        runs=tries.runs,
        steps=tries.steps,
        complete=not tries.spent,
        lead_to=goal.lead_to,
    )


class TreeTries:
    """Tries of fewer inputs on forks of a node; `best` are the fewest so far.

    Attributes:
        best: the fewest inputs so far.
        runs, steps: how many tries there were, of how many inputs together.
        spent: a bound was reached.
        is_like: whether a simpler message may stand in the place of another; None: any may.
    """

    def __init__(
        self,
        node: Forkable,
        bounds: Bounds,
        give: Callable[[Any, TreeInput], Any],
        goal: TreeGoal = GIVEN_UP,
    ) -> None:
        self.best: tuple[TreeInput, ...] = ()
        self.runs = self.steps = 0
        self.spent = False
        self.is_like: Callable[[Any, Any], bool] | None = None
        self._forks = [(0, node)]
        self._bounds, self._give, self._goal = bounds, give, goal
        self._begun_s = bounds.now_s()

    def take(self, keep: int, tail: Sequence[TreeInput]) -> bool:
        """Try the first `keep` of the best inputs and others behind them; take what reaches."""
        if self._try(keep, tail, following=False):
            return True
        return is_told_on(tail) and self._try(keep, tail, following=True)

    def _try(self, keep: int, tail: Sequence[TreeInput], *, following: bool) -> bool:
        bounds = self._bounds
        took_s = bounds.now_s() - self._begun_s
        over = self.runs >= bounds.runs or self.steps >= bounds.steps or took_s >= bounds.seconds
        self.spent = self.spent or over
        if self.spent:
            return False
        self.runs += 1
        forks = [fork for fork in self._forks if fork[0] <= keep]
        at, known = forks[-1]
        node = known.fork()
        inputs, done, links = (*self.best[:keep], *tail), [*self.best[:at]], Renames()
        for index in range(at, len(inputs)):
            if index % INPUTS_BETWEEN_FORKS == 0 and at < index and len(forks) < MOST_FORKS:
                forks.append((index, node.fork()))
            if self.best and bounds.now_s() - self._begun_s >= bounds.seconds:
                self.spent = True
                return False
            self.steps += 1
            one = inputs[index]
            if links:
                one = msgspec.structs.replace(one, message=renamed(one.message, links))
            reply = self._give(node, one)
            if one.reply is not NOTHING:
                if following:
                    links.update(differences(one.reply, reply))
                one = msgspec.structs.replace(one, reply=reply)
            done.append(one)
            if self._goal.reached(node):
                self.best, self._forks = tuple(done), forks
                return True
        return False

    def take_without(self, out: Collection[int]) -> bool:
        """Try without some of the best inputs, by their index; else also with the time they took.

        A timer may need that time, which then passes before what follows.
        """
        tail, timed, left_s, first = [], [], 0.0, min(out, default=0)
        for index, one in enumerate(self.best[first:], first):
            if index in out:
                left_s += one.after_s
                continue
            tail.append(one)
            timed.append(msgspec.structs.replace(one, after_s=one.after_s + left_s))
            left_s = 0.0
        return self.take(first, tail) or (timed != tail and self.take(first, timed))

    def improve(self) -> None:
        """Leave out what can be: groups of inputs, chunks, pairs; and make the rest simpler."""
        for groups_of in (whose_input, worker_and_type):
            self.without_groups(groups_of)
        self.thin()
        self.without_pairs()
        self.simplify()
        self.thin()

    def thin(self) -> None:
        """Leave out chunks, then single inputs."""

        def without(low: int, high: int) -> tuple[TreeInput, ...] | None:
            return self.best if self.take_without(range(low, high)) else None

        thinned(self.best, without)

    def without_groups(self, group_of: Callable[[TreeInput], Any]) -> None:
        """Leave out all inputs of some groups, as many groups as can be."""
        groups = list(dict.fromkeys(map(group_of, self.best)))

        def without(low: int, high: int) -> list[Any] | None:
            gone = {*groups[low:high]}
            out = {index for index, one in enumerate(self.best) if group_of(one) in gone}
            if not self.take_without(out):
                return None
            del groups[low:high]
            return groups

        thinned(groups, without)

    def without_pairs(self) -> None:
        """Leave out two inputs at once, for as long as there is such a pair."""
        while any(map(self.take_without, in_pairs(len(self.best)))):
            pass

    def simplify(self) -> None:
        """Let no time pass where none has to, and make messages simpler."""
        self.take(0, [msgspec.structs.replace(one, after_s=0.0) for one in self.best])
        for index in reversed(range(len(self.best))):
            if index >= len(self.best):
                continue
            one = self.best[index]
            simplest(one.after_s, lambda after_s: self._change(index, after_s=after_s))  # noqa: B023 - called at once
            simplest(one.message, lambda message: self._change(index, message=message))  # noqa: B023 - called at once

    def _change(self, index: int, **changed: Any) -> bool:
        count = len(self.best)
        if index >= count or changed.get("after_s", 0.0) < 0:
            return False
        old = self.best[index]
        new = msgspec.structs.replace(old, **changed)
        if self.is_like is not None and not self.is_like(old.message, new.message):
            return False
        return self.take(index, (new, *self.best[index + 1 :]))


def whose_input(one: TreeInput) -> Any:
    """Return whose input it is."""
    return one.worker


def worker_and_type(one: TreeInput) -> Any:
    """Return whose input it is, and of which form: its type, or the first word of a text."""
    message = one.message
    form = message.split()[:1] if type(message) in (str, bytes) else [type(message)]
    return (one.worker, *form)


def is_told_on(inputs: Sequence[TreeInput]) -> bool:
    """Return whether a call was answered with a name or a number that a later input has in it."""
    known: set[Any] = set()
    for one in inputs:
        if not known.isdisjoint(names_in(one.message)):
            return True
        if one.reply is not NOTHING:
            known.update(names_in(one.reply))
    return False


def give_input(node: Node, one: TreeInput) -> Any:
    """Let time pass, hand an input to its worker, and serve what comes of it; return the reply."""
    node.run(one.after_s)
    pending = None
    try:
        if not one.worker:
            node.run()  # what was due at the very end
            return NOTHING
        if one.kind is Kind.CALL:
            pending = node.begin(one.worker, one.message)
        elif one.kind is Kind.CAST:
            node.cast(one.worker, one.message)
        else:
            node.info(one.worker, one.message)
    except CallError:
        return NOTHING  # its worker is not there without the inputs that were left out
    node.run()
    return NOTHING if pending is None or not pending.done or pending.error else pending.value

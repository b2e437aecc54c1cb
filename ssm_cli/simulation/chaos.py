"""`chaos`: faults and load on a fork of a tree, in an order that a seed decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import CommandError, counted
from ssm_cli.history.shrink import Unshrunk
from ssm_cli.history.shrink_tree import TreeInput, shrink_tree
from ssm_cli.history.trials import Bounds
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell, seconds
from ssm_cli.runtime.looking.show import shown
from ssm_cli.simulation.faults import OF_ALL, Fault, FaultKind, Weight, is_like
from ssm_cli.simulation.load import Load
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.simulated import Simulated
from ssm_cli.simulation.stand_ins import world_of
from ssm_cli.simulation.told import Data, decisions, empty_pools

STEPS = 1_000
GAP_S = 3.6  # between two steps, on average: 1,000 of them are an hour
MOST_STEPS = 1_000_000
MOST_FOR_S = 10 * 365 * 86_400.0
MOST_SEED = 2**63 - 1
LATE_S = (1.0, 5.0, 30.0)
LEAPS_S = (3_600.0, -3_600.0, 86_400.0, -86_400.0)
INIT_TIMES = (1, 1, 2)
SLOW_S = 1.0  # of a slow step without a limit
MOST_PICKS = 20  # workers that are looked at for one step
MOST_UNFED = 100  # workers without inputs that are named
MOST_TEXT = 200  # characters of an input in a timeline


class ChaosPlan(msgspec.Struct, frozen=True):
    """What a run is: its seed, how many steps in about how long, and which faults how often."""

    seed: int
    steps: int
    for_s: float
    weights: tuple[Weight, ...]


class ChaosRun:
    """One run while it goes on.

    Attributes:
        given: all that was given to the tree, oldest first.
        stopped: which bound has ended the run; "" for none.
    """

    def __init__(
        self, tree: Simulated, plan: ChaosPlan, load: Load, workers: Sequence[str]
    ) -> None:
        self.tree, self._plan, self._load = tree, plan, load
        self.given: list[TreeInput] = []
        self.stopped = ""
        self._chance = Random(plan.seed)  # noqa: S311 - it is to be the same each time
        self._workers, self._unfed = workers, dict[str, None]()
        self._matching: dict[str, list[str]] = {}

    def go(self, pace: Pace) -> None:
        """Take the steps of the plan, until the root is down or the time is over.

        Raises:
            CommandError: a worker is not pure, so that nothing of this could be repeated.
        """
        steps = self._plan.steps
        while len(self.given) < steps and not self.tree.gave_up:
            if pace.is_over():
                self.stopped = pace.said
                break
            pace.tell("steps", len(self.given), steps)
            one = self._next()
            self.given.append(one)
            self.tree.give(one)
            if self.tree.observed.impure is not None:
                raise impure(*self.tree.observed.impure)
        self.tree.observed.end()

    def told(self) -> Data:
        """Return what has come of it so far."""
        seen, plan = self.tree.observed, self._plan
        return {
            "tree": self.tree.node.name,
            "seed": plan.seed,
            "steps": plan.steps,
            "for_s": plan.for_s,
            "survived": not self.tree.gave_up and bool(self._workers),
            "taken": len(self.given),
            "passed_s": round(seen.passed_s(), 6),
            "stopped": self.stopped,
            "faults": faults_told(self.given),
            "inputs": sum(type(one.message) is not Fault for one in self.given),
            "calls": seen.calls,
            "failed": dict(sorted(seen.failed.items())),
            "refused": seen.refused,
            "dropped": seen.dropped,
            "cut": seen.cut,
            "flooding": dict(sorted(seen.flooding.items())[:MOST_UNFED]),
            "supervisors": seen.table(),
            "away": seen.longest_away(),
            "unfed": [*self._unfed][:MOST_UNFED],
            "pools": empty_pools(world_of(self.tree.node).names.values()),
            "digest": self.tree.node.digest().hex(),
            "timeline": [],
            "said": "",
        }

    def _next(self) -> TreeInput:
        """Return the next input or fault."""
        chance, plan = self._chance, self._plan
        after_s = round(chance.expovariate(plan.steps / plan.for_s), 3)
        point, total = chance.random(), 0.0
        for weight in plan.weights:
            total += weight.share
            if point < total:
                found = self._fault(weight, after_s)
                if found is not None:
                    return found
                break
        for _ in range(MOST_PICKS if self._workers else 0):
            worker = chance.choice(self._workers)
            made = self._load.input(chance, worker)
            if made is not None:
                return TreeInput(worker, *made, after_s)
            self._unfed[worker] = None
        return TreeInput("", Kind.INFO, Fault(FaultKind.LATE), after_s)  # time passes

    def _running_one(self, pattern: str) -> str:
        """Return one of the workers that match and run; "" where none is found."""
        known = self._matching.get(pattern)
        if known is None:
            known = self._matching[pattern] = matching(self._workers, pattern)
        names = world_of(self.tree.node).names
        picks = (self._chance.choice(known) for _ in range(MOST_PICKS if known else 0))
        return next((name for name in picks if can_be_hit(names.get(name))), "")

    def _fault(self, weight: Weight, after_s: float) -> TreeInput | None:
        """Return a fault; None where it can happen to nobody now."""
        chance, kind = self._chance, weight.kind
        if kind in OF_ALL:
            length_s = chance.choice(LATE_S if kind is FaultKind.LATE else LEAPS_S)
            return TreeInput("", Kind.INFO, Fault(kind, length_s), after_s)
        names = world_of(self.tree.node).names
        worker = self._running_one(weight.pattern)
        if not worker:
            return None
        fault = Fault(kind)
        if kind is FaultKind.SLOW:
            limit_s = min(seconds(names[worker].spec.options.step_timeout_ms), 1e6)
            length_s = SLOW_S if limit_s == 1e6 else limit_s * chance.choice((0.3, 0.6, 0.9))
            fault = Fault(kind, round(length_s, 3))
        elif kind in (FaultKind.FAIL_INIT, FaultKind.SLOW_INIT):
            fault = Fault(kind, times=chance.choice(INIT_TIMES))
        elif kind is FaultKind.FILL_QUEUE:
            made = self._load.input(chance, worker)
            if made is None:
                return None
            fault = Fault(kind, given=made[1])
        return TreeInput(worker, Kind.INFO, fault, after_s)


def matching(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that match a pattern."""
    return [name for name in names if fnmatchcase(name, pattern)]


def can_be_hit(cell: Any) -> bool:
    """Return whether a cell is that of a worker that runs."""
    return isinstance(cell, WorkerCell) and cell.status is CellStatus.RUNNING


def impure(worker: str, detail: Data) -> CommandError:
    """Return the error for a worker that answers otherwise the second time."""
    given = str(detail["input"])[:MOST_TEXT]
    return CommandError(
        f"{worker} is not pure: {detail['how']}, for `{given}`; a run with it cannot be repeated: "
        f"leave it out with `--skip {worker}`, or mend it"
    )


def chaos(start: Simulated, run: ChaosRun, pace: Pace) -> tuple[Data, Sequence[TreeInput]]:
    """Carry out a run, and tell what came of it.

    Args:
        start: the tree as the run finds it; it is forked, and left as it is.
        run: of a fork of that.
        pace: how long it may take.

    Returns:
        What is told; and the fewest faults and inputs that take the root down, if it went down.
    """
    run.go(pace)
    told, fewest = run.told(), list[TreeInput]()
    if run.tree.gave_up:
        fewest, told["said"] = shrunk(start, run, pace.shrinking())
        told["timeline"] = timeline_of(start, fewest)
    return told, fewest


def shrunk(start: Simulated, run: ChaosRun, bounds: Bounds) -> tuple[list[TreeInput], str]:
    """Return the fewest faults and inputs that take the root down, and how they were found."""
    found = shrink_tree(start.fork, run.given, bounds, Simulated.give, is_like)
    if isinstance(found, Unshrunk):
        return run.given[-1:], "it cannot be repeated: a worker depends on more than its inputs"
    steps, runs = counted(found.given, "step"), counted(found.runs, "run")
    fewest = f"{steps} -> {len(found.inputs):,} that take the root down ({runs})"
    return [*found.inputs], fewest


def faults_told(given: Sequence[TreeInput]) -> dict[str, int]:
    """Return how many faults of each kind there were."""
    counts = Counter(
        one.message.kind
        for one in given
        if type(one.message) is Fault and (one.worker or one.message.seconds)
    )
    return {kind.value: counts[kind] for kind in FaultKind if counts[kind]}


def timeline_of(start: Simulated, given: Sequence[TreeInput]) -> list[Data]:
    """Return a sequence of faults and inputs as a timeline: what each is, and what follows."""
    tree, told, at_s = start.fork(), [], 0.0
    for one in given:
        tree.observed.events.clear()
        text = "" if type(one.message) is Fault else input_text(tree, one)
        tree.give(one)
        at_s = round(at_s + one.after_s, 6)
        row: Data = {"at_s": at_s, "fault": "input", "worker": one.worker, "input": text}
        if type(one.message) is Fault:
            row["fault"] = one.message.kind.value
            if one.message.seconds:
                row["seconds"] = one.message.seconds
        told.append({**row, "then": decisions(tree.observed.events)})
    return told


def input_text(tree: Simulated, one: TreeInput) -> str:
    """Return an input as its worker's codec writes it, redacted."""
    world = world_of(tree.node)
    cell = world.names.get(one.worker)
    return shown(world, cell, one.message)[:MOST_TEXT] if isinstance(cell, WorkerCell) else ""

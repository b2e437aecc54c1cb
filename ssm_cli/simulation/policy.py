"""`check-policy`: what restart limits survive, what takes a tree down, and who goes with whom."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ssm_cli.errors import CommandError, whole_number
from ssm_cli.runtime.engine.cell import SupervisorCell, WorkerCell
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.placements import (
    MOST_FAULTS,
    PlacedFault,
    PolicySearch,
    Searching,
    crash_matrix,
    place,
)
from ssm_cli.simulation.stand_ins import Stand
from ssm_cli.simulation.told import Data, decisions, empty_pools
from ssm_cli.spec.model import Restart

FAULTS = 3  # that are placed, unless another number is asked for
MOST_SUPERVISORS = 1_000  # that are told of
MOST_IN_MATRIX = 500  # workers that are crashed one by one


def faults_of(word: str | int) -> int:
    """Return how many faults are to be placed.

    Raises:
        CommandError: it is no number from 1 to `MOST_FAULTS`.

    >>> faults_of("3")
    3
    """
    text = str(word)
    number = whole_number(text, 1, MOST_FAULTS) if text.isascii() else None
    if number is None:
        raise CommandError(f"--faults takes a number from 1 to {MOST_FAULTS}, not `{text[:40]}`")
    return number


def check_policy(start: Stand, faults: int, pace: Pace) -> Data:
    """Place up to so many faults in a tree of stand-ins in all ways, and tell what follows.

    Args:
        start: the tree; it is left as it is.
        faults: how many at most.
        pace: how long the search may take.

    Returns:
        How many placements there are, and in how many of them the root goes down; the shortest such
        one as a timeline; by supervisor how near it came to giving up; by worker who goes down with
        it; and which bound has stopped the search, if one has.
    """
    found = Searching(start, faults, pace).run()
    cells = start.world.names.values()
    workers = [cell for cell in cells if isinstance(cell, WorkerCell)]
    rows = [limits_told(cell, found) for cell in cells if is_supervisor(cell)]
    fits = len(workers) <= MOST_IN_MATRIX
    return {
        "tree": start.name,
        "survived": not found.down and found.placements > 0,
        "faults": found.faults,
        "placements": found.placements,
        "down": found.down,
        "states": found.states,
        "stopped": found.stopped,
        "workers": len(workers),
        "pools": empty_pools(cells),
        "way": way_told(start, found.first),
        "supervisors": rows[:MOST_SUPERVISORS],
        "matrix": crash_matrix(start) if fits else None,
    }


def is_supervisor(cell: object) -> bool:
    """Return whether a cell is that of a supervisor with something to restart."""
    return isinstance(cell, SupervisorCell) and bool(cell.children)


def limits_told(cell: object, found: PolicySearch) -> Data:
    """Return how near a supervisor came to its limit, and what it does not notice.

    A child that crashes once every `slowest_s` seconds, or slower, is restarted without end: as
    the period has both its ends, that is longer than period / intensity, here by a millisecond.
    None where nothing is restarted without end: all children are temporary, or the limit is 0.
    """
    assert isinstance(cell, SupervisorCell)
    spec, most = cell.spec, found.most.get(cell.spec.id, 0)
    children = (child.spec for child in cell.children.values())
    restarts = any(child.restart is not Restart.TEMPORARY for child in children)
    counts = spec.intensity and restarts
    slowest_s = unnoticed_s(spec.period_s, spec.intensity) if counts else None
    return {
        "id": spec.id,
        "path": cell.path(),
        "strategy": spec.strategy.value,
        "intensity": spec.intensity,
        "period": spec.period_s,
        "most": most,
        "left": spec.intensity - most,
        "gave_up": spec.id in found.gave_up,
        "slowest_s": slowest_s,
    }


def unnoticed_s(period_s: float, intensity: int) -> float:
    """Return the fewest whole milliseconds, in seconds, that `intensity` of are over the period.

    >>> unnoticed_s(10.0, 5), unnoticed_s(5.0, 3)
    (2.001, 1.667)
    """
    return (math.floor(round(period_s * 1000 / intensity, 6)) + 1) / 1000


def way_told(start: Stand, way: Sequence[PlacedFault]) -> list[Data]:
    """Return a sequence of faults as a timeline: when each comes, and what supervisors do."""
    stand, told, at_s = start.fork(), [], 0.0
    for placed in way:
        stand.happened.clear()
        place(stand, placed)
        at_s = round(at_s + placed.after_s, 6)
        then = decisions(stand.happened)
        told.append({"at_s": at_s, "fault": placed.fault, "worker": placed.worker, "then": then})
    return told

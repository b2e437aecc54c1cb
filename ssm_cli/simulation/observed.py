"""What is seen of a tree while faults happen to it, for the table at the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ssm_cli.errors import CallError, SsmError
from ssm_cli.runtime.engine.cell import CellStatus, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.simulation.stand_ins import Happened, happened
from ssm_cli.simulation.told import Data

GONE = frozenset({"terminated", "killed"})
MOST_SUPERVISORS = 1_000  # that are told of
AWAY = (CellStatus.RESTARTING, CellStatus.WAITING)


class Sightings:
    """What has been seen of a simulation; it hears of each event of its world.

    Attributes:
        calls: how many calls were made.
        failed: by outcome, how many calls ended in another one than a reply.
        refused: how many casts found no room.
        events: the last decisions, until they are taken out.
        impure: the first worker that was found to be not pure, and how; None so far.
        dropped: how many messages have reached nobody.
        flooding: workers whose inputs do not come to an end between two steps, and how often.
        cut: how many steps really hung, by the time of the machine.
    """

    def __init__(self, world: World) -> None:
        self.calls = self.refused = self.dropped = self.cut = 0
        self.failed: Counter[str] = Counter()
        self.flooding: Counter[str] = Counter()
        self.events: list[Happened] = []
        self.impure: tuple[str, Data] | None = None
        self.supervisors: dict[str, Data] = {}
        self.away: dict[str, tuple[float, float]] = {}  # by worker: the longest time, since when
        self._down_s: dict[str, float] = {}
        self._began_s = world.clock.now_s()
        self._world = world
        kept = world.report if world.history is not None else None  # for a page alone

        def report(event: str, subject: Any, detail: Any = None) -> None:
            self._note(happened(event, subject, detail))
            if kept is not None:
                kept(event, subject, detail)

        world.report = report
        world.reports.subscribe(_ignore, _ignore)  # so that each event is told by itself

    def fail(self, error: SsmError, *, counts: bool) -> None:
        """Count a call that failed, or a cast that was refused."""
        outcome = error.outcome if isinstance(error, CallError) else "stopped"
        if counts:
            self.failed[outcome] += 1
        else:
            self.refused += 1

    def flood(self, worker: str) -> None:
        """Note that a worker has inputs still, however many were served."""
        self.flooding[worker] += 1

    def passed_s(self) -> float:
        """Return how much time has passed."""
        return self._world.clock.now_s() - self._began_s

    def end(self) -> None:
        """Count what is away still, at the end of the run."""
        down = not self._world.running
        for cell in self._world.names.values():
            if isinstance(cell, WorkerCell) and (down or cell.status in AWAY):
                self._back(cell.spec.id, stays=True)

    def table(self) -> list[Data]:
        """Return by supervisor that restarts something what it did, and how near it came."""
        found = []
        for cell in self._world.names.values():
            if isinstance(cell, SupervisorCell) and (
                cell.children or cell.spec.id in self.supervisors
            ):
                spec = cell.spec
                row = self.supervisors.get(spec.id, {"restarts": 0, "gave_up": 0, "most": 0})
                limits = {"intensity": spec.intensity, "period": spec.period_s}
                left = spec.intensity - row["most"]
                found.append({"id": spec.id, "path": cell.path(), **row, **limits, "left": left})
        found.sort(key=lambda row: -row["restarts"])  # stable: those that did something first
        return found[:MOST_SUPERVISORS]

    def longest_away(self) -> Data | None:
        """Return which worker was away for the longest time, and for how long; None: nobody was."""
        if not self.away:
            return None
        worker = max(self.away, key=lambda name: self.away[name][0])
        seconds, since_s = self.away[worker]
        return {"worker": worker, "seconds": round(seconds, 6), "since_s": round(since_s, 6)}

    def _note(self, one: Happened) -> None:
        if one.decided:
            row = self.supervisors.setdefault(one.decided, {"restarts": 0, "gave_up": 0, "most": 0})
            row["restarts"] += one.event != "gave_up"
            row["gave_up"] += one.event == "gave_up"
            row["most"] = max(row["most"], one.detail["restarts"])
            self.events.append(one)
        elif one.event in GONE and isinstance(self._world.names.get(one.id), WorkerCell):
            self._down_s.setdefault(one.id, self._world.clock.now_s())
        elif one.event == "started":
            self._back(one.id)
        elif one.event == "start_failed":
            self.events.append(one)
        elif one.event == "impure" and self.impure is None:
            self.impure = (one.id, one.detail)
        elif one.event == "dropped":
            self.dropped += 1

    def _back(self, worker: str, *, stays: bool = False) -> None:
        since_s = self._down_s.get(worker) if stays else self._down_s.pop(worker, None)
        if since_s is not None:
            seconds = self._world.clock.now_s() - since_s
            if seconds > self.away.get(worker, (-1.0, 0.0))[0]:
                self.away[worker] = seconds, since_s - self._began_s


def _ignore(_: object) -> None:
    """Hear of a report, and do nothing."""

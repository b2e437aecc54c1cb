"""The runner: has done what `Run` effects ask for, so many at a time.

Theory of operation. The world knows which runs are under way (`engine/runs.py`); the runner knows
which of them wait and which go on. It begins them where an event loop gives it a turn: in a turn
of the driver, or while the node rests, by a loop of its own (`Tasks.turn`). Whatever ends is told
to the world, which looks whether it still counts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol

from ssm_cli.behaviour.runs import Ended, Failed, RunError, is_async
from ssm_cli.runtime.clock import LONGEST_SLEEP_S, ManualClock
from ssm_cli.runtime.driver import attach
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.entries import RunDue
from ssm_cli.runtime.engine.runs import end_run
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.runs.tasks import OwnLoop, running_loop

MOST_TASKS = 1000  # async functions of a node that go on at once
MOST_PROCESSES = 16
MOST_WAITING = 10_000  # runs of a node that have not begun
MOST_GLANCES = 100  # at once, while runs end and let others begin
PATIENCE_S = 0.1  # of real time, before a manual clock is moved on while tasks go on
LONG_PATIENCE_S = 5.0  # ... and while processes do, which take their time to begin


class Way(Protocol):
    """One way to do the work: as tasks, or in processes."""

    def start(self, entry: RunDue, loop: Any) -> None:
        """Begin; what comes of it is told to who made this, once."""
        ...

    def cancel(self, number: int) -> bool:
        """End a run that goes on; return whether it did."""
        ...

    def has_work(self) -> bool:
        """Whether something goes on, or is still ending."""
        ...

    def look(self, loop: Any) -> None:
        """Notice what has ended, or cannot go on, and have `loop` tell of the rest."""
        ...

    def close(self) -> None:
        """End all that goes on."""
        ...


Maker = Callable[[World, Callable[[RunDue, Ended], None]], Way]


class Lane:
    """The runs of a node that are done in one way: those that go on, and those that wait."""

    def __init__(self, way: Way, most: int) -> None:
        self.way, self.most = way, most
        self.going: dict[int, RunDue] = {}
        self.waiting: deque[RunDue] = deque()


class Runner:
    """Does the runs of one node, in the order in which they are asked for.

    One whose worker has as many going on as its `limit` says waits until one of those has ended,
    and others pass it.
    """

    def __init__(self, world: World, tasks: Maker, processes: Maker) -> None:
        self._world = world
        self._tasks = Lane(tasks(world, self.ended), MOST_TASKS)
        self._processes = Lane(processes(world, self.ended), MOST_PROCESSES)
        self._lanes = (self._tasks, self._processes)
        self._of: Counter[WorkerCell] = Counter()
        self._held: dict[WorkerCell, deque[RunDue]] = {}
        self._refused: deque[RunDue] = deque()
        self._left: dict[int, None] = {}  # asked for, and not begun
        self._own = OwnLoop()
        self._ends = 0

    def has_work(self) -> bool:
        """Whether something goes on or waits."""
        busy = any(lane.way.has_work() for lane in self._lanes)
        return bool(busy or self._left or self._refused)

    def ask(self, entry: RunDue) -> None:
        """Have a run done; it begins in the next turn."""
        if len(self._left) >= MOST_WAITING:
            self._refused.append(entry)
        else:
            self._left[entry.number] = None
            self._lane(entry).waiting.append(entry)
        if self._world.outside.wake is not None:
            self._world.outside.wake()
        elif running_loop() is not None:
            attach(self._world)

    def cancel(self, number: int) -> None:
        """End a run: what comes of it does not count any more."""
        self._left.pop(number, None)
        for lane in self._lanes:
            if number in lane.going and not lane.way.cancel(number):
                self._free(lane.going.pop(number).cell)  # an interruption has left it behind

    def go(self, loop: Any) -> None:
        """Begin what may begin, on a loop that runs, and notice what has ended."""
        for lane in self._lanes:
            lane.way.look(loop)
        while self._refused:
            entry = self._refused.popleft()
            said = f"{MOST_WAITING:,} runs of the node wait already"
            end_run(self._world, entry, Failed(entry.run.key, RunError("too_many", "", said)))
        for lane in self._lanes:
            while lane.waiting and len(lane.going) < lane.most:
                self._begin(lane, lane.waiting.popleft(), loop)

    def rest(self, seconds: float) -> None:
        """Let the runs go on for `seconds`, or less, while the node has nothing to do.

        Without asyncio they have a loop of their own. A manual clock is moved on by `seconds` once
        the runs were given some real time, and none has ended.
        """
        clock = self._world.clock
        if running_loop() is not None:  # it cannot go on while its thread waits here
            clock.sleep_s(seconds)
            return
        self.go(self._own.loop())
        if not isinstance(clock, ManualClock):
            self._own.turn(min(seconds, LONGEST_SLEEP_S))
        else:
            ends = self._ends
            self._own.turn(LONG_PATIENCE_S if self._processes.going else PATIENCE_S)
            if ends == self._ends:
                clock.sleep_s(seconds)

    def glance(self) -> None:
        """Let the runs go on for a moment, if it is a loop of their own that they have."""
        if running_loop() is None:
            for _ in range(MOST_GLANCES):
                ends = self._ends
                self.go(self._own.loop())
                self._own.turn(0)
                if ends == self._ends:
                    return

    def ended(self, entry: RunDue, ended: Ended) -> None:
        """Take what has come of a run that went on."""
        if self._lane(entry).going.pop(entry.number, None) is None:
            return
        self._ends += 1
        self._free(entry.cell)
        self._own.stop()
        end_run(self._world, entry, ended)
        if self._left and self._world.outside.wake is not None:
            self._world.outside.wake()

    def close(self) -> None:
        """End all that goes on: the tree is down."""
        for lane in self._lanes:
            lane.way.close()
            lane.waiting.clear()
        self._held.clear()
        self._refused.clear()
        self._left.clear()
        if running_loop() is None:
            self._own.close()
            self._tasks.way.look(None)  # those that have not let themselves be cancelled

    def _free(self, cell: WorkerCell) -> None:
        """Let the next run of a worker have its turn, in the place of one that has ended."""
        self._of[cell] -= 1
        held = self._held.get(cell, deque())
        while held and (first := held.popleft()):
            if first.number in self._left:
                self._lane(first).waiting.append(first)
                break
        if not held:
            self._held.pop(cell, None)
        if not self._of[cell]:
            del self._of[cell]

    def _lane(self, entry: RunDue) -> Lane:
        return self._tasks if is_async(entry.run.function) else self._processes

    def _begin(self, lane: Lane, entry: RunDue, loop: Any) -> None:
        cell = entry.cell
        if entry.number not in self._left:
            return  # it was cancelled
        if self._of[cell] >= entry.run.limit:
            self._held.setdefault(cell, deque()).append(entry)
            return
        del self._left[entry.number]
        self._of[cell] += 1
        lane.going[entry.number] = entry
        lane.way.start(entry, loop)

"""`World`: all of a node that evolves by itself. `Outside`: what it is connected to.

A world is what a fork copies: cells, queue, timers, chance, reports. What lies outside of it (who
serves it, where records are written, remote children) belongs to one node and is never copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Outcome, advance
from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.crashes import CrashNotes
from ssm_cli.runtime.engine.entries import Entry, TryAgain
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.engine.pending import Pending, Waiter
from ssm_cli.runtime.engine.timers import Timers
from ssm_cli.runtime.reports import ReportStream
from ssm_cli.spec.judge import Judge

Input = tuple[WorkerCell, Kind, Any, Waiter | None]
MOST_EFFECTS = 1_000_000  # inputs that effects may put into the queue


class Outside:
    """What a world is connected to.

    Attributes:
        advance: runs a callback (`dispatch.advance`, or a check of it).
        driver: what serves the node from an asyncio loop; None where nothing does.
        keeper: writes down what must outlive the process (see `durable`); None without.
        links: the way to remote children (see `remote`); None without.
        unwatch: ends the watch of a manual clock; None where nothing watches.
        wake: called when there is work and the loop does not run; an asyncio driver listens.
    """

    __slots__ = ("advance", "driver", "keeper", "links", "news", "unwatch", "wake")

    def __init__(self) -> None:
        self.advance: Callable[..., Outcome] = advance
        self.driver: Any = None
        self.keeper: Any = None
        self.links: Any = None
        self.news: deque[Any] = deque()  # of the links, until each is dealt with
        self.unwatch: Callable[[], None] | None = None
        self.wake: Callable[[], None] | None = None


class World:
    """The mutable state of one node.

    Attributes:
        batch: how many inputs are served between two looks at the clock.
        begun: the workers whose `terminate` has begun, until they are known to be ending.
        bound: how many inputs from outside may wait; effects may exceed it (`MOST_EFFECTS`).
        callers: calls of `GenServer` workers that wait for an answer, by the number of their
            `Caller`.
        dropped: how many messages have reached nobody.
        expected: the options whose limits the guard was told of last.
        forked: whether it is a fork, which keeps nothing that outlives it.
        gave_up: whether the root reached its restart intensity.
        judge: judges specs: of the tree, and of new children.
        lane: system messages; they overtake the queue.
        names: every live node by id.
        outbox: replies given by `Caller.reply` in the callback that runs now, as (number, value);
            shared with forks, since callers in states are.
        performing: the entry of the lane that is performed now.
        pumping: whether the loop runs; nothing may enter it twice.
        queue: the inputs that wait.
        report: records what happened to a cell; see `ReportStream.add`.
        retries: restarts whose start failed and is tried again; others get in between.
        retry_at_s: no start is tried again before.
        try_s: how long the last such try took.
    """

    __slots__ = (
        "batch", "begun", "bound", "caller", "callers", "clock", "crashes", "dropped", "expected",
        "forked", "gave_up", "guard", "judge", "lane", "names", "outbox", "outside",
        "performing", "pumping", "queue", "random", "report", "reports", "retries",
        "retry_at_s", "root", "running", "timers", "try_s",
    )  # fmt: skip

    def __init__(
        self, root: SupervisorCell, clock: Clock, guard: Guard, random: Random, judge: Judge
    ) -> None:
        self.root = root
        self.judge = judge
        root.sound = judge.sound
        self.clock = clock
        self.guard = guard
        self.random = random
        self.outside = Outside()
        self.bound = root.spec.queue
        self.batch = 1
        self.begun: dict[Cell, bool] = {}
        self.queue: deque[Input] = deque()
        self.lane: deque[Entry] = deque()
        self.retries: deque[TryAgain] = deque()
        self.performing: Entry | None = None
        self.retry_at_s = self.try_s = 0.0
        self.names: dict[str, Cell] = {}
        self.timers = Timers()
        self.caller = 0
        self.callers: dict[int, Pending] = {}
        self.outbox: list[tuple[int, Any]] = []
        self.reports = ReportStream(clock)
        self.report = self.reports.add
        self.crashes = CrashNotes()
        self.pumping = False
        self.running = False
        self.forked = self.gave_up = False
        self.dropped = 0
        self.expected: object = None

    def find(self, name: str) -> Cell | None:
        """Return the node of that id, or of exactly that path from the root, running or not."""
        cell = self.names.get(name)
        at = len(name) if cell is None else 0
        while (at := name.rfind("/", 0, at)) >= 0:  # ids made from a template hold slashes, too
            cell = self.names.get(name[at + 1 :])
            if cell is not None and cell.path() == name:
                return cell
            cell = None
        return cell

    def post(self, entry: Entry) -> None:
        """Put a system message into the lane."""
        self.lane.append(entry)
        wake = self.outside.wake
        if wake is not None and not self.pumping:
            wake()

    def drop(self, about: Cell, to: str, how: str, why: str) -> None:
        """Count and report a message that reaches nobody; `about` is its sender or receiver."""
        self.dropped += 1
        self.report("dropped", about, {"to": to, "how": how, "why": why})

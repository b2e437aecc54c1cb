"""`Core`: the mutable state of one node, in one place. The engine's functions move it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Outcome, advance
from ssm_cli.runtime.clock import Clock
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.crashes import CrashNotes
from ssm_cli.runtime.engine.guard import Guard
from ssm_cli.runtime.engine.pending import Waiter
from ssm_cli.runtime.engine.timers import Timers
from ssm_cli.runtime.reports import ReportStream
from ssm_cli.spec.judge import Judge

Input = tuple[WorkerCell, Kind, Any, Waiter | None]
Lane = deque[tuple[Callable[..., None], tuple[Any, ...]]]
EFFECT_ROOM = 1024  # inputs that effects may put into the queue beyond its bound


class Core:
    """The mutable state of one node.

    Attributes:
        queue: the inputs that wait, at most `bound` (effects: `EFFECT_ROOM` more).
        expected: the options whose limits the guard was told of last.
        batch: how many inputs are served between two looks at the clock.
        lane: system messages; each is a function and its arguments, and overtakes the queue.
        names: every live node by id.
        pumping: whether the loop runs; nothing may enter it twice.
        report: records what happened to a cell; see `ReportStream.add`.
        outbox: replies given by `Caller.reply` in the callback that runs now.
        driver: what serves the node from an asyncio loop; None where nothing does.
        wake: told when there is work and the loop does not run; an asyncio driver listens.
        advance: runs a callback (`dispatch.advance`, or a check of it).
        judge: judges specs: of the tree, and of new children.
        keeper: writes down what must outlive the process (see `durable`); None without.
        links: the way to remote children (see `remote`); None without.
        gave_up: whether the root reached its restart intensity.
    """

    __slots__ = (
        "advance", "batch", "bound", "clock", "crashes", "driver", "dropped", "expected", "gave_up",
        "guard", "judge", "keeper", "lane", "links", "names", "outbox", "pumping", "queue",
        "random", "report", "reports", "root", "running", "timers", "wake",
    )  # fmt: skip

    def __init__(
        self,
        root: SupervisorCell,
        clock: Clock,
        guard: Guard,
        random: Random,
        judge: Judge,
    ) -> None:
        self.root = root
        self.judge = judge
        root.sound = judge.sound
        self.clock = clock
        self.guard = guard
        self.random = random
        self.bound = root.spec.queue
        self.batch = 1
        self.queue: deque[Input] = deque()
        self.lane: Lane = deque()
        self.names: dict[str, Cell] = {}
        self.timers = Timers()
        self.reports = ReportStream(clock)
        self.report = self.reports.add
        self.crashes = CrashNotes()
        self.outbox: list[tuple[Any, Any]] = []
        self.pumping = False
        self.running = False
        self.gave_up = False
        self.dropped = 0
        self.expected: object = None
        self.driver: Any = None
        self.keeper: Any = None
        self.links: Any = None
        self.advance: Callable[..., Outcome] = advance
        self.wake: Callable[[], None] | None = None

    def find(self, name: str) -> Cell | None:
        """The node of that id or path, running or not. A path counts in full, from the root."""
        cell = self.names.get(name)
        at = len(name) if cell is None else 0
        while (at := name.rfind("/", 0, at)) >= 0:  # ids made from a template hold slashes, too
            cell = self.names.get(name[at + 1 :])
            if cell is not None and cell.path() == name:
                return cell
            cell = None
        return cell

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Put a system message into the lane."""
        self.lane.append((function, args))
        if self.wake is not None and not self.pumping:
            self.wake()

"""`Cell`: what the node knows of one worker or supervisor while it lives in the tree."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar

from ssm_cli.behaviour.reasons import NOPROC, ExitReason
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.views import Kind
from ssm_cli.spec.model import DEFAULT_STEP_TIMEOUT_MS, SupervisorSpec, WorkerSpec
from ssm_cli.supervision.window import RestartWindow


class Status(IntEnum):
    """Where a child stands in the eyes of its supervisor.

    `DEAD` has ended, but its supervisor has not looked yet: to OTP it still has its pid.
    """

    UNDEFINED = 0
    RUNNING = 1
    DEAD = 2
    RESTARTING = 3


class Extra:
    """What few workers need, made at first use: callers kept waiting, timers, sys settings."""

    __slots__ = (
        "attempt", "backlog", "callers", "crash", "crashes", "debug", "delay_until_s", "suspended",
        "timeout", "timeout_ms", "timers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.callers: dict[object, Pending] = {}
        self.backlog: deque[Any] = deque()
        self.timers: dict[str, int] = {}
        self.timeout = 0
        self.timeout_ms: float | None = None
        self.suspended = False
        self.debug: Any = None
        self.crash: Any = None
        self.crashes = 0
        self.attempt = 0
        self.delay_until_s: float | None = None


class Cell:
    """One worker or supervisor. It outlives restarts; `starts` tells one life from the next.

    Attributes:
        spec: its child spec.
        parent: its supervisor; None for the root.
        status: see `Status`.
        starts: how many inits have begun, this one included.
        since_s: when it was started last.
        extra: see `Extra`; None until needed.
        last_reason: why it ended last.
    """

    __slots__ = ("extra", "last_reason", "parent", "since_s", "spec", "starts", "status")

    kind: ClassVar[Kind]
    spec: WorkerSpec | SupervisorSpec
    steps: int

    def __init__(self, spec: WorkerSpec | SupervisorSpec, parent: SupervisorCell | None) -> None:
        self.spec = spec
        self.parent = parent
        self.status = Status.UNDEFINED
        self.starts = 0
        self.since_s = 0.0
        self.extra: Extra | None = None
        self.last_reason: ExitReason = NOPROC

    def path(self) -> str:
        """Its ids from the root down, joined by `/`."""
        ids = [self.spec.id]
        above = self.parent
        while above is not None:
            ids.append(above.spec.id)
            above = above.parent
        return "/".join(reversed(ids))

    def more(self) -> Extra:
        """Its `Extra`, made now if need be."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    @property
    def suspended(self) -> bool:
        """Whether `sys:suspend` holds it."""
        return self.extra is not None and self.extra.suspended

    def step_limit_s(self) -> float:
        """How long one callback may run, in seconds."""
        return DEFAULT_STEP_TIMEOUT_MS / 1000


class WorkerCell(Cell):
    """A worker. `step` is set while inputs may go straight to a pure step; see `dispatch`."""

    kind: ClassVar[Kind] = "worker"

    __slots__ = ("behaviour", "codec", "state", "step", "steps")

    spec: WorkerSpec

    def __init__(self, spec: WorkerSpec, parent: SupervisorCell | None) -> None:
        super().__init__(spec, parent)
        self.behaviour: Any = None
        self.codec: Any = None
        self.state: Any = None
        self.step: Callable[[Any, Any], Any] | None = None
        self.steps = 0

    def step_limit_s(self) -> float:
        """How long one step may run, in seconds."""
        return seconds(self.spec.options.step_timeout_ms)


class SupervisorCell(Cell):
    """A supervisor: its children by id in start order, and its restart window.

    Attributes:
        overdue: its shutdown time is over, or it was killed: it is gone already.
        sound: its spec was looked at, and is valid.
    """

    kind: ClassVar[Kind] = "supervisor"
    __slots__ = ("children", "overdue", "sound", "window")

    spec: SupervisorSpec
    steps = 0  # a class constant here: the guard compares it, nobody counts

    def __init__(self, spec: SupervisorSpec, parent: SupervisorCell | None) -> None:
        super().__init__(spec, parent)
        self.children: dict[str, Cell] = {}
        self.window = RestartWindow(spec.period_s)
        self.overdue = False
        self.sound = False


def seconds(ms: float | str) -> float:
    """A limit in milliseconds as seconds; `infinity` is infinite."""
    return float("inf") if ms == "infinity" else float(ms) / 1000

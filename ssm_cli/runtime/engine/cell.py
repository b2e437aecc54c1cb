"""`Cell`: what the node knows of one worker or supervisor while it lives in the tree."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar

from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reasons import NOPROC, ExitReason
from ssm_cli.behaviour.results import TimeoutAfter
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.views import Kind
from ssm_cli.spec.model import (
    DEFAULT_INIT_TIMEOUT_MS,
    DEFAULT_SHUTDOWN_MS,
    OnCrash,
    Persist,
    WorkerOptions,
)
from ssm_cli.supervision.window import RestartWindow


class CellStatus(IntEnum):
    """Where a child stands in the eyes of its supervisor.

    `DEAD` has ended, but its supervisor has not looked yet: to OTP it still has its pid. `WAITING`
    is down for now, and is started with the sibling whose start it waits for. `ENDING` is being
    terminated; outside of the engine nobody sees it but readers of reports. `STARTING` is a remote
    child whose start was asked for.
    """

    UNDEFINED = 0
    RUNNING = 1
    DEAD = 2
    RESTARTING = 3
    WAITING = 4
    ENDING = 5
    STARTING = 6


class Plan(IntEnum):
    """How the inputs of a worker are served; chosen anew whenever a setting of it changes.

    `STEP` goes straight to a pure step, `RECORD` does so and records it, `CARE` looks at
    everything, `HELD` puts inputs off, `DOWN` serves none as the worker does not run.
    """

    DOWN = 0
    STEP = 1
    RECORD = 2
    CARE = 3
    HELD = 4


UNDEFINED = CellStatus.UNDEFINED  # a global is quick
RUNNING = CellStatus.RUNNING
STEP = Plan.STEP


class Extra:
    """What few workers need, made at first use: callers kept waiting, timers, sys settings.

    Attributes:
        attempt: how many restarts in a row its back-off has held up.
        breaks: what holds it before it commits (`performer/breaking.py`); None for nothing.
        begun: the spec that its life has begun with, where it has another one by now.
        backlog: what is put off: inputs as (kind, message, pending), entries of a supervisor.
        callers: calls to be answered later, by the key of their `Defer`, or by their `Caller`.
        checked: its callbacks are run twice, to see whether they are pure.
        crash: the note of its last crash, until its supervisor has decided.
        debug: see `looking/debug.py`; None while nobody looks.
        delay_until_s: when its back-off is over.
        links: the names of the workers that it is linked to.
        kept: what the node's keeper knows of a worker whose state outlives it (`durable/kept.py`).
        left: the timers and runs that outlive its last life, each with its instant: for forks.
        plan: how its inputs are served.
        runs: those under way, by key, until their ends are served; see `engine/runs.py`.
        suspended: whether `sys:suspend` holds it.
        timeout, timeout_after: the number of its time-out under way, 0 for none; what was asked.
        timers: the numbers of its timers by key.
        unbegun: its last start, by a spec that was new to it, has failed.
        weighed: how many more of its inputs a recorder weighs one by one, as one was large.
    """

    __slots__ = (
        "attempt", "backlog", "begun", "breaks", "callers", "checked", "crash", "debug",
        "delay_until_s", "kept", "left", "links", "plan", "runs", "suspended", "timeout",
        "timeout_after", "timers", "unbegun", "weighed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.callers: dict[object, Pending] = {}
        self.backlog: deque[Any] = deque()
        self.timers: dict[str, int] = {}
        self.runs: dict[str, Any] = {}
        self.timeout = 0
        self.timeout_after: TimeoutAfter | None = None
        self.suspended = False
        self.begun: Any = None
        self.unbegun = False
        self.breaks: Any = None
        self.debug: Any = None
        self.crash: Any = None
        self.attempt = 0
        self.delay_until_s: float | None = None
        self.kept: Any = None
        self.left: tuple[tuple[float, Any], ...] = ()
        self.links: dict[str, tuple[str, ...]] = {}  # by id: the other names it was linked by
        self.checked, self.weighed = False, 0
        self.plan = Plan.DOWN


class Cell:
    """One worker or supervisor. It outlives restarts; `starts` tells one life from the next.

    Slots and a plain constructor: an attribute is stored for each step, so that a store must be
    quick, and a tree may have a million cells.

    Attributes:
        spec: its child spec.
        parent: its supervisor; None for the root.
        status: see `Status`.
        starts: how many inits have begun, this one included.
        since_s: when it was started last.
        extra: see `Extra`; None until needed.
        last_reason: why it ended last.
        steps: how many inputs it has served; 0 for supervisors.
        timed_s: seconds in those of its steps that were timed; see `busy_s`.
    """

    __slots__ = (
        "extra", "last_reason", "parent", "since_s", "spec", "starts", "status", "steps", "timed_s",
    )  # fmt: skip

    kind: ClassVar[Kind]
    step: Callable[[Any, Any], Any] | None = None  # what waits for no worker goes the careful way

    def __init__(self, spec: Any, parent: SupervisorCell | None = None) -> None:
        self.spec = spec
        self.parent = parent
        self.status = UNDEFINED
        self.starts = self.steps = 0
        self.since_s = self.timed_s = 0.0
        self.extra: Extra | None = None
        self.last_reason: ExitReason = NOPROC

    def path(self) -> str:
        """Its ids from the root down, joined by `/`."""
        path: str = self.spec.id
        above = self.parent
        while above is not None:
            path, above = f"{above.spec.id}/{path}", above.parent
        return path

    def ensure_extra(self) -> Extra:
        """Return its `Extra`; make it at first use."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    @property
    def suspended(self) -> bool:
        """Whether `sys:suspend` holds it."""
        return self.extra is not None and self.extra.suspended

    def limit_s(self, phase: int) -> float:
        """How long a callback of that kind (see `guard`) may run, in seconds."""
        del phase
        return DEFAULT_INIT_TIMEOUT_MS / 1000

    def step_limit_s(self) -> float:
        """How long one step may run, in seconds."""
        return self.limit_s(0)


class WorkerCell(Cell):
    """A worker. `step` is set while its plan is `STEP`: inputs go straight to it; see `loop`.

    Attributes:
        crashes: how many there were.
    """

    __slots__ = ("behaviour", "codec", "crashes", "state", "step")

    kind: ClassVar[Kind] = "worker"

    def __init__(
        self, spec: Any, parent: SupervisorCell | None = None, status: CellStatus = UNDEFINED
    ) -> None:
        self.spec = spec  # all of it here: to ask the class above takes as long again
        self.parent = parent
        self.status = status
        self.starts = self.steps = self.crashes = 0
        self.since_s = self.timed_s = 0.0
        self.extra = None
        self.last_reason = NOPROC
        self.behaviour: Any = None
        self.codec: Any = None
        self.state: Any = None
        self.step: Callable[[Any, Any], Any] | None = None

    def limit_s(self, phase: int) -> float:
        """How long a step, `init` or `terminate` (0, 1, 2) may run, in seconds."""
        options: WorkerOptions = self.spec.options
        if phase == 0:
            return seconds(options.step_timeout_ms)
        if phase == 1:
            return seconds(options.init_timeout_ms)
        brutal = options.shutdown_ms == "brutal_kill"
        return seconds(DEFAULT_SHUTDOWN_MS if brutal else options.shutdown_ms)

    def busy_s(self) -> float:
        """Seconds in its steps: measured for callbacks; of a pure step every 64th is measured.

        Exact for the first step, and an estimate from every 64th for many.
        """
        if type(self.behaviour) is not StateMachine or not self.steps:
            return self.timed_s
        return self.timed_s * self.steps / ((self.steps + 63) // 64)


class SupervisorCell(Cell):
    """A supervisor: its children by id in start order, and its restart window.

    Attributes:
        children: its children by id, in start order.
        overdue: its shutdown time is over, or it was killed: it is gone already.
        sound: its spec was looked at, and is valid.
        temporary: whether a child is temporary, or one was.
        window: the times of its restarts.
    """

    __slots__ = ("children", "overdue", "sound", "temporary", "window")

    kind: ClassVar[Kind] = "supervisor"

    def __init__(self, spec: Any, parent: SupervisorCell | None = None) -> None:
        super().__init__(spec, parent)
        self.children: dict[str, Cell] = {}
        self.overdue = self.sound = self.temporary = False
        self.window = RestartWindow(0.0)


class RemoteCell(Cell):
    """A remote child: a subtree that a node of a cluster hosts.

    Attributes:
        node: which one.
        epoch: which life of the subtree, as the whole cluster counts them.
        reachable: whether it answers; one that does not may live on.
        age_s: how old its last sign of life was when we heard of it, at `heard_s`.
        why: for people, why it does not answer where that is known.
    """

    __slots__ = ("age_s", "epoch", "heard_s", "node", "reachable", "why")

    kind: ClassVar[Kind] = "remote"

    def __init__(self, spec: Any, parent: SupervisorCell | None = None) -> None:
        super().__init__(spec, parent)
        self.node = self.why = ""
        self.epoch = 0
        self.reachable = True
        self.age_s = self.heard_s = 0.0


def is_open(cell: Cell) -> bool:
    """Return whether inputs for it may wait in the queue: a worker that runs, and is not held."""
    running = type(cell) is WorkerCell and cell.status is RUNNING
    return running and not (cell.extra is not None and cell.extra.suspended)


def seconds(ms: float | str) -> float:
    """A limit in milliseconds as seconds; `infinity` is infinite."""
    return float("inf") if ms == "infinity" else float(ms) / 1000


def replan(cell: WorkerCell) -> None:
    """Choose how the inputs of a worker are served, after a setting of it has changed."""
    extra, plan = cell.extra, STEP
    if cell.status is not RUNNING:
        plan = Plan.DOWN
    elif extra is not None and (extra.suspended or (extra.kept and extra.kept.closing)):
        plan = Plan.HELD
    elif type(cell.behaviour) is not StateMachine:
        plan = Plan.CARE
    elif extra is not None:
        if (
            extra.debug is not None or extra.breaks is not None
            or extra.checked or extra.timeout or extra.weighed
        ):  # fmt: skip
            plan = Plan.CARE
        elif extra.kept is not None:
            plan = extra.kept.plan()
    if plan is STEP and cell.behaviour.reads is not None:
        plan = Plan.CARE
    cell.step = cell.behaviour.step if plan is STEP else None
    if extra is not None:
        extra.plan = plan


def plain_callbacks(behaviour: object, options: WorkerOptions) -> tuple[Any, Any]:
    """Return `init` and `step` of a worker whose start is its `init` and no more; else none."""
    begins_anew = options.on_crash is OnCrash.INIT and options.persist is Persist.NONE
    if type(behaviour) is StateMachine and begins_anew and behaviour.reads is None:
        return behaviour.init, behaviour.step
    return None, None

"""What the node shows of itself: frozen values, the same near and far."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

State = Literal["running", "starting", "restarting", "stopped", "suspended", "unreachable"]
ChildState = Literal["running", "restarting", "undefined"]
Kind = Literal["worker", "supervisor", "remote"]


class NodeView(msgspec.Struct, frozen=True, omit_defaults=False):
    """A node of the tree as `ssm tree` shows it (`CONTRACT` section 4).

    `busy_s` is an estimate of the seconds spent in its steps;
    `restarts` is how often it was started again; `queue` the inputs that wait for it;
    `budget_left` how many more restarts a supervisor has in the current window. The fields from
    `strategy` on are None for workers. `delay_ms` counts down to the next attempt of a node
    that is held back by its back-off. `node`, `epoch` and `age_s` (of the last sign of life) are
    those of a remote child, and `why` it is not reached, or not to be had. `runs` is how many
    `Run`s of a worker are under way, `at` the name of the state in which a `Statem` is.
    """

    id: str
    path: str
    kind: Kind
    state: State
    restarts: int = 0
    uptime_s: float = 0.0
    queue: int = 0
    steps: int = 0
    busy_s: float = 0.0
    label: str = ""
    delay_ms: float | None = None
    strategy: str | None = None
    intensity: int | None = None
    period: float | None = None
    budget_left: int | None = None
    children: tuple[NodeView, ...] = ()
    node: str = ""
    epoch: int = 0
    age_s: float | None = None
    runs: int = 0
    at: str = ""
    why: str = ""


class ProcessRef(msgspec.Struct, frozen=True):
    """One life of a child (OTP's pid): what `whereis` answers. A later life is another one."""

    id: str
    starts: int


ChildName = str | ProcessRef


class ChildInfo(msgspec.Struct, frozen=True):
    """One line of `which_children`: id, state, type."""

    id: str
    state: ChildState
    type: Kind


class GroupInfo(msgspec.Struct, frozen=True):
    """A group, and how many members it has."""

    group: str
    members: int


class MemberInfo(msgspec.Struct, frozen=True):
    """A member of a group, and its value as its codec writes it, redacted; "" for None."""

    worker: str
    value: str


class MemberValue(msgspec.Struct, frozen=True):
    """A member of a group, and its value as JSON-ready data, redacted."""

    worker: str
    value: Any


class Published(msgspec.Struct, frozen=True):
    """What `publish` answers: to how many members the message goes."""

    group: str
    members: int


class Carried(msgspec.Struct, frozen=True):
    """An input as it crosses: in the codec of whoever gets it, or as a value in JSON."""

    data: bytes
    is_value: bool = False


class Counts(msgspec.Struct, frozen=True):
    """What `count_children` answers."""

    specs: int
    active: int
    supervisors: int
    workers: int


class ChildSpecView(msgspec.Struct, frozen=True):
    """What `get_childspec` answers."""

    id: str
    type: Kind
    restart: str
    shutdown: int | str
    significant: bool


class Statistics(msgspec.Struct, frozen=True):
    """What `sys:statistics` and `ssm stats` answer: counts since the worker's first start."""

    id: str
    steps: int
    starts: int
    crashes: int
    uptime_s: float
    queue: int


class SysEvent(msgspec.Struct, frozen=True):
    """What `trace`, `log` and installed functions see of a worker (OTP's system events).

    `kind` is `in` (an input arrived; `caller` says whether somebody waits), `out` (a reply left)
    or `noreply` (a callback ended without one; `value` is the new state).
    """

    kind: Literal["in", "out", "noreply"]
    value: Any
    caller: bool = False


class Status(msgspec.Struct, frozen=True):
    """What `sys:get_status` answers, after the worker's `format_status`.

    Of a `Statem` also its postponed events, oldest first, as (type, content), and its time-outs
    that run, as (timer, content). `record` is the last one by then; 0 where none are remembered.
    """

    id: str
    path: str
    status: Literal["running", "suspended"]
    parent: str | None
    state: Any
    log: tuple[SysEvent, ...] = ()
    postponed: tuple[tuple[Any, Any], ...] = ()
    timeouts: tuple[tuple[Any, Any], ...] = ()
    record: int = 0


class CrashReport(msgspec.Struct, frozen=True):
    """All there is to know of one crash, or other abnormal end: what SASL tells in four reports.

    `seq` is that of its `crashed` report, or of the report around an end without one. `stack`
    goes from the outermost frame of the user's code to where it raised, at most 50 frames.
    `input` and `state` (from before the input) are redacted and written by the worker's codec, at
    most 1,000 characters each; `events` are the last ones, at most 50, if the worker keeps a log.
    `decision` is what the supervisor made of it: `restart`, `delay`, `give_up`, `forget`,
    `auto_shut`, `terminate` if it was ending it anyway, or `pending` if it has not looked yet.
    `children` are those the decision touched; the budget is what was left after it. `record` as for
    `Report`.
    """

    seq: int
    at_s: float
    worker: str
    path: str
    supervisor: str
    reason: str
    error_type: str
    error_message: str
    stack: tuple[str, ...]
    input: str
    state: str
    events: tuple[str, ...]
    decision: str
    strategy: str
    children: tuple[str, ...]
    restarts: int | None
    intensity: int | None
    period: float | None
    budget_left: int | None
    record: int = 0


class Report(msgspec.Struct, frozen=True):
    """One thing that happened (`CONTRACT` section 4): `seq` has no gaps, `at_s` is UTC seconds.

    `detail` holds the further fields of the event, JSON-ready but for values of the user's own
    (`error` is `{"type", "message"}`). `record` is the record that it is about, or follows; 0 where
    nothing is remembered.
    """

    seq: int
    at_s: float
    event: str
    id: str
    path: str
    kind: Kind
    detail: dict[str, Any] = {}
    record: int = 0

"""Child specs and supervisor flags: frozen values with OTP's names, defaults and units.

`Worker(...)` and `Supervisor(...)` build them with the keys of a tree file; the fields of the
built specs carry their unit in their name. Source: OTP `supervisor:child_spec()`, `sup_flags()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, Literal

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.partition import pool_child
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.codec.port import Codec, CodecName


class Strategy(Enum):
    """What a supervisor restarts when one of its children ends."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    SIMPLE_ONE_FOR_ONE = "simple_one_for_one"


class Restart(Enum):
    """Which ends of a child are followed by a restart: all, the abnormal ones, none."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class AutoShutdown(Enum):
    """When the end of significant children ends the supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class Persist(Enum):
    """What of a worker's state outlives the process."""

    NONE = "none"
    SNAPSHOT = "snapshot"
    JOURNAL = "journal"


class OnCrash(Enum):
    """Which state a restarted worker begins with."""

    INIT = "init"
    SAVED = "saved"
    LAST_GOOD = "last_good"


class OnStorageError(Enum):
    """What a tree does that cannot write what must outlive it: end, or refuse durable inputs."""

    STOP = "stop"
    REFUSE = "refuse"


class OnReplayDifference(Enum):
    """What happens where stored inputs of a worker cannot be stepped again as they were."""

    DOWN = "down"
    STOP = "stop"


class OnUnrecoverable(Enum):
    """What a durable worker does that cannot go on with its state."""

    DOWN = "down"
    INIT = "init"


class Takeover(Enum):
    """When a remote subtree that cannot be reached is started elsewhere."""

    FENCE = "fence"
    LEASE = "lease"


class Orphan(Enum):
    """What a remote subtree does once its parent is gone."""

    KEEP = "keep"
    STOP = "stop"


Code = StateMachine | PureStatem | type[Callbacks]
StrategyName = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
RestartName = Literal["permanent", "transient", "temporary"]
AutoShutdownName = Literal["never", "any_significant", "all_significant"]
PersistName = Literal["none", "snapshot", "journal"]
OnCrashName = Literal["init", "saved", "last_good"]
Infinity = Literal["infinity"]
Never = Literal["never"]
ShutdownTime = int | Literal["brutal_kill", "infinity"]

DEFAULT_SHUTDOWN_MS = 5000
DEFAULT_REMOTE_SHUTDOWN_MS = 10_000
DEFAULT_STEP_TIMEOUT_MS = 1000
DEFAULT_INIT_TIMEOUT_MS = 5000
DEFAULT_INTENSITY = 1
DEFAULT_PERIOD_S = 5.0
DEFAULT_QUEUE = 128
DEFAULT_SNAPSHOT_EVERY = 1000
DEFAULT_KEEP_RECORDS = 100_000
DEFAULT_JOURNAL_MB = 1024
DEFAULT_QUARANTINE = 3
MAX_PARTITIONS = 1024
MAX_DEPTH = 100  # levels of supervisors; starting and stopping recurse once a level


class Backoff(msgspec.Struct, frozen=True):
    """A delay between restarts: `initial_ms * factor ** attempt`, at most `max_ms`, +- jitter."""

    initial_ms: float = 100.0
    factor: float = 2.0
    max_ms: float = 30_000.0
    jitter: float = 0.0


class WorkerOptions(msgspec.Struct, frozen=True, gc=False):
    """The settings of a worker beyond its name and its code; most workers share one value."""

    restart: Restart = Restart.PERMANENT
    shutdown_ms: ShutdownTime = DEFAULT_SHUTDOWN_MS
    significant: bool = False
    step_timeout_ms: float | Infinity = DEFAULT_STEP_TIMEOUT_MS
    init_timeout_ms: float | Infinity = DEFAULT_INIT_TIMEOUT_MS
    backoff: Backoff | None = None
    persist: Persist = Persist.NONE
    on_crash: OnCrash = OnCrash.INIT
    codec: Any = None
    label: str = ""
    save_inputs: int | None = None
    save_seconds: float | None = None
    quarantine: int | Never = DEFAULT_QUARANTINE
    on_unrecoverable: OnUnrecoverable = OnUnrecoverable.DOWN


DEFAULT_OPTIONS = WorkerOptions()
DEFAULTS = msgspec.structs.astuple(DEFAULT_OPTIONS)
NO_ARGS: Mapping[str, Any] = {}


class WorkerSpec(msgspec.Struct, frozen=True, gc=False):
    """A worker of a tree. `start` is a `StateMachine` or a class of callbacks.

    `own` names the arguments that a child of a pool has of its own, and not of its template.
    """

    id: str
    start: Any
    args: Mapping[str, Any] = NO_ARGS
    options: WorkerOptions = DEFAULT_OPTIONS
    own: tuple[str, ...] = ()

    @property
    def restart(self) -> Restart:
        """Which ends are followed by a restart."""
        return self.options.restart

    @property
    def significant(self) -> bool:
        """Whether its own end counts for the supervisor's auto_shutdown."""
        return self.options.significant

    @property
    def shutdown_ms(self) -> ShutdownTime:
        """How long `terminate` may take, in milliseconds."""
        return self.options.shutdown_ms

    @property
    def backoff(self) -> Backoff | None:
        """The delay between restarts."""
        return self.options.backoff


class SupervisorSpec(msgspec.Struct, frozen=True):
    """A supervisor of a tree with its flags, its children in start order, and its own child spec.

    For `simple_one_for_one`, `children` holds exactly the template. `init(name)` is asked at
    each start and may answer `Ignore()`. `queue`, and all that is about the journal
    (`snapshot_every` to `on_replay_difference`), counts for the root only. With `partitions`, the
    one child that is given becomes so many, `ID-1` and so on; `NAME:KEY` names the one of a key.
    """

    id: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    children: tuple[ChildSpec, ...] = ()
    intensity: int = DEFAULT_INTENSITY
    period_s: float = DEFAULT_PERIOD_S
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    max_children: int | None = None
    restart: Restart = Restart.PERMANENT
    shutdown_ms: ShutdownTime = "infinity"
    significant: bool = False
    backoff: Backoff | None = None
    queue: int = DEFAULT_QUEUE
    init: Callable[[str], object] | None = None
    snapshot_every: int = DEFAULT_SNAPSHOT_EVERY
    keep_records: int = DEFAULT_KEEP_RECORDS
    journal_mb: float = DEFAULT_JOURNAL_MB
    on_storage_error: OnStorageError = OnStorageError.STOP
    on_replay_difference: OnReplayDifference = OnReplayDifference.DOWN
    partitions: int | None = None

    def __post_init__(self) -> None:
        """Make the period a float, as it is written in every record; and the partitions."""
        if type(self.partitions) is int:
            children = parted(self.children, self.partitions)
            msgspec.structs.force_setattr(self, "children", children)
        if type(self.period_s) is int and 0 < self.period_s < 2**53:
            msgspec.structs.force_setattr(self, "period_s", float(self.period_s))


class RemoteSpec(msgspec.Struct, frozen=True):
    """A subtree on another computer: a child that a node of a cluster hosts.

    `tree` is found by that node: a tree file or `package.module:attribute`. `place` are the labels
    that the node must have; `node` stands for its name. `lease_s` None leaves it to the cluster.
    One of `shards` may be moved, so that each node has as many as the others.
    """

    id: str
    tree: str
    place: Mapping[str, str] = NO_ARGS
    lease_s: float | None = None
    takeover: Takeover = Takeover.FENCE
    orphan: Orphan = Orphan.KEEP
    restart: Restart = Restart.PERMANENT
    shutdown_ms: ShutdownTime = DEFAULT_REMOTE_SHUTDOWN_MS
    significant: bool = False
    backoff: Backoff | None = None
    shard: bool = False


ChildSpec = WorkerSpec | SupervisorSpec | RemoteSpec


def labelled(spec: ChildSpec, label: str, joint: str = "/") -> ChildSpec:
    """A spec with another id; the ids below it follow, behind the label and the joint."""
    if not isinstance(spec, SupervisorSpec):
        return msgspec.structs.replace(spec, id=label)
    children = spec.children
    below = tuple(labelled(child, f"{label}{joint}{child.id}", joint) for child in children)
    return msgspec.structs.replace(spec, id=label, children=below)


def parted(children: Any, count: int) -> Any:
    """Return so many of the one child that is given; others, and what is none, as they are."""
    one = children[0] if type(children) is tuple and len(children) == 1 else None
    if not isinstance(one, ChildSpec) or not 1 < count <= MAX_PARTITIONS:
        return children
    return tuple(labelled(one, f"{one.id}-{number}", "-") for number in range(1, count + 1))


def made_of(
    pool: SupervisorSpec, label: str, args: Mapping[str, Any], name: str | None = None
) -> ChildSpec:
    """Return the child of a pool: its template under a name, with arguments of its own over it.

    The name is `POOL:LABEL`, unless another is given.

    >>> made_of(Supervisor("carts", "simple_one_for_one", [Worker("t", None)]), "ann", {}).id
    'carts:ann'
    """
    child = labelled(pool.children[0], name or pool_child(pool.id, label))
    if args and isinstance(child, WorkerSpec):
        child = msgspec.structs.replace(child, args={**child.args, **args}, own=(*args,))
    return child


class Labelled(msgspec.Struct, frozen=True):
    """A child of a `simple_one_for_one` supervisor to be: its label, and arguments of its own."""

    label: str
    args: Mapping[str, Any]


def own_child(spec: ChildSpec | Labelled | str, args: Mapping[str, Any]) -> Labelled:
    """Return a label with arguments of its own; raises TypeError for what is no label."""
    if not isinstance(spec, str):
        raise TypeError("args go with the label of a pool's child; a child spec has its own")
    return Labelled(spec, args)


def Worker(  # noqa: D417, N802 - some keys are described together; it reads as a class
    id: str,  # noqa: A002 - OTP's key
    start: Code,
    *,
    args: Mapping[str, Any] | None = None,
    restart: Restart | RestartName = Restart.PERMANENT,
    shutdown: ShutdownTime = DEFAULT_SHUTDOWN_MS,
    significant: bool = False,
    step_timeout: float | Infinity = DEFAULT_STEP_TIMEOUT_MS,
    init_timeout: float | Infinity = DEFAULT_INIT_TIMEOUT_MS,
    backoff: Backoff | None = None,
    persist: Persist | PersistName = Persist.NONE,
    on_crash: OnCrash | OnCrashName = OnCrash.INIT,
    codec: Codec | CodecName | None = None,
    label: str = "",
    save_inputs: int | None = None,
    save_seconds: float | None = None,
    quarantine: int | Never = DEFAULT_QUARANTINE,
    on_unrecoverable: OnUnrecoverable | Literal["down", "init"] = OnUnrecoverable.DOWN,
) -> WorkerSpec:
    """A worker of a tree, with the keys and units of a tree file.

    Args:
        id, args: its name, unique in the tree, and what is handed to `init`.
        start: a `StateMachine`, a `PureStatem`, or a subclass of `GenServer`, `Statem`, `Event`.
        restart, persist, on_crash: words, or members of their enums.
        shutdown: milliseconds that `terminate` may take, `brutal_kill` or `infinity`.
        significant: its own end counts for the supervisor's auto_shutdown.
        step_timeout, init_timeout: milliseconds one step, and `init`, may take, or `infinity`.
        backoff: a delay between restarts; None restarts at once, as OTP does.
        codec: text, json, msgpack or an object; None takes the behaviour's own.
        save_inputs, save_seconds, quarantine, on_unrecoverable: of a durable one, as in the file.
    """
    given = (
        restart, shutdown, significant, step_timeout, init_timeout, backoff, persist, on_crash,
        codec, label, save_inputs, save_seconds, quarantine, on_unrecoverable,
    )  # fmt: skip
    same = shutdown is DEFAULT_SHUTDOWN_MS and significant is False and given == DEFAULTS
    options = DEFAULT_OPTIONS if same and quarantine is DEFAULT_QUARANTINE else options_of(given)
    return WorkerSpec(id, start, NO_ARGS if args is None else args, options)


def options_of(given: tuple[Any, ...]) -> WorkerOptions:
    """Return the options with these values, in the order of the fields; words become members."""
    restart, shutdown, significant, _, _, _, persist, on_crash, *_, quarantine, anew = given
    # 0 equals False, and 5000.0 5000, but they are not what a tree file would take for them
    exact = type(shutdown) is int and significant is False and type(quarantine) is int
    options = WorkerOptions(*given)
    options = msgspec.structs.replace(
        options,
        restart=member(Restart, restart),
        persist=member(Persist, persist),
        on_crash=member(OnCrash, on_crash),
        on_unrecoverable=member(OnUnrecoverable, anew),
    )
    return DEFAULT_OPTIONS if exact and options == DEFAULT_OPTIONS else options


def member(kind: type[Enum], word: object) -> Any:
    """Return the member of `kind` that a word stands for; any other value as it is.

    A spec is judged where it enters a node, with every complaint at once, and not as it is built.

    >>> member(Restart, "temporary"), member(Restart, "permanant")
    (<Restart.TEMPORARY: 'temporary'>, 'permanant')
    """
    return next((m for m in kind if m.value == word), word) if isinstance(word, str) else word


def Supervisor(  # noqa: D417, N802 - some keys are described together; it reads as a class
    id: str,  # noqa: A002 - OTP's key
    strategy: Strategy | StrategyName = Strategy.ONE_FOR_ONE,
    children: Sequence[ChildSpec] = (),
    *,
    intensity: int = DEFAULT_INTENSITY,
    period: float = DEFAULT_PERIOD_S,
    auto_shutdown: AutoShutdown | AutoShutdownName = AutoShutdown.NEVER,
    max_children: int | None = None,
    restart: Restart | RestartName = Restart.PERMANENT,
    shutdown: ShutdownTime = "infinity",
    significant: bool = False,
    backoff: Backoff | None = None,
    queue: int = DEFAULT_QUEUE,
    init: Callable[[str], object] | None = None,
    snapshot_every: int = DEFAULT_SNAPSHOT_EVERY,
    keep_records: int = DEFAULT_KEEP_RECORDS,
    journal_mb: float = DEFAULT_JOURNAL_MB,
    on_storage_error: OnStorageError | Literal["stop", "refuse"] = OnStorageError.STOP,
    on_replay_difference: OnReplayDifference | Literal["down", "stop"] = OnReplayDifference.DOWN,
    partitions: int | None = None,
) -> SupervisorSpec:
    """A supervisor of a tree, with the keys and units of a tree file.

    Args:
        id: its name, unique in the tree.
        strategy, children: what is restarted, and in which start order; of a pool, the template.
        intensity, period: more restarts within so many seconds, and it gives up.
        auto_shutdown: whether the end of significant children ends it.
        max_children: the bound of a `simple_one_for_one` supervisor; None is no bound.
        restart, shutdown, significant, backoff: as for a worker; shutdown waits by default.
        queue, init: how many inputs may wait, at the root; asked at each start: `init(name)`.
        snapshot_every, ..., partitions: as in a tree file.
    """
    return SupervisorSpec(
        id, member(Strategy, strategy), _listed(children), intensity, period,
        member(AutoShutdown, auto_shutdown), max_children, member(Restart, restart), shutdown,
        significant, backoff, queue, init, snapshot_every, keep_records, journal_mb,
        member(OnStorageError, on_storage_error), member(OnReplayDifference, on_replay_difference),
        partitions)  # fmt: skip


def _listed(children: Any) -> Any:
    """The children as a tuple; what has no order, or is no listing, as it is."""
    unordered = isinstance(children, str | bytes | Mapping | AbstractSet)
    return tuple(children) if isinstance(children, Iterable) and not unordered else children


def sharded(remote: RemoteSpec, shards: int) -> SupervisorSpec:
    """Return the pool of so many shards of a remote child: `NAME:KEY` is in the shard of the key.

    A node takes many of them with it when it ends, which is not the fault of each: so many restarts
    are allowed in a period as there are shards.
    """
    one = msgspec.structs.replace(remote, shard=True)
    return SupervisorSpec(
        remote.id,
        children=(one,),
        intensity=shards if type(shards) is int else 1,
        partitions=shards,
    )


def Remote(  # noqa: D417, N802 - some keys are described together; it reads as a class
    id: str,  # noqa: A002 - OTP's key
    tree: str,
    *,
    place: Mapping[str, str] | None = None,
    lease: float | None = None,
    takeover: Takeover | Literal["fence", "lease"] = Takeover.FENCE,
    orphan: Orphan | Literal["keep", "stop"] = Orphan.KEEP,
    restart: Restart | RestartName = Restart.PERMANENT,
    shutdown: ShutdownTime = DEFAULT_REMOTE_SHUTDOWN_MS,
    significant: bool = False,
    backoff: Backoff | None = None,
) -> RemoteSpec:
    """A subtree on another computer, with the keys and units of a tree file.

    Args:
        id: its name, unique in the tree; its workers are called as `id.worker`.
        tree: a tree file or `package.module:attribute`, as the node that hosts it finds it.
        place: labels that the node must have; `node` stands for its name.
        lease: seconds after which a silent owner has stopped; None: 2, or 10 on three servers.
        takeover: fence or lease; see `Takeover`.
        orphan: keep or stop, once its parent is gone.
        restart, shutdown, significant, backoff: as for a worker.
    """
    return RemoteSpec(
        id, tree, NO_ARGS if place is None else place, lease, member(Takeover, takeover),
        member(Orphan, orphan), member(Restart, restart), shutdown, significant, backoff,
    )  # fmt: skip


def walk(spec: ChildSpec, path: str = "") -> Iterator[tuple[str, ChildSpec]]:
    """Every node of a tree with its path, depth-first in start order; templates included.

    >>> [path for path, _ in walk(Supervisor("root", children=[Worker("kv1", None)]))]
    ['root', 'root/kv1']
    """
    here = f"{path}/{spec.id}" if path else spec.id
    yield here, spec
    if isinstance(spec, SupervisorSpec):
        for child in spec.children:
            yield from walk(child, here)

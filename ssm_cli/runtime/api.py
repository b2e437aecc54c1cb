"""`NodeApi`: what can be asked of a tree, whatever the distance.

The local `Node`, the HTTP client and the cluster client implement it; the prompt and the command
line know nothing else. Names may be ids or paths (`kv2`, `root/storage/kv2`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from ssm_cli.codec.port import Constructor
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    Counts,
    CrashReport,
    GroupInfo,
    Kind,
    MemberInfo,
    MemberValue,
    NodeView,
    ProcessRef,
    Published,
    Report,
    Statistics,
    Status,
)
from ssm_cli.spec.model import ChildSpec, Labelled
from ssm_cli.supervision.planning import Applied, TreePlan


class NodeApi(Protocol):
    """What can be asked of a tree. Times are seconds; each method raises `SsmError` classes only.

    `call` and its siblings raise `CallError`; the supervisor requests raise `SupervisorError`
    with OTP's term; an unknown name raises `NoProc`.
    """

    @property
    def name(self) -> str:
        """The name others find the tree by."""
        ...

    def answered(self) -> int:
        """The record of the call whose outcome was told last; 0 where nothing is remembered."""
        ...

    def perform(self, effect: str, *args: Any, **given: Any) -> Any:
        """Carry out an effect by its name: a method of this protocol, or a supervisor's request.

        So what has a row in the table of verbs needs no method here.
        """
        ...

    def call(self, worker: str, message: Any, timeout_s: float | None = 5.0) -> Any:
        """Step `worker` with `message` and return its output; bytes in, bytes out."""
        ...

    async def acall(self, worker: str, message: Any, timeout_s: float | None = 5.0) -> Any:
        """`call` for asyncio."""
        ...

    def cast(self, worker: str, message: Any) -> None:
        """Write `message` to the queue and go on."""
        ...

    def publish(self, group: str, message: Any) -> Published:
        """Cast `message` to each member of a group; how many there are."""
        ...

    def groups(self) -> Sequence[GroupInfo]:
        """The groups that have members."""
        ...

    def members(self, group: str) -> Sequence[MemberInfo]:
        """The members of a group, in the order of joining, and their values as text."""
        ...

    def member_values(self, group: str) -> Sequence[MemberValue]:
        """The members of a group, in the order of joining, and their values as data, redacted."""
        ...

    def lookup(self, group: str) -> Mapping[str, Any]:
        """The value that each member has joined with; as data, redacted, from far."""
        ...

    def get_members(self, group: str) -> list[str]:
        """The names of the members of a group, in the order of joining."""
        ...

    def joined(self, worker: str) -> list[str]:
        """The groups that a worker is in."""
        ...

    def encode(self, worker: str, value: Any) -> bytes:
        """A value of this worker (an output, a state) as its codec writes it."""
        ...

    def shown(self, worker: str, value: Any) -> str:
        """A state or an input of this worker as text, for people."""
        ...

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """The constructors of the worker's inputs, for completion and help."""
        ...

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """The names of all nodes in start order; `kind` is `worker`, `supervisor` or None."""
        ...

    def far(self, name: str) -> tuple[str, str] | None:
        """The remote child and its worker that a name stands for here, as `billing.invoice`."""
        ...

    def tree(self) -> NodeView:
        """The whole tree, as it stands."""
        ...

    def reports(self, after: int = 0, last: int | None = None) -> Sequence[Report]:
        """The kept reports with a `seq` greater than `after`, oldest first; at most `last`."""
        ...

    def which_children(self, supervisor: str) -> list[ChildInfo]:
        """The children, last started first, as OTP gives them."""
        ...

    def count_children(self, supervisor: str) -> Counts:
        """How many specs, active children, supervisors and workers."""
        ...

    def get_childspec(self, supervisor: str, child: str) -> ChildSpecView:
        """The child spec of `child`."""
        ...

    def start_child(
        self,
        supervisor: str,
        spec: ChildSpec | Labelled | str,
        args: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Start a child from a spec, or from a label under `simple_one_for_one`; its name.

        `args` go with a label: they are put over those of the template.

        None: its init answered ignore.
        """
        ...

    def whereis(self, name: str) -> ProcessRef | None:
        """The process that runs under a name, if one does."""
        ...

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        """Stop a child; its spec stays (but for temporary children).

        A child of a pool is named by its label, or by its process (`whereis`).
        """
        ...

    def restart_child(self, supervisor: str, child: str) -> str | None:
        """Start a child that was stopped; None: its init answered ignore."""
        ...

    def delete_child(self, supervisor: str, child: str) -> None:
        """Forget the spec of a child that is stopped."""
        ...

    def plan(self, tree: Any = None, *, specs_only: bool = False) -> TreePlan:
        """What `apply` would do: to make the tree of a file of the one that runs; None: its own."""
        ...

    def apply(
        self, tree: Any = None, *, plan: TreePlan | str = "", specs_only: bool = False
    ) -> Applied:
        """Make the tree that runs the one of a file, by the plan that was agreed to, or any."""
        ...

    def get_state(self, worker: str) -> Any:
        """The worker's state (`sys:get_state`)."""
        ...

    def replace_state(self, worker: str, state: Any) -> Any:
        """Put another state in its place (`sys:replace_state`)."""
        ...

    def suspend(self, name: str) -> None:
        """Hold a worker or a supervisor: its inputs queue up (`sys:suspend`)."""
        ...

    def resume(self, name: str) -> None:
        """Let it go on (`sys:resume`)."""
        ...

    def trace(self, worker: str, on: bool = True) -> None:
        """Report every input and output of the worker, or stop doing so (`sys:trace`)."""
        ...

    def statistics(self, worker: str) -> Statistics:
        """Counts of a worker (`sys:statistics`)."""
        ...

    def get_status(self, worker: str) -> Status:
        """What there is to know of a worker (`sys:get_status`)."""
        ...

    def keep(self, worker: str, events: int) -> None:
        """Keep the last `events` events of a worker (`sys:log`); 0 keeps none."""
        ...

    def change_code(self, worker: str, old_version: str, extra: object = None) -> None:
        """Have a suspended worker run its `code_change` (`sys:change_code`)."""
        ...

    def stop_process(
        self, name: str, reason: object = "normal", timeout_s: float | None = None
    ) -> None:
        """End one worker or supervisor in an orderly way (`gen_server:stop`)."""
        ...

    def crash_reports(
        self, worker: str | None = None, last: int | None = None
    ) -> Sequence[CrashReport]:
        """The last crashes (of one worker), oldest first."""
        ...

    def kill(self, name: str) -> None:
        """Kill a worker or a supervisor: no callback of its own runs."""
        ...

    def stop(self, reason: object = "shutdown", *, keep_remote: bool = False) -> None:
        """Stop the whole tree in order: children in reverse start order.

        With `keep_remote` remote children run on, for the next parent of the tree.
        """
        ...


class Opened(Protocol):
    """A node that other processes reach while an `async with` block runs; see `Node.open`.

    Attributes:
        node: the node.
        url: of HTTP on TCP, with the port that was bound; "" without.
        path: of the Unix socket; None without.
        renew: reads the TLS certificate again; None without one.
    """

    url: str
    path: Path | None
    renew: Callable[[], None] | None

    @property
    def node(self) -> NodeApi:
        """The node."""
        ...

    @property
    def said(self) -> list[str]:
        """What `ssm run` would have printed: where HTTP is served, which sockets were stale."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether clients are served."""
        ...

    async def until_down(self) -> None:
        """Wait until the tree is down: `ssm stop`, or its root has given up."""
        ...

    async def __aenter__(self) -> Self:
        """Open the listeners and start the tree."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the tree and close the listeners."""
        ...

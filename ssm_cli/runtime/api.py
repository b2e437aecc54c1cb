"""`NodeApi`: what can be asked of a tree, whatever the distance.

The local `Node`, the HTTP client and the cluster client implement it; the prompt and the command
line know nothing else. Names may be ids or paths (`kv2`, `root/storage/kv2`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ssm_cli.codec.port import Constructor
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    Counts,
    CrashReport,
    Kind,
    NodeView,
    ProcessRef,
    Report,
    Statistics,
    Status,
)
from ssm_cli.spec.model import ChildSpec


class NodeApi(Protocol):
    """What can be asked of a tree. Times are seconds; each method raises `SsmError` classes only.

    `call` and its siblings raise `CallError`; the supervisor requests raise `SupervisorError`
    with OTP's term; an unknown name raises `NoProc`.
    """

    @property
    def name(self) -> str:
        """The name others find the tree by."""
        ...

    def perform(self, effect: str, *args: Any) -> Any:
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

    def encode(self, worker: str, value: Any) -> bytes:
        """A value of this worker (an output, a state) as its codec writes it."""
        ...

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """The constructors of the worker's inputs, for completion and help."""
        ...

    def names(self, kind: Kind | None = None) -> Sequence[str]:
        """The names of all nodes in start order; `kind` is `worker`, `supervisor` or None."""
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

    def start_child(self, supervisor: str, spec: ChildSpec | str) -> str | None:
        """Start a child from a spec, or from a label under `simple_one_for_one`; its name.

        None: its init answered ignore.
        """
        ...

    def whereis(self, name: str) -> ProcessRef | None:
        """The process that runs under a name, if one does."""
        ...

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        """Stop a child; its spec stays (but for temporary children).

        A dynamic child is named by its process (`whereis`).
        """
        ...

    def restart_child(self, supervisor: str, child: str) -> str | None:
        """Start a child that was stopped; None: its init answered ignore."""
        ...

    def delete_child(self, supervisor: str, child: str) -> None:
        """Forget the spec of a child that is stopped."""
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

    def stop(self, reason: object = "shutdown") -> None:
        """Stop the whole tree in order: children in reverse start order."""
        ...

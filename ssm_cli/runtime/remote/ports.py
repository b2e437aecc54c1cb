"""The port to remote children: what a node asks of whatever starts, watches and calls them.

A node asks for the start of a child and goes on; what became of it is news, as all else, which the
node takes when it gets to it. Between its turns it waits for news with `wait`, or has an event loop
watch `fileno`. `stop` waits, for a bounded time.
`tests/remote/contract.py` is the suite that every implementation passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ssm_cli.runtime.views import Carried
from ssm_cli.spec.model import RemoteSpec

MAX_INPUT_BYTES = 12_000_000  # of one call or cast across the link; more is refused


class Launched(msgspec.Struct, frozen=True):
    """What became of a start: where the child runs, in which epoch; or why it does not."""

    child: str
    ok: bool
    reason: str = ""
    detail: str = ""
    node: str = ""
    epoch: int = 0


class Linked(msgspec.Struct, frozen=True):
    """How the link to a child stands: where it runs, and how old its last sign of life is.

    `why`: for people, why it does not run where that is known.
    """

    child: str
    epoch: int
    node: str
    reachable: bool
    age_s: float
    why: str = ""


class Ended(msgspec.Struct, frozen=True):
    """An epoch of a child has ended, for a reason."""

    child: str
    epoch: int
    reason: str


class Stopped(msgspec.Struct, frozen=True):
    """A child that was to stop has ended; not `ok` where it had to be killed, or was not asked."""

    child: str
    ok: bool


class NodeSeen(msgspec.Struct, frozen=True):
    """A node of the cluster has come, or gone; whether a child was there is not said by it."""

    node: str
    up: bool
    host: str = ""


class ParentWaits(msgspec.Struct, frozen=True):
    """Another process is the parent of the children: starts wait until it is not."""

    by: str


class Superseded(msgspec.Struct, frozen=True):
    """Another process has taken the children over: this tree ends, and leaves them alone."""

    by: str


class LinkSeen(msgspec.Struct, frozen=True):
    """What links the tree to its cluster has gone, with all that was under way; or is back."""

    up: bool
    detail: str = ""


class Heard(msgspec.Struct, frozen=True):
    """Another process of the tree has published something to a group."""

    group: str
    carried: Carried


class Unheard(msgspec.Struct, frozen=True):
    """A publish or a cast did not reach other processes, or nobody is a member anywhere."""

    to: str
    why: str
    how: str = "publish"


News = (
    Launched | Linked | Ended | Stopped | NodeSeen | LinkSeen | ParentWaits | Superseded | Heard
    | Unheard
)  # fmt: skip


ITSELF = ""
"""The worker of a call that asks the child itself: as another process asks a tree."""
WHERE = "?"
"""That of a call which asks which node would take a child: one `replied`, or the error says why.

Its input is JSON: the code as `spec`, the labels as `place`.
"""


class Call(msgspec.Struct, frozen=True):
    """A call of a worker of a child: its input as bytes, its time, an id for retries.

    The input is in the worker's codec, or as a value in JSON.
    """

    child: str
    worker: str
    data: bytes
    timeout_s: float
    request_id: str = ""
    is_value: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What a call came to, in the words of the contract; `crash` as in `failed_call`."""

    outcome: str
    output: bytes = b""
    error: str = ""
    reason: str = ""
    crash: tuple[str, str] = ("", "")


Answered = Callable[[Outcome], None]


class FarGroups(Protocol):
    """The members of groups that live in other processes of the tree."""

    def interest(self, group: str, *, wanted: bool) -> None:
        """Tell the others whether there are members here; told again, nothing happens."""
        ...

    def publish(self, group: str, carried: Carried, *, alone: bool) -> None:
        """Send a publish to all who have members; does not wait.

        With `alone` there are none here: where none are anywhere, that is told.
        """
        ...


class Links(FarGroups, Protocol):
    """The links of one tree to its remote children."""

    def start(self, spec: RemoteSpec, *, adopt: bool) -> None:
        """Ask for the start of a child; with `adopt` one that lives on will do. Does not wait.

        One `Launched` is news of it, unless the child is stopped before. Asked for again
        meanwhile, it is the same start.
        """
        ...

    def stop_soon(self, child: str, within_s: float) -> None:
        """Ask for the end of a child, in order; does not wait. One `Stopped` is news of it.

        Asked for again meanwhile, it is the same. A start of it that is under way ends, too.
        """
        ...

    def stop(self, child: str, within_s: float) -> bool:
        """The same, and wait: what `Stopped` would say is returned, and is no news."""
        ...

    def call(self, call: Call, answered: Answered) -> None:
        """Call a worker of a child; `answered` is called once, from `poll`."""
        ...

    def cast(self, child: str, worker: str, carried: Carried) -> None:
        """Send an input to a worker of a child; it may be lost."""
        ...

    def poll(self) -> Sequence[News]:
        """What has happened since the last time; does not wait."""
        ...

    def due_s(self) -> float:
        """Return when to `poll` at the latest, by the clock; infinity for never."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until there are news, for so long at most."""
        ...

    def fileno(self) -> int:
        """What an event loop can watch for news; -1 where there is nothing."""
        ...

    def close(self) -> None:
        """Let go of all children; they live on, or not, as their `orphan` says."""
        ...

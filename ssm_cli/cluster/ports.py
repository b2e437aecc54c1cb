"""The ports to a cluster: journal, cells, calls, time. NATS is behind them, or a simulation.

What can go wrong for everyone is a value, not an exception: `Conflict` says that another one was
there first, `Unknown` that nobody knows whether it was done. Whoever asks must deal with both.
`tests/cluster/contract.py` is the suite that every implementation passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol

import msgspec

from ssm_cli.errors import NoTree


class Conflict(msgspec.Struct, frozen=True):
    """It was refused: what was expected is not so. Nothing was changed by this request."""

    detail: str = ""


class Unknown(msgspec.Struct, frozen=True):
    """No answer came. It was done, it was not, or it will be.

    `denied`: the servers do not let this user do it; to try again gives the same.
    """

    detail: str = ""
    denied: bool = False


Lost = Literal["noproc", "busy", "timeout", "noconnection", "denied", "undecodable"]


class CallLost(msgspec.Struct, frozen=True):
    """A call without an answer: nobody serves it, its owner is full, time is over, we are cut off.

    `timeout` is the one of which nobody knows whether the input was stepped. `denied`: the servers
    do not let this user ask. `undecodable`: it is too large to be sent, and was not.
    """

    why: Lost
    detail: str = ""


class ClusterError(NoTree):
    """The cluster cannot be used: it is not there, too old, or not set up for us."""


class ClusterDenied(ClusterError):
    """The servers do not let this user do what is needed."""


def unclear(error: ClusterError) -> Unknown:
    """Return an error of the cluster as the value that stands for it."""
    return Unknown(str(error), denied=isinstance(error, ClusterDenied))


class Journal(Protocol):
    """The chain of records of one subtree."""

    async def append(self, data: bytes, expect: int) -> int | Conflict | Unknown:
        """Append behind the sequence `expect` (0: the chain is empty); the new sequence."""
        ...

    async def tail(self) -> tuple[int, bytes | None] | Unknown:
        """The last sequence and its bytes; (0, None) where there are none. It may be stale."""
        ...

    def read(self, after: int, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """The records with `after < sequence <= upto`, in order.

        It may end early: one server of several answers, and may lack the last ones. Only whoever
        knows that a record stands at `upto` can tell.

        Raises:
            StorageError: they cannot be read to the end.
        """
        ...

    async def trim(self, before: int) -> None:
        """Forget the records before that sequence, as far as possible; the last one stays."""
        ...


class Cells(Protocol):
    """Named values with revisions."""

    async def get(self, key: str) -> tuple[int, bytes | None] | Unknown:
        """Revision and value; (0, None) where there was none; no value where it was removed."""
        ...

    async def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict | Unknown:
        """Write a value, or remove it, if the revision is this one; the new revision."""
        ...

    async def entries(self, prefix: str = "") -> dict[str, bytes] | Unknown:
        """The cells whose keys begin so and hold a value, by key, sorted. It may be stale."""
        ...

    async def drop(self, key: str) -> None:
        """Forget a cell altogether, as far as possible; nothing depends on that."""
        ...


Answer = Callable[[bytes], None]
OnMessage = Callable[[str, bytes, Answer | None], None]
"""Called with the subject, the bytes, and where an answer goes; must not wait."""


class Handle(Protocol):
    """Something that is served."""

    async def close(self) -> None:
        """Serve it no more."""
        ...


class Calls(Protocol):
    """Requests by subject."""

    async def serve(self, subject: str, on_message: OnMessage) -> Handle:
        """Have `on_message` called for each message; `*` at the end stands for one word."""
        ...

    async def call(self, subject: str, body: bytes, timeout_s: float) -> bytes | CallLost:
        """Ask, and wait for the one answer."""
        ...

    async def send(self, subject: str, body: bytes) -> None:
        """Send, and go on; it may be lost."""
        ...


class Time(Protocol):
    """Time and chance of a process."""

    def now_s(self) -> float:
        """A monotonic clock."""
        ...

    async def sleep_s(self, seconds: float) -> None:
        """Wait."""
        ...


def replicas_of(cluster: Cluster) -> int:
    """How many servers keep what is kept: three where there are three, else one."""
    return 3 if cluster.size >= 3 else 1


class Cluster(Protocol):
    """A connection to a cluster, with what is kept there."""

    @property
    def calls(self) -> Calls:
        """Requests by subject."""
        ...

    @property
    def time(self) -> Time:
        """Time of this process."""
        ...

    @property
    def size(self) -> int:
        """How many servers there are, as far as is known."""
        ...

    @property
    def urls(self) -> str:
        """All servers that are known, as a URL for another process; by commas."""
        ...

    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        ...

    async def journal(self, tree: str, subtree: str, replicas: int) -> Journal:
        """The journal of a subtree; made at first use."""
        ...

    async def cells(self, bucket: str, replicas: int) -> Cells:
        """A set of cells; made at first use. With 0 replicas they are taken as they are."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...

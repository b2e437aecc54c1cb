"""Frames: the length-prefixed messages between a tree and its link process."""

from __future__ import annotations

from typing import Literal

import msgspec

from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.runtime.views import Carried

MAX_FRAME_BYTES = 16 * 1024 * 1024
Takeover = Literal["fence", "lease"]
Orphan = Literal["keep", "stop"]


class ChildJob(msgspec.Struct, frozen=True):
    """A remote child as the link needs to know it; 0 leaves lease and replicas to the cluster."""

    name: str
    spec: str
    place: dict[str, str] = {}
    ttl_s: float = 0.0
    takeover: Takeover = "fence"
    orphan: Orphan = "keep"
    replicas: int = 0
    shard: bool = False


class Claim(msgspec.Struct, frozen=True):
    """Who wants to be the parent of a tree's children; `takeover` does not wait for another one."""

    id: str
    host: str
    pid: int
    takeover: bool = False


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first frame: whose link this is; the nodes that have died, and how long ago."""

    tree: str
    access: Access
    claim: Claim
    died: dict[str, float] = {}


class StartChild(msgspec.Struct, frozen=True, tag=True):
    """Start a child, or take over one that runs, if `adopt` is set.

    With an epoch and a node it was watched there by an earlier link process.
    """

    n: int
    job: ChildJob
    adopt: bool = False
    epoch: int = 0
    node: str = ""


class StopChild(msgspec.Struct, frozen=True, tag=True):
    """Stop a child in order; at the latest after so long it is killed."""

    n: int
    child: str
    within_s: float


class CallChild(msgspec.Struct, frozen=True, tag=True):
    """Call a worker of a child, see `ports.Call`; `n` is 0 for a cast."""

    n: int
    child: str
    worker: str
    input: bytes
    timeout_s: float
    request_id: str = ""
    is_value: bool = False


class Done(msgspec.Struct, frozen=True, tag=True):
    """The answer to a start or a stop."""

    n: int
    ok: bool
    reason: str = ""
    detail: str = ""
    node: str = ""
    epoch: int = 0


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The outcome of a call."""

    n: int
    outcome: str
    output: bytes = b""
    error: str = ""
    reason: str = ""
    crash: tuple[str, str] = ("", "")


class Ended(msgspec.Struct, frozen=True, tag=True):
    """An epoch of a child has ended; with its node, where that has died."""

    child: str
    epoch: int
    reason: str
    node: str = ""


class Linked(msgspec.Struct, frozen=True, tag=True):
    """How the link to a child stands; said when it changes, and every second."""

    child: str
    epoch: int
    node: str
    reachable: bool
    age_s: float
    why: str = ""


class ServersSeen(msgspec.Struct, frozen=True, tag=True):
    """The servers take what we write again, or do not, and why; said when it changes."""

    up: bool
    why: str = ""


class ParentWaits(msgspec.Struct, frozen=True, tag=True):
    """Another process is the parent of the children; starts wait until it is not."""

    by: str


class Superseded(msgspec.Struct, frozen=True, tag=True):
    """Another process has taken over the children; nothing is asked of them any more."""

    by: str


class NodeSeen(msgspec.Struct, frozen=True, tag=True):
    """A node of the cluster has come, or gone."""

    node: str
    up: bool
    host: str = ""


class Interest(msgspec.Struct, frozen=True, tag=True):
    """A group has members in the tree's own process, or has none any more."""

    group: str
    wanted: bool


class PublishFar(msgspec.Struct, frozen=True, tag=True):
    """Publish something to the other processes; `alone`: the tree's own has no members."""

    group: str
    carried: Carried
    alone: bool


class HeardFar(msgspec.Struct, frozen=True, tag=True):
    """Another process has published something."""

    group: str
    carried: Carried


class LostFar(msgspec.Struct, frozen=True, tag=True):
    """A publish to a group is lost, or a group is not heard; why."""

    group: str
    why: str


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Said every second: the link process is there, and reads."""


Order = Open | StartChild | StopChild | CallChild | Interest | PublishFar
News = (
    Done
    | Answered
    | Ended
    | Linked
    | ServersSeen
    | NodeSeen
    | Alive
    | HeardFar
    | LostFar
    | ParentWaits
    | Superseded
)

_encoder = msgspec.msgpack.Encoder()


def framed(frame: Order | News) -> bytes:
    """Encode a frame."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(4, "big") + body


class FrameDecoder:
    """Decodes frames incrementally."""

    def __init__(self) -> None:
        self._decoder: msgspec.msgpack.Decoder[Order | News] = msgspec.msgpack.Decoder(Order | News)
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Order | News]:
        """Return the frames that `data` completes.

        Raises:
            ValueError: the other end does not speak this protocol.
        """
        self._data += data
        found: list[Order | News] = []
        while len(self._data) >= 4:
            size = int.from_bytes(self._data[:4], "big")
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {size} bytes; at most {MAX_FRAME_BYTES} are taken")
            if len(self._data) < 4 + size:
                break
            found.append(self._decoder.decode(bytes(self._data[4 : 4 + size])))
            del self._data[: 4 + size]
        return found

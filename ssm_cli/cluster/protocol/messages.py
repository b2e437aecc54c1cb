"""Messages between nodes, subtrees and parents: JSON, so that any tool can read them.

Control messages carry their epoch, and one for another epoch is refused: a client may send buffered
messages after it was cut off.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PROTOCOL = 1
FENCED = "fenced"  # the reason of a stop that makes room for the next epoch: no death
MOVED = "moved"  # why a subtree ended that is to go on at another node; `moved:NODE` says which
STOPPED = "stopped"  # why a subtree ended that was ordered to; another parent may want it still


class Revoked(msgspec.Struct, frozen=True):
    """An epoch of a subtree that was taken over from a node that did not answer."""

    tree: str
    subtree: str
    epoch: int


class Advert(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node as it presents itself; its pulse, too, on which the leases of its subtrees hang.

    Attributes:
        node: its name, unique in the cluster.
        labels: what `place` asks for.
        load: how many subtrees it hosts.
        python: its version of Python.
        version: its version of ssm.
        host: the computer, for people.
        pid: of the agent.
        boot: unique for each start of the agent.
        beat: counts up while it lives.
        draining: it takes no more.
        revoked: what was taken over from it; written by parents, and taken out by the agent once
            it has given that up.
    """

    node: str
    labels: dict[str, str] = {}
    load: int = 0
    python: str = ""
    version: str = ""
    host: str = ""
    pid: int = 0
    boot: str = ""
    beat: int = 0
    draining: bool = False
    protocol: int = PROTOCOL
    revoked: tuple[Revoked, ...] = ()


class Lease(msgspec.Struct, frozen=True):
    """Who owns a subtree. How long it is good hangs on the pulse of the node (`protocol/pulse.py`).

    `spec` is the code that its parent wants run. An agent loads nothing that no lease names.
    One that is `released` says why its owner has ended: a message about that can be lost.
    `journal` and `saved` are the witness: what the owner knew at the last renewal to be the last
    sequence of its journal, and the revision of the head of its saved states. What ends before
    that has lost something. It is written when it changes; `beat` makes each write another.
    `boot` is the start of the agent that has taken the lease; "" before one has, and where the
    agent is of an older ssm, which renews each lease by itself: such a life is not adopted.
    """

    node: str
    epoch: int
    ttl_s: float
    beat: int = 0
    released: bool = False
    reason: str = ""
    spec: str = ""
    journal: int = 0
    saved: int = 0
    boot: str = ""


class Start(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="op", tag="host"):
    """To an agent: host this subtree, its lease hanging on the node's pulse.

    The order of older ones was `start`; neither takes the other's for its own.

    Attributes:
        tree: the name of the parent's tree.
        subtree: the name of the child.
        spec: a tree file or `module:attribute`, as the node finds it.
        epoch: of this life; the lease has been written with it.
        revision: that of the lease.
        ttl_s: how long the lease is good for.
        orphan: what it does once its parent is gone: keep or stop.
        replicas: of the journal.
        journal, saved: the witness of the lease, see there.
    """

    tree: str
    subtree: str
    spec: str
    epoch: int
    revision: int
    ttl_s: float
    orphan: Literal["keep", "stop"] = "keep"
    replicas: int = 1
    journal: int = 0
    saved: int = 0


class Stop(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="op", tag="stop"):
    """To an agent or a subtree: end it in order."""

    tree: str
    subtree: str
    epoch: int
    reason: str = "shutdown"
    within_s: float = 10.0


class Ping(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="op", tag="ping"):
    """To an agent or a subtree: are you there?"""


class Move(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="op", tag="move"):
    """To the parent: have a subtree go on at another node; at any that takes it, without a name.

    Who is asked has the labels that it wants, and starts it there; so it ends only if it will.
    """

    tree: str
    subtree: str
    node: str = ""


class Fits(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="op", tag="fits"):
    """To an agent: would you host this code? None of it is run for the answer."""

    spec: str


class Retell(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="op", tag="retell"):
    """To the agent of that boot: publish again how an epoch has ended, if it has.

    The message about it may be lost, and so may the lease that says the same.
    """

    tree: str
    subtree: str
    epoch: int
    boot: str


class Hosted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subtree on a node; `silent` where its process stands still, or is cut off.

    One that is `starting` does not serve yet. An order for the same epoch says how that goes.
    """

    tree: str
    subtree: str
    epoch: int
    pid: int
    silent: bool = False
    starting: bool = False


class Exited(msgspec.Struct, frozen=True, omit_defaults=True):
    """Published when an epoch of a subtree has ended; `journal` and `saved` as in its lease."""

    tree: str
    subtree: str
    epoch: int
    reason: str
    detail: str = ""
    node: str = ""
    journal: int = 0
    saved: int = 0


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a control message.

    Attributes:
        ok: it was done.
        reason: why not, in a word of the exit reasons.
        detail: the same for people.
        epoch: that of the subtree that answers.
        hosted: the subtrees of a node.
        boot: of the agent that has started it.
        absent: the code is not on the node, so nothing of it was run.
    """

    ok: bool
    reason: str = ""
    detail: str = ""
    epoch: int = 0
    hosted: list[Hosted] = []
    boot: str = ""
    absent: bool = False


class CallRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call of a worker: its input, and an id that makes a retry safe.

    The input is in the worker's codec, or as a value in JSON.
    """

    input: bytes
    id: str = ""
    timeout_s: float = 5.0
    is_value: bool = False


class Publication(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process of a tree publishes to a group, to the others; see `Carried`."""

    by: str
    data: bytes
    is_value: bool = False


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of a call, as in reply records; `crash` as in `failed_call`."""

    outcome: str
    output: bytes = b""
    error: str = ""
    reason: str = ""
    crash: tuple[str, str] = ("", "")


_lease_decoder: msgspec.json.Decoder[Lease] = msgspec.json.Decoder(Lease)


def leased(data: bytes) -> Lease | None:
    """Decode a lease; None if the bytes are none.

    >>> leased(b"{}") is None
    True
    """
    try:
        return _lease_decoder.decode(data)
    except msgspec.MsgspecError:
        return None


class Parent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is the parent of a tree's children: the lease on the tree's name.

    Attributes:
        id: of one run of a tree, whichever process speaks for it.
        host, pid: of the tree's own process, for people.
        ttl_s: how long the lease is good after a change.
        beat: counts up.
        released: nobody is the parent any more.
    """

    id: str
    host: str = ""
    pid: int = 0
    ttl_s: float = 2.0
    beat: int = 0
    released: bool = False


def parent_in(data: bytes) -> Parent | None:
    """Decode the lease of a parent; None if the bytes are none.

    >>> parent_in(b"{}") is None
    True
    """
    try:
        return msgspec.json.decode(data, type=Parent)
    except msgspec.MsgspecError:
        return None


_advert_decoder: msgspec.json.Decoder[Advert] = msgspec.json.Decoder(Advert)


def advertised(data: bytes) -> Advert | None:
    """Decode an advert; None if the bytes are none.

    >>> advertised(b"{}") is None
    True
    """
    try:
        return _advert_decoder.decode(data)
    except msgspec.MsgspecError:
        return None


Control = Start | Stop | Ping | Move | Fits | Retell
_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


def control(data: bytes) -> Control | None:
    """Decode a control message; None if the bytes are none.

    >>> control(msgspec.json.encode(Ping()))
    Ping()
    """
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None

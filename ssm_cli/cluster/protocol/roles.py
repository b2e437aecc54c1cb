"""Roles of those who use a cluster's servers: which subjects each may write to, and listen to.

The embedded server enforces them; for a server of your own, `docs/how-to/secure-a-cluster.md` has
the same as a configuration.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ssm_cli.cluster.protocol.names import ADVERTS

INBOX = "_INBOX"
NOBODY = "ssm.nobody"  # asked to learn that all before it has arrived


class ClusterRole(StrEnum):
    """Who somebody is to the servers.

    Attributes:
        NODE: an agent: takes orders, presents itself, tells of ends.
        SUBTREE: the process of a subtree: its journal, its states, its lease; answers calls.
        TREE: a tree with remote children: leases, orders to nodes and subtrees, calls.
        CALL: calls and casts workers, and looks.
        LOOK: sees which nodes there are and what they host, and what is in the subtrees.
    """

    NODE = "node"
    SUBTREE = "subtree"
    TREE = "tree"
    CALL = "call"
    LOOK = "look"


class Permissions(NamedTuple):
    """The subjects that a role may write to, and those that it may listen to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox(role: ClusterRole) -> str:
    """Return the subject below which a role gets its answers; no other role may listen there.

    >>> inbox(ClusterRole.CALL)
    '_INBOX.call'
    """
    return f"{INBOX}.{role}"


def _api(*requests: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.{request}" for request in requests)


_STREAMS = _api(
    "STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.UPDATE.*", "STREAM.MSG.GET.*", "DIRECT.GET.>"
)
_LOOKED = ("STREAM.INFO", "STREAM.CREATE", "STREAM.MSG.GET", "DIRECT.GET")
_ADVERTS = _api(*(f"{request}.KV_{ADVERTS}" for request in _LOOKED))
_LOOK = (NOBODY, "ssm.node.*.look", "ssm.*.see.*", *_ADVERTS)
_CALL = (*_LOOK, "ssm.*.call.>", "ssm.*.cast.>")
_WRITES = {
    ClusterRole.NODE: (
        *_LOOK, *_STREAMS, f"$KV.{ADVERTS}.>", "ssm.*.exit.*", "ssm.*.parent", f"{INBOX}.>",
    ),
    ClusterRole.SUBTREE: (
        NOBODY, *_STREAMS, *_api("STREAM.PURGE.*"), "$KV.>", "ssm.*.j.*", "ssm.*.exit.*",
        "ssm.*.pub.*",
        f"{INBOX}.>",
    ),
    ClusterRole.TREE: (
        *_CALL, *_STREAMS, "$KV.>", "ssm.node.*.ctl", "ssm.*.ctl.*", "ssm.*.ask.*",
        "ssm.*.pub.*", "ssm.*.parent", f"{inbox(ClusterRole.TREE)}.>",
        f"{inbox(ClusterRole.NODE)}.>",  # whose agents ask a parent where subtrees can go on
    ),
    ClusterRole.CALL: _CALL,
    ClusterRole.LOOK: _LOOK,
}  # fmt: skip
_HEARS = {
    ClusterRole.NODE: ("ssm.node.*.ctl", "ssm.node.*.look"),
    ClusterRole.SUBTREE: (
        "ssm.*.ctl.*",
        "ssm.*.ask.*",
        "ssm.*.see.*",
        "ssm.*.call.>",
        "ssm.*.cast.>",
        "ssm.*.pub.*",
    ),
    ClusterRole.TREE: ("ssm.*.exit.*", "ssm.*.pub.*", "ssm.*.parent"),
}


def permissions(role: ClusterRole) -> Permissions:
    """Return what a role may do.

    >>> permissions(ClusterRole.LOOK).subscribe
    ('_INBOX.look.>',)
    """
    return Permissions(_WRITES[role], (f"{inbox(role)}.>", *_HEARS.get(role, ())))

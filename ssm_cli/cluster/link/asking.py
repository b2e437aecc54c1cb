"""Asking agents and subtrees, and reading what they answer."""

from __future__ import annotations

import msgspec

from ssm_cli.cluster.ports import CallLost, Cluster
from ssm_cli.cluster.protocol.messages import Hosted, Move, Ping, Said, Start, Stop
from ssm_cli.cluster.protocol.monitor import Seen


async def ask(
    cluster: Cluster, subject: str, message: Start | Stop | Ping | Move, timeout_s: float
) -> Said | CallLost:
    """Send a control message; return the answer."""
    reply = await cluster.calls.call(subject, msgspec.json.encode(message), timeout_s)
    if isinstance(reply, CallLost):
        return reply
    try:
        return msgspec.json.decode(reply, type=Said)
    except msgspec.MsgspecError as error:
        return CallLost("noconnection", f"an answer that is none: {error}")


def hosted_by(said: Said | CallLost, tree: str, subtree: str, epoch: int) -> Hosted | None:
    """Return what an agent has said of an epoch of a subtree, if it hosts that."""
    for one in () if isinstance(said, CallLost) else said.hosted:
        if (one.tree, one.subtree, one.epoch) == (tree, subtree, epoch):
            return one
    return None


def seen_of(said: Said | CallLost) -> Seen:
    """Return what the answer of an agent says of a subtree that it does not name."""
    if isinstance(said, CallLost):
        return "absent" if said.why == "noproc" else "silent"
    return "unknown"

"""Asking agents and subtrees, and reading what they answer."""

from __future__ import annotations

import asyncio

import msgspec

from ssm_cli.cluster.ports import CallLost, Cluster
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Control, Fits, Hosted, Ping, Retell, Said
from ssm_cli.cluster.protocol.monitor import Seen

ASK_S = 1.0
ANSWER_S = 0.5  # a node that says nothing for so long is left out
PAUSE_S = 0.1
ABSENT_LOOKS = 3  # that must find nobody before a node counts as gone


async def ask(
    cluster: Cluster, subject: str, message: Control, timeout_s: float
) -> Said | CallLost:
    """Send a control message; return the answer."""
    reply = await cluster.calls.call(subject, msgspec.json.encode(message), timeout_s)
    if isinstance(reply, CallLost):
        return reply
    try:
        return msgspec.json.decode(reply, type=Said)
    except msgspec.MsgspecError as error:
        return CallLost("noconnection", f"an answer that is none: {error}")


async def ask_again(cluster: Cluster, node: str, asked: Retell) -> None:
    """Have an agent publish again how a life has ended that it does not host any more."""
    await cluster.calls.send(names.agent(node), msgspec.json.encode(asked))


async def answering(cluster: Cluster, nodes: list[str]) -> list[str]:
    """Return the nodes that answer: a lease is over long before the servers miss a node."""
    said = await asked_all(cluster, nodes)
    return [node for node, s in said.items() if not isinstance(s, CallLost)]


async def asked_all(cluster: Cluster, nodes: list[str]) -> dict[str, Said | CallLost]:
    """Return what each node says, asked side by side and not waited for long."""
    said = await asyncio.gather(
        *(ask(cluster, names.looks(node), Ping(), ANSWER_S) for node in nodes)
    )
    return dict(zip(nodes, said, strict=True))


async def first_taking(cluster: Cluster, nodes: list[str], spec: str) -> Said | None:
    """Return, as `ok`, the first node that answers and would host some code; else why none would.

    The node stands in `detail`; an older one cannot say, and counts. None if no node answers.
    """
    refused = None
    for node in await answering(cluster, nodes):
        said = await ask(cluster, names.agent(node), Fits(spec), ASK_S)
        if isinstance(said, Said) and (said.ok or said.reason == "undecodable"):
            return Said(ok=True, detail=node)
        refused = Said(ok=False, reason="no_node", detail=f"{node}: {said.detail}")
    return refused


async def is_nobody_there(cluster: Cluster, *subjects: str) -> bool:
    """Return whether nobody listens where a life would, as often as one looks."""
    for _ in range(ABSENT_LOOKS):
        asked = [ask(cluster, subject, Ping(), ASK_S) for subject in subjects]
        for said in await asyncio.gather(*asked):
            if not isinstance(said, CallLost) or said.why != "noproc":
                return False
        await cluster.time.sleep_s(PAUSE_S)
    return True


def hosted_by(said: Said | CallLost, tree: str, subtree: str, epoch: int) -> Hosted | None:
    """Return what an agent has said of an epoch of a subtree, if it hosts that."""
    for one in () if isinstance(said, CallLost) else said.hosted:
        if (one.tree, one.subtree, one.epoch) == (tree, subtree, epoch):
            return one
    return None


async def find_life(
    cluster: Cluster, node: str, tree: str, subtree: str, epoch: int
) -> Hosted | None:
    """Return a life of a subtree, if the agent of its node says that it is there, or it does."""
    said = await ask(cluster, names.looks(node), Ping(), ASK_S)
    hosted = hosted_by(said, tree, subtree, epoch)
    if hosted is not None:
        return hosted
    said = await ask(cluster, names.controls(tree, subtree), Ping(), ASK_S)
    answers = not isinstance(said, CallLost) and said.epoch == epoch
    return Hosted(tree, subtree, epoch, 0) if answers else None


def seen_of(said: Said | CallLost, *, is_its: bool = False) -> Seen:
    """Return what the answer of an agent says of a subtree that it does not name.

    With `is_its` it is the very agent that has hosted it, and says nothing by that.
    """
    if isinstance(said, CallLost):
        return "absent" if said.why == "noproc" else "silent"
    return "silent" if is_its else "unknown"

"""The directory: who is in the cluster, what runs where, and calls by name from anywhere."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import msgspec

from ssm_cli.cluster.link.asking import ask, hosted_by
from ssm_cli.cluster.link.placing import adverts
from ssm_cli.cluster.ports import (
    CallLost,
    Cluster,
    ClusterDenied,
    ClusterError,
    Unknown,
    replicas_of,
)
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import (
    Advert,
    CallRequest,
    Hosted,
    Lease,
    Move,
    Ping,
    Reply,
    leased,
)
from ssm_cli.errors import CallError, CallTimeout, NoProc, failed_call

ASK_S = 1.0
FIND_S = 5.0  # how long a node that does not answer is asked for a subtree again
MOVE_S = 30.0  # how long a move is waited for
AGAIN_S = 0.1  # between two tries of a call that nobody takes at the moment
TRIES = 5  # of taking out a cell that others write, too


class Member(msgspec.Struct, frozen=True):
    """A node of the cluster: its advert, what it hosts, and whether it answers."""

    advert: Advert
    hosted: tuple[Hosted, ...]
    answers: bool


async def look(cluster: Cluster) -> list[Member]:
    """Return all nodes, by name; one that does not answer is dead or unreachable.

    Raises:
        ClusterError: the cluster does not answer.
    """
    found = await adverts(cluster)
    if isinstance(found, Unknown):
        raise ClusterError(f"the cluster does not answer: {found.detail}")
    subjects = [names.looks(advert.node) for advert in found]
    said = await asyncio.gather(*(ask(cluster, subject, Ping(), ASK_S) for subject in subjects))
    return [
        Member(
            advert, () if isinstance(s, CallLost) else tuple(s.hosted), not isinstance(s, CallLost)
        )
        for advert, s in zip(found, said, strict=True)
    ]


async def find_subtree(
    cluster: Cluster, subtree: str, tree: str = "", within_s: float = FIND_S
) -> tuple[str, Hosted]:
    """Return the node that hosts a subtree, and the hosted epoch.

    A node that does not answer may host it: it is asked again for `within_s` seconds.

    Raises:
        NoProc: no node that answers does, or subtrees of several trees have the name.
    """
    end_s = cluster.time.now_s() + within_s
    while True:
        seen = await look(cluster)
        found = [
            (one.advert.node, hosted)
            for one in seen
            for hosted in one.hosted
            if hosted.subtree == subtree and tree in ("", hosted.tree)
        ]
        trees = sorted({hosted.tree for _, hosted in found})
        if len(trees) > 1:
            which = ", ".join(trees)
            raise NoProc(f"several trees have a subtree {subtree}: {which}; say which by --name")
        if found:
            return max(found, key=lambda one: one[1].epoch)
        silent = ", ".join(one.advert.node for one in seen if not one.answers)
        if not silent or cluster.time.now_s() >= end_s:
            why = f"no node hosts a subtree {subtree}; `ssm nodes` shows them"
            but = f", and {silent} did not answer" if silent else ""
            raise NoProc(why + but, reason="noproc")
        await cluster.time.sleep_s(AGAIN_S)


async def call(
    cluster: Cluster, name: str, data: bytes, timeout_s: float, *, tree: str = "", id_: str = ""
) -> bytes:
    """Call `subtree.worker` by name; retry while no owner answers, until the time is over.

    Raises:
        CallError: any outcome but `replied`.
        NoProc: the name is none of a worker.
    """
    end_s = cluster.time.now_s() + timeout_s
    subtree, _, worker = name.partition(".")
    if not (subtree and worker):
        raise NoProc(f"{name} names no worker; one is SUBTREE.WORKER", worker=name, reason="noproc")
    try:
        tree = tree or (await find_subtree(cluster, subtree, within_s=timeout_s))[1].tree
    except ClusterDenied as denied:
        raise ClusterDenied(f"{denied}; with --name TREE nothing has to be looked up") from denied
    request = CallRequest(data, id_ or uuid4().hex, timeout_s)
    while True:
        left_s = end_s - cluster.time.now_s()
        body = msgspec.json.encode(msgspec.structs.replace(request, timeout_s=left_s))
        subject = names.calls(tree, subtree, worker)
        reply = await cluster.calls.call(subject, body, max(0.01, left_s))
        if isinstance(reply, bytes):
            said = msgspec.json.decode(reply, type=Reply)
            if said.outcome == "replied":
                return said.output
        error = _error(name, reply)
        lost = isinstance(reply, CallLost) and reply.why == "noproc"
        if not lost or end_s - cluster.time.now_s() <= AGAIN_S:
            raise error
        await cluster.time.sleep_s(AGAIN_S)


def _error(name: str, reply: bytes | CallLost) -> CallError:
    if isinstance(reply, CallLost):
        return failed_call(reply.why, f"{name}: {reply.detail}", name, reply.why)
    said = msgspec.json.decode(reply, type=Reply)
    return failed_call(said.outcome, said.error, name, said.reason, said.crash)


async def forget(cluster: Cluster, node: str) -> None:
    """Take a node that does not answer out of the directory.

    Raises:
        ClusterError: the cluster does not answer, or the node does.
        NoProc: there is no such node.
    """
    cells = await cluster.cells(names.ADVERTS, replicas_of(cluster))
    for _ in range(TRIES):  # a parent may write a revocation into the cell meanwhile
        found = await cells.get(node)
        if isinstance(found, Unknown):
            raise ClusterError(f"the cluster does not answer: {found.detail}")
        revision, data = found
        if data is None:
            why = f"no node {node} is in the cluster; `ssm nodes` shows them"
            raise NoProc(why, reason="noproc")
        if not isinstance(await ask(cluster, names.looks(node), Ping(), ASK_S), CallLost):
            raise ClusterError(f"node {node} answers; stop it first, and it leaves by itself")
        done = await cells.cas(node, None, revision)
        if isinstance(done, int):
            return
        if isinstance(done, Unknown):
            raise ClusterError(f"the cluster does not answer: {done.detail}")
    raise ClusterError(f"the cell of node {node} is written again and again; it is coming back")


async def accept_loss(cluster: Cluster, tree: str, subtree: str) -> None:
    """Let a subtree go on from what is left of its journal and saved states.

    Its lease bears witness of how far they had reached; that is forgotten.

    Raises:
        ClusterError: the cluster does not answer, or the lease is written meanwhile.
        NoProc: there is no such subtree, or it runs.
    """
    cells = await cluster.cells(names.leases(tree), replicas_of(cluster))
    found = await cells.get(subtree)
    if isinstance(found, Unknown):
        raise ClusterError(f"the cluster does not answer: {found.detail}")
    revision, data = found
    lease = None if data is None else leased(data)
    if lease is None:
        raise NoProc(f"nothing is known of a subtree {tree}/{subtree}", reason="noproc")
    said = await ask(cluster, names.looks(lease.node), Ping(), ASK_S)
    if not lease.released and hosted_by(said, tree, subtree, lease.epoch) is not None:
        raise NoProc(f"{tree}/{subtree} runs on {lease.node}: nothing is lost", reason="noproc")
    given = Lease(lease.node, lease.epoch + 1, lease.ttl_s, released=True, spec=lease.spec)
    if not isinstance(await cells.cas(subtree, msgspec.json.encode(given), revision), int):
        raise ClusterError(f"{tree}/{subtree} is being started meanwhile; try again")


async def move(cluster: Cluster, subtree: str, node: str, tree: str = "") -> str:
    """Have a parent move a subtree to another node; return the node it was on.

    It is ended only if its parent says that the node takes it. Returns once it serves there, or
    raises after `MOVE_S`.

    Raises:
        NoProc: nobody hosts it, it has no parent, or the node does not take it, or cannot start it.
        CallTimeout: the order was taken, and it does not serve there yet.
    """
    here, hosted = await find_subtree(cluster, subtree, tree)
    known = [seen.advert.node for seen in await look(cluster) if seen.answers]
    if node not in known:
        raise NoProc(f"no node {node} answers; there are: {', '.join(known)}", reason="noproc")
    if node == here:
        return here
    asked = Move(hosted.tree, subtree, node)
    said = await ask(cluster, names.parent(hosted.tree), asked, 2 * ASK_S)
    if isinstance(said, CallLost):
        none = f"no parent of {hosted.tree} is in the cluster, and nobody would start it: run it"
        why = none if said.why == "noproc" else said.detail
        raise NoProc(f"{subtree} stays at {here}: {why}", reason="noproc")
    if not said.ok:
        raise NoProc(f"{subtree} stays at {here}: {said.detail}", reason=said.reason)
    end_s = cluster.time.now_s() + MOVE_S
    while cluster.time.now_s() < end_s:
        await cluster.time.sleep_s(AGAIN_S)
        there = await _serving(cluster, subtree, hosted)
        if there == node:
            return here
        if there:
            why = f"{subtree} did not start at {node}, and is at {there}"
            raise NoProc(f"{why}; `ssm tree` and `ssm log` say more", reason="noproc")
    why = f"{subtree} was told to go to {node}, and does not serve there after {MOVE_S:g} s"
    raise CallTimeout(f"{why}; `ssm tree` and `ssm log` say what its parent does", worker=subtree)


async def _serving(cluster: Cluster, subtree: str, before: Hosted) -> str:
    """Return the node at which a later epoch of a subtree runs and answers; "" for none."""
    for seen in await look(cluster):
        for hosted in seen.hosted:
            later = hosted.subtree == subtree and hosted.epoch > before.epoch
            if later and hosted.tree == before.tree:
                said = await ask(cluster, names.controls(hosted.tree, subtree), Ping(), ASK_S)
                if not isinstance(said, CallLost) and said.epoch == hosted.epoch:
                    return seen.advert.node
    return ""

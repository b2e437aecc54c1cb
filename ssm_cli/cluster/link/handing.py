"""Handing on: a subtree that runs is ended, to run elsewhere, once a node is found that takes it.

One rule for whatever has a subtree leave its node: `ssm move`, a node that is drained, shards that
are spread, a plan that makes another child of it. Its parent looks, as it knows the labels, and
starts it there; without a parent, or without a node, it runs on where it is.
"""

from __future__ import annotations

from collections.abc import Callable

from ssm_cli.cluster.link.asking import ASK_S, PAUSE_S, ask, first_taking
from ssm_cli.cluster.link.frames import ChildJob
from ssm_cli.cluster.link.placing import Loads, adverts
from ssm_cli.cluster.link.watching import Watching
from ssm_cli.cluster.ports import CallLost, Cluster, ClusterError, Unknown, unclear
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import MOVED, Said, Stop
from ssm_cli.cluster.protocol.placement import fitting, misfit

MOVE_S = 30.0  # how long a move is waited for


async def taker(
    cluster: Cluster, job: ChildJob, loads: Loads, *, wanted: str = "", here: str = ""
) -> Said:
    """Say which node but `here` takes a subtree: the wanted one, or the best; or why none does.

    The node stands in `detail`. Where one is left, others that look meanwhile count it there.
    """
    try:
        found = await adverts(cluster)
    except ClusterError as error:
        found = unclear(error)
    if isinstance(found, Unknown):
        return Said(ok=False, reason="noconnection", detail=found.detail)
    fit = [node for node in fitting(found, job.place, placed=loads.more(found)) if node != here]
    some = fit if not wanted else [node for node in fit if node == wanted]
    said = await first_taking(cluster, some, job.spec)
    if said is not None:
        if said.ok and here:
            loads.note(said.detail, found)
        return said
    others = [a for a in found if a.node != here and wanted in ("", a.node)]
    why = [f"{a.node} {misfit(a, job.place) or 'does not answer'}" for a in others]
    detail = "; ".join(why) or f"no {wanted or 'other node' if here else 'node'} is in the cluster"
    return Said(ok=False, reason="no_node", detail=detail)


async def hand_on(
    cluster: Cluster,
    child: Watching,
    loads: Loads,
    node: str = "",
    told: Callable[[Said], None] = lambda _: None,
) -> bool:
    """Have a child go on at a node, or at any that takes it; return whether it does.

    `told` is called before anything ends, with where it goes, or why it stays.
    """
    said = await taker(cluster, child.job, loads, wanted=node, here=child.node)
    told(said)
    return said.ok and await move_child(cluster, child, said.detail)


async def move_child(cluster: Cluster, child: Watching, node: str) -> bool:
    """End a child, to go on at a node that takes it; return whether it does within `MOVE_S`."""
    epoch, time, tree = child.epoch, cluster.time, child.tree
    if not epoch:
        return False
    stop = Stop(tree, child.job.name, epoch, reason=f"{MOVED}:{node}")
    said = await ask(cluster, names.controls(tree, child.job.name), stop, ASK_S)
    end_s = time.now_s() + MOVE_S
    while not isinstance(said, CallLost) and time.now_s() < end_s:
        if child.node == node:
            return True
        await time.sleep_s(PAUSE_S)
    return False

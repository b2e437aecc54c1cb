"""Spreading: shards of a pool over the nodes that fit, moved when a node has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ssm_cli.cluster.link.handing import hand_on
from ssm_cli.cluster.link.placing import Loads, adverts
from ssm_cli.cluster.link.watching import Watching
from ssm_cli.cluster.ports import Cluster, Unknown
from ssm_cli.cluster.protocol.placement import fitting

SETTLE_S = 2.0  # after a node has come, before shards are moved to it


def moves(places: Mapping[str, str], nodes: Sequence[str]) -> list[tuple[str, str]]:
    """Return which shards go to which nodes, so that no node has two more than another.

    As few as that takes, in a fixed order. What is on none of the nodes stays there.

    >>> moves({"s-1": "n1", "s-2": "n1", "s-3": "n1", "s-4": "n1"}, ["n1", "n2"])
    [('s-4', 'n2'), ('s-3', 'n2')]
    """
    at = {node: sorted(child for child, where in places.items() if where == node) for node in nodes}
    told: list[tuple[str, str]] = []
    while at:
        full = max(sorted(at), key=lambda node: len(at[node]))
        bare = min(sorted(at), key=lambda node: len(at[node]))
        if len(at[full]) - len(at[bare]) < 2:
            break
        child = at[full].pop()
        at[bare].append(child)
        told.append((child, bare))
    return told


async def spread(cluster: Cluster, children: Iterable[Watching], loads: Loads) -> None:
    """Move shards to nodes that have fewer, one after the other; what fails stays where it is."""
    await cluster.time.sleep_s(SETTLE_S)
    pools: dict[tuple[str, str], list[Watching]] = {}
    for child in children:
        if child.job.shard:
            pools.setdefault((child.job.spec, str(sorted(child.job.place.items()))), []).append(
                child
            )
    found = await adverts(cluster) if pools else []
    if isinstance(found, Unknown):
        return
    for pool in pools.values():
        known = {child.job.name: child for child in pool}
        places = {child.job.name: child.node for child in pool}
        for name, node in moves(places, fitting(found, pool[0].job.place)):
            await hand_on(cluster, known[name], loads, node)

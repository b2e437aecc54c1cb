"""Presence: which nodes are there, by their adverts, and what changes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from ssm_cli.cluster.link.frames import NodeSeen
from ssm_cli.cluster.link.placing import adverts
from ssm_cli.cluster.ports import Cluster, Unknown
from ssm_cli.cluster.protocol.messages import Advert

LOOK_S = 2.0  # between two looks at all adverts
DOWN_S = 5.0  # without a new advert, by the clock of who looks


class Beat(msgspec.Struct, frozen=True):
    """The last advert of a node, since when it is the last, and whether the node is up.

    It is not known of one that was there at the first look, until there is a new advert: adverts
    of nodes that have crashed stay.
    """

    boot: str
    beat: int
    since_s: float
    host: str
    up: bool | None


class Presence(msgspec.Struct, frozen=True):
    """What was seen of the nodes so far, by name; None before the first look."""

    nodes: dict[str, Beat] | None = None


def step_presence(
    presence: Presence, found: Sequence[Advert], now_s: float
) -> tuple[Presence, list[NodeSeen]]:
    """Return what is known after a look, and the changes; the first look only takes stock.

    >>> one, _ = step_presence(Presence(), [Advert("n1", beat=1)], 0.0)
    >>> step_presence(one, [], 1.0)[1]
    [NodeSeen(node='n1', up=False, host='')]
    """
    before = presence.nodes
    nodes = {one.node: _beat(one, before, now_s) for one in found}
    if before is None:
        return Presence(nodes), []
    told = [
        NodeSeen(name, beat.up, beat.host)
        for name, beat in nodes.items()
        if beat.up is not None and beat.up != _counted(before.get(name), beat)
    ]
    gone = [name for name, one in before.items() if name not in nodes and one.up is not False]
    return Presence(nodes), told + [NodeSeen(n, up=False, host=before[n].host) for n in gone]


def _beat(advert: Advert, before: Mapping[str, Beat] | None, now_s: float) -> Beat:
    old = None if before is None else before.get(advert.node)
    fresh = old is None or (old.boot, old.beat) != (advert.boot, advert.beat)
    since_s = now_s if fresh or old is None else old.since_s
    up: bool | None = now_s - since_s < DOWN_S
    if before is None or (old is not None and old.up is None and not fresh):
        up = None
    return Beat(advert.boot, advert.beat, since_s, advert.host, up)


def _counted(old: Beat | None, beat: Beat) -> bool | None:
    """Return how a node was told to be before; one of the first look counts as it is seen now."""
    if old is None:
        return False
    return beat.up if old.up is None else old.up


async def watch_nodes(cluster: Cluster, tell: Callable[[NodeSeen], None]) -> None:
    """Tell of nodes that come and go, until cancelled; while nothing can be read, of none."""
    presence = Presence()
    while True:
        found = await adverts(cluster)
        if not isinstance(found, Unknown):
            presence, told = step_presence(presence, found, cluster.time.now_s())
            for seen in told:
                tell(seen)
        await cluster.time.sleep_s(LOOK_S)

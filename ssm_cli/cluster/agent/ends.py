"""Ends: how the last lives on a node have ended, for who did not hear of it."""

from __future__ import annotations

import msgspec

from ssm_cli.cluster.ports import Cluster
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import (
    FENCED,
    STOPPED,
    Advert,
    Exited,
    Retell,
    Said,
    Start,
    Stop,
)

MOST_ENDS = 1024  # the oldest are forgotten


class Ends:
    """The last end of each subtree that a node has hosted, or was ordered not to.

    Args:
        cluster: where they are told.
        advert: says which node that is, and which boot of it.
    """

    def __init__(self, cluster: Cluster, advert: Advert) -> None:
        self._cluster = cluster
        self._node, self._boot = advert.node, advert.boot
        self._known: dict[tuple[str, str], Exited] = {}

    def note(self, exited: Exited) -> None:
        """Keep how an epoch has ended: it does not start again."""
        key = exited.tree, exited.subtree
        self._known.pop(key, None)
        self._known[key] = exited
        while len(self._known) > MOST_ENDS:
            del self._known[next(iter(self._known))]

    def stopped(self, stop: Stop) -> None:
        """Keep that an epoch was stopped that is not there; the order to start it may come yet."""
        known = self._known.get((stop.tree, stop.subtree))
        if known is None or known.epoch < stop.epoch:
            why = "it was stopped before it was there"
            self.note(Exited(stop.tree, stop.subtree, stop.epoch, STOPPED, why, self._node))

    def of(self, start: Start) -> Said | None:
        """Return how the epoch that is to start has ended already, if it has."""
        known = self._known.get((start.tree, start.subtree))
        if known is None or known.epoch != start.epoch:
            return None
        return Said(ok=False, reason=known.reason, detail=known.detail, epoch=known.epoch)

    async def tell(self, exited: Exited) -> None:
        """Publish how an epoch has ended."""
        subject = names.exits(exited.tree, exited.subtree)
        await self._cluster.calls.send(subject, msgspec.json.encode(exited))

    async def tell_again(self, asked: Retell) -> None:
        """Publish it again, for an epoch that is not there; one that is forgotten is `fenced`.

        What another boot of the node has hosted is not for us to say.
        """
        if asked.boot != self._boot:
            return
        known = self._known.get((asked.tree, asked.subtree))
        if known is None or known.epoch != asked.epoch:
            known = Exited(asked.tree, asked.subtree, asked.epoch, FENCED, node=self._node)
        await self.tell(known)

"""Draining: a node that is to end asks the parents of its subtrees to have them go on elsewhere.

What no other node takes, or has no parent, runs on here meanwhile: it is asked for again, until
there is a node for it, or the node is to wait no longer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any

from ssm_cli.cluster.agent.child import Hosting
from ssm_cli.cluster.link.asking import ask
from ssm_cli.cluster.ports import CallLost, Cluster
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Move

DRAIN_S = 20.0  # how long what no other node takes may stay
ASK_S = 5.0  # a parent asks nodes before it answers
AGAIN_S = 1.0  # between two times that a parent is asked
END_S = 15.0  # how long a subtree may take to end, once its parent has said that it goes


class Draining:
    """How a node ends.

    Args:
        within_s: how long subtrees that no other node takes may stay.
        say: called with why a subtree stays, once for each reason.

    Attributes:
        at_once: is set where somebody wants to wait no longer.
    """

    def __init__(
        self, within_s: float = DRAIN_S, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.at_once = asyncio.Event()
        self._within_s = within_s
        self._say = say

    async def hand_on(self, cluster: Cluster, children: Iterable[Hosting]) -> None:
        """Have subtrees go on elsewhere; return once all do, or no one is waited for any more."""
        going = [asyncio.ensure_future(_hand_on(cluster, child, self._say)) for child in children]
        if not going:
            return
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(asyncio.wait(going)), asyncio.ensure_future(self.at_once.wait()),
        ]  # fmt: skip
        limit_s = None if self._within_s == math.inf else self._within_s
        try:
            await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*waiting, *going):
                task.cancel()


async def _hand_on(cluster: Cluster, child: Hosting, say: Callable[[str], None]) -> None:
    start, before = child.job.start, ""
    while not child.ended.done():
        move = Move(start.tree, start.subtree)
        said = await ask(cluster, names.parent(start.tree), move, ASK_S)
        goes = not isinstance(said, CallLost) and said.ok
        why = said.detail
        if isinstance(said, CallLost) and said.why == "noproc":
            why = f"no parent of {start.tree} is in the cluster, and nobody would start it"
        if not goes and why != before:
            say(f"{start.tree}/{start.subtree} stays: {why}")
            before = why
        await asyncio.wait([child.ended], timeout=END_S if goes else AGAIN_S)

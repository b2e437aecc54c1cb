"""Group cast: what is published to a group reaches all processes of the tree that have members.

Each process listens to the subject of a group for as long as it has members; so the servers know
who is to get it, and say so at once where nobody is. It is sent once and never again: a member gets
it at most once. The order of one process to one group is kept. Nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from ssm_cli.cluster.ports import Answer, CallLost, Cluster, ClusterError, Handle
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Publication
from ssm_cli.runtime.views import Carried

ASK_S = 1.0  # in which the servers say that nobody listens
MOST_SENDING = 4096  # publishes of one process under way; more are dropped
MOST_ASKING = 1000  # of which it is asked whether anybody listens; of more it is not
MOST_HEARD_GROUPS = 10_000  # of one process; more are not heard by it
NOBODY = "no members, in no process of the tree"


class GroupCast:
    """The groups of one process of a tree.

    Args:
        cluster: a connection.
        tree: the name of the tree.
        by: this process, unlike any other.
        heard: called with what another process has published.
        lost: called with a group and why a publish to it, or what is published to it, is lost.
    """

    def __init__(
        self,
        cluster: Cluster,
        tree: str,
        by: str,
        heard: Callable[[str, Carried], None],
        lost: Callable[[str, str], None],
    ) -> None:
        self._cluster = cluster
        self._tree = tree
        self._by = by
        self._heard = heard
        self._lost = lost
        self._wanted: set[str] = set()
        self._changed: dict[str, None] = {}
        self._handles: dict[str, Handle] = {}
        self._settling: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._asking = 0

    def interest(self, group: str, *, wanted: bool) -> None:
        """Listen to a group, or no more, as soon as the servers know."""
        if wanted == (group in self._wanted):
            return
        (self._wanted.add if wanted else self._wanted.discard)(group)
        self._changed[group] = None
        if self._settling is None or self._settling.done():
            self._settling = asyncio.ensure_future(self._settle())

    async def _settle(self) -> None:
        while self._changed:
            group = next(iter(self._changed))
            del self._changed[group]
            handle = self._handles.get(group)
            if handle is not None and group not in self._wanted:
                del self._handles[group]
                await handle.close()
            elif handle is None and group in self._wanted:
                await self._listen(group)

    async def _listen(self, group: str) -> None:
        if len(self._handles) >= MOST_HEARD_GROUPS:
            self._lost(group, f"more than {MOST_HEARD_GROUPS:,} groups; others are not heard")
            return
        subject = names.publishes(self._tree, group)
        try:
            heard = partial(self._on_message, group)
            self._handles[group] = await self._cluster.calls.serve(subject, heard)
        except ClusterError as error:
            self._lost(group, str(error))

    def _on_message(self, group: str, _: str, data: bytes, __: Answer | None) -> None:
        try:
            said = msgspec.json.decode(data, type=Publication)
        except msgspec.MsgspecError as error:
            self._lost(group, f"what came is no publish: {error}")
            return
        if said.by != self._by and group in self._wanted:
            self._heard(group, Carried(said.data, said.is_value))

    def publish(self, group: str, carried: Carried, *, alone: bool) -> None:
        """Send a publish; it leaves behind those that were sent before."""
        if len(self._sending) >= MOST_SENDING:
            self._lost(group, f"{MOST_SENDING:,} publishes are under way to other processes")
            return
        said = Publication(self._by, carried.data, carried.is_value)
        task = asyncio.ensure_future(self._send(group, msgspec.json.encode(said), alone=alone))
        self._sending.add(task)  # tasks begin in this order, and each writes before it waits
        task.add_done_callback(self._sending.discard)

    async def _send(self, group: str, body: bytes, *, alone: bool) -> None:
        subject = names.publishes(self._tree, group)
        if not self._cluster.connected():
            self._lost(group, f"no connection to the cluster at {self._cluster.urls}")
        elif not alone or self._asking >= MOST_ASKING:
            await self._cluster.calls.send(subject, body)
        else:
            self._asking += 1
            said = await self._cluster.calls.call(subject, body, ASK_S)
            self._asking -= 1
            if isinstance(said, CallLost) and said.why != "timeout":  # who listens does not answer
                self._lost(group, NOBODY if said.why == "noproc" else said.detail)

    async def close(self) -> None:
        """Listen no more; what was published leaves first."""
        self._wanted.clear()
        if self._settling is not None:
            self._settling.cancel()
        if self._sending:
            await asyncio.wait(list(self._sending), timeout=ASK_S)
        for handle in self._handles.values():
            await handle.close()

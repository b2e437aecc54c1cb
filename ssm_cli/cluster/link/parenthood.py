"""Parenthood: of the processes that run a tree of one name, one is the parent of its children.

It holds a lease on the name, which is a cell that it writes again and again, as an owner of a
subtree does. Another process waits until that is released, or not written for longer than it is
good for, or takes over when told to. Where nobody answers for the one that holds it, at the first
look and for as long as a link process needs to follow another one, it is gone. Safety does not hang
on any of this: two parents for a moment fence each other's subtrees at worst, and the later one has
them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ssm_cli.cluster.link.asking import is_nobody_there
from ssm_cli.cluster.ports import Answer, Cells, Cluster, ClusterError, Conflict, Unknown
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.lease import RENEW, RETRY, Observed
from ssm_cli.cluster.protocol.limits import STARTED_S
from ssm_cli.cluster.protocol.messages import Move, Parent, Ping, Said, control, parent_in

FOLLOWS_S = 2.0  # after a link process has died another one serves


class Absence:
    """Whether nobody has answered since the first look, for long enough; one answer ends that."""

    def __init__(self, cluster: Cluster, subject: str) -> None:
        self._cluster = cluster
        self._subject = subject
        self._since_s = cluster.time.now_s()
        self.answered = False

    async def lasts(self) -> bool:
        """Look again, unless somebody has answered; return whether it has lasted."""
        self.answered = self.answered or not await is_nobody_there(self._cluster, self._subject)
        return not self.answered and self._cluster.time.now_s() >= self._since_s + FOLLOWS_S


class Parenthood:
    """The lease of one parent on the name of its tree.

    Args:
        cluster: where it is.
        tree: the name.
        me: who wants to be its parent; the same after a link process has died.
        replicas: how many servers keep the cell.
        waits: called with who is the parent, once we wait for it.
        move: called where a child is to go elsewhere, and with where the answer goes.
        kept: called at each try to keep the lease, with why the servers do not take that, or "".
    """

    def __init__(
        self,
        cluster: Cluster,
        tree: str,
        me: Parent,
        *,
        replicas: int = 0,
        waits: Callable[[str], None] = lambda _: None,
        move: Callable[[Move, Answer], None] = lambda _, __: None,
        kept: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._tree = tree
        self._me = me
        self._replicas = replicas
        self._waits = waits
        self._move = move
        self._kept = kept
        self._revision = 0

    async def take(self, *, takeover: bool = False) -> None:
        """Become the parent, now or once there is none.

        Raises:
            ClusterError: the servers do not let us, or do not answer for as long as a start may
                take.
        """
        time, cells = self._cluster.time, await self._cells()
        done: int | Conflict | Unknown | None
        seen, told, end_s = Observed(-1, time.now_s()), False, time.now_s() + STARTED_S
        absence = Absence(self._cluster, names.parent(self._tree))
        while True:
            asked_s = time.now_s()
            found = await cells.get(self._tree)
            if isinstance(found, Unknown):
                seen, done = seen.unread(asked_s), found
            else:
                revision, data = found
                seen = seen.seen(revision, time.now_s())
                known = None if data is None else parent_in(data)
                done = None
                if (
                    known is None or known.released or known.id == self._me.id or takeover
                    or seen.is_over(asked_s, known.ttl_s, "fence")
                    or await absence.lasts()
                ):  # fmt: skip
                    done = await self._write(cells, revision)
                    if isinstance(done, int):
                        break
                elif absence.answered and not told:
                    told = True
                    self._waits(f"{known.host}, process {known.pid}")
            late = not told and time.now_s() > end_s
            if isinstance(done, Unknown) and (done.denied or late):
                raise ClusterError(done.detail)
            await time.sleep_s(self._me.ttl_s * RETRY)
        await self._cluster.calls.serve(names.parent(self._tree), self._on_ask)

    async def _cells(self) -> Cells:
        return await self._cluster.cells(names.PARENTS, self._replicas)

    async def _write(
        self, cells: Cells, revision: int, *, released: bool = False
    ) -> int | Conflict | Unknown:
        """Write the lease; it is ours where that gives its revision."""
        self._me = msgspec.structs.replace(self._me, beat=self._me.beat + 1, released=released)
        done = await cells.cas(self._tree, msgspec.json.encode(self._me), revision)
        if isinstance(done, int):
            self._revision = done
        return done

    def _on_ask(self, _: str, data: bytes, answer: Answer | None) -> None:
        asked = control(data)
        if answer is not None and isinstance(asked, Move):
            self._move(asked, answer)
        elif answer is not None:
            answer(msgspec.json.encode(Said(ok=isinstance(asked, Ping))))

    async def hold(self) -> str:
        """Keep the lease; return who has taken it, once somebody has."""
        cells, time = await self._cells(), self._cluster.time
        while True:
            await time.sleep_s(self._me.ttl_s * RENEW)
            while not isinstance(done := await self._write(cells, self._revision), int):
                self._kept(done.detail if isinstance(done, Unknown) else "")
                found = await cells.get(self._tree)
                if not isinstance(found, Unknown) and found[0] >= self._revision:
                    if (other := self._other(found[1])) is not None:
                        return f"{other.host}, process {other.pid}"
                    self._revision = found[0]
                elif not isinstance(found, Unknown) and found[1] is None:
                    self._revision = found[0]  # the cells are lost
                await time.sleep_s(self._me.ttl_s * RETRY)
            self._kept("")

    def _other(self, data: bytes | None) -> Parent | None:
        known = None if data is None else parent_in(data)
        return known if known is not None and known.id != self._me.id else None

    async def is_lost(self) -> bool:
        """Return whether the servers say that somebody else has it; `hold` finds that, too."""
        found = await (await self._cells()).get(self._tree)
        return not isinstance(found, Unknown) and self._other(found[1]) is not None

    async def release(self) -> None:
        """Leave the name to the next one, which need not wait then; one that has it keeps it."""
        await self._write(await self._cells(), self._revision, released=True)

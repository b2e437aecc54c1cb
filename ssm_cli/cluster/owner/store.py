"""The cluster's journal and cells as the store of a node: the port of `runtime/durable`.

A node asks at once and is told later: an append is sent on, and `done` is called when the servers
have acknowledged it. All that is there already is read before the node starts. Entries that are
appended later are not kept in memory; who wants to read them opens the store anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from ssm_cli.cluster.owner.chain import Chain
from ssm_cli.cluster.owner.saved import SavedCells
from ssm_cli.cluster.ports import Cluster, Journal
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Start
from ssm_cli.errors import Fenced, StorageError
from ssm_cli.runtime.durable.ports import Done


class ClusterStore(Chain):
    """A journal and cells in the cluster, with one owner. Made by `open_store`."""

    def __init__(self, cluster: Cluster, journal: Journal, saved: SavedCells, who: str) -> None:
        super().__init__(cluster, journal)
        self._saved = saved
        self._who = who
        self._cells: dict[str, bytes] = {}
        self._puts: deque[tuple[Mapping[str, bytes | None], Done]] = deque()
        self._putting = False

    async def open(self, epoch: int, owner: str) -> None:
        """Take journal and cells over, and read all that is there.

        Raises:
            Fenced: a later epoch has begun.
            StorageDamaged: something that was written is not there as it was.
        """
        await super().open(epoch, owner)
        await self._saved.claim()
        self._cells = dict(self._saved.values)

    def _busy(self) -> bool:
        return super()._busy() or bool(self._puts) or self._putting

    def get(self, key: str) -> bytes | None:
        """What is saved under a key."""
        return self._cells.get(key)

    def keys(self, prefix: str = "") -> Sequence[str]:
        """The keys that begin so, sorted."""
        return sorted(key for key in self._cells if key.startswith(prefix))

    def put(self, changes: Mapping[str, bytes | None], done: Done) -> None:
        """Save all of these together; `done` is called once the servers have them."""
        if self.fenced:
            done(Fenced(self.fenced))
            return
        for key, data in changes.items():
            if data is None:
                self._cells.pop(key, None)
            else:
                self._cells[key] = data
        self._puts.append((changes, done))
        if not self._putting:
            self._putting = True
            self._spawn(self._put_all())
        self._look_idle()

    async def _put_all(self) -> None:
        try:
            while self._puts:
                changes, done = self._puts.popleft()
                try:
                    await self._saved.put(changes)
                except StorageError as error:
                    if isinstance(error, Fenced):
                        self._give_up(str(error))
                    done(error)
                else:
                    done(None)
        finally:
            self._putting = False

    def size_bytes(self) -> int:
        """The bytes of the entries and of what is saved; trimmed entries count until then."""
        return self._size + sum(map(len, self._cells.values()))

    def where(self) -> str:
        """Which stream it is."""
        return self._who

    def close(self) -> None:
        """Let go of it; what is under way is left at that."""
        for task in self._tasks:
            task.cancel()


async def open_store(cluster: Cluster, start: Start, owner: str) -> ClusterStore:
    """The store of a subtree, taken over from whoever had it.

    Raises:
        Fenced: a later epoch has begun.
        StorageDamaged: what is stored is not what was written.
    """
    tree, subtree = start.tree, start.subtree
    journal = await cluster.journal(tree, subtree, start.replicas)
    cells = await cluster.cells(names.saved(tree), start.replicas)
    saved = SavedCells(cells, subtree, start.epoch, cluster.time)
    where = f"stream {names.stream(tree)}, subject {names.journal(tree, subtree)}"
    store = ClusterStore(cluster, journal, saved, where)
    await store.open(start.epoch, owner)
    return store

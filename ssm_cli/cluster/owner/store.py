"""The cluster's journal and cells as the store of a node: the port of `runtime/durable`.

Writes are asynchronous: an append is sent, and `done` is called when the servers have acknowledged
it. Existing entries are read before the node starts. Later entries are not kept in memory; to read
them, open the store again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from ssm_cli.cluster.owner.chain import GAVE_UP, Chain
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.owner.saved import SavedCells
from ssm_cli.cluster.ports import Cluster, Journal
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Start
from ssm_cli.errors import Fenced, StorageError
from ssm_cli.runtime.durable.ports import Done


class ClusterStore(Chain):
    """A journal and cells in the cluster, with one owner. Made by `open_store`."""

    afar = True

    def __init__(
        self, cluster: Cluster, journal: Journal, saved: SavedCells, who: str, page: LeasePage
    ) -> None:
        super().__init__(cluster, journal, page)
        self._saved, self._who = saved, who
        self._cells: dict[str, bytes] = {}
        self._puts: deque[tuple[Mapping[str, bytes | None], Done]] = deque()
        self._putting = False

    async def take_over(self, start: Start, owner: str) -> None:
        """Take over the journal and the cells, and read them.

        Raises:
            Fenced: a later epoch has begun.
            StorageError: it cannot be read; `StorageDamaged` where something is missing.
        """
        await self.open(start.epoch, owner, start.journal)
        await self._saved.claim(start.saved)
        self._page.saved, self._cells = self._saved.revision, dict(self._saved.values)

    def _busy(self) -> bool:
        return super()._busy() or bool(self._puts) or self._putting

    def get(self, key: str) -> bytes | None:
        """Return the value of a key."""
        return self._cells.get(key)

    def keys(self, prefix: str = "") -> Sequence[str]:
        """Return the sorted keys with a prefix."""
        return sorted(key for key in self._cells if key.startswith(prefix))

    def put(self, changes: Mapping[str, bytes | None], done: Done) -> None:
        """Save these values atomically; call `done` once the servers have acknowledged."""
        if self.fenced:
            done(GAVE_UP[self.word](self.fenced))
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
                        self._give_up(str(error), "fenced")
                    done(error)
                else:
                    self._page.saved = self._saved.revision
                    done(None)
        finally:
            self._putting = False

    def size_bytes(self) -> int:
        """Return the size of entries and saved values, without trimmed entries."""
        return self._size + sum(map(len, self._cells.values()))

    def where(self) -> str:
        """Return the name of the stream."""
        return self._who

    def close(self) -> None:
        """Close the store without waiting for pending writes."""
        for task in self._tasks:
            task.cancel()


async def open_store(
    cluster: Cluster, start: Start, owner: str, page: LeasePage | None = None
) -> ClusterStore:
    """Open the store of a subtree, taking it over from its previous owner.

    Args:
        cluster: where it is.
        start: whose it is, the epoch, and the witness of its end.
        owner: who we are, for people.
        page: where the next witness is noted; None for nowhere.

    Raises:
        Fenced: a later epoch has begun.
        StorageDamaged: stored data does not match its checksums or the witness.
        StorageError: the cluster does not answer.
    """
    tree, subtree = start.tree, start.subtree
    journal = await cluster.journal(tree, subtree, start.replicas)
    cells = await cluster.cells(names.saved(tree), start.replicas)
    saved = SavedCells(cells, subtree, start.epoch, cluster.time)
    where = f"stream {names.stream(tree)}, subject {names.journal(tree, subtree)}"
    store = ClusterStore(cluster, journal, saved, where, page or LeasePage())
    await store.take_over(start, owner)
    return store

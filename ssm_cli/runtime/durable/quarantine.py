"""What a node lets its users do with what it keeps: look at its quarantine, let inputs in again."""

from __future__ import annotations

import msgspec

from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.snapshots import INPUT, Refused, number_key, unpack
from ssm_cli.runtime.durable.values import digest
from ssm_cli.runtime.engine.cell import WorkerCell, replan
from ssm_cli.runtime.engine.world import World


class Quarantined(msgspec.Struct, frozen=True):
    """An input that is refused, as it has crashed its worker too often."""

    number: int
    worker: str
    at_s: float
    input: bytes
    crashes: int
    error: str


class Keeps:
    """The part of a node that is about what outlives its process."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def storage_error(self) -> StorageError | None:
        """Why what must outlive the process cannot be written; None where it can be."""
        keeper = self._world.outside.keeper
        return None if keeper is None else keeper.error

    def stored(self) -> tuple[int, int] | None:
        """The bytes that are stored, and the number of the last record; None without a store."""
        keeper = self._world.outside.keeper
        return None if keeper is None else (keeper.store.size_bytes(), keeper.seq)

    def quarantined(self) -> list[Quarantined]:
        """The inputs in quarantine, oldest first."""
        keeper = self._world.outside.keeper
        if keeper is None:
            return []
        keeper.commit()
        store = keeper.store
        return [
            view_refused(unpack(key, store.get(key) or b"", Refused)) for key in store.keys(INPUT)
        ]

    def release_input(self, number: int) -> Quarantined:
        """Let an input in again, and count its crashes anew; what it is.

        Raises:
            StorageError: none in quarantine has that number, or it cannot be written that it is
                let in, and it stays.
        """
        found = [one for one in self.quarantined() if one.number == number]
        if not found:
            raise StorageError(f"no input in quarantine has the number {number}")
        keeper, key = self._world.outside.keeper, number_key(INPUT, number)
        keeper.change(key, None)
        keeper.commit()
        if key in keeper.changes:  # it would be written with the next commit
            del keeper.changes[key]
            raise StorageError(f"input {number} stays in quarantine: {keeper.error}")
        kept = keeper.kept.get(found[0].worker)
        if kept is not None:
            kept.refused.pop(digest(found[0].input), None)
            kept.crashes.pop(digest(found[0].input), None)
            cell = self._world.names.get(found[0].worker)
            if isinstance(cell, WorkerCell):
                replan(cell)
        return found[0]


def view_refused(refused: Refused) -> Quarantined:
    """An input in quarantine as its users see it."""
    return Quarantined(
        refused.number, refused.worker, refused.at_s, refused.data, refused.crashes, refused.error
    )

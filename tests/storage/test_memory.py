"""The store in memory keeps to the contract, at once and late."""

from __future__ import annotations

from ssm_cli import MemoryStore, StorageError
from ssm_cli.runtime.durable.ports import Store
from tests.storage.contract import StoreContract, Told


class TestMemoryStore(StoreContract):
    def setup_method(self) -> None:
        self.memory = MemoryStore()

    def make(self) -> Store:
        return self.memory


class TestLateMemoryStore(TestMemoryStore):
    def setup_method(self) -> None:
        super().setup_method()
        self.memory.late = True

    def settle(self, store: Store) -> None:
        self.memory.land()


def test_while_it_fails_nothing_is_kept_and_each_is_told_why() -> None:
    store, told = MemoryStore(), Told()
    store.failing = error = StorageError("no room")
    store.append(1, b"a", told)
    store.put({"k": b"v"}, told)
    assert told.answers == [error, error]
    assert store.last() == 0
    assert store.get("k") is None

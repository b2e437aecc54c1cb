"""What every store keeps to. A test module of a store subclasses `StoreContract` with a `make`.

    class TestMyStore(StoreContract):
        def make(self) -> Store: ...        # the store, opened; the same contents each time
        def settle(self, store) -> None: ...  # let a store that is late tell what it has done

`make` is called again after the store was closed, and must find what was there. `settle` is for
stores that call `done` later; those that call it before they return need none.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.ports import Store


class Told:
    """A `done` that counts."""

    def __init__(self) -> None:
        self.answers: list[StorageError | None] = []

    def __call__(self, error: StorageError | None) -> None:
        self.answers.append(error)


class StoreContract:
    """The claims; `make` and `settle` are the hooks."""

    def make(self) -> Store:
        raise NotImplementedError

    def settle(self, store: Store) -> None:
        """Let `store` tell of all that was asked of it."""

    @pytest.fixture
    def store(self) -> Store:
        return self.make()

    def append(self, store: Store, *entries: bytes) -> None:
        for entry in entries:
            told = Told()
            store.append(store.last() + 1, entry, told)
            self.settle(store)
            assert told.answers == [None]

    def put(self, store: Store, changes: Mapping[str, bytes | None]) -> None:
        told = Told()
        store.put(changes, told)
        self.settle(store)
        assert told.answers == [None]

    def reopened(self, store: Store) -> Store:
        store.close()
        return self.make()

    # -- entries -------------------------------------------------------------------------------

    def test_an_empty_store_has_no_entry_and_no_cell(self, store: Store) -> None:
        assert (store.first(), store.last()) == (1, 0)
        assert list(store.read(0)) == []
        assert list(store.keys()) == []
        assert store.get("head") is None

    def test_entries_are_read_back_in_the_order_in_which_they_were_appended(
        self, store: Store
    ) -> None:
        entries = [bytes([n]) * n for n in range(1, 20)]
        self.append(store, *entries)
        assert list(store.read(0)) == list(enumerate(entries, 1))
        assert (store.first(), store.last()) == (1, 19)

    def test_entries_behind_a_number_are_read_alone(self, store: Store) -> None:
        self.append(store, b"a", b"b", b"c")
        assert list(store.read(2)) == [(3, b"c")]
        assert list(store.read(3)) == []
        assert list(store.read(99)) == []

    def test_many_entries_are_read_whole_while_more_are_written(self, store: Store) -> None:
        self.append(store, *(str(n).encode() for n in range(600)))
        found = store.read(0)
        begun = list(itertools.islice(found, 300))
        self.append(store, b"later")
        assert [n for n, _ in [*begun, *found]][:600] == list(range(1, 601))

    def test_entries_may_hold_any_bytes(self, store: Store) -> None:
        entries = [b"", b"\0", bytes(range(256)), b"x" * 300_000]
        self.append(store, *entries)
        assert [data for _, data in store.read(0)] == entries

    def test_done_is_called_exactly_once_and_in_the_order_of_asking(self, store: Store) -> None:
        order: list[str] = []
        store.append(1, b"a", lambda _: order.append("a"))
        store.put({"k": b"v"}, lambda _: order.append("k"))
        store.append(2, b"b", lambda _: order.append("b"))
        self.settle(store)
        self.settle(store)
        assert order == ["a", "k", "b"]

    def test_the_last_entry_given_again_is_written_once_and_told_of(self, store: Store) -> None:
        self.append(store, b"a", b"b")
        for late in (False, True):
            told = [Told(), Told()]
            number = store.last() + late
            store.append(number, b"b" if number == 2 else b"c", told[0])
            store.append(number, b"b" if number == 2 else b"c", told[1])
            self.settle(store)
            assert [one.answers for one in told] == [[None], [None]]
        assert [data for _, data in store.read(0)][-2:] == [b"b", b"c"]
        self.append(store, b"d")

    def test_a_trim_forgets_up_to_its_number(self, store: Store) -> None:
        self.append(store, b"a", b"b", b"c", b"d")
        store.trim(2)
        self.settle(store)
        assert list(store.read(0)) == [(3, b"c"), (4, b"d")]
        assert (store.first(), store.last()) == (3, 4)

    def test_a_trim_keeps_the_last_entry(self, store: Store) -> None:
        self.append(store, b"a", b"b", b"c")
        for upto in (3, 99):
            store.trim(upto)
            self.settle(store)
            assert list(store.read(0)) == [(3, b"c")]
        self.append(store, b"d")
        assert (store.first(), store.last()) == (3, 4)

    def test_a_trim_of_nothing_changes_nothing(self, store: Store) -> None:
        store.trim(5)
        self.append(store, b"a", b"b", b"c")
        store.trim(2)
        for upto in (0, 1, 2):
            store.trim(upto)
        self.settle(store)
        assert list(store.read(0)) == [(3, b"c")]

    # -- cells ---------------------------------------------------------------------------------

    def test_a_cell_is_what_was_put_last(self, store: Store) -> None:
        self.put(store, {"k": b"1"})
        self.put(store, {"k": b"2"})
        assert store.get("k") == b"2"
        self.put(store, {"k": b""})
        assert store.get("k") == b""

    def test_a_put_changes_and_removes_together(self, store: Store) -> None:
        self.put(store, {"a": b"1", "b": b"2"})
        self.put(store, {"a": None, "b": b"3", "c": b"4", "never": None})
        assert {key: store.get(key) for key in ("a", "b", "c", "never")} == {
            "a": None, "b": b"3", "c": b"4", "never": None,
        }  # fmt: skip

    def test_a_put_of_nothing_is_done(self, store: Store) -> None:
        self.put(store, {})
        assert list(store.keys()) == []

    def test_keys_are_sorted_and_picked_by_how_they_begin(self, store: Store) -> None:
        keys = ["state/b", "state/a", "state%", "head", "statement", "state/\u00e4 b"]
        self.put(store, dict.fromkeys(keys, b"."))
        assert list(store.keys()) == sorted(keys)
        assert list(store.keys("state/")) == ["state/a", "state/b", "state/\u00e4 b"]
        assert list(store.keys("state%")) == ["state%"]
        assert list(store.keys("none")) == []

    # -- all of it -----------------------------------------------------------------------------

    def test_all_is_there_when_it_is_opened_again(self, store: Store) -> None:
        self.append(store, b"a", b"b", b"c")
        self.put(store, {"k": b"v", "gone": b"x"})
        self.put(store, {"gone": None})
        store.trim(1)
        self.settle(store)
        store = self.reopened(store)
        assert list(store.read(0)) == [(2, b"b"), (3, b"c")]
        assert (store.first(), store.last()) == (2, 3)
        assert list(store.keys()) == ["k"]
        assert store.get("k") == b"v"
        self.append(store, b"d")
        assert store.last() == 4

    def test_what_is_stored_takes_room(self, store: Store) -> None:
        before = store.size_bytes()
        self.append(store, b"x" * 100_000)
        assert store.size_bytes() > before + 90_000

    def test_it_says_where_it_is(self, store: Store) -> None:
        assert store.where()

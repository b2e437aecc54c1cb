"""An exception from outside at any line of a write: all of it is there, or nothing.

Whoever was interrupted gives an entry again, or puts again; see `ports.Journal`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ssm_cli.errors import StorageError
from ssm_cli.storage import database, folder
from ssm_cli.storage.folder import FolderStore

OURS = {folder.__file__, database.__file__}
Act = Callable[[FolderStore], None]


def failed(error: StorageError | None) -> None:
    assert error is None


def appends(store: FolderStore) -> None:
    store.append(3, b"three", failed)


def puts(store: FolderStore) -> None:
    store.put({"a": b"changed", "b": None, "c": b"new"}, failed)


def trims(store: FolderStore) -> None:
    store.trim(1)


def after_lines(number: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that interrupts at the `number`th line of the store, once."""
    left = number

    def look(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in OURS:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return look

    return look


def cut(store: FolderStore, act: Act, number: int) -> bool:
    """Whether an act was cut at a line; it is not where it has fewer lines."""
    sys.settrace(after_lines(number))
    try:
        act(store)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("act", [appends, puts, trims])
@pytest.mark.parametrize("again", [True, False])
def test_a_write_that_is_cut_at_any_line_is_whole_or_not_there(
    tmp_path: Path, act: Act, *, again: bool
) -> None:
    for number in range(1, 500):
        place = tmp_path / str(number)
        with FolderStore(place) as store:
            store.append(1, b"one", failed)
            store.append(2, b"two", failed)
            store.put({"a": b"first", "b": b"second"}, failed)
            if not cut(store, act, number):
                assert number > 10, "it has lines"
                return
            if again:
                act(store)
            store.put({"d": b"later"}, failed)
            last = store.last()
            store.append(last + 1, b"next", failed)
        with FolderStore(place) as store:
            entries = dict(store.read(0))
            assert entries.pop(last + 1) == b"next"
            assert store.get("d") == b"later"
            changed = store.get("a") == b"changed"
            assert (store.get("b") is None) == (store.get("c") == b"new") == changed
            if again:
                assert changed == (act is puts)
                assert set(entries) == ({2} if act is trims else {1, 2, *([3] * (act is appends))})
    raise AssertionError("it does not end")

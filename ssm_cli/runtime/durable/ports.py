"""The port behind which records and saved states are kept: a folder, memory, or a cluster.

A store holds two things. The journal is one order of *entries*, numbered from 1 without gaps; an
entry is what one group commit writes, opaque bytes to the store. The cells are named bytes
(saved states and what belongs to them), of which any number change together or not at all.

Both are durable once `done` is called with None, and only then may anything leave that depends on
them. A store that writes at once calls `done` before it returns; one that must wait for others
calls it later, in the order in which it was asked. `tests/storage/contract.py` is the suite that
every store passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from ssm_cli.errors import StorageError

Done = Callable[[StorageError | None], None]


class Journal(Protocol):
    """One order of entries, numbered from 1 without gaps."""

    def last(self) -> int:
        """The number of the last entry; 0 where there is none."""
        ...

    def first(self) -> int:
        """The number of the oldest entry that is kept; `last() + 1` where there is none."""
        ...

    def append(self, number: int, entry: bytes, done: Done) -> None:
        """Write an entry behind the others, durably; the last one, given again, only once.

        Args:
            number: which one it is: the one behind the last that was appended; or that of the last,
                with the same bytes, where whoever gave it does not know whether it was taken.
            entry: its bytes.
            done: called once: with None when it is durable, else with why it is not: then it is
                not there at the next start either, unless the error is `unsure`. `Fenced` says that
                another owner has written that number; nothing of ours is stored then. What
                interrupts it may have it called again.
        """
        ...

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The entries with a number greater than `after`, in order.

        Raises:
            StorageDamaged: one is missing, or cannot be read.
        """
        ...

    def trim(self, upto: int) -> None:
        """Forget the entries up to that number; the last one is always kept.

        Raises:
            StorageError: it cannot, and nothing was forgotten.
        """
        ...


class SnapshotStore(Protocol):
    """Named bytes that change together or not at all."""

    def get(self, key: str) -> bytes | None:
        """What is stored under a key; None where nothing is."""
        ...

    def keys(self, prefix: str = "") -> Sequence[str]:
        """The keys that begin so, sorted."""
        ...

    def put(self, changes: Mapping[str, bytes | None], done: Done) -> None:
        """Store all of these, durably and together; None removes a key."""
        ...


class Store(Journal, SnapshotStore, Protocol):
    """A journal and the cells beside it, with one writer."""

    def size_bytes(self) -> int:
        """How much room all of it takes."""
        ...

    def where(self) -> str:
        """Where it is, for people: a folder, a cluster's stream."""
        ...

    def close(self) -> None:
        """Let go of it; another process may be its writer then."""
        ...


@runtime_checkable
class Afar(Protocol):
    """A store in a cluster: messages about it name no command of `ssm data`, as none opens it."""

    afar: bool


@runtime_checkable
class Owned(Protocol):
    """A store that says whose it is."""

    def need_for(self, name: str) -> None:
        """Raise `StorageError` where it is that of a node of another name."""
        ...

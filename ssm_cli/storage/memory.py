"""The store in memory: the twin of the folder, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.ports import Done


class MemoryStore:
    """A `Store` that forgets all when its process ends. Part of the public API, for tests.

    Attributes:
        failing: while set, nothing can be written, and this is the reason.
        late: while set, what is written is not told of until `land` is called.
    """

    def __init__(self) -> None:
        self.failing: StorageError | None = None
        self.late = False
        self._entries: dict[int, bytes] = {}
        self._cells: dict[str, bytes] = {}
        self._last = 0
        self._waiting: list[tuple[Done, StorageError | None]] = []

    def last(self) -> int:
        """The number of the last entry; 0 where there is none."""
        return self._last

    def first(self) -> int:
        """The number of the oldest entry that is kept."""
        return min(self._entries, default=self._last + 1)

    def append(self, number: int, entry: bytes, done: Done) -> None:
        """Keep an entry."""
        if self.failing is None:
            if number == self._last and self._entries[number] != entry:
                raise AssertionError(f"entry {number} is another one already")
            if number not in (self._last, self._last + 1):
                raise AssertionError(f"entry {number} does not follow entry {self._last}")
            self._entries[number] = entry
            self._last = number
        self._tell(done)

    def _tell(self, done: Done) -> None:
        if self.late:
            self._waiting.append((done, self.failing))
        else:
            done(self.failing)

    def land(self) -> None:
        """Tell of all that was written while it was `late`."""
        while self._waiting:
            done, error = self._waiting[0]
            done(error)
            self._waiting.pop(0)  # last: one that is interrupted is told again

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The entries behind `after`, in order."""
        return iter([(n, self._entries[n]) for n in sorted(self._entries) if n > after])

    def trim(self, upto: int) -> None:
        """Forget the entries up to that number, but for the last."""
        for number in [n for n in self._entries if n <= upto and n != self._last]:
            del self._entries[number]

    def get(self, key: str) -> bytes | None:
        """What is stored under a key."""
        return self._cells.get(key)

    def keys(self, prefix: str = "") -> Sequence[str]:
        """The keys that begin so, sorted."""
        return sorted(key for key in self._cells if key.startswith(prefix))

    def put(self, changes: Mapping[str, bytes | None], done: Done) -> None:
        """Keep all of these."""
        if self.failing is None:
            for key, data in changes.items():
                if data is None:
                    self._cells.pop(key, None)
                else:
                    self._cells[key] = data
        self._tell(done)

    def size_bytes(self) -> int:
        """The bytes of all entries and cells."""
        return sum(map(len, self._entries.values())) + sum(map(len, self._cells.values()))

    def where(self) -> str:
        """That it is in memory."""
        return "memory"

    def close(self) -> None:
        """Nothing is to be let go of."""

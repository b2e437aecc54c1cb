"""What the simulated servers keep: journals and cells, with the rules that JetStream has."""

from __future__ import annotations

from ssm_cli.cluster.ports import Conflict


class Servers:
    """Journals and cells; each change is one step.

    Attributes:
        compares: whether an append must name the last sequence. A simulation turns it off to see
            that the protocol then fails, which shows that the simulation looks.
        stale: how many of the last records a read of a tail does not see, as behind a leader that
            has lost its election and does not know.
    """

    def __init__(self) -> None:
        self.compares = True
        self.stale = 0
        self.journals: dict[str, list[tuple[int, bytes]]] = {}
        self._cells: dict[str, tuple[int, bytes | None]] = {}
        self._sequence = 0
        self._revision = 0

    def append(self, subject: str, data: bytes, expect: int) -> int | Conflict:
        """Append behind `expect`; the sequence counts over all subjects, as a stream's does."""
        journal = self.journals.setdefault(subject, [])
        last = journal[-1][0] if journal else 0
        if last != expect and self.compares:
            return Conflict(f"the last sequence is {last}, not {expect}")
        self._sequence += 1
        journal.append((self._sequence, data))
        return self._sequence

    def tail(self, subject: str) -> tuple[int, bytes | None]:
        """The last record, or an older one while reads are stale."""
        journal = self.journals.get(subject, [])
        seen = journal[: len(journal) - self.stale] if self.stale else journal
        return seen[-1] if seen else (0, None)

    def read(self, subject: str, after: int, upto: int) -> list[tuple[int, bytes]]:
        """The records in between."""
        return [(seq, data) for seq, data in self.journals.get(subject, []) if after < seq <= upto]

    def trim(self, subject: str, before: int) -> None:
        """Forget what is older; the last one stays."""
        journal = self.journals.get(subject, [])
        kept = [(seq, data) for seq, data in journal if seq >= before]
        self.journals[subject] = kept or journal[-1:]

    def get(self, key: str) -> tuple[int, bytes | None]:
        """A cell."""
        return self._cells.get(key, (0, None))

    def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict:
        """Change a cell."""
        known = self.get(key)[0]
        if known != revision:
            return Conflict(f"the revision is {known}, not {revision}")
        self._revision += 1
        self._cells[key] = self._revision, value
        return self._revision

    def drop(self, key: str) -> None:
        """Forget a cell."""
        self._cells.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        """The cells with a value whose keys begin so."""
        found = (key for key, (_, value) in self._cells.items() if value is not None)
        return sorted(key for key in found if key.startswith(prefix))

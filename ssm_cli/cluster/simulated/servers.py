"""What the simulated servers keep: journals and cells, with the rules that JetStream has."""

from __future__ import annotations

from random import Random

from ssm_cli.cluster.ports import Conflict

KEPT = 5  # values of a cell that stale reads may see
Record = tuple[int, bytes]
Cell = tuple[int, bytes | None]


class Servers:
    """Journals and cells; each change is one step. An answer of None never comes.

    Args:
        random: says which of three servers answers a read that any of them may answer.

    Attributes:
        compares: whether an append must name the last sequence. A simulation turns it off to see
            that the protocol then fails, which shows that the simulation looks.
        stale: how many of the last records a read of a tail, and of the last changes a read of a
            cell does not see, as behind a leader that has lost its election and does not know.
        slow: how many of the last records one server of three lacks; it answers reads of records.
        quorum: whether two of three talk to each other; without, any of them reads, nobody writes.
        away: whether none is there.
    """

    def __init__(self, random: Random | None = None) -> None:
        self.random = random or Random(0)  # noqa: S311 - it keeps no secret
        self.compares = True
        self.stale = 0
        self.slow = 0
        self.quorum = True
        self.away = False
        self.journals: dict[str, list[Record]] = {}
        self._cells: dict[str, list[Cell]] = {}
        self._sequence = 0
        self._revisions: dict[str, int] = {}  # of each set of cells; those made anew begin anew

    def _writes(self) -> bool:
        return self.quorum and not self.away

    def append(self, subject: str, data: bytes, expect: int) -> int | Conflict | None:
        """Append behind `expect`; the sequence counts over all subjects, as a stream's does."""
        if not self._writes():
            return None
        journal = self.journals.setdefault(subject, [])
        last = journal[-1][0] if journal else 0
        if last != expect and self.compares:
            return Conflict(f"the last sequence is {last}, not {expect}")
        self._sequence += 1
        journal.append((self._sequence, data))
        return self._sequence

    def tail(self, subject: str) -> tuple[int, bytes | None] | None:
        """The last record, or an older one while reads are stale."""
        if not self._writes():
            return None
        journal = self.journals.get(subject, [])
        seen = journal[: len(journal) - self.stale] if self.stale else journal
        return seen[-1] if seen else (0, None)

    def read(self, subject: str, after: int, upto: int) -> list[Record] | None:
        """The records in between, as one of three servers has them."""
        if self.away:
            return None
        journal = self.journals.get(subject, [])
        if self.slow and self.random.random() < 1 / 3:
            journal = journal[: -self.slow]
        return [(seq, data) for seq, data in journal if after < seq <= upto]

    def trim(self, subject: str, before: int) -> bool | None:
        """Forget what is older; the last one stays."""
        if not self._writes():
            return None
        journal = self.journals.get(subject, [])
        kept = [(seq, data) for seq, data in journal if seq >= before]
        self.journals[subject] = kept or journal[-1:]
        return True

    def get(self, key: str) -> Cell | None:
        """A cell, or what it was while reads are stale."""
        if not self._writes():
            return None
        known = self._cells.get(key, [(0, None)])
        return known[max(0, len(known) - 1 - self.stale)]

    def cas(self, key: str, value: bytes | None, revision: int) -> int | Conflict | None:
        """Change a cell."""
        if not self._writes():
            return None
        known = self._cells.setdefault(key, [(0, None)])
        if known[-1][0] != revision:
            return Conflict(f"the revision is {known[-1][0]}, not {revision}")
        bucket = key.rpartition("/")[0]
        revision = self._revisions[bucket] = self._revisions.get(bucket, 0) + 1
        known.append((revision, value))
        del known[:-KEPT]
        return revision

    def drop(self, key: str) -> bool | None:
        """Forget a cell."""
        if not self._writes():
            return None
        self._cells.pop(key, None)
        return True

    def entries(self, prefix: str) -> dict[str, bytes] | None:
        """The cells with a value whose keys begin so; any server answers."""
        if self.away:
            return None
        last = ((key, known[-1][1]) for key, known in sorted(self._cells.items()))
        return {key: data for key, data in last if data is not None and key.startswith(prefix)}

    # -- what disks do ---------------------------------------------------------------------------

    def wipe(self) -> None:
        """A server comes back with an empty store."""
        self.journals.clear()
        self._cells.clear()
        self._revisions.clear()

    def wipe_cells(self, bucket: str) -> None:
        """Somebody deletes a set of cells."""
        for key in [key for key in self._cells if key.startswith(f"{bucket}/")]:
            del self._cells[key]
        self._revisions.pop(bucket, None)

    def purge(self, subject: str) -> None:
        """Somebody purges a journal."""
        self.journals.pop(subject, None)

    def lose_tail(self, subject: str) -> None:
        """A journal loses all but its oldest record, as after a power cut without syncing."""
        del self.journals.get(subject, [])[1:]

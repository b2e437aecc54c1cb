"""Completion of names: sorted, so that a prefix is found among a hundred thousand."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from ssm_cli.behaviour.partition import JOINT, splits
from ssm_cli.codec.port import Constructor
from ssm_cli.commands.values import data_of
from ssm_cli.errors import SsmError
from ssm_cli.repl.shell.seen import Seen
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import Kind

OFFERED = 60  # names in one menu; more would not be read


class Names:
    """The names of a tree by kind, as they were when the tree last changed.

    A kind is `worker`, `supervisor`, `remote`, or None for all.

    Attributes:
        seen: the keys that inputs and replies had in them.
    """

    def __init__(self, api: NodeApi) -> None:
        self.seen = Seen()
        self._api = api
        self._sorted: dict[Kind | None, list[str]] = {}
        self._labelled: frozenset[str] | None = None
        self._constructors: dict[str, tuple[Constructor, ...]] = {}
        self._states: dict[str, object] = {}

    def forget_states(self) -> None:
        """Drop what states were seen to have in them, as a command may have changed them."""
        self._states.clear()

    def forget(self) -> None:
        """Drop cached names, as children were added or removed."""
        self._sorted.clear()
        self._labelled = None
        self._constructors.clear()

    def all(self, kind: Kind | None) -> Sequence[str]:
        """Return all names of a kind, sorted."""
        if kind not in self._sorted:
            self._sorted[kind] = sorted(self._api.names(kind))
        return self._sorted[kind]

    def has(self, kind: Kind | None, word: str) -> bool:
        """Return whether a word names a node of this kind; of a path, its last part.

        The child of a pool has a label, too. Of `POOL:KEY` the pool alone is looked for.
        """
        if self._lists(kind, word.rpartition("/")[2]):
            return True
        if kind not in (None, "worker"):
            return False
        pools = (pool.rpartition("/")[2] for pool, _ in splits(word))
        return word in self._labels() or any(self._lists("supervisor", pool) for pool in pools)

    def _labels(self) -> frozenset[str]:
        if self._labelled is None:
            named = (name for name in self.all("worker") if JOINT in name)
            self._labelled = frozenset(name.rpartition(JOINT)[2] for name in named)
        return self._labelled

    def _lists(self, kind: Kind | None, name: str) -> bool:
        names = self.all(kind)
        place = bisect_left(names, name)
        return place < len(names) and names[place] == name

    def matching(self, kind: Kind | None, word: str, *, anywhere: bool) -> list[str]:
        """Return at most `OFFERED` names that begin with `word`; if `anywhere`, other matches too.

        Names that begin with it come first, then those that contain it, then those that have its
        letters in its order. `anywhere` scans all names, so use it only at the user's request.
        """
        names = self.all(kind)
        place = bisect_left(names, word)
        found: list[str] = []
        while place < len(names) and len(found) < OFFERED and names[place].startswith(word):
            found.append(names[place])
            place += 1
        for between in ("", ".*") if anywhere and word else ():
            known, search = set(found), re.compile(between.join(map(re.escape, word))).search
            more = (name for name in names if name not in known and search(name))
            found += islice(more, OFFERED - len(found))
        return found

    def like(self, word: str) -> Iterator[str]:
        """Yield the names of all kinds that a mistyped word may mean: those with its first letter.

        The word itself in small letters or in capitals comes first.
        """
        spelt = list(dict.fromkeys((word, word.lower(), word.upper())))
        yield from (one for one in spelt if self.has(None, one))
        for first in dict.fromkeys(one[:1] for one in spelt):
            yield from self.matching(None, first, anywhere=False)

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """Return the constructors of a worker's inputs; none if it is unknown."""
        if worker not in self._constructors:
            try:
                self._constructors[worker] = self._api.constructors(worker)
            except SsmError:
                return ()
        return self._constructors[worker]

    def parts(self, worker: str, typed: str) -> list[str]:
        """Return the PATHs in a worker's state that `typed` may become, one level on at most.

        At most `OFFERED`; none of an unknown worker. The state is asked once between two commands.
        """
        if worker not in self._states:
            try:
                self._states[worker] = data_of(self._api, worker, self._api.get_state(worker))
            except SsmError:
                return []
        above, dot, last = typed.rpartition(".")
        value = self._states[worker]
        for name in above.split(".") if above else ():
            value = value.get(name) if isinstance(value, dict) else None
        names = value if isinstance(value, dict) else ()
        found = (name for name in names if name.isidentifier() and name.startswith(last))
        return [f"{above}{dot}{name}" for name in islice(found, OFFERED)]

    def children(self, supervisor: str) -> list[str]:
        """Return the children of a supervisor in start order; none if it is unknown."""
        try:
            return [child.id for child in reversed(self._api.which_children(supervisor))]
        except SsmError:
            return []


class Workers(Collection[str]):
    """The worker names for the parser: membership, and candidates for a mistyped word.

    Iteration yields only the word itself in capitals or not, and names with the same first
    letter: comparing a word with all names of a large tree at every key would be slow.
    """

    def __init__(self, names: Names, word: str) -> None:
        self._names = names
        self._word = (word.split() or [""])[0]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name.endswith(JOINT):  # all keys of a pool
            return self._names.has("supervisor", name.removesuffix(JOINT))
        return self._names.has("worker", name) or self._names.has("remote", name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names.like(self._word) if name in self)

    def __len__(self) -> int:
        return len(self._names.all("worker"))

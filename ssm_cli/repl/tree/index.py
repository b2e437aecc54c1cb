"""Which rows the tree has: a run-length index from a row's number to its node.

A supervisor is one entry, and so is each run of workers below it, however long. The index is
made anew only when the structure changes, or what is open; a row is found by bisection. So a
frame costs the same with twenty workers and with a million.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

GROUP = 20  # a supervisor with more children than this is shown folded
GROUP_FIRST = 6  # ... to so many of its first children
GROUP_INTERESTING = 4  # ... and so many of those that need looking at
DEPTH = 100  # supervisors below each other that are shown


class Children(Protocol):
    """What the index asks of a tree."""

    @property
    def root(self) -> str:
        """The name of the root."""
        ...

    def size(self, name: str) -> int:
        """How many children a supervisor has; 0 for a worker."""
        ...

    def children(self, name: str, most: int | None = None) -> list[str]:
        """Its first `most` children in start order."""
        ...

    def supervisors(self, name: str) -> list[str]:
        """Those of them that are supervisors."""
        ...


class Wish(msgspec.Struct, frozen=True):
    """How a tree is to be shown.

    Attributes:
        opened: large supervisors whose children are all shown.
        closed: supervisors none of whose children are shown.
        needle: only the nodes whose name contains it are shown, below their supervisors.
        sort: puts the children of a supervisor in another order; None: start order.
    """

    opened: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    needle: str = ""
    sort: Callable[[list[str]], list[str]] | None = None


class Place(msgspec.Struct, frozen=True):
    """What stands in a row: a node, or (`hidden`) the folded rest of one's children."""

    guide: str
    name: str
    hidden: int = 0


class _Entry(msgspec.Struct, frozen=True):
    """Rows that follow each other: one place, or the workers `names[first:last]`."""

    place: Place | None
    lead: str = ""
    names: Sequence[str] = ()
    first: int = 0
    last: int = 0
    ends: bool = False


class Index:
    """The rows of a tree.

    Args:
        tree: whose rows.
        wish: how it is to be shown.
        interesting: by supervisor, the children that need looking at; they stay in view where
            the rest is folded.

    Attributes:
        count: how many rows there are.
        sizes: the supervisors looked at, and how many children each had.
    """

    def __init__(
        self, tree: Children, wish: Wish, interesting: Mapping[str, Collection[str]]
    ) -> None:
        self.count = 0
        self.sizes: dict[str, int] = {}
        self._tree = tree
        self._wish = wish
        self._interesting = interesting
        self._found: dict[str, list[str]] = {}
        self._starts: list[int] = []
        self._entries: list[_Entry] = []
        self._add_supervisor(tree.root, "", "", 0)

    def fits(self) -> bool:
        """Whether the supervisors looked at still have as many children."""
        size = self._tree.size
        return all(size(name) == count for name, count in self.sizes.items())

    def place(self, row: int) -> Place:
        """What stands in a row, from 0 to `count` - 1."""
        at = bisect_right(self._starts, row) - 1
        entry = self._entries[at]
        if entry.place is not None:
            return entry.place
        index = entry.first + row - self._starts[at]
        last = entry.ends and index == entry.last - 1
        return Place(entry.lead + ("└─ " if last else "├─ "), entry.names[index])

    def row_of(self, name: str, near: int, within: int = 200) -> int | None:
        """The row of a node, looked for around `near`; None where it is not."""
        rows = range(max(0, near - within), min(self.count, near + within + 1))
        return next((row for row in rows if self.place(row).name == name), None)

    def _push(self, entry: _Entry, rows: int) -> None:
        self._starts.append(self.count)
        self._entries.append(entry)
        self.count += rows

    def _add_supervisor(self, name: str, guide: str, lead: str, depth: int) -> None:
        self._push(_Entry(Place(guide, name)), 1)
        if name in self._wish.closed or depth >= DEPTH:
            return
        tree = self._tree
        size = self.sizes[name] = tree.size(name)
        names = self._shown(name, size)
        hidden = 0 if self._wish.needle else size - len(names)
        inner = set(tree.supervisors(name) if len(names) == size else filter(tree.size, names))
        run = 0
        for at, child in enumerate(names) if inner else ():
            if child not in inner:
                continue
            self._add_run(lead, names, run, at, ends=False)
            last = at == len(names) - 1 and not hidden
            below = lead + ("   " if last else "│  ")
            self._add_supervisor(child, lead + ("└─ " if last else "├─ "), below, depth + 1)
            run = at + 1
        self._add_run(lead, names, run, len(names), ends=not hidden)
        if hidden:
            self._push(_Entry(Place(f"{lead}└─ ", name, hidden)), 1)

    def _add_run(
        self, lead: str, names: Sequence[str], first: int, last: int, *, ends: bool
    ) -> None:
        if last > first:
            self._push(_Entry(None, lead, names, first, last, ends), last - first)

    def _shown(self, name: str, size: int) -> list[str]:
        """The children that get a row of their own."""
        wish = self._wish
        if wish.needle:
            return self._matching(name)
        if size <= GROUP or name in wish.opened:
            names = self._tree.children(name)
            return names if wish.sort is None else wish.sort(names)
        if wish.sort is not None:
            return wish.sort(self._tree.children(name))[: GROUP_FIRST + GROUP_INTERESTING]
        first = self._tree.children(name, GROUP_FIRST)
        more = [child for child in self._interesting.get(name, ()) if child not in first]
        return first + more[:GROUP_INTERESTING]

    def _matching(self, name: str, depth: int = 0) -> list[str]:
        """The children that the needle is in, and those that have such ones below them."""
        if name not in self._found:
            needle, inner = self._wish.needle, set(self._tree.supervisors(name))
            self._found[name] = [
                child
                for child in self._tree.children(name)
                if needle in child
                or (child in inner and depth < DEPTH and self._matching(child, depth + 1))
            ]
        return self._found[name]

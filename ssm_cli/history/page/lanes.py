"""Lanes of a page: supervisors and workers in start order, also those that are gone."""

from __future__ import annotations

from ssm_cli.history.page.data import TreeNode
from ssm_cli.history.page.texts import Texts

WITHOUT_RECORDS = 5_000
"""How many nodes of the tree have a lane whatever happened to them; the others need a record."""


class Lanes:
    """Lanes by number: first the tree's, depth-first, then those of nodes that are gone.

    A node is found by its path, and a worker by its name, which is unique in a tree.

    Attributes:
        left_out: nodes of the tree that have no lane.
    """

    def __init__(self, tree: TreeNode, texts: Texts, seen: set[str]) -> None:
        """Lay out the lanes of a tree.

        Args:
            tree: its root.
            texts: where names are kept.
            seen: names of those that have a lane in any case.
        """
        self._texts = texts
        self._by_path: dict[str, int] = {}
        self._by_name: dict[str, int] = {}
        self._columns: dict[str, list[int]] = {
            "id": [], "path": [], "parent": [], "supervisor": [], "strategy": [], "gone": [],
        }  # fmt: skip
        self.left_out = 0
        todo = [(tree, -1)]
        while todo:
            node, parent = todo.pop()
            supervises = node.kind == "supervisor"
            if len(self._by_path) >= WITHOUT_RECORDS and not supervises and node.id not in seen:
                self.left_out += 1
                continue
            number = self._add(node, parent, gone=False)
            todo += ((child, number) for child in reversed(node.children))

    def _add(self, node: TreeNode, parent: int, *, gone: bool) -> int:
        number = self._by_path[node.path] = len(self._by_path)
        self._by_name.setdefault(node.id, number)
        row = (
            self._texts.number(node.id), self._texts.number(node.path), parent,
            int(node.kind == "supervisor"), self._texts.number(node.strategy), int(gone),
        )  # fmt: skip
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        self._texts.charge(40)
        return number

    def of_report(self, name: str, path: str, kind: str) -> int:
        """Return the lane of a node by its path; one that is gone gets a lane."""
        found = self._by_path.get(path)
        if found is not None:
            return found
        above, _, _ = path.rpartition("/")
        parent = self.of_report(above.rpartition("/")[2], above, "supervisor") if above else -1
        return self._add(TreeNode(name, path, kind), parent, gone=True)

    def of_worker(self, name: str) -> int:
        """Return the lane of a worker by its name; one that is gone gets a lane."""
        found = self._by_name.get(name)
        return self._add(TreeNode(name, name, "worker"), -1, gone=True) if found is None else found

    def known(self, name: str) -> int | None:
        """Return the lane of a child by its name, or None."""
        return self._by_name.get(name)

    def columns(self) -> dict[str, list[int]]:
        """Return the lanes as columns, by number; `parent` is -1 for those at the top."""
        return self._columns

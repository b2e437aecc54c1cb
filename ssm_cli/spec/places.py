"""Where the nodes of a Python tree are built, as well as the syntax of its file tells.

A call whose first argument is a text builds the node of that name. Of several, the one is meant
that stands inside the calls which build the supervisors above it; of several siblings with one
name, the first stands first. Where this does not tell, the place is that of `tree`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.spec.problems import Problem

Place = tuple[int, int]
Call = tuple[tuple[str, ...], Place]  # the names of the calls around it, from the outermost


class Places:
    """Lines and columns in the text of a Python tree; `tree` is where `tree` is defined."""

    def __init__(self, text: str) -> None:
        self.tree: Place = (1, 1)
        self._calls: dict[str, list[Call]] = {}
        try:
            self._read(ast.parse(text))
        except (RecursionError, MemoryError, ValueError):
            self._calls.clear()  # nested too deep to be looked at

    def _read(self, module: ast.Module) -> None:
        stack: list[tuple[ast.AST, tuple[str, ...]]] = [(module, ())]
        while stack:
            node, around = stack.pop()
            match node:
                case ast.Call(args=[ast.Constant(value=str() as name), *_]):
                    place = (node.lineno, node.col_offset + 1)
                    self._calls.setdefault(name, []).append((around, place))
                    around = (*around, name)
                case (
                    ast.FunctionDef(name="tree")
                    | ast.AsyncFunctionDef(name="tree")
                    | ast.Name(id="tree", ctx=ast.Store())
                ):
                    self.tree = max(self.tree, (node.lineno, node.col_offset + 1))
            stack += [(child, around) for child in reversed([*ast.iter_child_nodes(node)])]

    def placed(self, problem: Problem, tree: SupervisorSpec) -> Problem:
        """Return the problem with its place in the file."""
        *above, name = problem.path.split("/")
        # A name may hold dots, and the key follows after one: the longest that is known wins.
        while name not in self._calls and "." in name:
            name = name.rpartition(".")[0]
        line, column = self._place(name, tuple(above), problem.place, tree)
        return msgspec.structs.replace(problem, line=line, column=column)

    def _place(self, name: str, above: tuple[str, ...], place: int, tree: SupervisorSpec) -> Place:
        calls = self._calls.get(name, [])
        if len(calls) == 1:
            return calls[0][1]
        inside = [where for around, where in calls if _ends_alike(around, above)]
        if len(inside) == 1:
            return inside[0]
        siblings = [*_places_of(name, above, tree)]
        if len(inside) != len(siblings) or place not in siblings:
            return self.tree
        return sorted(inside)[siblings.index(place)]


def _ends_alike(around: tuple[str, ...], above: tuple[str, ...]) -> bool:
    """Whether the calls around one are those of the supervisors above, from the innermost out."""
    return bool(around) and above[-len(around) :] == around if above else not around


def _places_of(name: str, above: tuple[str, ...], tree: SupervisorSpec) -> Iterator[int]:
    """Yield which children of the supervisor at a path have the name, counted from 1."""
    parents = [tree] if above[:1] == (tree.id,) else []
    for step in above[1:]:
        inner = (child for parent in parents for child in parent.children)
        parents = [c for c in inner if isinstance(c, SupervisorSpec) and c.id == step]
    for place, child in enumerate(parents[0].children if parents else (), 1):
        if getattr(child, "id", None) == name:
            yield place

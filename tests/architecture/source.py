"""The package as text and syntax trees: what the architecture tests look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "ssm_cli"
SHARED = frozenset({"errors", "exit_codes", "private", "__init__", "__main__"})
"""Modules directly in the package; each is a room of its own, named after it."""


@dataclass(frozen=True)
class Module:
    """One file. `name` is dotted and relative to the package: `runtime.engine.guard`."""

    path: Path
    name: str
    text: str

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of its syntax tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def imports(self) -> frozenset[str]:
        """Everything imported anywhere in the file, types included, as full dotted names."""
        return frozenset(name for node in self.nodes for name in _names_of(node))

    @cached_property
    def known(self) -> frozenset[str]:
        """The modules of the package that it imports, types and late imports included."""
        names = {module.name for module in modules()}
        inside = {n.removeprefix(f"{PACKAGE}.") for n in self.imports if n.startswith(PACKAGE)}
        ends = {name if name in names else name.rpartition(".")[0] for name in inside}
        return frozenset(ends & names - {self.name})

    @cached_property
    def imported(self) -> frozenset[tuple[str, str]]:
        """What it imports from the package: the local name and the full one of each."""
        return frozenset(
            (alias.asname or alias.name, f"{node.module}.{alias.name}".removeprefix(f"{PACKAGE}."))
            for node in self.nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        )

    @property
    def foreign(self) -> frozenset[str]:
        """The top-level names of modules that are not of this package."""
        return frozenset(n.partition(".")[0] for n in self.imports if n.split(".")[0] != PACKAGE)

    @property
    def rooms(self) -> frozenset[str]:
        """The other rooms of the package that it imports from."""
        inside = (n.split(".") for n in self.imports if n.startswith(f"{PACKAGE}."))
        return frozenset(parts[1] for parts in inside) - {self.room}


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _names_of(node: ast.AST) -> Iterator[str]:
    """The modules that a statement imports; `from a import b` gives `a.b`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "relative imports hide the room they cross"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def modules(folder: str = PACKAGE) -> tuple[Module, ...]:
    """Every module below a folder of the checkout, in the order of their paths."""
    base = ROOT / folder
    return tuple(
        Module(
            path,
            ".".join(path.relative_to(base).with_suffix("").parts),
            path.read_text(encoding="utf-8"),
        )
        for path in sorted(base.rglob("*.py"))
    )

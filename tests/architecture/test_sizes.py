"""Small enough to see: the limits of functions, classes with their ancestors, modules and lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.exceptions import only_excused
from tests.architecture.source import PACKAGE, Module, modules

FUNCTION_LINES = 40
CLASS_LINES = 250
MODULE_LINES = 500
LINE_COLUMNS = 100
PRAGMA = re.compile(r"\s*# (noqa|type: ignore|fmt: skip).*")
"""What a line says to the checkers; ruff does not count it either."""


def lines(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def functions(folder: str) -> Iterator[tuple[str, int, int]]:
    """Each function: its place, its lines, its limit."""
    for module in modules(folder):
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module.place}:{node.name}", lines(node), FUNCTION_LINES


def classes() -> dict[str, tuple[Module, ast.ClassDef]]:
    """Each class at the top of a module, by its full name."""
    return {
        f"{module.name}.{node.name}": (module, node)
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }


def ancestors(name: str, known: dict[str, tuple[Module, ast.ClassDef]]) -> set[str]:
    """The full names of a class and of its ancestors in the package."""
    module, node = known[name]
    found = {name}
    for base in node.bases:
        first, _, rest = ast.unparse(base).partition("[")[0].partition(".")
        full = dict(module.imported).get(first, f"{module.name}.{first}")
        full = f"{full}.{rest}" if rest else full
        if full in known:
            found |= ancestors(full, known)
    return found


def sizes() -> Iterator[tuple[str, int, int]]:
    """Each function, class with its ancestors, and module: its place, its lines, its limit."""
    yield from functions(PACKAGE)
    yield from ((m.place, len(m.text.splitlines()), MODULE_LINES) for m in modules())
    known = classes()
    for name, (module, node) in known.items():
        size = sum(lines(known[one][1]) for one in ancestors(name, known))
        yield f"{module.place}:{node.name}", size, CLASS_LINES


def test_functions_classes_with_their_ancestors_and_modules_keep_to_their_limits() -> None:
    only_excused("size", (place for place, size, limit in sizes() if size > limit))


def test_functions_of_tests_keep_to_the_same_limit() -> None:
    assert not [place for place, size, limit in functions("tests") if size > limit]


@pytest.mark.parametrize("folder", [PACKAGE, "tests", "trees"])
def test_no_line_is_wider_than_the_limit(folder: str) -> None:
    wide = [
        f"{module.place}:{number}"
        for module in modules(folder)
        for number, line in enumerate(module.text.splitlines(), 1)
        if len(PRAGMA.sub("", line)) > LINE_COLUMNS and "noqa: E501" not in module.text
    ]
    assert not wide


@pytest.mark.parametrize("folder", [PACKAGE, "tests", "trees"])
def test_every_silenced_check_says_why(folder: str) -> None:
    silent = [
        f"{module.place}:{number}"
        for module in modules(folder)
        for number, line in enumerate(module.text.splitlines(), 1)
        if re.search(r"# noqa(: [A-Z0-9, ]+)?$|# type: ignore(\[[a-z, -]+\])?$", line)
    ]
    assert not silent, "write the reason behind it: `# noqa: X123 - why`"

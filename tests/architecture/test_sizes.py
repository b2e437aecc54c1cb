"""Small enough to see: the limits of functions, classes, modules, rooms and lines."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT, modules

FUNCTION_LINES = 40
CLASS_LINES = 250
MODULE_LINES = 500
ROOM_MODULES = 12
LINE_COLUMNS = 100
PRAGMA = re.compile(r"\s*# (noqa|type: ignore|fmt: skip).*")
"""What a line says to the checkers; ruff does not count it either."""

LARGER: dict[str, str] = {}
"""What is larger than its limit, and why that is better than splitting it."""


def sizes(folder: str) -> Iterator[tuple[str, int, int]]:
    """Each function, class and module: its place, its lines, its limit."""
    for module in modules(folder):
        yield module.place, len(module.text.splitlines()), MODULE_LINES
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
                assert node.end_lineno is not None
                yield f"{module.place}:{node.name}", node.end_lineno - node.lineno + 1, limit


def rooms() -> Iterator[tuple[str, int, int]]:
    """Each folder of the package: its place, its modules, its limit."""
    folders: Counter[Path] = Counter(
        module.path.parent for module in modules() if module.path.name != "__init__.py"
    )
    for folder, count in folders.items():
        yield folder.relative_to(ROOT).as_posix(), count, ROOM_MODULES


def test_functions_classes_modules_and_rooms_keep_to_their_limits() -> None:
    found = [*sizes(PACKAGE), *rooms()]
    over = {place: f"{size}, limit {limit}" for place, size, limit in found if size > limit}
    assert not {p: o for p, o in over.items() if p not in LARGER}
    assert set(LARGER) == set(over), "an exception that is not needed any more must go"


def test_functions_of_tests_keep_to_the_same_limit() -> None:
    over = [
        (place, n) for place, n, limit in sizes("tests") if limit == FUNCTION_LINES and n > limit
    ]
    assert not over


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

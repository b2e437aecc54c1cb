"""What must hold of data is checked by errors: `python -O` takes assertions out."""

from __future__ import annotations

import ast

from tests.architecture.source import modules

KEEPING = ("cluster", "storage", "runtime.durable")


def tells_types_apart(test: ast.expr) -> bool:
    """Whether it only says `x is not None`, `isinstance(x, T)`, or the reverse."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name):
        return test.func.id == "isinstance"
    return isinstance(test, ast.Compare) and all(
        isinstance(op, ast.Is | ast.IsNot) for op in test.ops
    )


def test_rooms_that_keep_data_assert_nothing_but_types() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.name.startswith(KEEPING)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert) and not tells_types_apart(node.test)
    ]
    assert not found, f"raise an error there: {found}"


def test_the_cluster_asserts_nothing() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.room == "cluster"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    assert not found, f"raise an error there: {found}"

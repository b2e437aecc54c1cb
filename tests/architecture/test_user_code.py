"""Exceptions of user code become text in one way: `message_of`, and in the runtime its guarded kin.

`str(error)` runs `__str__`, which is the user's: it may raise `SystemExit`, and did. So where an
exception may be a user's, its text is never taken by `str`, a format string, `repr` or `args`.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from tests.architecture.exceptions import only_excused
from tests.architecture.source import Module, modules

OURS_ALONE = {"OSError", "UnicodeDecodeError", "UnicodeEncodeError", "PermissionError"}
"""Built-in exceptions that are caught around calls of the operating system or of codecs alone."""


def may_be_the_users(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches a class that user code raises as it likes: a built-in one."""
    caught = handler.type
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    return any(hasattr(builtins, name) or name.isupper() for name in names - OURS_ALONE)


def texts_of(name: str, handler: ast.ExceptHandler) -> Iterator[int]:
    """The lines on which the exception that is bound to `name` becomes text by itself."""
    for node in ast.walk(handler):
        match node:
            case ast.Call(func=ast.Name(id="str" | "repr" | "format"), args=[ast.Name(id=found)]):
                pass
            case ast.FormattedValue(value=ast.Name(id=found)):
                pass
            case ast.Attribute(value=ast.Name(id=found), attr="args"):
                pass
            case _:
                continue
        if found == name:
            yield node.lineno


def told_unguarded(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler) and node.name and may_be_the_users(node):
            scope = next(f for f in reversed(functions(module)) if node in ast.walk(f))
            yield from (f"{module.name}.{scope.name}" for _ in texts_of(node.name, node))


def functions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in module.nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_an_exception_that_may_be_a_users_becomes_text_in_one_way() -> None:
    found = {place for m in modules() for place in told_unguarded(m)}
    only_excused("text of an error", {f for f in found if not f.startswith("runtime.durable.")})


def test_the_text_of_a_crash_is_that_which_was_made_under_the_limit_of_its_step() -> None:
    """`.error` of a crash is the user's exception itself: nobody outside the runtime writes it."""
    found = {
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.room not in {"runtime", "errors"}
        for node in module.nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"str", "repr", "message_of"}
        and any(isinstance(arg, ast.Attribute) and arg.attr == "error" for arg in node.args)
    }
    assert len(found) == 1, found  # `crash_said`, for an error that carries no text
    assert next(iter(found)).startswith("commands.records:")

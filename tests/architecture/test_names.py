"""One meaning a name: none stands twice in a layer, and none stands there for nothing."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from tests.architecture.exceptions import only_excused
from tests.architecture.source import Module, modules
from tests.architecture.test_layers import LAYERS

EXAMPLES = "machines"
"""The room of workers to copy from: each has its own `step`, and tree files use them."""


def defined(module: Module) -> Iterator[tuple[str, ast.stmt]]:
    """The functions, classes and variables at the top of a module, with their statements."""
    for node in module.tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Assign() | ast.AnnAssign():
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    names = (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
                    yield from ((name, node) for name in names)


def of_package() -> list[Module]:
    return [m for m in modules() if m.room not in {EXAMPLES, "__main__", "__init__"}]


def test_no_public_function_or_class_has_its_name_twice_in_a_layer() -> None:
    layers = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
    names = Counter(
        f"{layers[module.room]}: {name}"
        for module in of_package()
        for name, node in defined(module)
        if module.room in layers
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if not name.startswith("_")
    )
    only_excused("twice", (name for name, count in names.items() if count > 1))


def test_every_name_at_the_top_of_a_module_is_used() -> None:
    used = {name for module in modules() for name in asked_of_others(module)}
    only_excused("unused", (name for m in of_package() for name in unread(m) if name not in used))


def asked_of_others(module: Module) -> Iterator[str]:
    """The full names that a module imports, or takes from a module that it imports."""
    attributes: dict[str, set[str]] = {}
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.setdefault(node.value.id, set()).add(node.attr)
    for local, full in module.imported:
        yield full
        yield from (f"{full}.{name}" for name in attributes.get(local, ()))


def unread(module: Module) -> Iterator[str]:
    """The full names that a module defines, and reads nowhere but in their own definition."""
    read = reads(module.tree)
    for name, node in defined(module):
        own = reads(node)[name] if not isinstance(node, ast.Assign | ast.AnnAssign) else 0
        if read[name] == own and not name.startswith("__"):
            yield f"{module.name}.{name}"


def reads(tree: ast.AST) -> Counter[str]:
    """How often each name is read below a node."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Counter(name.id for name in names if isinstance(name.ctx, ast.Load))


def test_the_article_before_the_name_of_a_type_is_never_written_by_hand() -> None:
    by_hand = re.compile(r"\ban? \{[^{}]*(__(qual)?name__|kind_of_code|name_of|form\.name)")
    found = [
        f"{module.place}: {line.strip()}"
        for module in modules()
        for line in module.text.splitlines()
        if by_hand.search(line)
    ]
    assert not found, "`a_or_an` knows which article a name has"


def test_what_is_a_number_is_told_in_one_way() -> None:
    """`isdigit` and `isdecimal` take digits of all scripts: an address meant one more record."""
    found = {
        module.place
        for module in modules()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and node.attr in {"isdigit", "isdecimal", "isnumeric"}
    }
    bytes_and_versions = {"ssm_cli/http/parsing.py", "ssm_cli/cluster/jetstream/cluster.py"}
    assert found == bytes_and_versions | {"ssm_cli/errors.py"}

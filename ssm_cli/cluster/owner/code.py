"""The code of a subtree: a tree file, or `module:attribute`, in the folder of the node."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType
from typing import Any

from ssm_cli.errors import SsmError, TreeFileError, a_or_an, message_of
from ssm_cli.spec.judge import complaints_of, complaints_text
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.spec.validate import check_spec

FILES = (".yaml", ".yml", ".py")
LEAVES = (
    "leaves the folder of the node; name a file below its --dir, without `..`, an absolute path "
    "or a link that leads out of it"
)


class Undefined(SsmError):
    """The code of a subtree is not found on this computer, or is no tree."""


def tree_of(reference: str, folder: Path) -> SupervisorSpec:
    """Load the tree of a reference, which another computer has sent: it never leaves `folder`.

    Args:
        reference: a tree file, relative to `folder`; or `package.module:attribute`, a Supervisor
            of a module in `folder`, or a function of that module that returns one.
        folder: of the node; its modules can be imported by the tree.

    Raises:
        Undefined: it is not found there, or leaves the folder (an absolute path, `..`, a link).
    """
    path = find_code(reference, folder)
    if path is not None:
        try:
            return load_tree(path)
        except TreeFileError as error:
            raise Undefined(f"{reference}: {error}") from error
    tree = _attribute(reference, folder)
    if problems := check_spec(tree):
        raise Undefined(complaints_text(reference, complaints_of(problems)))
    if not isinstance(tree, SupervisorSpec):
        raise Undefined(f"{reference} is {a_or_an(type(tree).__name__)}; a Supervisor is needed")
    return tree


def find_code(reference: str, folder: Path) -> Path | None:
    """Return the tree file of a reference, None for one of a module; no code is run.

    Raises:
        Undefined: as `tree_of`.
    """
    if ":" in reference and not reference.endswith(FILES):
        _need_module(reference, reference.partition(":")[0], folder)
        return None
    if Path(reference).is_absolute() or ".." in Path(reference).parts:
        raise Undefined(f"{reference} {LEAVES}")
    return _inside(reference, folder / reference, folder)


def _inside(reference: str, place: Path, folder: Path) -> Path:
    """Return the real path of what a reference stands for.

    Raises:
        Undefined: it is outside `folder`, or is not there.
    """
    try:
        path = place.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "no file can be called so"
        raise Undefined(f"{reference} is not in the folder of the node (--dir): {why}") from error
    if not path.is_relative_to(folder.resolve()):
        raise Undefined(f"{reference} {LEAVES}")
    return path


def _attribute(reference: str, folder: Path) -> Any:
    """Import a module of the folder, and return a value of it, or what a function of it returns."""
    name, _, attribute = reference.partition(":")
    if str(folder.resolve()) not in sys.path:
        sys.path.insert(0, str(folder.resolve()))
    try:
        module = importlib.import_module(name)
        value = getattr(module, attribute)
        if isinstance(value, FunctionType) and value.__module__ == name:
            value = value()
    except Exception as error:
        raise Undefined(f"{reference}: {type(error).__name__}: {message_of(error)}") from error
    return value


def _need_module(reference: str, name: str, folder: Path) -> None:
    """Raise `Undefined` unless a module and the packages above it are found in the folder alone."""
    where, known = [str(folder.resolve())], ""
    for word in name.split("."):
        known = f"{known}.{word}".lstrip(".")
        found = PathFinder.find_spec(known, where) if word.isidentifier() else None
        loaded = sys.modules.get(known)
        if found is None:
            raise Undefined(f"{reference}: no module {known} is in the folder of the node (--dir)")
        where = list(found.submodule_search_locations or ())
        for place in [found.origin] if found.origin else where:
            _inside(reference, Path(place), folder)
        if loaded is not None and getattr(loaded, "__file__", None) != found.origin:
            raise Undefined(f"{reference}: {known} is the name of another module; rename yours")

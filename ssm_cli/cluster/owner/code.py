"""The code of a subtree: a tree file, or `module:attribute`, as this computer finds it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from ssm_cli.errors import SsmError, TreeFileError, message_of
from ssm_cli.spec.judge import complaints_of, complaints_text
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.spec.validate import check_spec


class Undefined(SsmError):
    """The code of a subtree is not found on this computer, or is no tree."""


def tree_of(reference: str, folder: Path) -> SupervisorSpec:
    """Load the tree of a reference.

    Args:
        reference: a tree file, relative to `folder`; or `package.module:attribute`, a Supervisor
            or a function that returns one.
        folder: of the node; its modules can be imported.

    Raises:
        Undefined: it is not found here.
    """
    if ":" not in reference or reference.endswith((".yaml", ".yml", ".py")):
        try:
            return load_tree(folder / reference)
        except TreeFileError as error:
            raise Undefined(f"{reference}: {error}") from error
    module, _, attribute = reference.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        tree = getattr(importlib.import_module(module), attribute)
        tree = tree() if callable(tree) else tree
    except Exception as error:
        raise Undefined(f"{reference}: {type(error).__name__}: {message_of(error)}") from error
    if problems := check_spec(tree):
        raise Undefined(complaints_text(reference, complaints_of(problems)))
    assert isinstance(tree, SupervisorSpec)
    return tree

"""Values written on the command line: a state for `set`, a child spec for `start-child`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec

from ssm_cli.errors import CommandError
from ssm_cli.spec.model import ChildSpec

_AROUND = "{supervisor: start-child, auto_shutdown: any_significant, children: ["
"""Makes a tree of a child; such a tree also takes a significant one, and the node judges."""


def state_of(text: str, old: object) -> object:
    """The state that JSON `text` stands for, in the type that the worker's state has now.

    A struct, dataclass, tuple or set is built from the object or array; all else is taken as
    JSON has it.

    Raises:
        CommandError: no JSON, or not of that type.

    >>> state_of('{"x": 1}', {}), state_of("[1, 2]", (0,))
    ({'x': 1}, (1, 2))
    """
    kind = type(old)
    built = isinstance(old, msgspec.Struct | tuple | set | frozenset) or (
        dataclasses.is_dataclass(old)
    )
    try:
        value: object = msgspec.json.decode(text)
        return msgspec.convert(value, kind) if built else value
    except msgspec.ValidationError as error:
        raise CommandError(f"VALUE is no {kind.__name__}: {error}") from error
    except msgspec.DecodeError as error:
        raise CommandError(
            f'VALUE is no JSON: {error}; write numbers as 1, text as "x", mappings as {{"x": 1}}'
        ) from error
    except UnicodeEncodeError as error:
        raise CommandError("VALUE is no UTF-8; write other characters as \\uNNNN") from error


def child_spec_of(text: str) -> ChildSpec | str:
    """The child spec of a mapping as in a tree file, or the label that `text` is.

    The mapping is read as the only child of a tree, so it has the keys and the complaints of a
    tree file; `./file.py` is relative to the current folder.

    Raises:
        CommandError: it begins like a mapping and is no child spec; every complaint, each with
            its column in `text`.

    >>> child_spec_of("session-1")
    'session-1'
    >>> child_spec_of("{worker: kv9, start: ssm_cli.machines.kv:kv_store}").id
    'kv9'
    """
    if not text.lstrip().startswith("{"):
        return text.strip()
    from ssm_cli.spec.modules import Resolver  # noqa: PLC0415 - YAML is slow to import, and rare
    from ssm_cli.spec.validate import Problem  # noqa: PLC0415 - as above
    from ssm_cli.spec.walk import TreeReader  # noqa: PLC0415 - as above
    from ssm_cli.spec.yaml_nodes import compose  # noqa: PLC0415 - as above

    root = compose(f"{_AROUND}{text}]}}")
    if isinstance(root, Problem):
        raise _refusal([(root.column, root.message)])
    reader = TreeReader(Resolver(Path.cwd()).resolve)
    tree = reader.read(root)
    if reader.problems:
        raise _refusal([(problem.column, problem.message) for problem in reader.problems])
    if len(tree.children) != 1:
        raise _refusal([(len(_AROUND) + 1, "expected one mapping for one child")])
    return tree.children[0]


def _refusal(found: list[tuple[int, str]]) -> CommandError:
    """Complaints about the tree around the mapping, as complaints about the mapping."""
    column = max(found[0][0] - len(_AROUND), 1)
    said = "; ".join(f"column {max(at - len(_AROUND), 1)}: {message}" for at, message in found)
    return CommandError(f"SPEC is no child spec: {said}", column=column)

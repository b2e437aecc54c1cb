"""Child specs as text in the syntax of a tree file, to send them to another process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.errors import CommandError, SupervisorError
from ssm_cli.spec.importing import OURS
from ssm_cli.spec.judge import complaints_text, judged_alone
from ssm_cli.spec.keys import BACKOFF, REMOTE, SUPERVISOR, WORKER, Key
from ssm_cli.spec.model import Backoff, ChildSpec, Labelled, RemoteSpec, SupervisorSpec, WorkerSpec

APART = frozenset({"name", "start", "tree", "args", "children"})
"""The kinds of keys that are no settings."""


def text_of_spec(spec: ChildSpec | Labelled) -> str:
    """Encode a child spec as the mapping of a tree file, on one line; a label with its arguments.

    Raises:
        SupervisorError: it does not validate; with every complaint, as a node in this process.
        CommandError: its code cannot be imported by name in another process.

    >>> from ssm_cli.machines.kv import kv_store
    >>> text_of_spec(WorkerSpec("kv9", kv_store))
    '{"worker":"kv9","start":"ssm_cli.machines.kv:kv_store"}'
    """
    if isinstance(spec, Labelled):
        return f"{spec.label} {msgspec.json.encode(jsonable(dict(spec.args))).decode()}"
    if (refusal := judged_alone(spec)) is not None:
        why = complaints_text("the child spec", refusal.complaints)
        raise SupervisorError(why, term=refusal.term, complaints=refusal.complaints)
    return msgspec.json.encode(_mapping(spec)).decode()


def _mapping(spec: ChildSpec) -> dict[str, Any]:
    match spec:
        case WorkerSpec(options=options):
            if options.codec is not None and not isinstance(options.codec, str):
                why = f"{spec.id} has a codec that cannot be sent to another process; name it"
                raise CommandError(why)
            args = {"args": jsonable(spec.args)} if spec.args else {}
            head = {"worker": spec.id, "start": _reference(spec), **args}
            return head | _given(WORKER, options)
        case RemoteSpec():
            return {"remote": spec.id, "tree": spec.tree, **_given(REMOTE, spec)}
        case SupervisorSpec():
            if spec.partitions is not None:
                raise CommandError(f"{spec.id} has `partitions`: send the mapping of a tree file")
            if spec.init is not None:
                why = f"{spec.id} has an `init`, which cannot be sent to another process"
                raise CommandError(why)
            children = [_mapping(child) for child in spec.children]
            return {"supervisor": spec.id, **_given(SUPERVISOR, spec), "children": children}


def _given(keys: Mapping[str, Key], settings: object) -> dict[str, Any]:
    """Return what is not as it would be without, in the words of a tree file."""
    found: dict[str, Any] = {}
    for name, key in keys.items():
        value = getattr(settings, key.attribute, None)
        if isinstance(value, Enum):
            value = value.value
        elif isinstance(value, Backoff):
            value = {one.name: getattr(value, one.attribute) for one in BACKOFF.values()}
        if key.kind not in APART and value is not None and value != key.default:
            found[name] = dict(value) if isinstance(value, Mapping) else value
    return found


def _reference(spec: WorkerSpec) -> str:
    """Return `package.module:attribute` of a worker's code, or `/a/file.py:attribute`."""
    start = spec.start
    if isinstance(start, type):
        return f"{_module(start.__module__)}:{start.__qualname__}"
    for name, module in list(sys.modules.items()):
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is start:
                return f"{_module(name)}:{attribute}"
    raise CommandError(
        f"the code of {spec.id} is in no module that another process could import; "
        f"name it as package.module:attribute"
    )


def _module(name: str) -> str:
    """Return how another process reaches a module: by its name, or by its file."""
    return str(sys.modules[name].__file__) if name.startswith(OURS) else name

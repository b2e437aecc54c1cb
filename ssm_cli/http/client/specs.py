"""Child specs as text in the syntax of a tree file, to send them to another process."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.errors import CommandError, SupervisorError
from ssm_cli.spec.importing import OURS
from ssm_cli.spec.judge import complaints_text, judged_alone
from ssm_cli.spec.model import (
    DEFAULT_OPTIONS,
    Backoff,
    ChildSpec,
    Labelled,
    RemoteSpec,
    SupervisorSpec,
    WorkerSpec,
)


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
    if isinstance(spec, SupervisorSpec):
        found: dict[str, Any] = {
            "supervisor": spec.id,
            "strategy": spec.strategy.value,
            "intensity": spec.intensity,
            "period": spec.period_s,
            "auto_shutdown": spec.auto_shutdown.value,
            "restart": spec.restart.value,
            "shutdown": spec.shutdown_ms,
            "significant": spec.significant,
        }
        if spec.max_children is not None:
            found["max_children"] = spec.max_children
        if spec.partitions is not None:
            raise CommandError(f"{spec.id} has `partitions`: send the mapping of a tree file")
        if spec.init is not None:
            raise CommandError(f"{spec.id} has an `init`, which cannot be sent to another process")
        backoff = _backoff(spec.backoff)
        return found | backoff | {"children": [_mapping(child) for child in spec.children]}
    return _remote(spec) if isinstance(spec, RemoteSpec) else _worker(spec)


def _remote(spec: RemoteSpec) -> dict[str, Any]:
    found: dict[str, Any] = {
        "remote": spec.id,
        "tree": spec.tree,
        "place": dict(spec.place),
        "takeover": spec.takeover.value,
        "orphan": spec.orphan.value,
        "restart": spec.restart.value,
        "shutdown": spec.shutdown_ms,
        "significant": spec.significant,
    }
    lease = {} if spec.lease_s is None else {"lease": spec.lease_s}
    return found | lease | _backoff(spec.backoff)


def _worker(spec: WorkerSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"worker": spec.id, "start": _reference(spec)}
    if spec.args:
        found["args"] = jsonable(spec.args)
    options, usual = spec.options, DEFAULT_OPTIONS
    if options.codec is not None and not isinstance(options.codec, str):
        raise CommandError(f"{spec.id} has a codec that cannot be sent to another process; name it")
    given = {
        "restart": (options.restart.value, usual.restart.value),
        "shutdown": (options.shutdown_ms, usual.shutdown_ms),
        "significant": (options.significant, usual.significant),
        "step_timeout": (options.step_timeout_ms, usual.step_timeout_ms),
        "init_timeout": (options.init_timeout_ms, usual.init_timeout_ms),
        "persist": (options.persist.value, usual.persist.value),
        "on_crash": (options.on_crash.value, usual.on_crash.value),
        "save_inputs": (options.save_inputs, usual.save_inputs),
        "save_seconds": (options.save_seconds, usual.save_seconds),
        "quarantine": (options.quarantine, usual.quarantine),
        "codec": (options.codec, usual.codec),
        "label": (options.label, usual.label),
    }
    found |= {key: value for key, (value, default) in given.items() if value != default}
    return found | _backoff(options.backoff)


def _backoff(backoff: Backoff | None) -> dict[str, Any]:
    if backoff is None:
        return {}
    keys = {"initial": backoff.initial_ms, "factor": backoff.factor, "max": backoff.max_ms}
    return {"backoff": keys | {"jitter": backoff.jitter}}


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

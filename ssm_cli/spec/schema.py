"""The JSON Schema of a YAML tree file, from the table of keys: editors complete and check it."""

from __future__ import annotations

from typing import Any

from ssm_cli.spec.keys import (
    BACKOFF,
    LARGEST,
    MAX_NAME,
    NAME,
    REMOTE,
    ROOT,
    SUPERVISOR,
    WORKER,
    Key,
)
from ssm_cli.spec.model import Restart, Strategy

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "start": {"type": "string", "pattern": "^.+:[^:]+$"},
    "text": {"type": "string", "maxLength": MAX_NAME},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "args": {"type": "object"},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "tree": {"type": "string", "minLength": 1},
    "backoff": {"$ref": "#/$defs/backoff"},
    "children": {
        "type": "array",
        "items": {
            "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("worker", "supervisor", "remote")]
        },
    },
}
_POOL: dict[str, Any] = {
    "if": {
        "properties": {"strategy": {"const": Strategy.SIMPLE_ONE_FOR_ONE.value}},
        "required": ["strategy"],
    },
    "then": {"required": ["children"], "properties": {"children": {"minItems": 1, "maxItems": 1}}},
    "else": {"properties": {"max_children": False}},
}
_PARTED: dict[str, Any] = {
    "if": {"required": ["partitions"]},
    "then": {
        "required": ["children"],
        "properties": {
            "children": {"minItems": 1, "maxItems": 1},
            "strategy": {"not": {"const": Strategy.SIMPLE_ONE_FOR_ONE.value}},
        },
    },
}
_SIGNIFICANT: dict[str, Any] = {
    "if": {"properties": {"significant": {"const": True}}, "required": ["significant"]},
    "then": {
        "required": ["restart"],
        "properties": {"restart": {"enum": [Restart.TRANSIENT.value, Restart.TEMPORARY.value]}},
    },
}


def json_schema() -> dict[str, Any]:
    """The schema of a YAML tree file, JSON Schema draft 2020-12, as plain data.

    It says what the table of keys says, with descriptions and defaults, and the rules within one
    node; that names are unique and `start` can be imported is left to `load_tree`.

    >>> json_schema()["properties"]["intensity"]["default"]
    1
    """
    return {
        "$schema": DIALECT,
        "title": "ssm tree file",
        "description": "A tree of supervised state machines.",
        **_mapping(ROOT, [_POOL, _PARTED]),
        "$defs": {
            "supervisor": _mapping(SUPERVISOR, [_POOL, _PARTED, _SIGNIFICANT]),
            "worker": _mapping(WORKER, [_SIGNIFICANT]),
            "remote": _mapping(REMOTE, [_SIGNIFICANT]),
            "backoff": _mapping(BACKOFF, []),
        },
    }


def _mapping(table: dict[str, Key], rules: list[dict[str, Any]]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key.name: _value(key) for key in table.values()},
        "required": [key.name for key in table.values() if key.required],
        "additionalProperties": False,
    }
    return schema | {"allOf": rules} if rules else schema


def _value(key: Key) -> dict[str, Any]:
    about: dict[str, Any] = {"description": key.doc}
    if key.default is not None:
        about["default"] = key.default
    if key.kind == "word":
        return about | {"enum": list(key.words)}
    bounds = {"minimum": key.low, "exclusiveMinimum": key.above, "maximum": key.high}
    if key.kind in {"integer", "number"}:
        bounds |= {"exclusiveMaximum": LARGEST}
    plain = _TYPES[key.kind] | {name: bound for name, bound in bounds.items() if bound is not None}
    if key.words:
        return about | {"anyOf": [plain, {"enum": list(key.words)}]}
    return about | plain

"""The OpenAPI document, generated from the table of routes and the types of the answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from ssm_cli.commands.routes import INTO, MOST_INTEGER, PLACE, Role, Route
from ssm_cli.http.events import ID_PATTERN
from ssm_cli.http.routes import ROUTES, VALUES
from ssm_cli.runtime.engine.pending import MAX_REQUEST_CHARACTERS

Schema = dict[str, Any]
VERSION = "1"  # of the interface: the `v1` in its paths
REFS = "#/components/schemas/{name}"
ANYTHING: Schema = {}
OUTCOMES = [
    "replied", "crashed", "noproc", "timeout", "undecodable", "queue_full", "stopped", "denied",
]  # fmt: skip
TRANSPORT = (400, 408, 413, 417, 429, 431, 501, 503)
"""What every route may answer before its handler is asked: bounds of the connection."""


def document(worker: str = "kv1", supervisor: str = "root") -> Schema:
    """Return the OpenAPI 3.1 document, with names of this tree as examples."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        operation = _operation(route)
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                of_supervisor = route.path.startswith("/v1/sup") and parameter["name"] == "name"
                parameter["example"] = supervisor if of_supervisor else worker
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ssm",
            "version": VERSION,
            "description": "A running tree of supervised state machines.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "operationId": route.effect,
        "summary": route.help,
        "description": f"Needs the role `{route.role.name.lower()}`." if route.role else "",
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.role is Role.NOBODY:
        operation["security"] = []
    if route.body != "none":
        operation["requestBody"] = _body(route)
    return operation


def _parameters(route: Route) -> list[Schema]:
    text = {"type": "string", "minLength": 1}
    found: list[Schema] = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": text}
        for part in route.path.split("/")
        if part.startswith("{")
    ]
    for parameter in route.placed:
        schema: Schema = {"type": parameter.type}
        if parameter.choices:
            schema["enum"] = list(parameter.choices)
        if parameter.type in ("number", "integer"):
            most = 3600 if parameter.name == "timeout" else MOST_INTEGER
            schema |= {"minimum": 0, "maximum": most}
        entry = {"name": parameter.name, "in": "query", "description": parameter.help}
        required = {"required": True} if parameter.required else {}
        found.append(entry | {"schema": schema} | required)
    if route.effect == "call":
        key = {"type": "string", "minLength": 1, "maxLength": MAX_REQUEST_CHARACTERS}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": key})
    if route.effect == "reports":
        number = {"type": "string", "pattern": ID_PATTERN}
        found.append({"name": "Last-Event-ID", "in": "header", "schema": number})
    return found


def _body(route: Route) -> Schema:
    content: Schema = {}
    if route.body in ("input", "text"):
        content["text/plain"] = {"schema": {"type": "string"}}
    if route.body in ("input", "json"):
        content["application/json"] = {"schema": ANYTHING}
    return {"required": True, "content": content}


def _responses(route: Route) -> Schema:
    media = {"events": "text/event-stream", "metrics": "text/plain"}.get(route.answer)
    if media is None:
        content = {"application/json": {"schema": _ref(route.answer)}}
    else:
        content = {media: {"schema": {"type": "string"}}}
    found: Schema = {str(route.status): {"description": "done", "content": content}}
    kept = {507}  # by whatever changes or reads what is kept
    statuses = {*route.failures, *TRANSPORT, *kept} | ({401, 403} if route.role else set())
    statuses |= {404, 409} if PLACE in route.placed else set()
    statuses |= {404} if INTO in route.placed else set()
    failure = {"anyOf": [_ref("Reply"), _ref("Error")]} if route.effect == "call" else _ref("Error")
    for status in sorted(statuses):
        found[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": failure}},
        }
    return found


def _ref(name: str) -> Schema:
    return {"$ref": REFS.format(name=name)}


def _record(
    kind: str, required: dict[str, Schema], more: dict[str, Schema] | None = None
) -> Schema:
    """Return the schema of a record: `v`, `type`, and its fields."""
    head = {"v": {"const": 1}, "type": {"const": kind}}
    properties = {**head, **required, **(more or {})}
    return {"type": "object", "properties": properties, "required": [*head, *required]}


def schemas() -> dict[str, Schema]:
    """Return the schemas of all answers, by name."""
    text, number, integer = ({"type": kind} for kind in ("string", "number", "integer"))
    error: Schema = {
        "type": "object",
        "properties": {"type": text, "message": text, "reason": text, "term": ANYTHING},
        "required": ["type", "message"],
    }
    known: dict[str, Schema] = {
        "Reply": _record("reply", {"worker": text, "input": text, "outcome": {"enum": OUTCOMES},
                                   "ms": number},
                         {"output": text, "value": ANYTHING, "error": error}),
        "Error": _record("error", {"error": error}),
        "Done": _record("done", {"verb": text}),
        "Child": _record("done", {"verb": text, "child": {"type": ["string", "null"]}}),
        "State": _record("state", {"worker": text, "text": text, "value": ANYTHING}),
        "Status": _record("status", {"status": {"type": "object"}, "text": text}),
        "Health": _record("health", {"status": {"const": "ok"}}),
        "Info": _record("info", {"name": text, "file": text, "pid": integer, "instance": text,
                                 "state": text, "uptime_s": number, "workers": integer,
                                 "restarts": integer, "dropped": integer, "seq": integer}),
        "Report": _record("report", {"seq": integer, "at": text, "event": text, "id": text,
                                     "path": text, "kind": text}),
        "Reports": {"type": "array", "items": _ref("Report")},
        "Quarantined": _record("quarantined", {"number": integer, "worker": text, "at_s": number,
                                               "input": text, "crashes": integer, "error": text}),
        "Quarantine": {"type": "array", "items": _ref("Quarantined")},
        "Past": {"type": "object"},
        "Document": {"type": "object"},
    }  # fmt: skip
    return known | _of_types()


def _of_types() -> dict[str, Schema]:
    """Return the schemas of the answers that are types of the package."""
    made, parts = msgspec.json.schema_components(VALUES.values(), ref_template=REFS)
    named = {name: s for name, s in zip(VALUES, made, strict=True) if s != _ref(name)}
    heads = {"TreePlan": _record("plan", {}), "Applied": _record("applied", {})}
    for name, head in heads.items():
        properties = head["properties"] | parts[name]["properties"]
        required = [*head["required"], *parts[name]["required"]]
        parts[name] = parts[name] | {"properties": properties, "required": required}
    parts["NodeView"]["required"] += ["restarts", "uptime_s", "queue"]  # in a record, always
    return parts | named

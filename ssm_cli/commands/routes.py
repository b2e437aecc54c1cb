"""How a tree of another process is asked: the form of a route, and the role that it needs."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

Body = Literal["none", "input", "json", "text"]
QueryType = Literal["string", "number", "integer", "boolean"]


class Role(IntEnum):
    """What a caller may do; each role includes the permissions of those before it."""

    NOBODY = 0
    READ = 1
    CALL = 2
    ADMIN = 3


class Query(msgspec.Struct, frozen=True):
    """A parameter of the query string; a value of another type is refused.

    `default` is what the handler gets where it is left out; None: what its method has.
    """

    name: str
    type: QueryType
    help: str
    choices: tuple[str, ...] = ()
    default: str | int | None = None


class Route(msgspec.Struct, frozen=True):
    """One route.

    Attributes:
        method: the HTTP method.
        path: its segments; `{name}` stands for any one.
        effect: what answers it: a method of `NodeApi`, of the tree's supervisors, or of the
            handlers of the server; also the operation's id in the OpenAPI document.
        role: the least role that the caller needs.
        help: one sentence; that of the verb by default.
        answer: the schema of the answer with `status`.
        body: the kind of the request's body.
        query: its parameters.
        failures: further statuses, besides those of every route.
        status: the status of success.
    """

    method: str
    path: str
    effect: str
    role: Role
    help: str
    answer: str
    body: Body = "none"
    query: tuple[Query, ...] = ()
    failures: tuple[int, ...] = ()
    status: int = 200


READ, CALL, ADMIN, NOBODY = Role.READ, Role.CALL, Role.ADMIN, Role.NOBODY
WORKERS = "/v1/workers/{name}"
NODES = "/v1/nodes/{name}"
SUPERVISORS = "/v1/supervisors/{name}"
CHILD = f"{SUPERVISORS}/children/{{child}}"
SYS = (404, 409, 500)
SUP = (404, 409, 500, 503, 504)
TIMEOUT = Query("timeout", "number", "seconds to wait for the outcome, at most 3600; default 5")
LAST = Query("last", "integer", "only the last so many")
AFTER = Query("after", "integer", "only reports with a greater `seq`")
ON = Query("on", "boolean", "false ends the trace")
STARTS = Query("starts", "integer", "for a dynamic child: which life of it is meant")
EVENTS = Query("events", "integer", "how many to keep", default=0)
VERSION = Query("old_version", "string", "what `code_change` is told; required", default="")
REASON = Query("reason", "string", "why; default normal")
OF = Query("worker", "string", "only those of this worker")

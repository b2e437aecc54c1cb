"""The routes: one table that the application, the OpenAPI document and the reference read."""

from __future__ import annotations

from typing import Literal, get_args
from urllib.parse import unquote_to_bytes

import msgspec

from ssm_cli.http.access import Role
from ssm_cli.runtime.views import Kind as NodeKind

Body = Literal["none", "input", "json", "text"]
Kind = Literal["string", "number", "integer", "boolean"]


class Query(msgspec.Struct, frozen=True):
    """A parameter of the query string; a value of another type is refused."""

    name: str
    type: Kind
    help: str
    choices: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """One route.

    Attributes:
        method: the HTTP method.
        path: its segments; `{name}` stands for any one.
        handler: name of the handler; also the operation's id in the OpenAPI document.
        role: the least role that the caller needs.
        help: one sentence.
        answer: the schema of the answer with `status`.
        body: the kind of the request's body.
        query: its parameters.
        failures: further statuses, besides those of every route.
        status: the status of success.
    """

    method: str
    path: str
    handler: str
    role: Role
    help: str
    answer: str
    body: Body = "none"
    query: tuple[Query, ...] = ()
    failures: tuple[int, ...] = ()
    status: int = 200


READ, CALL, ADMIN, NOBODY = Role.READ, Role.CALL, Role.ADMIN, Role.NOBODY
TIMEOUT = Query("timeout", "number", "seconds to wait for the outcome, at most 3600; default 5")
AFTER = Query("after", "integer", "only reports with a greater `seq`")
LAST = Query("last", "integer", "only the last so many")
KIND = Query("kind", "string", "only these", get_args(NodeKind))
ON = Query("on", "boolean", "false ends the trace")
STARTS = Query("starts", "integer", "for a dynamic child: which life of it is meant")
EVENTS = Query("events", "integer", "how many to keep")
VERSION = Query("old_version", "string", "what `code_change` is told; required")
REASON = Query("reason", "string", "why; default normal")
OF = Query("worker", "string", "only those of this worker")
WORKERS = "/v1/workers/{name}"
NODES = "/v1/nodes/{name}"
SUPERVISORS = "/v1/supervisors/{name}"
CHILD = f"{SUPERVISORS}/children/{{child}}"
SYS = (404, 409, 500)
SUP = (404, 409, 500, 503, 504)

ROUTES: tuple[Route, ...] = (
    Route("POST", f"{WORKERS}/call", "call", CALL, "Step a worker and answer with its output.",
          "Reply", "input", (TIMEOUT,), (400, 404, 413, 422, 500, 503, 504)),
    Route("POST", f"{WORKERS}/cast", "cast", CALL, "Write an input and do not wait for an output.",
          "Done", "input", (), (400, 413, 503), 202),
    Route("GET", f"{WORKERS}/state", "get_state", READ, "The worker's state, redacted.",
          "State", failures=(404, 500)),
    Route("PUT", f"{WORKERS}/state", "replace_state", ADMIN, "Put another state in its place.",
          "Done", "json", failures=(400, 404, 409, 413, 500)),
    Route("GET", f"{WORKERS}/stats", "statistics", READ, "The worker's counts.",
          "Statistics", failures=(404,)),
    Route("GET", f"{WORKERS}/constructors", "constructors", READ,
          "The constructors of the worker's inputs.", "Constructors", failures=(404,)),
    Route("POST", f"{WORKERS}/trace", "trace", ADMIN, "Report every input and output, or stop it.",
          "Done", query=(ON,), failures=SYS),
    Route("GET", f"{WORKERS}/status", "get_status", READ, "All there is to know of the worker.",
          "Status", failures=(404, 500)),
    Route("POST", f"{WORKERS}/keep", "keep", ADMIN, "Keep the worker's last events; 0 keeps none.",
          "Done", query=(EVENTS,), failures=SYS),
    Route("POST", f"{WORKERS}/change-code", "change_code", ADMIN,
          "Have a suspended worker run its code_change; the body is its `extra`.",
          "Done", "json", (VERSION,), (404, 409, 413, 500)),
    Route("GET", NODES, "whereis", READ, "The process that runs under a name, or null.", "Process"),
    Route("POST", f"{NODES}/suspend", "suspend", ADMIN, "Hold a worker or supervisor.",
          "Done", failures=SYS),
    Route("POST", f"{NODES}/resume", "resume", ADMIN, "Let it go on.", "Done", failures=SYS),
    Route("POST", f"{NODES}/kill", "kill", ADMIN, "Kill it; its terminate does not run.",
          "Done", failures=SYS),
    Route("POST", f"{NODES}/stop", "stop_process", ADMIN, "End it in an orderly way.",
          "Done", query=(REASON, TIMEOUT), failures=(*SYS, 504)),
    Route("GET", f"{SUPERVISORS}/children", "which_children", READ,
          "The children, last started first.", "Children", failures=SUP),
    Route("POST", f"{SUPERVISORS}/children", "start_child", ADMIN,
          "Start a child from a label, or from a mapping as in a tree file.",
          "Child", "text", failures=(400, 413, *SUP)),
    Route("GET", f"{SUPERVISORS}/count", "count_children", READ,
          "How many specs, active, supervisors, workers.", "Counts", failures=SUP),
    Route("GET", CHILD, "get_childspec", READ, "The spec of a child.", "ChildSpec", failures=SUP),
    Route("POST", f"{CHILD}/terminate", "terminate_child", ADMIN, "Stop a child, keep its spec.",
          "Done", query=(STARTS,), failures=SUP),
    Route("POST", f"{CHILD}/restart", "restart_child", ADMIN, "Start a child that was stopped.",
          "Child", failures=SUP),
    Route("DELETE", CHILD, "delete_child", ADMIN, "Forget the spec of a stopped child.",
          "Done", failures=SUP),
    Route("GET", "/v1/info", "info", READ, "Name, file, process and counts of the tree.", "Info"),
    Route("GET", "/v1/tree", "tree", READ, "The whole tree, as it stands.", "Node"),
    Route("GET", "/v1/names", "names", READ, "The names of all nodes in start order.",
          "Names", query=(KIND,)),
    Route("GET", "/v1/log", "log", READ, "The kept reports, oldest first.",
          "Reports", query=(AFTER, LAST)),
    Route("GET", "/v1/crashes", "crash_reports", READ, "The last crashes, oldest first.",
          "Crashes", query=(OF, LAST), failures=(404,)),
    Route("GET", "/v1/quarantine", "quarantined", READ,
          "The inputs that are refused, as they have crashed their worker too often.",
          "Quarantine"),
    Route("DELETE", "/v1/quarantine/{number}", "release_input", ADMIN,
          "Let such an input in again, and count its crashes anew.", "Quarantined",
          failures=(404,)),
    Route("GET", "/v1/reports", "reports", READ,
          "The reports as Server-Sent Events; `Last-Event-ID` or `after` resumes.",
          "events", query=(AFTER,), failures=(503,)),
    Route("POST", "/v1/stop", "stop", ADMIN, "Stop the whole tree in order.", "Done"),
    Route("GET", "/metrics", "metrics", READ, "Metrics for Prometheus.", "metrics"),
    Route("GET", "/health/live", "live", NOBODY, "Whether the process serves.", "Health"),
    Route("GET", "/health/ready", "ready", NOBODY, "Whether every node that should run does.",
          "Health", failures=(503,)),
    Route("GET", "/openapi.json", "openapi", READ, "This document.", "Document"),
)  # fmt: skip


class Table:
    """Finds the routes at a path."""

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._by_length: dict[int, list[tuple[tuple[bytes, ...], Route]]] = {}
        for route in routes:
            parts = tuple(route.path.encode().split(b"/"))
            self._by_length.setdefault(len(parts), []).append((parts, route))

    def find(self, path: bytes) -> list[tuple[Route, dict[str, str]]]:
        """Return the routes at a raw path, each with its path parameters; none if unknown.

        >>> route, names = Table().find(b"/v1/workers/root%2Fkv1/state")[0]
        >>> route.handler, names
        ('get_state', {'name': 'root/kv1'})
        """
        given = path.split(b"/")
        found = []
        for parts, route in self._by_length.get(len(given), ()):
            if all(_fits(part, word) for part, word in zip(parts, given, strict=True)):
                found.append((route, _names(parts, given)))
        return found


def _fits(part: bytes, word: bytes) -> bool:
    return part == word or (part[:1] == b"{" and word != b"")


def _names(parts: tuple[bytes, ...], given: list[bytes]) -> dict[str, str]:
    pairs = zip(parts, given, strict=True)
    return {p[1:-1].decode(): text_of(word) for p, word in pairs if p[:1] == b"{"}


def text_of(word: bytes) -> str:
    """Decode a segment of a path; bytes that are not UTF-8 become escapes."""
    return unquote_to_bytes(word).decode("utf-8", "backslashreplace")

"""All routes: those of the verbs, which their rows describe, and those that are no verb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args
from urllib.parse import quote, unquote_to_bytes, urlencode

from ssm_cli.codec.port import Constructor
from ssm_cli.commands.routes import (
    ADMIN,
    AFTER,
    APPLY,
    FIRST,
    NOBODY,
    NODES,
    READ,
    SPECS_ONLY,
    SUP,
    TREE_FILE,
    WORKERS,
    Query,
    Route,
)
from ssm_cli.commands.verbs import TABLE
from ssm_cli.errors import MOST_PLACES, is_number
from ssm_cli.runtime import views
from ssm_cli.runtime.looking.listing import Branch, Census, Rows
from ssm_cli.supervision.planning import Applied, TreePlan

STOPPED = "ssm-stopped"
"""The header that says why a fork was stopped in what a request has set off in it."""

OTHERS: tuple[Route, ...] = (
    Route("GET", f"{WORKERS}/constructors", "constructors", READ,
          "The constructors of the worker's inputs.", "Constructors", failures=(404,)),
    Route("GET", NODES, "whereis", READ, "The process that runs under a name, or null.", "Process"),
    Route("GET", "/v1/futures", "futures", READ,
          "The searches of possible futures that are under way, and how far they are.", "Past"),
    Route("GET", "/v1/info", "info", READ, "Name, file, process and counts of the tree.", "Info"),
    Route("GET", "/v1/names", "names", READ,
          "The names of all nodes, or of the children of a supervisor, in start order.",
          "Names", query=(Query("kind", "string", "only these", get_args(views.Kind)),
                          Query("below", "string", "only the children of this supervisor")),
          failures=(404,)),
    Route("POST", "/v1/rows", "rows", READ,
          "Some nodes as they stand; `rows` is null if nothing has happened `since`.",
          "Rows", body="json"),
    Route("GET", "/v1/branches", "branches", READ,
          "Each supervisor: its size, its first children, and those that are supervisors.",
          "Branches", query=(FIRST,)),
    Route("GET", "/v1/census", "census", READ, "Counts over the whole tree.", "Census"),
    Route("POST", "/v1/plan", "plan", APPLY, "What `apply` would do; nothing is done.",
          "Plan", query=(TREE_FILE, SPECS_ONLY), failures=SUP),
    Route("GET", f"{WORKERS}/groups", "joined", READ, "The groups that a worker is in.",
          "GroupNames", failures=(404,)),
    Route("GET", "/v1/quarantine", "quarantined", READ,
          "The inputs that are refused, as they have crashed their worker too often.",
          "Quarantine"),
    Route("DELETE", "/v1/quarantine/{number}", "release_input", ADMIN,
          "Let such an input in again, and count its crashes anew.", "Quarantined",
          failures=(404,)),
    Route("GET", "/v1/reports", "reports", READ,
          "The reports as Server-Sent Events; `Last-Event-ID` or `after` resumes.",
          "events", query=(AFTER,), failures=(503,)),
    Route("GET", "/metrics", "metrics", READ, "Metrics for Prometheus.", "metrics"),
    Route("GET", "/health/live", "live", NOBODY, "Whether the process serves.", "Health"),
    Route("GET", "/health/ready", "ready", NOBODY, "Whether every node that should run does.",
          "Health", failures=(503,)),
    Route("GET", "/openapi.json", "openapi", READ, "This document.", "Document"),
)  # fmt: skip

ROUTES = (*(verb.route for verb in TABLE if verb.route is not None), *OTHERS)

BY_EFFECT = {route.effect: route for route in ROUTES}

VALUES: dict[str, Any] = {
    "Node": views.NodeView,
    "Names": list[str],
    "Statistics": views.Statistics,
    "Counts": views.Counts,
    "ChildSpec": views.ChildSpecView,
    "Children": list[views.ChildInfo],
    "Rows": Rows,
    "Branches": list[Branch],
    "Census": Census,
    "Constructors": tuple[Constructor, ...],
    "Process": views.ProcessRef | None,
    "Crashes": list[views.CrashReport],
    "Groups": list[views.GroupInfo],
    "GroupNames": list[str],
    "Members": list[views.MemberInfo],
    "MemberValues": list[views.MemberValue],
    "Published": views.Published,
    "Plan": TreePlan,
    "Applied": Applied,
}
"""The answers that are types of the package, by the names of their schemas."""


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
        >>> route.effect, names
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


def filled(route: Route, names: Iterator[Any]) -> str:
    """Return the path of a route with the next names in its places.

    >>> filled(BY_EFFECT["get_childspec"], iter(["root/storage", "kv2"]))
    '/v1/supervisors/root%2Fstorage/children/kv2'
    """
    words = route.path.split("/")
    return "/".join(segment(str(next(names))) if word[:1] == "{" else word for word in words)


def segment(name: str) -> str:
    """Return a name as a segment of a path, or as a value of a query."""
    return quote(name, safe="", errors="surrogateescape")


def query_text(query: Mapping[str, object]) -> str:
    """Return a query string; what is None is left out."""
    words = {name: query_word(value) for name, value in query.items() if value is not None}
    return urlencode(words, errors="surrogateescape")


def query_word(value: object) -> str:
    """Return a value of the query as text; of a number that is refused, no more than that takes.

    >>> query_word(True), query_word("9" * 5_000) == "9" * 41, query_word("0" * 5_000 + "12")
    ('true', True, '12')
    """
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if len(word) <= MOST_PLACES or not is_number(word):
        return word
    return word.lstrip("0")[: MOST_PLACES + 1] or "0"

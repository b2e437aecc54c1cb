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
    APPLY = 3
    ADMIN = 4


class Query(msgspec.Struct, frozen=True):
    """A parameter of the query string; a value of another type is refused.

    `default` is what the handler gets where it is left out; None: what its method has. One that is
    `required` may not be left out.
    """

    name: str
    type: QueryType
    help: str
    choices: tuple[str, ...] = ()
    default: str | int | None = None
    required: bool = False


YES_NO = ("yes", "no")


def flag(name: str, help_: str) -> Query:
    """Return a parameter that is `yes` or `no`; left out it is neither."""
    return Query(name, "string", help_, YES_NO)


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
        wait_s: how long a client waits for the answer at least.
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
    wait_s: float = 0.0

    @property
    def placed(self) -> tuple[Query, ...]:
        """Its parameters, the place in time that is asked, and the remote child, where it may be.

        Some are always about now, and some always about this tree.
        """
        at = () if self.effect in NOW_ONLY else (PLACE,)
        is_here = self.effect in HERE_ONLY and self.effect not in NAMED_WHOLE
        return (*self.query, *at, *(() if is_here else (INTO,)))


READ, CALL, APPLY, ADMIN = Role.READ, Role.CALL, Role.APPLY, Role.ADMIN
NOBODY = Role.NOBODY
WORKERS = "/v1/workers/{name}"
NODES = "/v1/nodes/{name}"
GROUPS = "/v1/groups"
PAST = "/v1/history"
PLACE = Query("at", "string", "the place in time: a record, `crash`, a time, a fork; default now")
NOW_ONLY = frozenset({"reports", "metrics", "live", "ready", "openapi", "info"})
"""The effects that are about the process, or about what goes on."""
INTO = Query("in", "string", "the remote child that is asked, in the place of this tree")
HERE_ONLY = frozenset({
    "call", "cast", "publish", "stop", "reports", "live", "ready", "openapi", "rows",
})  # fmt: skip
"""The effects that are about this tree alone, or whose worker is named whole."""
NAMED_WHOLE = frozenset({"call", "cast"})
"""Those whose worker is: what is for `kv` in `billing` is for `billing.kv` of this tree."""
SUP = (404, 409, 500, 503, 504)
MOST_INTEGER = 2**53 - 1  # of a query, and of an argument: what JSON of any peer carries
LAST = Query("last", "integer", "only the last so many")
AFTER = Query("after", "integer", "only reports with a greater `seq`")
FIRST = Query("first", "integer", "so many of the first children; default 20", default=20)
TREE_FILE = Query("tree", "string", "a tree file where the tree runs; default: that of the tree")
SPECS_ONLY = Query("specs_only", "boolean", "change specs alone; start, stop and restart nothing")
LATER_S = 90.0  # for the answer of what takes long: it is there after 60 s, whatever happens
PLAN = Query("plan", "string", "the digest of the plan that was agreed to; default: any")
OF = Query("worker", "string", "only those of this worker")


def tells(effect: str, help_: str, *query: Query, path: str | None = None) -> Route:
    """Return the route of an effect that tells of the past; `path` is that below `PAST`."""
    where = f"{PAST}/{effect}" if path is None else f"{PAST}{path}"
    failures = (400, 404) if query else ()
    return Route("GET", where, effect, READ, help_, "Past", query=query, failures=failures)


def acts(effect: str, help_: str, *query: Query, path: str = "", wait_s: float = LATER_S) -> Route:
    """Return the route of an effect that changes a tree or a fork, or steps user code."""
    return Route("POST", path or f"{PAST}/{effect}", effect, ADMIN, help_, "Past", query=query,
                 failures=(400, 404, 409), wait_s=wait_s)  # fmt: skip

"""Requests that are carried to a remote child: asked there as of a tree of its own.

What is carried is one request and its whole answer, so what has no end (the stream of reports) is
not. A remote child is named by `in`, or in front of a worker's name: `billing.invoice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ssm_cli.commands.routes import GROUPS, HERE_ONLY, INTO, Route
from ssm_cli.http.calling import outcome
from ssm_cli.http.exchange import HttpAnswer
from ssm_cli.http.routes import BY_EFFECT, filled, query_text
from ssm_cli.runtime.node import Node

WAIT_S = 10.0  # for an answer


class Carried(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request: the path with its escapes, the query string, and the body, if any."""

    method: str
    path: str
    query: str = ""
    kind: str = ""
    body: bytes = b""


class CarriedAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole answer to it."""

    status: int
    body: bytes
    kind: str = ""


def to_carry(
    node: Node, route: Route, names: Mapping[str, str], query: Mapping[str, Any]
) -> tuple[str, Carried] | None:
    """Return the remote child that a request is about, and the request as it is asked there.

    None where it is about this tree.
    """
    if route.effect in HERE_ONLY:
        return None
    child, names, query = str(query.get(INTO.name, "")), dict(names), dict(query)
    query.pop(INTO.name, None)
    named = [(query, "worker")] if route.path.startswith(GROUPS) else [
        (names, "name"), (query, "worker"),
    ]  # fmt: skip
    for given, key in named:
        far = node.far(str(given.get(key, "")))
        if far is not None and child in ("", far[0]):
            child, given[key] = far
    if not child:
        return None
    return child, Carried(route.method, filled(route, iter(names.values())), query_text(query))


def whole_name(node: Node, name: str, query: dict[str, Any]) -> str:
    """Return the name of a worker with the remote child that it is in; takes that from a query."""
    child = query.pop(INTO.name, "")
    far = node.far(name) if child else None
    return name if not child or (far is not None and far[0] == child) else f"{child}.{name}"


def told_by(child: str, path: str, data: bytes) -> CarriedAnswer:
    """Return the answer of a remote child; an error and how to ask again say whose it is."""
    answer = msgspec.json.decode(data, type=CarriedAnswer)
    if answer.status < 400 and path != BY_EFFECT["fuzz"].path:
        return answer
    record = msgspec.json.decode(answer.body)
    if answer.status < 400:
        verb, _, asked = record["replay"].partition(" ")
        record["replay"] = f"{verb} {child}.{asked}"
    else:
        record["error"]["message"] = f"{child}: {record['error']['message']}"
    return CarriedAnswer(answer.status, msgspec.json.encode(record), answer.kind)


async def carry(node: Node, child: str, request: Carried) -> HttpAnswer:
    """Have a remote child answer a request; the running loop serves the node meanwhile.

    Raises:
        CallError: it is not there, cannot be reached, or does not answer in time.
    """
    pending = node.ask_far(child, msgspec.json.encode(request), WAIT_S)
    await outcome(pending, None)  # the link ends it in time
    answer = told_by(child, request.path, pending.result())
    return HttpAnswer(answer.status, answer.body)

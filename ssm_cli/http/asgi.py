"""Our routes in somebody else's server: the application behind ASGI 3.

The doors do not need it. A server of ASGI has bounds of its own on headers, time and connections;
that on the body is kept here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from ssm_cli.commands.routes import Role
from ssm_cli.http.access import LOOPBACK, Gate
from ssm_cli.http.app import App, Service
from ssm_cli.http.exchange import JSON, Answered, Application, Exchange, HttpAnswer
from ssm_cli.http.refusals import refused_request
from ssm_cli.http.requests import About
from ssm_cli.runtime.node import Node

Fields = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Fields]]
Send = Callable[[Fields], Awaitable[None]]


def asgi_app(
    node: Node, tokens: Mapping[str, str] | None = None, hosts: tuple[str, ...] = LOOPBACK
) -> AsgiApp:
    """Return the routes of a node as an ASGI application, for the loop that serves the node.

    Args:
        node: running, and served by that loop.
        tokens: the role of each token, `read`, `call`, `apply` or `admin`; None asks for none.
        hosts: the names by which clients may call it.
    """
    roles = {token: Role[role.upper()] for token, role in (tokens or {}).items()}
    gate = None if tokens is None else Gate(roles, hosts)
    return AsgiApp(App(Service(node, About()), gate))


class AsgiApp:
    """An ASGI application that asks one of ours.

    Args:
        app: what answers, an `App` with its gate.
        body_bytes: what a body may have; may be set.
    """

    def __init__(self, app: Application, body_bytes: int = 1 << 20) -> None:
        self._app = app
        self.body_bytes = body_bytes

    async def __call__(self, scope: Fields, receive: Receive, send: Send) -> None:
        """Answer one request; other scopes than `http` are left alone."""
        if scope["type"] != "http":
            return
        path = (scope.get("raw_path") or scope["path"].encode()).removeprefix(
            scope.get("root_path", "").encode()  # where it is mounted
        )
        exchange = Exchange(
            scope["method"].encode(), path, scope["query_string"], dict(scope["headers"])
        )
        answer = self._app.admit(exchange)
        if answer is None and not (exchange.early or await self._read(exchange, receive)):
            why = f"the body is larger than {self.body_bytes} bytes; split it"
            answer = refused_request(413, why, exchange)
        given = answer or self._app.answer(exchange)
        if not isinstance(given, Answered):
            given = await given
        await _send(given, send, exchange.method)

    async def _read(self, exchange: Exchange, receive: Receive) -> bool:
        """Read the body; return False if it is too large, or ends early."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if message["type"] == "http.disconnect" or size > self.body_bytes:
                return False
            parts.append(part)
            more = message.get("more_body", False)
        exchange.body = b"".join(parts)
        return True


async def _send(given: Answered, send: Send, method: bytes) -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": 200}
    if isinstance(given, HttpAnswer):
        length = (b"content-length", b"%d" % len(given.body))
        closing = ((b"connection", b"close"),) if given.closes else ()
        headers = [(b"content-type", JSON), length, *given.headers, *closing]
        body = b"" if method == b"HEAD" else given.body
        await send(start | {"status": given.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await send(start | {"headers": [(b"content-type", given.kind), *given.headers]})
    async with contextlib.aclosing(given.parts) as parts:
        if method != b"HEAD":
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

"""Our routes behind ASGI: the same answers as through a door."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from ssm_cli import AsgiApp, Node, asgi_app, load_tree
from ssm_cli.http.exchange import Headers
from tests.http.serving import ROOT, serve

TOKEN = "caller" * 4
Sent = list[dict[str, Any]]


async def asked(
    app: AsgiApp,
    method: str,
    path: str,
    *parts: bytes,
    headers: Headers = (),
) -> Sent:
    """What is sent for one request whose body comes in parts."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: Sent = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    given = [(b"host", b"localhost"), *headers]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": given}  # fmt: skip
    await app(scope, receive, send)
    return sent


def run(method: str, path: str, *parts: bytes, token: str = TOKEN) -> tuple[int, bytes, Any]:
    async def main() -> Sent:
        with Node(load_tree(ROOT / "trees/kv.yaml")) as node:
            app = asgi_app(node, {TOKEN: "call"})
            app.body_bytes = 100
            shown = (b"authorization", f"Bearer {token}".encode())
            return await asked(app, method, path, *parts, headers=(shown,))

    first, *rest = asyncio.run(main())
    assert rest[-1].get("more_body", False) is False
    return first["status"], b"".join(part["body"] for part in rest), dict(first["headers"])


@pytest.mark.parametrize(
    ("method", "path", "parts", "status"),
    [
        ("POST", "/v1/workers/kv1/call", (b"Store", b" x 1"), 200),
        ("POST", "/v1/workers/kv1/call", (b"Lookup crash",), 500),
        ("POST", "/v1/workers/kv1/cast", (b"Store x 1",), 202),
        ("POST", "/v1/workers/kv1/call", (b"x" * 60, b"x" * 60), 413),
        ("GET", "/v1/tree", (), 200),
        ("GET", "/metrics", (), 200),
        ("GET", "/nowhere", (), 404),
        ("POST", "/v1/stop", (), 403),
    ],
)
def test_a_request_gets_the_status_that_a_door_gives(
    method: str, path: str, parts: tuple[bytes, ...], status: int
) -> None:
    got, body, headers = run(method, path, *parts)
    assert got == status
    if b"content-length" in headers:
        assert int(headers[b"content-length"]) == len(body)


def test_a_token_is_needed() -> None:
    assert run("GET", "/v1/tree", token="wrong" * 5)[0] == 401


def test_head_has_no_body() -> None:
    status, body, headers = run("HEAD", "/v1/tree")
    assert (status, body) == (200, b"")
    assert int(headers[b"content-length"]) > 0


def test_other_scopes_are_left_alone() -> None:
    async def main() -> None:
        async with serve() as served:
            nothing: Any = None
            await asgi_app(served.node)({"type": "lifespan"}, nothing, nothing)

    asyncio.run(main())

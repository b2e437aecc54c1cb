"""A tree with a door in this process, and raw clients for it; all on one loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli.http.access import Gate
from ssm_cli.http.client.wire import EventParser, Response, request_bytes
from ssm_cli.http.parsing import Limits
from ssm_cli.http.served import Entrance, ServedNode
from ssm_cli.runtime.node import Node
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec

ROOT = Path(__file__).parents[2]
DEADLINE_S = 180.0  # a bound for a machine under load; nothing waits for it
Answer = tuple[int, Any, dict[str, str]]


class Served:
    """A tree that is served, and how to reach it."""

    def __init__(self, served: ServedNode, port: int) -> None:
        self.node = served.node
        self.doors = served.doors
        self.port = port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | str = b"",
        headers: dict[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> Answer:
        """One request on a connection of its own: status, JSON (or text), headers."""
        data = body.encode() if isinstance(body, str) else body
        raw = request_bytes(method, target, host, data, headers)
        return await self.raw(raw)

    async def raw(self, data: bytes) -> Answer:
        """Some bytes, and the first response to them."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return answer_of(await response_from(reader, Response()))
        finally:
            writer.close()

    async def talk(self, *pieces: bytes, count: int, ends: bool = False) -> list[Answer]:
        """The first `count` answers to what is sent on one connection, a piece at a time.

        A piece is sent once the loop has had time for the one before. `ends` closes the sending
        half behind the last one.
        """
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece)
                await self.answered_elsewhere()
            if ends:
                writer.write_eof()
            return await answers_from(reader, count)
        finally:
            writer.close()

    async def answered_elsewhere(self) -> None:
        """Let a request of another client be served: what was sent before has been read."""
        assert (await self.ask("GET", "/health/live"))[0] == 200

    async def call(self, worker: str, text: str, query: str = "", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", f"/v1/workers/{worker}/call{query}", text, named)


def answer_of(response: Response) -> Answer:
    body: Any = bytes(response.body)
    if response.headers.get("content-type") == "application/json":
        body = msgspec.json.decode(body)
    return response.status, body, response.headers


async def response_from(reader: asyncio.StreamReader, response: Response) -> Response:
    async with asyncio.timeout(DEADLINE_S):
        while not response.complete:
            data = await reader.read(65_536)
            if not data:
                response.end()
                assert response.complete, "the connection ended before a whole response"
                break
            response.feed(data)
    return response


async def answers_from(reader: asyncio.StreamReader, count: int) -> list[Answer]:
    """The next answers of a connection; fewer if it ends before."""
    found: list[Answer] = []
    rest = b""
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            response = Response()
            response.feed(rest)
            while not response.complete:
                data = await reader.read(65_536)
                if not data:
                    return found
                response.feed(data)
            rest = response.rest
            found.append(answer_of(response))
    return found


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends."""
    async with asyncio.timeout(DEADLINE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def events(served: Served, after: int, most: int) -> list[dict[str, Any]]:
    """The first records of a stream of reports."""
    reader, writer = await served.connect()
    headers = {"last-event-id": str(after)}
    writer.write(request_bytes("GET", "/v1/reports", "127.0.0.1", b"", headers))
    response, parser, found = Response(), EventParser(), list[dict[str, Any]]()
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < most and not response.complete:
            response.feed(await reader.read(65_536))
            found += parser.feed(response.take())
    writer.close()
    return found[:most]


@asynccontextmanager
async def serve(
    tree: SupervisorSpec | str = "trees/kv.yaml",
    *,
    gate: Gate | None = None,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    history: int = 0,
    store: Any = None,
) -> AsyncIterator[Served]:
    """A tree with one door on TCP, up while the block runs."""
    spec = load_tree(ROOT / tree) if isinstance(tree, str) else tree
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    opened = asyncio.Event()
    entrance = Entrance(sock, gate=gate, tls=tls, limits=limits)
    node = Node(spec, name="kv", history=history, store=store).start()
    served = ServedNode(node, entrances=(entrance,), eager=True, opened=opened.set)
    serving = asyncio.create_task(served.serve())
    try:
        await opened.wait()
        yield Served(served, sock.getsockname()[1])
    finally:
        node.stop()
        await serving

"""A client that does at random, from a seed, what hostile and broken clients do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from random import Random

from ssm_cli.http.client.wire import request_bytes
from tests.http.limited import BEARER, Program
from tests.http.serving import answers_from

HELD_S = 0.3  # how long a client that does nothing is kept
ACT_S = 10.0  # for an act, on a machine under load
CALL, CAST = "/v1/workers/kv1/call", "/v1/workers/kv1/cast"
GETS = ("/v1/tree", "/metrics", "/health/ready", "/v1/log", "/openapi.json", "/v1/info", "/nope")
RESET = struct.pack("ii", 1, 0)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hostile:
    """One client after the other, each with a connection of its own.

    Attributes:
        acknowledged: the last value that was stored and acknowledged.
    """

    def __init__(self, program: Program, name: str, seed: str) -> None:
        self.acknowledged = 0
        self.name = name
        self._program = program
        self._random = Random(seed)
        self._value = 0
        self._acts: tuple[Callable[[Streams], Awaitable[None]], ...] = (
            self._idle, self._garbage, self._partial, self._reset, self._mutated, self._pipelined,
            self._trailers, self._upgrade, self._large, self._deaf, self._half_closed, self._deep,
            self._store, self._store, self._store, self._dripping,
        )  # fmt: skip

    async def run(self, until_s: float) -> None:
        """Act until then."""
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            act = self._random.choice(self._acts)
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(ACT_S):
                    await self._with_connection(act)

    async def _with_connection(self, act: Callable[[Streams], Awaitable[None]]) -> None:
        if self._random.random() < 0.5:
            streams = await asyncio.open_unix_connection(str(self._program.path))
        else:
            streams = await asyncio.open_connection("127.0.0.1", self._program.port)
        try:
            await act(streams)
        finally:
            if self._random.random() < 0.3:
                streams[1].transport.abort()
            streams[1].close()

    def _request(self, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        token = BEARER if self._random.random() < 0.9 else {}
        return request_bytes(method, target, "localhost", body, token | named)

    def _next(self) -> bytes:
        self._value += 1
        return f"Store {self.name} {self._value}".encode()

    async def _acknowledge(self, reader: asyncio.StreamReader, values: list[int]) -> None:
        """Read an answer for each value; remember those that were taken."""
        for value, answer in zip(values, await answers_from(reader, len(values)), strict=False):
            if answer[0] in (200, 202):
                self.acknowledged = max(self.acknowledged, value)

    # -- acts ----------------------------------------------------------------------------------

    async def _idle(self, streams: Streams) -> None:
        await asyncio.sleep(self._random.random() * HELD_S)
        del streams

    async def _garbage(self, streams: Streams) -> None:
        streams[1].write(self._random.randbytes(self._random.choice((1, 10, 1000, 100_000))))
        await streams[0].read(1000)

    async def _partial(self, streams: Streams) -> None:
        whole = self._request("POST", CALL, b"Store m 1")
        streams[1].write(whole[: self._random.randrange(len(whole))])
        await self._idle(streams)

    async def _reset(self, streams: Streams) -> None:
        whole = self._request("POST", CALL, b"Store m 1") * 3
        streams[1].write(whole[: self._random.randrange(len(whole))])
        sock: socket.socket = streams[1].get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        streams[1].transport.abort()

    async def _mutated(self, streams: Streams) -> None:
        data = bytearray(self._request("POST", CALL, b"Store m 1") * 2)
        for _ in range(self._random.randrange(1, 6)):
            at = self._random.randrange(len(data))
            data[at : at + self._random.randrange(3)] = self._random.randbytes(1)
        streams[1].write(bytes(data))
        streams[1].write_eof()
        await streams[0].read(10_000)

    async def _pipelined(self, streams: Streams) -> None:
        count = self._random.choice((2, 30, 250, 400))
        first = self._value + 1
        requests = [self._request("POST", CALL, self._next()) for _ in range(count)]
        streams[1].write(b"".join(requests))
        await self._acknowledge(streams[0], [*range(first, first + count)])

    async def _trailers(self, streams: Streams) -> None:
        head = self._request("POST", CALL, transfer_encoding="chunked")
        head = head.replace(b"content-length: 0\r\n", b"")
        body = b"9\r\nStore m 1\r\n0\r\n" + b"a: b\r\n" * self._random.choice((0, 3, 9000))
        streams[1].write(head + body + b"\r\n")
        await streams[0].read(1000)

    async def _upgrade(self, streams: Streams) -> None:
        upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c"}
        data = self._next()
        streams[1].write(request_bytes("POST", CAST, "localhost", data, BEARER | upgrade))
        await self._acknowledge(streams[0], [self._value])

    async def _large(self, streams: Streams) -> None:
        streams[1].write(self._request("POST", CALL, b"Store m " + b"1" * (2 << 20)))
        await streams[0].read(1000)

    async def _deaf(self, streams: Streams) -> None:
        target = self._random.choice((*GETS, "/v1/reports", "/v1/reports"))
        streams[1].write(self._request("GET", target) * self._random.choice((1, 50)))
        await self._idle(streams)

    async def _half_closed(self, streams: Streams) -> None:
        streams[1].write(self._request("POST", CALL, self._next()))
        streams[1].write_eof()
        await self._acknowledge(streams[0], [self._value])

    async def _deep(self, streams: Streams) -> None:
        body = b"[" * 100_000
        streams[1].write(self._request("POST", CALL, body, content_type="application/json"))
        await streams[0].read(1000)

    async def _store(self, streams: Streams) -> None:
        target = self._random.choice((CALL, CAST))
        for _ in range(self._random.randrange(1, 20)):
            streams[1].write(self._request("POST", target, self._next()))
            await self._acknowledge(streams[0], [self._value])

    async def _dripping(self, streams: Streams) -> None:
        for byte in self._request(self._random.choice(("GET", "HEAD")), "/v1/tree")[:40]:
            streams[1].write(bytes((byte,)))
            await asyncio.sleep(0.005)

"""A door: one listening socket, served by uvicorn's HTTP protocol with a bound on everything.

uvicorn's own `Server` takes over the signals and the life of the process, which belong to the
tree here; so a door uses its protocol and its configuration, and nothing else. uvicorn reads HTTP
with httptools, which takes headers of any size at any pace. A watch that looks at all connections
once a second replaces timers for each, at no cost for a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Coroutine, Generator
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ssm_cli.http.app import App

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

BACKLOG = 1024
CLOSING_S = 2.0  # how long responses under way may take once the door closes
NOT_LIMITED_S = 1 << 30  # uvicorn's own limit on idle connections, which the watch replaces


class Limits(msgspec.Struct, frozen=True):
    """The bounds of one listener; seconds end in `_s`, sizes are bytes."""

    connections: int = 512
    header_bytes: int = 16_384
    headers: int = 100
    header_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 60.0
    write_s: float = 10.0
    refused_s: float = 2.0
    requests_per_s: int = 20_000
    pipelined: int = 256
    watch_s: float = 1.0


WORDS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class Refused(Exception):
    """Aborts the parsing of a request that has been refused."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        since_s: start of the current request, or of the idle time, to `watch_s` precision.
        stuck_s: since when writing is paused as the client does not read; 0 if it reads.
        refused: whether an error was sent; later data is read and dropped, so that a reset does
            not lose the error.
    """

    def __init__(self, door: Door) -> None:
        super().__init__(door.config, door.state, {}, door.loop)
        self.door = door
        self.since_s = door.now_s
        self.stuck_s = 0.0
        self.refused = False
        self._limits = door.limits
        self._fed = 0
        self._second_s = 0.0
        self._requests = 0
        self._reading = False
        self._held: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the client; at the limit close the longest idle connection, or refuse."""
        super().connection_made(transport)  # type: ignore[arg-type]  # asyncio's own type is wider
        if len(self.connections) > self._limits.connections and not self.door.make_room(self):
            self.refuse(503, f"{self._limits.connections} clients are here; try again later")

    @property
    def phase(self) -> str:
        """What the client is sending: `headers`, `body`, or `idle` for nothing.

        uvicorn creates a scope when a request begins, and a cycle when its headers end.
        """
        cycle = self.cycle
        if self.scope is not None and (cycle is None or cycle.scope is not self.scope):
            return "headers"
        return "body" if cycle is not None and cycle.more_body else "idle"

    @property
    def busy(self) -> bool:
        """Whether a response is being sent."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the headers, then let uvicorn parse them."""
        if self.refused:
            return
        cycle = self.cycle
        if self.scope is None or (
            cycle is not None and cycle.scope is self.scope and not cycle.more_body
        ):
            self.since_s, self._fed = self.door.now_s, 0
        self._fed += len(data)
        self._reading = True
        super().data_received(data)
        self._reading = False
        held, self._held = self._held, None
        if held is not None:
            self._carry_out(held)
        if self._fed > self._limits.header_bytes and self.phase == "headers":
            self.refuse(431, f"headers take {self._limits.header_bytes} bytes at most")

    def on_headers_complete(self) -> None:
        """Check the bounds on headers and on the request rate, then serve the request."""
        limits = self._limits
        self._requests += 1
        if self._requests > limits.requests_per_s and self._too_fast():
            self.refuse(429, f"{limits.requests_per_s} requests a second are taken, no more")
        elif len(self.pipeline) >= limits.pipelined:
            self.refuse(429, f"{limits.pipelined} requests may be sent ahead, no more")
        elif len(self.headers) > limits.headers or (
            self._fed > limits.header_bytes and self._size() > limits.header_bytes
        ):
            self.refuse(431, f"headers take {limits.header_bytes} bytes at most")
        else:
            super().on_headers_complete()
            return
        raise Refused

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        super().pause_writing()
        self.stuck_s = self.door.now_s

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        super().resume_writing()
        self.stuck_s = 0.0

    def send_400_response(self, msg: str) -> None:
        """Answer data that is not HTTP with an error record."""
        self.refuse(400, msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Hold a request until the rest of the data received with it is parsed.

        Pipelined requests wait in a task, as in uvicorn.
        """
        if self._reading and self._held is None and not cycle.waiting_for_100_continue:
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _carry_out(self, cycle: RequestResponseCycle) -> None:
        """Run a request synchronously until it first awaits; only then create a task.

        Most requests never wait: their body is there and the step takes microseconds. A task and
        a turn of the loop would cost more than the step.
        """
        running = cycle.run_asgi(self.app)
        try:
            waits_for = running.send(None)
        except StopIteration:
            return
        task = self.loop.create_task(_finish(running, waits_for))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_fast(self) -> bool:
        """Return whether the rate limit is exceeded; start a new count each second."""
        if self._second_s == self.door.now_s:
            return True
        self._second_s, self._requests = self.door.now_s, 1
        return False

    # -- the watch -----------------------------------------------------------------------------

    def look(self, now_s: float) -> None:
        """Close the connection if the client exceeds a time limit."""
        limits, phase = self._limits, self.phase
        if phase == "idle" and self.busy:
            self.since_s = now_s
        taken_s = now_s - self.since_s
        if self.stuck_s and now_s - self.stuck_s > limits.write_s:
            self.transport.abort()
        elif self.transport.is_closing():
            self.stuck_s = self.stuck_s or now_s  # what was written must be read within the time
        elif self.refused:
            if taken_s > limits.refused_s:
                self.transport.close()
        elif phase == "headers" and taken_s > limits.header_s:
            self.refuse(408, f"headers may take {limits.header_s:g} s, no longer")
        elif phase == "body" and taken_s > limits.body_s:
            if self.busy and not self.cycle.response_started:
                self.refuse(408, f"a body may take {limits.body_s:g} s, no longer")
            else:
                self.transport.abort()
        elif phase == "idle" and taken_s > limits.idle_s:
            self.transport.close()

    def refuse(self, status: int, message: str) -> None:
        """Send an error record, and close once the client has read it."""
        if self.transport.is_closing() or self.refused:
            return
        self.refused, self.since_s = True, self.door.now_s
        error = {"type": "HttpError", "message": message}
        body = msgspec.json.encode({"v": 1, "type": "error", "error": error})
        retry = b"retry-after: 1\r\n" if status in (429, 503) else b""
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"%sconnection: close\r\n\r\n%s" % (status, WORDS[status], len(body), retry, body)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


class _Rest:
    """The rest of a coroutine that has begun already, and waits for `waits_for`.

    An awaitable, as tasks take native coroutines alone from Python 3.12 on: `_finish` awaits it.
    """

    def __init__(self, running: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._running = running
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        running, waits_for = self._running, self._waits_for
        while True:
            error: BaseException | None = None
            try:
                yield waits_for
            except BaseException as thrown:  # noqa: BLE001 - cancelled or failed: it is told of it
                error = thrown
            try:
                waits_for = running.send(None) if error is None else running.throw(error)
            except StopIteration:
                return


async def _finish(running: Coroutine[Any, Any, None], waits_for: Any) -> None:
    """Carry out the rest of a coroutine in a task of its own."""
    await _Rest(running, waits_for)


def protocols(connections: set[Any]) -> list[BoundedProtocol]:
    """Return a copy of the connections of a listener, safe to iterate."""
    return [c for c in connections if isinstance(c, BoundedProtocol)]


class Door:
    """Serves one socket until it is closed.

    Attributes:
        now_s: the loop's clock, cached for at most `watch_s` seconds.
    """

    def __init__(self, app: App, sock: socket.socket, limits: Limits) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.state = ServerState()
        self.config = Config(
            app,
            log_config=None,
            log_level="critical",  # what clients do wrong is told to them, not to the operator
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            interface="asgi3",
            http=BoundedProtocol,
            timeout_keep_alive=NOT_LIMITED_S,
        )
        self.config.load()
        self.now_s = self.loop.time()
        self._socket = sock
        self._server: asyncio.AbstractServer | None = None
        self._watch: asyncio.TimerHandle | None = None

    async def open(self, context: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on."""
        self._look()
        if self._socket.family == socket.AF_UNIX:
            self._server = await self.loop.create_unix_server(
                self._protocol, sock=self._socket, backlog=BACKLOG
            )
        else:
            # A response is two writes. asyncio turns Nagle's wait off by itself only for sockets
            # that name their protocol, which `socket.create_server` does not; it is inherited.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._server = await self.loop.create_server(
                self._protocol,
                sock=self._socket,
                ssl=context,
                backlog=BACKLOG,
                ssl_handshake_timeout=None if context is None else self.limits.header_s,
            )

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self)

    def _look(self) -> None:
        """Every `watch_s`: renew the `Date` header and close connections that are too slow."""
        self.now_s = self.loop.time()
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        for connection in protocols(self.state.connections):
            connection.look(self.now_s)
        self._watch = self.loop.call_later(self.limits.watch_s, self._look)

    def make_room(self, newcomer: BoundedProtocol) -> bool:
        """Close the longest idle connection; return False if none is idle."""
        idle = [
            connection
            for connection in protocols(self.state.connections)
            if connection is not newcomer and connection.phase == "idle" and not connection.busy
        ]
        if not idle:
            return False
        oldest = min(idle, key=lambda connection: connection.since_s)
        self.state.connections.discard(oldest)
        oldest.transport.abort()
        return True

    async def close(self) -> None:
        """Stop accepting; let running responses end within `CLOSING_S` seconds."""
        if self._server is not None:
            self._server.close()
        for connection in protocols(self.state.connections):
            connection.shutdown()
        if self.state.tasks:
            await asyncio.wait(set(self.state.tasks), timeout=CLOSING_S)
        for task in set(self.state.tasks):
            task.cancel()
        for connection in protocols(self.state.connections):
            connection.transport.close()
        await asyncio.sleep(0)  # the connections are told
        if self._watch is not None:
            self._watch.cancel()
        with contextlib.suppress(OSError):  # asyncio may have closed it
            self._socket.close()

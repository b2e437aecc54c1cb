"""A door: one listening socket, served by uvicorn's protocol on the loop that runs.

uvicorn's own `Server` takes over the signals and the life of the process, which belong to the
tree here; so a door uses its protocol and its configuration, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from email.utils import formatdate

from uvicorn.config import Config
from uvicorn.server import ServerState

from ssm_cli.http.app import App
from ssm_cli.http.protocol import BoundedProtocol, Limits, protocols

BACKLOG = 1024
CLOSING_S = 2.0  # how long responses under way may take once the door closes
NOT_LIMITED_S = 1 << 30  # uvicorn's own limit on idle connections, which the watch replaces


class Door:
    """Serves one socket until it is closed.

    Attributes:
        now_s: the loop's clock as of the last look at the connections, `watch_s` ago at most.
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
        """Take connections from now on."""
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
        """Once a second: the date for responses, and the clients that take too long."""
        self.now_s = self.loop.time()
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        for connection in protocols(self.state.connections):
            connection.look(self.now_s)
        self._watch = self.loop.call_later(self.limits.watch_s, self._look)

    def make_room(self, newcomer: BoundedProtocol) -> bool:
        """Close the connection that has been idle for longest; False if none is idle."""
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
        """Take no more connections; let responses under way end, within `CLOSING_S` seconds."""
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

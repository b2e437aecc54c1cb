"""`ServedNode`: a node and the listeners through which clients reach it while it is served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ssm_cli.runtime.node import Node

if TYPE_CHECKING:
    from ssm_cli.http.access import Gate
    from ssm_cli.http.app import Service
    from ssm_cli.http.door import Door
    from ssm_cli.http.parsing import Limits


@dataclass(eq=False)
class Entrance:
    """A listening socket and its access control.

    Args:
        sock: listening already.
        path: of a Unix socket; removed at the end.
        gate: checks requests; None accepts every client that can connect.
        tls: the TLS context; None serves plain text.
        limits: bounds for clients; None for the defaults.
        url: where clients reach it; "" for a Unix socket.
    """

    socket: socket.socket
    _: KW_ONLY
    path: Path | None = None
    gate: Gate | None = None
    tls: ssl.SSLContext | None = None
    limits: Limits | None = None
    url: str = ""

    def close(self) -> None:
        """Close the socket and remove its path; idempotent."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.path = None  # another tree may have that name from now on
        self.socket.close()


@dataclass(eq=False)
class ServedNode:
    """A node that clients can reach while it is served.

    The HTTP server is imported and started when the first client connects, or at once if `eager`.

    Args:
        node: not started yet.
        entrances: the sockets to serve; closed at the end.
        file: the tree file, for `ssm ls`.
        eager: start the server before the first client connects.
        opened: called once clients can connect, and the tree has come up.

    Attributes:
        doors: the listeners whose server was started.
    """

    node: Node
    _: KW_ONLY
    entrances: tuple[Entrance, ...] = ()
    file: str = ""
    eager: bool = False
    opened: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self._service: Service | None = None
        self.doors: list[Door] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Run inside asyncio until the tree is down, accepting clients meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            for entrance in self.entrances:
                entrance.socket.setblocking(False)
                if self.eager:
                    await self._open(entrance)
                else:
                    loop.add_reader(entrance.socket, self._first, entrance)
            if self.opened is not None:
                await self.node.until_up()
                if self.node.running:
                    self.opened()
            await self.node.serve()
        except GeneratorExit:  # the loop was closed under it: nothing can be awaited any more
            for entrance in self.entrances:
                entrance.close()
            raise
        except BaseException:
            await self._close()
            raise
        await self._close()

    def close(self) -> None:
        """Close the listeners, then stop the node and close its store; idempotent."""
        for entrance in self.entrances:
            entrance.close()
        self.node.close()

    def _first(self, entrance: Entrance) -> None:
        """Start the server of a socket at its first client."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(entrance.socket)
        task = loop.create_task(self._open(entrance))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, entrance: Entrance) -> None:
        from ssm_cli.http.app import App, Service  # noqa: PLC0415 - 100 ms that most runs save
        from ssm_cli.http.door import Door  # noqa: PLC0415 - as above
        from ssm_cli.http.parsing import Limits  # noqa: PLC0415 - as above
        from ssm_cli.http.requests import About  # noqa: PLC0415 - as above

        if self._service is None:
            self._service = Service(self.node, About(self.file))
        app = App(self._service, entrance.gate)
        door = Door(app, entrance.socket, entrance.limits or Limits(), self.doors)
        await door.open(entrance.tls)

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for entrance in self.entrances:
            if entrance.path is not None:
                entrance.path.unlink(missing_ok=True)
                entrance.path = None
            if entrance.socket.fileno() >= 0:
                with contextlib.suppress(NotImplementedError, ValueError, RuntimeError, OSError):
                    loop.remove_reader(entrance.socket)  # a door that is open reads by itself
        if self._opening:
            await asyncio.wait(set(self._opening))
        for door in self.doors:
            await door.close()
        for entrance in self.entrances:
            entrance.close()

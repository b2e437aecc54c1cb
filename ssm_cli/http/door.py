"""A door: one listening socket, and the connections that have come through it.

It accepts by itself, a few clients at a time, and looks at the number of each new descriptor: the
kernel gives the lowest that is free, so the number tells how many are in use. The last ones are
kept for the journal and the tree's own work; TCP and the Unix socket share the others, and idle
clients of each give way to newcomers of both. A watch that looks at all connections once a second
replaces timers for each, at no cost for a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Iterable

from ssm_cli.http.exchange import Application
from ssm_cli.http.parsing import Limits
from ssm_cli.http.protocol import HttpProtocol, Shared

ACCEPTED = 4  # clients that are let in at a time; so many more than meant may be here for a moment
CLOSING_S = 2.0  # how long responses under way may take once the door closes
KEPT_FILES = 64  # descriptors that no client gets, or a quarter where there are few
KEPT_FOR_OWNER = 16  # ... and that are the Unix socket's, whoever knocks at TCP
LINGERING = 16  # refused clients that may read why
OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
TURNS = 4  # of the loop, until the socket of a connection that was aborted is closed
PAUSE_S = 0.1  # before the next client is accepted where something has run out
Greeting = asyncio.Task[None]


class Door:
    """Serves one socket until it is closed.

    Args:
        doors: all that are open in this process; this one is added.

    Attributes:
        state: what its connections share.
    """

    def __init__(
        self, app: Application, sock: socket.socket, limits: Limits, doors: list[Door]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.state = Shared(app, limits, self.loop)
        self._socket = sock
        self._context: ssl.SSLContext | None = None
        self._greetings: dict[Greeting, None] = {}  # oldest first; a TLS handshake takes a while
        self._is_owners = sock.family == socket.AF_UNIX
        self._most = most_files()
        for_clients = self._most - lowest_free(sock) + sum(door.clients for door in doors)
        self._most_clients = for_clients - KEPT_FOR_OWNER
        self._doors = doors
        doors.append(self)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def open(self, context: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on."""
        self._context = context
        self._socket.setblocking(False)
        self._look()
        self._listen()

    def _listen(self) -> None:
        self.loop.add_reader(self._socket, self._accept)

    def _look(self) -> None:
        """Every `watch_s`: renew the `Date` header and close connections that are too slow.

        Where it comes late, the process was stopped, or had no processor: nobody's fault.
        """
        self._timers["look"] = self.loop.call_later(self.limits.watch_s, self._look)
        late_s = self.state.tick() - self.limits.watch_s
        lost_s = late_s if late_s > self.limits.watch_s else 0.0
        for connection in tuple(self.state.connections):
            connection.look(self.state.now_s, lost_s)

    @property
    def clients(self) -> int:
        """How many are here, or are being greeted."""
        return len(self.state.connections) + len(self._greetings)

    # -- letting in ----------------------------------------------------------------------------

    def _accept(self) -> None:
        """Let in who waits; leave them waiting for a while where something has run out."""
        try:
            for _ in range(ACCEPTED):
                client, _ = self._socket.accept()
                self._let_in(client)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._take_place()
            self.loop.remove_reader(self._socket)
            self._timers["accept"] = self.loop.call_later(PAUSE_S, self._listen)
            if error.errno not in OUT_OF:
                raise

    def _let_in(self, client: socket.socket) -> None:
        """Greet a client; where the door is full, in the place of another, or to refuse it."""
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # it has gone already
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._has_place(client):
            client.close()  # there is no time to say why
            return
        task = self.loop.create_task(self._greet(client, is_full=self._is_full()))
        self._greetings[task] = None
        task.add_done_callback(self._greeted)

    def _has_place(self, client: socket.socket) -> bool:
        """Return whether there is a descriptor for a client, perhaps as another gives way."""
        if not self._is_owners and self.clients >= self._most_clients:
            return self.give_way(1) > 0
        return client.fileno() < self._most or self._take_place()

    def _take_place(self) -> bool:
        """Let a client give way, of this door if possible; return whether one did."""
        others = (door for door in self._doors if door is not self and door.can_spare())
        return any(door.give_way(1) for door in (self, *others))

    def can_spare(self) -> bool:
        """Return whether a client may give way to one of another door."""
        return not self._is_owners or self.clients > KEPT_FOR_OWNER

    def _is_full(self) -> bool:
        """Return whether there is no room for one more, though others give way."""
        state = self.state
        over = self.clients + 1 - self.limits.connections
        if over <= 0:
            return False
        refused = sorted((c for c in state.connections if c.refused), key=lambda c: c.since_s)
        self._dismiss(refused[:-LINGERING])
        over -= len(refused)
        return self.give_way(over) < over

    async def _greet(self, client: socket.socket, *, is_full: bool) -> None:
        """Make a connection of a socket."""
        limit_s = None if self._context is None else self.limits.header_s
        try:
            client = await self._placed(client)
            _, connection = await self.loop.connect_accepted_socket(
                lambda: HttpProtocol(self.state), client, ssl=self._context,
                ssl_handshake_timeout=limit_s,
            )  # fmt: skip
        except OSError:  # its handshake failed, or it has gone
            client.close()
            return
        if is_full:
            connection.refuse(503, f"{self.limits.connections} clients are here; try again later")

    async def _placed(self, client: socket.socket) -> socket.socket:
        """Give a client the descriptor of one that gave way, where its own is one of the last.

        Raises:
            OSError: none has become free.
        """
        for _ in range(TURNS):
            if client.fileno() < self._most:
                return client
            await asyncio.sleep(0)
            placed = client.dup()
            client.close()
            client = placed
        client.close()
        raise OSError(errno.EMFILE, "no descriptor has become free")

    def _greeted(self, task: Greeting) -> None:
        self._greetings.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            message = "a client could not be let in"
            self.loop.call_exception_handler({"message": message, "exception": error})

    def give_way(self, count: int) -> int:
        """Close so many connections, or fewer; return how many.

        First those whose request is not there yet, then the idle ones; of each kind those that
        have been so for longest.
        """
        if count <= 0:
            return 0
        shaking = list(self._greetings)[:count] if self._context is not None else []
        for task in shaking:
            task.cancel()
        found = ((c.rank, c.since_s, c) for c in self.state.connections)
        ranked = sorted((one for one in found if one[0]), key=lambda one: one[:2])
        self._dismiss([connection for _, _, connection in ranked[: count - len(shaking)]])
        return min(count, len(shaking) + len(ranked))

    def _dismiss(self, leaving: list[HttpProtocol]) -> None:
        for connection in leaving:
            self.state.connections.discard(connection)
            connection.transport.abort()

    # -- closing -------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop accepting; let running responses end within `CLOSING_S` seconds."""
        self.loop.remove_reader(self._socket)
        self._timers.pop("accept", None)
        for connection in tuple(self.state.connections):
            connection.shutdown()
        await settled(c.task for c in self.state.connections if c.task is not None)
        for connection in tuple(self.state.connections):
            connection.transport.close()
        await settled(self._greetings, 0)
        for timer in self._timers.values():
            timer.cancel()
        self._socket.close()


async def settled(tasks: Iterable[asyncio.Task[None]], within_s: float = CLOSING_S) -> None:
    """Wait for tasks, then cancel those that are left, and let the loop go round once."""
    waiting = set(tasks)
    if waiting:
        _, late = await asyncio.wait(waiting, timeout=within_s)
        for task in late:
            task.cancel()
    await asyncio.sleep(0)


def most_files() -> int:
    """Return the descriptor from which on no client gets any."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 20
    return soft - min(KEPT_FILES, soft // 4)


def lowest_free(sock: socket.socket) -> int:
    """Return the number that the next descriptor of this process will have."""
    with sock.dup() as spare:
        return spare.fileno()

"""A door: one listening socket, and the connections that have come through it.

It accepts by itself, a few clients at a time, and looks at the number of each new descriptor: the
kernel gives the lowest that is free, so the number tells how many are in use. The last ones are
kept for the journal and the tree's own work; TCP and the Unix socket share the others, and idle
clients of each, and those that have sent half a request, give way to newcomers of both. A watch
that looks at all connections once a second replaces timers for each, at no cost for a request.
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
from ssm_cli.http.protocol import HttpProtocol, Shared, Turn

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
        self._files = most_files()
        self._placing = 0  # clients that wait for the descriptor of one that gave way
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
        """How many are here or are being greeted; who has just been greeted may count twice."""
        return len(self.state.connections) + len(self._greetings)

    # -- letting in ----------------------------------------------------------------------------

    def _accept(self) -> None:
        """Let in who waits; leave them waiting for a while where something has run out."""
        if any(door._placing for door in self._doors):  # noqa: SLF001 - one of our own
            return  # else a newcomer would have the descriptor that another waits for
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
        if client.fileno() >= self._most and not self._take_place():
            client.close()  # there is no time to say why
            return
        task = self.loop.create_task(self._greet(client, is_full=self._is_full()))
        self._greetings[task] = None
        task.add_done_callback(self._greeted)

    @property
    def _most(self) -> int:
        """The descriptor from which on no client of this door gets any."""
        if self._is_owners:
            return self._files
        owners = sum(door.clients for door in self._doors if door._is_owners)  # noqa: SLF001 - as above
        return self._files - max(0, KEPT_FOR_OWNER - owners)

    def _take_place(self) -> bool:
        """Let a client give way, the first of all doors; return whether one did."""
        first = {door: turn for door in self._doors if (turn := door.first_turn())}
        return min(first, key=first.__getitem__, default=self).give_way(1) > 0

    def first_turn(self) -> Turn | None:
        """Return the turn of the client that gives way first, also to one of another door.

        None where none does.
        """
        if self._is_owners and len(self.state.connections) <= KEPT_FOR_OWNER:
            return None
        if self._is_greeting:
            return (0, 0.0, 0.0)
        return min((c.turn for c in self.state.connections if c.turn[0]), default=None)

    @property
    def _is_greeting(self) -> bool:
        """Whether there is a client that has not shaken hands yet."""
        return self._context is not None and bool(self._greetings)

    def _is_full(self) -> bool:
        """Return whether there is no room for one more, though others give way."""
        state = self.state
        over = self.clients + 1 - self.limits.connections
        if over <= 0:
            return False
        refused = sorted((c for c in state.connections if c.refused), key=lambda c: c.turn)
        self._dismiss(refused[:-LINGERING])
        over -= len(refused)
        return self.give_way(over) < over

    async def _greet(self, client: socket.socket, *, is_full: bool) -> None:
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

        Who gave way may have had one of the last, too, as these are more once an owner has gone:
        then another gives way.

        Raises:
            OSError: none has become free.
        """
        if client.fileno() < self._most:
            return client
        self._placing += 1
        try:
            gave_way = True
            while gave_way:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
                    placed = client.dup()
                    client.close()
                    client = placed
                    if client.fileno() < self._most:
                        return client
                gave_way = self._take_place()
        finally:
            self._placing -= 1
        client.close()
        raise OSError(errno.EMFILE, "no descriptor has become free")

    def _greeted(self, task: Greeting) -> None:
        self._greetings.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            message = "a client could not be let in"
            context = {"message": message, "exception": error, "protocol": None}
            self.loop.call_exception_handler(context)

    def give_way(self, count: int) -> int:
        """Close so many connections, or fewer; return how many.

        First those whose headers are not there yet, then those that are idle or whose body is not
        there yet; of both kinds those that have been so for longest.
        """
        if count <= 0:
            return 0
        shaking = list(self._greetings)[:count] if self._is_greeting else []
        for task in shaking:
            task.cancel()
        found = ((c.turn, c) for c in self.state.connections)
        ranked = sorted((one for one in found if one[0][0]), key=lambda one: one[0])
        self._dismiss([connection for _, connection in ranked[: count - len(shaking)]])
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

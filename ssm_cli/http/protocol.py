"""The protocol: one HTTP/1.1 connection, its answers in order, with backpressure both ways.

Theory of operation. What is received is parsed at once (`parsing.py`); then `_serve` answers what
is ready, in order: on the spot where the application does so, which costs no task, or in one task
that goes on serving when it is done. While a client does not read, nothing is served; while too
much is ahead, nothing is read. So what a connection can take is bounded: one body, one read of the
socket, the requests sent ahead, and the part of an answer that the transport holds.

An answer that closes is the last. Where the client may still be sending, its socket stays open for
`refused_s` behind it, so that a reset does not lose the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from email.utils import formatdate
from http import HTTPStatus

from ssm_cli.http.exchange import JSON, Application, Exchange, Headers, HttpAnswer, Parts, Stream
from ssm_cli.http.parsing import BODY, HEAD, IDLE, Limits, RequestReader

END = b"\r\n"
SHORT = 1024  # bytes; most answers are shorter
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


Turn = tuple[int, float, float]
"""By which clients give way: a rank, since when its state lasts, since when it is here."""


class Shared:
    """What the connections of a listener share.

    Attributes:
        now_s: the loop's clock, cached for at most `watch_s` seconds.
        connections: those that are open.
        heads: of short answers in JSON without further headers, by their status and length.
    """

    def __init__(self, app: Application, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.limits = limits
        self.loop = loop
        self.connections: set[HttpProtocol] = set()
        self.now_s = loop.time()
        self.tick()

    def tick(self) -> float:
        """Renew the time and the `Date` header; return the seconds since they were renewed."""
        before_s, self.now_s = self.now_s, self.loop.time()
        self._date = formatdate(usegmt=True).encode()
        self.heads: dict[tuple[int, int], bytes] = {}
        return self.now_s - before_s

    def head_of(self, status: int, size: int) -> bytes:
        """Return the head of an answer in JSON; a short one's is kept while the date is right."""
        head = b"%scontent-length: %d\r\n\r\n" % (self.lines_of(status, JSON), size)
        if size < SHORT:
            self.heads[status, size] = head
        return head

    def lines_of(self, status: int, kind: bytes) -> bytes:
        """Return the first lines of an answer."""
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
        return b"%s\r\ndate: %s\r\ncontent-type: %s\r\n" % (line.encode(), self._date, kind)


class HttpProtocol(asyncio.Protocol):
    """One client.

    Attributes:
        stuck_s: since when writing is paused as the client does not read; 0 if it reads.
        refused: the last answer was sent; the client has `refused_s` to read it.
        task: carries out the answer that has to be waited for; None while there is none.
    """

    transport: asyncio.Transport

    def __init__(self, shared: Shared) -> None:
        self.stuck_s = 0.0
        self.refused = False
        self.task: asyncio.Task[None] | None = None
        self._shared = shared
        self._limits = shared.limits
        self._app = shared.app
        self._reader = RequestReader(shared)
        self._ready = self._reader.ready
        self._paused = self._follows = self._is_half = False
        self._room: asyncio.Future[None] | None = None

    # -- the transport -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self.transport = transport  # type: ignore[assignment]  # of a stream, always
        self._made_s = self._shared.loop.time()
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._shared.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what is under way: nobody would hear of it."""
        del error
        self._shared.connections.discard(self)
        self._reader.end()
        self._ready.clear()
        if self.task is not None:
            self.task.remove_done_callback(self._carried_out)  # asyncio cannot abort what is lost
            self._shared.loop.call_soon(self.task.cancel)  # once it has begun what it waits for

    def data_received(self, data: bytes) -> None:
        """Parse what came, then answer what is complete."""
        reader = self._reader
        if reader.deaf:
            return
        reader.feed(data)
        if self._ready or reader.phase is not IDLE:
            self._serve()

    def eof_received(self) -> bool:
        """Answer what is complete, then close; reports end. With TLS both halves have ended."""
        self._reader.end()
        self._is_half = True
        if self._is_tls:
            self.transport.close()
            return False
        if self._follows and self.task is not None:
            self.task.cancel()
        return self.busy and not self.refused

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self.stuck_s = self._shared.now_s

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self.stuck_s = 0.0
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._serve()

    def refuse(self, status: int, message: str) -> None:
        """Send an error record behind the answers that are due, and close."""
        self._reader.refuse(status, message)
        self._serve()

    # -- answering -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether an answer is due."""
        return self.task is not None or bool(self._ready)

    def _serve(self) -> None:
        """Answer what is ready, until an answer has to be waited for, or the client reads."""
        ready, reader = self._ready, self._reader
        while ready and self.task is None and not self.stuck_s:
            exchange = ready.popleft()
            answer = exchange.refusal or self._app.answer(exchange)
            if type(answer) is HttpAnswer:
                self._send(exchange, answer)
                if not ready:
                    break
                if self._is_tls:  # a write a turn: asyncio logs those to who has gone
                    self._shared.loop.call_soon(self._serve)
                    break
                if self.transport.is_closing():  # the client has gone meanwhile
                    ready.clear()
            else:
                self.task = self._shared.loop.create_task(self._carry_out(exchange, answer))
                self.task.add_done_callback(self._carried_out)
        if ready or self._paused or self.stuck_s:
            self._choose_reading()
        elif self.task is None:
            if reader.deaf:
                self._end()
            elif reader.phase is BODY and reader.coming is not None and reader.coming.expects:
                reader.coming.expects = False
                self.transport.write(CONTINUE)

    def _choose_reading(self) -> None:
        """Read on only while there is room for what would come."""
        ahead = sum(exchange.size for exchange in self._ready)
        pauses = ahead > self._limits.ahead_bytes or self.stuck_s > 0
        if pauses is not self._paused and not self.transport.is_closing():
            self._paused = pauses
            (self.transport.pause_reading if pauses else self.transport.resume_reading)()

    def _send(self, exchange: Exchange, answer: HttpAnswer) -> None:
        body = answer.body
        key = answer.status, len(body)
        head = self._shared.heads.get(key) or self._shared.head_of(*key)
        if answer.headers or answer.closes or exchange.is_old or not exchange.is_persistent:
            more = self._more(exchange, answer.headers, closes=answer.closes)
            head = head.removesuffix(END) + more
        if exchange.method == b"HEAD":
            body = b""
        self.transport.write(head + body)

    def _more(self, exchange: Exchange, headers: Headers, *, closes: bool) -> bytes:
        """Return the further headers of an answer; one that closes is the last."""
        lines = [b"%s: %s\r\n" % pair for pair in headers]
        if closes or not exchange.is_persistent:
            lines.append(b"connection: close\r\n")
            self._reader.deaf = True
            self._ready.clear()
        elif exchange.is_old:
            lines.append(b"connection: keep-alive\r\n")
        return b"".join(lines) + END

    async def _carry_out(
        self, exchange: Exchange, answer: HttpAnswer | Stream | Awaitable[HttpAnswer | Stream]
    ) -> None:
        """Wait for an answer and send it, or its parts as the client reads them."""
        given = answer if isinstance(answer, HttpAnswer | Stream) else await answer
        if isinstance(given, HttpAnswer):
            self._send(exchange, given)
            return
        self._follows = given.follows
        more = self._more(exchange, given.headers, closes=exchange.is_old)
        coding = b"" if exchange.is_old else b"transfer-encoding: chunked\r\n"
        head = self._shared.lines_of(200, given.kind)
        self.transport.write(head + coding + more)
        async with contextlib.aclosing(given.parts) as parts:
            if exchange.method != b"HEAD":
                await self._send_parts(parts, in_chunks=not exchange.is_old)
        self._follows = False

    async def _send_parts(self, parts: Parts, *, in_chunks: bool) -> None:
        try:
            async for part in parts:
                if self.transport.is_closing():
                    return
                if self._follows and self._is_half:
                    break
                if part:  # an empty chunk would be the last
                    whole = b"%x\r\n%s\r\n" % (len(part), part) if in_chunks else part
                    self.transport.write(whole)
                while self.stuck_s:
                    self._room = self._shared.loop.create_future()
                    await self._room
        except asyncio.CancelledError:
            if not (self._follows and self._is_half) or self.transport.is_closing():
                raise
        if in_chunks:
            self.transport.write(b"0\r\n\r\n")

    def _carried_out(self, task: asyncio.Task[None]) -> None:
        """Serve what waits behind an answer; a defect ends the connection, and is reported."""
        self.task = None
        self._reader.since_s = self._shared.now_s
        if task.cancelled():
            self.transport.abort()
        elif (error := task.exception()) is not None:
            self.transport.abort()
            context = {"message": "an answer failed", "exception": error, "protocol": self}
            self._shared.loop.call_exception_handler(context)
        else:
            self._serve()

    def _end(self) -> None:
        """Close; where the client may still be sending, wait until it has read the answer."""
        if self.refused or self.transport.is_closing():
            return
        reader = self._reader
        reader.since_s = self._shared.now_s
        if reader.phase is IDLE and not reader.lingers:
            self.transport.close()
            return
        self.refused = True
        if self.transport.can_write_eof():  # not with TLS: the client knows the answer's length
            with contextlib.suppress(OSError):  # the client has reset the connection
                self.transport.write_eof()

    # -- the watch -----------------------------------------------------------------------------

    @property
    def turn(self) -> Turn:
        """Its turn to give way to a newcomer, the least of all first; it does not with rank 0."""
        reader = self._reader
        rank = 2
        if self.refused or self.busy:
            rank = 0
        elif reader.phase is HEAD or (reader.coming is not None and reader.coming.is_queued):
            rank = 1
        return rank, reader.since_s, self._made_s

    def shutdown(self) -> None:
        """Close behind the answers that are due."""
        self._reader.deaf = True
        if not self.busy:
            self.transport.close()

    def look(self, now_s: float, lost_s: float) -> None:
        """Close the connection if the client exceeds a time limit; `lost_s` does not count."""
        limits, transport, reader = self._limits, self.transport, self._reader
        reader.since_s = now_s if self.busy else reader.since_s + lost_s
        self.stuck_s += lost_s if self.stuck_s else 0.0
        taken_s = now_s - reader.since_s
        if self.stuck_s and now_s - self.stuck_s > limits.write_s:
            transport.abort()
        elif transport.is_closing():
            self.stuck_s = self.stuck_s or now_s  # what was written must be read within the time
        elif self.refused:
            if taken_s > limits.refused_s:
                transport.abort()
        elif reader.phase is HEAD and taken_s > limits.header_s:
            self.refuse(408, f"headers may take {limits.header_s:g} s, no longer")
        elif reader.phase is BODY and taken_s > limits.body_s:
            if reader.coming is not None and reader.coming.is_queued:
                transport.abort()  # its answer was sent
            else:
                self.refuse(408, f"a body may take {limits.body_s:g} s, no longer")
        elif reader.phase is IDLE and taken_s > limits.idle_s:
            transport.close()

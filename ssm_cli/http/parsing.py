"""Requests from bytes: parsed in C by httptools, with a bound on everything. No input or output.

Theory of operation. `feed` takes what was received. Each request that is whole enough to be
answered is put into `ready`; so is the refusal of one that is not to be, after which the reader is
`deaf`: whatever follows is dropped. What has come of a request that is not complete is bounded by
the bytes since it began, or since the last bit of its body: so is what httptools keeps of it. What
came at once is parsed in pieces, so that the bounds are the same however it was cut.

A request whose head is, byte for byte, that of the one before is not parsed again: clients say the
same with each request, and only the body differs. Its head has been understood, and what is odd is
not remembered.

Trailers are counted and dropped. A request that asks for another protocol (`Upgrade`) is read as if
it had not: httptools stops there, and its body is read by a parser that is told the framing alone.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Protocol

import httptools
import msgspec
from msgspec.structs import replace

from ssm_cli.http.exchange import Application, Exchange
from ssm_cli.http.refusals import refused_request

IDLE, HEAD, BODY = "idle", "headers", "body"
ONCE = frozenset({
    b"host", b"authorization", b"content-type", b"expect", b"idempotency-key", b"last-event-id",
    b"origin", b"content-length", b"transfer-encoding",
})  # fmt: skip
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
ODD = frozenset({b"connection", b"expect", b"transfer-encoding"})
NOTED = ONCE | ODD
TRIED = 16
PIECE = 256  # bytes that are parsed between two looks at the bounds
LONGEST_LENGTH = 19  # digits of a `Content-Length`
PORT_DIGITS, MOST_PORT = 5, 65_535


class Limits(msgspec.Struct, frozen=True):
    """The bounds of one listener; seconds end in `_s`, sizes are bytes."""

    connections: int = 512
    header_bytes: int = 16_384
    headers: int = 100
    body_bytes: int = 1 << 20
    ahead_bytes: int = 1 << 18
    header_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 150.0  # longer than proxies keep theirs: nginx 60 s, Go and Caddy 90 to 120 s
    write_s: float = 10.0
    refused_s: float = 2.0
    requests_per_s: int = 100_000
    pipelined: int = 256
    watch_s: float = 1.0


class Surroundings(Protocol):
    """What a reader needs to know of its listener."""

    app: Application
    limits: Limits
    now_s: float


class Refused(Exception):
    """Aborts the parsing of a request that has been refused."""


class KnownHead:
    """The head of a request before, by which the next one is known again.

    Attributes:
        head: what that request began with; empty for none.
        like: it; nobody changes it any more.
        size: of a request with that head, in bytes.
        is_all: no body follows, or none that matters.
        strange: heads since one was known again.
    """

    __slots__ = ("head", "is_all", "like", "size", "strange")

    def __init__(self) -> None:
        self.head, self.size, self.is_all, self.strange = b"", sys.maxsize, False, 0
        self.like: Any = None

    def remember(self, exchange: Exchange, data: bytes) -> None:
        """Know a request again if its head came at once, at the very beginning of `data`.

        Of a client whose heads are never the same, one in `TRIED` is remembered.
        """
        self.strange += 1
        self.head, self.size = b"", sys.maxsize
        if self.strange > TRIED and self.strange % TRIED:
            return
        size = data.find(b"\r\n\r\n") + 4
        if size <= 4 or not data.startswith(exchange.method):
            return  # the rest of it came later; or there are empty lines before it
        self.head, self.like = data[:size], exchange
        length = int(exchange.headers.get(b"content-length", b"0"))
        self.size, self.is_all = size + length, exchange.early or not length


class RequestReader:
    """Reads the requests of one connection.

    Attributes:
        phase: what the client is sending: `headers`, `body`, or `idle` for nothing.
        since_s: start of the current request, or of the idle time, as exact as `now_s`.
        ready: what is to be answered, in order.
        coming: the request whose body is being read.
        deaf: what comes is dropped.
        lingers: the client may still be sending what was refused.
    """

    def __init__(self, around: Surroundings) -> None:
        self.phase = IDLE
        self.since_s = around.now_s
        self.ready: deque[Exchange] = deque()
        self.coming: Exchange | None = None
        self.deaf = self.lingers = False
        self._around = around
        self._limits = around.limits
        self._admit = around.app.admit
        self._parser: Any = httptools.HttpRequestParser(self)
        self._replays = self._is_first = self._is_odd = False
        self._twice = self._url = b""
        self._data = b""  # what the request that is being read began with, if at its beginning
        self._known = KnownHead()
        self._headers: dict[bytes, bytes] = {}
        self._fed = 0  # bytes since the request began, or since the last bit of its body
        self._parts: list[bytes] = []
        self._lines = self._size = self._length = 0  # headers, their bytes, those of the body
        self._second_s, self._requests = around.now_s, 0

    def feed(self, data: bytes) -> None:
        """Take what was received: requests that begin as the one before, then what is parsed."""
        known, ready, at = self._known, self.ready, 0
        head, size = known.head, known.size
        alike = self.phase is IDLE and data[: len(head)] == head  # quicker than `startswith`
        while alike and len(data) - at >= size:
            known.strange, self.since_s = 0, self._around.now_s
            self._requests += 1
            over = ready or self._requests > self._limits.requests_per_s
            if over and (excess := self._excess()):
                self.refuse(429, excess, known.like)
                return
            body = b"" if known.is_all else data[at + len(head) : at + size]
            ready.append(replace(known.like, body=body) if body else known.like)
            at += size
            if at == len(data):
                return
            alike = data.startswith(head, at)
        self._read(data[at:])

    def _read(self, data: bytes) -> None:
        if self.phase is IDLE:
            self._fed, self._is_first, self._data = 0, True, data
        at, most = 0, self._limits.header_bytes
        while at < len(data) and not self.deaf:
            size = piece_size(self.coming, self._length)
            part = data[at : at + size]
            at += size
            self._fed += len(part)
            self._parse(part)
            if self._fed > most and self.phase is not IDLE:
                self.refuse(431, f"headers, trailers, extensions take {most} bytes at most")

    def refuse(self, status: int, message: str, exchange: Exchange | None = None) -> None:
        """Put a refusal behind the answers that are due; whatever follows is dropped.

        It is about `exchange`, by default the request that is coming.
        """
        if not self.deaf:
            self.deaf, self.lingers, self._parts = True, True, []
            answer = refused_request(status, message, exchange or self.coming)
            self.ready.append(Exchange(b"", b"", b"", {}, refusal=answer))

    def end(self) -> None:
        """Note that nothing more will come; what is not complete is forgotten."""
        self.deaf, self.lingers, self.phase, self.coming = True, False, IDLE, None
        self._parts, self._parser, self._data = [], None, b""

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.deaf:
                self._replay(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            if not self.deaf:
                raise
        except httptools.HttpParserError as error:
            self.refuse(400, f"the request is not HTTP/1.1: {error}")

    def _replay(self, rest: bytes) -> None:
        """Go on behind the headers of a request that asked for another protocol."""
        assert self.coming is not None
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(framing_of(self.coming.headers))
        if rest:
            self._parse(rest)

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._replays:
            return
        self.phase, self.since_s = HEAD, self._around.now_s
        if self._is_first:
            self._is_first = False
        else:
            self._fed = 0  # less than it is: what came with the request before is not known
            self._data = b""
        self._url, self._headers = b"", {}
        self._lines = self._size = 0

    def on_url(self, url: bytes) -> None:
        """Note a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; drop a trailer, unless it would be the framing of the request."""
        name = name.lower()
        if self.phase is HEAD:
            self._lines += 1
            self._size += len(name) + len(value) + 4
            if name in NOTED:
                if name in self._headers and name in ONCE:
                    self._twice = name
                elif name in ODD:
                    self._is_odd = True
            self._headers[name] = value.strip()
        elif not self._replays and name in FRAMING:
            self._abort(400, f"the header `{name.decode()}` is no trailer")

    def on_headers_complete(self) -> None:
        """Check the bounds and the framing, then ask the application to admit the request."""
        if self._replays:
            self._replays = False
            return
        parser, headers, url, limits = self._parser, self._headers, self._url, self._limits
        path, _, query = url.partition(b"?")
        exchange = self.coming = Exchange(parser.get_method(), path, query, headers)
        exchange.size = len(url) + self._size
        self.phase = BODY
        self._requests += 1
        if (
            exchange.size > limits.header_bytes
            or self._lines > limits.headers
            or self._requests > limits.requests_per_s
            or self.ready
        ):
            self._check_bounds(exchange.size)
        self._fed = 0
        keeps = exchange.is_persistent = parser.should_keep_alive()
        host = headers.get(b"host")
        odd = self._is_odd or not keeps or host is None or url[:1] != b"/" or self._twice
        odd = odd or parser.should_upgrade()  # which `Connection` alone does not tell
        if odd or (host and b":" in host and not has_good_port(host)):
            self._check_odd(exchange)
        exchange.refusal = self._admit(exchange)
        length = headers.get(b"content-length", b"")
        if len(length) > LONGEST_LENGTH or (len(length) > 4 and int(length) > limits.body_bytes):
            self._too_long(exchange)
        if self._data and not odd and exchange.refusal is None:
            self._known.remember(exchange, self._data)
        self._data = b""
        if exchange.early or exchange.refusal is not None:
            if exchange.expects:
                exchange.is_persistent = False  # whether the body comes is not known
            self._push(exchange)

    def _excess(self) -> str:
        """Return what is too much where many requests are sent, or sent ahead; "" if nothing is."""
        limits, now_s = self._limits, self._around.now_s
        if len(self.ready) >= limits.pipelined:
            return f"{limits.pipelined} requests may be sent ahead, no more"
        if self._requests > limits.requests_per_s:
            if self._second_s == now_s:
                return f"{limits.requests_per_s} requests a second are taken, no more"
            self._second_s, self._requests = now_s, 1
        return ""

    def _check_bounds(self, size: int) -> None:
        limits = self._limits
        if excess := self._excess():
            self._abort(429, excess)
        if self._lines > limits.headers:
            self._abort(431, f"{limits.headers} headers are taken, no more")
        if size > limits.header_bytes:
            self._abort(431, f"headers take {limits.header_bytes} bytes at most")

    def _check_odd(self, exchange: Exchange) -> None:
        version, twice = self._parser.get_http_version(), self._twice
        self._twice, self._is_odd = b"", False
        exchange.is_old = version == "1.0"
        problem = problem_of(exchange, version, twice)
        if problem is not None:
            self._abort(*problem)
        self._replays = self._parser.should_upgrade()

    def on_chunk_header(self) -> None:
        """Note progress."""
        self._fed = 0

    def on_body(self, data: bytes) -> None:
        """Keep a part of a body that is wanted."""
        exchange = self.coming
        assert exchange is not None
        self._fed = 0
        exchange.expects = False
        self._length += len(data)
        if self._length > self._limits.body_bytes:
            self._too_long(exchange)
        elif not exchange.is_queued:
            self._parts.append(data)

    def _too_long(self, exchange: Exchange) -> None:
        """Refuse a body; one that is not wanted anyway ends the connection behind the answer."""
        if exchange.refusal is None and not exchange.is_queued:
            self._abort(413, f"the body is larger than {self._limits.body_bytes} bytes; split it")
        exchange.is_persistent, self.deaf, self.lingers = False, True, True
        if not exchange.is_queued:
            self._push(exchange)
        raise Refused

    def on_message_complete(self) -> None:
        """End a request; it is ready to be answered."""
        if self._replays:
            return
        exchange, self.coming = self.coming, None
        assert exchange is not None
        self.phase, self.since_s = IDLE, self._around.now_s
        if self._parts:
            exchange.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            exchange.size += self._length
            self._parts = []
        self._length = 0
        if not exchange.is_queued:
            self._push(exchange)
        if not exchange.is_persistent:
            self.deaf = True

    def _push(self, exchange: Exchange) -> None:
        exchange.is_queued = True
        self.ready.append(exchange)

    def _abort(self, status: int, message: str) -> None:
        """Refuse a request while it is parsed."""
        self.refuse(status, message)
        raise Refused


def piece_size(coming: Exchange | None, received: int) -> int:
    """Return how many bytes to parse at once; `received` are those of the body that is coming."""
    length = None if coming is None else coming.headers.get(b"content-length")
    return PIECE if length is None else max(PIECE, int(length) - received)


def problem_of(exchange: Exchange, version: str, twice: bytes) -> tuple[int, str] | None:
    """Return status and message for a head that could be read in two ways, or is not spoken here.

    Notes what the client expects. The host of a target in absolute form stands for the `Host`
    header; `twice` is the name of a header that was given twice.
    """
    headers, is_old = exchange.headers, exchange.is_old
    scheme, found, rest = exchange.path.partition(b"://")
    if found and scheme.lower() in (b"http", b"https"):
        headers[b"host"], slash, path = rest.partition(b"/")
        exchange.path = slash + path or b"/"
    coding = headers.get(b"transfer-encoding")
    expected = headers.get(b"expect", b"").lower()
    exchange.expects = bool(expected) and not is_old
    problems = (
        (exchange.method == b"CONNECT", 405, "this is no proxy: CONNECT is not for it"),
        (version not in ("1.0", "1.1"), 400, f"HTTP/{version} is not spoken here; use HTTP/1.1"),
        (twice, 400, f"the header `{twice.decode()}` is given twice"),
        (b"host" not in headers and not is_old, 400, "the header `Host` is missing"),
        (
            not has_good_port(headers.get(b"host", b"")),
            400,
            "the port in `Host` is no number from 1 to 65535",
        ),
        (
            coding is not None and is_old,
            400,
            "HTTP/1.0 has no Transfer-Encoding; send a Content-Length",
        ),
        (
            coding is not None and coding.lower() != b"chunked",
            501,
            "`chunked` is the only transfer coding here",
        ),
        (expected not in (b"", b"100-continue"), 417, "`100-continue` is all that can be expected"),
    )
    return next(((status, text) for is_so, status, text in problems if is_so), None)


def has_good_port(host: bytes) -> bool:
    """Return whether a `Host` has no port, or one that can be.

    >>> [has_good_port(host) for host in (b"kv", b"[::1]", b"[::1]:80", b"kv:65535")]
    [True, True, True, True]
    >>> [has_good_port(host) for host in (b"kv:", b"kv:0", b"kv:65536", b"kv:abc", b"[::1]80")]
    [False, False, False, False, False]
    """
    _, found, port = host.rpartition(b":")
    if not found or host.endswith(b"]"):
        return True
    return port.isdigit() and len(port) <= PORT_DIGITS and 0 < int(port) <= MOST_PORT


def framing_of(headers: dict[bytes, bytes]) -> bytes:
    """Return the head of a request that has the body of another, and nothing else of it."""
    lines = [
        b"%s: %s\r\n" % (name, headers[name])
        for name in (b"content-length", b"transfer-encoding")
        if name in headers
    ]
    return b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(lines)

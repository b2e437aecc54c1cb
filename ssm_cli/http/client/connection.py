"""Connections to a tree: one that blocks, and one for asyncio; over a Unix socket or TCP."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Never
from urllib.parse import urlsplit

import msgspec

from ssm_cli.errors import CallTimeout, CommandError, NoTree
from ssm_cli.http.client.silence import PROBE_S, QUIET_S, peer_of, silent
from ssm_cli.http.client.wire import Response, request_bytes

if TYPE_CHECKING:
    import asyncio
    import ssl

CONNECT_S = 5.0
CHUNK = 65_536
HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._:%")
REST_S = 30.0  # how long the rest of a response may take that has begun without a limit
FRESH_S = 20.0  # an idle connection is used again within; proxies keep theirs for 30 and more


class Address(msgspec.Struct, frozen=True):
    """Where a tree is. `path` is that of a Unix socket; else `host` and `port`, `tls` or not."""

    path: str = ""
    host: str = "localhost"
    port: int = 0
    tls: bool = False
    prefix: str = ""

    @property
    def shown(self) -> str:
        """The address as messages show it."""
        scheme = "https" if self.tls else "http"
        return self.path or f"{scheme}://{self.host_header}{self.prefix}"

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def netloc(self) -> str:
        """The host and the port, whatever the port."""
        return f"{self.bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The value of the `Host` header."""
        if self.path:
            return "localhost"
        return self.bracketed if self.port == (443 if self.tls else 80) else self.netloc


def address_of(url: str) -> Address:
    """Parse the URL of a tree.

    Raises:
        CommandError: it is no URL of a tree.

    >>> address_of("http://127.0.0.1:8080").port, address_of("unix:/run/kv.sock").path
    (8080, '/run/kv.sock')
    """
    if url.startswith("unix:"):
        return Address(path=url.removeprefix("unix:").removeprefix("//"))
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = urlsplit(""), None, None
    if "@" in url:
        raise CommandError(
            "the URL of a tree has no user and no password in it, which every user of this "
            "computer could read; put the token into SSM_TOKEN, or see `ssm login`"
        )
    known = parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
    known = known and all("!" <= letter <= "~" for letter in url)  # the rest is quoted: `%20`
    labels = (host or "").removesuffix(".").split(".")
    fits = set(host or "") <= HOST_CHARACTERS and all(0 < len(label) < 64 for label in labels)
    if not (known and host and fits):
        shown = re.split("[?#]", url)[0]  # what follows may be a secret
        raise CommandError(
            f"`{shown}` is no URL of a tree; write http://HOST:PORT or unix:PATH, and blanks and "
            "what is not ASCII as %XX"
        )
    tls = parts.scheme == "https"
    prefix = parts.path.rstrip("/")
    return Address(host=host, port=port or (443 if tls else 80), tls=tls, prefix=prefix)


def context_of(address: Address) -> ssl.SSLContext | None:
    """Return the TLS context: the certificates of the system and of `$SSL_CERT_FILE`."""
    if not address.tls:
        return None
    import ssl  # noqa: PLC0415 - 15 ms that a Unix socket saves

    return ssl.create_default_context()


class Connection:
    """A blocking connection, opened at the first request and reopened when it was closed.

    Attributes:
        stops: the tree itself, and no proxy between, has said that it drops what was sent behind a
            call that fails.
        notice: called with a line about a server that is silent.
    """

    notice: Callable[[str], None] | None = None

    def __init__(self, address: Address, token: str | None = None) -> None:
        self.address = address
        self.token = token
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self.stops = False
        self._socket: socket.socket | None = None
        self._used_s = 0.0
        self._rest = b""

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = 30.0,
    ) -> Response:
        """Send a request and wait for its response.

        Raises:
            NoTree: nothing listens, or the connection ended before the response.
            CallTimeout: the response was not there whole within `timeout_s` seconds.
        """
        self.send([self.encoded(method, target, body, headers)])
        return self.receive(timeout_s)

    async def later(self, method: str, target: str, wait_s: float) -> Response:
        """Send a request, and wait for its response while other tasks go on; raises as `alone`."""
        return await self.alone(self.encoded(method, target, b"", {}), wait_s)

    async def alone(self, request: bytes, wait_s: float, worker: str = "") -> Response:
        """Send an encoded request on a connection of its own; other tasks go on meanwhile.

        Raises:
            NoTree: nothing listens, or the connection ended before the response.
            CallTimeout: the response was not there whole in time; about `worker`.
        """
        import asyncio  # noqa: PLC0415 - `ssm call` does without

        response = Response()
        try:
            async with asyncio.timeout(wait_s):
                reader, writer = await open_stream(self.address)
                try:
                    writer.write(request)
                    async for _ in parts(reader, response):
                        pass
                finally:
                    writer.close()
        except TimeoutError as error:
            why = f"{self.address.shown} did not answer to the end within {wait_s:g} s"
            raise CallTimeout(why, worker=worker, reason="timeout") from error
        except OSError as error:
            self.lost(error)
        return response

    def encoded(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str] | None
    ) -> bytes:
        """Encode a request, with the token."""
        path = f"{self.address.prefix}{target}"
        more = {**self._headers, **(headers or {})}
        return request_bytes(method, path, self.address.host_header, body, more)

    def send(self, requests: Iterable[bytes]) -> None:
        """Send requests in order, without waiting for responses."""
        if self._socket is not None and time.monotonic() - self._used_s > FRESH_S:
            self.close()
        sock = self._socket or self._connected()
        try:
            for request in requests:
                sock.sendall(request)
        except OSError as error:
            if not isinstance(error, BrokenPipeError | ConnectionResetError):
                self.lost(error)
            self._used_s = 0.0  # what the server said before it closed can still be read
        else:
            self._used_s = time.monotonic()

    def receive(self, timeout_s: float | None = 30.0) -> Response:
        """Receive the next response."""
        response = Response()
        for _ in self._feed(response, timeout_s):
            pass
        self.stops = "ssm-stop-on-failure" in response.headers.get("connection", "").lower()
        return response

    def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        refused: Callable[[Response], Never],
        reader: int | None = None,
    ) -> Iterator[bytes]:
        """Yield the body of an endless response as it is received; `refused` raises for another.

        `reader` is the descriptor by which somebody reads what comes of it, if anybody does.

        Raises:
            BrokenPipeError: whoever that is has gone, though nothing was written to see it.
        """
        self.send([self.encoded("GET", target, b"", headers)])
        response = Response()
        for _ in self._feed(response, None, reader):
            if is_stream(response):
                yield response.take()
        if not is_stream(response):
            refused(response)
        yield response.take()

    def until_closed(self, timeout_s: float) -> None:
        """Wait until the server closes the connection."""
        if self._socket is not None:
            self._socket.settimeout(timeout_s)
            try:
                while self._socket.recv(CHUNK):
                    pass
            except (TimeoutError, ConnectionResetError):
                pass  # it takes long, or it is gone: either way nothing more is to be heard
            self.close()

    @property
    def has_more(self) -> bool:
        """Return whether part of the next response was received with the last one."""
        return bool(self._rest)

    def readable(self) -> socket.socket:
        """Return the socket, to poll it."""
        return self._socket or self._connected()

    def _feed(
        self, response: Response, timeout_s: float | None, reader: int | None = None
    ) -> Iterator[None]:
        """Yield each time more of a response has come.

        Without a limit the first byte is waited for as long as it takes, and so is more of a
        stream; whatever else has begun has to end in time.
        """
        sock = self._socket or self._connected()
        limit = Limit(timeout_s)
        data, self._rest = self._rest, b""
        try:
            while True:
                if data:
                    response.feed(data)
                    yield
                if response.complete:
                    break
                limit.note(data, response)
                wait_beside(sock, reader)
                data = received(self, sock, limit, has_begun=response.status > 0)
                if not data:
                    response.end()
                    if not response.complete:
                        raise ConnectionResetError(0, "it closed the connection")
                    response.closes = True
        except TimeoutError as error:
            self.close()
            part = "to the end " if response.status else ""
            text = f"{self.address.shown} did not answer {part}within {limit.limit_s:g} s"
            raise CallTimeout(text, reason="timeout") from error
        except BrokenPipeError:  # of the reader: nothing is sent here
            self.close()
            raise
        except OSError as error:
            self.lost(error)
        self._rest = response.rest
        if response.closes:
            self.close()

    def _connected(self) -> socket.socket:
        address = self.address
        try:
            if address.path:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.settimeout(CONNECT_S)
                self._socket.connect(address.path)
            else:
                self._socket = socket.create_connection((address.host, address.port), CONNECT_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                context = context_of(address)
                if context is not None:
                    self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
        except OSError as error:
            self.close()
            raise NoTree(f"no tree can be reached at {address.shown}: {why_not(error)}") from error
        return self._socket

    def lost(self, error: OSError) -> Never:
        """Close the connection and raise `NoTree`."""
        self.close()
        plain = not (self.address.path or self.address.tls)
        raise NoTree(
            f"the tree at {self.address.shown} went away before it answered: "
            f"{error.strerror or error}; `ssm ls` shows what runs"
            f"{', or does it want https://?' if plain else ''}"
        ) from error


def received(made: Connection, sock: socket.socket, limit: Limit, *, has_begun: bool) -> bytes:
    """Return what comes next; once nothing has come for `QUIET_S`, look at who is silent."""
    left_s = limit.left_s()
    is_short = left_s is not None and left_s <= QUIET_S
    if made.notice is None or has_begun or limit.looked or is_short:
        sock.settimeout(left_s)
        return sock.recv(CHUNK)
    sock.settimeout(QUIET_S)
    try:
        return sock.recv(CHUNK)
    except TimeoutError:
        limit.looked = True
    left_s = limit.left_s()
    if not answers_others(made.address, PROBE_S if left_s is None else min(left_s, PROBE_S)):
        line, most_s = silent(made.address.shown, peer_of(sock), QUIET_S)
        made.notice(line)
        limit.limit_s = limit.limit_s or most_s
    return received(made, sock, limit, has_begun=False)


def answers_others(address: Address, wait_s: float) -> bool:
    """Return whether the server answers another client."""
    other = Connection(address)
    try:
        other.request("GET", "/health/live", timeout_s=wait_s)
    except CallTimeout:
        return False
    except NoTree:
        return True  # it has closed its door: it is about to end
    finally:
        other.close()
    return True


def wait_beside(sock: socket.socket, reader: int | None) -> None:
    """Wait until a socket can be read; raise `BrokenPipeError` if a reader has gone before."""
    if reader is None or getattr(sock, "pending", int)():
        return  # ... or TLS has something left
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    waiting.register(reader, 0)
    if dict(waiting.poll()).get(reader, 0):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def why_not(error: OSError) -> str:
    """Return why nobody could be reached, and what to do."""
    reason = getattr(error, "reason", None)  # of an `ssl.SSLError`
    if reason == "CERTIFICATE_VERIFY_FAILED":
        why = getattr(error, "verify_message", "")
        return f"its certificate is not trusted: {why}; SSL_CERT_FILE names one that is"
    if reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS; is it http://?"
    return f"{error.strerror or error}; `ssm ls` shows what runs"


class Limit:
    """How long a response may take; once it has begun it has to end, unless it is a stream.

    Attributes:
        limit_s: from its begin, in seconds; None as long as there is none.
        looked: whether it was looked at who is silent.
    """

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self.looked = False
        self._begun_s = time.monotonic()

    def note(self, came: bytes, response: Response) -> None:
        """Begin to count once something came of a response that has an end."""
        if self.limit_s is None and came and not is_stream(response):
            self.limit_s, self._begun_s = REST_S, time.monotonic()

    def left_s(self) -> float | None:
        """Return the seconds that are left; raises `TimeoutError` if none are."""
        if self.limit_s is None:
            return None
        left_s = self._begun_s + self.limit_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def is_stream(response: Response) -> bool:
    """Return whether a response is the stream of reports, as far as it has come."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status == 200 and kind == "text/event-stream"


async def open_stream(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection for asyncio. Raises `OSError` if nothing listens."""
    import asyncio  # noqa: PLC0415 - `ssm call` does without

    if address.path:
        opening = asyncio.open_unix_connection(address.path)
    else:
        opening = asyncio.open_connection(address.host, address.port, ssl=context_of(address))
    return await asyncio.wait_for(opening, CONNECT_S)


async def parts(reader: asyncio.StreamReader, response: Response) -> AsyncIterator[Response]:
    """Yield the response each time more of it was received, until it is complete.

    Raises `ConnectionResetError` if it ends early.
    """
    while not response.complete:
        data = await reader.read(CHUNK)
        if data:
            response.feed(data)
        else:
            response.end()
            if not response.complete:
                raise ConnectionResetError(0, "it closed the connection")
        yield response

"""A sans-IO HTTP/1.1 client: requests to bytes, and bytes to responses.

`http.client` would add 20 ms to each `ssm call`: it imports the parsers of e-mail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ssm_cli.errors import NoTree

MAX_HEAD = 65_536  # bytes
MAX_LINE = 1024  # bytes of the line before a chunk
MAX_BODY = 256 << 20  # bytes of one response
MAX_EVENT = 1 << 20  # bytes of one event of a stream
MAX_INTERIM = 8  # answers `100 Continue` before one response
TOO_LONG = f"the server sends more than {MAX_BODY} bytes in one response"
_STATUS = re.compile(r"HTTP/1\.[01] ([1-9][0-9]{2})(?: |$)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,15}")


class Response:
    """One response, fed with bytes until it is complete.

    Attributes:
        status: 0 until the head has come.
        headers: by their names in lower case.
        body: what has come of it; a stream takes it away with `take`.
        complete: whether all of it has come.
        closes: whether the server closes the connection after it.
        rest: bytes that came after it.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.closes = False
        self._left: int | None = None
        self._chunked = False
        self._buffer = bytearray()
        self._interim = 0

    @property
    def rest(self) -> bytes:
        """The bytes received after the response."""
        return bytes(self._buffer) if self.complete else b""

    def feed(self, data: bytes) -> None:
        """Parse the next bytes. Raises `NoTree` if they are not HTTP."""
        self._buffer += data
        if not self.status:
            self._head()
        if self.status and not self.complete:
            self._take_body()
            if len(self.body) > MAX_BODY:
                raise NoTree(TOO_LONG)

    def take(self) -> bytes:
        """Return and clear the part of the body received since the last `take`."""
        data = bytes(self.body)
        self.body.clear()
        return data

    def end(self) -> None:
        """Note that the server has closed the connection."""
        if self.status and self._left is None and not self._chunked:
            self.complete = True

    def _head(self) -> None:
        """Parse the status and the headers, once they are there whole."""
        while not self.status:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if len(head) > MAX_HEAD:
                raise NoTree("the server does not speak HTTP: its headers do not end")
            if not found:
                return
            self._buffer = rest
            first, *lines = head.decode("latin-1").split("\r\n")
            match = _STATUS.match(first)
            if match is None:
                raise NoTree(f"the server does not speak HTTP: it answered {first[:80]!r}")
            if match[1].startswith("1"):  # 100 Continue: the response itself comes next
                self._interim += 1
                if self._interim > MAX_INTERIM:
                    raise NoTree("the server answers again and again that it will answer")
                continue
            self.status = int(match[1])
            self._framing(lines)

    def _framing(self, lines: list[str]) -> None:
        """Keep the headers, and what they say about the length of the body."""
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = "0" if self.status in (204, 304) else self.headers.get("content-length")
        if length is not None and not self._chunked:
            if not _LENGTH.fullmatch(length):
                raise NoTree(f"the server does not speak HTTP: a length of {length[:20]!r}")
            self._left = int(length)
            if self._left > MAX_BODY:
                raise NoTree(TOO_LONG)
        self.closes = "close" in self.headers.get("connection", "").lower()

    def _take_body(self) -> None:
        if self._chunked:
            while not self.complete and self._take_chunk():
                pass
            return
        if self._left is None:
            self.body += self._buffer
            self._buffer.clear()
            return
        part = self._buffer[: self._left]
        del self._buffer[: len(part)]
        self.body += part
        self._left -= len(part)
        self.complete = self._left == 0

    def _take_chunk(self) -> bool:
        """Consume one chunk of the buffer; return False if it is incomplete."""
        line, found, rest = self._buffer.partition(b"\r\n")
        word = line.partition(b";")[0].strip()
        if len(line) > MAX_LINE or (found and not _CHUNK.fullmatch(word)):
            raise NoTree("the server does not speak HTTP: a chunk has no length")
        if not found:
            return False
        size = int(word, 16)
        if len(self.body) + size > MAX_BODY:
            raise NoTree(TOO_LONG)
        if size == 0:
            return self._take_trailers(rest)
        if len(rest) < size + 2:
            return False
        if rest[size : size + 2] != b"\r\n":
            raise NoTree("the server does not speak HTTP: a chunk is longer than it says")
        self.body += rest[:size]
        self._buffer = rest[size + 2 :]
        return True

    def _take_trailers(self, rest: bytearray) -> bool:
        """Consume what follows the last chunk; return False if its empty line is to come."""
        trailers, found, after = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if len(trailers) > MAX_HEAD:
            raise NoTree("the server does not speak HTTP: its trailers do not end")
        if found:
            self._buffer = bytearray(after)
            self.complete = True
        return bool(found)


class EventParser:
    """Parses Server-Sent Events incrementally into records."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        r"""Return the records that `data` completes, in order.

        >>> EventParser().feed(b'id: 1\ndata: {"seq":1}\n\n: ping\n\ndata: {"s')
        [{'seq': 1}]
        """
        *events, self._buffer = (self._buffer + data).split(b"\n\n")
        if len(self._buffer) > MAX_EVENT:
            raise NoTree(f"an event is larger than {MAX_EVENT} bytes")
        lines = (line for event in events for line in event.split(b"\n"))
        return [_record(line[6:]) for line in lines if line.startswith(b"data: ")]


def _record(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoTree(f"the server sends what is no record of a tree: {data[:80]!r}") from error


def request_bytes(
    method: str, target: str, host: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    r"""Encode a request with its body; values of headers are sent as UTF-8, as a tree reads them.

    >>> request_bytes("GET", "/v1/tree", "localhost")
    b'GET /v1/tree HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n'
    """
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    for name, value in (headers or {}).items():
        if not value.isprintable():
            raise NoTree(f"the header {name} would have characters that a header cannot have")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode() + body

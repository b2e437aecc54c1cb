"""What passes between a connection, the application and a handler: a request, and its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Any, Protocol

import msgspec

from ssm_cli.http.statuses import HttpError

JSON = b"application/json"
Headers = tuple[tuple[bytes, bytes], ...]
Parts = AsyncGenerator[bytes, None]


class HttpAnswer(msgspec.Struct):
    """A whole answer.

    Attributes:
        body: JSON.
        closes: the connection ends with it.
    """

    status: int
    body: bytes
    headers: Headers = ()
    closes: bool = False


class Stream(msgspec.Struct):
    """An answer in parts, each sent once the client has room for it.

    Attributes:
        kind: its `Content-Type`.
        follows: it has no end of its own; it ends when the client closes its sending half.
    """

    parts: Parts
    kind: bytes = JSON
    headers: Headers = ()
    follows: bool = False


Answered = HttpAnswer | Stream


class Exchange(msgspec.Struct):
    """A request, and what is known of its answer.

    Attributes:
        method, path, query, headers: as they were sent; names of headers in lower case.
        body: complete when the application is asked for the answer.
        found: what `admit` leaves for `answer`.
        early: set by `admit`: the answer does not depend on the body.
        size: of what came with its headers and of its body, about, in bytes.
        is_queued: it waits for its answer, or has it.
        refusal: the answer of `admit`, or of the connection itself.
        is_persistent: the connection goes on behind the answer.
        is_old: HTTP/1.0.
        expects: the client wants to hear `100 Continue` before it sends the body.
    """

    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes = b""
    found: Any = None
    early: bool = False
    size: int = 0
    is_queued: bool = False
    refusal: HttpAnswer | None = None
    is_persistent: bool = True
    is_old: bool = False
    expects: bool = False


class Request(msgspec.Struct):
    """A request as the handler of a route gets it: path parameters, query and body."""

    names: dict[str, str]
    query: dict[str, Any]
    body: bytes = b""
    is_json: bool = False

    @property
    def name(self) -> str:
        """The worker, supervisor or node in the path."""
        return self.names["name"]

    @property
    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HttpError(400, f"the body is no UTF-8: {error}") from error


class Application(Protocol):
    """What answers requests. Neither method raises, but for a defect."""

    def admit(self, exchange: Exchange) -> HttpAnswer | None:
        """Look at a request without its body; return a refusal, or None to go on."""
        ...

    def answer(self, exchange: Exchange) -> Answered | Awaitable[Answered]:
        """Answer a request, in the order of the requests of its connection."""
        ...

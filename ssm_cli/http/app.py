"""The application: raw ASGI, with a fast path for calls and a table for all other routes.

Theory of operation. Every request runs on the event loop that serves the node, between two of the
node's turns, and waits for the node only by awaiting: so a request never re-enters the node and
blocks the loop no longer than the step it asks for. A request that fails is answered with the
status and the record that `statuses.py` maps its error to.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ssm_cli.commands.records import error_record, failed_reply_record
from ssm_cli.errors import CallError, Denied, SsmError
from ssm_cli.http.access import Gate, Role
from ssm_cli.http.calling import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, Answer, Calling
from ssm_cli.http.events import Events
from ssm_cli.http.requests import About, Request, Requests, handlers
from ssm_cli.http.routes import Query, Route, Table, text_of
from ssm_cli.http.statuses import RETRY_AFTER, HttpError, status_of
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.outside import complain

MAX_BODY = 1 << 20  # bytes
READ_AND_FORGOTTEN = 8 << 20  # bytes of a body that is too large, so that its sender hears of it
MAX_QUERY = 4096  # bytes
JSON = (b"content-type", b"application/json")
STOP_ON_FAILURE = b"ssm-stop-on-failure"
CALL_PREFIX, CALL_SUFFIX = b"/v1/workers/", b"/call"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Scope = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
_encode = msgspec.json.Encoder().encode


class Service:
    """A node and the state that its listeners share."""

    def __init__(self, node: Node, about: About) -> None:
        self.node = node
        self.calling = Calling(node)
        self.events = Events(node, about.instance)
        self.table = Table()
        self.handlers = handlers(Requests(node, about))


class App:
    """The ASGI application of one listener; without a gate every caller is an admin."""

    def __init__(self, service: Service, gate: Gate | None = None) -> None:
        self._service = service
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: bytes = scope["raw_path"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        called = scope["method"] == "POST" and path.endswith(CALL_SUFFIX)
        if called and path.startswith(CALL_PREFIX) and path.count(b"/") == 4:
            await self._call(path, scope, headers, receive, send)
            return
        try:
            await self._other(path, scope, headers, receive, send)
        except SsmError as error:
            more = error.headers if isinstance(error, HttpError) else ()
            await respond(send, status_of(error), _encode(error_record(error)), more)
        except Exception as error:  # noqa: BLE001 - a defect must not leave a request unanswered
            await _defect(send, error)

    async def _call(
        self,
        path: bytes,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve the hot route. Whatever the outcome, the body is a reply record."""
        word = path[len(CALL_PREFIX) : -len(CALL_SUFFIX)]
        worker = text_of(word) if b"%" in word else word.decode("ascii", "backslashreplace")
        more: Headers = ()
        try:
            answer = await self._called(worker, scope, headers, receive)
            if answer is None:
                return
            status, body = answer
        except HttpError as error:
            status, body = error.status, _refusal(worker, error)
            more = error.headers
        except Exception as error:  # noqa: BLE001 - a defect must not leave a request unanswered
            await _defect(send, error)
            return
        if status == 503:
            more = (*more, RETRY_AFTER)
        if status != 200 and STOP_ON_FAILURE in headers:
            more = (*more, (b"connection", b"close"))
        await respond(send, status, body, more)

    async def _called(
        self, worker: str, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> Answer | None:
        """Return the outcome of a call; None if the client has disconnected."""
        if self._gate is not None:
            self._gate.check(headers, Role.CALL)
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        data = message["body"]
        if message["more_body"] or len(data) > MAX_BODY:
            data = await read_body(receive, data, more=message["more_body"])
        query = scope["query_string"]
        key = headers.get(b"idempotency-key")
        return await self._service.calling.call(
            worker,
            data,
            is_json=_is_json(headers),
            timeout_s=_timeout(query) if query else DEFAULT_TIMEOUT_S,
            key=None if key is None else key.decode("utf-8", "surrogateescape"),
            receive=receive,
        )

    async def _other(
        self,
        path: bytes,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve any other route, by the table."""
        route, names = self._route(path, scope["method"], headers)
        request = Request(names, query_of(route, scope["query_string"]))
        if route.body != "none":
            request.body = await read_body(receive)
            request.is_json = _is_json(headers)
        match route.handler:
            case "reports":
                after = _resume_after(headers, request)
                await self._service.events.serve(after, receive, send)
            case "metrics":
                from ssm_cli.http.metrics import exposition  # noqa: PLC0415 - slow, and rare

                body = exposition(self._service.node, self._service.calling)
                text = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
                await respond(send, 200, body, kind=text)
            case "openapi":
                from ssm_cli.http.openapi import document  # noqa: PLC0415 - rare

                node = self._service.node
                supervisor = node.names("supervisor")[0]
                worker = next(iter(node.names("worker")), supervisor)
                await respond(send, 200, _encode(document(worker, supervisor)))
            case "stop":
                self._service.node.stop()
                await respond(send, 200, b'{"v":1,"type":"done","verb":"stop"}')
            case handler:
                answer = self._service.handlers[handler](request)
                if inspect.isawaitable(answer):
                    answer = await answer
                await respond(send, route.status, _encode(answer))

    def _route(
        self, path: bytes, method: str, headers: dict[bytes, bytes]
    ) -> tuple[Route, dict[str, str]]:
        """Return the route of an authorized request and its path parameters."""
        found = self._service.table.find(path)
        match = next((pair for pair in found if pair[0].method == method), None)
        if self._gate is not None:
            self._gate.check(headers, Role.READ if match is None else match[0].role)
        if not found:
            shown = text_of(path)[:200]
            raise HttpError(404, f"there is nothing at {shown}; /openapi.json lists the routes")
        if match is None:
            allowed = ", ".join(sorted(route.method for route, _ in found))
            header = (b"allow", allowed.encode())
            raise HttpError(405, f"{method[:20]} is not for this; use {allowed}", (header,))
        return match


async def respond(
    send: Send, status: int, body: bytes, more: Headers = (), kind: tuple[bytes, bytes] = JSON
) -> None:
    """Send a complete response."""
    headers = [kind, (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive, data: bytes = b"", *, more: bool = True) -> bytes:
    """Read the rest of a body; `HttpError` if it exceeds `MAX_BODY` bytes or ends early."""
    parts, size = [data], len(data)
    close = (b"connection", b"close")
    while more and size <= READ_AND_FORGOTTEN:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(400, "the request ended early", (close,))
        more = message.get("more_body", False)
        size += len(message.get("body", b""))
        if size <= MAX_BODY:
            parts.append(message.get("body", b""))
    if size > MAX_BODY:
        raise HttpError(413, f"the body is larger than {MAX_BODY} bytes; split it", (close,))
    return b"".join(parts)


def query_of(route: Route, given: bytes) -> dict[str, Any]:
    """Parse the parameters of a query string, each to its type; ignore unknown ones.

    >>> from ssm_cli.http.routes import ROUTES
    >>> query_of(next(r for r in ROUTES if r.handler == "log"), b"last=3&other=1")
    {'last': 3}
    """
    if len(given) > MAX_QUERY:
        raise HttpError(400, f"the query is longer than {MAX_QUERY} bytes")
    if not given or not route.query:
        return {}
    known = {parameter.name: parameter for parameter in route.query}
    pairs = parse_qsl(given.decode("latin-1"), keep_blank_values=True, errors="backslashreplace")
    return {name: _value(known[name], text) for name, text in pairs if name in known}


def _value(parameter: Query, text: str) -> Any:
    wanted: dict[str, type] = {"number": float, "integer": int, "boolean": bool, "string": str}
    value: Any
    try:
        value = msgspec.convert(text, wanted[parameter.type], strict=False)
    except msgspec.ValidationError:
        value = None
    in_range = not isinstance(value, int | float) or 0 <= value < 2**53
    if value is None or not in_range or (parameter.choices and value not in parameter.choices):
        expected = " or ".join(parameter.choices) or f"one {parameter.type}, not negative"
        raise HttpError(400, f"`{parameter.name}` is {expected}, not `{text[:100]}`")
    return value


def _timeout(query: bytes) -> float:
    route = Table().find(b"/v1/workers/x/call")[0][0]
    timeout_s = float(query_of(route, query).get("timeout", DEFAULT_TIMEOUT_S))
    if not timeout_s <= MAX_TIMEOUT_S:
        raise HttpError(400, f"`timeout` is at most {MAX_TIMEOUT_S:g} seconds")
    return timeout_s


def _resume_after(headers: dict[bytes, bytes], request: Request) -> int:
    """Return the report number to resume after: `Last-Event-ID` wins over `after`."""
    given = headers.get(b"last-event-id")
    if given is not None:
        if not given.isdigit() or len(given) > 15:
            raise HttpError(400, "`Last-Event-ID` is the number of a report")
        return int(given)
    return int(request.query.get("after", 0))


def _is_json(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").startswith(b"application/json")


def _refusal(worker: str, error: HttpError) -> bytes:
    """Return the reply record of a call that was denied, or could not be parsed."""
    if error.status in (401, 403):
        return _encode(failed_reply_record(worker, "", Denied(str(error), worker=worker), 0.0))
    call_error = CallError(str(error), worker=worker)
    record = failed_reply_record(worker, "", call_error, 0.0)
    return _encode(record | {"outcome": "undecodable"})


async def _defect(send: Send, error: Exception) -> None:
    """Answer 500 for an error of ssm itself; print its traceback on standard error."""
    complain("a request could not be answered: a defect", error)
    text = f"defect: {type(error).__name__}; the server's standard error has the traceback"
    await respond(send, 500, _encode(error_record(SsmError(text))))

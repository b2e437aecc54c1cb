"""The application: a fast path for calls, and a table for all other routes.

Theory of operation. Every request runs on the event loop that serves the node, between two of the
node's turns, and waits for the node only by awaiting: so a request never re-enters the node and
blocks the loop no longer than the step it asks for. What takes long is answered in slices. A
request that fails is answered with the status and the record that `statuses.py` maps its error to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ssm_cli.codec.words import shorten, suggestion
from ssm_cli.commands.records import instant
from ssm_cli.commands.routes import (
    INTO,
    MOST_INTEGER,
    NAMED_WHOLE,
    PLAN,
    YES_NO,
    Query,
    Role,
    Route,
)
from ssm_cli.errors import SsmError, whole_number
from ssm_cli.http.access import Gate
from ssm_cli.http.calling import (
    DEFAULT_TIMEOUT_S,
    MAX_TIMEOUT_S,
    Answer,
    Calling,
    HttpCall,
)
from ssm_cli.http.carried import carry, to_carry, whole_name
from ssm_cli.http.events import Events
from ssm_cli.http.exchange import JSON, Answered, Exchange, HttpAnswer, Request, Stream
from ssm_cli.http.metrics import Metrics
from ssm_cli.http.refusals import called, refusal_of
from ssm_cli.http.requests import About, Requests, with_stopped
from ssm_cli.http.routes import BY_EFFECT, Table, text_of
from ssm_cli.http.slices import SLICE, each_name
from ssm_cli.http.statuses import RETRY_AFTER, HttpError, status_of
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.outside import complain
from ssm_cli.simulation.asking import with_futures

FILES = {"fork": "code", "replay": "code", "shadow": "code", "plan": "tree", "apply": "tree"}
"""The effects that run a file of this computer, and the parameter that names it."""
MAX_QUERY = 4096  # bytes
FLAGS = {"yes": True, "true": True, "no": False, "false": False}
STOP_ON_FAILURE = b"ssm-stop-on-failure"
STOPS_HERE = ((b"connection", STOP_ON_FAILURE),)  # which a proxy does not pass on
DEEP = "it is nested too deeply to be read or shown"

_encode = msgspec.json.Encoder().encode


class Service:
    """A node and the state that its listeners share."""

    def __init__(self, node: Node, about: About) -> None:
        self.node = with_futures(node, instant)
        self.calling = Calling(node)
        self.events = Events(node, about.instance)
        self.metrics = Metrics(node, self.calling)
        self.table = Table()
        self.requests = Requests(node, about)
        self.file = about.file
        self._document = b""

    async def described(self) -> HttpAnswer:
        """Return the OpenAPI document, with the names of nodes that there were at the first."""
        if not self._document:
            from ssm_cli.http.openapi import document  # noqa: PLC0415 - rare

            await asyncio.sleep(0)  # each of the three steps takes some milliseconds
            supervisor = self.node.listing().root
            workers = each_name(self.node.listing(), "worker")
            worker = next(filter(None, islice(workers, SLICE)), supervisor)
            made = document(worker, supervisor)
            await asyncio.sleep(0)
            self._document = _encode(made)
        return HttpAnswer(200, self._document)


class App:
    """The application of one listener; without a gate every caller is an admin."""

    def __init__(self, service: Service, gate: Gate | None = None) -> None:
        self._service = service
        self._gate = gate

    def admit(self, exchange: Exchange) -> HttpAnswer | None:
        """Find the route of a request and check that the caller may use it; see `Application`."""
        try:
            if (name := called(exchange)) is not None:
                exchange.found = name
                if self._gate is not None:
                    self._gate.check(exchange.headers, Role.CALL)
            else:
                exchange.found = route, _ = self._route(exchange)
                exchange.early = route.body == "none"
        except HttpError as error:
            return self._failure(exchange, error)
        return None

    def answer(self, exchange: Exchange) -> Answered | Awaitable[Answered]:
        """Answer an admitted request; see `Application`."""
        try:
            is_call = type(exchange.found) is str
            answered = self._call(exchange) if is_call else self._other(exchange)
            if isinstance(answered, tuple):
                return self._reply(exchange, answered)
        except Exception as error:  # noqa: BLE001 - a defect must not leave a request unanswered
            return self._failure(exchange, error)
        return answered if isinstance(answered, Answered) else self._later(exchange, answered)

    async def _later(
        self, exchange: Exchange, coming: Coroutine[Any, Any, Answer | Answered]
    ) -> Answered:
        try:
            answered = await coming
            return answered if isinstance(answered, Answered) else self._reply(exchange, answered)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            return self._failure(exchange, error)

    # -- calls ---------------------------------------------------------------------------------

    def _call(self, exchange: Exchange) -> Answer | Coroutine[Any, Any, Answer | HttpAnswer]:
        """Begin a call of the tree, or of a fork of it, which no loop serves."""
        service, headers = self._service, exchange.headers
        query = query_of(BY_EFFECT["call"], exchange.query) if exchange.query else {}
        key = headers.get(b"idempotency-key")
        asked = HttpCall(
            whole_name(service.node, exchange.found, query) if query else exchange.found,
            exchange.body,
            _is_json(headers),
            _timeout(query) if query else DEFAULT_TIMEOUT_S,
            None if key is None else key.decode("utf-8", "surrogateescape"),
        )
        if place := query.get("at"):
            return self._call_in_fork(exchange, asked, place)
        return service.calling.call(asked)

    async def _call_in_fork(self, exchange: Exchange, asked: HttpCall, place: str) -> HttpAnswer:
        """Call a worker of a fork, which is served in turns."""
        node = self._service.node
        fork = node.perform("standing", place, reading=False)
        called = Calling(fork).call(asked)
        said = await node.effects["in_turns"]("settle", at=place)
        answer = called if isinstance(called, tuple) else await called
        return with_stopped(self._reply(exchange, answer), said)

    @staticmethod
    def _reply(exchange: Exchange, answer: Answer) -> HttpAnswer:
        status, body = answer
        if status == 200:
            stops = STOP_ON_FAILURE in exchange.headers
            return HttpAnswer(200, body, headers=STOPS_HERE) if stops else HttpAnswer(200, body)
        more = (RETRY_AFTER,) if status == 503 else ()
        return HttpAnswer(status, body, headers=more, closes=STOP_ON_FAILURE in exchange.headers)

    # -- failures ------------------------------------------------------------------------------

    def _failure(self, exchange: Exchange, error: Exception) -> HttpAnswer:
        """Return the answer for an error; of a call it is a reply record, but for a defect."""
        if isinstance(error, RecursionError):
            error = HttpError(400, DEEP)
        if not isinstance(error, SsmError):
            complain("a request could not be answered: a defect", error)
            text = f"defect: {type(error).__name__}; the server's standard error has the traceback"
            error = SsmError(text)
        more = error.headers if isinstance(error, HttpError) else ()
        closes = type(exchange.found) is str and STOP_ON_FAILURE in exchange.headers
        return HttpAnswer(
            status_of(error), refusal_of(exchange, error), headers=more, closes=closes
        )

    # -- all other routes ----------------------------------------------------------------------

    def _other(self, exchange: Exchange) -> Answered | Coroutine[Any, Any, Answered]:
        """Serve any other route, by the table."""
        route, names = exchange.found
        service = self._service
        query = query_of(route, exchange.query)
        if route.effect in NAMED_WHOLE:
            names = {"name": whole_name(service.node, names["name"], query)}
        elif (far := to_carry(service.node, route, names, query)) is not None:
            kind = exchange.headers.get(b"content-type", b"").decode("latin-1")
            asked = msgspec.structs.replace(far[1], kind=kind, body=exchange.body)
            return carry(service.node, far[0], asked)
        request = Request(names, query, exchange.body, _is_json(exchange.headers))
        if self._gate is not None and (file := FILES.get(route.effect)) is not None:
            refuse_elsewhere(request.query.get(file), service.file, file)
        match route.effect:
            case "reports":
                given = exchange.headers.get(b"last-event-id")
                after = int(request.query.get("after", 0))
                after = after if given is None else service.events.resume_after(given)
                return service.events.stream(after)
            case "metrics":
                return Stream(service.metrics.exposition(), Metrics.KIND)
            case "openapi":
                return service.described()
            case _:
                return service.requests.answer(route, request)

    def _route(self, exchange: Exchange) -> tuple[Route, dict[str, str]]:
        """Return the route of an authorized request and its path parameters."""
        method = exchange.method.decode("latin-1")
        wanted = "GET" if method == "HEAD" else method
        found = self._service.table.find(exchange.path)
        match = next((pair for pair in found if pair[0].method == wanted), None)
        if self._gate is not None:
            self._gate.check(exchange.headers, Role.READ if match is None else match[0].role)
        if not found:
            shown = text_of(exchange.path)[:200]
            raise HttpError(404, f"there is nothing at {shown}; /openapi.json lists the routes")
        if match is None:
            allowed = ", ".join(sorted(route.method for route, _ in found))
            header = (b"allow", allowed.encode())
            raise HttpError(405, f"{method[:20]} is not for this; use {allowed}", (header,))
        return match


def query_of(route: Route, given: bytes) -> dict[str, Any]:
    """Parse the parameters of a query string, each to its type.

    A key that the route does not have, one that is there twice, and an empty digest of a plan are
    refused: what was asked for must not be left out of what is done.

    >>> query_of(BY_EFFECT["log"], b"last=3&after=1")
    {'last': 3, 'after': 1}

    Raises:
        HttpError: 400, with what is wrong.
    """
    if len(given) > MAX_QUERY:
        raise HttpError(400, f"the query is longer than {MAX_QUERY} bytes")
    known = {parameter.name: parameter for parameter in route.placed}
    pairs = parse_qsl(given.decode("latin-1"), keep_blank_values=True, errors="backslashreplace")
    if INTO.name not in known and any(name == INTO.name for name, _ in pairs):
        raise HttpError(400, f"`{INTO.name}` is not for {route.path}, which is about this tree")
    found: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            taken = f"; it takes {', '.join(known)}" if known else ""
            nearest = suggestion(name, known)
            raise HttpError(400, f"{route.path} takes no `{shorten(name)}`{nearest or taken}")
        if name in found:
            raise HttpError(400, f"`{name}` is there twice; give it once")
        found[name] = _value(known[name], text)
    if found.get(PLAN.name) == "":
        raise HttpError(400, f"`{PLAN.name}` is empty; leave it out for any plan")
    if not found.get(INTO.name):
        found.pop(INTO.name, None)  # no name is this tree
    for parameter in route.query:
        if parameter.required and parameter.name not in found:
            raise HttpError(400, f"`{parameter.name}` is missing: {parameter.help}")
    return found


def _value(parameter: Query, text: str) -> Any:
    """Read a value; a flag, of whatever route, as `yes` or `true`, `no` or `false`."""
    value: Any = text
    expected = " or ".join(parameter.choices)
    if parameter.type == "boolean":
        value, expected = FLAGS.get(text.lower()), "true or false"
    elif parameter.choices == YES_NO:
        is_on = FLAGS.get(text.lower())
        value = None if is_on is None else YES_NO[not is_on]
    elif parameter.choices:
        value = text if text in parameter.choices else None
    elif parameter.type != "string":
        expected = f"one {parameter.type} from 0 to {MOST_INTEGER:,}"
        value = (
            whole_number(text, most=MOST_INTEGER) if parameter.type == "integer" else _number(text)
        )
    if value is None:
        raise HttpError(400, f"`{parameter.name}` is {expected}, not `{text[:100]}`")
    return value


def _number(text: str) -> float | None:
    with suppress(msgspec.ValidationError):
        value = msgspec.convert(text, float, strict=False)
        return value if 0 <= value <= MOST_INTEGER else None
    return None


def _timeout(query: dict[str, Any]) -> float:
    timeout_s = float(query.get("timeout", DEFAULT_TIMEOUT_S))
    if not timeout_s <= MAX_TIMEOUT_S:
        raise HttpError(400, f"`timeout` is at most {MAX_TIMEOUT_S:g} seconds")
    return timeout_s


def refuse_elsewhere(code: str | None, tree: str, name: str = "code") -> None:
    """Raise `HttpError` for a file that is not in the folder of the tree file, or below it.

    Over the network nobody chooses which files of this computer are run. `name` is the parameter.
    """
    if code is None:
        return
    folder = Path(tree).resolve().parent
    try:
        file = Path(code).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, half a letter, a loop of links
        raise HttpError(400, f"`{name}` is no path of a file") from error
    if not tree or not file.is_relative_to(folder):
        where = f"a file in {folder}, or below it" if tree else "not taken: no tree file is known"
        raise HttpError(403, f"over the network `{name}` is {where}")


def _is_json(headers: dict[bytes, bytes]) -> bool:
    kind = headers.get(b"content-type", b"")
    return kind == JSON or kind.partition(b";")[0].strip().lower() == JSON

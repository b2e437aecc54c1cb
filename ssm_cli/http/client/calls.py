"""Calls of a tree in another process, and every other request to it: one connection, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, count
from typing import Any, Never

import msgspec

from ssm_cli.codec.json import jsonable
from ssm_cli.commands.routes import HERE_ONLY, INTO, NOW_ONLY, Route
from ssm_cli.errors import CallTimeout, NoTree, SsmError
from ssm_cli.http.client.answers import (
    ANSWERS,
    Answered,
    DoneAnswer,
    ReplyAnswer,
    StartedChild,
    decoded,
    no_tree,
)
from ssm_cli.http.client.connection import Address, Connection
from ssm_cli.http.client.failures import error_in, raise_error, raise_reply, record_of
from ssm_cli.http.client.wire import Response
from ssm_cli.http.routes import BY_EFFECT, STOPPED, filled, query_text, query_word, segment
from ssm_cli.runtime.engine.pending import checked_request_id, checked_seconds

GRACE_S = 1.0  # an answer may be this much later than the deadline that the server keeps
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
CALL = BY_EFFECT["call"]
FOREVER_S = 3600.0  # what no deadline becomes on the wire


def keys_from(request_id: str) -> Iterator[str]:
    """Return a key for each call of a sequence that is retried as a whole.

    >>> keys = keys_from("ID")
    >>> next(keys), next(keys), next(keys)
    ('ID', 'ID-2', 'ID-3')
    """
    return chain([request_id], (f"{request_id}-{number}" for number in count(2)))


class HttpCalls:
    """Calls and casts over HTTP, and every other request: one connection, in order.

    Bytes are sent and returned unchanged. Any other message is sent as JSON, and its output
    returned as JSON data: the classes of another process are not known here.

    Attributes:
        place: the place in time that is asked; "" for now.
        into: the remote child that is asked; "" for the tree itself.
    """

    def __init__(self, address: Address, token: str | None = None) -> None:
        self.connection = Connection(address, token)
        self._keys: Iterator[str] | None = None
        self._answered = 0
        self.stopped = ""  # why a fork was stopped, as the last answer has said
        self.place = ""
        self.into = ""

    def answered(self) -> int:
        """Return the record of the call that was answered last; 0 where the tree tells none."""
        return self._answered

    def call(self, worker: str, message: Any, timeout_s: float | None = 5.0) -> Any:
        """Step `worker` with `message` and return its output."""
        output, value = self.call_value(worker, message, timeout_s)
        return output if type(message) is bytes else value

    def use_keys(self, request_id: str | None) -> None:
        """Give the calls from now on an `Idempotency-Key`: `ID`, `ID-2`, `ID-3`, ...

        Raises:
            DecodeError: it cannot be sent; the tree judges all else.
        """
        if request_id is None:
            return
        if not request_id.isprintable() or request_id != request_id.strip():
            checked_request_id(request_id, "")
        self._keys = keys_from(request_id)

    def call_value(
        self, worker: str, message: Any, timeout_s: float | None = 5.0
    ) -> tuple[bytes, Any]:
        """Return the output as the worker's codec encodes it, and as JSON data."""
        key = None if self._keys is None else next(self._keys)
        self.connection.send([self.call_bytes(worker, message, timeout_s, key)])
        return self.reply(worker, timeout_s)

    def call_bytes(
        self,
        worker: str,
        message: Any,
        timeout_s: float | None,
        key: str | None = None,
        *,
        stop_on_failure: bool = False,
    ) -> bytes:
        """Encode a call as a request; requests may be pipelined, replies come in their order.

        With `stop_on_failure` the server drops the requests behind a call that fails.
        """
        checked_seconds(timeout_s)
        body, kind = _content(CALL, message)
        headers = {"content-type": kind}
        if key is not None:
            headers["idempotency-key"] = key
        if stop_on_failure:
            headers["ssm-stop-on-failure"] = "1"
        wait_s = FOREVER_S if timeout_s is None else min(timeout_s, FOREVER_S)
        target = f"{filled(CALL, iter([worker]))}?timeout={wait_s:g}"
        target += f"&at={segment(query_word(self.place))}" if self.place else ""
        return self.connection.encoded("POST", target, body, headers)

    def reply(self, worker: str, timeout_s: float | None) -> tuple[bytes, Any]:
        """Receive the output of the next call that was sent, or raise its error."""
        wait_s = (FOREVER_S if timeout_s is None else timeout_s) + GRACE_S
        self._answered = 0
        try:
            response = self.connection.receive(wait_s)
        except CallTimeout as error:
            late = f"{error}; the input may still be stepped"
            raise CallTimeout(late, worker=worker, reason="timeout") from error
        return self._reply_of(response, worker)

    async def acall(self, worker: str, message: Any, timeout_s: float | None = 5.0) -> Any:
        """`call` for asyncio, on a connection of its own."""
        output, value = await self.acall_value(worker, message, timeout_s)
        return output if type(message) is bytes else value

    async def acall_value(
        self,
        worker: str,
        message: Any,
        timeout_s: float | None = 5.0,
        answered: Callable[[tuple[bytes, Any] | SsmError], None] | None = None,
    ) -> tuple[bytes, Any]:
        """`call_value` for asyncio; `answered` is called with the outcome first."""
        try:
            request = self.call_bytes(worker, message, timeout_s)
            wait_s = (FOREVER_S if timeout_s is None else timeout_s) + GRACE_S
            answer = self._reply_of(await self.connection.alone(request, wait_s, worker), worker)
        except SsmError as error:
            if answered is not None:
                answered(error)
            raise
        if answered is not None:
            answered(answer)
        return answer

    def perform(self, effect: str, *args: Any, wait_s: float | None = 30.0, **given: Any) -> Any:
        """Carry out an effect by its route; return what it answers, None if that is nothing.

        `args` are the names in its path, its query in order, and its body; `given` is of the query
        by name. What is None in the query is left out.

        Raises:
            SsmError: as `ask`.
        """
        route, target, body, kind = self._request_of(effect, args, given)
        answer = self.ask(
            route.method, target, ANSWERS[route.answer], body, kind=kind,
            timeout_s=None if wait_s is None else max(wait_s, route.wait_s),
            name=str(args[0]) if "{name}" in route.path else "",
        )  # fmt: skip
        if isinstance(answer, StartedChild):
            return answer.child
        return None if isinstance(answer, DoneAnswer) else answer

    async def aperform(self, effect: str, **given: Any) -> Any:
        """`perform` for asyncio, of what takes long; cancelling closes the connection of its own.

        Raises:
            SsmError: as `ask`.
        """
        route, target, _, _ = self._request_of(effect, (), given)
        response = await self.connection.later(route.method, target, route.wait_s)
        return self._answer_in(response, ANSWERS[route.answer])

    def _request_of(
        self, effect: str, args: tuple[Any, ...], given: dict[str, Any]
    ) -> tuple[Route, str, bytes, str]:
        """Return the route of an effect, what is asked of it, and a body with its kind."""
        route = BY_EFFECT[effect]
        left = iter(args)
        target = filled(route, left)
        query = dict(zip([query.name for query in route.query], left, strict=False)) | given
        query |= {"at": self.place} if self.place and effect not in NOW_ONLY else {}
        query |= {INTO.name: self.into} if self.into and effect not in HERE_ONLY else {}
        if asked := query_text(query):
            target += f"?{asked}"
        return route, target, *next((_content(route, message) for message in left), (b"", TEXT))

    def ask(
        self,
        method: str,
        target: str,
        answer: type[Answered],
        body: bytes = b"",
        *,
        kind: str = TEXT,
        timeout_s: float | None = 30.0,
        name: str = "",
    ) -> Answered:
        """Request a route and decode its JSON answer; raise a failure as its original error.

        `name` is that of the node that it is about.

        Raises:
            NoTree: the answer is not of that type, so it is not that of a tree.
        """
        headers = {"content-type": kind} if body else {}
        response = self.connection.request(method, target, body, headers, timeout_s)
        return self._answer_in(response, answer, name)

    def _answer_in(self, response: Response, answer: type[Answered], name: str = "") -> Answered:
        """Return the answer of a response; raise its failure."""
        self.stopped = response.headers.get(STOPPED, "")
        if response.status >= 400:
            self.refuse(response, name)
        return decoded(response, answer, self.connection.address.shown)

    def refuse(self, response: Response, name: str = "") -> Never:
        """Raise the error of a response that is not what was asked for."""
        if response.status >= 400:
            raise_error(self._failed(response), name, response.status)
        raise no_tree(response, self.connection.address.shown)

    def _failed(self, response: Response) -> dict[str, Any]:
        """Return the error or reply record of a failure; `NoTree` if it is none."""
        with suppress(NoTree):  # the error below says more of the response
            record = record_of(bytes(response.body))
            if record.get("type") in {"error", "reply"} and error_in(record) is not None:
                return record
        raise no_tree(response, self.connection.address.shown)

    def _reply_of(self, response: Response, worker: str) -> tuple[bytes, Any]:
        self.stopped = response.headers.get(STOPPED, "")
        if response.status >= 400:
            record = self._failed(response)
            number = record.get("record", 0)
            self._answered = number if isinstance(number, int) else 0
            if record["type"] == "reply":
                raise_reply(record, worker)
            raise_error(record, worker, response.status)
        reply = decoded(response, ReplyAnswer, self.connection.address.shown)
        self._answered = reply.record
        return reply.output.encode("utf-8", "surrogateescape"), reply.value


def _content(route: Route, message: Any) -> tuple[bytes, str]:
    """Encode the body of a request: an input, a value as JSON, or text."""
    if route.body == "text":
        return message.encode(), TEXT
    if route.body == "input" and isinstance(message, bytes):
        return message, TEXT
    return msgspec.json.encode(jsonable(message)), JSON

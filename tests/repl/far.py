"""A tree that is asked as from afar, in this process: each request and its answer go as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import zip_longest
from typing import Any

import msgspec

from ssm_cli.errors import NoTree
from ssm_cli.http.client.answers import ANSWERS
from ssm_cli.http.exchange import HttpAnswer, Request, Stream
from ssm_cli.http.requests import About, Requests
from ssm_cli.http.routes import BY_EFFECT
from ssm_cli.runtime.node import Node


class Far:
    """As much of `NodeApi` as the rows of a tree need.

    Attributes:
        requests: what was asked for, in order.
        sizes: how many bytes each answer had.
        away: it does not answer.
    """

    def __init__(self, node: Node, instance: str = "aa") -> None:
        self.requests: list[str] = []
        self.sizes: list[int] = []
        self.away = False
        self.serve(node, instance)

    def serve(self, node: Node, instance: str) -> None:
        """Have another run of a tree answer."""
        self._server = Requests(node, About(instance=instance))

    def perform(self, effect: str, *args: Any, **given: Any) -> Any:
        """See `NodeApi`."""
        if self.away:
            raise NoTree("nobody answers")
        route = BY_EFFECT[effect]
        body = msgspec.json.encode(args[0]) if route.body == "json" else b""
        words = () if body else args
        query = {q.name: word for q, word in zip_longest(route.query, words) if word is not None}
        answer = self._server.answer(route, Request({}, query | given, body, bool(body)))
        data = asyncio.run(whole(answer))
        self.requests.append(effect)
        self.sizes.append(len(data))
        return msgspec.json.decode(data, type=ANSWERS[route.answer])

    def taken(self) -> list[str]:
        """Return the requests since the last time."""
        requests, self.requests, self.sizes = self.requests, [], []
        return requests


async def whole(answer: HttpAnswer | Stream | Coroutine[Any, Any, HttpAnswer | Stream]) -> bytes:
    """Return the body of an answer."""
    found = answer if isinstance(answer, HttpAnswer | Stream) else await answer
    if isinstance(found, HttpAnswer):
        return bytes(found.body)
    return b"".join([part async for part in found.parts])

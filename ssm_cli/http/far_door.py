"""The door of a tree for requests that were carried to it from another computer."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

import msgspec

from ssm_cli.commands.records import error_record
from ssm_cli.commands.routes import HERE_ONLY, Role
from ssm_cli.errors import SsmError
from ssm_cli.http.access import Gate
from ssm_cli.http.app import App, Service
from ssm_cli.http.carried import Carried, CarriedAnswer
from ssm_cli.http.exchange import Answered, Exchange, HttpAnswer
from ssm_cli.http.requests import About
from ssm_cli.http.statuses import HttpError
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.remote.ports import MAX_INPUT_BYTES


class OfRole(Gate):
    """Lets everyone in with one role: who may ask at all, the servers have decided.

    As at any gate, nobody chooses which files of this computer are run.
    """

    def __init__(self, role: Role) -> None:
        super().__init__({})
        self._role = role

    def check(self, headers: Mapping[bytes, bytes], needed: Role) -> None:
        """Raise `HttpError` where that role is not enough."""
        del headers
        if needed > self._role:
            raise HttpError(403, f"this needs the role {needed.name.lower()}; here one may look")


class FarDoor:
    """Answers requests that were carried to a node, of those who may look, and of its parent."""

    def __init__(self, node: Node) -> None:
        service = Service(node, About())
        self._apps = {role: App(service, OfRole(role)) for role in (Role.READ, Role.ADMIN)}

    async def answer(self, data: bytes, role: Role) -> bytes:
        """Answer a request, whatever it is; with a refusal where the answer is too large."""
        try:
            asked = msgspec.json.decode(data, type=Carried)
        except msgspec.MsgspecError as error:
            return _refusal(400, f"no request was carried: {error}")
        app, method, path = self._apps[role], asked.method.encode(), asked.path.encode()
        headers = {b"content-type": asked.kind.encode()}
        exchange = Exchange(method, path, asked.query.encode(), headers, asked.body)
        found: Answered | None = app.admit(exchange)
        if found is None:
            if type(exchange.found) is str or exchange.found[0].effect in HERE_ONLY:
                return _refusal(400, f"{asked.path} is not carried to another computer")
            coming = app.answer(exchange)
            found = await coming if isinstance(coming, Awaitable) else coming
        return await _whole(found)


async def _whole(found: Answered) -> bytes:
    if isinstance(found, HttpAnswer):
        answer = CarriedAnswer(found.status, found.body)
    else:
        parts = [part async for part in found.parts]
        answer = CarriedAnswer(200, b"".join(parts), found.kind.decode())
    if len(answer.body) > MAX_INPUT_BYTES:
        size = f"{len(answer.body):,} bytes, and at most {MAX_INPUT_BYTES:,} cross"
        return _refusal(500, f"the answer has {size} to another computer; ask for less")
    return msgspec.json.encode(answer)


def _refusal(status: int, why: str) -> bytes:
    body = msgspec.json.encode(error_record(SsmError(why)))
    return msgspec.json.encode(CarriedAnswer(status, body))

"""A remote child, asked as a tree of another process is, through the link of its parent."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ssm_cli.http.carried import WAIT_S, Carried, told_by
from ssm_cli.http.client.connection import Address, Connection
from ssm_cli.http.client.node import HttpNode
from ssm_cli.http.client.wire import Response
from ssm_cli.runtime.node import Node


class LinkConnection(Connection):
    """Carries requests to a remote child; the node is served while it waits."""

    def __init__(self, node: Node, child: str) -> None:
        super().__init__(Address(path=child))
        self._node = node
        self._child = child

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = WAIT_S,
    ) -> Response:
        """Carry a request to the child and wait for its answer.

        Raises:
            CallError: the child is not there, cannot be reached, or does not answer in time.
        """
        path, _, query = target.partition("?")
        kind = (headers or {}).get("content-type", "")
        carried = msgspec.json.encode(Carried(method, path, query, kind, body))
        wait_s = WAIT_S if timeout_s is None else min(timeout_s, WAIT_S)
        pending = self._node.ask_far(self._child, carried, wait_s)
        answer = told_by(self._child, path, self._node.wait(pending, wait_s))
        response = Response()
        response.status, response.complete = answer.status, True
        response.headers = {"content-type": answer.kind or "application/json"}
        response.body += answer.body
        return response

    async def later(self, method: str, target: str, wait_s: float) -> Response:
        """`request`: the node is served meanwhile, and no other task."""
        return self.request(method, target, timeout_s=wait_s)


def reach(node: Node, child: str) -> HttpNode:
    """Return a remote child of a node of this process; whether it is there shows when asked."""
    found = HttpNode(Address(path=child), name=child)
    found.connection = found.calls.connection = LinkConnection(node, child)
    return found

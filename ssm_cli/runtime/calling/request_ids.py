"""Waiting for any of several requests (OTP's `reqids_*`), and one request to many subtrees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from typing import Any, Protocol

import msgspec

from ssm_cli.behaviour.sizes import cut
from ssm_cli.errors import CallTimeout, SsmError
from ssm_cli.runtime.calling.waiting import TIMEOUT_S
from ssm_cli.runtime.engine.pending import Pending, checked_seconds


class Askable(Protocol):
    """A node of this process, as far as it is asked here."""

    @property
    def name(self) -> str:
        """The name others find it by."""
        ...

    def send_request(self, worker: str, message: Any, *, timeout_s: float | None = None) -> Pending:
        """Put a call into the queue and go on."""
        ...

    def wait(self, pending: Pending, timeout_s: float | None = None) -> Any:
        """Serve the node until a call has its outcome."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a node of that name."""
        ...

    def names(self, kind: Any = None) -> Iterable[str]:
        """The names of all nodes of a kind."""
        ...


class Response(msgspec.Struct, frozen=True):
    """The outcome of one request of a collection: `value`, or `error` in its place.

    `label` is what the request was added with.
    """

    label: Any
    value: Any = None
    error: SsmError | None = None


class RequestIds:
    """A collection of requests, each with a label, of which any may be waited for.

    A response is handed out once. Source: `gen_server:reqids_new/0` and its siblings.

    Args:
        node: what is asked.
    """

    def __init__(self, node: Askable) -> None:
        self._node = node
        self._number = 0  # of the request that was added last
        self._left: dict[int, tuple[Pending, Any]] = {}
        self._handled: list[tuple[Pending, Any]] = []
        self._held: set[int] = set()  # the ids of all these
        self._answered: list[int] = []  # a heap of numbers
        self._hit: Pending | None = None

    def __len__(self) -> int:
        """How many requests it holds (`reqids_size/1`), those handled and not deleted included."""
        return len(self._left) + len(self._handled)

    def to_list(self) -> list[tuple[Pending, Any]]:
        """Return the requests and their labels (`reqids_to_list/1`)."""
        return [*self._handled, *self._left.values()]

    def add(self, request: Pending, label: Any) -> None:
        """Add a request that was sent (`reqids_add/3`).

        Raises:
            TypeError: it is no request.
            ValueError: it is in the collection.
        """
        if not isinstance(request, Pending):
            wrong = f"{cut(ascii(request))} is no request"
            raise TypeError(f"{wrong}: expected what send_request has answered")
        if id(request) in self._held:
            raise ValueError("the request is in the collection already; expected another one")
        self._number += 1
        self._left[self._number] = (request, label)
        self._held.add(id(request))
        if request.done:
            heappush(self._answered, self._number)
        else:
            request.notify = partial(self._hear, self._number, request.notify)

    def _hear(
        self, number: int, notify: Callable[[Pending], None] | None, request: Pending
    ) -> None:
        """Note that a request has its outcome; tell its own listener, and who waits for any."""
        heappush(self._answered, number)
        if self._hit is not None:
            self._hit.resolve(request)
        if notify is not None:
            notify(request)

    def send_request(self, worker: str, message: Any, label: Any) -> None:
        """Put a call into the queue, and its request into the collection (`send_request/4`).

        Raises as `Node.send_request` does; nothing is added then.
        """
        self.add(self._node.send_request(worker, message), label)

    def wait_response(
        self, timeout_s: float | None = TIMEOUT_S, *, delete: bool = False
    ) -> Response | None:
        """Return the next response; None where no request is left to be answered.

        Serves the node until there is one. With `delete` its request leaves the collection.

        Raises:
            CallTimeout: there is none in time; all may still be waited for.
        """
        checked_seconds(timeout_s)
        if not self._left:
            return None
        if (found := self.check_response(delete=delete)) is not None:
            return found
        self._hit = Pending()
        try:
            self._node.wait(self._hit, timeout_s)
        finally:
            self._hit = None
        return self.check_response(delete=delete)

    def receive_response(
        self, timeout_s: float | None = TIMEOUT_S, *, delete: bool = False
    ) -> Response | None:
        """`wait_response`, but a time-out abandons all that is left: it is answered to nobody.

        Raises:
            CallTimeout: there is none in time.
        """
        try:
            return self.wait_response(timeout_s, delete=delete)
        except CallTimeout:
            self._held.difference_update(id(request) for request, _ in self._left.values())
            self._left.clear()
            raise

    def check_response(self, *, delete: bool = False) -> Response | None:
        """Return a response that is there, in the order of sending; None where none is yet."""
        while self._answered:
            request, label = self._left.pop(heappop(self._answered), (None, None))
            if request is None:  # it was abandoned
                continue
            if delete:
                self._held.discard(id(request))
            else:
                self._handled.append((request, label))
            value = None if request.error is not None else request.value
            return Response(label, value, request.error)
        return None


class MultiCall(msgspec.Struct, frozen=True):
    """What `multi_call` answers: the replies by subtree, and who has not replied, and why."""

    replies: dict[str, Any]
    bad: dict[str, SsmError]


def multi_call(
    node: Askable,
    worker: str,
    message: Any,
    subtrees: Iterable[str] | None = None,
    timeout_s: float | None = TIMEOUT_S,
) -> MultiCall:
    """Call the worker of one name in several subtrees of a cluster (`gen_server:multi_call/2,3,4`).

    Args:
        node: the node whose remote children they are.
        worker: its name in each.
        message: what each gets; bytes, in the codec of the worker, as it crosses computers.
        subtrees: names of remote children, and of this node for itself; None for all of them.
        timeout_s: for all together.
    """
    checked_seconds(timeout_s)
    if subtrees is None:
        own = [node.name] if node.exists(worker) else []
        subtrees = [*own, *node.names("remote")]
    asked, bad = RequestIds(node), dict[str, SsmError]()
    for subtree in dict.fromkeys(subtrees):
        whom = worker if subtree == node.name else f"{subtree}.{worker}"
        try:
            asked.add(node.send_request(whom, message, timeout_s=timeout_s), subtree)
        except SsmError as error:
            bad[subtree] = error
    return gathered(asked, bad, timeout_s)


def gathered(asked: RequestIds, bad: dict[str, SsmError], timeout_s: float | None) -> MultiCall:
    """Wait for all of these, and return who has replied; who has not is added to `bad`."""
    replies: dict[str, Any] = {}
    try:
        while (found := asked.wait_response(timeout_s, delete=True)) is not None:
            if found.error is None:
                replies[found.label] = found.value
            else:
                bad[found.label] = found.error
    except CallTimeout as error:
        bad |= {label: error for request, label in asked.to_list() if not request.done}
    return MultiCall(replies, bad)

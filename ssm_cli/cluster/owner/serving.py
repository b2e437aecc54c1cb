"""Serving: calls, casts and control messages for the workers of a subtree, with a bound.

Calls beyond the bound are answered `busy` at once; casts that the queue does not take are
`dropped`. After the loss of the lease or the journal nothing is answered: the outcome of a pending
call is unknown then. A caller that retries with the same request id gets the outcome from the new
owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from ssm_cli.cluster.owner.store import ClusterStore
from ssm_cli.cluster.ports import Answer
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import CallRequest, Ping, Reply, Said, Stop, control
from ssm_cli.commands.records import step_error
from ssm_cli.commands.routes import Role
from ssm_cli.errors import CallError, NoProc, QueueFull, SsmError
from ssm_cli.http.far_door import FarDoor
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.remote.ports import MAX_INPUT_BYTES

BUSY = msgspec.json.encode(Reply("busy", error="as many calls as may wait are under way"))


class Serving:
    """Answers for one node.

    Args:
        node: the subtree.
        good: whether the lease is good at this moment.
        store: its journal.
        epoch: of this life; control messages for another one are refused.
        stop: called with the reason of a stop message.

    Attributes:
        silent: whether answering has ended.
    """

    def __init__(
        self,
        node: Node,
        good: Callable[[], bool],
        store: ClusterStore,
        epoch: int,
        stop: Callable[[str], None],
    ) -> None:
        self.silent = False
        self._node = node
        self._good = good
        self._store = store
        self._epoch = epoch
        self._stop = stop
        self._bound = node.spec.queue
        self._under_way: set[asyncio.Task[None]] = set()
        self._door: FarDoor | None = None  # made at the first question
        self.heard_s = asyncio.get_running_loop().time()

    def on_call(self, subject: str, data: bytes, answer: Answer | None) -> None:
        """Handle a call, or a cast, which expects no answer."""
        if self.silent or not self._good():
            return
        if answer is not None and len(self._under_way) >= self._bound:
            answer(BUSY)
            return
        try:
            request = msgspec.json.decode(data, type=CallRequest)
        except msgspec.MsgspecError as error:
            if answer is not None:
                answer(msgspec.json.encode(Reply("undecodable", error=str(error))))
            return
        worker = names.worker_of(subject)
        if answer is None:
            self._cast(worker, request)
            return
        task = asyncio.ensure_future(self._call(worker, request, answer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _cast(self, worker: str, request: CallRequest) -> None:
        try:
            self._node.cast_nowait(worker, self._input(worker, request))
        except NoProc:
            self._node.drop(worker, "cast")  # whoever has cast it does not wait
        except SsmError as error:
            self._node.drop(worker, "cast", str(error))

    def _input(self, worker: str, request: CallRequest) -> Any:
        is_value, data = request.is_value, request.input
        return self._node.decode(worker, data, "json") if is_value else data

    async def _call(self, worker: str, request: CallRequest, answer: Answer) -> None:
        reply = await self._outcome(worker, request)
        if not (self.silent or self._store.fenced) and self._good():
            answer(msgspec.json.encode(reply))

    async def _outcome(self, worker: str, request: CallRequest) -> Reply:
        try:
            message = self._input(worker, request)
            output = await self._node.acall(
                worker, message, request.timeout_s, request_id=request.id
            )
            output = self._node.encode(worker, output) if request.is_value else output
        except QueueFull as error:
            return Reply("busy", error=str(error))
        except CallError as error:
            crash = step_error(error)
            return Reply(error.outcome, error=str(error), reason=error.reason, crash=crash)
        if len(output) > MAX_INPUT_BYTES:
            text = f"{worker} was stepped; its output of {len(output):,} bytes is more than"
            return Reply("noconnection", error=f"{text} the {MAX_INPUT_BYTES:,} that cross")
        return Reply("replied", output=output)

    def on_ask(self, subject: str, data: bytes, answer: Answer | None) -> None:
        """Handle a question to the subtree as a tree of its own; some may look alone."""
        if self.silent or answer is None or not self._good():
            return
        if len(self._under_way) >= self._bound:
            answer(BUSY)
            return
        if self._door is None:
            self._door = FarDoor(self._node)
        role = Role.ADMIN if names.is_ask(subject) else Role.READ
        task = asyncio.ensure_future(self._tell(self._door, data, role, answer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _tell(self, door: FarDoor, data: bytes, role: Role, answer: Answer) -> None:
        output = await door.answer(data, role)
        answer(msgspec.json.encode(Reply("replied", output=output)))

    def on_control(self, _: str, data: bytes, answer: Answer | None) -> None:
        """Handle a control message."""
        if self.silent:
            return
        said = Said(ok=True, epoch=self._epoch)
        match control(data):
            case Ping():
                self.heard_s = asyncio.get_running_loop().time()
            case Stop(epoch=epoch, reason=reason) if epoch == self._epoch:
                self._stop(reason)
            case Stop():
                said = Said(ok=False, reason="fenced", epoch=self._epoch)
            case _:
                said = Said(ok=False, reason="undecodable", epoch=self._epoch)
        if answer is not None:
            answer(msgspec.json.encode(said))

    async def drained(self, within_s: float) -> None:
        """Wait until pending calls are answered, for at most `timeout_s`."""
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=within_s)

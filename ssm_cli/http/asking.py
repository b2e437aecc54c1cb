"""Asking a node from coroutines of the loop that serves it: nothing here blocks the loop."""

from __future__ import annotations

import asyncio
from typing import Any

from ssm_cli.errors import CallError, CallTimeout
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.node import Node

REQUEST_S = 5.0  # how long a supervisor may take to get to a request


async def ask_supervisor(node: Node, effect: str, supervisor: str, *args: Any) -> Any:
    """Return a supervisor's answer to a request.

    Raises:
        SupervisorError: it refuses.
        CallTimeout: it is suspended, and was not resumed within `REQUEST_S` seconds.
    """
    pending = node.meant(supervisor, effect, *args)
    if not await outcome(pending, REQUEST_S):
        raise CallTimeout(
            f"{supervisor} did not answer within {REQUEST_S:g} s; it is busy or suspended",
            worker=supervisor,
            reason="timeout",
        )
    return pending.result()


def value_text(node: Node, worker: str, value: Any) -> str:
    """Return an output or a state as the worker's codec writes it; its type if it cannot."""
    try:
        return node.encode(worker, value).decode("utf-8", "backslashreplace")
    except CallError as error:
        return f"<{type(value).__name__} that cannot be shown: {error}>"


async def outcome(pending: Pending, timeout_s: float | None) -> bool:
    """Wait until a call has its outcome; False if the time is up first.

    The call itself goes on. Several tasks may wait for the same call.
    """
    if pending.done:
        return True
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    before = pending.notify

    def notify(done: Pending) -> None:
        if before is not None:
            before(done)
        if not future.done():
            future.set_result(None)

    pending.notify = notify
    await asyncio.wait({future}, timeout=timeout_s)
    return pending.done

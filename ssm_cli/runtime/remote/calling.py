"""Calls of workers on other computers, from asyncio."""

from __future__ import annotations

from typing import Any

from ssm_cli.runtime.engine.cell import CellStatus
from ssm_cli.runtime.engine.pending import Pending, late
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.far import Far, send_far


async def acall_far(
    world: World,
    driver: Any,
    far: Far,
    message: Any,
    *,
    timeout_s: float | None,
    request_id: str = "",
) -> Any:
    """Call a worker on another computer; the running loop serves the node meanwhile."""
    told = driver.loop.create_future()

    def heard(_pending: Pending) -> None:
        if not told.done():
            told.set_result(None)

    pending = Pending(request=request_id, notify=heard)
    send_far(world, far, message, pending, timeout_s)
    timer = None
    if far[0].status is CellStatus.STARTING and timeout_s is not None:
        error = late(f"{far[0].spec.id}.{far[1]}", timeout_s)  # the link has not heard of it yet
        timer = driver.loop.call_later(timeout_s, pending.fail, error)
    try:
        await told
    finally:
        if timer is not None:
            timer.cancel()
    return pending.result()

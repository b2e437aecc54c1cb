"""Calls of workers on other computers, from asyncio."""

from __future__ import annotations

from typing import Any

from ssm_cli.runtime.engine.pending import Pending
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
    await told
    return pending.result()

"""The part of a node that waits for calls of workers on other computers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.errors import SsmError
from ssm_cli.runtime.engine.cell import RemoteCell
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.far import send_far

LINK_S = 0.5  # how much longer than its time-out the answer of a link is waited for
Far = tuple[RemoteCell, str]


class FarCalls:
    """Calls that cross a link: they end in one outcome, as any call does."""

    _world: World

    def wait(self, pending: Pending, timeout_s: float | None) -> Any:
        """Run the loop until `pending` has its outcome."""
        raise NotImplementedError

    def _call_far(self, far: Far, message: Any, timeout_s: float | None, request_id: str) -> Any:
        """A call of a worker on another computer: it ends in one outcome, as any call does."""
        pending = Pending()
        pending.request = request_id
        send_far(self._world, far, message, pending, timeout_s)
        return self.wait(pending, None if timeout_s is None else timeout_s + LINK_S)

    async def _acall_far(
        self, driver: Any, far: Far, message: Any, timeout_s: float | None, request_id: str
    ) -> Any:
        told = driver.loop.create_future()

        def heard(_pending: Pending) -> None:
            if not told.done():
                told.set_result(None)

        pending = Pending()
        pending.request, pending.notify = request_id, heard
        send_far(self._world, far, message, pending, timeout_s)
        await told
        return pending.result()

    async def _acall_far_value(
        self,
        driver: Any,
        far: Far,
        data: bytes,
        timeout_s: float | None,
        answered: Callable[[tuple[bytes, Any] | SsmError], None] | None,
    ) -> tuple[bytes, Any]:
        """The same with the output as bytes and as text; `answered` is told of it."""
        output = await self._acall_far(driver, far, data, timeout_s, "")
        answer = output, str(output, "utf-8", "replace")
        if answered is not None:
            answered(answer)
        return answer

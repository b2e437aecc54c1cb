"""The driver: serves a node from an asyncio loop. The one file of the runtime that knows asyncio.

A turn of the loop gives the node about `TURN_S` seconds, then lets input and output, keys and
frames get in between; a node with nothing to do costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ssm_cli.errors import CallError, CallTimeout
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.performer.loop import NEVER, pump

TURN_S = 0.002


class Driver:
    """Serves one node from one running loop."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._core = core
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self._down: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """There is work: take a turn as soon as the loop gets to it."""
        if self.loop.is_closed():  # the node goes on without asyncio, served by its callers
            self._core.wake = None
            return
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        core = self._core
        if not core.pumping:
            pump(core, NEVER, TURN_S)
        if core.queue or core.lane:
            self.wake()
        self._await_timer()
        if not core.running:
            self._tell_down()

    def _await_timer(self) -> None:
        next_s = self._core.timers.next_s()
        if next_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_s = next_s
        if next_s < float("inf"):
            delay_s = max(0.0, next_s - self._core.clock.now_s())
            self._timer = self.loop.call_later(delay_s, self._timer_due)

    def _timer_due(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        self._turn()

    def _tell_down(self) -> None:
        down, self._down = self._down, []
        for future in down:
            if not future.done():
                future.set_result(None)

    async def until_down(self) -> None:
        """Wait until the tree is down."""
        if self._core.running:
            future = self.loop.create_future()
            self._down.append(future)
            self.wake()
            await future

    async def room(self) -> None:
        """Let the node serve what waits in its queue."""
        self.wake()
        await asyncio.sleep(0)

    def pending(
        self, notify: Callable[[Pending], None] | None
    ) -> tuple[Pending, asyncio.Future[Any]]:
        """A call on its way, and the future that its outcome completes."""
        future: asyncio.Future[Any] = self.loop.create_future()

        def done(pending: Pending) -> None:
            if not future.done():
                if pending.error is not None:
                    future.set_exception(pending.error)
                else:
                    future.set_result(pending.value)
            if notify is not None:
                notify(pending)

        pending = Pending()
        pending.notify = done
        return pending, future

    async def outcome(
        self,
        worker: str,
        pending: Pending,
        future: asyncio.Future[Any],
        timeout_s: float | None,
    ) -> Any:
        """The output of a call, or its error raised; whoever is cancelled stops waiting."""
        handle = None
        if timeout_s is not None:
            text = f"{worker} did not answer within {timeout_s:g} s"
            error = CallTimeout(text, worker=worker, reason="timeout")
            handle = self.loop.call_later(timeout_s, pending.fail, error)
        try:
            return await future
        finally:
            if handle is not None:
                handle.cancel()
            if not pending.done:
                pending.fail(CallError("the caller stopped waiting", worker=worker))

    def close(self) -> None:
        """Let go of the loop."""
        if self._timer is not None:
            self._timer.cancel()
        self._tell_down()


def attach(core: Core) -> Driver:
    """The driver of a node for the running loop; made at first use."""
    loop = asyncio.get_running_loop()
    driver = getattr(core.wake, "__self__", None)
    if not isinstance(driver, Driver) or driver.loop is not loop:
        driver = Driver(core, loop)
        core.wake = driver.wake
        driver.wake()
    return driver

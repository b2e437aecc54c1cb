"""An asyncio event loop in virtual time: where nothing is left to do at a moment, time jumps.

What the cluster's code awaits is a future of this loop or a timer of it, so that code runs here
as it is, a day in seconds, and equal inputs give equal runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Value = TypeVar("Value")
LAST_TURNS = 10  # in which tasks that are cancelled end
MAX_TURNS = 2_000_000  # of one run; more, and it does not end


class _Jump:
    """Instead of a selector: there are no files to wait for, so to wait is to let time jump."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        """Let so much time pass at once."""
        self._loop.jump(timeout_s)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. It has no files and no threads."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._turns = 0
        self._failed: BaseException | None = None
        self._selector = _Jump(self)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Virtual seconds since it was made."""
        return self._now_s

    def jump(self, seconds: float | None) -> None:
        """Let time pass.

        Raises:
            AssertionError: nothing will ever happen, or too much has.
        """
        self._turns += 1
        if seconds is None:
            raise AssertionError("what is simulated waits for something that never happens")
        if self._turns > MAX_TURNS:
            raise AssertionError(f"more than {MAX_TURNS} turns before {self._now_s:g} s")
        self._now_s += seconds

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody took ends the run."""
        error = context.get("exception")
        if error is not None and self._failed is None:
            self._failed = error
            self.stop()

    def run_for(self, seconds: float) -> None:
        """Let everything happen within a time.

        Raises:
            BaseException: what a callback raised.
        """
        end = self.call_later(seconds, self.stop)
        self.run_forever()
        end.cancel()
        if self._failed is not None:
            raise self._failed

    def complete(self, main: Awaitable[Value], most_s: float = 600.0) -> Value:
        """Run a coroutine to its end, which must come within a time."""

        async def within() -> Value:
            async with asyncio.timeout(most_s):
                return await main

        value = self.run_until_complete(within())
        if self._failed is not None:
            raise self._failed
        return value

    def end(self) -> None:
        """End all tasks, and close; what they do about it is not waited for."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        for _ in range(LAST_TURNS):
            self.call_soon(self.stop)
            self.run_forever()
        self.close()

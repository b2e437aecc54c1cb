"""Turns: what is stepped in a fork, cut so that the live tree is served in between, and bounded.

Whatever makes a fork go on is written as a generator that yields where somebody else may get in.
A `Quota` takes it as far as its time allows; who carries it out waits for it (`all_turns`), or lets
the loop of the live tree go round between two turns (`in_turns`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from ssm_cli.errors import CommandError
from ssm_cli.runtime.performer.loop import TURN_S

GO_ON_S = 2.0  # of processor time that a fork goes on for one command
AGAIN_S = 10.0  # and that it is stepped again for, or made
SHARE = 0.25  # of the time that passes meanwhile, which counts as such: steps may only wait

T = TypeVar("T")
Clock = Callable[[], float]
Turns = Generator[None, None, T]
"""What goes on in turns, and returns something in the end."""


class Quota:
    """The time that one command has for what it steps.

    Args:
        clock: monotonic seconds.
        processor: seconds of processor time.
        most_s: how many of these it has.
        is_wanted: asked after each turn whether somebody still wants it.

    Attributes:
        is_over: whether there was more to do than time.
    """

    def __init__(
        self, clock: Clock, processor: Clock, most_s: float, is_wanted: Callable[[], bool]
    ) -> None:
        self.is_over = False
        self._clock, self._processor = clock, processor
        self._left_s, self._is_wanted = most_s, is_wanted

    def cut(self, steps: Turns[T]) -> Turns[T | None]:
        """Take steps as long as there is time, a turn of the machine's time in one piece.

        Returns:
            What they come to; None where the time `is_over` before.
        """
        begun_s, worked_s = self._clock(), self._processor()
        while not self.is_over:
            try:
                next(steps)
            except StopIteration as end:
                found: T = end.value
                return found
            took_s = self._clock() - begun_s
            if took_s >= TURN_S:
                self._left_s -= max(self._processor() - worked_s, SHARE * took_s)
                yield
                self.is_over = self._left_s < 0 or not self._is_wanted()
                begun_s, worked_s = self._clock(), self._processor()
        steps.close()
        return None


def bounded(quota: Quota, steps: Turns[T], what: str) -> Turns[T]:
    """Take steps within a quota, and return what they come to.

    Raises:
        CommandError: that is over; says `what` took too long.
    """
    found = yield from quota.cut(steps)
    if quota.is_over:
        raise CommandError(f"{what}; ask for less")
    return found  # type: ignore[return-value]  # they have come to their end


def all_turns(turns: Any) -> Any:
    """Return what turns come to, or what is no turns as it is."""
    if not isinstance(turns, Generator):
        return turns
    while True:
        try:
            next(turns)
        except StopIteration as end:
            return end.value


async def in_turns(turns: Any) -> Any:
    """`all_turns`, that lets others go on after each of them."""
    if not isinstance(turns, Generator):
        return turns
    try:
        while True:
            try:
                next(turns)
            except StopIteration as end:
                return end.value
            await asyncio.sleep(0)
    finally:
        turns.close()  # where nobody waits any more

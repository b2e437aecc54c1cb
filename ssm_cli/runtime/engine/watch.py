"""Watching a manual clock: when it is advanced, what is due in a world is noticed at once."""

from __future__ import annotations

import math

from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine.world import World


class Watch:
    """Tells a world that something is due: the next call fires it, or the loop that serves it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told_s = -math.inf

    def next_s(self) -> float:
        """Return when something is due that was not told yet: a timer, or the end of a call."""
        driver = self._world.outside.driver
        ends_s = math.inf if driver is None else driver.sweep_s
        next_s = min(self._world.timers.next_s(), ends_s)
        return next_s if next_s > self._told_s else math.inf

    def reached(self) -> None:
        """Close the quick way of a call until the loop has looked, and wake who serves the node."""
        world = self._world
        self._told_s = world.clock.now_s()
        world.guard.armed = False
        wake = world.outside.wake
        if wake is not None and not world.pumping:
            wake()


def watch(world: World) -> None:
    """Watch the clock of a world until it is down, if it is a manual one."""
    if isinstance(world.clock, ManualClock):
        world.outside.unwatch = world.clock.watch(Watch(world))

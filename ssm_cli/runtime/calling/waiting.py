"""Waiting: the loop is run by whoever waits, until there is an outcome."""

from __future__ import annotations

import math
from typing import Any

from ssm_cli.errors import CallTimeout
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.runtime.performer.loop import pump, rest

TIMEOUT_S = 5.0


class Waiting:
    """The part of a node that runs its loop until somebody has an outcome."""

    _world: World

    def wait(self, pending: Pending, timeout_s: float | None = TIMEOUT_S) -> Any:
        """Run the loop until `pending` has its outcome; its output, or its error raised."""
        forbid_reentry(self._world)
        self._serve_until(pending, timeout_s)
        return pending.result()

    def _serve_until(self, pending: Pending, timeout_s: float | None) -> None:
        """Run the loop until `pending` has its outcome, which may be that time is over."""
        world = self._world
        clock = world.clock
        end_s = math.inf if timeout_s is None else clock.now_s() + timeout_s
        while True:
            left_s = end_s - clock.now_s()
            pump(world, pending, left_s)
            if pending.done:
                return
            left_s = end_s - clock.now_s()
            next_s = world.timers.next_s() - clock.now_s()
            if left_s <= 0 or min(left_s, next_s) == math.inf:
                why = "nothing that could answer is under way" if left_s > 0 else "no answer yet"
                pending.fail(CallTimeout(f"the call timed out: {why}", reason="timeout"))
                return
            if next_s > 0:
                rest(world, min(left_s, next_s))

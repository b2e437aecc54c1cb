"""Stepping records again that come straight one behind the other: nothing waits between them.

Theory of operation. Plain records of one instant take no time, and while nothing waits in the fork
and nothing is due there, each of them is one step and nothing else. All else is left to `Leading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ssm_cli.behaviour.dispatch import Kind, Odd
from ssm_cli.runtime.engine.cell import Cell, WorkerCell
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recorder import Entry, Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.loop import deal_with, step_now
from ssm_cli.runtime.performer.perform import drain
from ssm_cli.runtime.recording.given import Given

CALL, CAST = Kind.CALL, Kind.CAST  # looked at for each record: a global is quick


def step_straight(
    recorder: Recorder, world: World, entries: Iterable[Entry], instead: Mapping[int, Any],
    given: Given,
) -> int:  # fmt: skip
    """Step plain records again that follow the last one at once; return how many.

    It ends before what is anything else, and behind a step that is more. `entries` are as many as
    may be stepped before others get in; workers that are `given` inputs otherwise are left out.
    """
    history, guard, now_s, count = world.history, world.guard, world.clock.now_s(), 0
    if history is None or world.queue or world.lane or world.timers.next_s() <= now_s:
        return 0
    last, following = recorder.instants.until(history.last()), history.last() + 1
    causes, plain = recorder.causes, dict[Cell | None, Any]()
    world.pumping, guard.ticked = True, False
    try:
        for number, cell, kind, message, _, what in entries:
            if cell not in plain:
                plain[cell] = plain_worker(world, cell, given)
            here = plain[cell]
            if (
                here is None or here.step is None
                or number != following or number > last or guard.ticked
                or type(what) is not tuple or type(message) is bytes
                or (kind is not CALL and kind is not CAST)
                or number in causes or number in instead
            ):  # fmt: skip
                break
            count, following = count + 1, number + 1
            output = step_now(world, here, message, kind)
            if type(output) is Odd:
                deal_with(world, here, message, Pending() if kind is CALL else None, output)
                drain(world)
                break
    finally:
        world.pumping = False
    return count


def plain_worker(world: World, cell: Cell | None, given: Given) -> WorkerCell | None:
    """Return the worker that stands for one; None unless its inputs go straight to its step."""
    here = None if cell is None or not world.running else world.names.get(cell.spec.id)
    if type(here) is not WorkerCell or here.step is None or given.has(here.spec.id):
        return None
    return here

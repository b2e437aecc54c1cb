"""Looking at a worker while it works (OTP's `sys` debug functions): trace, log, install.

A worker that nobody looks at has no `Debug` and pays nothing. Source: OTP `sys:handle_debug/4`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ssm_cli.behaviour.foreign import foreign
from ssm_cli.runtime.engine.cell import Extra, WorkerCell, replan
from ssm_cli.runtime.engine.contained import contained
from ssm_cli.runtime.engine.crashes import kept
from ssm_cli.runtime.engine.events import MOST_EVENT_BYTES, EventLog, Room
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.outside import complain
from ssm_cli.runtime.views import SysEvent

Hook = Callable[[Any, SysEvent, str], Any]
DONE = "done"
MOST_LOGGED = 10_000


class Debug:
    """What is looked at in one worker.

    Attributes:
        traced: every event becomes a report.
        log: the last events, oldest first; None where none are kept.
        hooks: the installed functions by key, each with its state.
    """

    __slots__ = ("hooks", "log", "traced")

    def __init__(self) -> None:
        self.traced = False
        self.log: EventLog | None = None
        self.hooks: dict[object, tuple[Hook, Any]] = {}

    def without_hooks(self, room: Room) -> Debug | None:
        """Return a copy that installed functions know nothing of; None where nothing is left."""
        other = Debug()
        other.traced = self.traced
        other.log = None if self.log is None else self.log.copy(room)
        return other if other.in_use() else None

    def in_use(self) -> bool:
        """Whether there is anything to do for an event."""
        return self.traced or self.log is not None or bool(self.hooks)


def change_debug(cell: WorkerCell, apply: Callable[[Debug], object]) -> None:
    """Change what is looked at; without anything left the worker is as fast as before."""
    extra = cell.ensure_extra()
    debug = extra.debug if isinstance(extra.debug, Debug) else Debug()
    apply(debug)
    extra.debug = debug if debug.in_use() else None
    replan(cell)


def observe(world: World, cell: WorkerCell, extra: Extra, event: SysEvent) -> None:
    """Tell whoever looks at a worker what happened to it."""
    debug: Debug = extra.debug
    if debug.log is not None:
        kept_value = kept(cell, event.value, MOST_EVENT_BYTES, partial(shown, world))
        debug.log.add(SysEvent(event.kind, kept_value, event.caller))
    if debug.traced:
        text = shown(world, cell, event.value)
        world.report(
            "traced", cell, {"direction": event.kind, "value": text, "caller": event.caller}
        )
    for key, (hook, state) in tuple(debug.hooks.items()):
        answer = contained(
            world,
            cell,
            partial(hook_failed, world, cell),
            foreign,
            hook,
            state,
            event,
            cell.spec.id,
        )
        if type(answer) is str and answer == DONE:
            change_debug(cell, lambda d, key=key: d.hooks.pop(key, None))  # type: ignore[misc]  # bound now
        else:
            debug.hooks[key] = (hook, answer)


def hook_failed(world: World, cell: WorkerCell, error: BaseException) -> str:
    """Say that an installed function has failed; the answer that has it removed."""
    text = f"a function installed in {cell.spec.id} failed and is removed"
    contained(world, cell, str, complain, text, error)
    return DONE

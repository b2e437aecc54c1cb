"""System messages to workers and supervisors (OTP `sys`, `gen_server:stop`, exit signals)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ssm_cli.behaviour.reasons import KILLED, ExitReason, reason_of
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.build import constructors_of
from ssm_cli.codec.port import Constructor
from ssm_cli.errors import CallTimeout, SysError
from ssm_cli.runtime.calling.waiting import Serving
from ssm_cli.runtime.engine.cell import Cell
from ssm_cli.runtime.engine.contained import with_text
from ssm_cli.runtime.engine.pending import checked_seconds
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import redacted, shown
from ssm_cli.runtime.performer import system
from ssm_cli.runtime.performer.breaking import Break, set_breaks
from ssm_cli.runtime.performer.intake import need, need_worker
from ssm_cli.runtime.performer.recoding import Recode, recode, recode_pool
from ssm_cli.runtime.views import CrashReport, Statistics, Status, SysEvent


class Messages:
    """The part of a node that acts on a worker or a supervisor at once, ahead of the queue."""

    def __init__(self, world: World, serving: Serving) -> None:
        self._world = world
        self._serving = serving

    def get_state(self, worker: str) -> Any:
        """The worker's state, as it would be shown (`sys:get_state/1`, after `format_status`)."""
        cell = need_worker(self._world, worker)
        return redacted(self._world, cell, self._serving.act(system.get_state, cell))

    def replace_state(self, worker: str, state: Any) -> Any:
        """Put another state in its place (`sys:replace_state/2`); return it as it would be shown.

        `state` may be a function of the old state; if it raises, the state stays and `SysError`
        is raised with `callback_failed`.
        """
        cell = need_worker(self._world, worker)
        return redacted(self._world, cell, self._serving.act(system.replace_state, cell, state))

    def suspend(self, name: str) -> None:
        """Hold a worker or a supervisor: its inputs queue up, bounded (`sys:suspend/1`)."""
        self._serving.act(system.suspend, need(self._world, name))

    def resume(self, name: str) -> None:
        """Let it go on (`sys:resume/1`)."""
        self._serving.act(system.resume, need(self._world, name))

    def set_breaks(self, worker: str, breaks: tuple[Break, ...]) -> None:
        """Hold a worker before it commits what one of these says; none of them: no longer."""
        self._serving.act(set_breaks, need_worker(self._world, worker), breaks)

    def leave_break(self, worker: str, *, drop: bool = False, given: object = NOTHING) -> None:
        """Let a worker that is held at a break go on.

        As it would, or without the input (`drop`), or with another value (`given`) in its place.

        Raises:
            SysError: `not_held`: it is not held at a break.
        """
        cell = need_worker(self._world, worker)
        breaks = None if cell.extra is None else cell.extra.breaks
        if breaks is None or breaks.held(cell) is None:
            raise SysError(f"{worker} is not held at a break", term="not_held")
        if drop:
            self._serving.act(system.drop_held, cell)
        elif given is NOTHING:
            self._serving.act(system.leave_break, cell)
        else:
            self._serving.act(system.edit_held, cell, given)

    def get_status(self, worker: str) -> Status:
        """What there is to know of a worker (`sys:get_status/1`), after its `format_status`."""
        return self._serving.act(system.get_status, need_worker(self._world, worker))  # type: ignore[no-any-return]  # by name

    def change_code(self, worker: str, old_version: str, extra: object = None) -> None:
        """Have a suspended worker run its `code_change` (`sys:change_code/4`).

        Raises `SysError` if it is not suspended or refuses; its state stays then.
        """
        self._serving.act(system.change_code, need_worker(self._world, worker), old_version, extra)

    def recode(self, worker: str, to: Recode) -> None:
        """Have a worker go on with other code and another state, between two inputs.

        Raises:
            StorageError: a durable worker's state cannot be written; nothing has changed.
        """
        self._serving.act(recode, need_worker(self._world, worker), to)

    def recode_pool(self, supervisor: str, start: object) -> None:
        """Have the children to come of a `simple_one_for_one` supervisor be of other code."""
        self._serving.act(recode_pool, need(self._world, supervisor), start)

    def keep(self, worker: str, events: int) -> None:
        """Keep the last `events` events of a worker (`sys:log/2`); 0 keeps none.

        They are in `get_status` and in its crash reports.
        """
        self._serving.act(system.log, need_worker(self._world, worker), events)

    def install(
        self, worker: str, function: Callable[[Any, SysEvent, str], Any], state: object = None
    ) -> None:
        """Have `function(state, event, name)` see every event of a worker (`sys:install/2`).

        Its answer is its next state; `"done"` removes it, and so does an exception.
        """
        self._serving.act(
            system.install, need_worker(self._world, worker), function, function, state
        )

    def remove(self, worker: str, function: Callable[[Any, SysEvent, str], Any]) -> None:
        """Take an installed function out again (`sys:remove/2`)."""
        self._serving.act(system.remove, need_worker(self._world, worker), function)

    def trace(self, worker: str, on: bool = True) -> None:
        """Report every input and output of the worker, or stop doing so (`sys:trace/2`)."""
        self._serving.act(system.trace, need_worker(self._world, worker), on)

    def statistics(self, worker: str) -> Statistics:
        """Counts of a worker (`sys:statistics/2`)."""
        return self._serving.act(system.statistics, need_worker(self._world, worker))  # type: ignore[no-any-return]  # by name

    def crash_reports(
        self, worker: str | None = None, last: int | None = None
    ) -> list[CrashReport]:
        """The last crashes (of one worker), oldest first; a node keeps the last 100.

        Those of a worker that is gone are found by its name.
        """
        world = self._world
        name = worker
        if worker is not None and not world.crashes.knows(worker):
            name = need_worker(world, worker).spec.id
        known = world.reports.record_of or no_record
        reports = world.crashes.reports(name, last, partial(shown, world))
        return [msgspec.structs.replace(one, record=known(one.seq)) for one in reports]

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """The constructors of the worker's inputs, for completion and help."""
        return constructors_of(need_worker(self._world, worker).spec.start.inputs)

    # -- both ----------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Kill a worker or a supervisor: no callback of its own runs."""
        self._serving.act(system.kill, need(self._world, name))

    def stop_process(
        self, name: str, reason: object = "normal", timeout_s: float | None = None
    ) -> None:
        """End a worker or supervisor in an orderly way (`gen_server:stop/3`).

        Its own supervisor then does what the restart type says for that reason.

        Raises:
            CalleeCrashed: it ended, but `terminate` raised or was cut.
            CallTimeout: it ended, but took longer than `timeout_s`.
        """
        checked_seconds(timeout_s)
        begun_s = self._world.clock.now_s()
        cell = need(self._world, name)
        self._serving.act(system.stop_process, cell, self._reason(cell, reason))
        if timeout_s is not None and self._world.clock.now_s() - begun_s > timeout_s:
            why = f"{name} took longer than {timeout_s:g} s to end"
            raise CallTimeout(why, worker=name, reason="timeout")

    def exit(self, name: str, reason: object, sender: str = "") -> None:
        """Send an exit signal (`exit/2`); `sender="parent"` stands for its own supervisor.

        The reason `kill` kills.
        """
        cell = need(self._world, name)
        kills = type(reason) is str and reason == "kill"
        wanted = KILLED if kills else self._reason(cell, reason)
        self._serving.act(system.exit_signal, cell, wanted, sender)

    def _reason(self, cell: Cell, given: object) -> ExitReason:
        return with_text(self._world, cell, reason_of(given))


def no_record(_seq: int) -> int:
    """Return which record a report is about, where nothing is remembered."""
    return 0

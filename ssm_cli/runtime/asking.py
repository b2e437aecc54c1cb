"""Requests: what can be asked of supervisors and of workers, besides inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ssm_cli.behaviour.reasons import KILLED, reason_of
from ssm_cli.codec.build import constructors_of
from ssm_cli.codec.port import Constructor
from ssm_cli.errors import CalleeStopped, CallTimeout, NoProc, QueueFull, SsmError
from ssm_cli.runtime.calling.acalls import AsyncCalls
from ssm_cli.runtime.calling.waiting import TIMEOUT_S
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell
from ssm_cli.runtime.engine.cell import Status as CellStatus
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.looking.show import redacted, shown
from ssm_cli.runtime.performer import system
from ssm_cli.runtime.performer.intake import (
    find,
    forbid_reentry,
    need,
    need_supervisor,
    need_worker,
)
from ssm_cli.runtime.performer.requests import REQUESTS
from ssm_cli.runtime.reports import error_text
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    Counts,
    CrashReport,
    ProcessRef,
    Statistics,
    Status,
    SysEvent,
)
from ssm_cli.spec.model import ChildSpec


class AskingSupervisors(AsyncCalls):
    """The part of a node that answers for supervisors."""

    def which_children(self, supervisor: str) -> list[ChildInfo]:
        """The children, last started first, as OTP gives them."""
        return self._ask(supervisor, "which_children")  # type: ignore[no-any-return]  # by name

    def count_children(self, supervisor: str) -> Counts:
        """How many specs, active children, supervisors and workers."""
        return self._ask(supervisor, "count_children")  # type: ignore[no-any-return]  # by name

    def get_childspec(self, supervisor: str, child: ChildName) -> ChildSpecView:
        """The child spec of `child`. Raises `SupervisorError` with `not_found`."""
        return self._ask(supervisor, "get_childspec", child)  # type: ignore[no-any-return]  # by name

    def start_child(self, supervisor: str, spec: ChildSpec | str) -> str | None:
        """Start a child from a spec, or from a label under `simple_one_for_one`; its id.

        None: its init answered ignore. Raises `SupervisorError` with `already_started`,
        `already_present`, `max_children`, a term for a bad spec, or the reason of a failed start.
        """
        return self._ask(supervisor, "start_child", spec)  # type: ignore[no-any-return]  # by name

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        """Stop a child; its spec stays, but for temporary and dynamic children.

        A dynamic child is named by its process (`whereis`), as OTP asks for its pid.
        """
        self._ask(supervisor, "terminate_child", child)

    def restart_child(self, supervisor: str, child: ChildName) -> str | None:
        """Start a child that was stopped; None: its init answered ignore."""
        return self._ask(supervisor, "restart_child", child)  # type: ignore[no-any-return]  # by name

    def delete_child(self, supervisor: str, child: ChildName) -> None:
        """Forget the spec of a child that is stopped."""
        self._ask(supervisor, "delete_child", child)

    def request(self, supervisor: str, verb: str, *args: Any) -> Pending:
        """Ask a supervisor and go on; the answer comes when it gets to it.

        `verb` is the name of one of the methods above. A supervisor that is suspended answers
        after `resume`; one that ends first fails the request with its exit reason.
        """
        sup = need_supervisor(self._world, supervisor)
        forbid_reentry(self._world)
        system.need_running(sup)
        pending = Pending()
        answer = (self._answer, (sup, sup.starts, verb, args, pending))
        if sup.suspended:
            backlog = sup.more().backlog
            if len(backlog) >= self._world.bound:
                raise QueueFull(f"{supervisor} is suspended, and {len(backlog)} requests wait")
            backlog.append(answer)
        else:
            self._world.post(*answer[:1], *answer[1])
        return pending

    def _answer(
        self, sup: SupervisorCell, starts: int, verb: str, args: tuple[Any, ...], pending: Pending
    ) -> None:
        if sup.status is not CellStatus.RUNNING or sup.starts != starts:
            reason = str(sup.last_reason)
            pending.fail(CalleeStopped(f"{sup.spec.id} ended: {reason}", reason=reason))
            return
        try:
            value = REQUESTS[verb](self._world, sup, *args)
        except SsmError as error:
            pending.fail(error)
        else:
            pending.resolve(value)

    def _ask(self, supervisor: str, verb: str, *args: Any) -> Any:
        return self.wait(self.request(supervisor, verb, *args), TIMEOUT_S)

    def whereis(self, name: str) -> ProcessRef | None:
        """The process that runs under a name, if one does (OTP's `whereis`)."""
        cell = find(self._world, name)
        if cell is None or cell.status is not CellStatus.RUNNING:
            return None
        return ProcessRef(cell.spec.id, cell.starts)

    def _now(self, function: Callable[..., Any], cell: Cell, *args: Any) -> Any:
        """Do something to a cell at once, then whatever it sets off."""
        forbid_reentry(self._world)
        if not self._world.running:
            raise NoProc("the tree is not running", worker=cell.spec.id, reason="noproc")
        self._settle()
        self._world.pumping = True  # a reader of reports must not run the node meanwhile
        try:
            return function(self._world, cell, *args)
        finally:
            self._world.pumping = False
            self._settle()

    def _settle(self) -> None:
        """Empty the system lane."""
        raise NotImplementedError


class Asking(AskingSupervisors):
    """The part of a node that answers for workers, and for both."""

    def get_state(self, worker: str) -> Any:
        """The worker's state, as it would be shown (`sys:get_state/1`, after `format_status`)."""
        cell = need_worker(self._world, worker)
        return redacted(cell, self._now(system.get_state, cell))

    def replace_state(self, worker: str, state: Any) -> Any:
        """Put another state in its place (`sys:replace_state/2`).

        `state` may be a function of the old state; if it raises, the state stays and `SysError`
        is raised with `callback_failed`.
        """
        change = state if callable(state) else lambda _: state
        return self._now(system.replace_state, need_worker(self._world, worker), change)

    def suspend(self, name: str) -> None:
        """Hold a worker or a supervisor: its inputs queue up, bounded (`sys:suspend/1`)."""
        self._now(system.suspend, need(self._world, name))

    def resume(self, name: str) -> None:
        """Let it go on (`sys:resume/1`)."""
        self._now(system.resume, need(self._world, name))

    def get_status(self, worker: str) -> Status:
        """What there is to know of a worker (`sys:get_status/1`), after its `format_status`."""
        return self._now(system.get_status, need_worker(self._world, worker))  # type: ignore[no-any-return]  # by name

    def change_code(self, worker: str, old_version: str, extra: object = None) -> None:
        """Have a suspended worker run its `code_change` (`sys:change_code/4`).

        Raises `SysError` if it is not suspended or refuses; its state stays then.
        """
        self._now(system.change_code, need_worker(self._world, worker), old_version, extra)

    def keep(self, worker: str, events: int) -> None:
        """Keep the last `events` events of a worker (`sys:log/2`); 0 keeps none.

        They are in `get_status` and in its crash reports.
        """
        self._now(system.log, need_worker(self._world, worker), events)

    def install(
        self, worker: str, function: Callable[[Any, SysEvent, str], Any], state: object = None
    ) -> None:
        """Have `function(state, event, name)` see every event of a worker (`sys:install/2`).

        Its answer is its next state; `"done"` removes it, and so does an exception.
        """
        self._now(system.install, need_worker(self._world, worker), function, function, state)

    def remove(self, worker: str, function: Callable[[Any, SysEvent, str], Any]) -> None:
        """Take an installed function out again (`sys:remove/2`)."""
        self._now(system.remove, need_worker(self._world, worker), function)

    def trace(self, worker: str, on: bool = True) -> None:
        """Report every input and output of the worker, or stop doing so (`sys:trace/2`)."""
        self._now(system.trace, need_worker(self._world, worker), on)

    def statistics(self, worker: str) -> Statistics:
        """Counts of a worker (`sys:statistics/2`)."""
        return self._now(system.statistics, need_worker(self._world, worker))  # type: ignore[no-any-return]  # by name

    def crash_reports(
        self, worker: str | None = None, last: int | None = None
    ) -> list[CrashReport]:
        """The last crashes (of one worker), oldest first; a node keeps the last 100."""
        world = self._world
        name = None if worker is None else need_worker(world, worker).spec.id
        return world.crashes.reports(name, last, partial(shown, world), error_text)

    def constructors(self, worker: str) -> tuple[Constructor, ...]:
        """The constructors of the worker's inputs, for completion and help."""
        return constructors_of(need_worker(self._world, worker).spec.start.inputs)

    # -- both ----------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Kill a worker or a supervisor: no callback of its own runs."""
        self._now(system.kill, need(self._world, name))

    def stop_process(
        self, name: str, reason: object = "normal", timeout_s: float | None = None
    ) -> None:
        """End a worker or supervisor in an orderly way (`gen_server:stop/3`).

        Its own supervisor then does what the restart type says for that reason.

        Raises:
            CalleeCrashed: it ended, but `terminate` raised or was cut.
            CallTimeout: it ended, but took longer than `timeout_s`.
        """
        begun_s = self._world.clock.now_s()
        self._now(system.stop_process, need(self._world, name), reason_of(reason))
        if timeout_s is not None and self._world.clock.now_s() - begun_s > timeout_s:
            why = f"{name} took longer than {timeout_s:g} s to end"
            raise CallTimeout(why, worker=name, reason="timeout")

    def exit(self, name: str, reason: object, sender: str = "") -> None:
        """Send an exit signal (`exit/2`); `sender="parent"` stands for its own supervisor.

        The reason `kill` kills.
        """
        wanted = reason_of(reason) if reason != "kill" else KILLED
        self._now(system.exit_signal, need(self._world, name), wanted, sender)

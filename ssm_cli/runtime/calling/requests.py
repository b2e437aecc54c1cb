"""Requests to supervisors (OTP `supervisor`), answered behind what they have to do first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssm_cli.errors import CallTimeout, QueueFull
from ssm_cli.runtime.calling.waiting import TIMEOUT_S, Serving
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine.cell import Cell, CellStatus
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.failures import not_running
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import forbid_reentry, need, need_supervisor
from ssm_cli.runtime.performer.requests import OF_A_CHILD, process_of, supervisor_of
from ssm_cli.runtime.views import ChildInfo, ChildName, ChildSpecView, Counts, ProcessRef
from ssm_cli.spec.model import ChildSpec, Labelled, own_child


class Requests:
    """The part of a node that answers for supervisors."""

    def __init__(self, world: World, serving: Serving) -> None:
        self._world = world
        self._serving = serving

    def which_children(self, supervisor: str) -> list[ChildInfo]:
        """The children, last started first, as OTP gives them."""
        return self.ask(supervisor, "which_children")  # type: ignore[no-any-return]  # by name

    def which_child(self, supervisor: str, child: ChildName) -> ChildInfo:
        """One child. Raises `SupervisorError` with `not_found`."""
        return self.ask(supervisor, "which_child", child)  # type: ignore[no-any-return]  # by name

    def count_children(self, supervisor: str) -> Counts:
        """How many specs, active children, supervisors and workers."""
        return self.ask(supervisor, "count_children")  # type: ignore[no-any-return]  # by name

    def get_childspec(self, supervisor: str, child: ChildName) -> ChildSpecView:
        """The child spec of `child`. Raises `SupervisorError` with `not_found`.

        A child of a pool is named as for `terminate_child`; the pool has the spec of its template.
        """
        asked = self.meant(supervisor, "get_childspec", child)
        return self.answer(asked)  # type: ignore[no-any-return]  # by name

    def start_child(
        self,
        supervisor: str,
        spec: ChildSpec | Labelled | str,
        args: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Start a child from a spec, or from a label under `simple_one_for_one`; its id.

        `args` go with a label: they are put over the template's, and stay with the child when it
        is restarted (`supervisor:start_child(Sup, ExtraArgs)`).

        None: its init answered ignore. Raises `SupervisorError` with `already_started`,
        `already_present`, `max_children`, a term for a bad spec, or the reason of a failed start.
        """
        if args is not None:
            spec = own_child(spec, args)
        return self.ask(supervisor, "start_child", spec)  # type: ignore[no-any-return]  # by name

    def terminate_child(self, supervisor: str, child: ChildName) -> None:
        """Stop a child; its spec stays, but for temporary and dynamic children.

        A child of a pool is named by its label, or by its process (`whereis`), as OTP asks for its
        pid.
        """
        self.answer(self.meant(supervisor, "terminate_child", child))

    def meant(self, supervisor: str, verb: str, *args: Any) -> Pending:
        """`request`, as people mean it: they name the child of a pool."""
        if verb in ("terminate_child", "get_childspec"):
            args = (process_of(need_supervisor(self._world, supervisor), args[0]),)
        return self.request(supervisor, verb, *args)

    def restart_child(self, supervisor: str, child: ChildName) -> str | None:
        """Start a child that was stopped; None: its init answered ignore."""
        return self.ask(supervisor, "restart_child", child)  # type: ignore[no-any-return]  # by name

    def delete_child(self, supervisor: str, child: ChildName) -> None:
        """Forget the spec of a child that is stopped."""
        self.ask(supervisor, "delete_child", child)

    def request(self, supervisor: str, verb: str, *args: Any) -> Pending:
        """Ask a supervisor and go on; the answer comes when it gets to it.

        `verb` is the name of one of the methods above, or `restart`, which is about a worker or
        supervisor, and asked of the supervisor of that. One that is suspended answers after
        `resume`; one that ends first fails the request with its exit reason.
        """
        world = self._world
        if verb in OF_A_CHILD:
            child = need(world, supervisor)
            sup, args = supervisor_of(child), (child.spec.id, *args)
        else:
            sup = need_supervisor(world, supervisor)
        forbid_reentry(world)
        if sup.status is not CellStatus.RUNNING:
            raise not_running(sup)
        asked = Asked(sup, sup.starts, verb, args, Pending())
        if sup.suspended:
            backlog = sup.ensure_extra().backlog
            if len(backlog) >= world.bound:
                raise QueueFull(f"{supervisor} is suspended, and {len(backlog)} requests wait")
            backlog.append(asked)
        else:
            world.post(asked)
        return asked.pending

    def begin_request(self, supervisor: str, verb: str, *args: Any) -> Pending:
        """`request`, and give the node one turn; mostly the answer is there then."""
        pending = self.request(supervisor, verb, *args)
        self._serving.turn(pending)
        return pending

    def ask(self, supervisor: str, verb: str, *args: Any) -> Any:
        """Ask a supervisor, as `request`, and wait for its answer."""
        return self.answer(self.request(supervisor, verb, *args))

    def answer(self, pending: Pending) -> Any:
        """Wait for the answer to a request.

        Nobody resumes a supervisor of a fork while its time stands still: what waits for that is
        taken back, and nothing of it is done later.

        Raises:
            CallError: it has another outcome, or none in time.
        """
        world = self._world
        if world.forked and isinstance(world.clock, ManualClock):
            self._serving.settle()
            if pending.done:
                return pending.result()
            if (sup := taken_back(world, pending)) is not None:
                name = sup.spec.id
                text = f"{name} is suspended in this fork, and does not answer: nothing is done"
                why = f"{text}; `resume {name}`, then ask again"
                raise CallTimeout(why, worker=name, reason="timeout")
        return self._serving.wait(pending, TIMEOUT_S)

    def whereis(self, name: str) -> ProcessRef | None:
        """Return the process that runs under a name, if one does (OTP's `whereis`)."""
        cell = self._world.find(name)
        if cell is None or cell.status is not CellStatus.RUNNING:
            return None
        return ProcessRef(cell.spec.id, cell.starts)


def taken_back(world: World, pending: Pending) -> Cell | None:
    """Take a request out of the backlog of a supervisor, and return that; None if it is in none."""
    for cell in world.names.values():
        backlog: Any = cell.extra.backlog if cell.extra is not None else ()
        for asked in backlog:
            if isinstance(asked, Asked) and asked.pending is pending:
                backlog.remove(asked)
                return cell
    return None

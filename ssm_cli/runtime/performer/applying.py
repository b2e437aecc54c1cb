"""Applying: a plan from the tree that runs to another one is made, and carried out.

Plans are made by `supervision/planning.py`. A plan is carried out at once and to the end, as any
request to a supervisor: nothing is stepped meanwhile, and what waits in the queue waits. So a plan
is never half of another one: it is the plan that was agreed to, by its digest, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssm_cli.behaviour.reasons import Crash, ExitReason, Lost, Other
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import SupervisorError
from ssm_cli.runtime.durable.lives import cause_of, is_withheld, kept_of, why_withheld
from ssm_cli.runtime.durable.renewing import remains
from ssm_cli.runtime.engine.backlog import release_held
from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.failures import start_cause
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.children import forget, without_collector
from ssm_cli.runtime.performer.ending import terminate_cell
from ssm_cli.runtime.performer.merging import take_tree
from ssm_cli.runtime.performer.starting import Started, start_cell
from ssm_cli.runtime.performer.supervise import (
    restart_now,
    start_again,
    unawaited,
    undo_start,
)
from ssm_cli.runtime.reports import failure
from ssm_cli.spec.judge import complaints_text
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.supervision.planning import Applied, PlanStep, TreePlan, plan_tree
from ssm_cli.supervision.standing import Down, Standing

STATES: dict[CellStatus, Down] = {
    CellStatus.RUNNING: "running", CellStatus.ENDING: "running", CellStatus.DEAD: "waiting",
    CellStatus.RESTARTING: "restarting", CellStatus.WAITING: "waiting",
    CellStatus.UNDEFINED: "stopped", CellStatus.STARTING: "running",
}  # fmt: skip
COMES = "it was asked for, and runs once a node takes it; `tree` tells"
UNBEGUN: Started = Other("interrupted")


def refusal(sup: Cell, term: object, why: str, complaints: tuple[str, ...] = ()) -> SupervisorError:
    """Return the error for a request that the supervisor turns down."""
    return SupervisorError(f"{sup.spec.id}: {why}", term=term, complaints=complaints)


def why_of(reason: ExitReason) -> str:
    """Return why a start failed, in a line."""
    if isinstance(reason, Crash):
        return cause_of(reason)
    if isinstance(reason, Lost) and reason.detail:
        return f"{reason}: {reason.detail}"
    return f"{reason}{start_cause(reason)[0]}"


def each_below(cells: Iterable[Cell]) -> Iterator[Cell]:
    """Yield nodes and all below them, depth-first in start order."""
    for cell in cells:
        yield cell
        if isinstance(cell, SupervisorCell):
            yield from each_below(cell.children.values())


def standing_of(cell: Cell) -> Standing:
    """Return how a node stands, and all below it."""
    extra, state = cell.extra, STATES[cell.status]
    kept = kept_of(cell) if isinstance(cell, WorkerCell) else None
    if is_withheld(cell):
        state = "held"
    elif state == "stopped" and (not cell.starts or (extra is not None and extra.unbegun)):
        state = "new"
    below = cell.children.values() if isinstance(cell, SupervisorCell) else ()
    return Standing(
        cell.spec,
        None if extra is None else extra.begun,
        state,
        cell.starts,
        cell.suspended,
        kept is not None,
        tuple(map(standing_of, below)),
        str(why_withheld(cell)) if state == "held" else "",
    )


def planned(
    world: World, wanted: SupervisorSpec, *, specs_only: bool
) -> tuple[TreePlan, SupervisorSpec]:
    """Return the plan to make another tree of one that runs, and that tree."""
    stores = world.outside.keeper is not None or world.forked
    keeper = world.outside.keeper
    known = frozenset[str]() if keeper is None else remains(keeper, wanted)
    with without_collector(world):
        return plan_tree(
            standing_of(world.root), wanted, stores=stores, known=known, specs_only=specs_only
        )


def plan_request(
    world: World, root: SupervisorCell, wanted: SupervisorSpec, specs_only: bool = False
) -> TreePlan:
    """Answer what it takes to make another tree; nothing is done."""
    del root
    return planned(world, wanted, specs_only=specs_only)[0]


def apply_tree(
    world: World,
    root: SupervisorCell,
    wanted: SupervisorSpec,
    digest: str = "",
    specs_only: bool = False,
) -> Applied:
    """Make another tree of one that runs, by the plan of that digest, or by any if it is empty.

    Raises:
        SupervisorError: `refused`: it cannot be, with every complaint; `stale`: the plan is
            another one by now. Nothing was done.
    """
    plan, tree = planned(world, wanted, specs_only=specs_only)
    if plan.refused:
        why = complaints_text("the tree that is to be applied", plan.refused)
        raise refusal(root, "refused", why, plan.refused)
    if digest and digest != plan.digest and not world.forked:
        why = f"the tree, or what is wanted, is another than it was for plan {digest}; plan again"
        raise refusal(root, "stale", why)
    return Applying(world, plan, tree).carry_out()


class Applying:
    """A plan that is carried out."""

    def __init__(self, world: World, plan: TreePlan, tree: SupervisorSpec) -> None:
        self._world, self._plan, self._tree = world, plan, tree

    def carry_out(self) -> Applied:
        """Do one step after the other, up to one that fails; then what it leaves behind."""
        plan, todo = self._plan, self._plan.todo
        taken, begun = False, list[PlanStep]()
        for index, step in enumerate(todo):
            if step.act != "stop" and not taken:
                take_tree(self._world, self._tree)
                taken = True
            cell = self._world.names[step.id]
            outcome = self._do(step, cell)
            told = {"act": step.act, "why": step.why, "step": index + 1, "of": len(todo)}
            if outcome is not None and not isinstance(outcome, Ignore):
                self._world.report("apply_failed", cell, told | failure(outcome))
                self._go_on()
                left = todo[index + 1 :]
                held, coming, why = self._held(begun), self._coming(begun), why_of(outcome)
                state = "restarting" if cell.status is CellStatus.RESTARTING else "stopped"
                return Applied(plan.digest, todo[:index], step, why, left, held, state, coming)
            if step.act in ("start", "restart"):
                begun.append(step)
            self._world.report("applied", cell, told)
        if not taken:
            take_tree(self._world, self._tree)
        self._go_on()
        return Applied(plan.digest, todo, held=self._held(begun), coming=self._coming(begun))

    def _coming(self, begun: Iterable[PlanStep]) -> tuple[PlanStep, ...]:
        """Return the remote children of these steps that were asked for, and do not run yet."""
        cells = [self._world.names[step.id] for step in begun]
        return tuple(
            PlanStep("nothing", cell.spec.id, cell.path(), "", COMES)
            for cell in each_below(cells)
            if isinstance(cell, RemoteCell) and cell in self._world.outside.coming
        )

    def _held(self, begun: Iterable[PlanStep]) -> tuple[PlanStep, ...]:
        """Return the workers of these steps that cannot go on with what is stored of them."""
        cells = [self._world.names[step.id] for step in begun]
        return tuple(
            PlanStep("nothing", cell.spec.id, cell.path(), "", str(why_withheld(cell)))
            for cell in each_below(cells)
            if is_withheld(cell)
        )

    def _do(self, step: PlanStep, cell: Cell) -> Started:
        """Do one step; return as a start does."""
        if step.act in ("stop", "restart"):
            self._let_wait(cell)
        match step.act:
            case "stop":
                self._stop(cell)
            case "restart" | "start":
                return self._begin(step, cell)
        return None

    def _begin(self, step: PlanStep, cell: Cell) -> Started:
        """Start a child, or start it again; what does not start is noted, to be gone on with."""
        world, sup, outcome = self._world, cell.parent, UNBEGUN
        assert sup is not None, "the root is neither started nor restarted"
        try:
            again = step.act == "restart"
            outcome = restart_now(world, sup, cell) if again else start_cell(world, cell)
        finally:
            if outcome is UNBEGUN and cell.status is not CellStatus.RUNNING:
                undo_start(world, cell)  # an exception from outside has cut it
            if outcome is not None and not isinstance(outcome, Ignore):
                cell.ensure_extra().unbegun = True
                cell.last_reason = outcome
        return outcome

    def _let_wait(self, cell: Cell) -> None:
        """Put what a life has put off into the queue: it goes to the next one, wherever that is."""
        for one in each_below([cell]):
            if isinstance(one, WorkerCell):
                release_held(self._world, one)

    def _stop(self, cell: Cell) -> None:
        """Take a child down, and out of the table."""
        terminate_cell(self._world, cell)
        forget(self._world, cell)

    def _go_on(self) -> None:
        """Start the children that were to start with one that is gone, or starts without them."""
        for sup in tuple(each_below([self._world.root])):
            if isinstance(sup, SupervisorCell) and (cells := unawaited(self._world, sup)):
                start_again(self._world, sup, cells)

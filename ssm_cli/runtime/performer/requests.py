"""What can be asked of a supervisor, with OTP's answers and its exact error terms.

Each function acts at once and returns its answer, or raises `SupervisorError`. The node puts a
request for a suspended supervisor into that supervisor's backlog, behind what waits there.
Source: OTP `supervisor:handle_call/3`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.behaviour.reasons import term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import CalleeStopped, SsmError, SupervisorError
from ssm_cli.runtime.engine.cell import Cell, CellStatus, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.entries import Restart as Again
from ssm_cli.runtime.engine.failures import interrupted
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.children import adopt, forget
from ssm_cli.runtime.performer.ending import terminate_cell
from ssm_cli.runtime.performer.starting import start_cell
from ssm_cli.runtime.performer.supervise import on_restart, settle_down
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    ChildState,
    Counts,
)
from ssm_cli.runtime.views import Kind as NodeKind
from ssm_cli.spec.judge import Refusal, complaints_text
from ssm_cli.spec.model import ChildSpec, Restart, Strategy, SupervisorSpec, WorkerSpec
from ssm_cli.spec.rules import label_fault


def refusal(sup: Cell, term: object, why: str, complaints: tuple[str, ...] = ()) -> SupervisorError:
    """Return the error for a request that the supervisor turns down."""
    return SupervisorError(f"{sup.spec.id}: {why}", term=term, complaints=complaints)


def is_dynamic(sup: SupervisorCell) -> bool:
    """Whether its children are made from a template."""
    return sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE


def find_child(sup: SupervisorCell, child: ChildName) -> Cell | None:
    """Return the child by id or path, or under `simple_one_for_one` by the process it is."""
    if isinstance(child, str):
        own = sup.children.get(child.removeprefix(f"{sup.path()}/"))
        return sup.children.get(child) or own
    cell = sup.children.get(child.id) if is_dynamic(sup) else None
    if cell is None:
        return None
    if (
        cell.status is CellStatus.RESTARTING
    ):  # known by the process that it was, not by its attempts
        return cell if child.starts < cell.starts else None
    return cell if cell.starts == child.starts else None


def need_child(sup: SupervisorCell, child: ChildName) -> Cell:
    """The same, or the refusal `not_found`."""
    cell = find_child(sup, child)
    if cell is None:
        name = child if isinstance(child, str) else child.id
        raise refusal(sup, "not_found", f"it has no child {name}")
    return cell


def which_children(world: World, sup: SupervisorCell) -> list[ChildInfo]:
    """The children, last started first."""
    del world
    return [
        ChildInfo(cell.spec.id, child_state(cell), child_kind(cell))
        for cell in reversed(sup.children.values())
    ]


def child_state(cell: Cell) -> ChildState:
    """A child's state in the eyes of its supervisor."""
    match cell.status:
        case CellStatus.RUNNING | CellStatus.DEAD | CellStatus.ENDING:
            return "running"
        case CellStatus.RESTARTING:
            return "restarting"
        case CellStatus.UNDEFINED | CellStatus.WAITING:
            return "undefined"


def child_kind(cell: Cell) -> NodeKind:
    """Worker or supervisor, which the root of a remote child is."""
    return "worker" if isinstance(cell, WorkerCell) else "supervisor"


def count_children(world: World, sup: SupervisorCell) -> Counts:
    """How many specs, active children, supervisors and workers.

    A child that has ended is not active, even if the supervisor has not looked at its end yet;
    a dynamic one is. Source: `count_child/2`, and the count of dynamic children.
    """
    del world
    cells = sup.children.values()
    active_states = (
        (CellStatus.RUNNING, CellStatus.DEAD) if is_dynamic(sup) else (CellStatus.RUNNING,)
    )
    active = sum(cell.status in active_states for cell in cells)
    supervisors = sum(not isinstance(cell, WorkerCell) for cell in cells)
    specs = 1 if is_dynamic(sup) else len(cells)
    return Counts(specs, active, supervisors, len(cells) - supervisors)


def get_childspec(world: World, sup: SupervisorCell, child: ChildName) -> ChildSpecView:
    """The child spec of a child."""
    templated = by_template(sup, child) or is_gone(world, sup, child)
    spec = sup.spec.children[0] if templated else need_child(sup, child).spec
    return ChildSpecView(
        id=spec.id,
        type="worker" if isinstance(spec, WorkerSpec) else "supervisor",
        restart=spec.restart.value,
        shutdown=spec.shutdown_ms,
        significant=spec.significant,
    )


def by_template(sup: SupervisorCell, child: ChildName) -> bool:
    """Whether a dynamic supervisor is asked by id, which is its template's; others it has not."""
    if not is_dynamic(sup) or not isinstance(child, str):
        return False
    if child != sup.spec.children[0].id:
        raise refusal(sup, "not_found", f"its one child spec is {sup.spec.children[0].id}")
    return True


def start_child(world: World, sup: SupervisorCell, wanted: ChildSpec | str) -> str | None:
    """Start a new child; its id, or None if its init answered ignore."""
    wrong = None
    if is_dynamic(sup):
        spec = from_template(sup, wanted)
    elif isinstance(wanted, str):
        raise refusal(sup, {"invalid_child_spec": wanted}, "it takes child specs, not labels")
    else:
        spec = wanted
        wrong = judge_child(world, sup, spec)
    if wrong is None or not wrong.own:
        forbid_twice(world, sup, spec)
    if wrong is not None:
        why = complaints_text("the child spec", wrong.complaints)
        raise refusal(sup, wrong.term, why, wrong.complaints)
    return launch(world, sup, spec)


def judge_child(world: World, sup: SupervisorCell, spec: ChildSpec) -> Refusal | None:
    """Judge the spec of a new child and all below it; None if nothing is wrong."""
    if world.judge.knows(spec):
        return None
    depth, above = 1, sup.parent
    while above is not None:
        depth, above = depth + 1, above.parent

    def taken(name: str) -> str | None:
        cell = world.names.get(name)
        return None if cell is None else cell.path()

    return world.judge.child(spec, sup.spec, sup.path(), depth, taken)


def forbid_twice(world: World, sup: SupervisorCell, spec: ChildSpec) -> None:
    """Refuse a child whose name is in use."""
    present = sup.children.get(spec.id)
    if present is not None:
        running = child_state(present) == "running"
        term = "already_started" if running else "already_present"
        raise refusal(sup, term, f"{spec.id} is there already")
    taken = world.names.get(spec.id)
    if taken is not None:
        raise refusal(sup, "already_started", f"the name {spec.id} belongs to {taken.path()}")


def launch(world: World, sup: SupervisorCell, spec: ChildSpec) -> str | None:
    """Start a checked spec; a start that fails, or is interrupted, leaves nothing behind."""
    cell = adopt(world, sup, spec)
    try:
        outcome = start_cell(world, cell)
    except BaseException:
        terminate_cell(world, cell)
        forget(world, cell)
        raise
    if outcome is None:
        return spec.id
    if not isinstance(outcome, Ignore):
        forget(world, cell)
        raise refusal(sup, term_of(outcome), f"{spec.id} failed to start: {outcome}")
    if is_dynamic(sup) or spec.restart is Restart.TEMPORARY:
        forget(world, cell)
    return None


def from_template(sup: SupervisorCell, label: ChildSpec | str) -> ChildSpec:
    """The template with `label` as its id; ids below a supervisor become `label/id`."""
    if not isinstance(label, str):
        raise refusal(
            sup, "simple_one_for_one", "it makes children from its template: give a label"
        )
    most = sup.spec.max_children
    if most is not None and len(sup.children) >= most:
        raise refusal(sup, "max_children", f"it has {most} children, which is its max_children")
    (template,) = sup.spec.children
    if (wrong := label_fault(label, template)) is not None:
        complaint = f"{sup.path()}/(child).label: {wrong}"
        raise refusal(sup, {"invalid_child_spec": label}, complaint, (complaint,))
    return labelled(template, label)


def labelled(spec: ChildSpec, label: str) -> ChildSpec:
    """A spec with another id; the ids below it follow."""
    if not isinstance(spec, SupervisorSpec):
        return msgspec.structs.replace(spec, id=label)
    below = tuple(labelled(child, f"{label}/{child.id}") for child in spec.children)
    return msgspec.structs.replace(spec, id=label, children=below)


def terminate_child(world: World, sup: SupervisorCell, child: ChildName) -> None:
    """Stop a child; its spec stays, but for temporary and dynamic children."""
    if is_dynamic(sup) and isinstance(child, str):
        raise refusal(sup, "simple_one_for_one", "name the process of the child, not its label")
    if is_gone(world, sup, child):
        return
    cell = need_child(sup, child)
    starts_others = cell.status is CellStatus.RESTARTING
    terminate_cell(world, cell)
    settle_down(world, sup, cell)
    if starts_others:
        settle_waiting(world, sup)


def settle_waiting(world: World, sup: SupervisorCell) -> None:
    """Settle the children that were to start with one that does not: nobody else starts them."""
    for cell in tuple(sup.children.values()):
        if cell.status is CellStatus.WAITING:
            settle_down(world, sup, cell)


def is_gone(world: World, sup: SupervisorCell, child: ChildName) -> bool:
    """Whether a dynamic supervisor is asked for a process that no longer lives.

    OTP takes it for a child that it once had. Source: `supervisor:find_child/2`.
    """
    if not is_dynamic(sup) or isinstance(child, str) or find_child(sup, child) is not None:
        return False
    cell = world.names.get(child.id)
    return cell is None or cell.starts != child.starts or cell.status is not CellStatus.RUNNING


def restart_child(world: World, sup: SupervisorCell, child: ChildName) -> str | None:
    """Start a child that was stopped; its id, or None if its init answered ignore."""
    cell = need_stopped(sup, child)
    outcome = start_cell(world, cell)
    name: str = cell.spec.id
    if outcome is None:
        return name
    if isinstance(outcome, Ignore):
        return None
    raise refusal(sup, term_of(outcome), f"{cell.spec.id} failed to start: {outcome}")


def delete_child(world: World, sup: SupervisorCell, child: ChildName) -> None:
    """Forget the spec of a child that is stopped."""
    forget(world, need_stopped(sup, child))


def need_stopped(sup: SupervisorCell, child: ChildName) -> Cell:
    """The child, if it is one that does not run; else the refusal that says why not."""
    if is_dynamic(sup):
        raise refusal(sup, "simple_one_for_one", "dynamic children have no spec of their own")
    cell = need_child(sup, child)
    state = child_state(cell)
    if state != "undefined":
        raise refusal(sup, state, f"{cell.spec.id} is {state}")
    return cell


def restart_anyway(world: World, sup: SupervisorCell, child: ChildName) -> str | None:
    """Stop a child in order and start it again; its id, or None if its init answered ignore.

    Its restart type does not matter, nor is it counted. A child that is down is started; one that
    is held back by its back-off, with all that start with it, at once. A start that fails leaves it
    as a failed start by `restart_child` does.
    """
    cell = need_child(sup, child)
    name: str = cell.spec.id
    if cell.status is CellStatus.WAITING:
        raise refusal(sup, "restarting", f"{name} starts together with a sibling: restart that")
    if cell.status is CellStatus.RESTARTING:
        on_restart(world, Again(cell, cell.starts, sup.window.count(world.clock.now_s())))
        if cell.status is CellStatus.RESTARTING:
            why = f"{name} failed to start: {cell.last_reason}; it is tried again"
            raise refusal(sup, term_of(cell.last_reason), why)
        return name if cell.status is CellStatus.RUNNING else None
    terminate_cell(world, cell)
    try:
        outcome = start_cell(world, cell)
    except BaseException:
        terminate_cell(world, cell)
        settle_down(world, sup, cell)
        raise
    if outcome is None:
        return name
    settle_down(world, sup, cell)
    if isinstance(outcome, Ignore):
        return None
    raise refusal(sup, term_of(outcome), f"{name} failed to start: {outcome}")


def supervisor_of(cell: Cell) -> SupervisorCell:
    """Return the supervisor that is asked about a child; the root has none, and is refused."""
    if cell.parent is None:
        raise refusal(cell, "root", "the root has no supervisor; stop the tree, and run it again")
    return cell.parent


REQUESTS: dict[str, Any] = {
    "which_children": which_children,
    "count_children": count_children,
    "get_childspec": get_childspec,
    "start_child": start_child,
    "terminate_child": terminate_child,
    "restart_child": restart_child,
    "delete_child": delete_child,
    "restart": restart_anyway,
}
OF_A_CHILD = frozenset({"restart"})
"""The requests about a node, whoever its supervisor is; all others are asked of a supervisor."""


def answer_request(world: World, asked: Asked) -> None:
    """Answer a request, by the supervisor that was asked and not by a later life of it."""
    sup, pending = asked.cell, asked.pending
    if sup.status is not CellStatus.RUNNING or sup.starts != asked.starts:
        reason = str(sup.last_reason)
        pending.fail(CalleeStopped(f"{sup.spec.id} ended: {reason}", reason=reason))
    elif sup.suspended:
        sup.ensure_extra().backlog.append(asked)
    else:
        try:
            value = REQUESTS[asked.verb](world, sup, *asked.args)
        except SsmError as error:
            pending.fail(error)
        except BaseException:
            pending.fail(interrupted(sup))
            raise
        else:
            pending.resolve(value)

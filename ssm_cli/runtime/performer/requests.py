"""What can be asked of a supervisor, with OTP's answers and its exact error terms.

Each function acts at once and returns its answer, or raises `SupervisorError`. The node puts a
request for a suspended supervisor into that supervisor's backlog, behind what waits there.
Source: OTP `supervisor:handle_call/3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ssm_cli.behaviour.partition import JOINT, pool_child
from ssm_cli.behaviour.reasons import ExitReason, term_of
from ssm_cli.behaviour.results import Ignore
from ssm_cli.errors import CalleeStopped, SsmError
from ssm_cli.runtime.durable.lives import why_withheld
from ssm_cli.runtime.durable.pools import BadArgs, is_durable
from ssm_cli.runtime.durable.snapshots import Pooled
from ssm_cli.runtime.engine.cell import Cell, CellStatus, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.failures import interrupted, start_cause
from ssm_cli.runtime.engine.naming import child_by_key
from ssm_cli.runtime.engine.recorder import AskedFor
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.applying import apply_tree, plan_request, refusal
from ssm_cli.runtime.performer.arriving import go_on_starting
from ssm_cli.runtime.performer.children import adopt, forget
from ssm_cli.runtime.performer.ending import cancel_coming, terminate_cell
from ssm_cli.runtime.performer.members import answer_kept, enrol, keep_fresh, most_of, pooled_of
from ssm_cli.runtime.performer.starting import COMING, WITHHELD, Started, start_cell
from ssm_cli.runtime.performer.supervise import restart_now, settle_down, undo_start
from ssm_cli.runtime.performer.taking import looked, with_places
from ssm_cli.runtime.remote.life import end_soon, forget_left
from ssm_cli.runtime.views import (
    ChildInfo,
    ChildName,
    ChildSpecView,
    ChildState,
    Counts,
    ProcessRef,
)
from ssm_cli.runtime.views import Kind as NodeKind
from ssm_cli.spec.judge import Refusal, complaints_text
from ssm_cli.spec.model import (
    NO_ARGS,
    ChildSpec,
    Labelled,
    Restart,
    Strategy,
    WorkerSpec,
    made_of,
)
from ssm_cli.spec.rules import label_fault, own_args_fault


class Leaving(msgspec.Struct, frozen=True, eq=False):
    """The answer to a request comes once the remote child that it ends is gone."""

    cell: RemoteCell


class Later(msgspec.Struct, frozen=True, eq=False):
    """The answer to a request comes once the child that it has started is there, or is not."""

    cell: Cell


FAR = (CellStatus.RUNNING, CellStatus.STARTING)
"""How a remote child stands that is there, or may be."""


def is_dynamic(sup: SupervisorCell) -> bool:
    """Whether its children are made from a template."""
    return sup.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE


def find_child(sup: SupervisorCell, child: ChildName) -> Cell | None:
    """Return the child by id, path, label or `POOL:KEY`, or in a pool by its process."""
    if isinstance(child, str):
        part = child.removeprefix(f"{sup.path()}/")
        key = part.removeprefix(f"{sup.spec.id}{JOINT}")
        if sup.spec.partitions and key == part:  # an id: any text at all would do as a key
            return sup.children.get(part)
        return child_by_key(sup, key) or sup.children.get(part)
    cell = find_child(sup, child.id) if is_dynamic(sup) else None
    if cell is None:
        return None
    if (
        cell.status is CellStatus.RESTARTING
    ):  # known by the process that it was, not by its attempts
        return cell if child.starts < cell.starts else None
    return cell if cell.starts == child.starts else None


def process_of(sup: SupervisorCell, child: ChildName) -> ChildName:
    """Return the process of the child of a pool that is named, running or not; all else as it is.

    People name a child, where OTP asks for its process.
    """
    cell = find_child(sup, child) if is_dynamic(sup) and isinstance(child, str) else None
    if cell is None:
        return child
    return ProcessRef(cell.spec.id, cell.starts - (cell.status is CellStatus.RESTARTING))


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


def which_child(world: World, sup: SupervisorCell, child: ChildName) -> ChildInfo:
    """One of its children (OTP 28); a dynamic one by its process."""
    del world
    cell = need_child(sup, child)
    return ChildInfo(cell.spec.id, child_state(cell), child_kind(cell))


def child_state(cell: Cell) -> ChildState:
    """A child's state in the eyes of its supervisor."""
    match cell.status:
        case CellStatus.RUNNING | CellStatus.DEAD | CellStatus.ENDING:
            return "running"
        case CellStatus.RESTARTING | CellStatus.STARTING:
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


def start_child(
    world: World, sup: SupervisorCell, wanted: ChildSpec | Labelled | str
) -> str | Later | None:
    """Start a new child; its id, or None if its init answered ignore."""
    wrong = entry = None
    if is_dynamic(sup):
        spec, entry = from_template(world, sup, wanted)
    elif sup.spec.partitions:
        raise refusal(sup, "partition", f"it has {sup.spec.partitions} partitions, and no others")
    elif isinstance(wanted, str | Labelled):
        label = wanted if isinstance(wanted, str) else wanted.label
        raise refusal(sup, {"invalid_child_spec": label}, "it takes child specs, not labels")
    else:
        spec = wanted
        wrong = judge_child(world, sup, spec)
    if wrong is None or not wrong.own:
        forbid_twice(world, sup, spec)
    if wrong is not None:
        why = complaints_text("the child spec", wrong.complaints)
        raise refusal(sup, wrong.term, why, wrong.complaints)
    name = launch(world, sup, spec)
    if name is not None and entry is not None:
        enrol(world, entry)
    return name


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


def launch(world: World, sup: SupervisorCell, spec: ChildSpec) -> str | Later | None:
    """Start a checked spec; a start that fails, or is interrupted, leaves nothing behind."""
    cell = world.launched = adopt(world, sup, spec)
    outcome = start_cell(world, cell)
    world.launched = None
    if outcome is None:
        return spec.id
    if outcome is COMING:
        return Later(cell)
    if not isinstance(outcome, Ignore) or outcome is WITHHELD:
        error = why_unstarted(sup, cell, outcome)
        forget(world, cell)
        raise error
    if is_dynamic(sup) or spec.restart is Restart.TEMPORARY:
        forget(world, cell)
    return None


def mend_request(world: World) -> None:
    """End a request that was interrupted, unless it waits; its caller is told."""
    undo_launch(world)
    keep_fresh(world)
    asked, outside = world.performing, world.outside
    if isinstance(asked, Asked):
        put_off = () if asked.cell.extra is None else asked.cell.extra.backlog
        waits = (*outside.looks, *outside.leaving.values(), *outside.coming.values(), *put_off)
        if asked not in waits:
            asked.pending.fail(interrupted(asked.cell))


def undo_launch(world: World) -> None:
    """Leave nothing behind of a child whose start has come to nothing."""
    if world.launched is not None:
        undo_start(world, world.launched)
        forget(world, world.launched)
        world.launched = None


def from_template(
    world: World, sup: SupervisorCell, wanted: ChildSpec | Labelled | str
) -> tuple[ChildSpec, Pooled | None]:
    """The template under a name of its own, and what is kept of it; ids below become `NAME/id`.

    Arguments of its own are put over those of the template, name by name.
    """
    args: Mapping[str, Any] = wanted.args if isinstance(wanted, Labelled) else NO_ARGS
    label = wanted.label if isinstance(wanted, Labelled) else wanted
    if not isinstance(label, str):
        raise refusal(
            sup, "simple_one_for_one", "it makes children from its template: give a label"
        )
    most = most_of(sup)
    if most is not None and len(sup.children) >= most:
        raise refusal(sup, "max_children", f"it has {most} children, which is its max_children")
    (template,) = sup.spec.children
    place, wrong = "label", label_fault(label, template)
    if wrong is None and args is not NO_ARGS:
        place, wrong = "args", own_args_fault(template, args)
    spec, entry = sup.spec, None
    if wrong is None:
        spec = made_of(sup.spec, label, args, name_of_child(world, sup, label))
        try:
            entry = pooled_of(world, sup, spec, label, args)
        except BadArgs as error:
            place, wrong = "args", str(error)
    if wrong is not None:
        complaint = f"{sup.path()}/(child).{place}: {wrong}"
        raise refusal(sup, {"invalid_child_spec": label}, complaint, (complaint,))
    return spec, entry


def name_of_child(world: World, sup: SupervisorCell, label: str) -> str:
    """Return what a child of a pool is called: its label, where nobody else is; else `POOL:LABEL`.

    That of a durable pool is always `POOL:LABEL`: its name is the same at each start.
    """
    known = world.names.get(label)
    own = known is not None and known.parent is sup
    if own or not (known or is_durable(sup.spec) or world.judge.declares(label)):
        return str.__str__(label)
    return pool_child(sup.spec.id, label)


def terminate_child(world: World, sup: SupervisorCell, child: ChildName) -> Leaving | None:
    """Stop a child; its spec stays, but for temporary and dynamic children.

    One on another computer is asked to end, and all else goes on; the same again once it is gone.
    """
    if is_dynamic(sup) and isinstance(child, str):
        raise refusal(sup, "simple_one_for_one", f"no process of it is called {child}")
    forbid_part(sup, "stop")
    if is_gone(world, sup, child):
        return None
    cell = need_child(sup, child)
    if isinstance(cell, RemoteCell) and cell.status in FAR and world.outside.links is not None:
        cancel_coming(world, cell)
        end_soon(world, cell)
        return Leaving(cell)
    starts_others = cell.status is CellStatus.RESTARTING
    terminate_cell(world, cell)
    settle_down(world, sup, cell)
    if starts_others:
        settle_waiting(world, sup)
    go_on_starting(world, sup)
    return None


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


def restart_child(world: World, sup: SupervisorCell, child: ChildName) -> str | Later | None:
    """Start a child that was stopped; its id, or None if its init answered ignore."""
    cell = need_stopped(sup, child)
    return id_once_up(sup, cell, start_cell(world, cell))


def id_once_up(sup: SupervisorCell, cell: Cell, outcome: Started) -> str | Later | None:
    """Return the id of a child that runs, or who waits for it; None if its init answered ignore."""
    name: str = cell.spec.id
    if outcome is None:
        return name
    if outcome is COMING:
        return Later(cell)
    if isinstance(outcome, Ignore) and outcome is not WITHHELD:
        return None
    raise why_unstarted(sup, cell, outcome)


def why_unstarted(sup: SupervisorCell, cell: Cell, outcome: ExitReason | Ignore) -> SsmError:
    """Return the error for a start that somebody has asked for and that has failed."""
    if isinstance(outcome, Ignore):
        return why_withheld(cell)
    again = "; it is tried again" if cell.status is CellStatus.RESTARTING else ""
    why = f"{cell.spec.id} failed to start: {outcome}{start_cause(outcome)[0]}{again}"
    return refusal(sup, term_of(outcome), why)


def delete_child(world: World, sup: SupervisorCell, child: ChildName) -> None:
    """Forget the spec of a child that is stopped."""
    cell = need_stopped(sup, child)
    forbid_part(sup, "delete")
    forget(world, cell)


def forbid_part(sup: SupervisorCell, what: str) -> None:
    """Refuse to take one partition away: who has its keys would have nobody."""
    if sup.spec.partitions:
        why = f"its children are partitions: {what} {sup.spec.id} as a whole, or `restart` one"
        raise refusal(sup, "partition", why)


def need_stopped(sup: SupervisorCell, child: ChildName) -> Cell:
    """The child, if it is one that does not run; else the refusal that says why not."""
    if is_dynamic(sup):
        raise refusal(sup, "simple_one_for_one", "dynamic children have no spec of their own")
    cell = need_child(sup, child)
    state = child_state(cell)
    if state != "undefined":
        raise refusal(sup, state, f"{cell.spec.id} is {state}")
    return cell


def restart_anyway(world: World, sup: SupervisorCell, child: ChildName) -> str | Later | None:
    """Stop a child in order and start it again; its id, or None if its init answered ignore.

    A child that is down is started; see `restart_now`. A start that fails leaves it as a failed
    start by `restart_child` does.
    """
    cell = need_child(sup, child)
    name: str = cell.spec.id
    if cell.status is CellStatus.WAITING:
        raise refusal(sup, "restarting", f"{name} starts together with a sibling: restart that")
    if cell.status is CellStatus.UNDEFINED:
        forbid_one_more(sup)
    return id_once_up(sup, cell, restart_now(world, sup, cell))


def forbid_one_more(sup: SupervisorCell) -> None:
    """Refuse to start a child of a pool that is down, and has no room."""
    most = sup.spec.max_children
    if (
        most is not None
        and sum(one.status is not CellStatus.UNDEFINED for one in sup.children.values()) >= most
    ):
        raise refusal(sup, "max_children", f"{most} children run, which is its max_children")


def supervisor_of(cell: Cell) -> SupervisorCell:
    """Return the supervisor that is asked about a child; the root has none, and is refused."""
    if cell.parent is None:
        raise refusal(cell, "root", "the root has no supervisor; stop the tree, and run it again")
    return cell.parent


REQUESTS: dict[str, Any] = {
    "which_children": which_children,
    "which_child": which_child,
    "count_children": count_children,
    "get_childspec": get_childspec,
    "start_child": start_child,
    "terminate_child": terminate_child,
    "restart_child": restart_child,
    "delete_child": delete_child,
    "restart": restart_anyway,
    "plan_tree": plan_request,
    "apply_tree": apply_tree,
}
OF_A_CHILD = frozenset({"restart"})
"""The requests about a node, whoever its supervisor is; all others are asked of a supervisor."""
LOOKS = frozenset({"which_child", "which_children", "count_children", "get_childspec", "plan_tree"})
"""The requests that change nothing."""


def answer_request(world: World, asked: Asked) -> None:
    """Answer a request, by the supervisor that was asked and not by a later life of it."""
    sup, pending = asked.cell, asked.pending
    if sup.status is not CellStatus.RUNNING or sup.starts != asked.starts:
        reason = str(sup.last_reason)
        pending.fail(CalleeStopped(f"{sup.spec.id} ended: {reason}", reason=reason))
    elif sup.suspended:
        sup.ensure_extra().backlog.append(asked)
    elif (nowhere := looked(world, asked)) is not None:
        again = forget_left(world, asked)
        if world.history is not None and asked.verb not in LOOKS and not again:
            world.history.add(sup, AskedFor(asked.verb, asked.args), by_hand=True)
        try:
            value = REQUESTS[asked.verb](world, sup, *asked.args)
        except SsmError as error:
            undo_launch(world)
            pending.fail(error)
        else:
            if isinstance(value, Leaving):
                world.outside.leaving[value.cell] = asked
            elif isinstance(value, Later):
                world.outside.coming[value.cell] = asked
            else:
                answer_kept(world, asked, with_places(world, value, nowhere))

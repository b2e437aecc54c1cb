"""Taking: which node takes what a plan makes of remote children, asked before anything ends.

Theory of operation. A plan that makes another remote child of one that runs ends it first. So the
links are asked where it would go; nothing is frozen meanwhile, and the request is performed once
all have answered. Where no node takes it, the plan is refused: the child runs on as it is. A child
that is new, or is down, is asked for all the same, as it comes once a node does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from ssm_cli.errors import SsmError
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.applying import planned, refusal
from ssm_cli.runtime.remote.life import NO_LINKS
from ssm_cli.runtime.remote.ports import WHERE, Call, Outcome
from ssm_cli.spec.judge import complaints_text
from ssm_cli.spec.model import RemoteSpec, SupervisorSpec, walk
from ssm_cli.supervision.planning import PlanStep, TreePlan

LOOK_S = 5.0  # for the answer; a node that says nothing is left out sooner
PLANS = frozenset({"plan_tree", "apply_tree"})
BEGINS = frozenset({"start", "restart"})
Nowhere = Mapping[tuple[str, str], str]
"""By step and child, why no node takes that child; "" where one does."""


def looked(world: World, asked: Asked) -> Nowhere | None:
    """Return what nodes have said of a plan; None while they are asked, or if that refuses it."""
    looks = world.outside.looks
    if asked.verb not in PLANS or world.forked:
        return {}
    if asked not in looks:
        look(world, asked)
    if None in looks[asked].values():
        return None
    nowhere: Nowhere = looks.pop(asked)
    wrong = ends_for_nothing(world, nowhere)
    if not wrong or asked.verb == "plan_tree":
        return nowhere
    wrong = (*planned(world, asked.args[0], specs_only=asked.args[-1])[0].refused, *wrong)
    why = complaints_text("the tree that is to be applied", wrong)
    asked.pending.fail(refusal(asked.cell, "refused", why, wrong))
    return None


def look(world: World, asked: Asked) -> None:
    """Ask where the children of a plan would go."""
    links, found = world.outside.links, world.outside.looks
    plan, tree = planned(world, asked.args[0], specs_only=asked.args[-1])
    specs = [*touched(plan, tree)]
    why = why_unlinked(world) if specs and asked.verb == "plan_tree" and not links else ""
    found[asked] = {(step, spec.id): None if links else why for step, spec in specs}
    for step, spec in specs if links else ():
        what = {"name": spec.id, "spec": spec.tree, "place": dict(spec.place)}
        call = Call(spec.id, WHERE, msgspec.json.encode(what), LOOK_S)
        links.call(call, partial(note_place, world, asked, (step, spec.id)))


def touched(plan: TreePlan, tree: SupervisorSpec) -> Iterator[tuple[str, RemoteSpec]]:
    """Yield the remote children that a plan starts, or starts again, with the id of the step."""
    specs = {spec.id: spec for _, spec in walk(tree)}
    for step in plan.todo:
        for _, spec in walk(specs[step.id]) if step.act in BEGINS else ():
            if isinstance(spec, RemoteSpec):
                yield step.id, spec


def why_unlinked(world: World) -> str:
    """Return why a tree that has no remote child yet could have none; "" where it could."""
    if world.outside.linking is None:
        return NO_LINKS
    try:
        world.outside.linking().close()
    except SsmError as error:
        return str(error)
    return ""


def note_place(world: World, asked: Asked, child: tuple[str, str], outcome: Outcome) -> None:
    """Note where a child would go; with the last answer the request is performed."""
    found = world.outside.looks.get(asked)
    if found is None:
        return
    found[child] = "" if outcome.outcome == "replied" else outcome.error
    if None not in found.values():
        world.post(asked)


def ends_for_nothing(world: World, nowhere: Nowhere) -> tuple[str, ...]:
    """Return a complaint for each child that runs and would end, and that no node takes then."""
    cells = ((world.names.get(name), why) for (_, name), why in nowhere.items() if why)
    return tuple(
        f"{cell.path()}: it would end, and no node takes it then: {why}"
        for cell, why in cells
        if isinstance(cell, RemoteCell) and cell.status is CellStatus.RUNNING
    )


def with_places(world: World, plan: Any, nowhere: Nowhere) -> Any:
    """Return a plan that tells what no node takes, with its digest; any other answer as it is."""
    if not isinstance(plan, TreePlan):
        return plan
    wrong = ends_for_nothing(world, nowhere)
    steps = [
        msgspec.structs.replace(step, why="; ".join((step.why, *_said(step, nowhere))))
        for step in plan.steps
    ]
    return msgspec.structs.replace(plan, steps=tuple(steps), refused=(*plan.refused, *wrong))


def _said(step: PlanStep, nowhere: Nowhere) -> Iterator[str]:
    for (of, name), why in nowhere.items():
        if why and of == step.id and step.act in BEGINS:
            yield f"no node takes {name} now: {why}"

"""Trees of a journal: at a record, the durable workers alone, with their states of then."""

from __future__ import annotations

from functools import partial
from typing import Any

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.results import NOTHING, Ok
from ssm_cli.errors import Forgotten
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.engine.cell import CellStatus, SupervisorCell, WorkerCell, replan
from ssm_cli.runtime.engine.recorder import Acted, Began, Came, Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.children import adopt
from ssm_cli.spec.model import SupervisorSpec


class Known:
    """What is known of a worker at a record."""

    __slots__ = ("starts", "state", "steps")

    def __init__(self, state: Any) -> None:
        self.state, self.steps, self.starts = state, 0, 0


def with_trees(node: Node, recorder: Recorder) -> Node:
    """Have a node that was never started show its durable workers, now and at each record."""
    put_states(node._world, known_at(recorder, recorder.last()))  # noqa: SLF001 - made for this
    node.at = partial(tree_at, node, recorder)
    node.first_record = partial(first_of, recorder)
    return node


def first_of(recorder: Recorder) -> int:
    """Return the first record at which the tree can be shown: the one before the first known."""
    return max(0, recorder.ring[0][0] - 1) if recorder.ring else recorder.last()


def tree_at(node: Node, recorder: Recorder, record: int) -> Node:
    """Return the tree behind a record; nothing of a user's runs for it.

    Raises:
        Forgotten: the journal does not hold that record.
    """
    first, last = first_of(recorder), recorder.last()
    if not first <= record <= last:
        raise Forgotten(f"record {record} is not in the journal, which holds {first} to {last}")
    now_s, wall_s = recorder.instants.of(record)
    tree = Node(node.spec, name=node.name, clock=ManualClock(now_s, wall_s), guard=False)
    put_states(tree._world, known_at(recorder, record))  # noqa: SLF001 - as above
    return tree


def known_at(recorder: Recorder, record: int) -> dict[str, Known]:
    """Return what is known of each worker behind a record."""
    known: dict[str, Known] = {}
    for number, cell, kind, _, before, what in recorder.ring:
        if cell is None:
            continue
        one = known.get(cell.spec.id)
        if number > record:
            if one is None:
                known[cell.spec.id] = Known(NOTHING if type(what) is Began else before)
            continue
        if one is None:
            one = known[cell.spec.id] = Known(before)
        one.state = left_by(what)
        one.steps += kind is not None
        one.starts += type(what) is Began
    return known


def left_by(what: Any) -> Any:
    """Return the state that an entry has left; `NOTHING` behind a crash, until the next start."""
    match what:
        case Came(_, outcome):
            return NOTHING if outcome is None or outcome.stop is not None else outcome.state
        case Began(answer):
            return answer.state if type(answer) is Ok else answer
        case Acted():
            return what.after
    return NOTHING


def put_states(world: World, known: dict[str, Known]) -> None:
    """Fill a world that was never started: supervisors run, and workers whose state is known."""
    world.names[world.root.spec.id] = world.root
    fill(world, world.root, known)
    world.running = world.forked = True


def fill(world: World, sup: SupervisorCell, known: dict[str, Known]) -> None:
    """Put the children of a supervisor in their places."""
    sup.status, sup.starts = CellStatus.RUNNING, 1
    for spec in sup.spec.children:
        cell = adopt(world, sup, spec)
        if isinstance(spec, SupervisorSpec):
            assert isinstance(cell, SupervisorCell)
            fill(world, cell, known)
            continue
        one = known.get(cell.spec.id)
        if isinstance(cell, WorkerCell) and one is not None and one.state is not NOTHING:
            cell.behaviour = behaviour_of(cell.spec.start)
            cell.state, cell.steps, cell.starts = one.state, one.steps, max(1, one.starts)
            cell.status = CellStatus.RUNNING
            replan(cell)

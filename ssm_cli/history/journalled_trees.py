"""Trees of a journal: at a record, the durable workers alone, with their states of then."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.behaviour.results import NOTHING, Ok
from ssm_cli.errors import Forgotten
from ssm_cli.history.records import has_number
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.durable.pools import SIMPLE, Pools, child_of, is_durable
from ssm_cli.runtime.engine.cell import CellStatus, SupervisorCell, WorkerCell, replan
from ssm_cli.runtime.engine.crashes import KEPT_CRASHES, CrashNote, crash_report
from ssm_cli.runtime.engine.recalled import places_of
from ssm_cli.runtime.engine.recorder import Acted, Began, Came, Recorder
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import shown
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.children import adopt
from ssm_cli.runtime.views import CrashReport
from ssm_cli.spec.model import ChildSpec, SupervisorSpec, walk


class Known:
    """What is known of a worker at a record.

    Attributes:
        unborn: its first start is behind that.
        ended: it has ended by then, and did not start again.
    """

    __slots__ = ("ended", "starts", "state", "steps", "unborn")

    def __init__(self, state: Any, *, unborn: bool = False) -> None:
        self.state, self.steps, self.starts, self.unborn = state, 0, 0, unborn
        self.ended = False


@dataclass(frozen=True)
class FromJournal:
    """What a journal tells of a tree.

    Attributes:
        recorder: the records of its durable workers.
        pools: the children of its durable pools.
        since: the record that the saved states are of; only who is down has older ones. Where older
            records are left out, the last of those.
        last: the states at the end, of journalled workers that can go on.
        ends: behind which record each worker has ended last.
        left: how many older records are left out.
    """

    recorder: Recorder
    pools: Pools
    since: int
    last: Mapping[str, Any]
    ends: Mapping[str, int]
    left: int = 0


def with_trees(node: Node, told: FromJournal) -> Node:
    """Have a node that was never started show its durable workers, now and at each record."""
    put_states(node._world, known_at(told, told.recorder.last()), told.pools)  # noqa: SLF001 - ours
    node.at, node.turns_to = partial(tree_at, node, told), partial(turns_to, node, told)
    node.first_record = partial(first_of, told)
    return with_crashes(node, told, told.recorder.last())


def with_crashes(node: Node, told: FromJournal, record: int) -> Node:
    """Have a node tell of the crashes up to a record, which it has not seen itself."""
    asked = node.crash_reports

    def crash_reports(worker: str | None = None, last: int | None = None) -> list[CrashReport]:
        asked(worker)  # a name that nobody has is refused
        found = crashes_to(node, told, record, worker and (node.id_of(worker) or worker))
        return found if last is None else found[max(0, len(found) - last) :]

    node.crash_reports = crash_reports
    return node


def crashes_to(node: Node, told: FromJournal, record: int, worker: str | None) -> list[CrashReport]:
    """Return the last crashes up to a record (of one worker), oldest first.

    How each came about is what its step has come to, stepped again; what its supervisor made of it
    no journal tells.
    """
    world, found = node._world, deque[CrashReport](maxlen=KEPT_CRASHES)  # noqa: SLF001 - ours
    for number, cell, _, message, before, what in told.recorder.ring:
        crashed = type(what) is Came and what.outcome is None and type(what.reason) is Crash
        if not crashed or number > record or worker not in (None, cell.spec.id):
            continue
        here, reason = world.names.get(cell.spec.id, cell), what.reason
        error, at_s = reason.error, told.recorder.instants.of(number)[1]
        note = CrashNote(0, at_s, here, message, before, str(reason), type(error).__name__,  # type: ignore[arg-type]  # a worker's
                         reason.said, places_of(error), decision="unknown")  # fmt: skip
        report = crash_report(note, partial(shown, world))
        found.append(msgspec.structs.replace(report, record=number, strategy=""))
    return [*found]


def first_of(told: FromJournal) -> int:
    """Return the first record at which the tree can be shown: the one before the first known."""
    ring = told.recorder.ring
    return min(told.since, ring[0][0] - has_number(ring[0])) if ring else told.since


def tree_at(node: Node, told: FromJournal, record: int) -> Node:
    """Return the tree behind a record; nothing of a user's runs for it.

    Raises:
        Forgotten: the journal does not hold that record.
    """
    first, last = first_of(told), told.recorder.last()
    if record < first:
        why = "left out here, as are all old ones" if told.left else "older than the saved states"
        raise Forgotten(
            f"record {record} is {why}: the tree can be shown from record "
            f"{first} on; `ssm data export` prints the older inputs that are kept"
        )
    if record > last:
        raise Forgotten(f"record {record} is not in the journal, which holds {first} to {last}")
    now_s, wall_s = told.recorder.instants.of(record)
    tree = Node(node.spec, name=node.name, clock=ManualClock(now_s, wall_s), guard=False)
    put_states(tree._world, known_at(told, record), told.pools)  # noqa: SLF001 - made for this
    return with_crashes(tree, told, record)


def turns_to(node: Node, told: FromJournal, record: int) -> Generator[None, None, Node]:
    """`tree_at` as `Node.turns_to`: nobody else waits where a journal is read."""
    yield
    return tree_at(node, told, record)


def known_at(told: FromJournal, record: int) -> dict[str, Known]:
    """Return what is known of each worker behind a record.

    What one had as the states were saved tells nothing of earlier records.
    """
    known: dict[str, Known] = {}
    latest: dict[str, Any] = {}
    for number, cell, kind, _, before, what in told.recorder.ring:
        if cell is None:
            continue
        worker = cell.spec.id
        one = known.get(worker)
        if number > record:
            if one is None:
                tells = number <= told.since or record >= told.since
                unborn = tells and type(what) is Began and before is NOTHING
                known[worker] = Known(before if tells else NOTHING, unborn=unborn)
            continue
        if one is None:
            one = known[worker] = Known(before)
        latest[worker] = what
        one.steps += kind is not None
        one.starts += type(what) is Began
    for worker, what in latest.items():
        known[worker].state = left_by(what)
    for worker, state in told.last.items() if record >= told.since else ():
        known.setdefault(worker, Known(state))
    for worker in known.keys() & told.ends.keys():
        known[worker].ended = told.ends[worker] <= record
    return known


def left_by(what: Any) -> Any:
    """Return the state that an entry has left; `NOTHING` behind a crash, until the next start."""
    match what:
        case (state, _):
            return state
        case Came(_, outcome):
            return NOTHING if outcome is None or outcome.stop is not None else outcome.state
        case Began(answer):
            return answer.state if type(answer) is Ok else answer
        case Acted():
            return what.after
    return NOTHING


def put_states(world: World, known: Mapping[str, Known], pools: Pools) -> None:
    """Fill a world that was never started: supervisors run, and workers whose state is known."""
    world.names[world.root.spec.id] = world.root
    fill(world, world.root, known, pools)
    world.running = world.forked = True


def fill(world: World, sup: SupervisorCell, known: Mapping[str, Known], pools: Pools) -> None:
    """Put the children of a supervisor in their places."""
    sup.status, sup.starts = CellStatus.RUNNING, 1
    for spec in children_of(sup.spec, known, pools):
        cell = adopt(world, sup, spec)
        if isinstance(cell, SupervisorCell):
            fill(world, cell, known, pools)
            continue
        one = known.get(cell.spec.id)
        cell.starts = 0 if one is None else one.starts
        if isinstance(cell, WorkerCell) and one is not None and one.state is not NOTHING:
            cell.behaviour = behaviour_of(cell.spec.start)
            cell.state, cell.steps, cell.starts = one.state, one.steps, max(1, one.starts)
            cell.status = CellStatus.RUNNING
            replan(cell)


def children_of(
    sup: SupervisorSpec, known: Mapping[str, Known], pools: Pools
) -> Iterable[ChildSpec]:
    """Return the children that a supervisor has; a pool has those that were started by then.

    Who is in it no more has the number 0, and is there until it ended.
    """
    if sup.strategy is not SIMPLE:
        return sup.children
    kept = pools.of(sup.id) if is_durable(sup) else []
    made = ((child_of(sup, one)[0], one.number == 0) for one in kept)
    return [spec for spec, former in made if is_there(spec, known, former=former)]


def is_there(spec: ChildSpec, known: Mapping[str, Known], *, former: bool) -> bool:
    """Return whether the child of a pool was in it then, as its durable workers tell."""
    found = [known[one.id] for _, one in walk(spec) if one.id in known]
    gone = (one.unborn or (former and one.ended) for one in found)
    return not all(gone) if found else not former

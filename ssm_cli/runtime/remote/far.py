"""Calls by name across the link: `billing.invoice` is the worker `invoice` of `billing`."""

from __future__ import annotations

from functools import partial
from operator import delitem
from typing import Any

import msgspec

from ssm_cli.behaviour.partition import JOINT, splits
from ssm_cli.errors import CalledFromStep, DecodeError, NoConnection, NoProc, failed_call
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell, SupervisorCell
from ssm_cli.runtime.engine.failures import tree_down
from ssm_cli.runtime.engine.naming import child_by_key
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.ports import ITSELF, MAX_INPUT_BYTES, Answered, Call, Outcome
from ssm_cli.runtime.views import Carried

LONGEST_S = 3600.0  # of a call that sets no limit
MOST_HELD = 4096  # calls of one child that is starting; more are answered `busy`
Far = tuple[RemoteCell, str]


def far_of(world: World, name: str) -> tuple[RemoteCell, str] | None:
    """The remote child and its worker that a name stands for; None where it is no such name.

    Both may be paths: `shop/billing.root/invoice`. Of a pool with shards, `sessions:KEY` is the
    worker `sessions` in the shard of the key, and `sessions.cart:KEY` the worker `cart` there.
    """
    if world.outside.links is None:
        return None
    end = name.find(".")
    while end >= 0 and JOINT not in name[:end]:
        cell, worker = world.find(name[:end]), name[end + 1 :]
        if isinstance(cell, RemoteCell):
            return (cell, worker) if worker else None
        if isinstance(cell, SupervisorCell):
            worker, joint, key = worker.partition(JOINT)
            return _in_shard(cell, key, worker) if joint else None
        end = name.find(".", end + 1)
    for pool, key in splits(name):
        sup = world.find(pool)
        if isinstance(sup, SupervisorCell):
            return _in_shard(sup, key, sup.spec.id)
    return None


def _in_shard(sup: SupervisorCell, key: str, worker: str) -> Far | None:
    cell = child_by_key(sup, key) if sup.spec.partitions else None
    return (cell, worker) if isinstance(cell, RemoteCell) and worker else None


def ask_far(world: World, child: str, question: bytes, timeout_s: float) -> Pending:
    """Ask a remote child itself, as another process asks a tree; the outcome is its answer.

    Raises:
        CalledFromStep: a step asked its own node.
        NoProc: there is no such remote child, or it does not run.
        NoConnection: it cannot be reached at the moment.
    """
    cell, links = world.find(child), world.outside.links
    if not isinstance(cell, RemoteCell) or links is None:
        raise NoProc(f"{child} is no remote child of this tree", worker=child, reason="noproc")
    carried_to(world, child, question)
    if cell.status is not CellStatus.RUNNING:
        raise NoProc(f"{child} is not running", worker=child, reason="noproc")
    if not cell.reachable:
        where = f"{child} at node {cell.node} cannot be reached"
        raise NoConnection(f"{where}: its last sign of life is old", worker=child)
    pending = Pending()
    call = Call(cell.spec.id, ITSELF, question, timeout_s)
    links.call(call, partial(_answered, pending, child, ""))
    return pending


def _answered(pending: Pending, name: str, worker: str, outcome: Outcome) -> None:
    if outcome.outcome == "replied":
        pending.resolve(outcome.output)
    else:
        said = outcome.error if worker and worker in outcome.error else f"{name}: {outcome.error}"
        error = failed_call(outcome.outcome, said, name, outcome.reason, outcome.crash)
        error.child = name.removesuffix(f".{worker}") if worker else name
        pending.fail(error)


def send_far(
    world: World,
    far: tuple[RemoteCell, str],
    message: Any,
    pending: Pending,
    timeout_s: float | None,
) -> Pending:
    """Send a call across the link; `pending` ends in exactly one outcome.

    Raises:
        CalledFromStep: a step called its own node.
        DecodeError: the input is neither bytes nor a value as JSON (only the worker's own process
            knows its types), or there are too many of them.
    """
    cell, worker = far
    name = f"{cell.spec.id}.{worker}"
    carried = carried_to(world, name, message)
    assert world.outside.links is not None
    if not world.running:
        raise tree_down(world, name)
    limit_s = LONGEST_S if timeout_s is None else timeout_s
    data, is_value = carried.data, carried.is_value
    call = Call(cell.spec.id, worker, data, limit_s, pending.request, is_value)
    answered = partial(_answered, pending, name, worker)
    if cell.status is CellStatus.STARTING:
        hold_call(world, cell, call, answered)
    elif cell.status is CellStatus.RUNNING:
        world.outside.links.call(call, answered)
    else:
        pending.fail(NoProc(f"{cell.spec.id} is not running", worker=name, reason="noproc"))
    return pending


def hold_call(world: World, cell: RemoteCell, call: Call, answered: Answered) -> None:
    """Hold a call of a child that is starting, as one of a worker here waits for its `init`."""
    held = world.outside.held.setdefault(cell, [])
    if len(held) < MOST_HELD:
        held.append((world.clock.now_s() + call.timeout_s, call, answered))
    else:
        answered(Outcome("busy", error=f"{MOST_HELD} calls wait for {cell.spec.id} to start"))


def release_calls(world: World, cell: RemoteCell) -> None:
    """Send the calls that have waited for a child to start; where it did not, they fail."""
    held, links = world.outside.held.get(cell, []), world.outside.links
    while held:
        end_s, call, answered = held[0]
        left_s = end_s - world.clock.now_s()
        if left_s > 0 and cell.status is CellStatus.RUNNING:
            call = msgspec.structs.replace(call, timeout_s=left_s)
            # in one line, so that an exception from outside neither loses nor doubles it
            (links.call(call, answered), delitem(held, 0))
            continue
        late = Outcome("timeout", error="the call timed out while its worker was starting")
        down = Outcome("noproc", error=f"{cell.spec.id} is not running")
        answered(late if left_s <= 0 else down)
        del held[0]  # last: one that is interrupted is told again
    world.outside.held.pop(cell, None)


def cast_far(world: World, far: tuple[RemoteCell, str], message: Any) -> None:
    """Send an input across the link; it may be lost, as a cast may.

    One that cannot arrive now is reported as `dropped`.
    """
    cell, worker = far
    name = f"{cell.spec.id}.{worker}"
    carried = carried_to(world, name, message)
    if world.outside.links is None or cell.status is not CellStatus.RUNNING:
        world.drop(world.root, name, "cast", f"{cell.spec.id} is not running")
    elif not cell.reachable:
        world.drop(world.root, name, "cast", f"{cell.spec.id} cannot be reached")
    else:
        world.outside.links.cast(cell.spec.id, worker, carried)


def carried_to(world: World, name: str, message: Any) -> Carried:
    """Return an input as it crosses; refuse one that cannot be sent."""
    if world.guard.cell is not None:
        who = world.guard.cell.spec.id
        raise CalledFromStep(f"{who} called {name} from a step; a step asks for effects")
    carried = Carried(message) if isinstance(message, bytes) else message
    if not isinstance(carried, Carried):
        kind = type(message).__name__
        raise DecodeError(
            f"{name} is remote and takes bytes, in its codec; got {kind}", worker=name
        )
    if len(carried.data) > MAX_INPUT_BYTES:
        size = f"{len(carried.data):,} bytes, and at most {MAX_INPUT_BYTES:,}"
        text = f"{name}: the input has {size} cross to another computer; split it"
        raise DecodeError(text, worker=name)
    return carried

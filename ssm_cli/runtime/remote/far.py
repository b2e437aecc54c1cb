"""Calls by name across the link: `billing.invoice` is the worker `invoice` of `billing`."""

from __future__ import annotations

from typing import Any

from ssm_cli.errors import CalledFromStep, DecodeError, NoProc, failed_call
from ssm_cli.runtime.engine.cell import CellStatus, RemoteCell
from ssm_cli.runtime.engine.failures import tree_down
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.remote.ports import Call, Outcome

LONGEST_S = 3600.0  # of a call that sets no limit
Far = tuple[RemoteCell, str]


def far_of(world: World, name: str) -> tuple[RemoteCell, str] | None:
    """The remote child and its worker that a name stands for; None where it is no such name."""
    if world.outside.links is None:
        return None
    above, slash, last = name.rpartition("/")
    child, dot, worker = last.partition(".")
    cell = world.find(f"{above}{slash}{child}") if dot else None
    return (cell, worker) if isinstance(cell, RemoteCell) and worker else None


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
        DecodeError: the input is not bytes; only the worker's own process knows its types.
    """
    cell, worker = far
    name = f"{cell.spec.id}.{worker}"
    check(world, name, message)
    assert world.outside.links is not None
    if not world.running:
        raise tree_down(name, gave_up=world.gave_up)
    if cell.status is not CellStatus.RUNNING:
        pending.fail(NoProc(f"{cell.spec.id} is not running", worker=name, reason="noproc"))
        return pending

    def answered(outcome: Outcome) -> None:
        if outcome.outcome == "replied":
            pending.resolve(outcome.output)
        else:
            said = outcome.error if worker in outcome.error else f"{name}: {outcome.error}"
            pending.fail(failed_call(outcome.outcome, said, name, outcome.reason))

    limit_s = LONGEST_S if timeout_s is None else timeout_s
    call = Call(cell.spec.id, worker, message, limit_s, pending.request)
    world.outside.links.call(call, answered)
    return pending


def cast_far(world: World, far: tuple[RemoteCell, str], message: Any) -> None:
    """Send an input across the link; it may be lost, as a cast may."""
    cell, worker = far
    check(world, f"{cell.spec.id}.{worker}", message)
    if world.outside.links is not None and cell.status is CellStatus.RUNNING:
        world.outside.links.cast(cell.spec.id, worker, message)


def check(world: World, name: str, message: Any) -> None:
    """Refuse what cannot be sent."""
    if world.guard.cell is not None:
        who = world.guard.cell.spec.id
        raise CalledFromStep(f"{who} called {name} from a step; a step asks for effects")
    if not isinstance(message, bytes):
        kind = type(message).__name__
        raise DecodeError(
            f"{name} is remote and takes bytes, in its codec; got {kind}", worker=name
        )

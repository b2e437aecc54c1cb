"""One callback of a worker, run under the guard."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.runtime.engine import commit
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.guard import engine_code
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.ending import early_replies
from ssm_cli.runtime.performer.failing import crashed, interrupt, own_frames_only
from ssm_cli.runtime.performer.settling import show_input


def run_callback(
    world: World, cell: WorkerCell, kind: Kind, message: Any, pending: Pending | None
) -> Outcome | None:
    """Run the callback under the guard; None: it crashed, and that is dealt with."""
    guard, caller = world.guard, None
    guard.used = True
    if not guard.armed:
        guard.arm()
    if pending is not None and isinstance(cell.behaviour, Callbacks):
        caller = commit.caller_of(world, pending)
    since = len(world.outbox)
    guard.cell = cell
    begun_s = world.clock.now_s()
    try:
        outcome = world.outside.advance(cell.behaviour, kind, message, caller, cell.state)
    except BaseException as error:  # noqa: BLE001 - any exception of a callback is a crash
        guard.cell = None
        early_replies(world, since)
        if is_from_outside(guard, error):
            interrupt(world, cell, pending, error)
        own_frames_only(error)
        if cell.extra is not None and cell.extra.breaks is not None:
            show_input(world, cell, message, pending)  # not yet, as it might have been held
        sent = kind is Kind.CALL or kind is Kind.CAST
        crashed(world, cell, message, pending, error, sent=sent)
        return None
    guard.cell = None
    if not cell.steps & 63 or type(cell.behaviour) is not StateMachine:
        cell.timed_s += world.clock.now_s() - begun_s
    early_replies(world, since)
    return outcome


engine_code(run_callback)

"""The straight way of an input of a journalled pure step: decode, step, record, hold the reply.

Theory of operation. The careful way (`loop.serve`, `durable.inputs.admit` and `accept`,
`settling.settle`) serves any input of any durable worker; most inputs are plain, though: bytes for
a pure step that answers with a state and an output, about which nothing else is to be looked at.
Those go through one function here, and leave the same record behind. Whatever is not plain goes the
careful way from the start, and what fails on the way joins it there. Change both or neither;
`test_journalled_ways` compares them.
"""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.behaviour.foreign import foreign
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.inputs import HOW
from ssm_cli.runtime.durable.keeper import Accepted
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.records import Input, Outcome
from ssm_cli.runtime.durable.values import ODD, RAW, digest_of_output
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.guard import engine_code
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.performer.failing import (
    crashed,
    interrupt,
    undecodable,
)

CALL = Kind.CALL
UNSTEPPED = object()
Came = tuple[Kind, bytes, Any]
"""An input: how it came, as what, and its value."""


def serve_plainly(
    world: World, cell: WorkerCell, kind: Kind, data: bytes, pending: Pending | None
) -> tuple[Any, Any] | None:
    """Serve a plain input. An answer that is no pair is handed back; a read is, `UNSTEPPED`."""
    if world.history is not None and not cell.steps & 63:
        world.history.look(cell, data, world.clock.now_s())
    extra: Any = cell.extra  # it has one, by its plan
    guard, kept = world.guard, extra.kept
    guard.used, guard.cell = True, cell
    if not guard.armed:
        guard.arm()
    try:
        message = kept.codec.decode(data)
    except BaseException as error:  # noqa: BLE001 - a codec may be the user's own
        guard.cell = None
        undecodable(world, cell, data, pending, error)
        return None
    try:
        if type(message) in kept.reads:
            guard.cell = None
            return message, UNSTEPPED
        result = kept.behaviour.step(message, cell.state)
    except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
        guard.cell = None
        if is_from_outside(guard, error):
            interrupt(world, cell, pending, error)
        failed(world, cell, (kind, data, message), pending, error)
        return None
    guard.cell = None
    if type(result) is not tuple or len(result) != 2:
        go_careful(world, cell, kind, data)
        return message, result
    commit_plainly(world, cell, kept, kind, data, message, result, pending)
    return None


def commit_plainly(  # noqa: PLR0917 - by their places: keywords, or a tuple of them, take longer
    world: World, cell: WorkerCell, kept: Kept, kind: Kind, data: bytes, message: Any,
    result: tuple[Any, Any], pending: Pending | None,
) -> None:  # fmt: skip
    """Record an answer, and commit it; its caller gets it once that is written."""
    state, output = result
    keeper, history = world.outside.keeper, world.history
    try:
        state_hash = kept.hash(state)
    except StorageError as error:
        failed(world, cell, (kind, data, message), pending, error)
        return
    outcome: Outcome = "silent"
    written = b""
    if kind is CALL:
        outcome, guard = "replied", world.guard
        guard.cell = cell
        try:
            written = foreign(kept.codec.encode, output)
        except BaseException as error:
            guard.cell = None
            if is_from_outside(guard, error):
                raise
        guard.cell = None  # what cannot be written is b"": whoever asked in bytes is told so
    record = Input(
        kept.worker, keeper.at_s(), HOW[kind], data if data[:1] != ODD else RAW + data, outcome,
        digest_of_output(written) if issubclass(type(written), bytes) else b"", state_hash,
        kept.values.version, effects_hash=b"", number=0 if history is None else history.last() + 1,
    )  # fmt: skip
    keeper.add_input(cell, record, len(data))
    kept.succeeded(record.data, state_hash)
    if history is not None:
        history.append((next(world.numbers), cell, kind, message, cell.state, result))
        if pending is not None:
            pending.record = history.last()
    cell.state = state
    if pending is not None:
        keeper.hold(pending, pending.resolve, output)
    cell.steps, keeper.half = cell.steps + 1, None


def failed(
    world: World, cell: WorkerCell, came: Came, pending: Pending | None, error: BaseException
) -> None:
    """A step raised, or its state cannot be written."""
    go_careful(world, cell, *came[:2])
    crashed(world, cell, came[2], pending, error)


def go_careful(world: World, cell: WorkerCell, kind: Kind, data: bytes) -> None:
    """Go on with an input on the careful way."""
    kept: Kept = cell.ensure_extra().kept
    world.outside.keeper.now = Accepted(HOW[kind], kept.values.came(data))


for _function in (serve_plainly, commit_plainly):
    engine_code(_function)

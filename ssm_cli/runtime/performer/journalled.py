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
from ssm_cli.runtime.durable.keeper import Accepted, next_record
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.records import Input
from ssm_cli.runtime.durable.values import ODD, digest_of_output
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


def serve_plainly(
    world: World, cell: WorkerCell, kind: Kind, data: bytes, pending: Pending | None
) -> tuple[Any, Any] | None:
    """Serve a plain input. An answer that is no pair is handed back; a read is, `UNSTEPPED`."""
    extra: Any = cell.extra  # it has one, by its plan
    guard, keeper, kept = world.guard, world.outside.keeper, extra.kept
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
            return message, UNSTEPPED
        result = kept.behaviour.step(message, cell.state)
    except BaseException as error:  # noqa: BLE001 - any exception of a step is a crash
        guard.cell = None
        if is_from_outside(guard, error):
            interrupt(world, cell, pending, error)
        keeper.now = Accepted(HOW[kind], kept.values.came(data))
        crashed(world, cell, message, pending, error)
        return None
    guard.cell = None
    if type(result) is not tuple or len(result) != 2:
        keeper.now = Accepted(HOW[kind], kept.values.came(data))
        return message, result
    try:
        record(world, cell, kept, (kind, data), result)
    except StorageError as error:
        keeper.now = Accepted(HOW[kind], kept.values.came(data))
        crashed(world, cell, message, pending, error)
        return None
    commit_pair(world, cell, (kind, message), result, pending)
    return None


def commit_pair(
    world: World,
    cell: WorkerCell,
    came: tuple[Kind, Any],
    result: tuple[Any, Any],
    pending: Pending | None,
) -> None:
    """Commit an answer that is recorded; its caller gets it once that is written."""
    keeper, before = world.outside.keeper, cell.state
    cell.state = result[0]
    if (history := world.history) is not None:
        history.append((next(world.numbers), cell, *came, before, result))
        if pending is not None:
            pending.record = history.last()
    if pending is not None:
        keeper.hold(pending, pending.resolve, result[1])
    cell.steps, keeper.half = cell.steps + 1, None


def write_output(world: World, cell: WorkerCell, kept: Kept, output: Any) -> bytes:
    """Write an output for its record; b"" if it cannot be: whoever asked in bytes is told so."""
    guard = world.guard
    guard.cell = cell
    try:
        written: bytes = foreign(kept.codec.encode, output)
    except BaseException as error:
        guard.cell = None
        if is_from_outside(guard, error):
            raise
        return b""
    guard.cell = None
    return written if issubclass(type(written), bytes) else b""


for _function in (serve_plainly, write_output):
    engine_code(_function)


def record(
    world: World, cell: WorkerCell, kept: Kept, came: tuple[Kind, bytes], result: tuple[Any, Any]
) -> None:
    """Record a plain input; raises `StorageError` where its state cannot be written."""
    (kind, data), (state, output), keeper = came, result, world.outside.keeper
    data = data if data[:1] != ODD else kept.values.came(data)
    state_hash = kept.hash(state)
    written = write_output(world, cell, kept, output) if kind is CALL else b""
    keeper.step(cell)
    kept.succeeded(data)
    keeper.add(
        Input(
            kept.worker, keeper.at_s(), HOW[kind], data,
            "replied" if kind is CALL else "silent",
            digest_of_output(written), state_hash, kept.values.version, effects_hash=b"",
            number=0 if world.history is None else next_record(keeper),
        ),
        len(data),
        sure=True,
    )  # fmt: skip
    kept.recorded = state_hash

"""Hearing: what other processes of the tree publish goes to the members here."""

from __future__ import annotations

from typing import Any

from ssm_cli.codec.build import codec_for
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.contained import contained, said_by
from ssm_cli.runtime.engine.publishing import OUTSIDE, has_way, publish_here
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.views import Carried

MOST_WAITING = 10_000  # inputs in the queue, and what is heard is dropped


def publish_heard(world: World, group: str, carried: Carried) -> None:
    """Publish here what another process has published; where that cannot be, drop it.

    A value is read as an input of the first member, as JSON over HTTP is.
    """
    if len(world.queue) >= MOST_WAITING or not has_way(world, [group]):
        world.drop(world.root, group, "publish", f"{MOST_WAITING:,} inputs wait already")
        return
    message: Any = carried.data
    first = world.names.get(next(iter(world.groups.members(group)), ""))
    if carried.is_value and isinstance(first, WorkerCell):
        message = read_as(world, first, carried.data, "json")
    if type(message) is DecodeError:
        world.drop(world.root, group, "publish", f"undecodable: {message}")
    else:
        publish_here(world, group, message, OUTSIDE)


def read_as(world: World, cell: WorkerCell, data: bytes, codec: str) -> Any:
    """Return the input of a worker that bytes stand for in a named codec, or a `DecodeError`."""
    named = codec_for(codec, cell.spec.start.inputs, None)

    def refuse(error: BaseException) -> DecodeError:
        if type(error) is DecodeError:
            return error
        said = said_by(world, cell, error)
        return DecodeError(f"{cell.spec.id}: {type(error).__name__}: {said}")

    return contained(world, cell, refuse, named.decode, data)

"""Casts: how inputs that nobody waits for get into the queue, and outputs into bytes."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.codec.build import codec_for
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.intake import need_worker, put
from ssm_cli.runtime.remote.far import cast_far, far_of
from ssm_cli.runtime.reports import error_text

CAST = Kind.CAST


class Casts:
    """The part of a node that takes inputs nobody waits for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def cast(self, worker: str, message: Any) -> None:
        """Write `message` to the queue and go on (`gen_server:cast/2`).

        While the queue is full, what waits is served first. For a name without a worker, or a
        worker that does not run and is not restarted, it is reported as `dropped`.

        Raises:
            QueueFull: it is full all the same, or that many inputs wait for a suspended worker.
        """
        world = self._world
        cell = world.names.get(worker) or world.find(worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                cast_far(world, far, message)
            else:
                world.drop(world.root, worker, "cast", "no such worker")
            return
        queue = world.queue
        if (  # as `put` would, without a call for each
            cell.step is not None
            and world.outside.wake is None
            and world.guard.cell is None
            and len(queue) < world.bound
        ):
            queue.append((cell, CAST, message, None))
        else:
            put(world, cell, CAST, message, None, wait=True)

    def cast_nowait(self, worker: str, message: Any) -> None:
        """`cast`, but a full queue raises `QueueFull` instead of being served."""
        put(self._world, need_worker(self._world, worker), CAST, message, None, wait=False)

    def info(self, worker: str, message: Any) -> None:
        """Send a plain message, which a `GenServer` gets in `handle_info`; else as `cast`."""
        world = self._world
        cell = world.find(worker)
        if isinstance(cell, WorkerCell):
            put(world, cell, Kind.INFO, message, None, wait=True)
        else:
            world.drop(world.root, worker, "info", "no such worker")

    def exists(self, name: str) -> bool:
        """Return whether the tree knows the name (or path), running or not."""
        return self._world.find(name) is not None

    def encode(self, worker: str, value: Any) -> bytes:
        """Return a value of this worker (an output, a state) as its codec writes it.

        What comes from another computer is written already.
        """
        if type(value) is Replayed:
            return value.data
        if isinstance(value, bytes) and far_of(self._world, worker) is not None:
            return value
        return written(need_worker(self._world, worker), value)

    def decode(self, worker: str, data: bytes, codec: str) -> Any:
        """Return the input of a worker that bytes stand for in a named codec.

        Raises:
            DecodeError: the bytes are none of this worker's inputs.
        """
        inputs = need_worker(self._world, worker).spec.start.inputs
        try:
            return codec_for(codec, inputs, None).decode(data)
        except DecodeError as error:
            error.worker = worker
            raise


def written(cell: WorkerCell, value: Any) -> bytes:
    """Return an output as its worker's codec writes it; raise `DecodeError` where it cannot."""
    try:
        data: bytes = (cell.codec or codec_of(cell)).encode(value)
    except Exception as error:
        kind, name = type(error).__name__, cell.spec.id
        raise DecodeError(
            f"{name} answered, but its codec cannot write that: {kind}: {error_text(error)}",
            worker=name,
        ) from error
    return data

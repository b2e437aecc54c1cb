"""Casts: how inputs that nobody waits for get into the queue, and are served."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.intake import find, forbid_reentry, need_worker, put
from ssm_cli.runtime.performer.loop import NEVER, pump, rest
from ssm_cli.runtime.remote.far import cast_far, far_of
from ssm_cli.runtime.reports import error_text

BUSY_S = 1.0  # how long `run` serves workers that are never done
CAST = Kind.CAST


class Casts:
    """The part of a node that takes inputs nobody waits for."""

    _world: World

    def cast(self, worker: str, message: Any) -> None:
        """Write `message` to the queue and go on (`gen_server:cast/2`).

        While the queue is full, what waits is served first. A name without a worker is dropped
        without a word, as in OTP; use `exists` to ask.
        """
        world = self._world
        cell = world.names.get(worker) or find(world, worker)
        if type(cell) is not WorkerCell:
            if (far := far_of(world, worker)) is not None:
                cast_far(world, far, message)
            return
        queue = world.queue
        if (  # as `put` would, without a call for each
            world.running
            and world.wake is None
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
        cell = find(self._world, worker)
        if isinstance(cell, WorkerCell):
            put(self._world, cell, Kind.INFO, message, None, wait=True)

    def exists(self, name: str) -> bool:
        """Whether the tree knows the name (or path), running or not."""
        return find(self._world, name) is not None

    def run(self, for_s: float = 0.0) -> None:
        """Serve what waits, and the timers that come due within `for_s` seconds.

        Workers that send to each other without end are left at it after `for_s`, or after a
        second if that is longer.
        """
        world = self._world
        forbid_reentry(world)
        now_s = world.clock.now_s
        end_s = now_s() + for_s
        busy_end_s = now_s() + max(for_s, BUSY_S)
        while world.running:
            pump(world, NEVER, busy_end_s - now_s())
            if world.queue and now_s() >= busy_end_s:
                return
            next_s = min(world.timers.next_s(), end_s)
            if next_s > now_s():
                rest(world, next_s - now_s())
            elif now_s() >= end_s and world.timers.next_s() > now_s():
                return

    def encode(self, worker: str, value: Any) -> bytes:
        """A value of this worker (an output, a state) as its codec writes it.

        What comes from another computer is written already.
        """
        if type(value) is Replayed:
            return value.data
        if isinstance(value, bytes) and far_of(self._world, worker) is not None:
            return value
        return written(need_worker(self._world, worker), value)


def written(cell: WorkerCell, value: Any) -> bytes:
    """An output of a worker as its codec writes it; raises `DecodeError` where it cannot."""
    try:
        data: bytes = (cell.codec or codec_of(cell)).encode(value)
    except Exception as error:
        kind, name = type(error).__name__, cell.spec.id
        raise DecodeError(
            f"{name} answered, but its codec cannot write that: {kind}: {error_text(error)}",
            worker=name,
        ) from error
    return data

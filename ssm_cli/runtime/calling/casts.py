"""Casts: how inputs that nobody waits for get into the queue, and outputs into bytes."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind
from ssm_cli.codec.json import jsonable, unshowable
from ssm_cli.codec.port import Codec
from ssm_cli.codec.text import TextCodec, show
from ssm_cli.errors import DecodeError
from ssm_cli.runtime.durable.code import state_type
from ssm_cli.runtime.durable.sessions import Replayed
from ssm_cli.runtime.engine.cell import Cell, WorkerCell, is_open
from ssm_cli.runtime.engine.contained import contained, passes_through
from ssm_cli.runtime.engine.guard import engine_code, waiting_code
from ssm_cli.runtime.engine.naming import is_of_pool
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import codec_of
from ssm_cli.runtime.performer.intake import need_worker, put
from ssm_cli.runtime.remote.far import ask_far, cast_far, far_of
from ssm_cli.runtime.remote.hearing import read_as
from ssm_cli.runtime.views import Carried

CAST = Kind.CAST  # a global is quick


class Casts:
    """The part of a node that takes inputs nobody waits for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def cast(self, worker: str, message: Any) -> None:
        """Write `message` to the queue and go on (`gen_server:cast/2`).

        While the queue is full, what waits is served first. For a worker of the tree that does not
        run and is not restarted, or a child that a pool does not have, it is reported as `dropped`.

        Raises:
            NoProc: nothing in the tree can have that name.
            QueueFull: it is full all the same, or that many inputs wait for a suspended worker.
        """
        world = self._world
        cell: Any = world.names.get(worker)
        if cell is None:
            cell = world.find(worker)
        queue = world.queue
        if (  # as `put` would, without a call for each; what has a `step` is a worker
            cell is not None
            and (cell.step is not None or is_open(cell))
            and world.outside.wake is None
            and world.guard.cell is None
            and len(queue) < world.bound
        ):
            queue.append((cell, CAST, message, None))
        else:
            self._cast_with_care(cell, worker, message, wait=True)

    def cast_nowait(self, worker: str, message: Any) -> None:
        """`cast`, but a full queue raises `QueueFull` instead of being served."""
        self._cast_with_care(self._world.find(worker), worker, message, wait=False)

    def _cast_with_care(self, cell: Cell | None, worker: str, message: Any, *, wait: bool) -> None:
        """Cast to a cell of that name, or where no worker of this process has it now."""
        if type(cell) is WorkerCell:
            put(self._world, cell, CAST, message, None, wait=wait)
        elif (far := far_of(self._world, worker)) is not None:
            cast_far(self._world, far, message)
        else:
            self._lose(worker, "cast")

    def _lose(self, worker: str, how: str) -> None:
        """Drop a message for a child that may come, or come again; refuse one for another name."""
        world = self._world
        child = worker.partition(".")[0]  # a remote one that has ended
        declared = (name for name in (worker, child) if world.judge.declares(name))
        gone = any(world.find(name) is None for name in declared)
        if gone or is_of_pool(world.root, world.names, worker):
            self.drop(worker, how)
        else:
            need_worker(self._world, worker)

    def drop(self, worker: str, how: str, why: str = "no such worker") -> None:
        """Count and report a message that reaches no worker, whose sender nobody can tell."""
        self._world.drop(self._world.root, worker, how, why)

    def info(self, worker: str, message: Any) -> None:
        """Send a plain message, which a `GenServer` gets in `handle_info`; else as `cast`."""
        world = self._world
        cell = world.find(worker)
        if type(cell) is WorkerCell:
            put(world, cell, Kind.INFO, message, None, wait=True)
        else:
            self._lose(worker, "info")

    def exists(self, name: str) -> bool:
        """Return whether the tree knows the name (or path), running or not.

        Of a worker of a remote child it knows whose it is, not whether it is there.
        """
        return self._world.find(name) is not None or far_of(self._world, name) is not None

    def far(self, name: str) -> tuple[str, str] | None:
        """Return the remote child and its worker that a name stands for, as `billing.invoice`."""
        found = far_of(self._world, name)
        return None if found is None else (found[0].spec.id, found[1])

    def ask_far(self, child: str, question: bytes, timeout_s: float) -> Pending:
        """Ask a remote child itself and go on; see `ask_far` of `runtime/remote`."""
        return ask_far(self._world, child, question, timeout_s)

    def encode(self, worker: str, value: Any) -> bytes:
        """Return a value of this worker (an output, a state) as its codec writes it.

        What comes from another computer is written already.
        """
        if type(value) is Replayed:
            return value.data
        if isinstance(value, bytes) and far_of(self._world, worker) is not None:
            return value
        return written(self._world, need_worker(self._world, worker), value)

    def shown(self, worker: str, value: Any) -> str:
        """Return a state or an input of this worker as text, for people; parts as `data` has them.

        In the syntax of its codec, but for bytes of MessagePack: those are JSON.
        """
        world = self._world
        cell = need_worker(world, worker)
        codec = cell.codec or codec_of(cell)
        instead = partial(unshowable, value)
        return str(contained(world, cell, instead, shown_by, codec, value))

    def data(self, worker: str, value: Any) -> object:
        """Return a value of this worker as JSON-ready data, for records; see `jsonable`."""
        world = self._world
        cell = world.find(worker) or world.root
        return contained(world, cell, partial(unshowable, value), jsonable, value)

    def state_type(self, worker: str) -> Any:
        """Return the type of a worker's states, as its code says it; Any where nothing says it."""
        return state_type(need_worker(self._world, worker).behaviour)

    def decode(self, worker: str, data: bytes, codec: str) -> Any:
        """Return the input of a worker that bytes stand for in a named codec.

        Only the process of a worker knows its types: JSON for one elsewhere is read there.

        Raises:
            DecodeError: the bytes are none of this worker's inputs.
        """
        if codec == "json" and far_of(self._world, worker) is not None:
            return Carried(data, is_value=True)
        cell = need_worker(self._world, worker)
        value = read_as(self._world, cell, data, codec)
        if type(value) is DecodeError:
            value.worker = worker
            raise value
        return value


def shown_by(codec: Codec, value: Any) -> str:
    """Return a state or an input as text."""
    if not isinstance(codec, TextCodec):
        return msgspec.json.encode(jsonable(value)).decode()
    data = value if isinstance(value, bytes | bytearray) else show(value, state=True).encode(
        "utf-8", "backslashreplace"
    )  # fmt: skip
    return data.decode("utf-8", "backslashreplace")


def written(world: World, cell: WorkerCell, value: Any) -> bytes:
    """Return an output as its worker's codec writes it; raise `DecodeError` where it cannot.

    `contained` in one function, since each call with bytes comes here.
    """
    guard = world.guard
    within = guard.cell
    guard.cell = within or cell  # no tick ends the ticks from here on
    try:
        if not guard.armed:
            guard.arm()
        data: bytes = (cell.codec or codec_of(cell)).encode(value)
    except BaseException as error:
        guard.cell = within
        if passes_through(guard, error, inside=within is not None):
            raise
        raise unwritten(cell, error) from error
    guard.cell = within
    if type(data) is not bytes and not issubclass(type(data), bytes):
        raise unwritten(cell, TypeError())
    return data


engine_code(written)
waiting_code(written)  # a codec in C is cut when it returns


def unwritten(cell: WorkerCell, error: BaseException) -> DecodeError:
    """Return the error for an output that its worker's codec cannot write.

    Names the kind of `error` alone: its text may show what a redaction hides.
    """
    name, kind = cell.spec.id, type(error).__name__
    return DecodeError(f"{name} answered, but its codec cannot write that: {kind}", worker=name)

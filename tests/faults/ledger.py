"""A tree of ledgers in a process of its own, to be killed; and a client of it over a socket.

`main` with the arguments FOLDER and SOCKET serves lines on a Unix socket: `WORKER REQUEST N`
appends N to a ledger, and the line `ok WORKER N COUNT` comes back once it is written.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ssm_cli import FolderStore, Node, SsmError, StateMachine, Supervisor, Worker
from ssm_cli.runtime.durable import checkpoints, keeper, stored
from ssm_cli.spec.model import SupervisorSpec

WORKERS = ("l0", "l1", "l2")


class Append(msgspec.Struct, frozen=True):
    n: int


class Count(msgspec.Struct, frozen=True):
    n: int


def step(message: Append, state: list[int]) -> tuple[list[int], Count]:
    return [*state, message.n], Count(len(state) + 1)


def begin(name: str, args: Any) -> list[int]:
    return []


machine = StateMachine(step=step, init=begin, inputs=Append, outputs=Count)


def tree(snapshot_every: int = 40, keep_records: int = 30, **flags: Any) -> SupervisorSpec:
    workers = [Worker(name, machine, persist="journal", on_crash="last_good") for name in WORKERS]
    return Supervisor(
        "root",
        children=workers,
        snapshot_every=snapshot_every,
        keep_records=keep_records,
        **flags,
    )


def states(path: Path, spec: SupervisorSpec | None = None) -> dict[str, list[int]]:
    """What a tree that starts with this folder begins with; nothing is written but its start."""
    with FolderStore(path) as store:
        node = Node(tree() if spec is None else spec, store=store, guard=False)
        node.start()
        found = {name: node.get_state(name) for name in WORKERS}
        node.stop()
    return found


def dies_at(where: str, after: int) -> None:
    """Have this process killed at the `after`th time that it comes to a place."""
    left = [after]

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return call

    places: dict[str, tuple[Any, str]] = {
        "snapshot": (FolderStore, "put"),
        "compaction": (FolderStore, "trim"),
        "entry": (FolderStore, "append"),
        "recovery": (stored, "decode_entry"),
        "checkpoint": (checkpoints, "head"),
        "release": (keeper.Keeper, "_release"),
    }
    owner, name = places[where]
    setattr(owner, name, deadly(getattr(owner, name)))


async def serve(folder: Path, socket: str) -> None:
    with FolderStore(folder) as store:
        node = Node(tree(), store=store, guard=False)
        node.start()

        async def answer(line: str, writer: asyncio.StreamWriter) -> None:
            worker, request, n = line.split()
            try:
                count = await node.acall(worker, Append(int(n)), 30, request_id=request)
                writer.write(f"ok {worker} {n} {count.n}\n".encode())
            except SsmError as error:
                writer.write(f"error {worker} {n} {type(error).__name__}\n".encode())

        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with asyncio.TaskGroup() as group:
                while line := await reader.readline():
                    group.create_task(answer(line.decode(), writer))

        server = await asyncio.start_unix_server(client, socket)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async with server:
            await node.serve()


def main() -> None:
    if len(sys.argv) > 3:
        dies_at(sys.argv[3], int(sys.argv[4]))
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))

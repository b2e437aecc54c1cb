"""A node of a cluster, with its own server or another one's, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from ssm_cli.cli.cluster.access import given_access
from ssm_cli.cli.environment import Environment, state_folder
from ssm_cli.errors import NoTree
from ssm_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ssm_cli.cluster.agent.child import Child
    from ssm_cli.cluster.jetstream.embedded import Embedded
    from ssm_cli.cluster.jetstream.wire import Access
    from ssm_cli.cluster.owner.host import Job
    from ssm_cli.cluster.owner.page import LeasePage

WAIT_S = 5.0  # for a server that another node is just starting
LOOK_S = 0.05


def run_node(
    env: Environment, url: str | None, name: str, labels: dict[str, str], folder: str
) -> int:
    """Run a node until a signal ends it."""
    return asyncio.run(_node(env, url, name, labels, folder))


async def _node(
    env: Environment, url: str | None, name: str, labels: dict[str, str], folder: str
) -> int:
    from ssm_cli.cluster.agent.agent import Agent  # noqa: PLC0415 - not needed for help
    from ssm_cli.cluster.jetstream.cluster import open_cluster  # noqa: PLC0415 - as above
    from ssm_cli.cluster.jetstream.wire import need_client  # noqa: PLC0415 - as above
    from ssm_cli.cluster.ports import replicas_of  # noqa: PLC0415 - as above
    from ssm_cli.cluster.protocol.names import ADVERTS  # noqa: PLC0415 - as above

    need_client()
    stop = _stopped_by_signals()
    async with contextlib.AsyncExitStack() as closing:
        access, theirs, server = await _access(env, url, closing)
        connection = await open_cluster(access, f"node {name}")
        closing.push_async_callback(connection.close)
        shown = " ".join(f"{key}={value}" for key, value in labels.items())
        await connection.cells(ADVERTS, replicas_of(connection))
        kept = replicas_of(connection)
        leases = await open_cluster(theirs, f"leases of node {name}")
        closing.push_async_callback(leases.close)
        if server is not None:
            keeping = asyncio.ensure_future(server.keep())
            closing.callback(keeping.cancel)
        host = _host(closing, server)
        agent = Agent(
            connection, leases, theirs, name=name, labels=labels, folder=folder, host=host
        )

        def up() -> None:
            env.stderr.write(
                f"ssm: node {name} in the cluster at {access.url}, "
                f"nats-server {connection.version}, kept by {kept} server{'s' if kept > 1 else ''}"
                f"{', ' + shown if shown else ''}\n"
            )
            env.stderr.flush()

        await agent.run(stop, up)
    return ExitCode.DONE


def _stopped_by_signals() -> asyncio.Event:
    """Return what is set by a signal that ends us."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _host(
    closing: contextlib.AsyncExitStack, server: Embedded | None
) -> Callable[[Job, LeasePage], Child]:
    """Return what makes the processes of subtrees: a fork server where the system lets us."""
    from ssm_cli.cluster.agent.child import Child  # noqa: PLC0415 - not needed for help
    from ssm_cli.cluster.agent.forks import Forks  # noqa: PLC0415 - as above

    if sys.platform != "linux":
        return Child
    forks = Forks(lambda: () if server is None else (server.pid,))
    forks.open()
    closing.callback(forks.close)
    return partial(Child, begin=forks.begin)


async def _access(
    env: Environment, url: str | None, closing: contextlib.AsyncExitStack
) -> tuple[Access, Access, Embedded | None]:
    """Return the accesses of a node and of its subtrees to the named cluster.

    Without a name it is that of the embedded server, which is started if need be; to be kept.
    """
    from ssm_cli.cluster.jetstream.embedded import Embedded, running_server  # noqa: PLC0415 - as above
    from ssm_cli.cluster.protocol.roles import ClusterRole  # noqa: PLC0415 - as above

    given = given_access(env, url)
    if given is not None:
        return given, given, None
    folder = state_folder(env.environ) / "cluster"
    server = Embedded(folder, env.environ)
    closing.callback(server.stop)
    for _ in _tries():
        here = running_server(folder, ClusterRole.NODE)
        theirs = running_server(folder, ClusterRole.SUBTREE)
        if here is not None and theirs is not None:
            return here, theirs, server
        if server.take():
            await server.start()
            continue
        await asyncio.sleep(LOOK_S)
    raise NoTree(f"another process holds {folder}, and no server of it comes up")


def _tries() -> Iterator[int]:
    return iter(range(int(WAIT_S / LOOK_S)))

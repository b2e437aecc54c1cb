"""A node of a cluster, with its own server or another one's, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ssm_cli.cli.cluster.access import given_access
from ssm_cli.cli.environment import Environment, state_folder
from ssm_cli.cli.where import say
from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.agent.child import Child
from ssm_cli.cluster.agent.draining import Draining
from ssm_cli.cluster.agent.forks import Forks
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.embedded import Embedded, running_server
from ssm_cli.cluster.jetstream.wire import Access, need_client
from ssm_cli.cluster.owner.host import Job
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import replicas_of
from ssm_cli.cluster.protocol.names import ADVERTS
from ssm_cli.cluster.protocol.roles import ClusterRole
from ssm_cli.errors import NoTree
from ssm_cli.exit_codes import ExitCode

WAIT_S = 5.0  # for a server that another node is just starting
LOOK_S = 0.05
CUT_S = 1.0  # between two looks whether the cluster is reached


def run_node(
    env: Environment, url: str | None, name: str, labels: dict[str, str], **where: Any
) -> int:
    """Run a node until a signal ends it; a second one does so at once.

    Its `folder` and `drain_s` are those of the `Agent`.
    """
    return asyncio.run(_node(env, url, name, labels, **where))


async def _node(
    env: Environment, url: str | None, name: str, labels: dict[str, str], *,
    folder: str, drain_s: float,
) -> int:  # fmt: skip
    need_client()
    draining = Draining(drain_s, partial(_stays, env, name, drain_s))
    stop = _stopped_by_signals(draining)
    async with contextlib.AsyncExitStack() as closing:
        access, theirs, server = await _access(env, url, closing)
        connection = await open_cluster(access, f"node {name}")
        closing.push_async_callback(connection.close)
        await connection.cells(ADVERTS, replicas_of(connection))
        kept = replicas_of(connection)
        leases = await open_cluster(theirs, f"leases of node {name}")
        closing.push_async_callback(leases.close)
        if server is not None:
            keeping = asyncio.ensure_future(server.keep())
            closing.callback(keeping.cancel)
        agent = Agent(
            connection, leases, theirs, name=name, labels=labels, folder=folder,
            draining=draining, host=_host(closing, server),
        )  # fmt: skip
        kept_by = f"nats-server {connection.version}, kept by {kept} server{'s' * (kept > 1)}"
        shown = " ".join(f"{key}={value}" for key, value in labels.items())
        up = f"node {name} in the cluster at {access.url}, {kept_by}, {shown}".rstrip(", ")
        watching = asyncio.ensure_future(_tell_cuts(env, connection, name))
        closing.callback(watching.cancel)
        await agent.run(stop, partial(say, env, up))
    return ExitCode.DONE


async def _tell_cuts(env: Environment, connection: NatsCluster, name: str) -> None:
    """Say when the cluster is reached no more, and when it is again, until cancelled."""
    reached = True
    while True:
        await connection.time.sleep_s(CUT_S)
        if connection.connected() == reached:
            continue
        reached = not reached
        if reached:
            say(env, f"node {name} is in the cluster again")
        else:
            lost = f"node {name} has lost the cluster at {connection.urls}"
            say(env, f"{lost}; what it hosts stands still once its lease is over; it tries again")


def _stopped_by_signals(draining: Draining) -> asyncio.Event:
    """Return what is set by a signal that ends us; told again, the node waits for nothing."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _end, stop, draining.at_once)
    return stop


def _end(stop: asyncio.Event, at_once: asyncio.Event) -> None:
    (at_once if stop.is_set() else stop).set()


def _stays(env: Environment, name: str, drain_s: float, why: str) -> None:
    """Say why a subtree stays on a node that is to end."""
    ends = "waits for that" if drain_s == math.inf else f"ends after {drain_s:g} s"
    say(env, f"{why}; {name} {ends}, or at once at another signal")


def _host(
    closing: contextlib.AsyncExitStack, server: Embedded | None
) -> Callable[[Job, LeasePage], Child]:
    """Return what makes the processes of subtrees: a fork server where the system lets us."""
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
    given = given_access(env, url, ClusterRole.NODE)
    if given is not None:
        return given, given_access(env, url, ClusterRole.SUBTREE) or given, None
    folder = state_folder(env.environ) / "cluster"
    server = Embedded(folder, env.environ)
    closing.callback(server.stop)
    for _ in range(int(WAIT_S / LOOK_S)):
        here = running_server(folder, ClusterRole.NODE)
        theirs = running_server(folder, ClusterRole.SUBTREE)
        if here is not None and theirs is not None:
            return here, theirs, server
        if server.take():
            await server.start()
            continue
        await asyncio.sleep(LOOK_S)
    raise NoTree(f"another process holds {folder}, and no server of it comes up")

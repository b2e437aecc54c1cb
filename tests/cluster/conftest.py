"""Clusters for the contract suite: simulated, and NATS where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from ssm_cli.cluster.jetstream.cluster import open_cluster
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.ports import Cluster
from ssm_cli.cluster.simulated.network import Network, Process
from ssm_cli.cluster.simulated.ports import SimCluster, Switchboard
from ssm_cli.cluster.simulated.servers import Servers as SimServers
from tests.cluster.servers import Servers

Body = Callable[[Cluster, Cluster], Coroutine[Any, Any, None]]
Play = Callable[[Body], None]


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A real server for the whole run."""
    pytest.importorskip("nats", reason="the extra `cluster` is not installed")
    servers = Servers(tmp_path_factory.mktemp("nats")).start_all()
    yield servers
    servers.stop()


def simulated(body: Body) -> None:
    """Two connections to a simulated cluster, in virtual time."""
    network, servers, switchboard = Network(1), SimServers(), Switchboard()
    one, two = (SimCluster(network, Process(n), servers, switchboard) for n in ("one", "two"))
    try:
        network.complete(body(one, two))
    finally:
        network.close()


@pytest.fixture(params=["simulated", "nats"])
def play(request: pytest.FixtureRequest) -> Play:
    """Runs a test body with two connections to one cluster."""
    if request.param == "simulated":
        return simulated
    servers: Servers = request.getfixturevalue("one_server")

    def real(body: Body) -> None:
        async def main() -> None:
            one = await open_cluster(Access(servers.url), "one")
            two = await open_cluster(Access(servers.url), "two")
            try:
                await body(one, two)
            finally:
                await one.close()
                await two.close()

        asyncio.run(main())

    return real

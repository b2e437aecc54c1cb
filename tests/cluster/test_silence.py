"""Silence: what the servers deny or do not tell is said at once, by name, and changes nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import FakeLinks, ManualClock, Node, Remote, Supervisor
from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.agent.directory import Member, call, look
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.requests import append, make
from ssm_cli.cluster.jetstream.wire import access_at
from ssm_cli.cluster.ports import CallLost, ClusterError, Unknown, replicas_of
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Advert, Hosted
from ssm_cli.cluster.window import overview
from ssm_cli.errors import Denied
from ssm_cli.http.app import App, Service
from ssm_cli.http.exchange import Exchange, HttpAnswer
from ssm_cli.http.requests import About
from ssm_cli.runtime.remote.ports import Outcome
from tests.architecture.source import ROOT
from tests.cluster.servers import Servers

pytest.importorskip("nats", reason="the extra `cluster` is not installed")
PAGE = ROOT / "docs" / "how-to" / "secure-a-cluster.md"
AT_ONCE_S = 1.5  # less than any wait for an answer
TRIES = 20  # of what comes at once, as a machine may be busy
UNADVERTISED = ", no_advertise: true"


def users() -> str:
    """Return the users of the page, with passwords in place of certificates."""
    found = re.search(r"^authorization \{.*?^\}", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return re.sub(r'user: "CN=(\w+)"', r'user: "\1", password: "\1"', found[0]) + "\n"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(tmp_path_factory.mktemp("secured"), more=users()).start_all()
    yield servers
    servers.stop()


def as_user(servers: Servers, user: str) -> Coroutine[Any, Any, NatsCluster]:
    url = servers.url.replace("nats://", f"nats://{user}:{user}@")
    return open_cluster(access_at(url), user)


async def host(servers: Servers, cluster: NatsCluster, stop: asyncio.Event) -> None:
    access = access_at(servers.url)
    await Agent(cluster, cluster, access, name="n1", labels={}, folder=".").run(stop)


# -- permissions -----------------------------------------------------------------------------------


def test_who_may_look_by_the_page_sees_the_nodes(secured: Servers) -> None:
    async def main() -> None:
        node, viewer = await as_user(secured, "n1"), await as_user(secured, "viewer")
        assert await look(viewer) == []
        stop = asyncio.Event()
        agent = asyncio.ensure_future(host(secured, node, stop))
        while not await look(viewer):  # noqa: ASYNC110 - there is no event of another process
            await asyncio.sleep(0.02)
        (seen,) = await look(viewer)
        assert (seen.advert.node, seen.answers) == ("n1", True)
        stop.set()
        await agent
        await node.close()
        await viewer.close()

    asyncio.run(main())


def test_a_viewer_sees_subtrees_without_leases_and_nothing_is_said_of_that(
    secured: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def members(_cluster: object) -> list[Member]:
        return [Member(Advert("n1"), (Hosted("shop", "billing", 1, 7),), answers=True)]

    async def main() -> None:
        viewer = await as_user(secured, "viewer")
        monkeypatch.setattr(overview, "look", members)
        seen = await overview.Window(viewer).look()
        assert [(one.name, one.lease) for one in seen.subtrees] == [("billing", None)]
        assert seen.trouble == ()
        await viewer.close()

    asyncio.run(main())


def test_what_a_user_may_not_ask_is_denied_at_once_by_server_and_subject(secured: Servers) -> None:
    async def denied(client: NatsCluster, viewer: NatsCluster) -> None:
        lost = await client.calls.call("ssm.shop.ctl.billing", b"{}", 5.0)
        assert isinstance(lost, CallLost)
        assert lost.why == "denied"
        port = secured.ports[0]
        assert f"127.0.0.1:{port} does not let us publish to ssm.shop.ctl.billing" in lost.detail
        assert "secure-a-cluster" in lost.detail
        with pytest.raises(ClusterError, match="does not let us publish"):
            await look(client)
        with pytest.raises(Denied, match=r"billing\.kv: .*does not let us publish"):
            await call(viewer, "billing.kv", b"Lookup x", 5.0, tree="shop")
        cells = await viewer.cells(names.ADVERTS, 0)
        refused = await cells.cas("n2", b"{}", 0)
        assert isinstance(refused, Unknown)
        assert "does not let us publish" in refused.detail

    async def main() -> None:
        client, viewer = await as_user(secured, "client"), await as_user(secured, "viewer")
        took_s = list[float]()
        while min(took_s, default=AT_ONCE_S) >= AT_ONCE_S and len(took_s) < TRIES:
            begun_s = time.monotonic()
            await denied(client, viewer)
            took_s.append(time.monotonic() - begun_s)
        assert min(took_s) < AT_ONCE_S
        await client.close()
        await viewer.close()

    asyncio.run(main())


def test_what_a_server_refuses_names_the_server(secured: Servers) -> None:
    async def main() -> None:
        node = await as_user(secured, "n1")
        where = f"127.0.0.1:{secured.ports[0]}: "
        with pytest.raises(ClusterError, match=where):  # no stream may take these
            await make(node._wire, {"name": "X", "subjects": ["$JS.API.>"], "num_replicas": 1}, 1)
        await node.cells("X", 1)
        lost = await append(node._wire, "$KV.X.a", b"x", 0, {"Nats-Rollup": "nothing"})
        assert isinstance(lost, Unknown)
        assert lost.detail.startswith(where)
        await node.close()

    asyncio.run(main())


def test_who_may_not_listen_is_told_where(secured: Servers) -> None:
    async def main() -> None:
        client = await as_user(secured, "client")
        with pytest.raises(ClusterError, match=r"does not let us listen to ssm\.shop\.call\.\*"):
            await client.calls.serve("ssm.shop.call.*", lambda *_: None)
        await client.close()

    asyncio.run(main())


def test_a_cast_that_is_denied_is_a_line_as_nobody_waits_for_it(
    secured: Servers, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        viewer = await as_user(secured, "viewer")
        await viewer.calls.send("ssm.shop.cast.billing.kv", b"{}")
        await viewer.close()

    asyncio.run(main())
    assert "does not let us publish to ssm.shop.cast.billing.kv" in capfd.readouterr().err


def test_a_subject_that_is_denied_can_be_copied_into_the_permissions(
    secured: Servers, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client tells it in lower case, and a server tells them apart."""

    async def main() -> None:
        client = await as_user(secured, "client")
        with pytest.raises(ClusterError, match=r"to \$JS\.API\.STREAM\.CREATE\.KV_SSM_NODES;"):
            await look(client)
        lost = await client.calls.call("ssm.Shop.ctl.Billing", b"{}", 5.0)
        assert isinstance(lost, CallLost)
        assert "publish to ssm.Shop.ctl.Billing;" in lost.detail
        with pytest.raises(ClusterError, match=r"listen to ssm\.Shop\.call\.\*;"):
            await client.calls.serve("ssm.Shop.call.*", lambda *_: None)
        await client.calls.send("ssm.Shop.cast.Billing.kv", b"{}")
        await client.close()

    asyncio.run(main())
    assert "publish to ssm.Shop.cast.Billing.kv;" in capfd.readouterr().err


def test_who_cannot_be_reached_is_named(secured: Servers) -> None:
    async def main() -> None:
        node = await as_user(secured, "n1")
        lost = await node.calls.call("ssm.shop.call.nobody", b"", 1.0)
        assert isinstance(lost, CallLost)
        assert f"nobody serves ssm.shop.call.nobody at 127.0.0.1:{secured.ports[0]}" in lost.detail
        await node.close()

    asyncio.run(main())


def test_a_server_that_ends_under_a_call_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        servers = Servers(tmp_path).start_all()
        cluster = await open_cluster(access_at(servers.url), "one")
        await cluster.calls.serve("ssm.x.call.w", lambda *_: None)
        asked = asyncio.ensure_future(cluster.calls.call("ssm.x.call.w", b"", 0.5))
        await asyncio.sleep(0)
        servers.stop()
        lost, cut = await asked, await cluster.calls.call("ssm.x.call.w", b"", 0.5)
        for one in (lost, cut):
            assert isinstance(one, CallLost)
            assert f"127.0.0.1:{servers.ports[0]}" in one.detail
        await cluster.close()

    asyncio.run(main())


# -- casts -----------------------------------------------------------------------------------------


def test_a_cast_over_http_to_a_worker_of_a_remote_child_is_sent() -> None:
    heard: list[bytes] = []

    def worker(data: bytes) -> Outcome:
        heard.append(data)
        return Outcome("replied", b"")

    async def main() -> None:
        links = FakeLinks(ManualClock(), {"billing.kv": worker})
        tree = Supervisor("shop", children=[Remote("billing", "b.yaml")])
        with Node(tree, links=links) as node:
            app = App(Service(node, About()))
            path = b"/v1/workers/billing.kv/cast"
            exchange = Exchange(b"POST", path, b"", {}, b"Store x 1")
            assert app.admit(exchange) is None
            answer = app.answer(exchange)
            assert isinstance(answer, HttpAnswer)
            assert answer.status == 202

    asyncio.run(main())
    assert heard == [b"Store x 1"]


@pytest.mark.parametrize("state", ["stopped", "cut off"])
def test_a_cast_that_cannot_arrive_is_reported_as_dropped(state: str) -> None:
    links = FakeLinks(ManualClock(), {})
    tree = Supervisor("shop", children=[Remote("billing", "b.yaml", restart="temporary")])
    with Node(tree, links=links) as node:
        if state == "stopped":
            links.end("billing", "normal")
        else:
            links.link("billing", reachable=False)
        node.run(0)
        node.cast("billing.kv", b"Store x 1")
        (dropped,) = [one.detail for one in node.reports() if one.event == "dropped"]
    assert (dropped["to"], dropped["how"]) == ("billing.kv", "cast")


# -- three servers ---------------------------------------------------------------------------------


@pytest.fixture
def unadvertised(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, 3, routed=UNADVERTISED).start_all()
    yield servers
    servers.stop()


def test_three_servers_that_do_not_advertise_keep_everything_and_an_operators_changes_stay(
    unadvertised: Servers,
) -> None:
    async def main() -> None:
        one = access_at(unadvertised.url.partition(",")[0])
        cluster = await open_cluster(one, "one")
        assert cluster.size == 1
        await cluster.cells(names.ADVERTS, replicas_of(cluster))
        assert replicas_of(cluster) == 3
        await cluster.journal("shop", "billing", replicas_of(cluster))
        stream = names.stream("shop")
        config = await changed(cluster, stream, max_bytes=10_000_000)
        assert config["num_replicas"] == 3
        await changed(cluster, stream, num_replicas=1)
        other = await open_cluster(one, "other")
        await other.journal("shop", "billing", 3)
        config = await changed(other, stream)
        assert (config["num_replicas"], config["max_bytes"]) == (1, 10_000_000)
        await cluster.close()
        await other.close()

    asyncio.run(main())


async def changed(cluster: NatsCluster, stream: str, **changes: Any) -> dict[str, Any]:
    """Have an operator change a stream; return its configuration as it stands."""
    api = "$JS.API.STREAM"
    found = await cluster.calls.call(f"{api}.INFO.{stream}", b"", 5.0)
    assert isinstance(found, bytes)
    config: dict[str, Any] = msgspec.json.decode(found)["config"]
    if changes:
        body = msgspec.json.encode(config | changes)
        done = await cluster.calls.call(f"{api}.UPDATE.{stream}", body, 5.0)
        assert isinstance(done, bytes)
        assert "error" not in msgspec.json.decode(done), done
    return config

"""The embedded server comes back where it was, whoever ran it, with what it kept."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ssm_cli.cluster.jetstream import embedded
from ssm_cli.cluster.jetstream.cluster import open_cluster
from ssm_cli.cluster.jetstream.embedded import TOLD, Embedded, running_server
from ssm_cli.cluster.jetstream.wire import Access
from ssm_cli.cluster.ports import Cells
from ssm_cli.cluster.protocol.roles import ClusterRole
from ssm_cli.errors import StorageError
from tests.cluster.real.scene import children_of, command_of
from tests.cluster.test_program import Shell

pytest.importorskip("nats", reason="the extra `cluster` is not installed")
NODE = ClusterRole.NODE
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def access_in(folder: Path) -> Access:
    found = running_server(folder, NODE)
    assert found is not None
    return found


@asynccontextmanager
async def cells_at(access: Access) -> AsyncIterator[Cells]:
    cluster = await open_cluster(access, "test")
    try:
        yield await cluster.cells("SSM_NODES", 1)
    finally:
        await cluster.close()


def test_it_comes_back_with_its_port_its_passwords_and_what_it_kept(tmp_path: Path) -> None:
    async def main() -> None:
        server = Embedded(tmp_path, os.environ)
        assert server.take()
        await server.start()
        before = access_in(tmp_path)
        async with cells_at(before) as cells:
            done = await cells.cas("n1", b"kept", 0)
        server.stop()
        assert running_server(tmp_path, NODE) is None
        again = Embedded(tmp_path, os.environ)
        assert again.take()
        await again.start()
        try:
            assert access_in(tmp_path) == before
            async with cells_at(before) as cells:
                assert await cells.get("n1") == (done, b"kept")
        finally:
            again.stop()

    asyncio.run(main())


def test_where_another_program_has_its_port_it_says_where_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "SAME_S", 0.3)

    async def started() -> tuple[Embedded, str]:
        server = Embedded(tmp_path, os.environ)
        assert server.take()
        await server.start()
        return server, access_in(tmp_path).url

    server, before = asyncio.run(started())
    server.stop()
    with socket.create_server(("127.0.0.1", urlsplit(before).port or 0)):
        server, after = asyncio.run(started())
    server.stop()
    assert after != before
    said = capsys.readouterr().err
    assert f"another program listens at {before}" in said
    assert f"it is at {after} now" in said


def test_a_half_written_place_is_made_anew(tmp_path: Path) -> None:
    async def main() -> None:
        server = Embedded(tmp_path, os.environ)
        assert server.take()
        await server.start()
        server.stop()
        (tmp_path / TOLD).write_bytes(b'{"url": "na')
        assert server.take()
        await server.start()
        try:
            async with cells_at(access_in(tmp_path)) as cells:
                assert await cells.get("n1") == (0, None)
        finally:
            server.stop()

    asyncio.run(main())


# -- the program -----------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.end()


@pytest.fixture
def shop(shell: Shell) -> Shell:
    """The first node, which runs the server, and the tree."""
    shell.start("node", "--name", "n1", "--label", "zone=a")
    shell.until(lambda: len(shell.nodes()) == 1)
    shell.start("run", "shop.yaml", "--headless")
    shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
    assert shell.run("call", "billing.invoice", "Store x 1").stdout == "Ok\n"
    return shell


def second(shop: Shell) -> None:
    """Another node, which hosts the subtree from now on."""
    shop.start("node", "--name", "n2", "--label", "zone=a")
    shop.until(lambda: len(shop.nodes()) == 2)
    shop.run("move", "billing", "n2")
    shop.until(lambda: shop.tree()["billing"]["node"] == "n2")


def goes_on(shop: Shell) -> bool:
    return shop.run("call", "billing.invoice", "Lookup x").stdout == "Result 1\n"


def server_below(pid: int) -> list[int]:
    return [child for child in children_of(pid) if "server.conf" in command_of(child)]


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_first_node_ends_and_is_started_again_and_all_goes_on(
    shop: Shell, number: signal.Signals
) -> None:
    shop.running[0].send_signal(number)
    shop.running[0].wait(180)
    shop.start("node", "--name", "n1", "--label", "zone=a")
    shop.until(lambda: goes_on(shop))
    shop.until(lambda: shop.tree()["mail"]["state"] == "running")
    assert shop.running[1].poll() is None  # the tree
    assert shop.tree()["cart"]["restarts"] == 0


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_where_the_first_node_ends_another_one_runs_the_server(
    shop: Shell, number: signal.Signals
) -> None:
    second(shop)
    shop.running[0].send_signal(number)
    shop.running[0].wait(180)
    shop.until(lambda: bool(server_below(shop.running[2].pid)))
    shop.until(lambda: goes_on(shop))
    shop.until(lambda: shop.tree()["billing"]["state"] == "running")
    assert shop.tree()["billing"]["restarts"] == 0
    shop.start("node", "--name", "n1", "--label", "zone=a")
    shop.until(lambda: sum(node["state"] == "up" for node in shop.nodes()) == 2)
    assert not server_below(shop.running[3].pid)
    assert goes_on(shop)


@linux
def test_a_server_that_hangs_is_started_again(shop: Shell) -> None:
    (pid,) = server_below(shop.running[0].pid)
    os.kill(pid, signal.SIGSTOP)
    shop.until(lambda: server_below(shop.running[0].pid) not in ([], [pid]))
    shop.until(lambda: goes_on(shop))
    assert shop.tree()["billing"]["restarts"] == 0
    assert "hangs, and is started again" in (shop.folder / "log").read_text()


@linux
def test_a_server_that_is_killed_alone_is_started_again(shop: Shell) -> None:
    (pid,) = server_below(shop.running[0].pid)
    os.kill(pid, signal.SIGKILL)
    shop.until(lambda: server_below(shop.running[0].pid) not in ([], [pid]))
    shop.until(lambda: goes_on(shop))
    assert shop.tree()["billing"]["restarts"] == 0


async def taken(server: Embedded) -> None:
    assert server.take()
    await server.start()


def no_room(path: Path, *_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


@pytest.mark.parametrize("writes", ["write_private", "open_private"])
def test_a_full_disk_is_told_nothing_is_left_and_it_starts_once_there_is_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    writes: str,
) -> None:
    monkeypatch.setattr(embedded, "KEEP_S", 0.01)

    async def main() -> None:
        server = Embedded(tmp_path / "cluster", os.environ)
        with monkeypatch.context() as full:
            full.setattr(embedded, writes, no_room)
            with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
                await taken(server)
            assert server.pid == 0
            keeping = asyncio.create_task(server.keep())
            async with asyncio.timeout(60):
                while "No space left" not in capsys.readouterr().err:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
            assert not keeping.done()
        async with asyncio.timeout(60):
            while running_server(tmp_path / "cluster", NODE) is None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        keeping.cancel()
        server.stop()

    asyncio.run(main())

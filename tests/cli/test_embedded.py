"""A node embedded in an asyncio program is reached as that of `ssm run` is, and leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import Callable, Coroutine, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import (
    FolderStore,
    Node,
    SsmError,
    StartFailed,
    StateMachine,
    StorageError,
    Supervisor,
    Worker,
    asgi_app,
)
from ssm_cli.errors import CommandError
from ssm_cli.http.client.wire import Response, request_bytes
from ssm_cli.machines.kv import Lookup, Ok, Result, Store, kv_store
from tests.http.serving import Answer, answer_of, response_from

Main = Callable[[], Coroutine[Any, Any, None]]


def shop(name: str = "shop", **more: Any) -> Node:
    return Node(Supervisor("root", children=[Worker("kv", kv_store)]), name=name, **more)


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    """The environment: folders of sockets, of states and of tokens that are of this test alone."""
    names = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
    return {name: str(tmp_path) for name in names} | {"SSM_TOKEN": "t" * 32}


async def asked(
    place: Path | str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Answer:
    """The answer to a request at a Unix socket or at a URL."""
    if isinstance(place, str):
        host, port = place.split("/")[-1].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    else:
        reader, writer = await asyncio.open_unix_connection(place)
    try:
        writer.write(request_bytes("POST" if body else "GET", target, "localhost", body, headers))
        return answer_of(await response_from(reader, Response()))
    finally:
        writer.close()


async def ssm(here: dict[str, str], *words: str) -> tuple[int, str]:
    """Run the real program beside the loop: its exit code and its output."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ssm_cli", *words, env=here, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, (out + err).decode()


def sockets(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "ssm").glob("*.sock"))


def test_other_shells_find_two_nodes_of_one_process_and_end_one_of_them(
    here: dict[str, str], tmp_path: Path
) -> None:
    async def main() -> None:
        one, two = shop("one", history=100), shop("two")
        async with one.open(environ=here) as one_opened, two.open(environ=here) as opened:
            code, said = await ssm(here, "ls")
            assert code == 0
            assert [line.split()[0] for line in said.splitlines()] == ["NAME", "one", "two"]
            assert one_opened.path is not None
            body = b"Store x 1"
            assert (await asked(one_opened.path, "/v1/workers/kv/call", body))[0] == 200
            assert "Store x 1 -> Ok" in (await ssm(here, "history", "--name", "one"))[1]
            assert [one.call("kv", Lookup("x")), two.call("kv", Lookup("x"))] == [
                *(Result(1), Result(None))
            ]
            assert await ssm(here, "stop", "two") == (0, "ok\n")
            await opened.until_down()
            assert (one.running, two.running, sockets(tmp_path)) == (True, False, ["one.sock"])
        assert (one.running, sockets(tmp_path)) == (False, [])

    asyncio.run(main())


def test_http_and_metrics_are_served_to_those_with_a_token(
    here: dict[str, str], tmp_path: Path
) -> None:
    async def main() -> None:
        async with shop().open(http="127.0.0.1:0", socket=False, environ=here) as opened:
            assert sockets(tmp_path) == []
            assert opened.path is None
            assert opened.said == [f"ssm: serving {opened.url}, to those with $SSM_TOKEN"]
            token = {"Authorization": f"Bearer {here['SSM_TOKEN']}"}
            call = "/v1/workers/kv/call"
            assert (await asked(opened.url, call, b"Store x 1"))[0] == 401
            status, reply, _ = await asked(opened.url, call, b"Store x 1", headers=token)
            assert (status, reply["output"]) == (200, "Ok")
            status, text, _ = await asked(opened.url, "/metrics", headers=token)
            assert (status, b"ssm_" in text) == (200, True)

    asyncio.run(main())


def test_at_its_end_a_block_stops_what_it_has_started_and_nothing_else(
    here: dict[str, str], tmp_path: Path
) -> None:
    async def main() -> None:
        with shop() as node:
            for _ in range(2):
                async with node.open(environ=here) as opened:
                    assert opened.path is not None
                    assert (await asked(opened.path, "/health/live"))[0] == 200
                assert sockets(tmp_path) == []
                assert await node.acall("kv", Store("x", 1)) == Ok()
        async with node.open(environ=here):
            assert node.running
        assert not node.running

    asyncio.run(main())


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
def test_whatever_ends_a_block_the_tree_is_stopped_and_the_error_goes_on(
    here: dict[str, str], tmp_path: Path, error: type[BaseException]
) -> None:
    node = shop()

    async def main() -> None:
        async with node.open(environ=here):
            node.cast("kv", Store("x", 1))
            raise error

    with pytest.raises(error):
        asyncio.run(main())
    assert (node.running, sockets(tmp_path)) == (False, [])


def test_a_cancelled_block_closes_too(here: dict[str, str], tmp_path: Path) -> None:
    async def main() -> None:
        node, inside = shop(), asyncio.Event()

        async def block() -> None:
            async with node.open(environ=here):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(block())
        entered = asyncio.create_task(inside.wait())
        await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
        assert entered.done()
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), node.running, sockets(tmp_path)) == (True, False, [])

    asyncio.run(main())


def test_a_node_is_open_once_and_a_name_is_one_trees(here: dict[str, str], tmp_path: Path) -> None:
    async def main() -> None:
        node = shop()
        async with node.open(environ=here) as opened:
            node.open(environ=here)  # never entered
            with pytest.raises(SsmError, match=r"^shop is open already; open it once, around all"):
                await node.open(environ=here).__aenter__()
            with pytest.raises(SsmError, match=r"^shop is open already"):
                await opened.__aenter__()
            other = shop()
            with pytest.raises(CommandError, match=r"^a tree called shop runs.*Node\(tree, n"):
                await other.open(environ=here).__aenter__()
            assert (other.running, node.running, sockets(tmp_path)) == (False, True, ["shop.sock"])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"http": "8080"}, "http= takes HOST:PORT, as 127.0.0.1:8080, not `8080`"),
        ({"http": "0.0.0.0:0"}, "can be reached from other machines"),
        ({"tls_cert": Path("cert.pem")}, "TLS needs both"),
    ],
)
def test_wrong_listeners_are_refused_before_anything_starts(
    here: dict[str, str], tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    node = shop()
    with pytest.raises(CommandError, match=said):
        asyncio.run(node.open(environ=here, **given).__aenter__())
    assert (node.running, sockets(tmp_path)) == (False, [])


def test_a_tree_that_does_not_start_leaves_no_socket(here: dict[str, str], tmp_path: Path) -> None:
    def init(name: str, args: object) -> int:
        raise OSError(name)

    machine = StateMachine(step=lambda message, state: (state, message), init=init)
    node = Node(Supervisor("root", children=[Worker("w", machine)]))
    with pytest.raises(StartFailed, match="OSError"):
        asyncio.run(node.open(http="127.0.0.1:0", environ=here).__aenter__())
    assert sockets(tmp_path) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # that loop was closed with its sockets open
def test_a_node_goes_on_without_a_loop_that_was_closed_under_it(
    here: dict[str, str], tmp_path: Path
) -> None:
    node, loop = shop(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # of the task that is gone with it
    opened = loop.run_until_complete(node.open(environ=here).__aenter__())
    loop.close()
    assert (opened.is_open, sockets(tmp_path)) == (False, ["shop.sock"])
    assert node.call("kv", b"Store x 1") == b"Ok"

    async def main() -> None:
        async with node.open(environ=here) as again:
            assert again.path is not None
            body = b"Lookup x"
            assert (await asked(again.path, "/v1/workers/kv/call", body))[1]["output"] == "Result 1"

    asyncio.run(main())
    assert (node.running, sockets(tmp_path)) == (True, []), "it ran before the block"
    node.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
def test_what_a_closed_loop_has_left_is_closed_when_it_is_forgotten(
    here: dict[str, str], tmp_path: Path
) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(shop().open(environ=here).__aenter__())
    loop.close()
    del loop
    gc.collect()
    assert sockets(tmp_path) == []


def test_what_is_journalled_is_there_in_the_next_block(
    here: dict[str, str], tmp_path: Path
) -> None:
    tree = Supervisor("root", children=[Worker("kv", kv_store, persist="journal")])

    async def main() -> None:
        for value in (None, 1):
            with FolderStore(tmp_path / "data") as store:
                async with Node(tree, name="kept", store=store).open(environ=here) as opened:
                    assert opened.node.call("kv", Lookup("x")) == Result(value)
                    assert opened.node.call("kv", Store("x", 1)) == Ok()

    asyncio.run(main())


KEPT = """
supervisor: root
children:
  - {worker: kv, start: "ssm_cli.machines.kv:kv_store", persist: journal}
"""


def kept(name: str, store: FolderStore) -> Node:
    tree = Supervisor("root", children=[Worker("kv", kv_store, persist="journal")])
    return Node(tree, name=name, store=store)


def test_a_folder_of_another_tree_is_refused_before_anything_starts(
    here: dict[str, str], tmp_path: Path
) -> None:
    file, data = tmp_path / "kv.yaml", tmp_path / "data"
    file.write_text(KEPT)

    async def opened(name: str) -> None:
        with FolderStore(data) as store:
            async with kept(name, store).open(environ=here) as opened:
                opened.node.call("kv", Store("x", 1))

    async def run(code: int) -> str:
        run = ("run", str(file), "--quiet", "--data", str(data), "-c", "kv Lookup x")
        got, said = await ssm(here, *run)
        assert got == code, said
        return said

    async def main() -> None:
        await opened("shop")
        with pytest.raises(StorageError, match=r"node `shop`, and this is .*`desk`"):
            await opened("desk")
        with FolderStore(data) as store, pytest.raises(StorageError, match="node `desk`"):
            kept("desk", store).start()
        with FolderStore(data) as store, kept("shop", store) as node:
            assert node.call("kv", Lookup("x")).value == 1
        assert "the embedded node `shop`" in await run(74)
        assert sockets(tmp_path) == []
        await opened("shop")
        (data / "owner.json").unlink()  # as the message says
        assert "Result 1" in await run(0)
        with pytest.raises(StorageError, match=re.escape(str(file))):
            await opened("shop")
        await opened("kv")  # the name of that tree
        file.unlink()
        await opened("shop")
        with pytest.raises(StorageError, match="`shop`"):
            await opened("kv")

    asyncio.run(main())


def test_routes_are_found_where_they_are_mounted() -> None:
    async def main() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(dict(message))

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        with shop() as node:
            scope = {"type": "http", "method": "GET", "path": "/ssm/v1/tree", "root_path": "/ssm",
                     "raw_path": b"/ssm/v1/tree", "query_string": b"", "headers": []}  # fmt: skip
            await asgi_app(node)(scope, receive, send)
        return sent

    assert asyncio.run(main())[0]["status"] == 200

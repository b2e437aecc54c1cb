"""A door with TLS and clients that do not get through it: none ends the tree or locks the door.

Real sockets; on asyncio's own loop, and on uvloop where it is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.http.client.wire import request_bytes
from ssm_cli.http.parsing import Limits
from ssm_cli.http.tls import ServerTls
from tests.http.certificates import make, needs_openssl
from tests.http.proxies import hang_up
from tests.http.serving import DEADLINE_S, Served, answers_from, serve, until_closed
from tests.http.trees import wide

pytestmark = needs_openssl
QUICK = Limits(header_s=0.5, body_s=0.5, idle_s=1.0, write_s=0.5, refused_s=0.5, watch_s=0.05)
FEW = Limits(connections=4, header_s=60.0)
LIVE = request_bytes("GET", "/health/live", "localhost")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("tls"), "door")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest, pair: tuple[Path, Path]) -> Iterator[Any]:
    """Runs a test against a tree with TLS; whatever the loop reports fails it."""
    factory = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop
    reported: list[dict[str, Any]] = []

    def on_tree(what: Callable[[Served], Awaitable[None]], limits: Limits = QUICK) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: reported.append(context))
            async with serve(limits=limits, tls=ServerTls(*pair).context) as served:
                await what(served)
                assert await live(served), "the door is locked"

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    yield on_tree
    assert reported == []


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def secured(served: Served, context: ssl.SSLContext | None = None) -> Streams:
    return await asyncio.open_connection("127.0.0.1", served.port, ssl=context or trusting())


async def live(served: Served) -> bool:
    reader, writer = await secured(served)
    writer.write(LIVE)
    found = await answers_from(reader, 1)
    await hang_up(writer)
    return [answer[0] for answer in found] == [200]


def hello() -> bytes:
    """What a client of TLS sends first."""
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


# -- handshakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_a_handshake_that_does_not_end_is_cut_off(run: Any, share: float) -> None:
    async def what(served: Served) -> None:
        reader, writer = await served.connect()
        whole = hello()
        writer.write(whole[: int(len(whole) * share)])
        await until_closed(reader)
        await hang_up(writer)
        assert not served.doors[0]._greetings

    run(what)


def test_a_handshake_that_drips_is_cut_off_as_a_whole(run: Any) -> None:
    async def what(served: Served) -> None:
        reader, writer = await served.connect()
        ended = asyncio.create_task(until_closed(reader))
        for byte in hello():
            writer.write(bytes((byte,)))
            await asyncio.wait({ended}, timeout=0.01)
            if ended.done():
                break
        assert ended.done()
        await hang_up(writer)

    run(what)


def test_handshakes_that_wait_give_way_when_the_door_is_full(run: Any) -> None:
    async def what(served: Served) -> None:
        waiting = [await served.connect() for _ in range(FEW.connections * 3)]
        for _ in range(3):
            assert await live(served)
        door = served.doors[0]
        assert len(door._greetings) + len(door.state.connections) <= FEW.connections
        for _, writer in waiting:
            await hang_up(writer)

    run(what, FEW)


def test_who_speaks_plain_http_is_told_nothing_else_and_closed(run: Any) -> None:
    async def what(served: Served) -> None:
        for sent in (LIVE, LIVE * 1000, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x00" * 9):
            reader, writer = await served.connect()
            writer.write(sent)
            assert b"HTTP/" not in await until_closed(reader)
            await hang_up(writer)

    run(what)


def test_a_client_that_does_not_trust_the_certificate_leaves_nothing(run: Any) -> None:
    async def what(served: Served) -> None:
        for _ in range(3):
            with pytest.raises(ssl.SSLCertVerificationError):
                await secured(served, ssl.create_default_context())
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.set_ciphers("ECDHE-RSA-AES128-SHA256")  # not for a key of this kind
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await secured(served, old)
        await until_left(served)

    run(what)


def test_a_client_with_a_certificate_of_its_own_is_served_as_without(
    run: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    async def what(served: Served) -> None:
        mine = trusting()
        mine.load_cert_chain(*make(tmp_path, "client"))
        reader, writer = await secured(served, mine)
        writer.write(LIVE)
        assert [answer[0] for answer in await answers_from(reader, 1)] == [200]
        await hang_up(writer)

    run(what)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_client_that_resets_in_the_middle_leaves_nothing(run: Any, share: float) -> None:
    async def what(served: Served) -> None:
        for _ in range(10):
            _, writer = await served.connect()
            whole = hello()
            writer.write(whole[: int(len(whole) * share)])
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + bytes(7))
            await hang_up(writer)
        await until_left(served)

    run(what)


async def until_left(served: Served) -> None:
    door = served.doors[0]
    async with asyncio.timeout(DEADLINE_S):
        while door._greetings or door.state.connections:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


# -- connections -----------------------------------------------------------------------------------


def test_who_does_not_answer_the_end_of_tls_is_cut_off(run: Any) -> None:
    """`close` waits for the client's; nobody may keep a descriptor by not sending it."""

    async def what(served: Served) -> None:
        _, writer = await secured(served)
        writer.write(LIVE)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it sees nothing more
        await until_left(served)
        await hang_up(writer)

    run(what)


def test_a_body_that_is_refused_gets_its_answer_though_it_comes_on(run: Any) -> None:
    """TLS cannot be closed on one side alone: a reset behind the answer would lose it."""

    async def what(served: Served) -> None:
        reader, writer = await secured(served)
        size = Limits().body_bytes + 1
        writer.write(request_bytes("POST", "/v1/workers/kv1/call", "localhost", b"x" * size))
        for _ in range(20):
            writer.write(b"x" * 10_000)
            await asyncio.sleep(0)
        assert [answer[0] for answer in await answers_from(reader, 1)] == [413]
        [connection] = served.doors[0].state.connections
        assert connection.refused
        assert not connection.transport.is_closing()
        await hang_up(writer)

    run(what, Limits())


def test_a_client_that_does_not_read_is_cut_off_with_tls_too(pair: tuple[Path, Path]) -> None:
    async def main() -> None:
        tls = ServerTls(*pair).context
        async with serve(wide(2000), limits=QUICK, tls=tls) as served:
            _, writer = await secured(served)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a real one
            writer.write(request_bytes("GET", "/v1/tree", "localhost") * 50)
            await until_left(served)
            await hang_up(writer)
            assert await live(served)

    asyncio.run(main())


def test_open_connections_outlive_a_renewal_and_handshakes_under_way_end(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = (tmp_path / path.name for path in pair)
    for path, copy in zip(pair, (cert, key), strict=True):
        copy.write_bytes(path.read_bytes())
    tls = ServerTls(cert, key)

    async def main() -> None:
        async with serve(tls=tls.context, limits=Limits()) as served:
            reader, writer = await secured(served)
            writer.write(LIVE)
            assert (await answers_from(reader, 1))[0][0] == 200
            before = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            half, half_writer = await served.connect()
            half_writer.write(hello()[:50])
            for path, copy in zip(make(tmp_path, "new"), (cert, key), strict=True):
                copy.write_bytes(path.read_bytes())
            tls.reload()
            writer.write(LIVE)
            assert (await answers_from(reader, 1))[0][0] == 200
            _, later = await secured(served)
            assert later.get_extra_info("ssl_object").getpeercert(binary_form=True) != before
            half_writer.write(hello()[50:])
            assert await half.read(1)
            for one in (writer, later, half_writer):
                await hang_up(one)

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 50])
def test_a_client_that_ends_its_half_gets_what_was_written_and_nobody_is_told(
    run: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    """TLS has no half of a connection: with `close_notify` both are closed."""

    async def what(served: Served) -> None:
        call = request_bytes("POST", "/v1/workers/w0/call", "localhost", b"Store x 1")
        for sent in (LIVE, call, request_bytes("GET", "/v1/reports", "localhost")):
            await asyncio.to_thread(notify_with, served.port, sent * count)
            await until_left(served)
        reader, writer = await secured(served)
        writer.write(LIVE * count)
        assert len(await answers_from(reader, count)) == count
        await hang_up(writer)

    run(what)
    assert caplog.text == ""
    assert capsys.readouterr().err == ""


def notify_with(port: int, sent: bytes) -> None:
    """Send requests and `close_notify`, and read to the end."""
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
        contextlib.suppress(OSError),
        trusting().wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(sent)
        secure.unwrap()

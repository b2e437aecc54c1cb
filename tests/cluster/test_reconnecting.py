"""TLS connections that a server closes, or that it leaves half made: we come back, or say so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssm_cli.cluster.jetstream import wire as wires
from ssm_cli.cluster.jetstream.wire import Access, Encrypted, connect
from ssm_cli.cluster.ports import ClusterError
from tests.http.certificates import make, needs_openssl

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

INFO = (
    b'INFO {"server_id":"s","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576,'
    b'"tls_required":true}\r\n'
)
WAIT_S = 60.0


class Doorkeeper:
    """Takes TLS connections; while it `refuses`, it wants certificates that nobody has."""

    def __init__(self, folder: Path) -> None:
        self.cert, key = make(folder, "localhost")
        self.contexts = [ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for _ in range(2)]
        for context in self.contexts:
            context.load_cert_chain(self.cert, key)
        self.contexts[True].verify_mode = ssl.CERT_REQUIRED
        self.refuses = False
        self.refused = 0
        self.taken: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        try:
            await writer.start_tls(self.contexts[self.refuses])
        except (OSError, ssl.SSLError):
            self.refused += 1
            return
        self.taken.append(writer)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")


@contextmanager
def quiet_about_cut_handshakes() -> Iterator[None]:
    """A block in which the loop reports nothing: the fake server is cut off while it serves."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    yield


@needs_openssl
def test_a_server_that_closes_encrypted_connections_for_a_while_is_found_again(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        keeper = Doorkeeper(tmp_path)
        server = await asyncio.start_server(keeper.serve, "localhost", 0)
        port = server.sockets[0].getsockname()[1]
        with quiet_about_cut_handshakes():
            wire = await connect(Access(f"tls://localhost:{port}", ca=str(keeper.cert)), "t")
            keeper.refuses = True
            keeper.taken[0].transport.abort()
            async with asyncio.timeout(WAIT_S):
                while keeper.refused < 3:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.01)
                keeper.refuses = False
                while len(keeper.taken) < 2 or not wire.connected:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
            await wire.close()
            server.close()

    asyncio.run(main())


def test_a_connection_that_is_lost_at_the_end_of_its_handshake_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nats.aio.transport import TcpTransport  # noqa: PLC0415 - of the extra

    async def lost(transport: Any) -> None:
        transport._io_writer = SimpleNamespace(  # as the library leaves it
            transport=SimpleNamespace(get_protocol=lambda: None)
        )

    monkeypatch.setattr(TcpTransport, "connect_tls", lost)
    transport: Any = TcpTransport  # its own `__init__` has no types
    found = Encrypted(transport()).connect_tls()
    with pytest.raises(OSError, match="as soon as it is encrypted"):  # which the library passes
        asyncio.run(found)


class InTheClear:
    """Takes connections without TLS, and notes what it is sent."""

    def __init__(self) -> None:
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO.replace(b'"tls_required":true', b'"tls_available":true'))
        while line := await reader.readline():
            self.heard += line
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()


@pytest.mark.parametrize("scheme", ["tls", "nats"])
@needs_openssl
def test_a_server_without_tls_is_told_nothing_where_tls_is_asked_for(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent the password: whoever stands between had but to say that there is no TLS."""
    monkeypatch.setattr(wires, "TRYING_S", 1.0)
    certificate, _ = make(tmp_path, "localhost")

    async def main() -> bytes:
        fake = InTheClear()
        server = await asyncio.start_server(fake.serve, "localhost", 0)
        port = server.sockets[0].getsockname()[1]
        access = Access(f"{scheme}://localhost:{port}", ca=str(certificate), password=scheme)
        with pytest.raises(ClusterError, match=r"offers no TLS.*secure-a-cluster"):
            await connect(access, "t")
        server.close()
        return fake.heard

    assert asyncio.run(main()) == b""


@needs_openssl
def test_a_server_that_has_lost_its_tls_is_told_nothing_either(tmp_path: Path) -> None:
    async def main() -> bytes:
        keeper, fake = Doorkeeper(tmp_path), InTheClear()
        server = await asyncio.start_server(keeper.serve, "localhost", 0)
        port = server.sockets[0].getsockname()[1]
        with quiet_about_cut_handshakes():
            wire = await connect(Access(f"tls://localhost:{port}", ca=str(keeper.cert)), "t")
            server.close()
            keeper.taken[0].transport.abort()
            came = asyncio.Event()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                came.set()
                await fake.serve(reader, writer)

            instead = await asyncio.start_server(serve, "localhost", port)
            for _ in range(2):  # the second time it has come back: the first one has ended
                await asyncio.wait_for(came.wait(), WAIT_S)
                came.clear()
            assert not wire.connected
            await wire.close()
            instead.close()
        return fake.heard

    assert asyncio.run(main()) == b""


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet, and let everybody wait for the handshake."""
    try:
        writer.write(INFO)
        while await reader.read(1024):
            pass
    finally:
        writer.close()


@needs_openssl
def test_a_server_that_never_ends_the_handshake_leaves_time_for_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        keeper = Doorkeeper(tmp_path)
        with quiet_about_cut_handshakes():
            stuck = await asyncio.start_server(silent, "localhost", 0)
            server = await asyncio.start_server(keeper.serve, "localhost", 0)
            first, second = (s.sockets[0].getsockname()[1] for s in (stuck, server))
            urls = ",".join([f"tls://localhost:{first}"] * 3 + [f"tls://localhost:{second}"])
            wire = await connect(Access(urls, ca=str(keeper.cert)), "t")
            assert wire.connected
            await wire.close()
            for one in (stuck, server):
                one.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wires, "TRYING_S", WAIT_S)
        patch.setattr(wires, "CONNECT_S", 0.5)
        asyncio.run(main())


def test_an_attempt_that_ends_within_a_handshake_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "TRYING_S", 0.5)

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet so late that the time of the attempt is over before that of the handshake."""
        await asyncio.sleep(0.4)
        await silent(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(late, "localhost", 0)
        port = server.sockets[0].getsockname()[1]
        with quiet_about_cut_handshakes(), pytest.raises(ClusterError, match="no cluster at"):
            await connect(Access(f"tls://localhost:{port}"), "t")
        server.close()

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


def test_an_attempt_whose_cancellation_was_lost_ends_with_its_next_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nats.aio.client import Client  # noqa: PLC0415 - of the extra

    monkeypatch.setattr(wires, "TRYING_S", 0.05)

    async def deaf(self: Any, server: Any) -> None:
        """Lose the cancellation, as a `wait_for` of Python 3.11 does when it is done by then."""
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            raise OSError("refused") from None

    monkeypatch.setattr(Client, "_connect_to_server", deaf)
    with pytest.raises(ClusterError, match="no cluster at nats://h:1: TimeoutError"):
        asyncio.run(asyncio.wait_for(connect(Access("nats://h:1"), "t"), WAIT_S))

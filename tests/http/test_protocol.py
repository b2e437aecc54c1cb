"""HTTP/1.1 as clients and proxies speak it: each quirk, with real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import pytest

from ssm_cli.commands.routes import Role
from ssm_cli.http.access import Gate
from ssm_cli.http.client.wire import request_bytes
from ssm_cli.http.exchange import Exchange, HttpAnswer
from ssm_cli.http.parsing import Limits
from ssm_cli.http.protocol import HttpProtocol, Shared
from tests.http.serving import Answer, Served, answers_from, serve, until_closed
from tests.http.trees import wide

TOKEN = "caller" * 4
GATE = Gate({TOKEN: Role.CALL})
BEARER = f"authorization: Bearer {TOKEN}\r\n".encode()
POST = b"POST /v1/workers/kv1/call HTTP/1.1\r\nhost: localhost\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
STORE = b"content-length: 9\r\n\r\nStore x 1"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n9\r\nStore x 1\r\n0\r\n"


def talk(*pieces: bytes, count: int = 1, gate: Gate | None = None) -> tuple[list[Answer], object]:
    """The answers of a tree of its own, and the state of kv1 afterwards."""

    async def main() -> tuple[list[Answer], object]:
        async with serve(gate=gate) as served:
            found = await served.talk(*pieces, count=count)
            return found, served.node.get_state("kv1")

    return asyncio.run(main())


def statuses(*pieces: bytes, count: int = 1, gate: Gate | None = None) -> list[int]:
    return [answer[0] for answer in talk(*pieces, count=count, gate=gate)[0]]


# -- trailers --------------------------------------------------------------------------------------


def test_trailers_are_dropped() -> None:
    found, state = talk(POST + CHUNKED + b"x-a: b\r\ncontent-type: application/json\r\n\r\n" + LIVE,
                        count=2)  # fmt: skip
    assert [answer[0] for answer in found] == [200, 200]
    assert state == {"x": 1}


def test_a_token_in_a_trailer_lets_nobody_in() -> None:
    assert statuses(POST + CHUNKED + BEARER + b"\r\n", gate=GATE) == [401]


@pytest.mark.parametrize(
    "trailers",
    [b"".join(b"x%d: y\r\n" % n for n in range(5000)), b"x: " + b"y" * 60_000],
    ids=["many", "one without end"],
)
def test_trailers_are_bounded_in_bytes(trailers: bytes) -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(POST + CHUNKED)
            for at in range(0, len(trailers), 4096):
                await served.answered_elsewhere()
                writer.write(trailers[at : at + 4096])
            (answer,) = await answers_from(reader, 1)
            assert answer[0] == 431
            assert served.node.get_state("kv1") == {}
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("extension", [b";a=" + b"b" * 60_000, b";a" * 30_000])
def test_extensions_of_chunks_are_bounded_in_bytes(extension: bytes) -> None:
    head = POST + b"transfer-encoding: chunked\r\n\r\n9"
    assert statuses(head, extension[:30_000], extension[30_000:]) == [431]
    assert statuses(head + b";a=b\r\nStore x 1\r\n0;c\r\n\r\n") == [200]


# -- other protocols -------------------------------------------------------------------------------

UPGRADE = (
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    b"http2-settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
)


@pytest.mark.parametrize("body", [STORE, CHUNKED + b"\r\n"], ids=["length", "chunked"])
@pytest.mark.parametrize("at", [0, 5, -4], ids=["whole", "early", "late"])
def test_a_request_that_asks_for_http2_is_served_as_http1_with_its_body(
    body: bytes, at: int
) -> None:
    sent = POST + UPGRADE + body
    found, state = talk(sent[:at], sent[at:] + LIVE + LIVE, count=3)
    assert [answer[0] for answer in found] == [200, 200, 200]
    assert "upgrade" not in found[0][2]
    assert state == {"x": 1}


def test_what_follows_an_upgrade_without_a_body_is_a_request() -> None:
    asked = (
        b"GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    assert statuses(asked + asked + LIVE, count=3) == [200, 200, 200]
    assert statuses(asked, b"", asked, LIVE, count=3) == [200, 200, 200]


@pytest.mark.parametrize("name", [b"proxy-connection", b"connection", b"Proxy-Connection"])
@pytest.mark.parametrize("value", [b"upgrade", b"close, Upgrade", b"keep-alive, upgrade"])
def test_however_another_protocol_is_asked_for_the_answer_is_one_of_http1(
    name: bytes, value: bytes
) -> None:
    head = b"GET /health/live HTTP/1.1\r\nhost: a\r\n%s: %s\r\nupgrade: x\r\n\r\n" % (name, value)
    assert statuses(head) == [200]


@pytest.mark.parametrize("target", [b"/x", b"*", b"a:1", b"http://a/x", b"/v1/workers"])
def test_connect_is_refused_whatever_its_target(target: bytes) -> None:
    assert statuses(b"CONNECT %s HTTP/1.1\r\nhost: localhost\r\n\r\nmore" % target) in (
        [405],
        [400],
    )


def test_a_cast_that_asks_for_http2_is_not_lost() -> None:
    cast = b"POST /v1/workers/kv1/cast HTTP/1.1\r\nhost: localhost\r\n" + UPGRADE + STORE
    found, state = talk(cast)
    assert (found[0][0], state) == (202, {"x": 1})


def test_this_is_no_proxy() -> None:
    assert statuses(b"CONNECT localhost:22 HTTP/1.1\r\nhost: localhost:22\r\n\r\nSSH-2.0") == [405]
    assert statuses(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == [400]


# -- answers and bodies ----------------------------------------------------------------------------


def test_an_answer_that_needs_no_body_comes_before_it_and_the_connection_goes_on() -> None:
    head = b"GET /health/live HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"

    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(head)
            assert [a[0] for a in await answers_from(reader, 1)] == [200]
            writer.write(b"Store x 1" + LIVE + POST + STORE)
            assert [a[0] for a in await answers_from(reader, 2)] == [200, 200]
            assert served.node.statistics("kv1").steps == 1
            writer.close()

    asyncio.run(main())


def test_a_refusal_comes_before_the_body_which_is_never_a_request() -> None:
    inside = b"GET /v1/tree HTTP/1.1\r\nhost: localhost\r\n" + BEARER + b"\r\n"
    head = POST + b"content-length: %d\r\n\r\n" % len(inside)
    last = LIVE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert statuses(head, inside + last, count=9, gate=GATE) == [401, 200]


@pytest.mark.parametrize("coding", [b"content-length: 2000000\r\n\r\n",
                                    b"transfer-encoding: chunked\r\n\r\n200000\r\n"])  # fmt: skip
def test_a_body_that_nobody_wants_is_read_to_its_bound_only(coding: bytes) -> None:
    async def main() -> None:
        async with serve(gate=GATE) as served:
            reader, writer = await served.connect()
            writer.write(POST + coding + b"x" * 2_000_000)
            seen = await until_closed(reader)
            assert seen.startswith(b"HTTP/1.1 401 ")
            assert seen.count(b"HTTP/1.1") == 1
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("size", [100, 4000])
def test_250_requests_with_bodies_sent_ahead_are_all_answered_in_order(size: int) -> None:
    texts = [f"Store k{number}{'x' * size} {number}".encode() for number in range(125)]
    asks = [b"Lookup k%d%s" % (number, b"x" * size) for number in range(125)]
    sent = b"".join(
        request_bytes("POST", "/v1/workers/kv1/call", "localhost", text)
        for pair in zip(texts, asks, strict=True) for text in pair
    )  # fmt: skip

    async def main() -> None:
        limits = Limits(header_s=0.2, body_s=0.2, watch_s=0.05)
        async with serve(limits=limits) as served:
            found = await served.talk(sent, count=250)
            outputs = [answer[1].get("output") for answer in found]
            assert outputs == [word for n in range(125) for word in ("Ok", f"Result {n}")]

    asyncio.run(main())


def test_requests_sent_ahead_of_one_that_waits_are_bounded_in_bytes_and_all_answered() -> None:
    """Reading stops while too much is ahead; it goes on, and no time-out counts meanwhile."""
    big = request_bytes("POST", "/v1/workers/kv2/call", "localhost", b"Store x" + b" " * 100_000)
    slow = request_bytes("POST", "/v1/workers/kv1/call", "localhost", b"Store x 1")
    limits = Limits(ahead_bytes=300_000, header_s=0.4, body_s=0.4, watch_s=0.02)

    async def main() -> None:
        async with serve(limits=limits) as served:
            served.node.suspend("kv1")
            reader, writer = await served.connect()
            writer.write(slow + big * 100)
            for _ in range(20):
                await served.answered_elsewhere()
            connection = max(served.doors[0].state.connections, key=lambda c: c.busy)
            assert not connection.transport.is_reading()
            assert sum(len(x.body) for x in connection._ready) < 1_000_000
            await asyncio.sleep(0.8)  # twice the time that a request may take
            served.node.resume("kv1")
            assert [a[0] for a in await answers_from(reader, 101)] == [200, *[400] * 100]
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("sent", [30, -1], ids=["a head", "a body"])
def test_time_in_which_the_process_was_stopped_is_not_the_clients_fault(sent: int) -> None:
    """As after SIGSTOP and SIGCONT, or the sleep of a laptop: the rest may come as ever."""
    limits = Limits(header_s=0.4, body_s=0.4, watch_s=0.02)
    request = request_bytes("POST", "/v1/workers/kv1/call", "localhost", b"Store x 1")

    async def main() -> None:
        async with serve(limits=limits) as served:
            reader, writer = await served.connect()
            writer.write(request[:sent])
            await served.answered_elsewhere()
            time.sleep(1.0)  # noqa: ASYNC251 - the loop stands still
            await served.answered_elsewhere()
            writer.write(request[sent:])
            assert (await answers_from(reader, 1))[0][0] == 200
            writer.close()

    asyncio.run(main())


# -- methods, targets, headers ---------------------------------------------------------------------


WELL = b'{"v":1,"type":"health","status":"ok"}'


def test_head_is_get_without_the_body() -> None:
    head = LIVE.replace(b"GET", b"HEAD")

    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(head + head + head.replace(b"/health/live", b"/v1/reports") + POST + STORE)
            writer.write_eof()
            seen = await until_closed(reader)
            assert seen.count(b"content-length: %d" % len(WELL)) == 2
            assert seen.count(b"health") == 0
            assert seen.count(b"text/event-stream") == 1
            assert seen.rpartition(b"\r\n\r\n")[2].startswith(b'{"v":1,"type":"reply"')
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"bearer {TOKEN}", 200),
        (f"BEARER   {TOKEN}  ", 200),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer\xa0{TOKEN}", 401),
        ("Bearer", 401),
    ],
)
def test_the_scheme_of_a_token_has_no_case(given: str, status: int) -> None:
    header = f"authorization: {given}\r\n".encode("latin-1")
    assert statuses(POST + header + STORE, gate=GATE) == [status]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/tree HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n", 400),
        (b"GET /v1/tree HTTP/1.1\r\nhost: localhost\r\nHost: localhost\r\n", 400),
        (b"GET /v1/tree HTTP/1.1\r\n", 400),
        (b"GET /v1/tree HTTP/1.0\r\n", 403),
        (b"GET http://evil.example/v1/tree HTTP/1.1\r\nhost: localhost\r\n", 403),
        (b"GET http://evil.example HTTP/1.1\r\nhost: localhost\r\n", 403),
        (b"GET HTTP://user@localhost/v1/tree HTTP/1.1\r\nhost: localhost\r\n", 403),
        (b"GET http://localhost:80/v1/tree HTTP/1.1\r\nhost: evil.example\r\n", 200),
        (b"GET http:/v1/tree HTTP/1.1\r\nhost: localhost\r\n", 400),
        (b"GET //evil.example/v1/tree HTTP/1.1\r\nhost: localhost\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n", 404),
    ],
)
def test_there_is_one_host_and_that_of_the_target_comes_first(sent: bytes, status: int) -> None:
    assert statuses(sent + BEARER + b"\r\n", gate=GATE) == [status]


BAD_PORTS = (
    "localhost:", "localhost:0", "localhost:65536", "localhost:99999", "localhost:000080",
    "localhost:abc", "localhost:+80", "localhost:-1", "localhost:8_0", "localhost:8 0",
    "localhost:80x", "localhost:\xb2", ":", "127.0.0.1:x", "[::1]:", "[::1]:x", "[::1]80", "::1x",
)  # fmt: skip


@pytest.mark.parametrize("gate", [GATE, None], ids=["TCP", "Unix"])
@pytest.mark.parametrize("host", BAD_PORTS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_host_whose_port_is_none_is_refused_at_every_door(
    gate: Gate | None, host: str, version: str
) -> None:
    head = f"GET /v1/tree HTTP/{version}\r\nhost: {host}\r\n".encode("latin-1")
    assert statuses(head + BEARER + b"\r\n", gate=gate) == [400]


def test_the_port_of_an_absolute_target_is_checked_as_that_of_a_host() -> None:
    head = b"GET http://localhost:99999/v1/tree HTTP/1.1\r\nhost: localhost\r\n"
    assert statuses(head + BEARER + b"\r\n", gate=GATE) == [400]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]", "[::1]:80"]
)
def test_a_host_with_a_good_port_or_none_is_served(host: str) -> None:
    head = f"GET /v1/tree HTTP/1.1\r\nhost: {host}\r\n".encode()
    assert statuses(head + BEARER + b"\r\n", gate=GATE) == [200]


@pytest.mark.parametrize(
    "host", ["localhost:80:80", "[::1]x:80", "[::1:80", "::1", "::1:80", ":80"]
)
def test_a_host_that_only_begins_as_ours_is_foreign(host: str) -> None:
    head = f"GET /v1/tree HTTP/1.1\r\nhost: {host}\r\n".encode()
    assert statuses(head + BEARER + b"\r\n", gate=GATE) == [403]


@pytest.mark.parametrize("name", [b"authorization", b"content-type", b"idempotency-key", b"origin"])
def test_a_header_that_decides_is_given_once(name: bytes) -> None:
    twice = b"%s: text/plain\r\n%s: application/json\r\n" % (name, name.upper())
    assert statuses(POST + twice + STORE) == [400]


CODED = b"9\r\nStore x 1\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + CODED, 501),
        (POST + b"transfer-encoding: Chunked\r\n\r\n" + CODED, 200),
        (POST + b"te: gzip, chunked\r\ntransfer-encoding: chunked\r\n\r\n" + CODED, 200),
        (POST + b"transfer-encoding: chunked, gzip\r\n\r\n" + CODED, 400),
        (POST + b"transfer-encoding: identity\r\n\r\n" + CODED, 501),
        (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n" + CODED, 400),
        (POST + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n" + CODED, 400),
        (POST + b"transfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n" + CODED, 400),
        (POST + b"content-length: 9\r\ncontent-length: 9\r\n\r\nStore x 1", 400),
        (POST + b"content-length: -9\r\n\r\nStore x 1", 400),
        (POST + b"content-length: +9\r\n\r\nStore x 1", 400),
        (POST + b"content-length: 9, 9\r\n\r\nStore x 1", 400),
        (POST + b"content-length: 0x9\r\n\r\nStore x 1", 400),
        (POST + b"content-length: 99999999999999999999999\r\n\r\nStore x 1", 400),
        (POST + b"content-length: 9999999999\r\n\r\nStore x 1", 413),
        (POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n" + CODED, 400),
        (POST + b"expect: a-miracle\r\n" + STORE, 417),
        (POST + b"x: a\r\n b\r\n" + STORE, 400),
        (POST.replace(b"\r\n", b"\n") + b"content-length: 9\n\nStore x 1", 400),
        (POST + b"x: a\n" + STORE, 400),
        (POST + b"x: a\rb: c\r\n" + STORE, 400),
        (POST + b"x : a\r\n" + STORE, 400),
        (POST + b"x: a\0b\r\n" + STORE, 400),
        (POST + b"transfer-encoding: chunked\r\n\r\n9\nStore x 1\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\n9 \r\nStore x 1\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\n-1\r\nStore x 1\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nStore x 1", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, 400),
        (b"\r\n\r\n" + POST + STORE, 200),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(sent: bytes, status: int) -> None:
    found, state = talk(sent)
    assert found[0][0] == status, found
    assert state == ({"x": 1} if status == 200 else {})
    if status != 200:
        assert found[0][1]["error"]["message"]
        assert found[0][2]["connection"] == "close"


def test_http_1_0_closes_unless_it_asks_not_to() -> None:
    old = b"POST /v1/workers/kv1/call HTTP/1.0\r\n"

    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(old + b"connection: keep-alive\r\n" + STORE)
            (answer,) = await answers_from(reader, 1)
            assert (answer[0], answer[2]["connection"]) == (200, "keep-alive")
            writer.write(old + STORE + LIVE)
            seen = await until_closed(reader)
            assert seen.count(b"HTTP/1.1 200") == 1
            writer.close()

    asyncio.run(main())


def test_a_stream_for_http_1_0_ends_with_the_connection() -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            head, _, body = (await until_closed(reader)).partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head
            assert body.startswith(b"# HELP ssm_steps_total Steps\n")
            writer.close()

    asyncio.run(main())


# -- Expect ----------------------------------------------------------------------------------------


def test_the_body_is_asked_for_once_the_request_is_admitted() -> None:
    async def main() -> None:
        async with serve(gate=GATE) as served:
            reader, writer = await served.connect()
            head = POST + BEARER + b"expect: 100-continue\r\ncontent-length: 9\r\n\r\n"
            for _ in range(2):
                writer.write(head)
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"Store x 1")
                assert [a[0] for a in await answers_from(reader, 1)] == [200]
            writer.write(head + b"Store x 2")  # it does not wait
            assert [a[0] for a in await answers_from(reader, 1)] == [200]
            writer.close()

    asyncio.run(main())


def test_who_is_refused_is_not_asked_for_the_body() -> None:
    async def main() -> None:
        async with serve(gate=GATE) as served:
            reader, writer = await served.connect()
            writer.write(POST + b"expect: 100-continue\r\ncontent-length: 9\r\n\r\n")
            seen = await until_closed(reader)
            assert seen.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" in seen
            writer.close()

    asyncio.run(main())


def test_the_body_of_a_request_sent_ahead_is_asked_for_in_its_turn() -> None:
    async def main() -> None:
        async with serve() as served:
            served.node.suspend("kv1")
            reader, writer = await served.connect()
            expects = POST.replace(b"kv1", b"kv2") + b"expect: 100-continue\r\n"
            writer.write(POST + STORE + expects + b"content-length: 9\r\n\r\n")
            await served.answered_elsewhere()
            served.node.resume("kv1")
            seen = b""
            while b"100 Continue" not in seen:
                seen += await reader.read(4096)
            assert seen.index(b"HTTP/1.1 200") < seen.index(b"HTTP/1.1 100")
            writer.write(b"Store x 1")
            assert [a[0] for a in await answers_from(reader, 1)] == [200]
            writer.close()

    asyncio.run(main())


# -- ends ------------------------------------------------------------------------------------------


def test_who_closes_the_sending_half_still_gets_the_answers() -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            served.node.suspend("kv1")
            writer.write(LIVE + POST + STORE + LIVE)
            writer.write_eof()
            await served.answered_elsewhere()
            served.node.resume("kv1")
            assert [a[0] for a in await answers_from(reader, 4)] == [200, 200, 200]
            assert await until_closed(reader) == b""
            writer.close()

    asyncio.run(main())


def test_a_reader_of_reports_who_closes_the_sending_half_has_gone() -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(request_bytes("GET", "/v1/reports", "localhost"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.write_eof()
            await until_closed(reader)
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "sent",
    [b"", b"x", POST, POST + b"content-length: 9\r\n\r\nSto", POST + STORE,
     request_bytes("GET", "/v1/reports", "localhost"), LIVE * 200],
)  # fmt: skip
def test_a_reset_at_any_moment_hurts_nobody(sent: bytes) -> None:
    async def main() -> None:
        failed: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failed.append(context))
        async with serve() as served:
            for _ in range(20):
                await reset(served, sent)
            await served.answered_elsewhere()
            while len(served.doors[0].state.connections) > 1:  # noqa: ASYNC110 - it has no event for it
                await asyncio.sleep(0)
        assert failed == []

    asyncio.run(main())


async def reset(served: Served, sent: bytes) -> None:
    """Send something and reset the connection."""
    _, writer = await served.connect()
    sock: socket.socket = writer.get_extra_info("socket")
    writer.write(sent)
    await asyncio.sleep(0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def test_a_large_answer_is_not_kept_for_who_does_not_read() -> None:
    """As it is made in parts, a connection holds some of them at a time."""

    async def main() -> None:
        limits = Limits(write_s=0.2, watch_s=0.05)
        async with serve(wide(3000), limits=limits) as served:
            _, writer = await served.connect()
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a real transport
            writer.write(request_bytes("GET", "/v1/tree", "localhost") * 200)
            most = 0
            while served.doors[0].state.connections:
                for connection in served.doors[0].state.connections:
                    most = max(most, connection.transport.get_write_buffer_size())
                await asyncio.sleep(0)
            assert 0 < most < 300_000
            await served.answered_elsewhere()
            writer.close()

    asyncio.run(main())


class Lost(asyncio.Transport):
    """A transport that is closed: to abort it fails, as that of asyncio does then."""

    def __init__(self) -> None:
        super().__init__()
        self.is_lost = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_lost

    def is_closing(self) -> bool:
        return self.is_lost

    def abort(self) -> None:
        assert not self.is_lost, "a connection that is lost was aborted"


class Waiting:
    """An application whose answers never come; to drop one that was not begun is a warning."""

    def admit(self, _exchange: Exchange) -> None:
        """Refuse nothing."""

    async def answer(self, _exchange: Exchange) -> HttpAnswer:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never


def test_a_connection_that_is_lost_during_an_answer_is_not_touched_again() -> None:
    told: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        transport = Lost()
        protocol = HttpProtocol(Shared(Waiting(), Limits(), loop))
        protocol.connection_made(transport)
        protocol.data_received(LIVE)
        assert protocol.busy
        transport.is_lost = True
        protocol.connection_lost(None)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert told == []

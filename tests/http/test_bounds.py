"""Bounds and framing hold whatever the names of headers are, and however the bytes are cut."""

from __future__ import annotations

import asyncio

import pytest

from ssm_cli.http.client.wire import request_bytes
from tests.http.serving import answers_from, serve, until_closed
from tests.http.test_protocol import LIVE, POST, STORE, statuses

WHOLE = 1 << 20
CUTS = pytest.mark.parametrize("cut", [WHOLE, 16_000, 700])
BODY = b"9\r\nStore x 1\r\n0\r\n"
IN_CHUNKS = b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"


def cut_up(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@CUTS
@pytest.mark.parametrize(
    "sent",
    [
        GET + b"A: b\r\n" * 150 + b"\r\n",
        GET + b"a: b\r\nA: b\r\n" * 60 + b"\r\n",
        GET + (b"A: " + b"b" * 100 + b"\r\n") * 98 + b"A: " + b"b" * 9000 + b"\r\n\r\n",
        GET + (b"A: " + b"b" * 100 + b"\r\n") * 400 + b"\r\n",
        GET + b"A:" + b" " * 20_000 + b"b\r\n\r\n",
        GET + b"A: b" + b" " * 20_000 + b"\r\n\r\n",
        LIVE.replace(b" HTTP", b"?" + b"a" * 17_000 + b" HTTP"),
        POST + b"transfer-encoding: chunked\r\n\r\n9;a=" + b"b" * 100_000 + BODY[1:] + b"\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n9;a=" + b"b" * 17_000 + BODY[1:] + b"\r\n",
        POST + IN_CHUNKS + BODY[:-2] + b";a=" + b"b" * 17_000 + b"\r\n\r\n",
        POST + IN_CHUNKS + BODY + b"a: " + b"b" * 17_000 + b"\r\n\r\n",
        POST + IN_CHUNKS + BODY + b"a: b\r\n" * 4000 + b"\r\n",
        POST + IN_CHUNKS + BODY + (b"a:" + b" " * 9000 + b"b\r\n") * 3 + b"\r\n",
    ],
)
def test_more_than_is_promised_is_refused_with_431(sent: bytes, cut: int) -> None:
    (*before, last) = statuses(*cut_up(sent, cut), count=1)
    assert (before, last) == ([], 431)


@CUTS
@pytest.mark.parametrize(
    "sent",
    [
        GET + b"A: b\r\n" * 99 + b"\r\n",
        GET + b"A: " + b"b" * 16_000 + b"\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n9;a=" + b"b" * 15_000 + BODY[1:] + b"\r\n",
        POST + IN_CHUNKS + BODY + b"a: b\r\n" * 2000 + b"\r\n",
        POST + IN_CHUNKS + b"1;a=bcdef\r\nS\r\n" + b"8\r\ntore x 1\r\n0\r\n\r\n",
    ],
)
def test_what_is_within_the_bounds_is_served_and_so_is_what_follows(sent: bytes, cut: int) -> None:
    assert statuses(*cut_up(sent + LIVE, cut), count=2) == [200, 200]


def test_a_body_of_1_mib_is_read_and_what_follows_it() -> None:
    large = b"Store x " + b"1" * ((1 << 20) - 8)
    head = POST + b"content-length: %d\r\n\r\n" % len(large)
    assert statuses(head + large + LIVE, count=2)[1] == 200


@pytest.mark.parametrize("digits", [20, 100, 5000])
def test_a_length_of_too_many_digits_is_refused(digits: int) -> None:
    head = POST + b"content-length: " + b"0" * digits + b"\r\n\r\n"
    assert statuses(head) == [413]


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"transfer-encoding: identity\r\nTRANSFER-ENCODING: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nA: b\r\ntRANSFER-eNCODING: identity\r\n",
        b"Content-Length: 9\r\ncontent-length: 9\r\n",
        b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: \r\n",
        b"Transfer-Encoding: identity\r\n",
    ],
)
def test_framing_that_could_be_read_in_two_ways_is_refused(framing: bytes) -> None:
    (status,) = statuses(POST + framing + b"\r\n" + BODY + b"\r\n")
    assert status in (400, 501)


@pytest.mark.parametrize("name", [b"Transfer-Encoding: chunked", b"CONTENT-length: 3"])
def test_framing_is_no_trailer(name: bytes) -> None:
    assert statuses(POST + IN_CHUNKS + BODY + name + b"\r\n\r\n") == [400]


@pytest.mark.parametrize("waits", [False, True], ids=["under way", "not yet begun"])
def test_a_call_behind_reports_is_answered_when_the_reader_closes_its_half(*, waits: bool) -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            reports = request_bytes("GET", "/v1/reports", "localhost")
            if waits:
                served.node.suspend("kv1")
                reports = POST + b"content-length: 8\r\n\r\nLookup y" + reports
            writer.write(reports + POST + STORE)
            await served.answered_elsewhere()
            writer.write_eof()
            await served.answered_elsewhere()
            served.node.resume("kv1")
            seen = await until_closed(reader)
            assert b"0\r\n\r\nHTTP/1.1 200" in seen
            assert seen.rpartition(b"\r\n\r\n")[2].startswith(b'{"v":1,"type":"reply"')
            assert served.node.get_state("kv1") == {"x": 1}
            writer.close()

    asyncio.run(main())


def test_pipelined_requests_are_all_answered_however_they_are_cut() -> None:
    calls = b"".join(
        POST + b"content-length: %d\r\n\r\n" % (8 + len(b"%d" % n)) + b"Store x %d" % n
        for n in range(99)
    )

    async def main() -> None:
        async with serve() as served:
            for cut in (WHOLE, 511, 513):
                reader, writer = await served.connect()
                for piece in cut_up(calls, cut):
                    writer.write(piece)
                assert [a[0] for a in await answers_from(reader, 99)] == [200] * 99
                writer.close()

    asyncio.run(main())

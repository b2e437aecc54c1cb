"""Heads of answers are made once a second for each length, and right for each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from email.utils import formatdate
from random import Random

import pytest

from ssm_cli.http.exchange import Exchange, Headers, HttpAnswer
from ssm_cli.http.parsing import Limits
from ssm_cli.http.protocol import SHORT, HttpProtocol, Shared

SIZES = (0, 1, 9, 10, SHORT - 1, SHORT, SHORT + 1, 1 << 20)


class Written(asyncio.Transport):
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Given:
    """An application with one answer."""

    def __init__(self) -> None:
        self.given = HttpAnswer(200, b"")

    def admit(self, exchange: Exchange) -> None:
        exchange.early = True

    def answer(self, _exchange: Exchange) -> HttpAnswer:
        return self.given


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def answered(shared: Shared, answer: HttpAnswer, sent: bytes) -> tuple[bytes, Headers, bytes]:
    """Return status line, headers and body of an answer to a client of its own."""
    app = shared.app
    assert isinstance(app, Given)
    app.given = answer
    protocol, transport = HttpProtocol(shared), Written()
    protocol.connection_made(transport)
    protocol.data_received(sent)
    head, _, body = transport.data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    return line, tuple((n, v) for n, _, v in (one.partition(b": ") for one in lines)), body


def sent(method: bytes = b"GET", version: bytes = b"1.1", more: bytes = b"") -> bytes:
    return method + b" / HTTP/" + version + b"\r\nhost: h\r\n" + more + b"\r\n"


@pytest.mark.parametrize("seed", range(5))
def test_each_answer_has_its_own_length_and_headers(
    loop: asyncio.AbstractEventLoop, seed: int
) -> None:
    random, shared = Random(seed), Shared(Given(), Limits(), loop)
    retry: Headers = ((b"retry-after", b"1"),)
    for _ in range(200):
        status, body = random.choice((200, 404, 503)), b"x" * random.choice(SIZES)
        headers, closes = random.choice(((), retry)), random.random() < 0.2
        is_head, is_old = random.random() < 0.2, random.random() < 0.2
        leaves = random.random() < 0.2
        line, found, rest = answered(
            shared,
            HttpAnswer(status, body, headers=headers, closes=closes),
            sent(
                b"HEAD" if is_head else b"GET",
                b"1.0" if is_old else b"1.1",
                b"connection: close\r\n" * leaves,
            ),
        )
        connection = ((b"connection", b"close"),) if closes or leaves or is_old else ()
        assert line.startswith(b"HTTP/1.1 %d " % status)
        assert [name for name, _ in found[:1]] == [b"date"]
        assert found[1:] == (
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *headers,
            *connection,
        )
        assert rest == (b"" if is_head else body)


def test_heads_are_made_anew_with_each_date(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared(Given(), Limits(), loop)
    for date_s in (1.0, 2.0):
        date = formatdate(date_s, usegmt=True)
        monkeypatch.setattr(
            "ssm_cli.http.protocol.formatdate", lambda usegmt, date=date: date if usegmt else ""
        )
        shared.tick()
        for size in SIZES:
            _, found, _ = answered(shared, HttpAnswer(200, b"x" * size), sent())
            assert dict(found)[b"date"] == date.encode()


def test_the_heads_of_short_answers_alone_are_kept(loop: asyncio.AbstractEventLoop) -> None:
    shared = Shared(Given(), Limits(), loop)
    for size in range(0, 40 * SHORT, SHORT // 2):
        answered(shared, HttpAnswer(200, b"x" * size), sent())
    assert set(shared.heads) == {(200, 0), (200, SHORT // 2)}

"""Heads that are known again: whatever is remembered, each request is read as if it came alone."""

from __future__ import annotations

from random import Random

import pytest

from ssm_cli.http.exchange import Application, Exchange, HttpAnswer
from ssm_cli.http.parsing import TRIED, Limits, RequestReader

Read = tuple[bytes, bytes, bytes, dict[bytes, bytes], bytes, bool]


class Around:
    """A listener whose application admits every request, and counts how often it is asked."""

    def __init__(self) -> None:
        self.app: Application = self
        self.limits = Limits()
        self.now_s = 0.0
        self.admitted = 0

    def admit(self, exchange: Exchange) -> HttpAnswer | None:
        self.admitted += 1
        exchange.early = exchange.method == b"GET"
        return None

    def answer(self, _exchange: Exchange) -> HttpAnswer:
        raise AssertionError("nobody asks for it here")


def taken(reader: RequestReader) -> list[Read]:
    found = [(e.method, e.path, e.query, e.headers, e.body, e.early) for e in reader.ready]
    reader.ready.clear()
    return found


def alone(request: bytes) -> Read:
    reader = RequestReader(Around())
    reader.feed(request)
    [found] = taken(reader)
    return found


def get(number: int) -> bytes:
    return b"GET /v1/log?last=%d HTTP/1.1\r\nhost: h\r\nx-id: %d\r\n\r\n" % (number, number)


def post(body: bytes) -> bytes:
    return b"POST /v1/w HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


CHUNKED = b"POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"


@pytest.mark.parametrize("seed", range(40))
def test_requests_are_read_alike_whatever_came_before_and_however_it_was_cut(seed: int) -> None:
    random = Random(seed)
    kinds = (
        lambda: get(1), lambda: get(random.randrange(10**6)), lambda: post(b"a"),
        lambda: post(b"x" * random.randrange(12)), lambda: CHUNKED, lambda: post(get(1)),
        lambda: b"\r\n\r\n" * random.randrange(3) + get(1),
    )  # fmt: skip
    requests: list[bytes] = []
    while len(requests) < 120:
        requests += [random.choice(kinds)() for _ in range(random.choice((1, 1, 3 * TRIED)))]
        requests += [random.choice(requests)] * random.choice((0, 1, 5))
    stream, reader, found = b"".join(requests), RequestReader(Around()), list[Read]()
    while stream:
        size = random.choice((1, 7, 60, len(requests[len(found) % len(requests)]), 500))
        reader.feed(stream[:size])
        stream = stream[size:]
        found += taken(reader)
    assert found == [alone(request) for request in requests]


WORDS = (
    [b"GET", b"POST", b"HEAD", b"CONNECT", b"PRI", b"OPTIONS", b"PURGE", b"SOURCE", b"M-SEARCH"],
    [b"/", b"*", b"a:1", b"http://a/b", b"/v1/log?last=1", b"//", b"?", b"https://:0"],
    [b"1.1", b"1.0", b"2.0", b"0.9"],
    [
        b"Host: a", b"Host: a:0", b"Connection: upgrade", b"Connection: close", b"Upgrade: x",
        b"Proxy-Connection: upgrade", b"Connection: keep-alive, Upgrade", b"Content-Length: 3",
        b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Expect: y",
        b"X: " + b"x" * 300, b"Transfer-Encoding: gzip", b"HTTP2-Settings: A", b"Trailer: Host",
    ],
    [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\nHost: b\r\n\r\n", b"zz\r\n", b"\0\r\n"],
)  # fmt: skip


@pytest.mark.parametrize("seed", range(100))
def test_whatever_a_client_sends_is_read_or_refused_and_raises_nothing(seed: int) -> None:
    random = Random(seed)
    methods, targets, versions, headers, bodies = WORDS
    for _ in range(60):
        reader, stream = RequestReader(Around()), b""
        for _ in range(random.randrange(1, 4)):
            line = b"%s %s HTTP/%s" % tuple(map(random.choice, (methods, targets, versions)))
            given = random.sample(headers, random.randrange(5))
            stream += b"\r\n".join([line, *given, b"", random.choice(bodies)])
        sent = stream
        while stream:
            size = random.choice((1, 20, 300))
            reader.feed(stream[:size])
            stream = stream[size:]
        answered = [one for one in reader.ready if one.refusal is None]
        assert len(answered) <= 3, sent
        assert not any(one.method == b"CONNECT" for one in answered), sent


@pytest.mark.parametrize("cut", range(1, len(post(b"Store x 1"))))
def test_a_head_that_came_in_two_parts_is_not_mistaken_for_the_next(cut: int) -> None:
    """It was: the next request was carried out as the one before, with a part of it as its body."""
    reader = RequestReader(Around())
    first, second = post(b"Store x 1"), post(b"Store x 2").replace(b"/v1/w", b"/v1/other")
    for piece in (first[:cut], first[cut:], second):
        reader.feed(piece)
    assert taken(reader) == [alone(first), alone(second)]


def test_empty_lines_are_no_request_that_is_repeated() -> None:
    reader = RequestReader(Around())
    reader.feed(b"\r\n\r\n" + post(b"Store x 1"))
    reader.feed(b"\r\n\r\n" * 5)
    reader.feed(b"\r\n\r\nStore x 2")
    assert [one[4] for one in taken(reader)][:1] == [b"Store x 1"]
    assert all(one[4] != b"Store x 2" for one in taken(reader))


def test_a_head_that_is_repeated_is_admitted_once() -> None:
    around = Around()
    reader = RequestReader(around)
    for _ in range(50):
        reader.feed(post(b"one"))
    assert len(taken(reader)) == 50
    assert around.admitted == 1


def test_after_many_heads_of_which_none_was_repeated_one_is_known_again_soon() -> None:
    around = Around()
    reader = RequestReader(around)
    for number in range(5 * TRIED):
        reader.feed(get(number))
    for _ in range(50):
        reader.feed(get(7))
        taken(reader)
    assert around.admitted <= 5 * TRIED + TRIED


def test_a_request_without_a_body_is_the_one_before_and_one_with_a_body_has_its_own() -> None:
    reader = RequestReader(Around())
    for data in (get(1), get(1) * 2, post(b"one"), post(b"two") + post(b"six")):
        reader.feed(data)
    first, second, third, one, two, six = reader.ready
    assert first is second is third
    assert (one.body, two.body, six.body) == (b"one", b"two", b"six")
    assert one.headers is two.headers is six.headers
    assert one.size == two.size == six.size

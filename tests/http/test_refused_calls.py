"""Calls that are refused before they reach a worker: a reply record, whoever refuses them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ssm_cli.errors import DecodeError, Forgotten, QueueFull, ReadOnly, SsmError
from ssm_cli.http.client.failures import raise_reply
from ssm_cli.http.parsing import Limits
from tests.http.serving import serve
from tests.http.test_asgi import run

POST = b"POST /v1/workers/kv%32/call HTTP/1.1\r\nhost: 127.0.0.1\r\n"
SMALL = b"content-length: 9\r\n\r\nStore x 1"
LIMITS = Limits(body_bytes=10_000, headers=50, requests_per_s=1_000_000, pipelined=4)


def answers(*sent: bytes, target: str = "", limits: Limits = LIMITS) -> list[tuple[int, Any]]:
    """The answers to what is sent, or to a call with that target."""

    async def main() -> list[tuple[int, Any]]:
        async with serve(limits=limits, history=100) as served:
            if target:
                status, record, _ = await served.ask("POST", target, "Store x 1")
                return [(status, record)]
            got = await served.talk(*sent, count=9)
            return [(status, record) for status, record, _ in got]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "status", "outcome"),
    [
        (b"content-length: 10001\r\n\r\n", 413, "undecodable"),
        (b"content-length: " + b"0" * 30 + b"\r\n\r\n", 413, "undecodable"),
        (b"transfer-encoding: chunked\r\n\r\n2af8\r\n" + b"x" * 11_000, 413, "undecodable"),
        (b"transfer-encoding: chunked\r\n\r\nnone\r\n", 400, "undecodable"),
        (b"transfer-encoding: identity\r\n\r\n", 501, "undecodable"),
        (b"expect: a-miracle\r\n" + SMALL, 417, "undecodable"),
        (b"content-type: a/b\r\ncontent-type: a/b\r\n" + SMALL, 400, "undecodable"),
        (b"x: y\r\n" * 60 + SMALL, 431, "undecodable"),
    ],
)
def test_what_the_connection_refuses_has_the_reply_record_of_its_call(
    sent: bytes, status: int, outcome: str
) -> None:
    [(got, record)] = answers(POST + sent)
    assert (got, record["type"], record["worker"]) == (status, "reply", "kv2")
    assert (record["outcome"], record["input"]) == (outcome, "")
    assert record["error"]["message"].startswith("kv2: ")


def test_too_many_requests_sent_ahead_are_a_full_queue() -> None:
    *done, (status, record) = answers((POST + SMALL) * 8)
    assert {one["outcome"] for _, one in done} == {"replied"}
    assert (status, record["type"], record["outcome"]) == (429, "reply", "queue_full")


@pytest.mark.parametrize(
    ("query", "status", "outcome", "kind"),
    [
        ("at=99", 409, "undecodable", "ReadOnly"),
        ("at=fork9", 404, "noproc", "Forgotten"),
        ("at=yesterday", 400, "undecodable", "CommandError"),
        ("at=0&at=1", 400, "undecodable", "CallError"),
    ],
)
def test_a_place_that_takes_no_calls_has_a_reply_record(
    query: str, status: int, outcome: str, kind: str
) -> None:
    [(got, record)] = answers(target=f"/v1/workers/kv2/call?{query}")
    assert (got, record["type"], record["outcome"]) == (status, "reply", outcome)
    assert (record["input"], record["error"]["type"]) == ("Store x 1", kind)


def test_a_body_that_is_too_large_has_a_reply_record_behind_asgi_too() -> None:
    status, body, _ = run("POST", "/v1/workers/kv1/call", b"x" * 60, b"x" * 60)
    assert (status, b'"outcome":"undecodable"' in body) == (413, True)


@pytest.mark.parametrize("method", [b"GET", b"PUT"])
def test_what_is_no_call_has_an_error_record(method: bytes) -> None:
    [(status, record)] = answers(POST.replace(b"POST", method) + b"content-length: 10001\r\n\r\n")
    assert status in (405, 413)
    assert record["type"] == "error"


@pytest.mark.parametrize(
    ("outcome", "kind", "raised"),
    [
        ("noproc", "Forgotten", Forgotten),
        ("undecodable", "ReadOnly", ReadOnly),
        ("undecodable", "CallError", DecodeError),
        ("queue_full", "CallError", QueueFull),
    ],
)
def test_a_client_raises_what_a_call_of_its_own_node_raises(
    outcome: str, kind: str, raised: type[SsmError]
) -> None:
    error = {"type": kind, "message": "no"}
    with pytest.raises(raised) as caught:
        raise_reply({"type": "reply", "outcome": outcome, "error": error}, "kv1")
    assert type(caught.value) is raised

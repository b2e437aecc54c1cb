"""Calls over HTTP: outcomes, statuses and records; deadlines, overload, retries."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from ssm_cli import Defer, StateMachine, Supervisor, Worker
from ssm_cli.http.client.wire import Response, request_bytes
from tests.http.serving import answer_of, response_from, serve


@dataclass(frozen=True)
class Hold:
    """Answered never, or later by somebody."""


def hold(_message: Hold, state: int) -> tuple[Any, ...]:
    return state + 1, None, [Defer("later")]


def zero(_name: str, _args: Mapping[str, object]) -> int:
    return 0


HOLDER = Supervisor(
    "root", children=[Worker("slow", StateMachine(step=hold, init=zero, inputs=Hold))], queue=4
)


@pytest.mark.parametrize(
    ("worker", "text", "status", "outcome"),
    [
        ("kv2", "Store x 1", 200, "replied"),
        ("root%2Fstorage%2Fkv2", "Store x 1", 200, "replied"),
        ("kv2", "Lookup crash", 500, "crashed"),
        ("kv2", "Bad", 400, "undecodable"),
        ("kv9", "Lookup x", 404, "noproc"),
        ("storage", "Lookup x", 404, "noproc"),
        ("%ff%00", "Lookup x", 404, "noproc"),
    ],
)
def test_an_outcome_has_its_status_and_its_record(
    worker: str, text: str, status: int, outcome: str
) -> None:
    async def main() -> None:
        async with serve() as served:
            got, record, _ = await served.call(worker, text)
            assert (got, record["outcome"], record["type"]) == (status, outcome, "reply")
            assert ("error" in record) == (outcome != "replied")

    asyncio.run(main())


def test_the_record_is_that_of_the_contract() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.call("kv2", "Store x 1")
            _, record, headers = await served.call("kv2", "Lookup x")
            assert record.pop("ms") >= 0
            assert record == {
                "v": 1,
                "type": "reply",
                "worker": "kv2",
                "input": "Lookup x",
                "outcome": "replied",
                "output": "Result 1",
                "value": {"type": "Result", "value": 1},
            }
            assert headers["content-type"] == "application/json"

    asyncio.run(main())


def test_json_is_an_input_of_a_worker_that_reads_text() -> None:
    async def main() -> None:
        async with serve() as served:
            body = '{"type": "Store", "key": "a b", "value": 3}'
            status, record, _ = await served.call("kv2", body, content_type="application/json")
            assert (status, record["output"]) == (200, "Ok")
            status, record, _ = await served.call("kv2", "[1", content_type="application/json")
            assert (status, record["outcome"]) == (400, "undecodable")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "is_json"),
    [("Application/JSON", True), ("application/json;charset=utf-8", True),
     ("APPLICATION/json ; charset=utf-8", True), ("application/jsonl", False),
     ("application/json-patch+json", False), ("text/plain", False)],
)  # fmt: skip
def test_a_body_is_json_where_its_media_type_says_so_however_that_is_spelt(
    kind: str, is_json: bool
) -> None:
    async def main() -> None:
        async with serve() as served:
            body = '{"type": "Store", "key": "a", "value": 3}'
            status, _, _ = await served.call("kv2", body, content_type=kind)
            assert (status == 200) == is_json
            await served.ask("POST", "/v1/workers/kv1/cast", body, {"content-type": kind})
            await served.call("kv1", "Lookup a")
            assert bool(served.node.get_state("kv1")) == is_json

    asyncio.run(main())


DEEP = "[" * 300_000
CLOSED = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize(
    "body", [DEEP, CLOSED, '{"a":' * 100_000, '{"type":"Store","key":' + CLOSED]
)
@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "/v1/workers/kv2/call"), ("POST", "/v1/workers/kv2/cast"),
     ("PUT", "/v1/workers/kv2/state"), ("POST", "/v1/supervisors/root/children"),
     ("POST", "/v1/workers/kv2/change-code?old_version=1")],
)  # fmt: skip
def test_what_is_nested_too_deeply_is_a_bad_request(
    method: str, target: str, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with serve() as served:
            headers = {"content-type": "application/json"}
            status, record, _ = await served.ask(method, target, body, headers)
            assert status in (400, 409), record
            assert len(record["error"]["message"]) < 1000
            assert served.node.get_state("kv2") == {}
            assert (await served.ask("GET", "/health/ready"))[0] == 200

    asyncio.run(main())
    assert capsys.readouterr().err == ""


def test_a_call_that_takes_too_long_is_504_and_its_worker_lives_on() -> None:
    async def main() -> None:
        async with serve(HOLDER) as served:
            status, record, _ = await served.call("slow", "Hold", "?timeout=0.01")
            assert (status, record["outcome"]) == (504, "timeout")
            assert "late reply is dropped" in record["error"]["message"]
            assert served.node.get_state("slow") == 1

    asyncio.run(main())


@dataclass(frozen=True)
class Slow:
    """Answered by its step, after so many seconds."""

    seconds: float


def sleeps(message: Slow, state: int) -> tuple[int, str]:
    time.sleep(message.seconds)
    return state + 1, "Done"


def test_an_output_that_comes_when_the_time_is_over_is_a_timeout_as_in_the_process_itself() -> None:
    slow = Worker("slow", StateMachine(step=sleeps, init=zero, inputs=Slow), step_timeout=60_000)
    tree = Supervisor("root", children=[slow])

    async def main() -> None:
        async with serve(tree) as served:
            for key in ({}, {"idempotency_key": "k"}):
                before = served.node.get_state("slow")
                status, record, _ = await served.call("slow", "Slow 0.2", "?timeout=0.05", **key)
                assert (status, record["outcome"]) == (504, "timeout")
                assert served.node.get_state("slow") == before + 1, "it was stepped"
            again = await served.call("slow", "Slow 0.2", "?timeout=60", idempotency_key="k")
            assert (again[0], again[1]["output"]) == (200, "Done")
            assert served.node.get_state("slow") == 2, "and is not stepped again"

    asyncio.run(main())


@pytest.mark.parametrize("query", ["?timeout=x", "?timeout=-1", "?timeout=1e9", "?timeout=nan"])
def test_a_deadline_that_is_none_is_refused(query: str) -> None:
    async def main() -> None:
        async with serve() as served:
            status, record, _ = await served.call("kv2", "Store x 1", query)
            assert status == 400
            assert "timeout" in record["error"]["message"]
            assert served.node.get_state("kv2") == {}

    asyncio.run(main())


def test_a_full_queue_is_503_and_says_when_to_come_again() -> None:
    async def main() -> None:
        async with serve(HOLDER) as served:
            served.node.suspend("slow")
            waiting = [asyncio.create_task(served.call("slow", "Hold")) for _ in range(4)]
            while served.node.tree().children[0].queue < 4:  # noqa: ASYNC110 - the node has no event for it
                await asyncio.sleep(0)
            status, record, headers = await served.call("slow", "Hold")
            assert (status, record["outcome"]) == (503, "queue_full")
            assert headers["retry-after"] == "1"
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


def test_a_client_that_goes_away_is_not_waited_for_but_its_input_is_stepped() -> None:
    async def main() -> None:
        async with serve(HOLDER) as served:
            _, writer = await served.connect()
            writer.write(request_bytes("POST", "/v1/workers/slow/call", "localhost", b"Hold"))
            while served.node.get_state("slow") != 1:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()
            assert (await served.ask("GET", "/health/live"))[0] == 200
            assert served.node.get_state("slow") == 1

    asyncio.run(main())


def test_a_retried_call_is_stepped_once() -> None:
    async def main() -> None:
        async with serve() as served:
            first = await served.call("kv2", "Store x 1", idempotency_key="k1")
            again = await served.call("kv2", "Store x 1", idempotency_key="k1")
            assert first[0] == again[0] == 200
            assert served.node.statistics("kv2").steps == 1
            other = await served.call("kv2", "Store x 2", idempotency_key="k1")
            assert other[0] == 422
            assert other[1]["input"] == "Store x 2"
            assert (await served.call("kv3", "Store x 1", idempotency_key="k1"))[0] == 200

    asyncio.run(main())


def test_a_crash_is_remembered_too() -> None:
    async def main() -> None:
        async with serve() as served:
            for _ in range(2):
                status, record, _ = await served.call("kv2", "Lookup crash", idempotency_key="k")
                assert (status, record["outcome"]) == (500, "crashed")
            assert served.node.statistics("kv2").crashes == 1

    asyncio.run(main())


def test_a_retry_joins_the_call_that_is_under_way() -> None:
    async def main() -> None:
        async with serve(HOLDER) as served:
            answers = await asyncio.gather(
                *(served.call("slow", "Hold", "?timeout=0.05", idempotency_key="k") for _ in "ab")
            )
            assert [answer[0] for answer in answers] == [504, 504]
            assert served.node.get_state("slow") == 1

    asyncio.run(main())


def test_a_call_that_was_not_stepped_may_be_sent_again() -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await served.call("kv2", "Bad", idempotency_key="k"))[0] == 400
            assert (await served.call("kv2", "Store x 1", idempotency_key="k"))[0] in (200, 422)
            assert (await served.call("kv2", "Bad", idempotency_key="k" * 201))[0] == 400

    asyncio.run(main())


def test_calls_sent_ahead_are_answered_in_order_and_stop_at_a_failure() -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            headers = {"ssm-stop-on-failure": "1"}
            texts = ["Store x 1", "Lookup x", "Lookup crash", "Store x 9"]
            writer.write(
                b"".join(
                    request_bytes("POST", "/v1/workers/kv1/call", "h", text.encode(), headers)
                    for text in texts
                )
            )
            rest, statuses, says = b"", [], []
            for _ in range(3):
                response = Response()
                if rest:
                    response.feed(rest)
                await response_from(reader, response)
                rest = response.rest
                statuses.append(answer_of(response)[0])
                says.append(response.headers["connection"])
            assert statuses == [200, 200, 500]
            assert says == ["ssm-stop-on-failure", "ssm-stop-on-failure", "close"]
            assert await reader.read() == b""
            writer.close()
            assert served.node.get_state("kv1") == {}

    asyncio.run(main())


def test_a_response_does_not_wait_for_its_own_acknowledgement() -> None:
    """Nagle's algorithm would hold the second write of each response for 40 ms."""

    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(request_bytes("GET", "/health/live", "localhost"))
            await response_from(reader, Response())
            (connection,) = served.doors[0].state.connections
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()

    asyncio.run(main())


def test_a_cast_is_taken_and_one_for_nobody_is_refused() -> None:
    async def main() -> None:
        async with serve() as served:
            asked = "/v1/workers/kv2/cast"
            status, record, _ = await served.ask("POST", asked, "Store x 1")
            assert (status, record["verb"]) == (202, "cast")
            assert (await served.call("kv2", "Lookup x"))[1]["output"] == "Result 1"
            json = '{"type": "Store", "key": "x", "value": 1}', {"content-type": "application/json"}
            for body, headers in (("Store x 1", {}), json):
                status, record, _ = await served.ask("POST", "/v1/workers/kv22/cast", body, headers)
                assert status == 404
                assert record["error"]["message"] == "no worker kv22; did you mean kv2?"
            assert served.node.dropped == 0

    asyncio.run(main())


def test_a_defect_of_the_server_is_a_500_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with serve() as served:
            monkeypatch.setattr(served.node, "tree", lambda: 1 // 0)
            status, record, _ = await served.ask("GET", "/v1/tree")
            assert (status, record["type"]) == (500, "error")
            assert "ZeroDivisionError" in record["error"]["message"]
            monkeypatch.undo()

    asyncio.run(main())
    assert "Traceback" in capsys.readouterr().err


def test_a_cast_as_text_is_read_when_it_is_served_and_as_json_at_once() -> None:
    async def main() -> None:
        async with serve() as served:
            cast = "/v1/workers/kv2/cast"
            assert (await served.ask("POST", cast, "Bad"))[0] == 202
            assert (await served.call("kv2", "Lookup x"))[0] == 200
            told = [r.detail["input"] for r in served.node.reports() if r.event == "undecodable"]
            assert told == ["Bad"]
            as_json = {"content-type": "application/json"}
            assert (await served.ask("POST", cast, '{"type": "Bad"}', as_json))[0] == 400

    asyncio.run(main())

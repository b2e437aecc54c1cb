"""Acknowledged means kept: one key is stepped once, and what was taken is served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ssm_cli import Supervisor, Worker
from ssm_cli.errors import DecodeError
from ssm_cli.http.client.calls import HttpCalls
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.wire import request_bytes
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.engine.pending import checked_request_id
from tests.http.serving import Served, answers_from, serve
from tests.http.test_calls import HOLDER

NARROW = Supervisor("root", children=[Worker("kv1", kv_store), Worker("kv2", kv_store)], queue=1)


def call(worker: str, text: bytes, key: str) -> bytes:
    path = f"/v1/workers/{worker.replace('/', '%2F')}/call"
    return request_bytes("POST", path, "localhost", text, {"idempotency-key": key})


async def ask(served: Served, worker: str, key: str, text: str = "Store x 1") -> Any:
    return await served.call(worker.replace("/", "%2F"), text, idempotency_key=key)


@pytest.mark.parametrize("spelt", [("kv1",) * 5, ("kv1", "root/kv1", "kv1", "root/kv1", "kv1")])
def test_calls_with_one_key_at_once_are_stepped_once(spelt: tuple[str, ...]) -> None:
    """The queue is full, so that each has to wait for room; the key is taken before that."""

    async def main() -> None:
        async with serve(NARROW) as served:
            served.node.suspend("kv2")
            blocked = [asyncio.create_task(served.call("kv2", "Store y 1")) for _ in range(2)]
            while served.node.queue + served.node.tree().children[1].queue < 1:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            tasks = [asyncio.create_task(ask(served, worker, "k")) for worker in spelt]
            await served.answered_elsewhere()
            served.node.resume("kv2")
            answers = await asyncio.gather(*tasks)
            assert [answer[0] for answer in answers] == [200] * 5
            assert served.node.statistics("kv1").steps == 1
            await asyncio.gather(*blocked)

    asyncio.run(main())


def test_calls_with_one_key_that_come_in_one_piece_are_stepped_once() -> None:
    async def main() -> None:
        async with serve(NARROW) as served:
            opened = [await served.connect() for _ in range(5)]
            for _, writer in opened:
                writer.write(call("kv1", b"Store x 1", "k") * 2)
            for reader, writer in opened:
                assert [a[0] for a in await answers_from(reader, 2)] == [200, 200]
                writer.close()
            assert served.node.statistics("kv1").steps == 1

    asyncio.run(main())


@pytest.mark.parametrize("key", ["\u00e9", "\u00c3\u00a4", "\u65e5\u672c", "\U0001f600", "k"])
def test_a_request_id_is_one_key_by_whichever_client_it_comes(key: str) -> None:
    async def main() -> None:
        async with serve() as served:
            calls = HttpCalls(Address(host="127.0.0.1", port=served.port))
            calls.use_keys(key)
            assert await asyncio.to_thread(calls.call, "kv1", b"Store x 1") == b"Ok"
            raw = call("kv1", b"Store x 1", "KEY").replace(b"KEY", key.encode())
            assert (await served.raw(raw))[0] == 200
            assert served.node.statistics("kv1").steps == 1
            other = call("kv1", b"Store x 2", "KEY").replace(b"KEY", f"{key}{key}".encode())
            assert (await served.raw(other))[0] == 200
            calls.connection.close()

    asyncio.run(main())


def test_a_key_means_one_worker_however_that_is_spelt() -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await ask(served, "kv2", "k"))[0] == 200
            assert (await ask(served, "root/storage/kv2", "k"))[0] == 200
            assert served.node.statistics("kv2").steps == 1
            assert (await ask(served, "root/storage/kv2", "k", "Store x 2"))[0] == 422
            assert (await ask(served, "root/kv2", "k"))[0] == 404  # no path of a worker

    asyncio.run(main())


def test_a_key_is_kept_while_its_worker_does_not_run() -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await ask(served, "kv1", "k"))[0] == 200
            served.node.terminate_child("root", "kv1")
            assert (await ask(served, "root/kv1", "k"))[0] == 200
            assert (await ask(served, "kv1", "other"))[0] == 404

    asyncio.run(main())


def test_a_key_whose_call_found_no_room_may_be_used_again() -> None:
    async def main() -> None:
        async with serve(HOLDER) as served:
            served.node.suspend("slow")
            tasks = [asyncio.create_task(served.call("slow", "Hold")) for _ in range(4)]
            while served.node.tree().children[0].queue < 4:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            answer = await served.call("slow", "Hold", "?timeout=0.01", idempotency_key="k")
            assert answer[0] == 503
            served.node.resume("slow")
            again = await served.call("slow", "Hold", "?timeout=0.01", idempotency_key="k")
            assert again[0] == 504
            assert served.node.get_state("slow") == 5
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize("ahead", [1, 200])
def test_of_200_casts_to_a_suspended_worker_each_is_kept_or_refused(ahead: int) -> None:
    casts = [
        request_bytes("POST", "/v1/workers/kv1/cast", "localhost", b"Store k%d 1" % number)
        for number in range(200)
    ]

    async def main() -> None:
        async with serve() as served:
            served.node.suspend("kv1")
            statuses: list[int] = []
            reader, writer = await served.connect()
            for at in range(0, 200, ahead):
                writer.write(b"".join(casts[at : at + ahead]))
                statuses += [answer[0] for answer in await answers_from(reader, ahead)]
            served.node.resume("kv1")
            kept = {f"k{n}": 1 for n, status in enumerate(statuses) if status == 202}
            assert len(kept) >= 128
            assert statuses.count(202) + statuses.count(503) == 200
            assert (await served.call("kv1", "Lookup k0"))[1]["output"] == "Result 1"
            assert served.node.get_state("kv1") == kept
            assert served.node.dropped == 0
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("end", ["kill", "terminate", "restart"])
def test_a_call_that_only_waited_while_its_worker_ended_is_not_remembered(end: str) -> None:
    async def main() -> None:
        async with serve() as served:
            node = served.node
            node.suspend("kv1")
            waiting = asyncio.create_task(ask(served, "kv1", "fresh"))
            while node.tree().children[0].queue < 1:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            if end == "kill":
                node.kill("kv1")
            else:
                node.terminate_child("root", "kv1")
                node.restart_child("root", "kv1")
            assert (await waiting)[0] in (404, 503)
            assert (await ask(served, "kv1", "fresh"))[0] == 200
            assert (await ask(served, "kv1", "fresh"))[0] == 200
            assert node.get_state("kv1") == {"x": 1}
            assert node.statistics("kv1").steps == 1

    asyncio.run(main())


def test_a_call_that_was_stepped_is_remembered_when_its_worker_ends() -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await ask(served, "kv1", "k", "Lookup crash"))[0] == 500
            restarts = served.node.tree().children[0].restarts
            assert (await ask(served, "kv1", "k", "Lookup crash"))[0] == 500
            assert served.node.tree().children[0].restarts == restarts
        async with serve(HOLDER) as served:
            held = asyncio.create_task(ask(served, "slow", "k", "Hold"))
            while served.node.get_state("slow") < 1:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            served.node.kill("slow")
            assert (await held)[0] == 503
            assert (await ask(served, "slow", "k", "Hold"))[0] == 503
            assert served.node.get_state("slow") == 0

    asyncio.run(main())


@pytest.mark.parametrize("key", ["a\nb", " a", "a "])
def test_a_request_id_that_cannot_be_sent_is_refused_in_the_words_of_the_tree(key: str) -> None:
    with pytest.raises(DecodeError) as there:
        checked_request_id(key, "kv1")
    with pytest.raises(DecodeError) as here:
        HttpCalls(Address(path="/nowhere")).use_keys(key)
    assert f"kv1: {here.value}" == str(there.value)

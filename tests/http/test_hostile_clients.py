"""Hostile clients: each gets its status or is dropped in time, and others are served throughout."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom

import msgspec
import pytest

from ssm_cli.http.client.wire import Response, request_bytes
from ssm_cli.http.parsing import Limits
from tests.http.hostile import Hostile
from tests.http.limited import running
from tests.http.serving import Served, answer_of, response_from, serve, until_closed
from tests.thorough import tries

# Idle is longer: the other clients share the loop, and must not look idle when it is held up.
QUICK = Limits(header_s=0.5, body_s=0.5, idle_s=2.0, write_s=0.5, refused_s=0.5, watch_s=0.05)
HEAD = b"POST /v1/workers/kv1/call HTTP/1.1\r\nhost: localhost\r\n"


@asynccontextmanager
async def others(served: Served) -> AsyncIterator[None]:
    """Another client calls throughout, and every call of it is answered."""
    done = asyncio.Event()
    count = 0

    async def calls() -> None:
        nonlocal count
        while not done.is_set():
            assert (await served.call("kv2", "Store x 1"))[0] == 200
            count += 1

    task = asyncio.create_task(calls())
    yield
    done.set()
    await task
    assert count > 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (HEAD + b"content-length: x\r\n\r\n", 400),
        (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\na", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400),
        (HEAD + b"a: " + b"b" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"".join(b"a%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
        (HEAD + b"a: " + b"b" * 20_000, 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
        (HEAD + b"content-length: %d\r\n\r\n" % (2 << 20) + b"x" * (2 << 20), 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"80000\r\n" + b"x" * 0x80000 + b"\r\n"
         b"80001\r\n" + b"x" * 0x80001 + b"\r\n0\r\n\r\n", 413),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_or_too_large_gets_its_status(sent: bytes, status: int) -> None:
    async def main() -> None:
        async with serve() as served, others(served):
            got, record, _ = await served.raw(sent)
            assert got == status
            assert record["error"]["message"]
            assert served.node.get_state("kv1") == {}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v1/workers/kv1/call HTT", b"408"),
        (HEAD + b"x-slow: a", b"408"),
        (HEAD + b"content-length: 10\r\n\r\nabc", b"408"),
        (b"", b""),
    ],
)
def test_a_slow_client_is_dropped_in_time(sent: bytes, status: bytes) -> None:
    async def main() -> None:
        async with serve(limits=QUICK) as served, others(served):
            reader, writer = await served.connect()
            writer.write(sent)
            seen = await until_closed(reader)
            assert seen[9:12] == status
            writer.close()

    asyncio.run(main())


def test_dripping_bytes_gains_no_time() -> None:
    async def main() -> None:
        async with serve(limits=QUICK) as served, others(served):
            reader, writer = await served.connect()
            writer.write(HEAD)
            dripping = asyncio.create_task(until_closed(reader))
            while not dripping.done():
                writer.write(b"x")
                await asyncio.wait({dripping}, timeout=0.02)
            assert dripping.result()[9:12] == b"408"
            writer.close()

    asyncio.run(main())


def test_a_half_closed_client_is_taken_to_have_gone() -> None:
    async def main() -> None:
        async with serve() as served, others(served):
            reader, writer = await served.connect()
            writer.write(HEAD)
            writer.write_eof()
            assert await until_closed(reader) == b""
            writer.close()

    asyncio.run(main())


def test_a_thousand_idle_connections_keep_nobody_out() -> None:
    async def main() -> None:
        limits = Limits(connections=100)
        async with serve(limits=limits) as served:
            idle = []
            for _ in range(1000):
                idle.append(await served.connect())
                if len(idle) % 100 == 0:
                    assert (await served.call("kv2", "Store x 1"))[0] == 200
            assert len(served.doors[0].state.connections) <= 100
            for _, writer in idle:
                writer.close()

    asyncio.run(main())


def test_one_connection_too_many_is_refused_while_all_are_busy() -> None:
    async def main() -> None:
        async with serve(limits=Limits(connections=1)) as served:
            reader, writer = await served.connect()
            writer.write(request_bytes("GET", "/v1/reports", "localhost"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            status, _, headers = await served.ask("GET", "/health/live")
            assert (status, headers["retry-after"]) == (503, "1")
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("limits", [Limits(requests_per_s=50), Limits(pipelined=50)])
def test_a_flood_on_one_connection_is_429(limits: Limits) -> None:
    async def main() -> None:
        async with serve(limits=limits) as served, others(served):
            reader, writer = await served.connect()
            writer.write(request_bytes("GET", "/health/live", "localhost") * 300)
            seen = await until_closed(reader)
            assert b"HTTP/1.1 429" in seen
            writer.close()

    asyncio.run(main())


def test_what_follows_a_refusal_is_forgotten() -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(b"nonsense\r\n\r\n" + HEAD + b"content-length: 9\r\n\r\nStore x 1")
            response = await response_from(reader, Response())
            assert answer_of(response)[0] == 400
            assert await until_closed(reader) == b""
            writer.close()
            assert served.node.get_state("kv1") == {}

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("uvloop", [False, True])
def test_clients_that_mix_it_all_lose_nothing_that_was_acknowledged(
    tmp_path: Path, uvloop: bool
) -> None:
    """`SSM_HOSTILE_S` says for how many seconds, `SSM_HOSTILE_SEED` from which seed."""
    length_s = float(os.environ.get("SSM_HOSTILE_S", tries(3, 60)))
    seed = os.environ.get("SSM_HOSTILE_SEED", "") or str(SystemRandom().randrange(1 << 32))
    print(f"seed {seed}")

    async def storm(seconds: float, clients: list[Hostile]) -> None:
        until_s = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(client.run(until_s) for client in clients))

    with running(tmp_path, 256, uvloop=uvloop) as program:
        clients = [Hostile(program, f"k{n}", f"{seed} {n}") for n in range(40)]
        asyncio.run(storm(min(2.0, length_s), clients))  # so that what is kept for good is there
        assert program.ask("GET", "/health/ready")[0] == 200
        before = program.memory_bytes()
        asyncio.run(storm(length_s, clients))
        assert program.ask("GET", "/health/ready")[0] == 200
        status, body = program.ask("GET", "/v1/workers/kv1/state")
        assert status == 200
        kept = msgspec.json.decode(body)["value"]
        lost = {c.name: c.acknowledged for c in clients if kept.get(c.name, 0) < c.acknowledged}
        assert lost == {}
        assert any(client.acknowledged for client in clients)  # how many depends on the machine
        assert program.memory_bytes() - before < 20_000_000
        code, said = program.stop()
        assert (code, len(said.splitlines())) == (0, 1), said  # the line that tells where it is

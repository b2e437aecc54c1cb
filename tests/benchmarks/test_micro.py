"""What the parts cost: run with `pytest tests/benchmarks --benchmark-only`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ssm_cli import CalleeCrashed, Node, Supervisor, Worker
from ssm_cli.codec.build import codec_for
from ssm_cli.machines.kv import Lookup, Result, Store, kv_store
from ssm_cli.render.columns import Row
from ssm_cli.render.log import log_text
from ssm_cli.render.rows import row_text
from tests.properties.model import Folded


def flat(count: int, **flags: Any) -> Node:
    workers = [Worker(f"w{n}", kv_store) for n in range(count)]
    return Node(Supervisor("root", children=workers, intensity=10**9, **flags))


def test_a_call_with_typed_messages(benchmark: BenchmarkFixture) -> None:
    with flat(10) as node:
        benchmark(node.call, "w9", Lookup("x"))


def test_a_call_with_bytes(benchmark: BenchmarkFixture) -> None:
    with flat(10) as node:
        benchmark(node.call, "w9", b"Lookup x")


def test_128_casts_through_the_queue(benchmark: BenchmarkFixture) -> None:
    message = Store("x", 1)

    def flood(node: Node) -> None:
        for _ in range(128):
            node.cast("w0", message)
        node.run()

    with flat(10) as node:
        benchmark(flood, node)


def test_decode_text(benchmark: BenchmarkFixture) -> None:
    assert benchmark(codec_for("text", Store | Lookup, None).decode, b"Store x 1") == Store("x", 1)


def test_encode_text(benchmark: BenchmarkFixture) -> None:
    assert benchmark(codec_for("text", None, None).encode, Result(1)) == b"Result 1"


@pytest.mark.parametrize("count", [10, 100_000])
def test_a_crash_and_its_restart(benchmark: BenchmarkFixture, count: int) -> None:
    def crash(node: Node) -> None:
        with contextlib.suppress(CalleeCrashed):
            node.call("w0", Lookup("crash"))

    with flat(count) as node:
        benchmark(crash, node)


def test_restart_of_10000_siblings(benchmark: BenchmarkFixture) -> None:
    def crash(node: Node) -> None:
        with contextlib.suppress(CalleeCrashed):
            node.call("w0", Lookup("crash"))

    with flat(10_000, strategy="one_for_all") as node:
        benchmark.pedantic(crash, args=(node,), rounds=10, warmup_rounds=1)  # type: ignore[no-untyped-call]  # the plugin does not say


def test_folding_a_thousand_reports(benchmark: BenchmarkFixture) -> None:
    with flat(500) as node:
        reports = node.reports(last=1000)

    def fold() -> None:
        folded = Folded()
        for report in reports:
            folded.read(report)

    benchmark(fold)


def test_rendering_a_report(benchmark: BenchmarkFixture) -> None:
    with flat(2) as node:
        with contextlib.suppress(CalleeCrashed):
            node.call("w0", Lookup("crash"))
        crash = next(report for report in node.reports() if report.event == "crashed")
    benchmark(log_text, crash)


def test_rendering_a_row_of_the_tree(benchmark: BenchmarkFixture) -> None:
    with flat(2) as node:
        node.call("w0", Store("x", 1))
        (worker, _) = node.tree().children
    benchmark(row_text, Row("├─ ", worker, rate=48_123.0), 120)


@pytest.mark.parametrize("clients", [1, 64])
def test_640_calls_of_clients_side_by_side(benchmark: BenchmarkFixture, clients: int) -> None:
    message = Lookup("x")

    def client() -> Generator[tuple[str, Any], Any, None]:
        for _ in range(640 // clients):
            yield "w0", message

    with flat(10) as node:
        benchmark(lambda: node.run_clients(*(client() for _ in range(clients))))


@pytest.mark.parametrize("clients", [1, 64])
def test_640_calls_awaited_by_asyncio_clients(benchmark: BenchmarkFixture, clients: int) -> None:
    message = Lookup("x")

    async def client(node: Node) -> None:
        for _ in range(640 // clients):
            await node.acall("w0", message)

    async def together(node: Node) -> None:
        await asyncio.gather(*(client(node) for _ in range(clients)))

    with asyncio.Runner() as runner, flat(10) as node:
        benchmark(lambda: runner.run(together(node)))

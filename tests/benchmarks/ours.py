"""ssm: a StateMachine under a supervisor, called through the public API with default settings."""

# The adapter that the peer benchmark loads: run.py with BENCH_OURS=<this file> and
# BENCH_OURS_PYTHON=<a Python that has ssm installed>. `kit` is the benchmark's own module.

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import kit  # type: ignore[import-not-found]  # on sys.path when the benchmark loads this file
import msgspec

from ssm_cli import CalleeCrashed, Node, StateMachine, Strategy, Supervisor, Worker
from ssm_cli.http.calling import outcome
from ssm_cli.http.door import Door
from ssm_cli.http.exchange import Exchange, HttpAnswer
from ssm_cli.http.parsing import Limits
from ssm_cli.runtime.engine.pending import Pending

UNLIMITED = 10**9
Step = Callable[[Any, Any], Any]


class KitCodec:
    """The benchmark's text codec, as a codec of ours."""

    decode = staticmethod(kit.decode)
    encode = staticmethod(kit.encode)


def boot(
    names: list[str], step: Step, strategy: str = "one_for_one", *, codec: bool = False
) -> Node:
    """A flat tree with one key-value store a name, and no bound on restarts."""
    machine = StateMachine(
        step=step, init=lambda name, args: {}, codec=KitCodec() if codec else "text"
    )
    workers = [Worker(name, machine) for name in names]
    return Node(Supervisor("root", Strategy(strategy), workers, intensity=UNLIMITED)).start()


def w1(n: int, codec: bool = False) -> Any:
    node = boot(["kv"], kit.step, codec=codec)
    call = node.call
    return kit.sync_calls(lambda message: call("kv", message), n, codec)


def w2(n: int, kind: str, m: int = 64, codec: bool = False) -> Any:
    _, requests, expected = kit.workload(codec)
    node = boot(["kv"], kit.step, codec=codec)
    if kind == "flood":
        cast = node.cast
        begun = kit.now()
        for i in range(n):
            cast("kv", requests[i & 15])
        bad = node.call("kv", requests[15]) != expected[15]
        return {"n": n, "seconds": (kit.now() - begun) / 1e9, "bad": int(bad)}
    each = max(16, n // m // 16 * 16)
    bad = 0

    def client() -> Generator[tuple[str, Any], Any, None]:
        nonlocal bad
        for i in range(each):
            if (yield "kv", requests[i & 15]) != expected[i & 15]:
                bad += 1

    begun = kit.now()
    node.run_clients(*(client() for _ in range(m)))
    return {"n": each * m, "seconds": (kit.now() - begun) / 1e9, "bad": bad}


def w3(n: int) -> Any:
    node, bad = boot(["kv"], kit.step), 0
    begun = kit.now()
    for _ in range(n):
        try:
            node.call("kv", kit.CRASH)
            bad += 1
        except CalleeCrashed:
            pass
        bad += node.call("kv", ("lookup", "k0")) != ("result", None)
    return {"n": n, "seconds": (kit.now() - begun) / 1e9, "bad": bad}


def w4(n: int) -> Any:
    gc.collect()
    rss, begun = kit.rss(), kit.now()
    names = [f"w{i}" for i in range(n)]
    node = boot(names, kit.step)
    node.call(names[-1], kit.NATIVE[0])
    start = kit.now() - begun
    grown = kit.rss() - rss
    latencies = []
    for request in kit.NATIVE[:8]:
        begun = kit.now()
        node.call(names[-1], request)
        latencies.append((kit.now() - begun) / 1000)
    begun = kit.now()
    node.stop()
    stop = kit.now() - begun
    return {
        "n": n,
        "start_s": start / 1e9,
        "rss_bytes": grown,
        "call_us": kit.median(latencies),
        "stop_s": stop / 1e9,
    }


def w5(n: int, strategy: str, r: int = 10) -> Any:
    names = [f"w{i}" for i in range(n)]
    node = boot(names, kit.step, strategy)
    ms = []
    for _ in range(r):
        node.call(names[-1], ("store", "k0", 7))
        begun = kit.now()
        node.cast(names[0], kit.CRASH)
        assert node.call(names[-1], ("lookup", "k0")) == ("result", None)
        ms.append((kit.now() - begun) / 1e6)
    return {"n": n, "ms": kit.median(ms), "r": r}


def w2_asyncio(n: int, m: int = 64) -> Any:
    """The 64 clients as asyncio tasks awaiting `acall`; run by `ours_asyncio.py`."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_w2_asyncio(n, m))


def loop_factory() -> Any:
    """uvloop's loop where it is installed, as in the peer `aio_uvloop`."""
    try:
        return importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None


async def _w2_asyncio(n: int, m: int) -> Any:
    _, requests, expected = kit.workload(codec=False)
    node = boot(["kv"], kit.step)
    each, bad = max(16, n // m // 16 * 16), 0

    async def client() -> None:
        nonlocal bad
        for i in range(each):
            if await node.acall("kv", requests[i & 15]) != expected[i & 15]:
                bad += 1

    begun = kit.now()
    await asyncio.gather(*(client() for _ in range(m)))
    seconds = (kit.now() - begun) / 1e9
    node.stop()
    return {"n": each * m, "seconds": seconds, "bad": bad}


def w6(port: int) -> None:
    """The door of `ssm run --http`, with the benchmark's one route; a request is a call."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_w6(port))


async def _w6(port: int) -> None:
    machine = StateMachine(step=kit.step, init=lambda name, args: {})
    node = Node(Supervisor("root", children=[Worker("kv", machine)], intensity=UNLIMITED)).start()
    node.call("kv", ("store", "x", 1))

    sock = socket.create_server(("127.0.0.1", port), backlog=1024)
    await Door(LookUp(node), sock, Limits(), []).open()
    await node.serve()


class LookUp:
    """The application of the benchmark, with its one route."""

    def __init__(self, node: Node) -> None:
        self._begin = node.begin
        self._encode = msgspec.json.Encoder().encode

    def admit(self, exchange: Exchange) -> None:
        exchange.early = True
        exchange.found = "lookup", exchange.path[4:].decode()

    def answer(self, exchange: Exchange) -> HttpAnswer | Awaitable[HttpAnswer]:
        pending = self._begin("kv", exchange.found)
        if not pending.done:
            return self._later(pending)
        return HttpAnswer(200, self._encode({"result": pending.result()[1]}))

    async def _later(self, pending: Pending) -> HttpAnswer:
        await outcome(pending, 5.0)
        return HttpAnswer(200, self._encode({"result": pending.result()[1]}))

"""Reports as Server-Sent Events: one order for all, resumed by number, no reader slows the tree."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.follow import follow
from ssm_cli.http.client.connection import address_of
from ssm_cli.http.client.node import HttpNode
from ssm_cli.http.client.wire import request_bytes
from ssm_cli.http.parsing import Limits
from ssm_cli.runtime import reports
from tests.http.serving import DEADLINE_S, Served, events, serve


def test_a_reader_resumes_after_the_report_it_saw_last() -> None:
    async def main() -> None:
        async with serve() as served:
            seqs = [record["seq"] for record in await events(served, 4, 6)]
            assert seqs == [5, 6, 7, 8, 9, 10]

    asyncio.run(main())


def test_several_readers_see_the_same_stream_while_calls_crash() -> None:
    async def main() -> None:
        async with serve() as served:
            readers = [asyncio.create_task(events(served, 0, 26)) for _ in range(3)]
            await served.call("kv1", "Lookup crash")
            await served.call("kv2", "Lookup crash")
            streams = await asyncio.gather(*readers)
            assert streams[0] == streams[1] == streams[2]
            assert [record["seq"] for record in streams[0]] == list(range(1, 27))
            assert "crashed" in {record["event"] for record in streams[0]}

    asyncio.run(main())


def test_a_number_of_another_tree_starts_from_the_beginning() -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await events(served, 10_000, 1))[0]["seq"] == 1

    asyncio.run(main())


def test_a_number_in_the_query_that_this_run_has_not_reached_starts_from_the_beginning() -> None:
    async def main() -> None:
        async with serve() as served:
            reader, writer = await served.connect()
            writer.write(request_bytes("GET", "/v1/reports?after=10000", "127.0.0.1", b""))
            await asyncio.wait_for(reader.readuntil(b"-1\ndata: "), DEADLINE_S)  # the first
            writer.close()

    asyncio.run(main())


def test_the_stream_ends_with_the_tree() -> None:
    async def main() -> None:
        async with serve() as served:
            reading = asyncio.create_task(events(served, 10, 1000))
            assert (await served.ask("GET", "/health/live"))[0] == 200
            served.node.stop()
            assert (await reading)[-1]["event"] == "stopped"

    asyncio.run(main())


def test_a_reader_that_falls_behind_is_told_what_it_missed_and_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "KEPT_REPORTS", 5)

    async def main() -> None:
        async with serve() as served:
            found = await events(served, 1, 100)
            assert [record["type"] for record in found] == ["dropped"]
            assert (found[0]["missed"], found[0]["next"]) == (4, 6)
            resumed = await events(served, found[0]["next"] - 1, 5)
            assert [record["seq"] for record in resumed] == [6, 7, 8, 9, 10]

    asyncio.run(main())


def test_a_reader_that_takes_nothing_is_cut_off_and_the_tree_goes_on() -> None:
    async def main() -> None:
        limits = Limits(write_s=0.1, watch_s=0.05)
        async with serve(limits=limits) as served:
            reader, writer = await served.connect()
            writer.write(request_bytes("GET", "/v1/reports", "127.0.0.1"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a real transport
            served.node.trace("kv2")
            async with asyncio.timeout(DEADLINE_S):
                while len(served.doors[0].state.connections) > 0:
                    for number in range(200):
                        served.node.call("kv2", f"Store {'x' * 500}{number} 1".encode())
                    await asyncio.sleep(0)
            assert (await served.call("kv2", "Store y 1"))[0] == 200
            writer.close()

    asyncio.run(main())


class Stalled(io.StringIO):
    """An output that nobody reads at first."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.going = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.waiting.set()
        assert self.going.wait(DEADLINE_S)
        return super().write(text)


def test_a_log_whose_reader_stood_still_goes_on_and_says_what_was_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "KEPT_REPORTS", 1000)
    out, err = Stalled(), io.StringIO()

    async def store(served: Served, count: int) -> None:
        for number in range(count):
            served.node.call("kv2", f"Store {'x' * 500}{number} 1".encode())
        await asyncio.sleep(0.001)

    async def main() -> int:
        async with serve(limits=Limits(write_s=0.1, watch_s=0.05)) as served:
            env = Environment(io.StringIO(), out, err, {})
            near = HttpNode(address_of(f"http://127.0.0.1:{served.port}"))
            following = asyncio.create_task(asyncio.to_thread(follow, env, near, 0, None))
            connections = served.doors[0].state.connections
            served.node.trace("kv2")
            async with asyncio.timeout(DEADLINE_S):
                while not out.waiting.is_set():
                    await store(served, 1)
                while connections:
                    await store(served, 100)
                await store(served, 2000)
                served.node.call("kv2", b"Lookup last")
                out.going.set()
                while "Lookup last" not in out.getvalue():
                    assert not following.done()
                    await asyncio.sleep(0.001)
            served.node.stop()
            return await following

    assert asyncio.run(main()) == 0
    assert "reports were missed: they came faster than printed" in err.getvalue()
    assert out.getvalue().splitlines()[-1].endswith("root stopped shutdown")


def test_the_id_of_an_event_names_the_run_of_the_tree() -> None:
    async def read(served: Served, given: str) -> list[bytes]:
        reader, writer = await served.connect()
        writer.write(request_bytes("GET", "/v1/reports", "h", b"", {"last-event-id": given}))
        found: list[bytes] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < 3:
                line = await reader.readline()
                found += [line.strip()] if line.startswith((b"id: ", b"ssm-instance: ")) else []
        writer.close()
        return found

    async def main() -> None:
        async with serve() as served:
            instance, first, _ = await read(served, "0")
            run = instance.removeprefix(b"ssm-instance: ")
            assert first == b"id: %s-1" % run
            assert (await read(served, f"{run.decode()}-4"))[1] == b"id: %s-5" % run
            assert (await read(served, "4"))[1] == b"id: %s-5" % run
            assert (await read(served, "00ff-4"))[1] == b"id: %s-1" % run  # of another run

    asyncio.run(main())


@pytest.mark.parametrize("given", ["x", "-1", "1" * 20, "00ff-", "00ff-x", "-", "ABC-1", "0-1-2"])
def test_a_number_that_is_none_is_refused(given: str) -> None:
    async def main() -> None:
        async with serve() as served:
            answer = await served.ask("GET", "/v1/reports", headers={"last-event-id": given})
            assert answer[0] == 400

    asyncio.run(main())

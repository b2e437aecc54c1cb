"""A tree of thousands: what is asked about all of it never holds the loop for long."""

from __future__ import annotations

import asyncio
import pkgutil
from typing import Any

import msgspec
import pytest

from ssm_cli import Restart, StateMachine, Supervisor, Worker
from ssm_cli.commands.handlers import all_run
from ssm_cli.http.events import BATCH, BATCHES
from ssm_cli.http.slices import SLICE, each_report, with_steps
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.looking import readiness, show
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import Kind
from ssm_cli.spec.model import Backoff, SupervisorSpec
from tests.http.serving import Served, events, serve
from tests.http.trees import wide


async def turns_during(served: Served, target: str) -> tuple[int, Any]:
    """How often the loop went round while a request was answered, and the answer."""
    turns, asking = 0, asyncio.create_task(served.ask("GET", target))
    while not asking.done():
        await asyncio.sleep(0)
        turns += 1
    status, answer, _ = asking.result()
    assert status == 200, answer
    return turns, answer


@pytest.mark.parametrize("target", ["/v1/tree", "/metrics", "/v1/log"])
def test_a_large_answer_is_made_in_slices(target: str) -> None:
    async def main() -> None:
        async with serve(wide(3000)) as served:
            turns, _ = await turns_during(served, target)
            assert turns >= 3000 // SLICE

    asyncio.run(main())


class Turns:
    """Counts what is made in each turn of the loop: a turn is what runs before the loop rests."""

    def __init__(self) -> None:
        self.most = self.made = self._now = 0
        self._ended = False

    def counting(self, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        """Count the calls of a function."""
        counted = pkgutil.resolve_name(place)

        def wrapped(*args: Any, **named: Any) -> Any:
            self._now, self.made = self._now + 1, self.made + 1
            self.most = max(self.most, self._now)
            return counted(*args, **named)

        monkeypatch.setattr(place, wrapped)

    async def run(self) -> None:
        while not self._ended:
            self._now = 0
            await asyncio.sleep(0)

    def end(self) -> None:
        self._ended = True


REPORT = "ssm_cli.runtime.reports.as_report"


@pytest.mark.parametrize(
    ("target", "made", "least"),
    [
        ("/v1/log", REPORT, 6000), ("/v1/log?last=5000", REPORT, 5000),
        ("/v1/log?after=10", REPORT, 5990), ("/v1/log?last=7", REPORT, 7),
        ("/v1/names", "ssm_cli.runtime.looking.listing.Listing.kind", 3001),
        ("/v1/names?kind=supervisor", "ssm_cli.runtime.looking.listing.Listing.kind", 3001),
        ("/v1/tree", "ssm_cli.http.slices.with_steps", 3001),
        ("/metrics", "ssm_cli.http.metrics.sample", 3000),
    ],
)  # fmt: skip
def test_no_turn_of_the_loop_makes_more_than_a_slice(
    target: str, made: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serve(wide(3000)) as served:
            turns = Turns()
            turns.counting(monkeypatch, made)
            counting = asyncio.create_task(turns.run())
            status, _, _ = await served.ask("GET", target)
            turns.end()
            await counting
            assert status == 200
            assert turns.made >= least
            assert turns.most <= SLICE + 1

    asyncio.run(main())


def test_a_reader_of_reports_takes_some_slices_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serve(wide(3000)) as served:
            turns = Turns()
            turns.counting(monkeypatch, REPORT)
            counting = asyncio.create_task(turns.run())
            found = await events(served, 0, 6000)
            turns.end()
            await counting
            assert [report["seq"] for report in found] == list(range(1, 6001))
            assert turns.most <= BATCHES * BATCH
            assert turns.made < 7000

    asyncio.run(main())


def test_the_reports_behind_a_number_cost_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many events of one moment are one entry of the ring, which is not told as a whole."""
    with Node(wide(3000)) as node:
        whole = node.reports()
        turns = Turns()
        turns.counting(monkeypatch, REPORT)
        for after in (0, 1, 2999, 3000, 5998, node.last_seq - 1, node.last_seq, 10**9):
            expected = [report for report in whole if report.seq > after]
            turns.made = 0
            assert list(node.next_reports(after, 5)) == expected[:5]
            assert list(node.reports(after, 5)) == expected[-5:]
            assert turns.made <= 10
        assert list(node.next_reports(0, 10**9)) == list(whole)


def test_reports_that_come_or_go_meanwhile_are_left_out() -> None:
    with Node(wide(300)) as node:
        reports = each_report(node, 0, 10_000)
        first = next(reports)
        end = node.last_seq
        for _ in range(2500):
            node.call("w1", b"Store x 1")
            node.kill("w1")
            if not node.running:
                break
        assert first.seq == 1
        assert max((report.seq for report in reports), default=end) <= end


def test_the_openapi_document_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serve() as served:
            turns = Turns()
            turns.counting(monkeypatch, "ssm_cli.http.openapi.document")
            found = [await served.ask("GET", "/openapi.json") for _ in range(3)]
            assert turns.made == 1
            assert found[0][1] == found[2][1]

    asyncio.run(main())


@pytest.mark.parametrize("kind", [None, "worker", "supervisor"])
def test_names_in_slices_are_the_names(kind: Kind | None) -> None:
    async def main() -> None:
        async with serve(wide(500)) as served:
            query = "" if kind is None else f"?kind={kind}"
            _, names, _ = await served.ask("GET", f"/v1/names{query}")
            assert names == list(served.node.names(kind))

    asyncio.run(main())


def test_names_below_a_supervisor_are_those_of_its_children() -> None:
    async def main() -> None:
        async with serve("trees/kv.yaml") as served:
            for above, names in (("storage", ["kv2", "kv3"]), ("root/storage", ["kv2", "kv3"]),
                                 ("root", ["kv1", "storage"]), ("kv1", [])):  # fmt: skip
                _, found, _ = await served.ask("GET", f"/v1/names?below={above}")
                assert found == names
            _, found, _ = await served.ask("GET", "/v1/names?below=root&kind=worker")
            assert found == ["kv1"]
            status, record, _ = await served.ask("GET", "/v1/names?below=nobody")
            assert (status, record["error"]["type"]) == (404, "NoProc")

    asyncio.run(main())


def test_branches_are_made_in_slices_and_have_the_first_children() -> None:
    async def main() -> None:
        few = [Supervisor(f"s{i}", children=[Worker(f"w{i}", kv_store)]) for i in range(2000)]
        async with serve(Supervisor("root", children=few)) as served:
            turns, branches = await turns_during(served, "/v1/branches?first=1")
            assert turns >= 2000 // SLICE
            by_name = {branch["name"]: branch for branch in branches}
            assert len(by_name) == 2001
            assert (by_name["root"]["size"], by_name["root"]["first"]) == (2000, ["s0"])
            assert by_name["root"]["supervisors"] == [f"s{i}" for i in range(2000)]
            assert by_name["s7"] == {"name": "s7", "size": 1, "first": ["w7"], "supervisors": []}

    asyncio.run(main())


def test_rows_are_answered_once_until_something_happens() -> None:
    async def main() -> None:
        async with serve("trees/kv.yaml", history=100) as served:

            async def rows(since: object) -> Any:
                body = msgspec.json.encode({"names": ["kv2", "nobody"], "since": since})
                status, answer, _ = await served.ask("POST", "/v1/rows", body)
                assert status == 200, answer
                return answer

            first = await rows(None)
            assert (first["root"], first["nodes"], first["queue"]) == ("root", 5, 0)
            kv2, nobody = first["rows"]
            assert (kv2["view"]["path"], kv2["size"], nobody) == ("root/storage/kv2", 0, None)
            assert (await rows(first["seen"]))["rows"] is None
            await served.call("kv2", "Store x 1")
            second = await rows(first["seen"])
            assert second["rows"][0]["view"]["steps"] == 1
            assert (await rows(second["seen"]))["rows"] is None
            assert (await rows("another-run"))["rows"] is not None

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"names": "kv1"}', b'{"names": [1]}', b'{"names": ["\xff"]}',
     b'{"names": [], "since": 1}', msgspec.json.encode({"names": ["kv1"] * (SLICE + 1)})],
)  # fmt: skip
def test_what_does_not_ask_for_rows_is_refused(body: bytes) -> None:
    async def main() -> None:
        async with serve("trees/kv.yaml") as served:
            status, answer, _ = await served.ask("POST", "/v1/rows", body)
            assert status == 400, answer
            assert "rows" in answer["error"]["message"]

    asyncio.run(main())


def test_a_census_counts_in_steps_while_the_tree_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setattr("ssm_cli.runtime.looking.listing.CENSUS_CELLS", 100)
        async with serve(wide(3000)) as served:
            turns, census = await turns_during(served, "/v1/census")
            assert turns >= 3000 // 100
            assert (census["workers"], census["steps"]) == (3000, {"root": 0})

    asyncio.run(main())


def test_children_in_slices_are_the_children() -> None:
    async def main() -> None:
        async with serve(wide(500)) as served:
            _, children, _ = await served.ask("GET", "/v1/supervisors/root/children")
            assert [one["id"] for one in children] == [f"w{n}" for n in reversed(range(500))]
            status, record, _ = await served.ask("GET", "/v1/supervisors/nope/children")
            assert (status, record["type"]) == (404, "error")

    asyncio.run(main())


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a tree without what changes from moment to moment."""
    children = [comparable(child) for child in record.get("children", [])]
    return {k: v for k, v in record.items() if k != "uptime_s"} | {"children": children}


@pytest.mark.parametrize("spec", [wide(0), wide(1), "trees/kv.yaml"])
def test_the_tree_in_slices_is_the_tree(
    spec: SupervisorSpec | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serve(spec) as served:
            monkeypatch.setattr("ssm_cli.http.shape.SLICE", 0)
            _, answer, headers = await served.ask("GET", "/v1/tree")
            assert headers["transfer-encoding"] == "chunked"
            whole = msgspec.json.decode(msgspec.json.encode(with_steps(served.node.tree())))
            assert comparable(answer) == comparable(whole)
            assert list(answer) == list(whole)

    asyncio.run(main())


def test_a_node_that_goes_while_the_tree_is_shown_is_left_out() -> None:
    async def main() -> None:
        async with serve(wide(1000)) as served:
            asking = asyncio.create_task(served.ask("GET", "/v1/tree"))
            for number in range(999, 499, -1):
                served.node.terminate_child("root", f"w{number}")
                served.node.delete_child("root", f"w{number}")
                await asyncio.sleep(0)
            _, answer, _ = await asking
            assert 500 <= len(answer["children"]) <= 1000

    asyncio.run(main())


def test_the_log_is_the_same_in_slices() -> None:
    async def main() -> None:
        async with serve(wide(500)) as served:
            _, whole, headers = await served.ask("GET", "/v1/log")
            assert headers["transfer-encoding"] == "chunked"
            assert [report["seq"] for report in whole] == list(range(1, len(whole) + 1))
            assert (await served.ask("GET", "/v1/log?last=0"))[1] == []

    asyncio.run(main())


# -- /health/ready ---------------------------------------------------------------------------------


def ready(node: Node, kept: readiness.Readiness) -> bool:
    for _ in kept.refresh():
        pass
    return kept.is_ready()


def test_ready_looks_at_what_was_reported_since_and_at_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Node(wide(2000)) as node:
        kept = node.readiness()
        assert ready(node, kept)
        looked: list[str] = []
        state_of = show.state_of

        def counted(world: Any, cell: Any) -> Any:
            looked.append(cell.spec.id)
            return state_of(world, cell)

        monkeypatch.setattr(readiness, "state_of", counted)
        assert ready(node, kept)
        assert looked == ["root"]
        looked.clear()
        node.kill("w7")
        assert ready(node, kept)
        assert set(looked) == {"root", "w7"}
        node.terminate_child("root", "w8")
        assert not ready(node, kept)
        looked.clear()
        assert not ready(node, kept)
        assert set(looked) == {"root", "w8"}


STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("terminate_child", ("storage", "kv2")), ("restart_child", ("storage", "kv2")),
    ("kill", ("kv3",)), ("suspend", ("kv1",)), ("suspend", ("storage",)),
    ("resume", ("storage",)), ("terminate_child", ("root", "storage")),
    ("restart_child", ("root", "storage")), ("terminate_child", ("root", "kv1")),
    ("delete_child", ("root", "kv1")), ("terminate_child", ("storage", "kv3")),
    ("suspend", ("storage",)), ("resume", ("storage",)), ("delete_child", ("storage", "kv3")),
)  # fmt: skip


@pytest.mark.parametrize("most", [0, 3, 1000])
def test_ready_is_what_a_look_at_the_whole_tree_says(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "MOST_REPORTS", most)
    temporary = Worker("brief", kv_store, restart=Restart.TEMPORARY)
    transient = Worker("calm", kv_store, restart=Restart.TRANSIENT)
    storage = Supervisor("storage", children=[Worker("kv2", kv_store), Worker("kv3", kv_store)])
    tree = Supervisor("root", children=[Worker("kv1", kv_store), storage, temporary, transient])
    with Node(tree) as node:
        kept = node.readiness()
        assert ready(node, kept)
        for verb, names in (*STEPS, ("stop_process", ("calm", "normal")),
                            ("stop_process", ("brief", "normal"))):  # fmt: skip
            getattr(node, verb)(*names)
            held = any(view.state == "suspended" for view in node.tree().children if view.children)
            if not held:
                assert ready(node, kept) == all_run(node.tree(), node), (verb, names)
        node.stop()
        assert not ready(node, kept)


def test_what_is_below_a_suspended_supervisor_does_not_count() -> None:
    with Node(Supervisor("root", children=[wide_below("held", 2)])) as node:
        kept = node.readiness()
        node.terminate_child("held", "a1")
        assert not ready(node, kept)
        node.suspend("held")
        assert ready(node, kept)
        node.resume("held")
        assert not ready(node, kept)


def wide_below(name: str, count: int) -> SupervisorSpec:
    return Supervisor(name, children=[Worker(f"a{n}", kv_store) for n in range(count)])


def test_a_restart_that_waits_is_not_ready() -> None:
    def step(_message: object, _state: object) -> tuple[object, object]:
        raise ValueError

    backoff = Backoff(initial_ms=60_000, max_ms=60_000)
    worker = Worker("w", StateMachine(step=step, init=lambda _n, _a: 0), backoff=backoff)

    async def main() -> None:
        async with serve(Supervisor("root", children=[worker])) as served:
            assert (await served.ask("GET", "/health/ready"))[0] == 200
            served.node.cast("w", "x")
            status, record, _ = await served.ask("GET", "/health/ready")
            assert (status, record["error"]["type"]) == (503, "HttpError")

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        b'{"names": ["kv1"], "names": ["kv2"]}', b'{"names": ["kv1"], "more": 1}', b'{"names": 1}',
        b"[" * 100_000, b"\xff",
    ],
    ids=lambda body: body[:24],
)  # fmt: skip
def test_a_body_that_asks_for_rows_in_two_ways_or_none_is_refused(body: bytes) -> None:
    async def main() -> None:
        async with serve() as served:
            assert (await served.ask("POST", "/v1/rows", body))[0] == 400

    asyncio.run(main())


def test_a_state_that_is_nested_too_deeply_is_refused_as_a_call_of_it_is() -> None:
    async def main() -> None:
        async with serve() as served:
            status, answer, _ = await served.ask("PUT", "/v1/workers/kv1/state", b"[" * 100_000)
            assert (status, answer["error"]["message"]) == (
                400,
                "VALUE is nested too deeply to be read",
            )

    asyncio.run(main())

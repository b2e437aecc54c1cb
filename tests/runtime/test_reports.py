from __future__ import annotations

import pytest

from ssm_cli import ManualClock, Node, Report, Supervisor
from ssm_cli.errors import CalleeCrashed
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.reports import KEPT_REPORTS, ReportStream
from ssm_cli.spec.model import WorkerSpec
from tests.runtime.workers import actor, events, fail, get, running, worker

SUBJECT = WorkerCell(WorkerSpec("a", actor), None)


def stream_of(count: int) -> ReportStream:
    stream = ReportStream(ManualClock())
    for _ in range(count):
        stream.add("started", SUBJECT)
    return stream


def test_the_numbers_have_no_gaps_and_begin_with_one() -> None:
    with running(worker("a"), worker("b")) as node:
        node.cast("a", fail)
        node.run()
        numbers = [report.seq for report in node.reports()]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_whole_life_is_reported_in_the_order_in_which_it_happened() -> None:
    with running(worker("a"), worker("b"), strategy="rest_for_one") as node:
        node.cast("a", fail)
        node.run()
    assert events(node) == [
        "starting root", "starting a", "started a", "starting b", "started b", "started root",
        "crashed a", "terminating a", "terminated a", "restarting root",
        "terminating b", "terminated b", "starting a", "started a", "starting b", "started b",
        "terminating b", "terminated b", "terminating a", "terminated a",
        "exited root", "stopped root",
    ]  # fmt: skip


def test_what_is_traced_of_an_input_has_the_record_of_that_input_as_its_crash_has() -> None:
    tree = Supervisor("root", children=[worker("a"), worker("b")], intensity=100)
    with Node(tree, clock=ManualClock(), history=100) as node:
        node.call("b", get)
        node.trace("a", on=True)
        for message in (get, fail, get):
            before, seq = node.record, node.last_seq
            node.cast("a", message)
            node.run()
            node.call("b", get)
            about = [(one.event, one.record) for one in node.reports() if one.seq > seq]
            assert ("traced", before + 1) in about
            assert {record for _, record in about} == {before + 1}, about
            if message is fail:
                assert ("crashed", before + 1) in about
                node.trace("a", on=True)


def test_a_report_says_who_where_when_and_why() -> None:
    with running(worker("a"), intensity=3, period=5) as node:
        node._world.clock.sleep_s(2)
        node.cast("a", fail)
        node.run()
        reports = {report.event: report for report in node.reports()}
    crash, restarting = reports["crashed"], reports["restarting"]
    assert (crash.path, crash.kind) == ("root/a", "worker")
    assert crash.at_s == 1_767_225_602.0
    assert crash.detail["reason"] == "crash"
    assert crash.detail["error"] == {"type": "ValueError", "message": "as asked"}
    assert (restarting.path, restarting.kind) == ("root", "supervisor")
    assert restarting.detail == {
        "strategy": "one_for_one", "child": "a", "children": ["a"],
        "restarts": 1, "intensity": 3, "period": 5,
    }  # fmt: skip
    assert reports["starting"].detail["n"] == 2


def test_an_error_that_cannot_say_what_it_is_does_not_hurt_the_report() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def raise_mute(_: object) -> object:
        raise MuteError

    with running(worker("a")) as node:
        node.cast("a", raise_mute)
        node.run()
        (crash,) = (report for report in node.reports() if report.event == "crashed")
        message = "<MuteError that cannot be shown: RuntimeError>"
        assert crash.detail["error"] == {"type": "MuteError", "message": message}
        assert node.call("a", "on") == "on"


def test_a_caller_of_an_error_that_cannot_say_what_it_is_learns_of_the_crash() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def raise_mute(_: object) -> object:
        raise MuteError

    with running(worker("a")) as node:
        with pytest.raises(CalleeCrashed, match="a crashed: MuteError"):
            node.call("a", raise_mute)
        assert node.call("a", "on") == "on"


def test_readers_see_reports_as_they_happen_until_they_unsubscribe() -> None:
    seen: list[int] = []
    with running(worker("a")) as node:
        begin = node.reports()[-1].seq
        leave = node.subscribe(lambda report: seen.append(report.seq))
        node.kill("a")
        end = node.reports()[-1].seq
        leave()
        leave()
        node.kill("a")
        assert seen == list(range(begin + 1, end + 1))


def test_a_reader_that_raises_is_let_go_and_the_others_read_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []

    def broken(report: Report) -> None:
        raise RuntimeError(f"cannot read {report.event}")

    with running(worker("a")) as node:
        node.subscribe(broken)
        node.subscribe(lambda report: seen.append(report.event))
        node.kill("a")
        assert seen == ["killed", "restarting", "starting", "started"]
    shown = capsys.readouterr().err
    assert shown.count("a report reader failed and is unsubscribed") == 1
    assert "cannot read killed" in shown


def test_a_reader_may_unsubscribe_itself_and_fail_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with running(worker("a")) as node:

        def once(report: Report) -> None:
            leave()
            raise RuntimeError(f"and goodbye, {report.id}")

        leave = node.subscribe(once)
        node.kill("a")
        assert node.call("a", "on") == "on"
    assert "and goodbye, a" in capsys.readouterr().err


def test_a_reader_that_calls_the_node_is_let_go(capsys: pytest.CaptureFixture[str]) -> None:
    with running(worker("a")) as node:
        node.subscribe(lambda _: node.call("a", get))
        node.kill("a")
        assert node.call("a", "on") == "on"
    assert "CalledFromStep: a reader of outcomes or reports called its own node" in (
        capsys.readouterr().err
    )


def test_a_reader_that_looks_at_the_tree_sees_it_as_it_is_at_that_moment() -> None:
    states: list[str] = []
    with running(worker("a")) as node:
        node.subscribe(lambda _: states.append(node.tree().children[0].state))
        node.kill("a")
    assert states[:4] == ["running", "restarting", "restarting", "running"]


@pytest.mark.parametrize("event", ["started", "terminated", "starting", "restarting"])
def test_a_reader_may_stop_the_node_at_any_time(event: str) -> None:
    node = Node(Supervisor("root", children=[worker("a"), worker("b")]), clock=ManualClock())
    node.subscribe(lambda report: node.stop("enough") if report.event == event else None)
    with node:
        if node.running:
            node.cast("a", fail)
            node.run()
        assert node.running is (event == "never")
    assert events(node)[-2:] == ["exited root", "stopped root"]
    names = [word for word in events(node) if word.startswith("terminated b")]
    assert names == ["terminated b"]


def test_a_reader_that_stops_the_node_while_it_stops_comes_too_late() -> None:
    with running(worker("a"), worker("b")) as node:
        node.subscribe(lambda _: node.stop("again"))
    assert events(node)[-6:] == [
        "terminating b", "terminated b", "terminating a", "terminated a",
        "exited root", "stopped root",
    ]  # fmt: skip


def test_a_reader_that_stops_the_node_during_a_kill_does_not_cut_it_short() -> None:
    with running(worker("a"), worker("b")) as node:
        leave = node.subscribe(lambda _: node.stop("enough"))
        node.kill("a")
        leave()
        assert not node.running
    assert events(node)[-5:] == [
        "killed a", "terminating b", "terminated b", "exited root", "stopped root",
    ]  # fmt: skip


def test_the_ring_keeps_the_last_reports_and_forgets_the_others() -> None:
    stream = stream_of(KEPT_REPORTS + 5)
    kept = stream.since(0, None)
    assert (len(kept), kept[0].seq, kept[-1].seq) == (KEPT_REPORTS, 6, KEPT_REPORTS + 5)


@pytest.mark.parametrize(
    ("after", "last", "numbers"),
    [
        (0, None, [1, 2, 3, 4, 5]),
        (3, None, [4, 5]),
        (0, 2, [4, 5]),
        (1, 10, [2, 3, 4, 5]),
        (4, 0, []),
        (5, None, []),
        (99, None, []),
    ],
)
def test_reports_are_those_after_a_number_and_of_these_the_last(
    after: int, last: int | None, numbers: list[int]
) -> None:
    assert [report.seq for report in stream_of(5).since(after, last)] == numbers

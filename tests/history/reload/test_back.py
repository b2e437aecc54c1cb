"""Rollback: the old code and state are back, and what came since is stepped again on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import ManualClock, Node, Worker, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.commands.reload import found_lines
from ssm_cli.errors import CodeRefused, Forgotten, StorageError
from ssm_cli.history.past import with_past
from ssm_cli.history.reload.reloads import Reloads
from ssm_cli.history.timeline import Timeline
from ssm_cli.runtime.performer.recoding import Recode
from ssm_cli.spec.importing import module_name
from tests.history.reload.desk import BOOK, Desk, counted, of


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with made.node:
        made.serve()
        yield made


def home_of(desk: Desk) -> object:
    return sys.modules[module_name(desk.folder / "book.py")]


def test_nothing_has_come_since_and_all_is_as_before(desk: Desk) -> None:
    home, behaviour, state = (
        home_of(desk),
        desk.cells()["book"].behaviour,
        desk.cells()["book"].state,
    )
    desk.change("book.held + amount", "book.held + 1")
    desk.node.reload(sure="yes")
    assert desk.node.rollback()["done"]
    cell = desk.cells()["book"]
    assert (home_of(desk), cell.behaviour, cell.state) == (home, behaviour, state)
    assert desk.serve(["Put BUY 10", "Ask"]) == [b"Bought", b"58"]


def test_what_came_since_is_stepped_again_and_what_it_answers_otherwise_is_told(desk: Desk) -> None:
    desk.change("book.held + amount", "book.held + 1")
    desk.change('"Sold"', '"Gone"')
    desk.node.reload(sure="yes")
    starts, record = desk.starts(), desk.node.record
    assert desk.serve(["Put BUY 10", "Ask", "Put SELL 2"]) == [b"Bought", b"49", b"Gone"]
    found = desk.node.rollback()
    assert (found["done"], counted(of(found))) == (False, {"same": 1, "output": 2})
    firsts = of(found)["firsts"]
    assert [(one["record"]["record"], one["output"]) for one in firsts] == [(record + 2, "58")]
    assert desk.call("Ask") == b"46"
    found = desk.node.rollback(sure="yes", plan=found["plan"])
    assert found["done"]
    assert (desk.call("Ask"), desk.starts()) == (b"55", starts)


def test_effects_are_not_asked_for_again(desk: Desk) -> None:
    desk.change('"Sold"', '"Gone"')
    desk.node.reload(sure="yes")
    desk.call("Take 7")
    told = desk.call('"x"', "teller")
    assert desk.node.rollback(sure="yes")["done"]
    desk.node.run()
    assert desk.call('"x"', "teller") == told


def test_the_state_of_a_crash_that_the_old_code_has_not_goes_on(desk: Desk) -> None:
    desk.change("if amount > 500", "if amount > 1")
    desk.node.reload(sure="yes")
    assert desk.serve(["Take 8", "Put BUY 1", "Ask"]) == ["CalleeCrashed", b"Bought", b"1"]
    found = desk.node.rollback(sure="yes")
    assert counted(of(found)) == {"same": 1, "output": 1, "mended": 1}
    assert desk.call("Ask") == b"41"  # 48 - 8 + 1


def test_an_input_that_only_the_old_code_crashes_on_is_told_and_its_state_stays(desk: Desk) -> None:
    desk.change("if amount > 500", "if amount > 5000")
    desk.node.reload(sure="yes")
    desk.serve(["Take 900", "Put BUY 2"])
    found = desk.node.rollback(sure="yes")
    assert counted(of(found))["crashes"] == 1
    assert desk.call("Ask") == b"50"


def test_a_state_that_was_put_in_place_is_taken_over(desk: Desk) -> None:
    desk.change('"Sold"', '"Gone"')
    desk.node.reload(sure="yes")
    book = sys.modules[module_name(desk.folder / "book.py")].Book
    desk.node.replace_state("book", book(5, 5))
    desk.call("Put BUY 1")
    assert desk.node.rollback("book")["done"]
    assert (desk.call("Ask"), type(desk.node.get_state("book")) is book) == (b"6", False)


def test_a_state_of_another_version_is_back_as_it_was(desk: Desk) -> None:
    desk.change("inputs=Put", "version='2', code_change=turned, inputs=Put")
    desk.change("def init", "def turned(old, state, extra):\n    return Book(1000)\n\ndef init")
    assert desk.node.reload(sure="yes")["done"]
    assert desk.serve(["Put BUY 1", "Ask"]) == [b"Bought", b"1001"]
    assert desk.node.rollback(sure="yes")["done"]
    assert desk.call("Ask") == b"49"


def test_one_worker_alone_goes_back(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    assert desk.node.rollback("twin")["done"]
    assert [desk.call("Put BUY 1", name) for name in ("book", "twin")] == [b"Got", b"Bought"]
    assert [one["worker"] for one in desk.node.rollback(sure="yes")["workers"]] == ["book"]
    with pytest.raises(CodeRefused, match="no code was reloaded"):
        desk.node.rollback()


def test_several_reloads_are_undone_one_by_one(desk: Desk) -> None:
    for old, new in (('"Bought"', '"Got"'), ('"Got"', '"Taken"')):
        desk.change(old, new)
        desk.node.reload(sure="yes")
    said = []
    for _ in range(2):
        said.append(desk.call("Put BUY 1"))
        desk.node.rollback(sure="yes")
    assert [*said, desk.call("Put BUY 1")] == [b"Taken", b"Got", b"Bought"]


def test_a_reload_after_a_rollback_loads_what_is_there_again(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    desk.node.rollback(sure="yes")
    assert desk.node.reload(sure="yes")["done"]
    assert desk.call("Put BUY 1") == b"Got"


@pytest.mark.parametrize("worker", [None, "teller", "nobody"])
def test_there_is_nothing_to_go_back_to(desk: Desk, worker: str | None) -> None:
    with pytest.raises(CodeRefused, match="nothing to go back to"):
        desk.node.rollback(worker)


def test_inputs_that_are_forgotten_cannot_be_stepped_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, history=16)
    with desk.node as node:
        desk.change('"Bought"', '"Got"')
        node.reload(sure="yes")
        desk.serve(["Ask"] * 20)
        why = (
            r"reload, which is record \d+, and only records from \d+ on are kept \(`--history N`\)"
        )
        with pytest.raises(Forgotten, match=f"{why}: put the old code into its file"):
            node.rollback(sure="yes")
        assert desk.call("Put BUY 1") == b"Got"


def test_without_a_history_code_is_reloaded_and_nothing_is_rehearsed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, history=0)
    with desk.node as node:
        desk.serve(["Put BUY 3"])
        desk.change('"Bought"', '"Got"')
        assert node.reload()["done"]
        assert node.rollback()["done"]
        node.reload()
        assert desk.serve(["Put BUY 1", "Ask"]) == [b"Got", b"4"]
        with pytest.raises(Forgotten):
            node.rollback()


# -- the past, and forks, know which code was there --------------------------------------------


def test_records_are_stepped_on_the_code_that_served_them(desk: Desk) -> None:
    desk.change("last: Put | None = None", "fee: int = 0\n    last: Put | None = None")
    desk.change("book.count + 1, message", "book.count + 1, 5, message")
    desk.change("book.count, book.last", "book.count, 5, book.last")
    desk.node.reload(sure="yes")
    desk.serve()
    assert desk.node.perform("replay", worker="all")["same"] == 2 * 12
    before, after = desk.node.at(3).get_state("book"), desk.node.get_state("book")
    assert (hasattr(before, "fee"), after.fee) == (False, 5)
    told = desk.node.perform("history", last=100)["records"]
    assert next(one["input"] for one in told if one["how"] == "reload").count(" -> ") == 1


def test_a_fork_of_a_record_before_goes_on_with_the_code_of_then(desk: Desk) -> None:
    record = desk.node.record
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    desk.serve(["Put BUY 2"])
    with desk.node.at(record).fork() as then, desk.node.fork() as now:
        assert [one.call("book", b"Put BUY 2") for one in (then, now)] == [b"Bought", b"Got"]
    assert desk.node.at(desk.node.record).digest() == desk.node.digest()


def test_what_is_left_out_before_a_reload_is_stepped_again_through_it(desk: Desk) -> None:
    node = desk.node
    desk.change("book.held + amount", "book.held + amount + 1")
    node.reload(sure="yes")
    desk.serve(["Put BUY 10", "Ask"])
    place = node.perform("fork")["place"]
    node.perform("without", records="1", at=place)
    fork = node.perform("standing", place, reading=True)
    assert (node.get_state("book").held, fork.get_state("book").held) == (59, 59)
    fork.call("book", b"Put BUY 10")
    assert (node.get_state("book").held, fork.get_state("book").held) == (59, 70)
    assert node.perform("save")["bytes"] > 0


@pytest.mark.parametrize("gone", ["book", "twin"])
def test_who_was_deleted_since_is_in_nobodys_way(desk: Desk, gone: str) -> None:
    left = "twin" if gone == "book" else "book"
    desk.change('"Bought"', '"Got"')
    assert desk.node.reload(sure="yes")["done"]
    desk.node.terminate_child("root", gone)
    desk.node.delete_child("root", gone)
    with pytest.raises(CodeRefused, match=f"the code of {gone} was not reloaded"):
        desk.node.rollback(gone, sure="yes")
    found = desk.node.rollback(sure="yes")
    assert (found["done"], [one["worker"] for one in found["workers"]]) == (True, [left])
    assert desk.call("Put BUY 1", left) == b"Bought"


# -- what is in the way ------------------------------------------------------------------------


def test_what_waits_and_does_not_fit_the_old_code_is_told_and_asked_about(desk: Desk) -> None:
    desk.change("Take", "Draw")
    assert desk.node.reload(sure="yes")["done"]
    calls = [desk.node.send_request("book", line) for line in (b"Draw 1", b"Ask")]
    found = desk.node.rollback()
    assert (of(found)["waiting"], of(found)["unfit"]) == (2, 1)
    assert (found["differs"], found["done"]) == (True, False)
    assert [str(desk.node.wait(call)) for call in calls] == ["Ok", "47"]


POOL = """
supervisor: root
strategy: simple_one_for_one
children:
  - {worker: item, start: './book.py:book'}
"""


@pytest.mark.parametrize("before", [["one"], []])
def test_who_began_since_is_named_and_asked_about(tmp_path: Path, before: list[str]) -> None:
    desk = Desk(tmp_path)
    desk.write("t.yaml", POOL)
    tree = load_tree(tmp_path / "t.yaml")
    with with_past(Node(tree, clock=ManualClock(), history=100), instant) as node:
        for label in before:
            node.start_child("root", label)
        desk.change('"Bought"', '"Got"')
        node.reload(sure="yes")
        node.start_child("root", "new")
        found = node.rollback()
        assert (found["done"], found["differs"], found["staying"]) == (False, True, ["new"])
        assert "began since, and cannot go back, as they have no state of before: new" in (
            found_lines("rollback", found)
        )
        assert node.rollback(sure="yes", plan=found["plan"])["done"]
        node.start_child("root", "later")
        said = [node.call(name, b"Put BUY 1") for name in (*before, "new", "later")]
        assert said == [*[b"Bought"] * len(before), b"Got", b"Bought"]


def test_a_worker_that_is_of_the_code_and_was_added_since_is_named(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    more = Worker("more", desk.cells()["book"].spec.start)
    desk.node.start_child("root", more)
    assert desk.node.rollback("twin", sure="no")["staying"] == []
    assert desk.node.rollback(sure="no")["staying"] == ["more"]


def test_all_go_back_or_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.change('"Bought"', '"Got"')
    assert desk.node.reload(sure="yes")["done"]
    desk.serve(["Put BUY 1"])
    recode = desk.node.recode

    def failing(worker: str, to: Recode) -> None:
        if worker == "twin":
            raise StorageError("no space is left")
        recode(worker, to)

    monkeypatch.setattr(desk.node, "recode", failing)
    with pytest.raises(StorageError, match="no space"):
        desk.node.rollback(sure="yes")
    monkeypatch.undo()
    assert [desk.call("Put BUY 1", name) for name in ("book", "twin")] == [b"Got", b"Got"]
    assert desk.call("Ask") == b"50"
    assert desk.node.rollback(sure="yes")["done"]
    assert [desk.call("Put BUY 1", name) for name in ("book", "twin")] == [b"Bought", b"Bought"]


def test_what_takes_too_long_to_be_stepped_again_is_refused(desk: Desk) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    reloads = Reloads(Timeline(desk.node, instant), clock)
    desk.change('"Bought"', '"Got"')
    assert reloads.reload(sure="yes")["done"]
    desk.serve(["Put BUY 1"] * 40)
    with pytest.raises(CodeRefused, match=r"served 40 inputs since.*takes longer than 30 s"):
        reloads.rollback("book", sure="yes")
    assert desk.call("Put BUY 1") == b"Got"


def test_who_has_other_code_by_now_does_not_go_back(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    assert desk.node.reload(sure="yes")["done"]
    desk.write("third.py", BOOK.replace('"Bought"', '"Third"'))
    tree = desk.folder / "t.yaml"
    first, twin, rest = tree.read_text().partition("  - worker: twin")
    tree.write_text(first + twin + rest.replace("book.py", "third.py"))
    assert desk.node.apply(tree).failed is None
    found = desk.node.rollback(sure="yes")
    assert [one["worker"] for one in found["workers"]] == ["book"]
    assert [desk.call("Put BUY 1", name) for name in ("book", "twin")] == [b"Bought", b"Third"]

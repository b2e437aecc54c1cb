"""Shadows: other code gets the live inputs, its answers reach nobody, and what differs is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import ManualClock, Node, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.commands.reload import shadow_lines
from ssm_cli.errors import CodeRefused, CommandError
from ssm_cli.history import other_code
from ssm_cli.history.reload.reloads import Reloads
from ssm_cli.history.reload.shadow import AT_ONCE_S, SHARE
from ssm_cli.history.timeline import Timeline
from tests.history.reload.desk import BOOK, TREE, Desk, counted


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with made.node:
        made.serve(["Put BUY 10"])
        yield made


def begun(desk: Desk, old: str = "", new: str = "", count: int = 5) -> str:
    """Begin a shadow of the book on changed code."""
    desk.write("new.py", BOOK.replace(old, new) if old else BOOK)
    file = str(desk.folder / "new.py")
    desk.node.shadow("book", file, count=count)
    return file


def test_code_that_answers_alike_is_clean_and_is_promoted(desk: Desk) -> None:
    begun(desk, "return book, book.held", "return book, 0 + book.held")
    starts = desk.starts()
    desk.serve(["Put BUY 1", "Ask", "Take 3", "Put SELL 1"])
    found = desk.node.shadow("book")
    assert (found["clean"], found["over"], counted(found)) == (False, False, {"same": 4})
    desk.serve(["Ask", "Ask"])
    found = desk.node.shadow("book")
    assert (found["clean"], found["over"], counted(found)) == (True, True, {"same": 5})
    assert desk.node.promote("book")["done"]
    assert desk.serve(["Ask"]) == [b"6"]
    assert desk.starts() == starts
    assert type(desk.node.get_state("book")).__module__.endswith("_new")
    assert desk.call("Ask", "twin") == b"0"
    assert desk.node.rollback()["done"]
    assert desk.serve(["Ask"]) == [b"6"]
    assert type(desk.node.get_state("book")).__module__.endswith("_book")


def test_nothing_of_a_shadow_reaches_anybody(desk: Desk) -> None:
    begun(desk, 'Cast("teller", amount)', 'Cast("teller", 1000), Cast("twin", Put(Side.BUY, 1))')
    desk.serve(["Take 3"])
    found = desk.node.shadow("book")
    assert counted(found) == {"effects": 1}
    desk.node.run()
    assert (desk.call('"x"', "teller"), desk.call("Ask", "twin")) == (b"3", b"0")


def test_code_that_differs_is_told_and_is_promoted_by_who_is_sure(desk: Desk) -> None:
    begun(desk, '"Bought"', '"Got"')
    desk.serve(["Ask", "Put BUY 1", "Ask", "Ask", "Ask"])
    found = desk.node.shadow("book")
    assert (found["clean"], counted(found)) == (False, {"same": 4, "output": 1})
    assert found["firsts"][0]["output"] == "Got"
    found = desk.node.promote("book")
    assert (found["done"], found["differs"]) == (False, True)
    assert desk.call("Put BUY 1") == b"Bought"
    assert desk.node.promote("book", sure="yes", plan=found["plan"])["done"]
    assert desk.call("Put BUY 1") == b"Got"


def test_a_shadow_has_a_state_of_its_own(desk: Desk) -> None:
    begun(desk, "book.held + amount", "book.held + 2 * amount")
    desk.serve(["Put BUY 1", "Put BUY 1", "Ask"])
    found = desk.node.shadow("book")
    assert counted(found) == {"state": 3}
    begun(desk, "book.held + amount", "book.held + (2 if amount == 7 else 1) * amount")
    desk.serve(["Put BUY 7", "Ask"])
    assert counted(desk.node.shadow("book")) == {"state": 2}


def test_the_live_worker_crashes_and_the_shadow_does_not(desk: Desk) -> None:
    begun(desk, "if amount > 500", "if amount > 5000")
    desk.serve(["Take 900", "Ask"])
    assert desk.cells()["book"].starts == 2
    assert counted(desk.node.shadow("book")) == {"mended": 1, "state": 1}


@pytest.mark.parametrize("each_s", [0.0, 0.001, 0.01, 1.0, 3.0])
def test_inputs_that_were_forgotten_meanwhile_are_told(tmp_path: Path, each_s: float) -> None:
    desk = Desk(tmp_path, history=64)
    with desk.node as node:
        reloads = Reloads(Timeline(node, instant), Steady(each_s))  # as slow as the machine may be
        reloads.shadow("book", str(desk.folder / "book.py"), 1000)
        desk.serve(["Put BUY 1"] * 500)
        found = reloads.shadow("book")
        assert found["same"] + found["missed"] + found["left"] == 500
        assert found["missed"] > 0
        assert (found["clean"], {*counted(found)} <= {"same"}) == (False, True)
        assert (found["left"] > 0) == (each_s > 0)


def test_a_shadow_takes_what_comes_before_it_is_forgotten(tmp_path: Path) -> None:
    desk = Desk(tmp_path, history=4000)
    with desk.node as node:
        reloads = Reloads(Timeline(node, instant), lambda: 0.0)  # no time passes
        reloads.shadow("book", str(desk.folder / "book.py"), 10_000)
        desk.serve(["Ask"] * 9000)
        found = reloads.shadow("book")
        assert (found["same"], found["missed"]) == (9000, 0)


class Steady:
    """A clock that goes on by so much each time it is read, and by what it is told."""

    def __init__(self, each_s: float) -> None:
        self.now_s, self._each_s = 0.0, each_s

    def __call__(self) -> float:
        """Read it."""
        self.now_s += self._each_s
        return self.now_s


def test_a_shadow_takes_a_tenth_of_the_time_and_what_is_left_later(desk: Desk) -> None:
    clock = Steady(0.01)
    reloads = Reloads(Timeline(desk.node, instant), clock)
    reloads.shadow("book", str(desk.folder / "book.py"), 300)
    desk.serve(["Put BUY 1"] * 300)
    seen, took_s, begun_s = [0], 0.0, clock.now_s
    while seen[-1] < 300:
        at_s = clock.now_s
        found = reloads.shadow("book")
        took_s += clock.now_s - at_s
        assert (found["total"] + found["left"], found["missed"]) == (300, 0)
        assert found["total"] > seen[-1]
        seen.append(found["total"])
        clock.now_s += 10.0
    assert len(seen) > 4
    assert found["clean"]
    assert took_s < AT_ONCE_S + SHARE * (clock.now_s - begun_s)
    assert f"  {300 - seen[1]} inputs wait to be compared: it takes a tenth of the time" in (
        shadow_lines({**found, "left": 300 - seen[1]})
    )


def test_while_a_shadow_waits_for_its_share_nothing_is_stepped(desk: Desk) -> None:
    clock = Steady(0.01)
    reloads = Reloads(Timeline(desk.node, instant), clock)
    reloads.shadow("book", str(desk.folder / "book.py"), 300)
    desk.serve(["Put BUY 1"] * 300)
    totals = [reloads.shadow("book")["total"] for _ in range(3)]
    assert 0 < totals[0] == totals[1] == totals[2] < 300


def test_a_shadow_keeps_its_state_over_a_crash_that_it_has_not(desk: Desk) -> None:
    begun(desk, "if amount > 500", "if amount > 5000")
    desk.serve(["Take 900"])
    desk.node.shadow("book")
    desk.serve(["Ask"])
    assert counted(desk.node.shadow("book")) == {"mended": 1, "state": 1}


def test_what_waits_and_does_not_fit_is_told_before_it_is_promoted(desk: Desk) -> None:
    begun(desk, "Take", "Draw", count=1)
    desk.serve(["Ask"])
    calls = [desk.node.send_request("book", b"Take 1"), desk.node.send_request("book", b"Ask")]
    found = desk.node.promote("book")
    told = found["workers"][0]
    assert (found["shadow"]["clean"], found["done"], found["differs"]) == (True, False, True)
    assert (told["waiting"], told["unfit"]) == (2, 1)
    assert [str(desk.node.wait(call)) for call in calls] == ["Ok", "9"]


def test_what_is_agreed_to_is_not_promoted_once_it_differs_in_another_way(desk: Desk) -> None:
    begun(desk, '"Bought"', '"Got" if message.amount < 9 else 1 // 0')
    desk.serve(["Put BUY 1"])
    plan = desk.node.promote("book")["plan"]
    desk.serve(["Put BUY 2"])
    assert desk.node.promote("book")["plan"] == plan
    desk.serve(["Put BUY 9"])
    found = desk.node.promote("book", sure="yes", plan=plan)
    assert (found["stale"], found["done"]) == (True, False)
    assert desk.node.promote("book", sure="yes", plan=found["plan"])["done"]
    assert desk.call("Put BUY 1") == b"Got"


def test_its_own_file_is_promoted_as_a_reload(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.shadow("book", str(desk.folder / "book.py"), count=1)
    desk.serve(["Ask"])
    found = desk.node.promote("book", sure="yes")
    assert found["done"]
    assert [desk.call("Put BUY 1", name) for name in ("book", "twin")] == [b"Got", b"Got"]


def test_a_reload_ends_what_a_shadow_was_compared_with(desk: Desk) -> None:
    begun(desk)
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    desk.serve(["Ask"])
    found = desk.node.shadow("book")
    assert (found["over"], found["why"]) == (True, "the code of the worker has changed")
    with pytest.raises(CodeRefused, match="begin anew"):
        desk.node.promote("book", sure="yes")


def test_off_ends_it(desk: Desk) -> None:
    begun(desk)
    assert desk.node.shadow("book", off="yes")["over"] is False
    assert desk.node.recorder().readers == []  # type: ignore[union-attr]  # there is one
    with pytest.raises(CodeRefused, match="has no shadow"):
        desk.node.shadow("book")


@pytest.mark.parametrize(
    ("worker", "text", "count", "said"),
    [
        ("nobody", BOOK, 5, "expected a worker"),
        ("root", BOOK, 5, "is a supervisor"),
        ("book.py", BOOK, 5, "no worker"),
        ("book", "x = (", 5, "cannot be loaded: SyntaxError"),
        ("book", "1 / 0", 5, "cannot be loaded: ZeroDivisionError"),
        ("book", "x = 1", 5, "has no `book`"),
        ("book", BOOK, 0, "--for takes 1 to"),
        ("book", BOOK, 10**7, "--for takes 1 to"),
        ("book", BOOK.replace("class Book:", "class Book:\n    x: int"), 5, "cannot go on"),
    ],
)
def test_what_cannot_have_a_shadow_is_told(
    desk: Desk, worker: str, text: str, count: int, said: str
) -> None:
    desk.write("new.py", text)
    with pytest.raises((CodeRefused, CommandError), match=said):
        desk.node.shadow(worker, str(desk.folder / "new.py"), count=count)
    with pytest.raises(CodeRefused, match=r"has no shadow|expected|no worker"):
        desk.node.promote(worker)


def test_a_shadow_needs_what_is_remembered(tmp_path: Path) -> None:
    desk = Desk(tmp_path, history=0)
    with desk.node, pytest.raises(CodeRefused, match="--history N"):
        begun(desk)


ENDLESS = "    while True:\n        pass\n"


@pytest.mark.parametrize("limit", ["300", "infinity"])
def test_a_step_that_does_not_end_ends_the_shadow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(other_code, "TRIED_STEP_S", 0.3)
    desk = Desk(tmp_path)
    desk.write("t.yaml", TREE.replace("book.py:book", f"book.py:book\n    step_timeout: {limit}"))
    desk.node = Node(load_tree(tmp_path / "t.yaml"), clock=ManualClock(), history=1000)
    with desk.node:
        begun(desk, "    match message:\n", ENDLESS + "    match message:\n")
        desk.serve(["Put BUY 1", "Ask", "Ask"])
        found = desk.node.shadow("book")
        assert (found["over"], found["clean"], counted(found)) == (True, False, {"crashes": 1})
        assert "ran longer than one may" in found["why"]


@pytest.mark.parametrize("limit", ["300", "infinity"])
def test_a_file_whose_code_does_not_end_begins_no_shadow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(other_code, "TRIED_LOAD_S", 0.3)
    monkeypatch.setattr(other_code, "TRIED_STEP_S", 0.3)
    desk = Desk(tmp_path)
    desk.write(
        "t.yaml",
        TREE.replace(
            "book.py:book", f"book.py:book\n    init_timeout: {limit}\n    step_timeout: {limit}"
        ),
    )
    desk.node = Node(load_tree(tmp_path / "t.yaml"), clock=ManualClock(), history=1000)
    with desk.node:
        with pytest.raises(CodeRefused, match="cannot be loaded: StepTimeout"):
            begun(desk, "def step", "while True:\n    pass\n\ndef step")
        assert desk.serve(["Put BUY 1", "Ask"]) == [b"Bought", b"1"]

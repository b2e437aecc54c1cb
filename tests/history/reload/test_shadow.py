"""Shadows: other code gets the live inputs, its answers reach nobody, and what differs is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli import ManualClock, Node, load_tree
from ssm_cli.errors import CodeRefused, CommandError
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


def test_inputs_that_were_forgotten_meanwhile_are_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, history=64)
    with desk.node as node:
        begun(desk, count=1000)
        desk.serve(["Put BUY 1"] * 500)
        found = node.shadow("book")
        assert found["same"] + found["missed"] == 500
        assert (found["clean"], [*counted(found)]) == (False, ["same"])


def test_a_shadow_takes_what_comes_before_it_is_forgotten(tmp_path: Path) -> None:
    desk = Desk(tmp_path, history=4000)
    with desk.node as node:
        begun(desk, count=10_000)
        desk.serve(["Ask"] * 9000)
        found = node.shadow("book")
        assert (found["same"], found["missed"]) == (9000, 0)


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


def test_a_step_that_does_not_end_ends_the_shadow(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write("t.yaml", TREE.replace("book.py:book", "book.py:book\n    step_timeout: 300"))
    desk.node = Node(load_tree(tmp_path / "t.yaml"), clock=ManualClock(), history=1000)
    with desk.node:
        begun(desk, "    match message:\n", ENDLESS + "    match message:\n")
        desk.serve(["Put BUY 1", "Ask", "Ask"])
        found = desk.node.shadow("book")
        assert (found["over"], found["clean"], counted(found)) == (True, False, {"crashes": 1})
        assert "ran longer than one may" in found["why"]


def test_a_file_whose_code_does_not_end_begins_no_shadow(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(
        "t.yaml",
        TREE.replace("book.py:book", "book.py:book\n    init_timeout: 50\n    step_timeout: 300"),
    )
    desk.node = Node(load_tree(tmp_path / "t.yaml"), clock=ManualClock(), history=1000)
    with desk.node:
        with pytest.raises(CodeRefused, match="cannot be loaded: StepTimeout"):
            begun(desk, "def step", "while True:\n    pass\n\ndef step")
        assert desk.serve(["Put BUY 1", "Ask"]) == [b"Bought", b"1"]

"""Reloads that are taken back one after another: no input that was served since is ever missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_cli import MemoryStore, Node
from ssm_cli.errors import CodeRefused, Forgotten
from tests.history.reload.desk import FILES, Desk, counted, of
from tests.history.reload.test_durable import killed, started

PERSIST = {
    "": "", "journal": "\n    persist: journal", "snapshot": "\n    persist: snapshot",
}  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with made.node:
        yield made


class Books:
    """A desk whose book is kept or not, and what its book must hold by now."""

    def __init__(self, folder: Path, persist: str) -> None:
        self.desk, self.store, self.held, self.loads = Desk(folder), MemoryStore(), 0, 0
        kept = PERSIST[persist] + "\n    on_crash: last_good"
        tree = FILES["t.yaml"].replace("./book.py:book", f"./book.py:book{kept}", 1)
        self.desk.write("t.yaml", tree)
        self.is_kept, self.is_journalled = bool(persist), persist == "journal"
        self.desk.node = started(self.desk, self.store)

    @property
    def node(self) -> Node:
        return self.desk.node

    def do(self, what: str) -> None:
        """Do it, and see that nothing is missing."""
        getattr(self, what)()
        assert self.desk.call("Ask") == str(self.held).encode(), what

    def put(self) -> None:
        self.held += 1
        assert self.desk.call("Put BUY 1") == b"Bought"

    def reload(self) -> None:
        self.loads += 1
        text = FILES["book.py"] + f"# {self.loads}\n"
        self.desk.write("book.py", text)
        found = self.node.reload()
        assert (found["done"], found["differs"]) == (True, False)

    def rollback(self) -> None:
        try:
            found = self.node.rollback()
        except CodeRefused:
            return  # nothing was reloaded in this process, or all is taken back
        assert (found["done"], found["differs"]) == (True, False)

    def crash(self) -> None:
        assert self.desk.call("Take 900") == "CalleeCrashed"

    def restart(self) -> None:
        self.node.terminate_child("root", "book")
        if not self.is_kept:
            self.held = 0
        self.node.restart_child("root", "book")

    def down_meanwhile(self) -> None:
        self.node.terminate_child("root", "book")
        if not self.is_kept:
            self.held = 0
        self.reload()
        self.rollback()
        self.node.restart_child("root", "book")

    def kill(self) -> None:
        if not self.is_journalled:
            return  # it may be back at what was saved last
        after = killed(self.store)
        self.node.stop()
        self.store, self.desk.node = after, started(self.desk, after)

    def stop(self) -> None:
        if not self.is_kept:
            self.held = 0
        self.node.stop()
        self.desk.node = started(self.desk, self.store)


DOES = ["put", "reload", "rollback", "crash", "restart", "down_meanwhile", "kill", "stop"]
OFTEN = [*DOES, "put", "reload", "reload", "rollback", "rollback", "rollback"]


@pytest.mark.parametrize("persist", PERSIST)
@settings(max_examples=12, deadline=None)
@given(does=st.lists(st.sampled_from(OFTEN), min_size=4, max_size=14))
def test_whatever_is_reloaded_and_taken_back_no_input_is_missing(
    persist: str, does: list[str]
) -> None:
    with TemporaryDirectory() as folder:
        books = Books(Path(folder), persist)
        try:
            for what in does:
                books.do(what)
        finally:
            books.node.stop()


TOLD = [
    "reload put reload put rollback rollback put kill",
    "reload put reload put rollback put rollback stop",
    "reload reload put rollback reload put rollback put rollback kill put",
    "put reload put rollback reload put rollback put rollback",
    "reload put reload crash put restart put rollback put rollback kill",
    "put down_meanwhile put kill",
]


@pytest.mark.parametrize("persist", PERSIST)
@pytest.mark.parametrize("does", TOLD)
def test_a_reload_before_others_is_taken_back_with_all_that_came(
    tmp_path: Path, does: str, persist: str
) -> None:
    books = Books(tmp_path, persist)
    for what in does.split():
        books.do(what)
    books.node.stop()


def test_what_came_under_each_code_since_is_stepped_and_told(desk: Desk) -> None:
    for old, new in (('"Bought"', '"Got"'), ('"Got"', '"Taken"')):
        desk.change(old, new)
        desk.node.reload(sure="yes")
        desk.serve(["Put BUY 1", "Ask"])
    desk.node.rollback(sure="yes")
    desk.serve(["Put BUY 1", "Take 1"])
    found = desk.node.rollback(sure="yes")
    assert counted(of(found)) == {"same": 3, "output": 3}
    assert desk.serve(["Ask", "Put BUY 1"]) == [b"2", b"Bought"]


def test_outputs_of_classes_that_were_loaded_again_are_alike(desk: Desk) -> None:
    desk.change("    return book, book.held", "    return book, book")
    desk.node.reload(sure="yes")
    for count in range(3):
        desk.change("book = StateMachine", f"# {count}\nbook = StateMachine")
        assert desk.node.reload()["done"]
        desk.serve(["Put BUY 1", "Ask"])
        found = desk.node.rollback()
        assert (found["done"], counted(of(found))) == (True, {"same": 2})


def test_what_came_so_many_changes_of_code_ago_is_refused_and_not_left_out(desk: Desk) -> None:
    desk.change('"Bought"', '"Got"')
    desk.node.reload(sure="yes")
    desk.serve(["Put BUY 1"])
    for count in range(32):
        desk.change("book = StateMachine", f"# {count}\nbook = StateMachine")
        desk.node.reload(sure="yes")
        desk.node.rollback(sure="yes")
    with pytest.raises(Forgotten, match="put the old code into its file"):
        desk.node.rollback(sure="yes")
    assert desk.call("Ask") == b"1"

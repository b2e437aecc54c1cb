"""Code without a callback for the state of a worker: reload, rollback and a start refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ManualClock, MemoryStore, Node, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.errors import CodeRefused, SsmError
from ssm_cli.history.past import with_past

CODE = """
from ssm_cli import (
    Answer, Event, EventHandler, KeepState, Next, Ok, PureHandler, Reply, Statem,
)

class Door(Statem):
    def init(self, name, args):
        return Next("closed", 0)

    def closed(self, event, data):
        return Next("open", data + 1, [Answer(event.caller, "open now")])

    def open(self, event, data):
        return KeepState(data + 1, [Answer(event.caller, data)])

class Count(EventHandler):
    def init(self, args, previous):
        return Ok(args)

    def handle_event(self, event, state):
        return Ok(state + 1)

class News(Event):
    handlers = {"count": Count, "more": Count}
"""
TREE = """
supervisor: root
intensity: 9
children:
  - worker: door
    start: ./w.py:Door
    persist: PERSIST
  - worker: news
    start: ./w.py:News
    args: {handlers: {count: 5}}
    persist: PERSIST
"""
UNFIT = [
    ("door", "def open(", "def opened(", "Door has no state function for 'open'"),
    ("door", "class Door(Statem):",
     "class Door(Statem):\n    callback_mode = property(lambda _: 'handle_event_function')",
     "Door has no handle_event"),
    ("news", '"count": Count, ', "", "'count' is no handler; there is more"),
    ("news", '"count": Count, "more": Count', "", "'count' is no handler; there is none by name"),
]  # fmt: skip
FIT = [
    ("def open(", "open = lambda self, event, data: None\n    def opened("),
    ("def closed(", "def shut("),  # it is not in that state
    (', "more": Count', ""),  # it is not installed
    ("Count, ", "PureHandler(lambda event, state: state + 1), "),
]
NAMES = [row[2] for row in UNFIT]


class Folder:
    """A folder with a tree and its code, and what is kept of it."""

    def __init__(self, path: Path, persist: str = "none") -> None:
        self.path, self.store = path, MemoryStore()
        (path / "w.py").write_text(CODE, encoding="utf-8")
        (path / "t.yaml").write_text(TREE.replace("PERSIST", persist), encoding="utf-8")

    def change(self, old: str, new: str) -> None:
        """Change the code."""
        assert old in CODE
        (self.path / "w.py").write_text(CODE.replace(old, new, 1), encoding="utf-8")

    def started(self) -> Node:
        """Return a node of the code that is there, on what is kept."""
        tree = load_tree(self.path / "t.yaml")
        node = Node(tree, clock=ManualClock(), history=100, store=self.store)
        return with_past(node, instant)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("row", UNFIT, ids=NAMES)
@pytest.mark.parametrize("sure", ["", "yes"])
def test_code_without_a_callback_for_the_state_is_refused(
    folder: Folder, row: tuple[str, str, str, str], sure: str
) -> None:
    worker, old, new, said = row
    with folder.started() as node:
        assert node.call("door", b"push") == b"open now"
        was = node.digest()
        folder.change(old, new)
        with pytest.raises(CodeRefused, match="cannot go on under the new code") as raised:
            node.reload(sure=sure)
        assert f"{worker}: its state" in str(raised.value)
        assert said in str(raised.value)
        assert node.digest() == was
        assert node.call("door", b"push") == b"1"
        assert node.call("news", b"tell") == b"ok"
        assert node.get_state("news") == [("count", 6)]


@pytest.mark.parametrize("row", FIT, ids=[row[0] for row in FIT])
def test_code_that_lacks_what_the_state_does_not_need_is_taken(
    folder: Folder, row: tuple[str, str]
) -> None:
    with folder.started() as node:
        node.call("door", b"push")
        folder.change(*row)
        assert node.reload(sure="yes")["done"]


def test_a_code_change_that_names_a_state_which_is_there_is_taken(folder: Folder) -> None:
    with folder.started() as node:
        node.call("door", b"push")
        folder.change("def open(", """def code_change(self, old_version, state, data, extra):
        return Next("opened", data)

    version = "2"

    def opened(""")  # fmt: skip
        assert node.reload(sure="yes")["done"]
        assert node.call("door", b"push") == b"1"


def test_a_state_put_in_place_since_that_the_old_code_lacks_is_not_gone_back_with(
    folder: Folder,
) -> None:
    with folder.started() as node:
        folder.change(
            "def open(", "def ajar(self, event, data):\n        return 1\n\n    def open("
        )
        node.reload(sure="yes")
        node.replace_state("door", ("ajar", 7))
        with pytest.raises(CodeRefused, match="Door has no state function for 'ajar'"):
            node.rollback(sure="yes")
        assert node.get_state("door") == ("ajar", 7)


@pytest.mark.parametrize("row", UNFIT, ids=NAMES)
@pytest.mark.parametrize("persist", ["journal", "snapshot"])
def test_a_durable_worker_does_not_start_with_such_code_and_keeps_its_state(
    tmp_path: Path, row: tuple[str, str, str, str], persist: str
) -> None:
    worker, old, new, said = row
    folder = Folder(tmp_path, persist)
    with folder.started() as node:
        node.call("door", b"push")
        node.call("news", b"tell")
        was: dict[str, Any] = {name: node.get_state(name) for name in ("door", "news")}
    folder.change(old, new)
    with folder.started() as node:
        down = [one for one in node.reports() if one.event == "down"]
        assert [(one.id, one.detail["reason"]) for one in down] == [(worker, "migrate")]
        assert said in down[0].detail["error"]["message"]
        with pytest.raises(SsmError):
            node.call(worker, b"push")
    folder.change(old, old)
    with folder.started() as node:
        assert {name: node.get_state(name) for name in was} == was

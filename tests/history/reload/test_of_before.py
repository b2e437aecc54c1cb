"""What is of before a reload: its crashes are shrunk, and its states are compared by content."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import CalleeCrashed, Node
from ssm_cli.errors import CommandError
from tests.history.reload.test_lost import Folder

HELPER = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Line:
    sku: str
    count: int
"""
CODE = """
from dataclasses import dataclass
from helper import Line
from ssm_cli import GenServer, Ok, Reply, StateMachine

@dataclass(frozen=True)
class Order:
    line: Line

@dataclass(frozen=True)
class Check:
    pass

@dataclass(frozen=True)
class Book:
    total: int = 0
    lines: tuple[Line, ...] = ()

def step(message: Order | Check, state: Book):
    if isinstance(message, Check):
        if state.total > 5:
            raise ValueError("too much")
        return state, "ok"
    return Book(state.total + message.line.count, (*state.lines, message.line)), "ok"

class Server(GenServer):
    inputs = Order | Check
    def init(self, name, args):
        return Ok(Book())
    def handle_call(self, message, caller, state):
        state, answer = step(message, state)
        return Reply(answer, state)

w = StateMachine(step=step, init=lambda name, args: Book(), inputs=Order | Check)
"""
MENDED = CODE.replace("> 5", "> 500")
TREE = """
supervisor: root
intensity: 9
children:
  - {{worker: w, start: "./w.py:{}"}}
"""


@pytest.fixture(params=["w", "Server"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    (tmp_path / "helper.py").write_text(HELPER, encoding="utf-8")
    return Folder(tmp_path, CODE, TREE.format(request.param))


def order(node: Node, count: int = 3) -> None:
    node.call("w", b'Order {"sku": "a", "count": %d}' % count)


def crash(node: Node) -> str:
    for _ in range(3):
        order(node)
    with pytest.raises(CalleeCrashed):
        node.call("w", b"Check")
    return str(node.record)


def reload(folder: Folder, node: Node, code: str) -> None:
    folder.write(code)
    assert node.reload(sure="yes")["done"]


def ran(text: str) -> None:
    """Run the one test in a file; what it imports by a plain name stays nobody else's."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [*sys.path])
        known = {*sys.modules}
        try:
            exec(compile(text, "test_it.py", "exec"), names)  # noqa: S102 - it was just written
            (test,) = (value for name, value in names.items() if name.startswith("test_"))
            test()
        finally:
            for name in sys.modules.keys() - known:
                del sys.modules[name]


@pytest.mark.parametrize("reloads", [1, 2])
def test_a_crash_of_before_a_reload_is_shrunk_to_a_test_of_the_code_of_now(
    folder: Folder, reloads: int
) -> None:
    with folder.started() as node:
        record = crash(node)
        before = node.perform("shrink", record=record)
        for number in range(reloads):
            reload(folder, node, f"{MENDED}\n# {number}\n")
        found = node.perform("shrink", record=record)
        assert (found["inputs"], found["test"]) == (before["inputs"], before["test"])
        assert found["reloaded"]
        assert "reloaded" not in before
        ran(found["test"])
        reload(folder, node, CODE)
        with pytest.raises(ValueError, match="too much"):
            ran(found["test"])


def test_what_has_no_place_in_the_code_of_now_is_to_be_shrunk_before_the_reload(
    folder: Folder,
) -> None:
    with folder.started() as node:
        record = crash(node)
        needs = "class Order:\n    line: Line\n    by: str\n"
        reload(folder, node, CODE.replace("class Order:\n    line: Line\n", needs))
        with pytest.raises(CommandError, match=r"now has no place for it.*shrink before it"):
            node.perform("shrink", record=record)


COMPARED: dict[str, Callable[[Node, str], Any]] = {
    "adopt": lambda node, fork: node.perform("adopt", worker="w", why="it", at=fork),
    "diff": lambda node, _: node.perform("diff", one="2", other="now"),
}


@pytest.mark.parametrize("how", COMPARED)
def test_states_of_before_a_reload_and_of_now_are_compared_by_content(
    folder: Folder, how: str
) -> None:
    with folder.started() as node:
        order(node)
        order(node)
        fork = node.perform("fork", record="1")["place"]
        reload(folder, node, MENDED)
        told = [(one["path"], one.get("before"), one.get("after"))
                for one in COMPARED[how](node, fork)["changes"]]  # fmt: skip
        line = {"type": "Line", "sku": "a", "count": 3}
        wanted = [("total", 6, 3), ("lines[1]", line, None)] if how == "adopt" else []
        assert told == wanted

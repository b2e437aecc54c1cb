"""Forks that are stepped by other code: from a record on, with the states of then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import ManualClock, Node, load_tree
from ssm_cli.errors import CommandError
from ssm_cli.history import other_code
from ssm_cli.history.past import with_past

CODE = """
from dataclasses import dataclass
from ssm_cli import GenServer, Ok, Reply, StateMachine

@dataclass(frozen=True)
class Add:
    n: int

@dataclass(frozen=True)
class Sum:
    total: int = {begins}

def step(message: Add, state: Sum):
    if message.n < 0:
        {fault}
    return Sum(state.total + {factor} * message.n), state.total + {factor} * message.n

adder = StateMachine(step=step, init=lambda *_: Sum(), inputs=Add, outputs=int)

class Server(GenServer):
    inputs = Add

    def init(self, name, args):
        return Ok(Sum())

    def handle_call(self, message, caller, state):
        return Reply(state.total, Sum(state.total + {factor} * message.n))
"""
TREE = """
supervisor: root
intensity: 9
children:
  - {worker: a, start: ./adding.py:adder}
  - {worker: s, start: ./adding.py:Server}
  - {worker: kv, start: ssm_cli.machines.kv:kv_store}
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "new").mkdir()
    then = CODE.format(begins=0, fault="raise ValueError(message.n)", factor=1)
    (tmp_path / "adding.py").write_text(then, encoding="utf-8")
    now = CODE.format(begins=70, fault="return Sum(0), 0", factor=10)
    (tmp_path / "new" / "adding.py").write_text(now, encoding="utf-8")
    (tmp_path / "tree.yaml").write_text(TREE, encoding="utf-8")
    tree = load_tree(str(tmp_path / "tree.yaml"))
    with Node(tree, clock=ManualClock(), history=100) as node:
        for line in (b"Add 1", b"Add 2", b"Add -1", b"Add 4"):
            node.begin("a", line)
            node.run()
        node.call("s", b"Add 3")
        yield with_past(node, str)


@pytest.fixture
def forked(node: Node, tmp_path: Path) -> Callable[[str], Node]:
    """Return a fork of a record, stepped by the other code."""

    def made(record: str) -> Node:
        code = str(tmp_path / "new" / "adding.py")
        place = node.perform("fork", record=record, code=code)["place"]
        fork: Node = node.perform("standing", place, reading=False)
        return fork

    return made


def test_a_fork_goes_on_by_the_other_code_from_the_state_of_then(forked: Any) -> None:
    fork = forked("2")
    assert fork.get_state("a").total == 3
    assert fork.call("a", b"Add -1") == b"0"
    assert fork.call("a", b"Add 5") == b"50"
    assert fork.call("s", b"Add 1") == b"0"
    assert fork.call("s", b"Add 1") == b"10"
    assert fork.call("kv", b"Lookup x") == b"Result None"


def test_what_restarts_there_begins_by_the_init_of_the_other_code(forked: Any) -> None:
    fork = forked("5")
    for worker in "as":
        fork.kill(worker)
        assert fork.get_state(worker).total == 70


def test_states_are_of_the_classes_of_the_live_tree(node: Node, forked: Any) -> None:
    fork = forked("2")
    fork.call("a", b"Add 5")
    assert type(fork.get_state("a")) is type(node.get_state("a"))
    assert node.get_state("a").total == 4


def test_all_since_is_stepped_again_by_it_without_a_record(node: Node, tmp_path: Path) -> None:
    place = node.perform("fork", code=str(tmp_path / "new" / "adding.py"))["place"]
    found = node.perform("without", records="1", at=place)
    assert {one["worker"]: one["after"] for one in found["changes"]} == {"a": 40, "s": 30}
    again = node.perform("fork", at=place)["place"]
    fork = node.perform("standing", again, reading=False)
    assert fork.call("a", b"Add 1") == b"50"
    assert node.perform("drop", at=again)["place"] == place


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("none.py", None, "there is no such file"),
        ("odd.py", "x = 1", "no worker has its code in a file that is called odd.py"),
        ("adding.py", "x = 1", "has no `step`: is it the code of this worker"),
        ("broken.py", "x = ", "cannot be loaded: SyntaxError"),
        ("cut.py", "raise KeyboardInterrupt", "cannot be loaded: KeyboardInterrupt"),
        ("ends.py", "raise SystemExit(3)", "cannot be loaded: SystemExit"),
    ],
)
def test_a_file_that_is_no_code_of_the_tree_is_refused(
    node: Node, tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    path = tmp_path / "new" / file
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(CommandError, match=said):
        node.perform("fork", code=str(path))
    assert not node.perform("forks")["forks"]


@pytest.mark.parametrize("limit", ["300", "infinity"])
@pytest.mark.parametrize("verb", ["fork", "replay"])
def test_a_file_whose_code_does_not_end_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, limit: str
) -> None:
    monkeypatch.setattr(other_code, "TRIED_LOAD_S", 0.3)
    monkeypatch.setattr(other_code, "TRIED_STEP_S", 0.3)
    code = CODE.format(begins=0, fault="return state, 0", factor=1)
    (tmp_path / "adding.py").write_text(code, encoding="utf-8")
    limits = f"init_timeout: {limit}, step_timeout: {limit}"
    one = f"{{worker: a, start: ./adding.py:adder, {limits}}}"
    (tmp_path / "tree.yaml").write_text(f"supervisor: root\nchildren: [{one}]\n", encoding="utf-8")
    endless = tmp_path / "endless.py"
    endless.write_text("while True:\n    pass\n", encoding="utf-8")
    with Node(load_tree(tmp_path / "tree.yaml"), clock=ManualClock(), history=16) as node:
        with_past(node, str)
        node.call("a", b"Add 1")
        given = {"worker": "a"} if verb == "replay" else {}
        with pytest.raises(CommandError, match=r"endless.py cannot be loaded: StepTimeout"):
            node.perform(verb, code=str(endless), **given)
        assert node.call("a", b"Add 1") == b"2"

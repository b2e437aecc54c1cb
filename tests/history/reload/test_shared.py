"""Workers that share a file, and go back one by one: the file is taken again by all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli import Node
from tests.history.reload.test_lost import Folder

CODE = """
from dataclasses import dataclass
from ssm_cli import StateMachine

@dataclass(frozen=True)
class Count:
    n: int = 0

def step(message: str, state: Count) -> tuple[Count, str]:
    return Count(state.n + 1), f"one {state.n + 1}"

def init(name, args):
    return Count()
"""
FORMS = {
    "a lambda": "w = StateMachine(step=step, init=lambda name, args: Count())\n",
    "a function": "w = StateMachine(step=step, init=init)\n",
}
TREE = """
supervisor: root
intensity: 9
children:
  - {worker: a, start: "./w.py:w"%s}
  - {worker: b, start: "./w.py:w"%s}
"""
KEPT = {"": TREE % ("", ""), "journal": TREE % (", persist: journal", ", persist: journal")}


@pytest.fixture(params=[(form, kept) for form in FORMS for kept in KEPT], ids=" ".join)
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    form, kept = request.param
    return Folder(tmp_path, CODE + FORMS[form], KEPT[kept])


def edit(folder: Folder, word: str) -> None:
    """Have the code answer by another word."""
    text = (folder.path / "w.py").read_text(encoding="utf-8")
    was = text.partition('f"')[2].partition(" ")[0]
    folder.write(text.replace(f'f"{was} ', f'f"{word} '))


def answers(node: Node) -> list[str]:
    """Return what both answer, a before b."""
    return [node.call(worker, b"x").decode() for worker in "ab"]


def split(node: Node, folder: Folder) -> None:
    """Have `a` gone back, and `b` on the code that is in the file."""
    assert answers(node) == ["one 1", "one 1"]
    edit(folder, "two")
    assert node.reload(sure="yes")["done"]
    assert node.rollback("a", sure="yes")["done"]
    assert answers(node) == ["one 2", "two 2"]


@pytest.mark.parametrize("what", [None, "a", "w.py"])
def test_one_that_went_back_alone_takes_the_file_again(folder: Folder, what: str | None) -> None:
    with folder.started() as node:
        split(node, folder)
        found = node.reload(what)
        assert [told["worker"] for told in found["workers"]] == ["a"]
        assert (found["done"], found["differs"]) == (False, True)
        assert found["modules"][0]["was"] != found["modules"][0]["code"]
        assert node.reload(what, sure="yes", plan=found["plan"])["done"]
        assert answers(node) == ["two 3", "two 3"]
        assert node.reload()["workers"] == []


def test_and_goes_back_again_as_does_the_other_one(folder: Folder) -> None:
    with folder.started() as node:
        split(node, folder)
        assert node.reload(sure="yes")["done"]
        assert node.rollback(sure="yes")["done"]
        assert answers(node) == ["one 3", "two 3"]
        assert [told["worker"] for told in node.reload()["workers"]] == ["a"]
        assert node.rollback("b", sure="yes")["done"]
        assert answers(node) == ["one 4", "one 4"]
        assert [told["worker"] for told in node.reload()["workers"]] == ["a", "b"]


def test_both_take_a_file_that_was_edited_meanwhile_and_go_back_each_to_its_own(
    folder: Folder,
) -> None:
    with folder.started() as node:
        split(node, folder)
        edit(folder, "three")
        assert node.reload(sure="yes")["done"]
        assert answers(node) == ["three 3", "three 3"]
        assert node.rollback(sure="yes")["done"]
        assert answers(node) == ["one 4", "two 4"]
        edit(folder, "four")
        assert node.reload(sure="yes")["done"]
        assert answers(node) == ["four 5", "four 5"]


def test_one_that_is_restarted_behind_takes_the_file_too(folder: Folder) -> None:
    with folder.started() as node:
        split(node, folder)
        node.kill("a")
        node.run(0)
        assert node.reload(sure="yes")["done"]
        assert node.call("a", b"x").decode().startswith("two")

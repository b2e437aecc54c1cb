"""A worker is reloaded to what its files say now, whoever went back, or on, by himself before."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_cli import MemoryStore, Node, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.errors import CodeRefused
from ssm_cli.history.past import with_past

CODE = """
from dataclasses import dataclass
from ssm_cli import StateMachine
from helper import HELPER, Extra

WORD = "1"

@dataclass(frozen=True)
class Held:
    n: int
    extra: Extra

def step(message: str, state: Held) -> tuple[Held, str]:
    assert type(state) is Held and type(state.extra) is Extra, "classes of another load"
    return Held(state.n + 1, Extra(state.n)), f"{WORD} {HELPER}"

def init(name, args) -> Held:
    return Held(0, Extra(0))

w = StateMachine(step=step, init=init)
"""
BETWEEN = "from helper import HELPER, Extra\n"
HELPER = """
from dataclasses import dataclass

HELPER = "1"

@dataclass(frozen=True)
class Extra:
    n: int
"""
WAYS = {
    "straight": {"u": CODE, "w": CODE, "helper": HELPER},
    "by another": {"u": CODE, "w": CODE.replace("helper", "between"), "between": BETWEEN,
                   "helper": HELPER},
}  # fmt: skip
TREE = """
supervisor: root
intensity: 99
children:
  - {worker: a, start: "./u.py:w"%s}
  - {worker: b, start: "./u.py:w"%s}
  - {worker: c, start: "./w.py:w"%s}
  - supervisor: pool
    strategy: simple_one_for_one
    children: [{worker: p, start: "./u.py:w"}]
"""
FILE_OF = {"a": "u", "b": "u", "c": "w"}


class Project:
    """Files, a tree of them, and what its workers have to answer.

    Attributes:
        said: what each file says.
        node: the tree, which runs.
        children: those of the pool.
    """

    def __init__(self, folder: Path, way: str, persist: str) -> None:
        self.folder, self.said = folder, dict.fromkeys(WAYS[way], 1)
        for name, text in WAYS[way].items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        (folder / "t.yaml").write_text(TREE % ((persist,) * 3), encoding="utf-8")
        tree = load_tree(folder / "t.yaml")
        self.node = with_past(Node(tree, history=1000, store=MemoryStore()), instant)
        self.node.start()
        self.children: list[str] = []

    def do(self, what: str) -> None:
        """Do it, and see that it came to what it should."""
        verb, _, whom = what.partition(" ")
        getattr(self, verb)(whom)
        for worker in self.workers():
            self.answer(worker)

    def workers(self) -> list[str]:
        return [*FILE_OF, *self.children]

    def answer(self, worker: str) -> str:
        return bytes(self.node.call(worker, b"x")).decode()

    def edit(self, name: str) -> None:
        path, now = self.folder / f"{name}.py", self.said[name]
        word = "HELPER" if name == "helper" else "WORD"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f'{word} = "{now}"', f'{word} = "{now + 1}"'), "utf-8")
        self.said[name] += 1

    def reload(self, whom: str) -> None:
        file = FILE_OF.get(whom, "")
        self.node.reload(whom or None, sure="yes")
        for worker in self.workers():
            its = FILE_OF.get(worker, "u")
            if file in ("", its):
                assert self.answer(worker) == f"{self.said[its]} {self.said['helper']}", worker
        assert self.node.reload(whom or None, sure="yes")["workers"] == []

    def rollback(self, whom: str) -> None:
        try:
            assert self.node.rollback(whom or None, sure="yes")["done"]
        except CodeRefused as error:
            assert "so there is nothing to go back to" in str(error)  # noqa: PT017 - or none

    def begin(self, _: str) -> None:
        self.node.start_child("pool", f"p{len(self.children)}")
        self.children.append(f"pool:p{len(self.children)}")


DOES = ["edit helper", "edit helper", "edit u", "edit w", "begin", "reload", "reload", "reload a",
        "reload c", "rollback", "rollback a", "rollback b", "rollback c"]  # fmt: skip
TOLD = [
    "edit helper,reload,rollback a,edit helper,reload",
    "edit helper,reload,begin,rollback,edit helper,reload,begin",
    "edit helper,reload,begin,rollback,edit helper,reload a,reload",
    "edit helper,reload,begin,rollback,edit helper,reload c,reload,reload a",
    "edit helper,reload,edit helper,rollback b,reload c,reload,reload a,reload b",
    "edit helper,reload a,reload c,edit helper,rollback c,rollback a,reload a,reload",
    "edit helper,reload,reload c,rollback a,rollback b,edit u,reload c,rollback,reload",
]


@pytest.mark.parametrize(
    ("way", "persist"),
    [("straight", ""), ("straight", ", persist: journal"), ("by another", "")],
    ids=["straight", "kept", "by another"],
)
@pytest.mark.parametrize("does", TOLD)
def test_it_is_what_the_files_say_as_told(
    tmp_path: Path, does: str, way: str, persist: str
) -> None:
    project = Project(tmp_path, way, persist)
    for what in does.split(","):
        project.do(what)
    project.node.stop()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=8, deadline=None)
@given(does=st.lists(st.sampled_from(DOES), min_size=3, max_size=12))
def test_it_is_what_the_files_say_whatever_came_before(way: str, does: list[str]) -> None:
    with TemporaryDirectory() as folder:
        project = Project(Path(folder), way, "")
        try:
            for what in does:
                project.do(what)
        finally:
            project.node.stop()

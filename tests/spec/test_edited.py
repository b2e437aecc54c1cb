"""A tree file that is applied after the code that it names was edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli import ManualClock, Node, load_tree
from ssm_cli.errors import TreeFileError

CODE = """\
from ssm_cli import GenServer, Reply, StateMachine
def step(message, state):
    return state + {by}, state + {by}
def init(name, args):
    return args.get("begin", 0)
counts = StateMachine(step=step, init=init)
class Server(GenServer):
    def init(self, name, args):
        from ssm_cli import Ok
        return Ok({by})
    def handle_call(self, message, caller, state):
        return Reply(state + {by}, state)
"""
WORKER = "  - {{worker: {0}, start: ./code.py:{1}, args: {{begin: {2}}}}}\n"


def written(folder: Path, by: int, *workers: tuple[str, str, int]) -> Path:
    (folder / "code.py").write_text(CODE.format(by=by))
    file = folder / "tree.yaml"
    file.write_text("supervisor: root\nchildren:\n" + "".join(WORKER.format(*w) for w in workers))
    return file


def test_an_edited_file_is_not_loaded_again_as_one_class_would_be_two(tmp_path: Path) -> None:
    file = written(tmp_path, 1, ("a", "counts", 0), ("b", "Server", 0), ("c", "counts", 0))
    with Node(load_tree(file), clock=ManualClock()) as node:
        node.call("a", "go")
        written(tmp_path, 10, ("a", "counts", 0), ("b", "Server", 0), ("c", "counts", 5),
                ("d", "counts", 0))  # fmt: skip
        done = node.apply(file)
        assert [(step.act, step.id) for step in done.done] == [("restart", "c"), ("start", "d")]
        assert [node.call(name, "go") for name in "abcd"] == [2, 2, 6, 1]
        assert node.plan(file).todo == ()


def test_a_tree_of_python_that_was_edited_restarts_only_what_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "tree.py"
    tree = """
from ssm_cli import Supervisor, Worker
tree = Supervisor("root", children=[Worker("a", counts, args={"begin": 1}), Worker("b", Server%s)])
"""
    file.write_text(CODE.format(by=1) + tree % "")
    with Node(load_tree(file), clock=ManualClock()) as node:
        file.write_text(CODE.format(by=1) + "# another line\n" + tree % ", args={'n': 1}")
        assert [(s.act, s.id, s.why) for s in node.plan(file).todo] == [("restart", "b", "args: n")]


def test_what_an_edit_has_added_is_refused_until_it_is_loaded(tmp_path: Path) -> None:
    file = written(tmp_path, 1, ("a", "counts", 0))
    with Node(load_tree(file), clock=ManualClock()) as node:
        written(tmp_path, 1, ("a", "counts", 0), ("b", "more", 0))
        (tmp_path / "code.py").write_text(CODE.format(by=1) + "more = counts\n")
        with pytest.raises(TreeFileError, match=r"has no more.*edited since; `reload` takes"):
            node.apply(file)
        assert node.names("worker") == ["a"]

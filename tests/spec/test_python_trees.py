"""Python trees: run by path, checked like those in YAML."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec

HEAD = "from ssm_cli.spec.model import Supervisor, Worker\nfrom ssm_test_beside import echo\n"
Load = Callable[[str], SupervisorSpec]


@pytest.fixture
def load_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.delitem(sys.modules, "ssm_test_beside", raising=False)
    (tmp_path / "ssm_test_beside.py").write_text(
        "from ssm_cli.behaviour.machine import StateMachine\n"
        "echo = StateMachine(step=lambda message, state: (state, message))\n"
    )

    def load_text(text: str) -> SupervisorSpec:
        (tmp_path / "tree.py").write_text(text, encoding="utf-8")
        return load_tree(tmp_path / "tree.py")

    return load_text


def test_a_tree_is_a_module_level_name(load_python: Load) -> None:
    before = list(sys.path)
    tree = load_python(f"{HEAD}tree = Supervisor('root', children=[Worker('w', echo)])\n")
    assert [tree.id, tree.children[0].id] == ["root", "w"]
    assert sys.path == before


def test_a_tree_may_be_a_function_and_import_its_neighbours_when_called(load_python: Load) -> None:
    tree = load_python(
        "def tree():\n    from ssm_cli.spec.model import Supervisor, Worker\n"
        "    from ssm_test_beside import echo\n"
        "    return Supervisor('root', children=[Worker('w', echo)])\n"
    )
    assert tree.children[0].id == "w"


def test_a_relative_path_will_do(
    load_python: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_python(f"{HEAD}tree = Supervisor('root')\n")
    monkeypatch.chdir(tmp_path)
    assert load_tree("tree.py").id == "root"
    (tmp_path / "tree.py").write_text("\n1 / 0\n")
    with pytest.raises(TreeFileError, match=r"^tree\.py:2:1: \(file\): raises when it is run: Z"):
        load_tree("tree.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", "1:5: (file): is not valid Python: SyntaxError: '(' was never closed"),
        ("\n1 / 0\n", "2:1: (file): raises when it is run: ZeroDivisionError: division by zero"),
        ("raise SystemExit('no')\n", "1:1: (file): raises when it is run: SystemExit: no at tree."),
        ("\ndef tree():\n    return {}['x']\n", "3:1: (file): raises when it is run: KeyError: 'x"),
        (
            "def tree(n):\n    pass\n",
            "1:1: (file): raises when it is run: TypeError: tree() missing",
        ),
        (
            "x = 1\n",
            "1:1: (file): has no `tree`; expected a module-level `tree`, a Supervisor, or ",
        ),
        ("tre = 1\n", "did you mean tre?"),
        (f"{HEAD}root = Supervisor('root')\n", "did you mean tree = root?"),
        ("\ntree = 7\n", "2:1: (file): has a `tree` that is 7; expected a module-level `tree`"),
        ("def tree():\n    return []\n", "1:1: (file): has a `tree` that answers with a list; ex"),
        ("\nasync def tree():\n    pass\n", "2:1: (file): has a `tree` that is the function tree"),
        (f"{HEAD}tree = Worker('w', echo)\n", "3:1: (file): has a `tree` that is a WorkerSpec; e"),
        (f"{HEAD}tree = Supervisor('r', 'all')\n", '3:8: r.strategy: is the text "all"; expected'),
    ],
)
def test_a_file_that_makes_no_tree_is_told(
    tmp_path: Path, load_python: Load, text: str, said: str
) -> None:
    with pytest.raises(TreeFileError) as caught:
        load_python(text)
    (only,) = caught.value.complaints
    assert said in only.removeprefix(f"{tmp_path / 'tree.py'}:")


def test_what_is_wrong_is_told_at_the_call_that_builds_it(
    tmp_path: Path, load_python: Load
) -> None:
    with pytest.raises(TreeFileError) as caught:
        load_python(
            f"{HEAD}tree = Supervisor('root', intensity=-1, children=[\n"
            "    Worker('w.1', 7),\n"
            "    Supervisor('s', children=[\n"
            "        Worker('w.1', echo, significant=True),\n"
            "    ]),\n"
            "    *(Worker(name, echo) for name in ['a', 'a']),\n"
            "])\n"
        )
    file = tmp_path / "tree.py"
    assert [complaint.removeprefix(f"{file}:") for complaint in caught.value.complaints] == [
        (
            "3:1: root/a.worker: has the name of another node, root/a; "
            "expected names unique in the tree"
        ),
        "3:8: root.intensity: is -1; expected a whole number of at least 0",
        (
            "4:5: root/w.1.start: is 7; "
            "expected a StateMachine or a subclass of GenServer, Statem or Event"
        ),
        (
            "6:9: root/s/w.1.worker: has the name of another node, root/w.1; "
            "expected names unique in the tree"
        ),
        (
            "6:9: root/s/w.1.significant: is true with auto_shutdown never; "
            "expected auto_shutdown any_significant or all_significant at its supervisor"
        ),
    ]

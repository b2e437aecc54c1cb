"""The code of a file raises anything when it is run or looked at: always a complaint, with a place.

Only Ctrl-C goes through: a person ends the command.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.load import load_tree

KINDS = {
    "an exception": "raise ValueError('no')",
    "SystemExit": "raise SystemExit(9)",
    "GeneratorExit": "raise GeneratorExit",
    "a cancellation": "import asyncio\nraise asyncio.CancelledError",
    "a class of its own": "class Own(BaseException): pass\nraise Own('mine')",
    "much like Ctrl-C": "class Own(KeyboardInterrupt): pass\nraise Own",
    "the limit of no step": "from ssm_cli import StepTimeout\nraise StepTimeout",
    "several at once": "raise BaseExceptionGroup('all', [SystemExit(1), GeneratorExit()])",
    "a text that exits": "class E(Exception):\n    def __str__(self): raise SystemExit(9)\nraise E",
    "a text that ends": "class E(Exception):\n    def __str__(self): raise GeneratorExit\nraise E",
    "a text that is none": "class E(Exception):\n    def __str__(self): return 7\nraise E",
    "an import error without text": (
        "class E(ImportError):\n    def __str__(self): raise SystemExit(9)\nraise E"
    ),
    "an import error without a name": (
        "class E(ModuleNotFoundError):\n    name = property(lambda self: 1 / 0)\nraise E"
    ),
    "an import error with an odd name": "raise ModuleNotFoundError('no', name=7)",
    "a syntax error of its own": "raise SyntaxError(7, ('elsewhere.py', 'x', None, None))",
    "a syntax error that is none": (
        "class E(SyntaxError):\n    msg = property(lambda self: 1 / 0)\nraise E"
    ),
    "no end of calls": "def f(): f()\nf()",
    "a traceback that is none": (
        "class E(Exception):\n"
        "    __traceback__ = property(lambda self: 1 / 0, lambda *_: None)\nraise E"
    ),
    "a path taken away": "import sys\nsys.path = None\nraise ValueError",
}
LOOKS = {
    "a module that answers": "def __getattr__(name): raise GeneratorExit",
    "a class that lies": (
        "class Lies:\n    __class__ = property(lambda self: exit(9))\necho = tree = Lies()"
    ),
}
RAISED = "(raises %s|is not valid Python): "


def complaints(file: Path) -> tuple[str, ...]:
    with pytest.raises(TreeFileError) as caught:
        load_tree(file)
    assert all(str(complaint).startswith(f"{file}:") for complaint in caught.value.complaints)
    return caught.value.complaints


def yaml_tree(folder: Path, start: str) -> Path:
    file = folder / "tree.yaml"
    file.write_text(f"supervisor: root\nchildren:\n- {{worker: w, start: '{start}'}}\n")
    return file


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.parametrize("code", KINDS.values(), ids=KINDS)
def test_whatever_the_file_of_a_worker_raises_is_a_complaint(tmp_path: Path, code: str) -> None:
    (tmp_path / "w.py").write_text(f"{code}\n")
    (only,) = complaints(yaml_tree(tmp_path, "./w.py:echo"))
    assert re.search(rf"yaml:3:22: root/w.start: names ./w.py, which {RAISED % 'on import'}", only)
    assert re.search(r" at w\.py line \d", only)


@pytest.mark.parametrize("code", KINDS.values(), ids=KINDS)
def test_so_is_what_the_module_of_a_worker_raises(tmp_path: Path, code: str) -> None:
    name = f"ssm_test_raises_{[*KINDS.values()].index(code)}"
    (tmp_path / f"{name}.py").write_text(f"{code}\n")
    (only,) = complaints(yaml_tree(tmp_path, f"{name}:echo"))
    assert re.search(rf"yaml:3:22: root/w.start: names {name}, which {RAISED % 'on import'}", only)


@pytest.mark.parametrize("code", KINDS.values(), ids=KINDS)
def test_so_is_what_a_python_tree_raises(tmp_path: Path, code: str) -> None:
    (tmp_path / "tree.py").write_text(f"{code}\n")
    (only,) = complaints(tmp_path / "tree.py")
    assert re.search(rf"\(file\): {RAISED % 'when it is run'}", only)
    (tmp_path / "tree.py").write_text("def tree():\n    " + code.replace("\n", "\n    ") + "\n")
    (only,) = complaints(tmp_path / "tree.py")
    assert re.search(rf"\(file\): {RAISED % 'when it is run'}", only)


@pytest.mark.parametrize("code", LOOKS.values(), ids=LOOKS)
def test_so_is_what_happens_when_code_is_looked_at(tmp_path: Path, code: str) -> None:
    (tmp_path / "w.py").write_text(f"{code}\n")
    (only,) = complaints(yaml_tree(tmp_path, "./w.py:echo"))
    assert "tree.yaml:3:22: root/w.start: names echo in ./w.py, which raises when looked up" in only
    (tmp_path / "tree.py").write_text(f"{code}\n")
    (only,) = complaints(tmp_path / "tree.py")
    assert "(file): raises when " in only


@pytest.mark.parametrize("name", ["tree.py", "w.py"])
def test_ctrl_c_while_a_file_is_run_ends_the_command(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("raise KeyboardInterrupt\n")
    tree = tmp_path / "tree.py" if name == "tree.py" else yaml_tree(tmp_path, "./w.py:echo")
    with pytest.raises(KeyboardInterrupt):
        load_tree(tree)


def test_the_limit_of_a_step_that_loads_a_tree_goes_through(tmp_path: Path) -> None:
    (tmp_path / "tree.py").write_text(
        "from ssm_cli import StepTimeout\nerror = StepTimeout()\nerror.owner = 7\nraise error\n"
    )
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - it is no Exception
        load_tree(tmp_path / "tree.py")
    assert type(caught.value).__name__ == "StepTimeout"

"""`start`: which code a reference names, and what is said when it names none."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli import Node, load_tree
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec

Load = Callable[[str], SupervisorSpec]
Complain = Callable[[str], list[str]]


def tree(*starts: str) -> str:
    workers = [f'  - {{worker: w{i}, start: "{start}"}}\n' for i, start in enumerate(starts)]
    return "supervisor: root\nchildren:\n" + "".join(workers)


def starts_of(spec: SupervisorSpec) -> list[object]:
    return [child.start for child in spec.children if isinstance(child, WorkerSpec)]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_a_file_reference_is_relative_to_the_tree_file(load: Load) -> None:
    machine, server = starts_of(load(tree("./machines.py:echo", "./machines.py:Desk")))
    assert isinstance(machine, StateMachine)
    assert isinstance(server, type)
    assert issubclass(server, GenServer)


def test_a_module_reference_is_imported(load: Load) -> None:
    (server,) = starts_of(load(tree("ssm_cli.behaviour.gen_server:GenServer")))
    assert server is GenServer


def test_a_file_is_run_once_until_it_changes(tmp_path: Path, load: Load) -> None:
    runs = tmp_path / "runs"
    write(tmp_path, "counted.py", f"from machines import *\nopen({str(runs)!r}, 'x').close()\n")
    first, second, _ = starts_of(
        load(tree("./counted.py:echo", "./counted.py:echo", "./counted.py:Desk"))
    )
    assert first is second
    runs.unlink()
    load(tree("./counted.py:echo"))
    assert not runs.exists()
    (tmp_path / "counted.py").write_text(f"{(tmp_path / 'counted.py').read_text()}# edited\n")
    load(tree("./counted.py:echo"))
    assert runs.exists()


def test_the_next_load_sees_an_edit(tmp_path: Path, load: Load) -> None:
    write(tmp_path, "fresh.py", "from machines import echo as x1, Desk as x2\n")
    (before,) = starts_of(load(tree("./fresh.py:x1")))
    write(tmp_path, "fresh.py", "from machines import echo as x2, Desk as x1\n")
    (after,) = starts_of(load(tree("./fresh.py:x1")))
    assert isinstance(before, StateMachine)
    assert isinstance(after, type)


def test_files_of_the_same_name_are_modules_of_their_own(tmp_path: Path, load: Load) -> None:
    machine = (tmp_path / "machines.py").read_text(encoding="utf-8")
    write(tmp_path, "one/m.py", machine)
    write(tmp_path, "two/m.py", machine)
    one, two = starts_of(load(tree("./one/m.py:Desk", "./two/m.py:Desk")))
    assert isinstance(one, type)
    assert isinstance(two, type)
    assert one.__module__ != two.__module__
    assert sys.modules[one.__module__].Desk is one


def test_a_file_can_import_its_neighbours_but_the_path_is_left_as_it_was(
    tmp_path: Path, load: Load
) -> None:
    write(tmp_path, "ssm_test_neighbour.py", "from machines import echo\n")
    write(tmp_path, "here.py", "from ssm_test_neighbour import echo\n")
    before = list(sys.path)
    assert isinstance(starts_of(load(tree("./here.py:echo")))[0], StateMachine)
    assert sys.path == before


def test_an_attribute_may_be_dotted(tmp_path: Path, load: Load) -> None:
    write(tmp_path, "inner.py", "import machines\nclass Box:\n    echo = machines.echo\n")
    assert isinstance(starts_of(load(tree("./inner.py:Box.echo")))[0], StateMachine)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("nonsense", '"nonsense" has the wrong form; expected package.module:attribute or ./file'),
        ("a b:c", '"a b:c" has the wrong form'),
        (".a:b", '".a:b" has the wrong form'),
        ("a:b c", '"a:b c" has the wrong form'),
        ("./machines.py:", '"./machines.py:" has the wrong form'),
        (
            "machines.py:echo",
            "has the wrong form; expected package.module:attribute or ./file.py:a",
        ),
        ("machines.py:echo", "did you mean ./machines.py:echo?"),
        (
            "./machine.py:echo",
            "names ./machine.py, which is no Python file; expected a Python file",
        ),
        ("./machine.py:echo", "did you mean ./machines.py?"),
        ("./nowhere/m.py:echo", "which is no Python file; expected"),
        ("./tree.yaml:echo", "names ./tree.yaml, which is no Python file"),
        (
            "./machines.py:eco",
            "./machines.py has no eco; expected a StateMachine or a subclass of ",
        ),
        ("./machines.py:eco", "did you mean echo?"),
        ("./machines.py:echo.nothing", "./machines.py has no nothing; expected"),
        (
            "./machines.py:step",
            "step in ./machines.py is the function step; expected a StateMachine",
        ),
        (
            "./machines.py:StateMachine",
            "is the class StateMachine; expected a StateMachine or a su",
        ),
        (
            "./machines.py:open_desk",
            "is a Desk; expected a StateMachine or a subclass of GenServer",
        ),
        ("./machines.py:open_desk", "did you mean the class Desk itself?"),
        (
            "ssm_cli.behavior:x",
            "names ssm_cli.behavior, which cannot be found; expected an installe",
        ),
        ("ssm_cli.behavior:x", "did you mean ssm_cli.behaviour?"),
        ("ssm_cli.behavior.machine:x", "did you mean ssm_cli.behaviour.machine?"),
        ("ssm_cly.spec:x", "did you mean ssm_cli.spec?"),
        ("machines:echo", "names machines, which cannot be found"),
        ("machines:echo", "did you mean ./machines.py?"),
        ("json.decoder.x:y", "names json.decoder.x, which cannot be found"),
    ],
)
def test_a_reference_that_names_no_code_is_told(
    complain: Complain, monkeypatch: pytest.MonkeyPatch, start: str, said: str
) -> None:
    monkeypatch.delitem(sys.modules, "machines", raising=False)
    (only,) = complain(tree(start))
    assert only.startswith("3:25: root/w0.start: ")
    assert said in only


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "x = 1\n1 / 0\n",
            "raises on import: ZeroDivisionError: division by zero at bad.py line 2",
        ),
        ("import sys\nsys.exit(3)\n", "raises on import: SystemExit: 3 at bad.py line 2"),
        ("x = (\n", "is not valid Python: SyntaxError: '(' was never closed at bad.py line 1"),
        ("\nimport no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module' at b"),
        ("import broken\n", "SyntaxError: invalid syntax at bad.py line 1, in broken.py line 2"),
        ("def f():\n    raise OSError\n\nf()\n", "raises on import: OSError at bad.py line 2"),
        (
            "def __getattr__(n):\n    raise OSError\n",
            "names x in ./bad.py, which raises when looked",
        ),
    ],
)
def test_what_a_file_raises_is_told_with_its_line(
    tmp_path: Path, complain: Complain, text: str, said: str
) -> None:
    write(tmp_path, "bad.py", text)
    write(tmp_path, "broken.py", "\n?\n")
    (only,) = complain(tree("./bad.py:x"))
    assert said in only


def test_what_a_module_raises_is_told_with_its_line(
    tmp_path: Path, complain: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "ssm_test_raises.py", "\nraise KeyError('k')\n")
    write(tmp_path, "ssm_test_imports.py", "\n\nimport ssm_test_absent\n")
    write(tmp_path, "ssm_test_syntax.py", "def\n")
    said = [
        "which raises on import: KeyError: 'k' at ssm_test_raises.py line 2",
        "No module named 'ssm_test_absent' at ssm_test_imports.py line 3",
        "which is not valid Python: SyntaxError: invalid syntax at ssm_test_syntax.py line 1",
    ]
    starts = ["ssm_test_raises:x", "ssm_test_imports:x", "ssm_test_syntax:x"]
    for complaint, end in zip(complain(tree(*starts)), said, strict=True):
        assert complaint.endswith(end)


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path, complain: Complain) -> None:
    write(tmp_path, "bad.py", "1 / 0\n")
    before = set(sys.modules)
    complain(tree("./bad.py:x"))
    assert {name for name in set(sys.modules) - before if name.startswith("ssm_file_")} == set()


def test_a_file_that_is_imported_already_is_that_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_once.py").write_text(
        "from dataclasses import dataclass\nfrom ssm_cli import StateMachine\n"
        "@dataclass(frozen=True)\nclass Add:\n    amount: int\n"
        "def step(message: Add, state):\n    return state + message.amount, state\n"
        "machine = StateMachine(step=step, init=lambda n, a: 1, inputs=Add)\n"
    )
    tree = tmp_path / "tree.yaml"
    tree.write_text(
        "supervisor: r\nchildren:\n- {worker: w, start: './imported_once.py:machine'}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("imported_once")
    with Node(load_tree(tree)) as node:
        assert node.call("w", module.Add(2)) == 1
        assert node.get_state("w") == 3
    del sys.modules["imported_once"]

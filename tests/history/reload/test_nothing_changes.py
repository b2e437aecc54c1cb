"""A comment changes nothing, and what a file uses is noticed however it is reached.

Each tree is written, served, edited, and reloaded: by `node.reload()` in this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import CallError, MemoryStore, Node, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.errors import CodeRefused
from ssm_cli.history.past import with_past

CLASSES = """
from dataclasses import dataclass, replace
from ssm_cli import Answer, GenServer, KeepState, Next, Ok, Reply, StateMachine, Statem

@dataclass(frozen=True)
class Book:
    n: int = 0

class Bank(GenServer):
    def init(self, name, args):
        return Ok(Book())
    def handle_call(self, message, caller, state):
        state = replace(state, n=state.n + 1)
        return Reply(state.n, state)

class Door(Statem):
    def init(self, name, args):
        return Next("closed", Book())
    def closed(self, event, data):
        data = replace(data, n=data.n + 1)
        return KeepState(data, [Answer(event.caller, data.n)] if event.caller else [])

def step(message, state):
    return replace(state, n=state.n + 1), state.n + 1

plain = StateMachine(step=step, init=lambda name, args: Book())
many = StateMachine(
    step=lambda message, state: ([*state, Book()], len(state) + 1), init=lambda name, args: []
)
"""
EFFECTS = """
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from ssm_cli import (
    Answer, Cast, Defer, Done, Exited, Info, Join, Publish, Run, StartTimer, StateMachine
)

class Key(StrEnum):
    A = "a"

@dataclass(frozen=True)
class Val:
    n: int

@dataclass(frozen=True)
class In:
    what: str

def count(text: Val) -> Val:
    return Val(text.n)

def step(message: In | Val, state: int) -> Any:
    match message:
        case In("run"):
            return state + 1, "ran", [Run("r", count, Val(3))]
        case In("answer"):
            return state + 1, None, [Defer(Key.A), Answer(Key.A, Val(3))]
        case In("timer"):
            return state + 1, "timed", [StartTimer(Key.A, 100_000, Val(3))]
        case In("send"):
            return state + 1, "sent", [Cast(None, Val(2)), Info(None, Val(5)), Publish("g", Val(1))]
        case In("join"):
            return state + 1, "in", [Join("g", Val(1))]
        case In("exit"):
            raise Exited(Val(3))
        case Done(_, Val(n)):
            return state + n, None
        case Val(n):
            return state + n, None
    return state, "other"

w = StateMachine(step=step, init=lambda name, args: 0, inputs=In | Val)
"""


def tree_in(
    folder: Path, starts: dict[str, str], more: str = "", store: MemoryStore | None = None
) -> Node:
    lines = [f'  - {{worker: {name}, start: "{start}"{more}}}' for name, start in starts.items()]
    (folder / "t.yaml").write_text("\n".join(["supervisor: root", "children:", *lines, ""]))
    return with_past(Node(load_tree(folder / "t.yaml"), history=100, store=store), instant)


def edited(path: Path, old: str = "", new: str = "# nothing\n") -> None:
    text = path.read_text()
    path.write_text(text.replace(old, new) if old else f"{text}\n{new}")


@pytest.mark.parametrize("persist", ["", ", persist: journal", ", persist: snapshot"])
def test_a_comment_is_taken_whatever_classes_of_the_file_a_state_holds(
    tmp_path: Path, persist: str
) -> None:
    """A class that no annotation names was looked for in the code of before."""
    (tmp_path / "w.py").write_text(CLASSES)
    names = {"bank": "Bank", "door": "Door", "plain": "plain", "many": "many"}
    starts = {name: f"./w.py:{code}" for name, code in names.items()}
    store = MemoryStore()
    with tree_in(tmp_path, starts, persist, store) as node:
        for name in names:
            assert node.call(name, "x") == 1
        for _ in range(2):
            edited(tmp_path / "w.py")
            found = node.reload()
            assert (found["done"], found["differs"]) == (True, False)
        for name in names:
            assert node.call(name, "x") == 2
    with tree_in(tmp_path, starts, persist, store) as node:
        assert node.call("bank", "x") == (3 if persist else 1)


@pytest.mark.parametrize("what", ["run", "answer", "timer", "send", "join", "exit"])
def test_a_comment_changes_no_effect_whatever_values_of_the_file_it_holds(
    tmp_path: Path, what: str
) -> None:
    (tmp_path / "w.py").write_text(EFFECTS)
    with tree_in(tmp_path, {"w": "./w.py:w"}) as node:
        with pytest.raises(CallError) if what == "exit" else nullcontext():
            node.call("w", f"In {what}".encode())
        edited(tmp_path / "w.py")
        [told] = node.reload()["workers"]
        assert told["same"] == told["total"] > 0


WAYS = {
    "at the top": "import h\ndef value(): return h.K\n",
    "a name": "from h import K\ndef value(): return K\n",
    "in a function": "def value():\n    import h\n    return h.K\n",
    "a name in a function": "def value():\n    from h import K\n    return K\n",
    "in a function of a helper": "import g\ndef value(): return g.value()\n",
    "a package": "from pk import h\ndef value(): return h.K\n",
    "a module of a package": "import pk.h\ndef value(): return pk.h.K\n",
    "a name of a package": "from pk.h import K\ndef value(): return K\n",
}
REST = """
from ssm_cli import StateMachine
def step(message: str, state: int) -> tuple[int, int]:
    return state + 1, value()
w = StateMachine(step=step, init=lambda name, args: 0)
"""


def written(folder: Path, way: str) -> Path:
    (folder / "g.py").write_text("def value():\n    import h\n    return h.K\n")
    (folder / "pk").mkdir()
    (folder / "pk" / "__init__.py").touch()
    for place in (folder, folder / "pk"):
        (place / "h.py").write_text("K = 1\n")
    for name in ("w1.py", "w2.py"):
        (folder / name).write_text(WAYS[way] + REST)
    return folder / "pk" / "h.py" if "package" in way else folder / "h.py"


@pytest.fixture(params=["here", "elsewhere"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder for a tree; of "here" the process began there, so that Python finds its files."""
    if request.param == "here":
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if name.partition(".")[0] in {"h", "g", "pk", "w1", "w2"}:
            del sys.modules[name]


@pytest.mark.parametrize("way", WAYS)
def test_a_helper_that_changes_is_taken_each_time(place: Path, way: str) -> None:
    """The one before was, or none at all."""
    helper = written(place, way)
    with tree_in(place, {"a": "./w1.py:w"}) as node:
        assert node.call("a", "x") == 1
        for number in (10, 100, 1000):
            helper.write_text(f"K = {number}\n")
            assert node.reload(sure="yes")["done"]
            assert node.call("a", "x") == number
        assert node.reload(sure="yes")["modules"] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["w2", "b", None])
def test_a_helper_that_one_worker_has_taken_anew_is_taken_by_the_other_when_asked(
    place: Path, way: str, then: str | None
) -> None:
    helper = written(place, way)
    with tree_in(place, {"a": "./w1.py:w", "b": "./w2.py:w"}) as node:
        assert [node.call(name, "x") for name in "ab"] == [1, 1]
        helper.write_text("K = 10\n")
        assert node.reload("a", sure="yes")["done"]
        assert node.call("a", "x") == 10
        assert node.reload(then, sure="yes")["done"]
        assert [node.call(name, "x") for name in "ab"] == [10, 10]
        assert node.reload(sure="yes")["modules"] == []


PYTHON_TREE = """
from ssm_cli import GenServer, Ok, Reply, StateMachine, Supervisor, Worker

K = 1

def step(message: str, state: int) -> tuple[int, int]:
    return state + K, state + K

def plus(more):
    return lambda name, args: more

named = StateMachine(step=step, init=lambda name, args: 0)
inner = StateMachine(step=step, init=plus(0))

class Server(GenServer):
    def init(self, name, args):
        return Ok(0)
    def handle_call(self, message, caller, state):
        return Reply(state + K, state + K)

tree = Supervisor("root", children=[
    Worker("named", named), Worker("inner", inner), Worker("server", Server),
])
"""


def test_an_edit_of_a_tree_in_python_restarts_nothing_that_has_no_name_of_its_own(
    tmp_path: Path,
) -> None:
    file = tmp_path / "t.py"
    file.write_text(PYTHON_TREE)
    with with_past(Node(load_tree(file), history=100), instant) as node:
        for name in ("named", "inner", "server"):
            assert node.call(name, "x") == 1
        edited(file)
        assert node.plan(load_tree(file)).todo == ()
        edited(file, "plus(0)", "plus(7)")
        assert [step.path for step in node.plan(load_tree(file)).todo] == ["root/inner"]
        edited(file, "lambda name, args: 0", "lambda name, args: 5")
        assert [one.path for one in node.plan(load_tree(file)).todo] == ["root/named", "root/inner"]


def test_a_plan_of_an_edited_tree_in_python_keeps_no_code_from_being_reloaded(
    tmp_path: Path,
) -> None:
    file = tmp_path / "t.py"
    file.write_text(PYTHON_TREE)
    with with_past(Node(load_tree(file), history=100), instant) as node:
        names = [*map(str, ("named", "inner", "server"))]
        assert [node.call(name, "x") for name in names] == [1, 1, 1]
        for times, number in enumerate((10, 100), 1):
            edited(file, f"K = {10 ** (times - 1)}\n", f"K = {number}\n")
            assert node.plan(load_tree(file)).todo == ()
            assert node.reload(sure="yes")["done"]
            found: list[Any] = [node.call(name, "x") for name in names]
            assert found == [sum(10**power for power in range(times + 1))] * 3
        assert node.reload(sure="yes")["modules"] == []


RUNS = """
from dataclasses import dataclass
from ssm_cli import Done, Failed, Run, StateMachine

@dataclass(frozen=True)
class Val:
    n: int

def work(one: Val) -> Val:
    return Val(one.n + 1)

def step(message, state):
    match message:
        case int(n):
            asked = [Run(f"r{i}", work, Val(i), limit=1, timeout_ms=600_000) for i in range(n)]
            return state, n, asked
        case Done(_, Val(n)):
            return [*state, n], None
        case Failed(key, error):
            return [*state, f"{key}: {error}"], None
    return state, None

w = StateMachine(step=step, init=lambda name, args: [])
"""


def until(node: Node, holds: Callable[[], bool]) -> None:
    """Let a node go on until something holds; a minute is far more than that takes."""
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s
        node.run(0.05)


@pytest.mark.parametrize("persist", ["", ", persist: journal"])
def test_runs_that_wait_while_code_is_reloaded_are_done_by_it(tmp_path: Path, persist: str) -> None:
    """They failed: what was asked for was no more what the name of its function says."""
    (tmp_path / "w.py").write_text(RUNS)
    with tree_in(tmp_path, {"w": "./w.py:w"}, persist, MemoryStore()) as node:
        assert node.call("w", 4) == 4
        edited(tmp_path / "w.py", "one.n + 1", "one.n + 1 + 0")
        assert node.reload(sure="yes")["done"]
        until(node, lambda: len(node.get_state("w")) == 4)
        assert node.get_state("w") == [1, 2, 3, 4]


PROGRAM = """
from dataclasses import dataclass
from ssm_cli import Done, Failed, Node, Run, StateMachine, Supervisor, Worker

@dataclass(frozen=True)
class Val:
    n: int

def work(n):
    return Val(n + 1)

def step(message, state):
    match message:
        case int(n):
            return state, n, [Run("r", work, n)]
        case Done(_, value):
            return (type(value) is Val, value), None
        case Failed(_, error):
            return str(error), None

if __name__ == "__main__":
    tree = Supervisor("root", children=[Worker("w", StateMachine(step=step))])
    with Node(tree) as node:
        node.call("w", 4)
        while node.get_state("w") is None:
            node.run(0.1)
        print(node.get_state("w"))
"""


@pytest.mark.parametrize("how", ["file", "module"])
def test_a_run_of_the_program_that_was_started_answers_with_a_class_of_it(
    tmp_path: Path, how: str
) -> None:
    (tmp_path / "main.py").write_text(PROGRAM)
    command = [sys.executable, *(["main.py"] if how == "file" else ["-m", "main"])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr) == ("(True, Val(n=5))\n", "")


ENDS = """        case Done(_, value):
            return value, None
        case Failed(_, error):
            return str(error), None

w = StateMachine(step=step)
"""
HELPED = (
    """
from ssm_cli import Done, Failed, Run, StateMachine
from h import K
X = 1

def work() -> tuple[int, int, int]:
    import late
    return K, X, late.L

def step(message, state):
    match message:
        case str():
            return None, None, [Run("r", work, timeout_ms=600_000)]
"""
    + ENDS
)


@pytest.mark.parametrize("text", ["edited", "half written ("])
@pytest.mark.parametrize("name", ["w.py", "h.py"])
def test_a_blocking_run_is_of_the_code_that_runs_and_not_of_what_its_file_has_by_now(
    tmp_path: Path, name: str, text: str
) -> None:
    texts = {"w.py": HELPED, "h.py": "K = 1\n", "late.py": "L = 1\n"}
    for file, said in texts.items():
        (tmp_path / file).write_text(said)
    with tree_in(tmp_path, {"w": "./w.py:w"}) as node:

        def ran() -> object:
            node.replace_state("w", None)
            node.call("w", "x")
            until(node, lambda: node.get_state("w") is not None)
            return node.get_state("w")

        assert ran() == (1, 1, 1)
        edited = texts[name].replace("= 1\n", "= 2\n", 1) if text == "edited" else text
        (tmp_path / name).write_text(edited)
        assert ran() == (1, 1, 1)
        if text == "edited":
            assert node.reload(sure="yes")["done"]
            assert ran() == ((1, 2, 1) if name == "w.py" else (2, 1, 1))
            assert node.rollback(sure="yes")["done"]
            assert ran() == (1, 1, 1)


APART = """
from dataclasses import dataclass
from functools import lru_cache
from ssm_cli import Done, Failed, Run, StateMachine
from h import K, Val

@dataclass(frozen=True)
class Sum:
    parts: list[object]

def plain(one: Val) -> Sum:
    return Sum([K, one])

@lru_cache
def cached(one: Val) -> Sum:
    return Sum([K, one])

class Made(Sum):
    def __init__(self, one: Val) -> None:
        super().__init__([K, one])

HOW = {"plain": plain, "cached": cached, "class": Made}

def step(message, state):
    match message:
        case str():
            return None, None, [Run("r", HOW[message], Val(K), timeout_ms=600_000)]
        case Done(_, Sum([number, Val(n)])):
            return [number, n], None
        case Done(_, other):
            return f"of another load: {other}", None
        case Failed(_, error):
            return str(error), None

w = StateMachine(step=step)
"""
ONE = """
from dataclasses import dataclass
K = 1

@dataclass(frozen=True)
class Val:
    n: int
"""


@pytest.mark.parametrize("how", ["plain", "cached", "class"])
def test_a_blocking_run_is_of_the_code_of_its_own_worker_whatever_others_have_by_now(
    tmp_path: Path, how: str
) -> None:
    """It was that of the file; or its worker crashed: its function had no name any more."""
    for file, said in {"w.py": APART, "u.py": APART, "h.py": ONE}.items():
        (tmp_path / file).write_text(said)
    with tree_in(tmp_path, {"a": "./w.py:w", "b": "./w.py:w", "c": "./u.py:w"}) as node:

        def ran() -> list[object]:
            for worker in "abc":
                node.replace_state(worker, None)
                node.call(worker, how)
            until(node, lambda: all(node.get_state(worker) is not None for worker in "abc"))
            return [node.get_state(worker) for worker in "abc"]

        assert ran() == [[1, 1]] * 3
        (tmp_path / "h.py").write_text(ONE.replace("K = 1", "K = 20"))
        assert node.reload(sure="yes")["done"]
        assert node.rollback("a", sure="yes")["done"]
        assert ran() == [[1, 1], [20, 20], [20, 20]]
        (tmp_path / "h.py").write_text(ONE.replace("K = 1", "K = 300"))
        assert node.reload("c", sure="yes")["done"]
        assert ran() == [[1, 1], [20, 20], [300, 300]]
        assert node.reload(sure="yes")["done"]
        assert ran() == [[300, 300]] * 3


PARTS = (
    """
from ssm_cli import Done, Failed, Run, StateMachine
import h
import ns.x
from pk import inner
from pk.below import deep

def work() -> list[int]:
    import late
    from pk import later
    return [h.K, ns.x.K, inner.K, deep.K, late.K, later.K]

def step(message, state):
    match message:
        case str():
            import late
            from pk import later
            return None, None, [Run("r", work, timeout_ms=600_000)]
"""
    + ENDS
)


@pytest.mark.parametrize("way", WAYS)
def test_a_helper_that_is_gone_is_missed_by_what_imports_it_alone(place: Path, way: str) -> None:
    """Code that had imported it could not be reloaded any more."""
    helper = written(place, way)
    with tree_in(place, {"a": "./w1.py:w"}) as node:
        assert node.call("a", "x") == 1
        (place / "g.py").unlink()
        helper.unlink()
        if "function" not in way:
            with pytest.raises(CodeRefused, match=helper.stem):
                node.reload(sure="yes")
        (place / "w1.py").write_text(f"def value(): return 7\n{REST}")
        assert node.reload(sure="yes")["done"]
        assert node.call("a", "x") == 7
        assert node.reload(sure="yes")["workers"] == []
        (place / "w1.py").unlink()
        with pytest.raises(CodeRefused, match=r"w1\.py does not exist"):
            node.reload(sure="yes")


@pytest.mark.parametrize("gone", ["h.py", "late.py", "ns", "pk", "w.py", "."])
def test_a_blocking_run_needs_no_file_that_was_loaded(tmp_path: Path, gone: str) -> None:
    """A file that was moved away failed it, unless it was the worker's own."""
    folder = tmp_path / "project"
    (folder / "ns").mkdir(parents=True)
    (folder / "pk" / "below").mkdir(parents=True)
    (folder / "w.py").write_text(PARTS)
    for name in ("pk/__init__.py", "pk/below/__init__.py"):
        (folder / name).touch()
    for name in ("h", "ns/x", "pk/inner", "pk/below/deep", "late", "pk/later"):
        (folder / f"{name}.py").write_text("K = 1\n")
    with tree_in(folder, {"w": "./w.py:w"}) as node:

        def ran() -> object:
            node.replace_state("w", None)
            node.call("w", "x")
            until(node, lambda: node.get_state("w") is not None)
            return node.get_state("w")

        assert ran() == [1] * 6
        (folder / gone).rename(tmp_path / "elsewhere")
        assert ran() == [1] * 6


RELEASE = """
from ssm_cli import Done, Failed, Run, StateMachine
from h import K, Val

def work(one: Val) -> Val:
    return Val(one.n + K)

def step(message: str | Done | Failed, state: Val):
    match message:
        case str():
            return state, None, [Run("r", work, state, timeout_ms=600_000)]
        case Done(_, Val() as value):
            return value, None
    raise ValueError(message)

w = StateMachine(step=step, init=lambda name, args: Val(0), inputs=str)
"""


@pytest.mark.parametrize("persist", ["", ", persist: journal"])
def test_a_release_that_takes_the_place_of_another_by_a_link_is_as_an_edit(
    tmp_path: Path, persist: str
) -> None:
    """What was loaded through the link was another module from then on."""
    for number in (1, 20):
        folder = tmp_path / f"release{number}"
        folder.mkdir()
        (folder / "w.py").write_text(f"{RELEASE}# {number}\n")
        (folder / "h.py").write_text(ONE.replace("K = 1", f"K = {number}"))
    current = tmp_path / "current"
    current.symlink_to("release1")
    with tree_in(current, {"w": "./w.py:w"}, persist, MemoryStore()) as node:

        def ran() -> object:
            before = node.get_state("w")
            node.call("w", "x")
            until(node, lambda: node.get_state("w") != before)
            return node.get_state("w").n

        assert ran() == 1
        (current / "t.yaml").rename(tmp_path / "release20" / "t.yaml")
        current.unlink()
        current.symlink_to("release20")
        assert ran() == 2
        assert node.reload(sure="yes")["done"]
        assert ran() == 22
        assert node.plan(load_tree(current / "t.yaml")).todo == ()
        assert node.reload(sure="yes")["workers"] == []

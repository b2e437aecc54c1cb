"""Values from outside a worker are of the classes that its own code knows, whatever others have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import Node, SysError, load_tree
from ssm_cli.commands.records import instant
from ssm_cli.history.past import with_past
from tests.history.reload.test_beside import RUNNER
from tests.history.reload.test_lost import Folder

CODE = """
from dataclasses import dataclass
from ssm_cli import StateMachine

@dataclass(frozen=True)
class Count:
    n: int = 0

@dataclass(frozen=True)
class Gone:
    n: int = 0

def step(message: str, state):
    assert isinstance(state, Count), "a class of another load"
    return Count(state.n + 1), f"one {state.n + 1}"

w = StateMachine(step=step, init=lambda name, args: Count())
"""
TREE = """
supervisor: root
intensity: 9
children:
  - {worker: a, start: "./w.py:w"}
  - {worker: b, start: "./w.py:w"}
"""
GIVEN: dict[str, Callable[[Any], Any]] = {"a state": lambda state: state,
                                          "a function": lambda state: lambda _: state}  # fmt: skip
given = pytest.mark.parametrize("how", GIVEN.values(), ids=GIVEN)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, CODE, TREE)


def edited(folder: Folder, node: Node, old: str = "one", new: str = "two") -> None:
    """Reload the file, in which something is changed."""
    folder.write((folder.path / "w.py").read_text(encoding="utf-8").replace(old, new))
    assert node.reload(sure="yes")["done"]


def is_its_own(node: Any, worker: str) -> bool:
    """Return whether a worker goes on from its state, which is of the class of its own code."""
    code: Any = node._world.names[worker].behaviour.step
    own = type(node.get_state(worker)) is code.__globals__["Count"]
    return own and bool(node.call(worker, b"x"))


# -- states that are put in the place of others ----------------------------------------------------


@given
def test_a_state_that_was_kept_across_a_reload_becomes_one_of_the_new_code(
    folder: Folder, how: Callable[[Any], Any]
) -> None:
    with folder.started() as node:
        node.call("a", b"x")
        kept = node.get_state("a")
        edited(folder, node)
        node.replace_state("a", how(kept))
        assert is_its_own(node, "a")
        assert node.get_state("a").n == 2
        edited(folder, node, "two", "three")
        node.replace_state("a", how(kept))
        assert is_its_own(node, "a")


@given
def test_workers_of_two_loads_take_the_states_of_each_other(
    folder: Folder, how: Callable[[Any], Any]
) -> None:
    with folder.started() as node:
        before = node.get_state("a")
        edited(folder, node)
        assert node.rollback("a", sure="yes")["done"]
        a, b = node.get_state("a"), node.get_state("b")
        assert type(a) is not type(b)
        for state in (a, b, before):
            for worker in "ab":
                node.replace_state(worker, how(state))
                assert is_its_own(node, worker)
        edited(folder, node, "two", "three")
        for state in (a, b, before):
            for worker in "ab":
                node.replace_state(worker, how(state))
                assert is_its_own(node, worker)


def test_a_worker_that_has_the_code_of_another_file_takes_states_of_both(folder: Folder) -> None:
    other = folder.path / "p.py"
    other.write_text(CODE.replace("one", "two"), encoding="utf-8")
    with folder.started() as node:
        node.shadow("a", str(other))
        assert node.promote("a", sure="yes")["done"]
        node.replace_state("a", node.get_state("b"))
        assert node.call("a", b"x") == b"two 1"
        assert is_its_own(node, "a")


def test_a_fork_carries_states_as_its_tree_does_by_the_code_of_its_own_time(folder: Folder) -> None:
    with folder.started() as node, node.fork() as before:
        kept = node.get_state("a")
        edited(folder, node)
        with node.fork() as now:
            now.replace_state("a", kept)
            assert is_its_own(now, "a")
        before.replace_state("a", node.get_state("a"))
        assert is_its_own(before, "a")


def test_a_state_of_a_class_that_is_gone_is_refused_and_the_state_stays(folder: Folder) -> None:
    with folder.started() as node:
        code: Any = node._world.names["a"]
        gone = code.behaviour.step.__globals__["Gone"]()
        edited(folder, node, "class Gone", "class Other")
        with pytest.raises(SysError, match=r"the state stays: .*`Gone` is not in w.py any more"):
            node.replace_state("a", gone)
        assert is_its_own(node, "a")
        assert node.rollback("a", sure="yes")["done"]
        assert node.replace_state("a", gone) == gone  # it has that class again
        with pytest.raises(SysError, match=r"`Gone` is not in w.py any more"):
            node.replace_state("b", gone)


# -- answers of runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["before", "between", "after"])
def test_what_a_run_answers_is_of_the_classes_of_its_worker_whoever_went_back(
    tmp_path: Path, asked: str
) -> None:
    folder = Folder(tmp_path, RUNNER.replace("runner = ", "w = "), TREE)

    async def served() -> list[object]:
        node = with_past(Node(load_tree(tmp_path / "t.yaml"), history=100), instant)
        node.start()
        serving = asyncio.create_task(node.serve())
        gates: list[Any] = []

        async def go(when: str) -> None:
            names: Any = node._world.names
            gates.extend(names[one].behaviour.step.__globals__["GATE"] for one in "ab")
            for worker in "ab" if when == asked else "":
                assert await node.acall(worker, "go") == "asked"
            await asyncio.sleep(0)

        await go("before")
        edited(folder, node, "FIRST", "SECOND")
        await go("between")
        assert node.rollback("a", sure="yes")["done"]
        await go("after")
        for gate in gates:
            gate.set()
        states: list[object] = []
        for worker in "ab":
            state: object = "none"
            for _ in range(1000):
                await asyncio.sleep(0)
                state = await node.acall(worker, "get") if state == "none" else state
            states.append(state)
        node.stop()
        await serving
        return states

    assert asyncio.run(served()) == ["it FIRST", "it SECOND"]

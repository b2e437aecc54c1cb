"""A worker that is called otherwise, and called back: it never begins anew by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import program

CODE = """
from ssm_cli import StateMachine

def step(message, state):
    return (state, f"{state}") if message == "?" else ([*state, message], "kept")

orders = StateMachine(step=step, init=lambda name, args: [])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(CODE)
    call(tmp_path, "orders")
    return tmp_path


def call(place: Path, worker: str, module: str = "orders") -> None:
    (place / "tree.yaml").write_text(
        "supervisor: r\nchildren:\n"
        f"- {{worker: {worker}, start: './{module}.py:orders', persist: journal}}\n"
    )


def ssm(place: Path, *words: str, code: int = 0) -> str:
    environ = {**os.environ, "XDG_STATE_HOME": str(place), "XDG_RUNTIME_DIR": str(place)}
    done = program.ssm(*words, cwd=place, env=environ)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def run(place: Path, *lines: str, code: int = 0) -> str:
    given = [word for line in lines for word in ("-c", line)]
    return ssm(place, "run", "tree.yaml", "--quiet", "--data", "d", *given, code=code)


def rename(place: Path, worker: str, old: str, new: str, code: int = 0) -> str:
    words = ("data", "repair", worker, "--data", "d", "--rename", old, new, "--yes")
    return ssm(place, *words, code=code)


def test_a_rename_that_is_taken_back_in_the_tree_alone_is_asked_about(place: Path) -> None:
    run(place, "orders a")
    rename(place, "orders", "orders", "sales")
    call(place, "sales")
    assert run(place, "sales ?") == "['a']\n"
    call(place, "orders")
    assert "--rename sales orders" in run(place, "orders ?", code=4)
    rename(place, "sales", "sales", "orders")
    assert run(place, "orders ?") == "['a']\n"


@pytest.mark.parametrize("started", [False, True])
def test_a_rename_that_is_said_twice_is_refused_and_changes_nothing(
    place: Path, *, started: bool
) -> None:
    run(place, "orders a")
    rename(place, "orders", "orders", "sales")
    call(place, "sales")
    if started:
        run(place, "sales b")
    assert "nothing is stored of orders" in rename(place, "orders", "orders", "sales", code=74)
    assert run(place, "sales ?") == ("['a', 'b']\n" if started else "['a']\n")


def test_the_advice_holds_where_a_worker_is_called_like_its_module(place: Path) -> None:
    run(place, "orders a")
    (place / "orders.py").rename(place / "sales.py")
    call(place, "orders", "sales")
    assert "--rename orders: sales:" in run(place, "orders ?", code=4)
    rename(place, "orders", "orders:", "sales:")
    assert run(place, "orders ?") == "['a']\n"

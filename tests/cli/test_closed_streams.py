"""A standard stream that is closed at the start stands for nothing else, whatever is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
from ssm_cli import StateMachine
def step(message: str, state: int) -> tuple[int, str]:
    try:
        os.write(2, b"a warning of a C library")
    except OSError:
        pass
    with open("seen", "w") as seen:
        print(*(os.readlink(f"/proc/self/fd/{n}") for n in range(3)), file=seen)
    return state + 1, "done"
w = StateMachine(step=step, init=lambda name, args: 0)
"""
TREE = "supervisor: root\nchildren:\n- {worker: w, start: ./w.py:w, persist: journal}\n"


def run(folder: Path, closed: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "ssm_cli", *words]
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.py").write_text(CODE)
    (tmp_path / "t.yaml").write_text(TREE)
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at descriptors in /proc")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_of_a_tree_is_where_a_closed_stream_was(folder: Path, closed: str) -> None:
    words = ("run", "t.yaml", "--data", "data", "-c", "w x")
    done = run(folder, closed, *words)
    assert done.returncode == (74 if ">&- " in closed else 0)
    seen = (folder / "seen").read_text().split()
    assert seen[2] == "/dev/null"
    assert (seen[1] == "/dev/null") is (">&- " in closed)
    assert "warning" not in (folder / "data" / "lock").read_text()


def test_a_result_for_an_output_that_is_closed_is_refused(folder: Path) -> None:
    done = run(folder, ">&-", "check", "t.yaml")
    refused = "ssm: input or output failed: standard output is closed\n"
    assert (done.returncode, done.stderr) == (74, refused)
    assert run(folder, "2>&-", "check", "t.yaml").returncode == 0
    assert run(folder, "<&-", "run", "t.yaml").returncode == 0

"""A panel below the scrollback leaves no ghosts when a terminal that wraps anew is resized."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ssm_cli.repl.faces.reflow import wraps_anew
from tests.terminal.conftest import TREE

DEADLINE_S = 6.0


class Tmux:
    """The program in a terminal that wraps rows anew, with a server of its own."""

    def __init__(self, home: Path) -> None:
        self._socket = home / "tmux"
        folders = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
        self.run(
            "new-session", "-d", "-x", "80", "-y", "24", "env", "LC_ALL=C.UTF-8",
            *(f"{name}={home}" for name in folders), f"PYTHONPATH={TREE.parents[1]}",
            sys.executable, "-m", "ssm_cli", "run", str(TREE), "--ui", "inline",
        )  # fmt: skip

    def run(self, *words: str, check: bool = True) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", os.devnull, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=check)
        return done.stdout

    @property
    def text(self) -> str:
        return self.run("capture-pane", "-p")

    def until(self, holds: Callable[[str], object]) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not holds(self.text):
            assert time.monotonic() < end_s, self.text
            time.sleep(0.05)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not there, and pyte does not wrap rows anew")
    terminal = Tmux(tmp_path)
    yield terminal
    terminal.run("kill-server", check=False)


def has(part: str, text: str) -> bool:
    return part in text


def has_rule(columns: int, text: str) -> bool:
    return "── restarts 0 ".ljust(columns, "─") in text.splitlines()


def test_no_row_of_the_old_panel_stays_and_no_line_above_it_goes(tmux: Tmux) -> None:
    tmux.until(lambda text: "▾ storage" in text and "F1 help" in text)
    for number in range(5):
        tmux.run("send-keys", "kv1 Lookup x", "Enter")
        tmux.until(partial(has, f"${number + 1}"))
    for columns, rows in ((60, 24), (50, 20), (90, 20)):
        tmux.run("resize-window", "-x", str(columns), "-y", str(rows))
        tmux.until(partial(has_rule, columns))
        tmux.until(lambda text: text.count("▾ root") == text.count("── restarts") == 1)
        assert "\u276f kv1 Lookup x\n  Result None" in tmux.run("capture-pane", "-p", "-S", "-200")


@pytest.mark.parametrize(
    ("environ", "answer"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "screen-256color", "TMUX": "x", "STY": "x"}, True),
        ({"TERM": "screen-256color", "STY": "x"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}, False),
    ],
)
def test_terminals_that_cut_rows_instead_are_told_by_the_environment(
    environ: dict[str, str], answer: bool
) -> None:
    assert wraps_anew(environ) is answer

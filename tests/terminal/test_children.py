"""Programs that get the terminal, and the shell that ours was started by."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal.conftest import Tmux

pytestmark = pytest.mark.skipif(shutil.which("vim") is None, reason="no tty tool")
SSM = f"{sys.executable} -m ssm_cli"
PROMPT = "ssm\u276f"
EDITOR = """#!/bin/bash
stty -echo -icanon
trap 'echo interrupted; exit 4' INT
echo editing $$
while IFS= read -rsn1 key; do case $key in
f) exit 5 ;;
k) kill -9 $$ ;;
z) kill -STOP $$ ;;
esac; done
"""


def opened(tmux: Tmux, folder: Path, editor: str = EDITOR) -> None:
    """The view, and in it an editor that has the terminal."""
    path = folder / "editor"
    path.write_text(editor)
    path.chmod(0o755)
    tmux.type(f"clear; EDITOR={path} {SSM} run trees/kv.yaml", "Enter")
    tmux.shows(PROMPT, "● kv3")
    tmux.type("edit kv1", "Enter")


def is_whole(tmux: Tmux) -> None:
    """The view is there, takes lines, and leaves a terminal as it was."""
    tmux.shows(PROMPT, "● kv3")
    tmux.type("kv1 Lookup x", "Enter")
    tmux.shows("Result None")
    tmux.type("", "C-d")
    tmux.shows("stopped in order", "shell>")
    tmux.type("clear; stty -a | tr ' ;' '\\n' | grep -x -e icanon -e echo -e isig", "Enter")
    tmux.until(lambda: {"icanon", "echo", "isig"} <= set(tmux.screen().split("\n")))


@pytest.mark.parametrize("key", ["f", "k", "C-c"])
def test_an_editor_that_fails_is_killed_or_interrupted_leaves_the_view_whole(
    tmux: Tmux, tmp_path: Path, key: str
) -> None:
    opened(tmux, tmp_path)
    tmux.shows("editing")
    tmux.type("", key)
    tmux.shows("nothing was changed")
    is_whole(tmux)


def test_an_editor_that_cannot_be_started_is_said(tmux: Tmux, tmp_path: Path) -> None:
    opened(tmux, tmp_path, "#!/no/such/shell\n")
    tmux.shows("cannot run")
    is_whole(tmux)


@pytest.mark.parametrize("key", ["C-z", "z"])
def test_an_editor_that_is_stopped_gives_the_shell_its_turn_and_fg_goes_on(
    tmux: Tmux, tmp_path: Path, key: str
) -> None:
    opened(tmux, tmp_path)
    tmux.shows("editing")
    tmux.type("", key)
    tmux.shows("Stopped", "shell>")
    tmux.type("echo here; fg", "Enter")
    tmux.shows("here")
    tmux.until(lambda: tmux.screen().rstrip().endswith("trees/kv.yaml"))
    tmux.type("f")
    tmux.shows("nothing was changed")
    is_whole(tmux)


@pytest.mark.parametrize("face", ["--plain", "--ui=full", "dumb"])
def test_a_tree_in_the_background_runs_and_fg_opens_its_prompt(
    tmux: Tmux, tmp_path: Path, face: str
) -> None:
    term, face = ("TERM=dumb", "") if face == "dumb" else ("", face)
    tmux.type(f"clear; {term} {SSM} run trees/kv.yaml {face} &", "Enter")
    tmux.until(lambda: list(tmp_path.rglob("*.sock")))
    tmux.type("jobs", "Enter")
    tmux.shows("Running")
    folders = dict.fromkeys(("XDG_STATE_HOME", "XDG_RUNTIME_DIR"), str(tmp_path))
    call = [sys.executable, "-m", "ssm_cli", "call", "kv1", "Store x 7"]
    subprocess.run(call, env={**os.environ, **folders}, check=True, capture_output=True)
    tmux.type("fg", "Enter")
    tmux.shows("ssm" if face == "--ui=full" else "ssm>")
    tmux.type("kv1 Lookup x", "Enter")
    tmux.shows("Result 7")
    tmux.type("", "C-d")
    tmux.shows("stopped in order", "shell>")


def test_a_session_that_is_ended_ends_its_editor_and_puts_the_terminal_back(
    tmux: Tmux, tmp_path: Path
) -> None:
    opened(tmux, tmp_path)
    tmux.shows("editing")
    tmux.type("", "C-z")
    tmux.shows("Stopped", "shell>")
    tmux.type("clear; kill %1; fg", "Enter")
    tmux.shows("stopped in order")
    tmux.type("clear; stty -a | tr ' ;' '\\n' | grep -x -e icanon -e echo -e isig", "Enter")
    tmux.until(lambda: {"icanon", "echo", "isig"} <= set(tmux.screen().split("\n")))


def test_what_a_pipe_has_started_ends_with_it(tmux: Tmux, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    tmux.type(f"clear; {SSM} run trees/kv.yaml --plain", "Enter")
    tmux.shows("ssm>")
    tmux.type(f"tree | (sleep 1000 & echo $! > {mark}; exit)", "Enter")
    tmux.until(lambda: mark.exists() and mark.read_text().strip())
    child = Path("/proc", mark.read_text().strip())
    assert child.exists()
    tmux.type("", "C-c")
    tmux.shows("not waited for any longer")
    tmux.until(lambda: not child.exists() or "\nState:\tZ" in (child / "status").read_text())

"""Programs that get the terminal, and the shell that ours was started by."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.program import ssm
from tests.terminal.conftest import Open, Tmux

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


def elsewhere(folder: Path, *words: str) -> str:
    """What a verb prints in another shell."""
    folders = dict.fromkeys(("XDG_STATE_HOME", "XDG_RUNTIME_DIR"), str(folder))
    done = ssm(*words, env={**os.environ, **folders})
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    elsewhere(tmp_path, "call", "kv1", "Store x 7")
    tmux.type("fg", "Enter")
    tmux.shows("ssm" if face == "--ui=full" else "ssm>")
    tmux.type("kv1 Lookup x", "Enter")
    tmux.shows("Result 7")
    tmux.type("", "C-d")
    tmux.shows("stopped in order", "shell>")


@pytest.mark.parametrize("face", ["--ui=full", "--ui=inline", "--plain", "dumb"])
def test_a_detached_tree_goes_on_and_fg_comes_back(tmux: Tmux, tmp_path: Path, face: str) -> None:
    term, face = ("TERM=dumb", "") if face == "dumb" else ("", face)
    tmux.type(f"clear; {term} {SSM} run trees/kv.yaml {face}", "Enter")
    tmux.until(lambda: list(tmp_path.rglob("*.sock")))
    tmux.type("kv1 Store x 7", "Enter")
    tmux.shows("Ok")
    for _ in range(2):
        tmux.type("detach", "Enter")
        tmux.shows("kv.yaml goes on", "Stopped", "shell>")
        assert elsewhere(tmp_path, "call", "kv1", "Lookup x") == "Result 7\n"
        tmux.type("jobs", "Enter")
        tmux.shows("Running")
        tmux.type("clear; fg", "Enter")
        tmux.until(lambda: "shell>" not in tmux.screen())
        tmux.type("kv1 Lookup x", "Enter")
        tmux.shows("Result 7")
    tmux.type("", "C-d")
    tmux.shows("stopped in order", "shell>")


def ends_with(tmux: Tmux, words: list[str]) -> bool:
    return tmux.screen().split()[-len(words) :] == words


def cleared(tmux: Tmux) -> list[str]:
    """Clear the screen, once the shell has all that was typed before; the words that are left.

    The shell may get a line as the rest of one that was cut, or without its first letter.
    """
    for number in range(5):
        left = [f"cleared{number}", "shell>"]
        tmux.type(f"clear; echo {left[0]}", "Enter")
        tmux.until(partial(ends_with, tmux, left))
        if tmux.screen().split() == left:
            return left
    raise AssertionError(tmux.screen())


@pytest.mark.parametrize("face", ["--ui=full", "--ui=inline", "--plain", "dumb"])
@pytest.mark.parametrize(
    "behind", ["help", "watch tree", "log -f", "edit kv1", "kv1 Store x 8\r" * 300]
)
def test_nothing_is_written_to_a_terminal_that_was_handed_back(
    tmux: Tmux, tmp_path: Path, face: str, behind: str
) -> None:
    term, face = ("TERM=dumb", "") if face == "dumb" else ("", face)
    tmux.type(f"clear; EDITOR=cat {term} {SSM} run trees/kv.yaml {face}", "Enter")
    tmux.until(lambda: list(tmp_path.rglob("*.sock")))
    tmux.type("kv1 Store x 7", "Enter")
    tmux.shows("Ok")
    tmux.type(f"detach\r{behind}\r")
    said = ("kv.yaml goes on", "Stopped", "shell>")  # the shell may have got lines behind it
    tmux.until(lambda: all(part in tmux.screen(scrollback=True) for part in said))
    tmux.type("", "C-c")  # what came too late for the tree, or was cut by the terminal's buffer
    left = cleared(tmux)
    elsewhere(tmp_path, "kill", "kv2")
    assert elsewhere(tmp_path, "call", "kv1", "Lookup x") == "Result 7\n"
    elsewhere(tmp_path, "stop")
    assert tmux.screen().split() == left


def test_lines_typed_behind_detach_are_counted_as_not_carried_out(
    tmux: Tmux, tmp_path: Path
) -> None:
    tmux.type(f"clear; {SSM} run trees/kv.yaml --plain", "Enter")
    tmux.until(lambda: list(tmp_path.rglob("*.sock")))
    tmux.type("detach\rtree\rhelp\r")
    tmux.shows("ssm: 2 lines were not carried out", "shell>")
    tmux.type("clear; fg", "Enter")
    tmux.type("kv1 Lookup x", "Enter")
    tmux.shows("Result None")
    assert "STRATEGY" not in tmux.screen()


def test_a_detached_tree_outlives_its_terminal(tmux: Tmux, tmp_path: Path) -> None:
    tmux.type(f"clear; {SSM} run trees/kv.yaml", "Enter")
    tmux.shows(PROMPT, "● kv3")
    tmux.type("detach", "Enter")
    tmux.shows("Stopped", "shell>")
    assert elsewhere(tmp_path, "call", "kv1", "Store x 1") == "Ok\n"
    # A shell that ends ends the jobs that it has seen stop and not yet seen go on.
    tmux.type("clear; jobs", "Enter")
    tmux.shows("Running")
    tmux.close()
    assert elsewhere(tmp_path, "call", "kv1", "Lookup x") == "Result 1\n"
    elsewhere(tmp_path, "stop")
    assert not list(tmp_path.rglob("*.sock"))


def test_there_is_nothing_to_detach_from_where_no_shell_waits(terminal: Open) -> None:
    screen = terminal()
    screen.shows("● kv3")
    screen.type("detach\r")
    screen.shows("no shell waits behind this prompt")
    screen.type("\x04")
    assert screen.ends() == 0


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

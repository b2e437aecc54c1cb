"""The faces of the real program, and what may happen to the terminal below it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.terminal.conftest import DEADLINE_S, ROOT, TREE, Open, Terminal, Tmux

PROMPT = "ssm\u276f"


def test_the_face_is_changed_while_it_runs_and_the_tree_lives_on(terminal: Open) -> None:
    screen = terminal("--ui", "inline", PROMPT_TOOLKIT_NO_CPR="1")
    screen.shows(PROMPT, "▾ root")
    assert b"\x1b[?1049h" not in screen.raw
    screen.type("kv1 Store x 7\rui plain\r")
    screen.shows("ssm>")
    screen.type("kv1 Lookup x\r")
    screen.shows("Result 7")
    screen.type("kv1 Lookup crash\r")
    screen.shows("✖ kv1 crashed ZeroDivisionError", "root restarting one_for_one: kv1")
    screen.type("ui full\r")
    screen.shows("── output", PROMPT, "restarts 1")
    assert b"\x1b[?1049h" in screen.raw
    screen.type("kv1 Lookup x\r")
    screen.shows("Result None")
    screen.type("\x1bOQ")
    screen.until(lambda: b"\x1b[?1049l" in screen.raw)
    screen.type("\x04")
    assert screen.ends() == 0


def test_plain_by_the_prompt_waits_and_is_interrupted(terminal: Open) -> None:
    screen = terminal("--ui", "inline", PROMPT_TOOLKIT_NO_CPR="1")
    screen.shows(PROMPT)
    screen.type("ui plain\r")
    screen.shows("ssm>")
    screen.type("watch kv1 Lookup x\r")
    screen.shows("Result None")
    screen.type("\x03")
    screen.shows("not waited for any longer")
    screen.type("\x04")
    assert screen.ends() == 0
    assert "stopped in order" in screen.text


def test_plain_can_be_left_for_the_full_screen(terminal: Open) -> None:
    screen = terminal("--ui", "plain")
    screen.shows("ssm>")
    assert b"\x1b[?1049h" not in screen.raw
    screen.type("kv1 Store x 7\rui full\r")
    screen.shows("── output", PROMPT, "▾ root")
    screen.type("kv1 Lookup x\r")
    screen.shows("Result 7")
    screen.type("\x04")
    assert screen.ends() == 0


@pytest.mark.parametrize("more", [{}, {"TERM": "dumb"}], ids=["plain", "dumb"])
def test_a_prompt_of_lines_hints_at_what_works_there(terminal: Open, more: dict[str, str]) -> None:
    screen = terminal("--ui", "plain", **more)
    screen.shows("ssm>")
    screen.type("\x03")
    screen.shows("leaves; `help` shows the commands")
    assert "F1" not in screen.text
    screen.type("\x04")
    assert screen.ends() == 0


@pytest.mark.parametrize("key", ["\x1bOP", "\x18h"], ids=["F1", "Ctrl-X h"])
def test_the_plain_prompt_prints_the_keys_that_act_there(terminal: Open, key: str) -> None:
    screen = terminal("--ui", "plain", rows=40)
    screen.shows("ssm>")
    screen.type(key)
    screen.shows("everywhere:", "F10, Ctrl-X t", "Ctrl-X Ctrl-E", "`help` shows the commands")
    assert "F6" not in screen.text
    screen.type("kv1 Store b 7\r")  # the keys of a help over the screen would take ` ` and `b`
    screen.shows("Ok")
    screen.type("\x04")
    assert screen.ends() == 0


@pytest.mark.parametrize("key", ["\x1b[17~", "\x18d", "\x18z", "\x18/"])
def test_keys_of_panes_say_that_the_plain_prompt_has_none(terminal: Open, key: str) -> None:
    screen = terminal("--ui", "plain")
    screen.shows("ssm>")
    screen.type(key)
    screen.shows("the plain prompt has no panes; F2 or `ui full` shows them")
    screen.type("kv1 Store b 7\r")  # in a tree that is not seen `k` would kill
    screen.shows("Ok")
    screen.type("\x1bOQ")
    screen.shows("── output", "▾ root")
    screen.type("\x04")
    assert screen.ends() == 0


def test_ascii_means_ascii_alone(terminal: Open) -> None:
    screen = terminal("--ascii")
    screen.shows("ssm>", "v root", "|- * kv1", "-- restarts 0")
    screen.type("kv2 Lookup crash\rkv2 St")
    screen.shows("x kv2 crashed", "~ storage", "Store")
    screen.type("\x03\x04")
    assert screen.ends() == 0
    assert screen.raw.isascii()


def test_without_a_terminal_prompt_toolkit_is_not_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ssm_cli", "run", str(TREE)],
        input="kv1 Lookup x\n",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        cwd=ROOT,
        check=True,
    )
    assert "Result None" in done.stdout
    assert "prompt_toolkit" not in done.stderr


@pytest.mark.parametrize("how", ["signal", "closed"])
def test_a_terminal_that_vanishes_ends_the_tree_in_order(
    terminal: Open, tmp_path: Path, how: str
) -> None:
    tree = tmp_path / "tree.yaml"
    log = tmp_path / "log"
    (tmp_path / "worker.py").write_text(
        "from ssm_cli import StateMachine\n"
        f"def terminate(name, state, reason):\n    open({str(log)!r}, 'a').write(name)\n"
        "def step(message, state):\n    return state, message\n"
        "worker = StateMachine(step=step, init=lambda n, a: 0, terminate=terminate)\n"
    )
    tree.write_text(
        "supervisor: root\nchildren:\n"
        "- {worker: a, start: './worker.py:worker'}\n- {worker: b, start: './worker.py:worker'}\n"
    )
    screen = terminal(tree=tree)
    screen.shows(PROMPT, "● b")
    if how == "signal":
        screen.child.kill(signal.SIGHUP)
        assert screen.ends() == 128 + signal.SIGHUP
    else:
        screen.child.ptyproc.fileobj.close()
        screen.child.ptyproc.wait()
    assert log.read_text() == "ba"


def test_a_long_start_shows_how_far_it_is_and_ctrl_c_ends_it(
    terminal: Open, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\nfrom ssm_cli import StateMachine, Supervisor, Worker\n"
        "def init(name, args):\n    time.sleep(0.01)\n"
        "slow = StateMachine(step=lambda m, s: (s, m), init=init)\n"
        "tree = Supervisor('root', children=[Worker(f'w{i}', slow) for i in range(3000)])\n"
    )
    screen = terminal(tree=tmp_path / "slow.py")
    screen.until(lambda: re.search(r"starting \d+ of 3,000 workers, about \d+ s", screen.text))
    screen.type("\x03")
    assert screen.ends() == 130
    assert b"\x1b[?1049h" not in screen.raw


def stopped_further(screen: Terminal, than: int) -> bool:
    """Whether twenty workers more have stopped, or the program has ended."""
    return _stopped(screen) >= than + 20 or not screen.child.isalive()


def _stopped(screen: Terminal) -> int:
    found = re.findall(r"stopping ([\d,]+) of", screen.text)
    return int(found[-1].replace(",", "")) if found else 0


def test_a_long_stop_shows_how_far_it_is_and_ctrl_c_cuts_it_short(
    terminal: Open, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\nfrom ssm_cli import StateMachine, Supervisor, Worker\n"
        "def terminate(name, state, reason):\n    time.sleep(0.02)\n"
        "slow = StateMachine(step=lambda m, s: (s, m), init=lambda n, a: 0, terminate=terminate)\n"
        "tree = Supervisor('root', children=[Worker(f'w{i}', slow) for i in range(3000)])\n"
    )
    screen = terminal(tree=tmp_path / "slow.py")
    screen.shows(PROMPT, "3,000 children")
    screen.type("\x04")
    screen.until(lambda: re.search(r"stopping \d+ of 3,000 workers, about \d+ s", screen.text))
    for _ in range(10):  # each cuts short what runs at that moment; at times that is one worker
        before = _stopped(screen)
        screen.type("\x03")
        screen.until(partial(stopped_further, screen, before))
        if not screen.child.isalive():
            break
    assert screen.ends() == 130


# --- in tmux: the alternate screen, the scrollback, the shell below -----------------------------


RUN = f"{sys.executable} -m ssm_cli run trees/kv.yaml"


def test_the_full_screen_leaves_no_trace_and_the_shell_has_a_sane_terminal(tmux: Tmux) -> None:
    tmux.type("clear; echo before; " + RUN, "Enter")
    tmux.shows("▾ root", PROMPT)
    assert "before" not in tmux.screen()
    tmux.type("kv1 Store x 1", "Enter")
    tmux.shows("  Ok ")
    tmux.type("", "C-d")
    tmux.shows("before", "stopped in order", "shell>")
    assert "▾ root" not in tmux.screen(scrollback=True)
    tmux.type(
        "clear; stty -a | tr ' ;' '\\n' | grep -x -e icanon -e echo -e isig -e opost", "Enter"
    )
    tmux.until(lambda: {"icanon", "echo", "isig", "opost"} <= set(tmux.screen().split("\n")))


def test_inline_leaves_what_was_said_in_the_scrollback_and_takes_the_panel_away(
    tmux: Tmux,
) -> None:
    tmux.type(f"clear; {RUN} --ui inline", "Enter")
    tmux.shows("▾ root", PROMPT)
    for number in range(15):
        tmux.type(f"kv1 Store key{number} {number}", "Enter")
    tmux.until(lambda: tmux.screen(scrollback=True).count("  Ok ") == 15)
    assert "\u276f kv1 Store key0 0" in tmux.screen(scrollback=True)
    tmux.type("", "C-d")
    tmux.shows("stopped in order", "shell>")
    assert "▾ root" not in tmux.screen()


def test_ctrl_z_and_fg_lead_out_and_back(tmux: Tmux) -> None:
    tmux.type("clear; " + RUN, "Enter")
    tmux.shows("▾ root", PROMPT)
    tmux.type("kv1 Store x 5", "Enter")
    tmux.shows("  Ok ")
    tmux.type("", "C-z")
    tmux.shows("Stopped", "shell>")
    tmux.type("fg", "Enter")
    tmux.shows("▾ root", PROMPT)
    tmux.type("kv1 Lookup x", "Enter")
    tmux.shows("Result 5")


@pytest.mark.skipif(shutil.which("less") is None, reason="less is not installed")
def test_tall_output_goes_to_the_pager_inline_and_the_tree_lives_on(tmux: Tmux) -> None:
    tmux.type(f"clear; PAGER='less -R' {RUN} --ui inline", "Enter")
    tmux.shows("▾ root", PROMPT)
    tmux.type("help", "Enter")
    tmux.until(lambda: tmux.screen().rstrip().endswith(":"))
    assert "WORKER INPUT" in tmux.screen()
    tmux.type("q")
    tmux.shows("▾ root", PROMPT)
    tmux.type("kv1 Lookup x", "Enter")
    tmux.shows("Result None")

"""The demo, at the keyboard of a real terminal."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.terminal.conftest import Open

PROMPT = "ssm\u276f"


@pytest.mark.parametrize("size", [(36, 120), (24, 80), (20, 60)])
def test_break_it_and_watch_it_heal(terminal: Open, size: tuple[int, int]) -> None:
    screen = terminal(rows=size[0], columns=size[1])
    screen.shows("▾ root one_for_one", "├─ ● kv1", "── restarts 0", PROMPT)
    screen.type("kv2 Store x 1\r")
    screen.shows("  Ok ")
    screen.type("kv2 Lookup x\r")
    screen.shows("Result 1")
    screen.type("kv2 Lookup crash\r")
    screen.shows(
        "✖ kv2 crashed ZeroDivisionError",
        "↻ storage restarting rest_for_one: kv2",
        "restarts 1",
    )
    screen.type("kv2 Lookup x\rkv2 Lookup y\r")
    screen.until(lambda: screen.text.count("Result None") == 2)
    screen.type("\x04")
    assert screen.ends() == 0
    assert b"kv.yaml stopped in order (1 restart)" in screen.raw


def test_tab_completes_a_worker_and_a_constructor(terminal: Open) -> None:
    screen = terminal()
    screen.shows(PROMPT)
    screen.type("call kv")
    screen.shows("kv1", "call kv")
    screen.type("\t\t")
    screen.shows(f"{PROMPT} call kv2")
    screen.type(" Sto")
    screen.shows("(key: str, value: int)")
    screen.type("\t x 1")
    screen.shows(f"{PROMPT} call kv2 Store x 1")
    screen.type("\r")
    screen.shows("  Ok ")


def test_what_was_typed_is_there_in_the_next_session(terminal: Open, tmp_path: Path) -> None:
    first = terminal()
    first.shows(PROMPT)
    first.type("kv1 Store remembered 42\r")
    first.shows("  Ok ")
    first.type("\x04")
    assert first.ends() == 0
    second = terminal()
    second.shows(PROMPT)
    second.type("\x1b[A")
    second.shows(f"{PROMPT} kv1 Store remembered 42")
    second.type("\x03")
    second.until(lambda: "remembered" not in second.text)
    second.type("\x12remem")
    second.shows("I-search backward: remem", "kv1 Store remembered 42")
    assert (tmp_path / "ssm" / "history").stat().st_mode & 0o777 == 0o600


def test_ctrl_c_clears_the_line_and_then_says_how_to_leave(terminal: Open) -> None:
    screen = terminal()
    screen.shows(PROMPT)
    screen.type("half a line")
    screen.shows(f"{PROMPT} half a line")
    screen.type("\x03")
    screen.until(lambda: "half a line" not in screen.text)
    screen.type("\x03")
    screen.shows("Ctrl-D stops the tree in order")
    screen.child.kill(signal.SIGINT)
    screen.until(lambda: screen.text.count("Ctrl-D stops the tree in order") == 2)


def test_the_terminal_is_as_it_was_afterwards(terminal: Open) -> None:
    screen = terminal()
    screen.shows(PROMPT)
    assert b"\x1b[?1049h" in screen.raw
    screen.type("\x04")
    assert screen.ends() == 0
    assert screen.raw.index(b"\x1b[?1049l") > screen.raw.index(b"\x1b[?1049h")
    assert screen.raw.rstrip().endswith(b"stopped in order (0 restarts)")


def test_it_can_be_made_smaller_while_it_runs(terminal: Open) -> None:
    screen = terminal(rows=36, columns=120)
    screen.shows("│── restarts 0", PROMPT)
    for rows, columns in ((20, 60), (12, 40)):
        screen.resize(rows, columns)
        screen.until(lambda: "│── restarts 0" not in screen.text and "── restarts 0" in screen.text)
        screen.type("kv1 Lookup x\r")
        screen.shows("Result None", PROMPT, "▾ root")


def test_no_color_means_none(terminal: Open) -> None:
    screen = terminal(NO_COLOR="1")
    screen.shows(PROMPT)
    screen.type("kv2 Lookup crash\r")
    screen.shows("restarts 1", "✖ kv2 crashed")
    cells = [cell for row in screen.screen.buffer.values() for cell in row.values()]
    assert {cell.fg for cell in cells} == {"default"}
    assert any(cell.reverse for cell in cells)


def test_there_is_exactly_one_thread(terminal: Open) -> None:
    if sys.platform != "linux":
        pytest.skip("threads are counted in /proc")
    screen = terminal()
    screen.shows(PROMPT)
    screen.type("kv2 Lookup crash\rkv1 Store x 1\r")
    screen.shows("restarts 1", "  Ok ")
    screen.type("\x1b[A\x12kv\r\x03ca\t")
    screen.shows(f"{PROMPT} ca")
    assert screen.threads == 1


def test_sigterm_stops_the_tree_in_order(terminal: Open) -> None:
    screen = terminal()
    screen.shows(PROMPT)
    screen.child.kill(signal.SIGTERM)
    assert screen.ends() == 143
    assert b"stopped in order" in screen.raw


def test_the_root_giving_up_is_exit_code_7(terminal: Open) -> None:
    screen = terminal()
    screen.shows(PROMPT)
    screen.type("kv1 Lookup crash\r" * 4)
    assert screen.ends() == 7
    text = screen.raw.decode()
    assert "✖ kv1 crashed ZeroDivisionError" in text[text.rindex("\x1b[?1049l") :]
    assert "kv.yaml gave up: the root reached its restart intensity" in text


@pytest.mark.parametrize("how", ["dumb", "plain"])
def test_without_a_screen_lines_are_printed_one_after_the_other(terminal: Open, how: str) -> None:
    screen = terminal(TERM="dumb") if how == "dumb" else terminal("--plain")
    screen.shows("ssm>")
    screen.type("kv1 Store x 1\r")
    screen.shows("Ok")
    screen.type("kv1 Lookup x\r")
    screen.shows("Result 1")
    assert b"\x1b[?1049h" not in screen.raw
    assert how == "plain" or b"\x1b" not in screen.raw
    screen.type("\x04")
    assert screen.ends() == 0

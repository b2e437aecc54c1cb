"""A session in the past, in the real program: the prompt, the panes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terminal.conftest import Open

MARK = "\u276f"
REFUSED = "the past is read only"


@pytest.mark.parametrize("face", ["full", "inline"])
def test_the_screen_shows_the_moment_that_one_has_gone_to(terminal: Open, face: str) -> None:
    screen = terminal("--ui", face, PROMPT_TOOLKIT_NO_CPR="1")
    screen.shows(f"ssm{MARK}", "▾ root", "restarts 0")
    screen.type("kv2 Store x 1\rkv2 Store x 5\rkv2 Lookup crash\r")
    screen.shows("✖ kv2 crashed", "restarts 1")
    screen.type("at crash\r")
    screen.shows(f"ssm 2{MARK}", "AT 2, as it was then", "restarts at 2")
    screen.type("state kv2\r")
    screen.shows('{"x": 5}')
    screen.type("kv2 Store x 9\r")
    screen.shows(REFUSED)
    screen.type("back\r")
    screen.shows(f"ssm 1{MARK}", "restarts at 1")
    screen.type("now\r")
    screen.shows(f"ssm{MARK}", "restarts 1")
    screen.type("\x04")
    assert screen.ends() == 0


@pytest.mark.parametrize("more", [{}, {"TERM": "dumb"}], ids=["plain", "dumb"])
def test_a_prompt_of_lines_says_where_one_is(terminal: Open, more: dict[str, str]) -> None:
    screen = terminal("--ui", "plain", **more)
    screen.shows("ssm>")
    screen.type("kv2 Store x 1\r")
    screen.shows("Ok")
    screen.type("at 1\r")
    screen.shows("ssm 1>")
    screen.type("kv2 Store x 9\r")
    screen.shows(REFUSED)
    screen.type("now\r")
    screen.shows("now, behind 1")
    screen.type("quit\r")
    assert screen.ends() == 0


def test_a_state_is_not_edited_in_the_past(terminal: Open) -> None:
    screen = terminal("--ui", "plain", EDITOR="false")
    screen.shows("ssm>")
    screen.type("kv2 Store x 1\rat 1\r")
    screen.shows("ssm 1>")
    screen.type("edit kv2\r")
    screen.shows(REFUSED)
    screen.type("\x04")
    assert screen.ends() == 0


@pytest.mark.parametrize("options", [(), ("--ui", "inline"), ("--plain", "--quiet")], ids="".join)
def test_over_attach_the_timeline_is_walked_along_as_beside_the_tree(
    terminal: Open, tmp_path: Path, options: tuple[str, ...]
) -> None:
    tree = terminal("--headless")
    tree.until(lambda: list(tmp_path.rglob("*.sock")))
    screen = terminal(*options, verb="attach", PROMPT_TOOLKIT_NO_CPR="1")
    screen.shows("ssm")
    screen.type("kv2 Store x 1\rkv2 Store x 5\rkv2 Lookup crash\r")
    screen.shows("kv2 crashed on")
    screen.type("\x18t")
    screen.shows("timeline  1 ││✖↻[now]")
    screen.type("\x1b[1;2D")
    screen.shows("timeline  1 │[│]✖↻ 3 of 3", "ssm 2", "Store x 5 -> Ok")
    screen.type("state kv2\r")
    screen.shows('{"x": 5}')
    screen.type("\x1b[D")
    screen.shows("[│]│✖↻ 3 of 3", "ssm 1")
    screen.type("\x1b[F")
    screen.shows("[now]")
    screen.type("\x04")
    assert screen.ends() == 0

"""The timeline above the prompt: opened by a key or by `at`, and walked along by keys.

Each claim is read from a real screen: a terminal in memory on which prompt_toolkit draws.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ssm_cli.commands.records import instant
from ssm_cli.history.past import with_past
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Terminal, typing, until
from tests.repl.test_looking import CTRL_X, F6, Seen

F10, LEFT, RIGHT = "\x1b[21~", "\x1b[D", "\x1b[C"
SHIFT_LEFT, SHIFT_RIGHT = "\x1b[1;2D", "\x1b[1;2C"
HOME, END = "\x1b[H", "\x1b[F"
LINES = ("kv2 Store x 1", "kv2 Store x 5", "kv2 Lookup crash", "kv2 Lookup x")
ROW = "timeline  1 ││✖↻·"


@asynccontextmanager
async def remembering(
    folder: Path, rows: int = 24, columns: int = 80, *, ui: str = "", history: int = 1000
) -> AsyncIterator[Seen]:
    """A session after four inputs, the third of which was a crash."""
    workers = [Worker("kv1", kv_store), Worker("kv2", kv_store)]
    tree = Supervisor("root", children=workers, intensity=3)
    node = with_past(Node(tree, history=history), instant)
    terminal = Terminal(rows, columns)
    async with typing(folder, node=node, output=terminal.output()) as person:
        screen = Seen(person, terminal)
        if ui:
            screen.type(f"ui {ui}\r")
        screen.type("".join(f"{line}\r" for line in LINES))
        await screen.holds(lambda: "Result None" in person.output)
        await screen.holds(lambda: not person.session.commands.is_busy)
        yield screen


def run(story: Callable[[], object]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]  # each is a coroutine function


@pytest.mark.parametrize("key", [F10, f"{CTRL_X}t"])
def test_a_key_opens_it_above_the_prompt_and_closes_it(tmp_path: Path, key: str) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(key)
            await screen.shows(f"{ROW}[now]")
            lines = screen.terminal.lines
            row = next(at for at, line in enumerate(lines) if ROW in line)
            assert lines[row + 1].startswith("ssm\u276f")
            screen.type(key)
            await screen.lacks("timeline  1")

    run(story)


def test_at_opens_it_and_now_closes_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type("at crash\r")
            await screen.shows("timeline  1 │[│]✖↻· 4 of 4", "AT 2, as it was then", "ssm 2\u276f")
            screen.type("now\r")
            await screen.shows("ssm\u276f")
            await screen.lacks("timeline  1")

    run(story)


def test_what_a_key_has_opened_stays_when_one_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10)
            await screen.shows(f"{ROW}[now]")
            screen.type("at 1\rnow\r")
            await screen.shows("now, behind 4", f"{ROW}[now]")

    run(story)


def test_left_and_right_step_and_title_tree_log_and_prompt_are_those_of_then(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10 + LEFT)
            await screen.shows(
                "││[✖↻]· 4 of 4", "AT 3, as it was then", "ssm 3\u276f", "restarts at 3"
            )
            screen.type(LEFT)
            await screen.shows("│[│]✖↻·", "AT 2,", "ssm 2\u276f", "restarts at 2")
            assert "Store x 5 -> Ok  x 1 -> 5" in screen.text
            screen.type("state kv2\r")
            await screen.shows('{"x": 5}')
            screen.type(RIGHT)
            await screen.shows("││[✖↻]·", "ssm 3\u276f")
            screen.type(RIGHT)
            await screen.shows("││✖↻[·] 4 of 4", "ssm 4\u276f")
            screen.type(RIGHT)
            await screen.shows(f"{ROW}[now]", "ssm\u276f")

    run(story)


def test_in_the_past_the_title_stands_out_in_reverse(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type("at 2\r")
            await screen.shows("AT 2, as it was then")
            cell = screen.terminal.screen.buffer[0][1]
            assert cell.reverse
            assert cell.bold

    run(story)


def test_crashes_and_restarts_have_colours_of_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10)
            await screen.shows(ROW)
            row = next(at for at, line in enumerate(screen.terminal.lines) if ROW in line)
            start = screen.terminal.lines[row].index("✖")
            cells = screen.terminal.screen.buffer[row]
            assert len({cells[start - 1].fg, cells[start].fg, cells[start + 1].fg}) == 3

    run(story)


@pytest.mark.parametrize("keys", [SHIFT_LEFT, f"{CTRL_X}["])
def test_shift_jumps_to_the_moment_before_a_crash(tmp_path: Path, keys: str) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type("kv2 Lookup crash\r")
            await screen.holds(lambda: screen.person.node.record == 5)
            screen.type(F10 + keys)
            await screen.shows("ssm 4\u276f")
            screen.type(keys)
            await screen.shows("ssm 2\u276f", "│[│]✖↻·✖↻")
            screen.type(keys)
            await screen.shows("no crash is remembered before record 2", "ssm 2\u276f")
            screen.type(SHIFT_RIGHT)
            await screen.shows("ssm 4\u276f")

    run(story)


def test_home_goes_to_the_start_and_end_to_now(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10 + HOME)
            await screen.shows("timeline  0 [0]││✖↻· 4 of 4", "ssm 0\u276f")
            screen.type(LEFT)
            await screen.shows("record 0 has none 1 before it", "ssm 0\u276f")
            screen.type(END)
            await screen.shows("[now]", "ssm\u276f")

    run(story)


def test_with_something_typed_the_keys_edit_the_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10 + "kv2 Store x" + LEFT + "a")
            await screen.shows("kv2 Store ax", "[now]")
            assert "AT " not in screen.text

    run(story)


def test_in_the_tree_the_keys_are_those_of_the_tree(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10 + F6 + LEFT)
            await screen.holds(lambda: screen.person.session.screen.place == "tree")
            assert "AT " not in screen.text

    run(story)


def test_a_click_at_a_mark_goes_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10)
            await screen.shows(ROW)
            row = next(at for at, line in enumerate(screen.terminal.lines) if ROW in line)
            column = screen.terminal.lines[row].index("││") + 1
            for end in "Mm":
                screen.type(f"\x1b[<0;{column + 1};{row + 1}{end}")
            await screen.shows("│[│]✖↻·", "ssm 2\u276f")

    run(story)


def test_new_records_come_to_the_row_by_themselves(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10)
            await screen.shows(f"{ROW}[now]")
            screen.person.node.call("kv1", b"Store y 1")
            await screen.shows(f"{ROW}│[now]")

    run(story)


def test_in_a_fork_the_row_is_that_of_the_fork_and_says_that_it_has_no_past(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type("at 2\rfork\rkv2 Store x 9\r")
            await screen.shows("IN fork1", "3 [│] 3 of 3")
            screen.type(LEFT)
            await screen.shows("fork1 is where it has got to; `drop` leaves it")
            screen.type(SHIFT_LEFT)
            screen.type("drop\r")
            await screen.shows("ssm 2\u276f", "│[│]✖↻·")

    run(story)


@pytest.mark.parametrize("size", [(36, 120), (24, 80), (12, 40), (10, 200)])
def test_it_has_its_row_at_every_size_and_follows_a_resize(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async def story() -> None:
        async with remembering(tmp_path, *size) as screen:
            screen.type(F10 + LEFT)
            await screen.shows("[✖↻]·", "ssm 3\u276f")
            screen.terminal.resize(24, 36)
            screen.person.session.app._on_resize()
            await screen.shows("\n 1 ││[✖↻]· 4 of 4", "ssm 3\u276f")

    run(story)


def test_a_screen_that_is_too_low_has_no_timeline_and_its_keys_do_not_step(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with remembering(tmp_path, 6, 60) as screen:
            screen.type("at 2\r")
            await screen.shows("ssm 2\u276f")
            assert "timeline" not in screen.text
            screen.type(LEFT + "x")
            await screen.shows("ssm 2\u276f x")

    run(story)


@pytest.mark.parametrize("ui", ["inline", "plain"])
def test_inline_and_plain_have_it_too(tmp_path: Path, ui: str) -> None:
    async def story() -> None:
        async with remembering(tmp_path, ui=ui) as screen:
            screen.type("at crash\r")
            await screen.shows("timeline  1 │[│]✖↻· 4 of 4")
            screen.type(LEFT)
            await screen.shows("timeline  1 [│]│✖↻· 4 of 4", "Store x 1 -> Ok")
            screen.type(END)
            await screen.lacks("timeline  1")

    run(story)


def test_a_tree_that_remembers_nothing_says_how_it_would(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path, columns=120, history=0) as screen:
            screen.type(F10)
            await screen.shows("root remembers nothing; start it with `--history N`")
            screen.type(LEFT)
            await screen.shows("ssm\u276f")

    run(story)


def test_while_a_command_waits_nobody_steps_away_from_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path) as screen:
            screen.type(F10)
            await screen.shows(ROW)
            screen.type("suspend kv1\rkv1 Lookup x\r")
            await screen.holds(lambda: screen.person.session.commands.is_busy)
            screen.type(LEFT)
            screen.type("\x03")
            await until(lambda: not screen.person.session.commands.is_busy)
            assert screen.person.session.model.place == ""

    run(story)


# --- breaks ---------------------------------------------------------------------------------------


def test_the_prompt_does_not_wait_for_a_call_that_is_held_and_shows_its_outcome_later(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with remembering(tmp_path, columns=120) as screen:
            screen.type("break kv2 state.x > 3\rkv2 Store x 5\r")
            await screen.shows("held at break 1 (state.x > 3):", "and waits; `breaks`")
            assert not screen.person.session.commands.is_busy
            screen.type("kv1 Store y 1\r")
            await screen.shows("Ok")
            screen.type("state kv2\rbreaks\r")
            await screen.shows("{}", "held  kv2  Store x 5  x added 5", "at break 1 for")
            screen.type("continue\r")
            await screen.holds(lambda: screen.person.output.count("Ok   ") == 4)
            screen.type("state kv2\r")
            await screen.shows('{"x": 5}')

    run(story)


def test_ctrl_c_does_not_end_a_call_that_is_held_and_drop_tells_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with remembering(tmp_path, columns=120) as screen:
            screen.type("break kv2 state.x > 3\rkv2 Store x 5\r")
            await screen.shows("and waits; `breaks`")
            screen.type("\x03drop kv2\r")
            await screen.shows("the input was dropped at a break", "goes on without Store x 5")

    run(story)


def test_the_name_of_a_worker_and_an_input_edit_what_is_held_and_the_name_alone_its_state(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with remembering(tmp_path, columns=120) as screen:
            screen.type("break kv2 state.x > 3\rkv2 Store x 5\r")
            await screen.shows("and waits; `breaks`")
            screen.type("edit kv2 Store x 2\r")
            await screen.shows("kv2 goes on with Store x 2")
            screen.type("state kv2\r")
            await screen.shows('{"x": 2}')

    run(story)

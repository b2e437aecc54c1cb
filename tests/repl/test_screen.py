from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from prompt_toolkit.output import ColorDepth

from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.model import FLASH_S
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Ahead, Terminal, kv_tree, many_workers, typing, until

SIZES = [(36, 120), (24, 80), (20, 60), (12, 40)]


def run(story: Coroutine[object, object, None]) -> None:
    asyncio.run(story)


@pytest.mark.parametrize("no_color", ["", "1"], ids=["coloured", "not coloured"])
@pytest.mark.parametrize("size", SIZES)
def test_tree_log_output_and_prompt_are_in_view_while_typing(
    tmp_path: Path, size: tuple[int, int], no_color: str
) -> None:
    async def story() -> None:
        terminal = Terminal(*size)
        async with typing(tmp_path, output=terminal.output(), NO_COLOR=no_color) as person:
            person.type("kv2 Lookup crash\r")
            await until(lambda: "storage restarting rest" in terminal.text, lambda: terminal.text)
            person.type("kv1 Sto")
            await until(lambda: "kv1 Sto" in terminal.text, lambda: terminal.text)
            for part in ("● kv2", "── restarts 1", "✖ kv2 crashed", "── output"):
                assert part in terminal.text, terminal.text

    run(story())


def test_the_whole_screen_at_80x24(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text, lambda: terminal.text)
            person.type("kv1 Store x 1\r")
            await until(lambda: "Ok" in terminal.text, lambda: terminal.text)
            lines = terminal.lines
        assert lines[0].startswith(" ssm  kv.yaml  up ")
        assert lines[1].split() == ["NODE", "STATUS", "RST", "QUEUE", "MSG/S", "UP"]
        assert lines[2].startswith("▾ root one_for_one")
        assert lines[6].startswith("   └─ ● kv3")
        assert lines[7] == "── restarts 0 " + "─" * 66
        assert lines[11] == "── output " + "─" * 70
        assert lines[12] == "\u276f kv1 Store x 1"
        assert lines[13].startswith("  Ok ")
        assert lines[-3] == "ssm\u276f"
        assert lines[-1].startswith("F1 help  ^D quit  Tab complete")

    run(story())


def test_the_menu_offers_constructors_with_their_signature_above_the_prompt(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 ")
            await until(lambda: "(key: str, value: int)" in terminal.text, lambda: terminal.text)
            assert terminal.lines[-2] == "     Store Lookup"
            person.type("\t x ")
            await until(lambda: "kv1 Store x" in terminal.lines[-3], lambda: terminal.text)
            # The menu of the word before is on the screen until it is asked anew.
            await until(lambda: terminal.bold(22) == "value: int", lambda: terminal.text)

    run(story())


def test_what_is_wrong_is_said_in_red_below_the_very_word(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Store x a ")
            await until(lambda: "^" in terminal.lines[-2], lambda: terminal.text)
            assert terminal.lines[-2].index("^") == terminal.lines[-3].index(" a") + 1
            assert "expected an integer, got `a`" in terminal.lines[-2]
            assert terminal.screen.buffer[22][terminal.lines[-2].index("^")].fg == "brightred"

    run(story())


@pytest.mark.parametrize("columns", [80, 60, 50])
def test_what_is_wrong_is_read_on_narrow_screens_too(tmp_path: Path, columns: int) -> None:
    async def story() -> None:
        terminal = Terminal(24, columns)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Store key value=a ")
            await until(lambda: "expected an" in terminal.lines[-2], lambda: terminal.text)
            assert "expected an integer, got `a`" in terminal.lines[-2]

    run(story())


def test_rows_that_were_just_restarted_are_shown_in_reverse_without_colour_too(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        clock, output = Ahead(), terminal.output(ColorDepth.DEPTH_8_BIT)
        async with typing(tmp_path, output=output, now=clock, NO_COLOR="1") as person:
            person.type("kv2 Lookup crash\r")

            def reversed_rows() -> list[int]:
                return [y for y in range(1, 7) if terminal.screen.buffer[y][7].reverse]

            await until(lambda: reversed_rows() == [5, 6], lambda: terminal.text)
            cells = [terminal.screen.buffer[y][x] for y in range(24) for x in range(80)]
            assert {cell.fg for cell in cells} == {"default"}
            clock.by_s += FLASH_S
            await until(lambda: reversed_rows() == [], lambda: terminal.text)

    run(story())


def drawn(terminal: Terminal, rows: int) -> Callable[[], bool]:
    """Whether the prompt is where it belongs at this height, and the tree and log are there."""
    prompt = -3 if rows >= 16 else -2
    return lambda: (
        len(terminal.lines) == rows
        and terminal.lines[prompt] == "ssm\u276f"
        and "▾ storage" in terminal.text
        and "── restarts 0" in terminal.text
    )


def test_the_screen_follows_the_size_of_the_terminal(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(36, 120)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "│── restarts 0" in terminal.text, lambda: terminal.text)
            for rows, columns in [*SIZES[1:], (36, 120)]:
                terminal.resize(rows, columns)
                person.session.app._on_resize()
                await until(drawn(terminal, rows), lambda: terminal.text)
            await until(lambda: "│── restarts 0" in terminal.text, lambda: terminal.text)

    run(story())


def test_page_up_scrolls_the_output_and_enter_follows_it_again(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("help\r")
            await until(
                lambda: "say where the settings are" in terminal.text, lambda: terminal.text
            )
            person.type("\x1b[5~" * 20)
            await until(lambda: "\u276f help" in terminal.text, lambda: terminal.text)
            assert "── output (scrolled)" in terminal.text
            person.type("kv1 Lookup x\r")
            await until(lambda: "Result None" in terminal.text, lambda: terminal.text)
            assert "(scrolled)" not in terminal.text

    run(story())


def test_f6_chooses_the_pane_that_is_scrolled(tmp_path: Path) -> None:
    async def story() -> None:
        node = Node(
            Supervisor(
                "root",
                children=[
                    Supervisor(f"s{i}", children=[Worker(f"w{i}", kv_store)]) for i in range(15)
                ],
            )
        )
        terminal = Terminal(24, 80)
        async with typing(tmp_path, node=node, output=terminal.output()) as person:
            await until(lambda: "▾ root" in terminal.text, lambda: terminal.text)
            person.type("\x1b[17~\x1b[6~\x1b[6~")
            await until(lambda: "▾ root" not in terminal.text, lambda: terminal.text)
            person.type("\x1b[5~\x1b[5~")
            await until(lambda: "▾ root" in terminal.text, lambda: terminal.text)

    run(story())


def test_a_crash_far_down_a_large_tree_is_brought_into_view(tmp_path: Path) -> None:
    async def story() -> None:
        node = many_workers(500)
        terminal, clock = Terminal(20, 60), Ahead()
        output = terminal.output()
        async with typing(tmp_path, node=node, output=output, now=clock) as person:
            await until(lambda: "▾ root" in terminal.text, lambda: terminal.text)
            assert "w0400" not in terminal.text
            person.type("w0400 Lookup crash\r")
            await until(lambda: "● w0400" in terminal.text, lambda: terminal.text)
            clock.by_s += FLASH_S
            await until(lambda: "● w0400" not in terminal.text, lambda: terminal.text)

    run(story())


def test_a_frame_in_which_nothing_changed_writes_next_to_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(36, 120)
        async with typing(tmp_path, node=kv_tree(), output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text, lambda: terminal.text)
            drawn = person.session.app.render_counter
            before = terminal.written
            person.session.app.invalidate()
            await until(lambda: person.session.app.render_counter > drawn)
            assert terminal.written - before < 200

    run(story())


def test_inline_prints_the_output_above_the_panel_and_f2_leads_back(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(30, 100)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Store x 1\r")
            await until(lambda: "  Ok " in terminal.text, lambda: terminal.text)
            person.type("\x1bOQ")
            await until(lambda: "── output" not in terminal.text, lambda: terminal.text)
            person.type("kv1 Lookup x\r")
            await until(
                lambda: "▾ root" in terminal.text.partition("Result 1")[2], lambda: terminal.text
            )  # the panel is drawn again below what was printed
            lines = terminal.lines
            assert lines.index("\u276f kv1 Store x 1") < lines.index("\u276f kv1 Lookup x")
            assert terminal.text.count("▾ root") == 1
            person.type("\x1bOQ")
            await until(lambda: "── output" in terminal.text, lambda: terminal.text)
            person.type("\x1bOQ")
            await until(lambda: "── output" not in terminal.text, lambda: terminal.text)
            person.session.model.notice("the last words")
        assert "the last words" in terminal.text + person.env.said

    run(story())

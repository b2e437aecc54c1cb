"""Working at the prompt: pipes, results, the tree by keys and by mouse, faces, questions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path

import pytest

from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.shell.config import Settings
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Terminal, Typist, many_workers, typing, until

F3, F4, F6, F7, F8, F9 = (f"\x1b{key}" for key in ("OR", "OS", "[17~", "[18~", "[19~", "[20~"))
UP, DOWN, RIGHT, LEFT, HOME, END = (f"\x1b[{key}" for key in "ABCDHF")


def run(story: Coroutine[object, object, None]) -> None:
    asyncio.run(story)


async def says(person: Typist, text: str) -> None:
    await until(lambda: text in person.output, lambda: person.output)


# --- what is done with a command ----------------------------------------------------------------


def test_output_goes_through_a_program(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("which-children storage | grep kv3 | tr a-z A-Z\r")
            await says(person, "KV3")
            assert "KV2" not in person.output
            person.type("tree | exit 4\r")
            await says(person, "`exit 4` ended with exit code 4")

    run(story())


def test_output_goes_into_a_file_and_is_added_to_it(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"

    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type(f"kv1 Lookup x > {file}\r")
            await says(person, "1 line to")
            person.type(f"kv1 Lookup y >> {file}\rkv1 Lookup z > {tmp_path}\r")
            await says(person, "cannot write")

    run(story())
    assert file.read_text() == "Result None\nResult None\n"


def test_a_result_is_used_by_number_in_a_later_command(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("kv1 Store x 7\rkv1 Lookup x\rkv2 Store y $2.value\rkv2 Lookup y\r")
            await says(person, "$4")
            assert person.output.count("Result 7") == 2
            person.type("kv2 Lookup $9\r")
            await says(person, "✖ column 12: there is no result $9")

    run(story())


def test_a_command_is_timed(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("time kv1 Lookup x\rtime # nothing\r")
            await until(lambda: person.output.count(" ms") >= 2, lambda: person.output)
            assert "took " in person.output

    run(story())


def test_a_watched_command_is_repeated_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssm_cli.repl.local.WATCH_S", 0.01)

    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("watch kv1 Lookup x\r")
            await until(lambda: person.session.model.output_seq > 3)
            assert person.output.count("Result None") <= 1
            person.type("\x03")
            await says(person, "not waited for any longer")

    run(story())


def test_a_script_runs_to_its_first_failure_and_asks_nothing(tmp_path: Path) -> None:
    script = tmp_path / "a.ssm"
    script.write_text("# first\nkv1 Store x 1\n\nkill kv2\nbogus\nkv1 Store z 1\n")

    async def story() -> None:
        settings = Settings(confirm_above=1)
        async with typing(tmp_path, settings=settings, code=0) as person:
            person.type(f"source {script}\rsource {tmp_path / 'none.ssm'}\r")
            await says(person, "cannot read")
            assert "`bogus` is neither a command" in person.output
            assert "Store z" not in person.output
            assert "Type y" not in person.output

    run(story())


def test_the_startup_script_runs_and_aliases_stand_for_commands(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "ssm"
    folder.mkdir(parents=True)
    (folder / "startup.ssm").write_text("kv1 Store x 5\n")

    async def story() -> None:
        settings = Settings(aliases={"look": "kv1 Lookup"})
        async with typing(tmp_path, settings=settings) as person:
            person.type("look x\r")
            await says(person, "Result 5")

    run(story())


def test_settings_are_written_on_demand_with_every_key_explained(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("settings\rsettings\r")
            await says(person, "there already")

    run(story())
    assert "# confirm_above" in (tmp_path / "config" / "ssm" / "config.toml").read_text()


def test_a_state_is_edited_in_the_editor(tmp_path: Path) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
        "file.write_text(file.read_text().replace('1', '42'))\n"
    )

    async def story() -> None:
        editor = f"{sys.executable} {script}"
        async with typing(tmp_path, EDITOR=editor) as person:
            person.type("kv1 Store x 1\redit kv1\r")
            await says(person, "ok")
            person.type("kv1 Lookup x\redit nobody\r")
            await says(person, "Result 42")
            await says(person, "nobody")

    run(story())


def test_several_lines_are_sent_one_after_the_other(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Store x 3\x1b\rkv1 Lookup x")
            await until(lambda: "kv1 Lookup x" in terminal.lines[-3], lambda: terminal.text)
            assert terminal.lines[-4] == "ssm\u276f kv1 Store x 3"
            person.type("\r")
            await says(person, "Result 3")

    run(story())


def test_help_explains_the_commands_of_the_prompt_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("help watch\rhelp call\r")
            await says(person, "watch COMMAND    run COMMAND every second, until Ctrl-C")
            await says(person, "call WORKER INPUT")
            person.type("help\r")
            await says(person, "at the prompt:")

    run(story())


# --- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "done"), [("y", True), ("n", False), ("", False)])
def test_ending_many_workers_asks_once(tmp_path: Path, answer: str, done: bool) -> None:
    async def story() -> None:
        tree = Supervisor(
            "root",
            children=[Supervisor("pool", children=[Worker(f"w{i}", kv_store) for i in range(60)])],
        )
        async with typing(tmp_path, node=Node(tree)) as person:
            person.type("kill pool\r")
            await says(person, "kill pool: more than 50 workers end. Type y to go on")
            person.type(f"{answer}\r")
            await says(person, "  ok" if done else "not done")
            assert (person.node.tree().children[0].restarts > 0) is done

    run(story())


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_applying_a_tree_shows_the_plan_and_asks(tmp_path: Path, answer: str) -> None:
    async def story() -> None:
        node = Node(Supervisor("root", children=[Worker("kv1", kv_store)]))
        file = tmp_path / "tree.yaml"
        file.write_text("supervisor: root\nchildren: []\n")
        async with typing(tmp_path, node=node) as person:
            person.type(f"apply {file}\r")
            await says(person, "stop     root/kv1   gone from the file")
            await says(person, "apply 1 step. Type y to go on")
            assert "--yes" not in person.output
            person.type(f"{answer}\r")
            await says(person, "1 step done" if answer == "y" else "not done")
            assert (node.whereis("kv1") is None) is (answer == "y")
            person.type(f"apply {file} --yes\r")
            await says(person, "nothing else was touched" if answer != "y" else "nothing to do")

    run(story())


def test_ending_few_workers_asks_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("kill kv1\r")
            await says(person, "  ok")

    run(story())


# --- the tree -----------------------------------------------------------------------------------


def test_enter_on_a_worker_puts_a_call_in_the_prompt(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text)
            person.type(F6 + DOWN * 3 + "\r")
            await until(lambda: terminal.lines[-3].startswith("ssm\u276f call kv2"))
            person.type("Lookup x\r")
            await says(person, "Result None")

    run(story())


def test_the_tree_opens_closes_and_leads_back_by_keys(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        node = many_workers(100)
        async with typing(tmp_path, node=node, output=terminal.output()) as person:
            await until(lambda: "… 94 more" in terminal.text, lambda: terminal.text)
            person.type(F6 + END + "\r")
            await until(lambda: person.session.model.tree.index.count == 101)
            person.type(END)
            await until(lambda: "w0099" in terminal.text, lambda: terminal.text)
            person.type(HOME + LEFT)
            await until(lambda: "… 94 more" in terminal.text, lambda: terminal.text)
            person.type(LEFT)
            await until(lambda: "▸ root" in terminal.text, lambda: terminal.text)
            person.type(RIGHT)
            await until(lambda: "▾ root" in terminal.text, lambda: terminal.text)
            person.type("\x1b")
            await until(lambda: person.session.screen.place == "prompt")

    run(story())


def test_the_tree_is_filtered_and_shown_whole_again(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text)
            person.type(F3 + "kv3\r")
            await until(lambda: "● kv2" not in terminal.text, lambda: terminal.text)
            assert "only `kv3` (F3)" in terminal.lines[0]
            assert "▾ storage" in terminal.text
            person.type(F3)
            await until(lambda: "● kv2" in terminal.text, lambda: terminal.text)

    run(story())


def test_f7_and_sort_put_the_busiest_first(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, node=many_workers(9), output=terminal.output()) as person:
            person.type("kill w0005\rsort restarts\r")
            await until(lambda: "w0005" in terminal.lines[3], lambda: terminal.text)
            assert "*RST" in terminal.lines[1]
            person.type(F7)
            await until(lambda: "*QUEU" in terminal.lines[1], lambda: terminal.text)

    run(story())


def test_the_detail_pane_shows_state_and_last_crash(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(36, 120)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Lookup crash\rkv1 Store apple 3\rdetail kv1\r")
            parts = ("── detail", "path root/kv1", "apple", "ZeroDivisionError", "last crash")
            await until(lambda: all(part in terminal.text for part in parts), lambda: terminal.text)
            person.type(F9)
            await until(lambda: "── restarts" in terminal.text, lambda: terminal.text)
            person.type("detail nobody\r")
            await says(person, "there is no node `nobody`")

    run(story())


def test_the_detail_pane_says_that_a_state_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path, output=Terminal(24, 80).output()) as person:

            def detail() -> str:
                return "\n".join(line.plain for line in person.session.model.detail or ())

            person.type("kv1 Store apple 3\rdetail kv1\r")
            await until(lambda: "apple" in detail(), detail)
            assert "shows all" not in detail()
            person.node.replace_state("kv1", lambda state: {**state, "pear": "p" * 2_000})
            person.type("kv1 Store plum 4\r")
            await until(lambda: "\u2026 more; `state kv1` shows all" in detail(), detail)

    run(story())


def test_f4_opens_the_report_of_the_last_crash(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("kv1 Lookup crash\r")
            await says(person, "kv1 crashed")
            person.type(F4)
            await says(person, "\u276f crash")
            await until(lambda: "ZeroDivisionError" in person.output.partition("\u276f crash")[2])

    run(story())


# --- the mouse ----------------------------------------------------------------------------------


def click(column: int, row: int) -> str:
    return f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"


def test_a_click_chooses_a_row_and_a_second_one_enters_it(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text)
            person.type(click(10, 4))
            await until(lambda: person.session.model.tree.chosen == 1)
            person.type(click(10, 4))
            await until(lambda: "ssm\u276f call kv1" in terminal.text, lambda: terminal.text)

    run(story())


def test_the_wheel_scrolls_what_is_under_it(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("help\r")
            await until(
                lambda: "say where the settings are" in terminal.text, lambda: terminal.text
            )
            person.type("\x1b[<64;10;15M" * 3)
            await until(lambda: "── output (scrolled)" in terminal.text, lambda: terminal.text)

    run(story())


def test_f8_lets_the_mouse_select_text(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text)
            assert person.session.app.mouse_support()
            person.type(F8)
            await says(person, "the mouse selects text")
            assert not person.session.app.mouse_support()

    run(story())


# --- completion ---------------------------------------------------------------------------------


def test_keys_seen_before_are_offered(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Store marmalade 1\r")
            await says(person, "Ok")
            person.type("kv1 Lookup mar")
            await until(lambda: "seen before" in terminal.text, lambda: terminal.text)
            person.type("\t\r\r")
            await says(person, "Result 1")

    run(story())

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Literal

import pytest

from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.results import NoReply, Reply
from ssm_cli.commands.results import Result
from ssm_cli.errors import StartFailed
from ssm_cli.repl.prompt.sequences import PASTE_CHARACTERS
from ssm_cli.repl.shell.config import Settings
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Typist, kv_tree, typing, until


def run(story: Coroutine[object, object, None]) -> None:
    asyncio.run(story)


class Mute(GenServer):
    """Never answers."""

    def handle_call(self, message: object, caller: object, state: object) -> NoReply:
        del message, caller
        return NoReply(state)


def test_a_call_prints_what_was_typed_and_what_came_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("kv2 Store x 1\rcall kv2 Lookup x\r")
            await until(lambda: "Result 1" in person.output, lambda: person.output)
            assert "\u276f kv2 Store x 1\n  Ok" in person.output
            assert threading.enumerate() == [threading.main_thread()]

    run(story())


def test_a_crash_is_told_to_who_typed_it_and_heals(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("kv2 Lookup crash\rkv2 Lookup x\r")
            await until(lambda: "Result None" in person.output, lambda: person.output)
            assert "✖ kv2 crashed" in person.output
            await until(lambda: person.session.model.flashing)
            assert person.session.model.flashing == {"kv2", "kv3"}
            events = [report.event for report in person.session.model.log]
            assert events == ["crashed", "restarting"]

    run(story())


def test_a_line_that_is_no_command_says_so_and_the_next_one_works(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("bogus 1\r# a comment\rkv2 Lookup x\r")
            await until(lambda: "Result None" in person.output, lambda: person.output)
            assert "✖ column 1: `bogus` is neither a command nor a worker" in person.output

    run(story())


def test_ctrl_d_stops_the_tree_in_order_and_exits_with_0(tmp_path: Path) -> None:
    async def story() -> Typist:
        async with typing(tmp_path) as person:
            person.type("\x04")
            await until(lambda: not person.session.app.is_running)
        return person

    person = asyncio.run(story())
    ends = [r.id for r in person.node.reports() if r.event == "terminated" and r.kind == "worker"]
    assert ends == ["kv3", "kv2", "kv1"]
    assert person.env.said == "ssm: kv.yaml stopped in order (0 restarts)\n"


def test_a_session_leaves_no_signal_to_a_loop_that_is_about_to_close(tmp_path: Path) -> None:
    async def story() -> int:
        async with typing(tmp_path) as person:
            person.type("kv2 Store x 1\r")
            await until(lambda: "Ok" in person.output, lambda: person.output)
        return signal.set_wakeup_fd(-1)

    assert asyncio.run(story()) == -1


@pytest.mark.parametrize("line", ["quit\r", "stop\r", "exit\r"])
def test_the_commands_that_end_a_session_end_it(tmp_path: Path, line: str) -> None:
    async def story() -> Typist:
        async with typing(tmp_path) as person:
            person.type(line)
            await until(lambda: not person.session.app.is_running)
        return person

    person = asyncio.run(story())
    assert not person.node.running
    assert "stopped in order" in person.env.said


def test_ctrl_c_as_soon_as_an_outcome_is_shown_clears_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            commands, actions = person.session.commands, person.session.actions
            show, left = commands.show, list[str]()

            def interrupt() -> None:
                actions.interrupt()
                left.append(actions.buffer.text)

            def shown(result: Result, number: int | None = None) -> None:
                show(result, number)
                asyncio.get_running_loop().call_soon(interrupt)

            monkeypatch.setattr(commands, "show", shown)
            person.type("kv1 Lookup x\rhalf a line")
            await until(lambda: left, lambda: person.output)
            assert left == [""]

    run(story())


def test_ctrl_c_clears_the_line_and_on_an_empty_one_says_how_to_leave(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("half a line\x03")
            await until(lambda: person.session.buffer.text == "")
            assert "Ctrl-D" not in person.output
            person.type("\x03")
            await until(lambda: "Ctrl-D stops the tree" in person.output)
            assert person.node.running

    run(story())


@pytest.mark.parametrize("editing", ["emacs", "vi"])
def test_keys_that_hold_a_terminal_leave_the_prompt_as_it_is(
    tmp_path: Path, editing: Literal["emacs", "vi"]
) -> None:
    async def story() -> None:
        async with typing(tmp_path, settings=Settings(editing=editing)) as person:
            person.type("\x13kv1 Store x 42\r\x11\x11kv1 Lookup x\r")
            await until(lambda: "Result 42" in person.output, lambda: person.output)
            assert "Ctrl-S holds nothing here" in person.output

    run(story())


@pytest.mark.parametrize(("editing", "keys"), [
    ("emacs", "half\x12"), ("emacs", "half\x12Sto\x13"), ("emacs", "half\x11"), ("vi", "half\x12"),
    ("vi", "half\x16"), ("vi", "half\x11"),
])  # fmt: skip
def test_ctrl_c_clears_the_line_in_each_mode(
    tmp_path: Path, editing: Literal["emacs", "vi"], keys: str
) -> None:
    async def story() -> None:
        async with typing(tmp_path, settings=Settings(editing=editing)) as person:
            person.type(f"{keys}\x03kv1 Store x 42\r")
            await until(lambda: "Ok" in person.output, lambda: person.output)
            assert not person.session.app.quoted_insert

    run(story())


def test_ctrl_c_stops_waiting_for_a_call_and_drops_the_lines_behind_it(tmp_path: Path) -> None:
    async def story() -> None:
        node = Node(Supervisor("root", children=[Worker("mute", Mute)]))
        async with typing(tmp_path, node=node) as person:
            person.type("call --timeout 1000 mute x\rmute y\r")
            await until(lambda: "mute x" in person.output)
            person.type("\x03")
            await until(lambda: "not waited for any longer" in person.output)
            person.type("which-children root\r")
            await until(lambda: "running" in person.output, lambda: person.output)
            assert "mute y" not in person.output

    run(story())


def test_the_root_giving_up_closes_the_screen_and_exits_with_7(tmp_path: Path) -> None:
    async def story() -> Typist:
        async with typing(tmp_path, node=kv_tree(intensity=0), code=7) as person:
            person.type("kv1 Lookup crash\r")
            await until(lambda: not person.session.app.is_running)
        return person

    said = asyncio.run(story()).env.said
    assert "✖ kv1 crashed ZeroDivisionError" in said
    assert said.endswith(
        "ssm: kv.yaml gave up: the root reached its restart intensity (0 restarts)\n"
    )


def test_a_tree_that_does_not_start_opens_no_screen(tmp_path: Path) -> None:
    def init(name: str, args: object) -> None:
        del args
        raise OSError(f"no disk for {name}")

    machine = StateMachine(step=lambda message, state: (state, message), init=init)
    node = Node(Supervisor("root", children=[Worker("w", machine)]))

    async def story() -> None:
        async with typing(tmp_path, node=node):
            pytest.fail("a screen was opened")

    with pytest.raises(StartFailed):
        run(story())


def test_a_stray_exception_is_shown_and_the_tree_lives_on(tmp_path: Path) -> None:
    def stray() -> None:
        raise RuntimeError("from a callback of nobody")

    async def story() -> None:
        async with typing(tmp_path) as person:
            asyncio.get_running_loop().call_soon(stray)
            await until(lambda: "RuntimeError: from a callback of nobody" in person.output)
            person.type("kv1 Lookup x\r")
            await until(lambda: "Result None" in person.output)

    run(story())


def test_a_frozen_view_stands_still_while_the_tree_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            model = person.session.model
            person.type("\x1b[15~")
            await until(lambda: model.frozen)
            person.type("kv2 Lookup crash\r")
            await until(lambda: "crashed" in person.output)
            person.session._frames.draw()
            assert model.log == ()
            assert person.node.tree().children[1].children[0].restarts == 1
            person.type("\x1b[15~")
            await until(lambda: model.log)

    run(story())


def test_f1_shows_the_keys_and_the_commands(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("\x1bOP")
            screen = person.session.screen
            await until(lambda: screen.place == "help" and screen.chosen.count(80))
            pane = screen.chosen
            lines = ["".join(f[1] for f in pane.line(i, 80)) for i in range(pane.count(80))]
            assert any(line.startswith("call WORKER INPUT") for line in lines)
            assert any("Ctrl-D" in line for line in lines)
            assert person.output == ""

    run(story())


def test_pasted_lines_are_not_sent_unseen(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("\x1b[200~kv1 Store x 1\nkv1 Store y 2\n\x1b[201~")
            await until(lambda: "Store y 2" in person.session.buffer.text)
            assert person.session.buffer.text == "kv1 Store x 1\nkv1 Store y 2"
            assert person.output == ""
            person.type("\rkv1 Lookup y\r")
            await until(lambda: "Result 2" in person.output, lambda: person.output)

    run(story())


def test_a_paste_that_is_too_large_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path) as person:
            person.session.actions.line.paste("x" * (PASTE_CHARACTERS + 1))
            assert "16,777,216 characters were pasted" in person.output
            assert "`source FILE`" in person.output
            assert person.session.buffer.text == person.session.actions.line.held == ""

    run(story())


def test_what_was_typed_is_found_again_in_the_next_session(tmp_path: Path) -> None:
    async def first() -> None:
        async with typing(tmp_path) as person:
            person.type("kv1 Store x 1\rkv1 Lookup x\r")
            await until(lambda: "Result 1" in person.output)

    async def second() -> None:
        async with typing(tmp_path) as person:
            person.type("\x1b[A\x1b[A")
            await until(lambda: person.session.buffer.text == "kv1 Store x 1")
            person.type("\x03")
            await until(lambda: person.session.buffer.text == "")
            await until(lambda: len(person.session.buffer._working_lines) == 3)
            person.type("\x12Look\r")
            await until(lambda: person.session.buffer.text == "kv1 Lookup x")

    run(first())
    run(second())
    assert (tmp_path / "ssm" / "history").stat().st_mode & 0o777 == 0o600


def test_a_history_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "ssm").write_text("a file where the folder should be")

    async def story() -> None:
        async with typing(tmp_path) as person:
            person.type("kv1 Lookup x\rkv1 Lookup y\r")
            await until(lambda: person.output.count("Result None") == 2, lambda: person.output)
            assert person.output.count("is not kept") == 1

    run(story())


def test_a_reply_of_a_worker_cannot_move_the_cursor(tmp_path: Path) -> None:
    class Rude(GenServer):
        def handle_call(self, message: object, caller: object, state: object) -> Reply:
            del message, caller
            return Reply("\x1b[2J\x07", state)

    async def story() -> None:
        node = Node(Supervisor("root", children=[Worker("rude", Rude)]))
        async with typing(tmp_path, node=node) as person:
            person.type("rude hello\r")
            await until(lambda: "\\x1b[2J" in person.output, lambda: person.output)
            assert "\x1b" not in person.output

    run(story())

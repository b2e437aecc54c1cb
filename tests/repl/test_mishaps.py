"""What goes wrong in a callback, on the disk or at the terminal: the tree lives on."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from prompt_toolkit.document import Document
from prompt_toolkit.layout.controls import UIContent

from ssm_cli.repl.faces.progress import EVERY_S, SILENT_S, Progress
from ssm_cli.repl.session import Session
from ssm_cli.repl.shell.config import Settings
from ssm_cli.runtime.views import Report
from tests.repl.conftest import Terminal, typing, until


def run(story: Coroutine[object, object, None]) -> None:
    asyncio.run(story)


def fails(*_: object, **__: object) -> UIContent:
    raise RuntimeError("a callback that fails")


def in_a_key(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(session.buffer, "validate_and_handle", fails)
    return "kv1 Lookup x\r"


def in_the_completer(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(session.buffer.completer, "get_completions", fails)
    return "kv1\t"


def in_the_lexer(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr("ssm_cli.repl.prompt.complete.read", fails)
    return "kv1"


def in_a_pane(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr("ssm_cli.repl.panes.tree.row_text", fails)
    return "kv2 Lookup crash\r"


def in_the_model(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(session.model.tree, "refresh", fails)
    return "kv1 Lookup x\r"


def in_the_census(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(session.model.tree, "count", fails)
    return "kv1 Lookup x\r"


def in_the_flush(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(session._frames, "flush", fails)
    return "kv1 Lookup x\r"


def in_a_command(session: Session, patch: pytest.MonkeyPatch) -> str:
    patch.setattr("ssm_cli.repl.shell.interpret.aexecute", fails)
    return "kv1 Lookup x\r"


MISHAPS = [
    in_a_key, in_the_completer, in_the_lexer, in_a_pane, in_the_model, in_the_census,
    in_the_flush, in_a_command,
]  # fmt: skip


@pytest.mark.parametrize("mishap", MISHAPS)
def test_an_exception_in_a_callback_is_shown_and_the_prompt_works_on(
    tmp_path: Path, mishap: Callable[[Session, pytest.MonkeyPatch], str]
) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            await until(lambda: "● kv3" in terminal.text)
            with pytest.MonkeyPatch.context() as patch:
                person.type(mishap(person.session, patch))
                await until(lambda: "a defect, not of your tree" in person.output)
                assert "RuntimeError: a callback that fails" in person.output
            assert person.node.running
            person.type("\x03")
            await until(lambda: person.session.buffer.text == "")
            person.type("kv3 Store x 9\rkv3 Lookup x\r")
            await until(lambda: "Result 9" in person.output, lambda: person.output)
            await until(lambda: "Result 9" in terminal.text, lambda: terminal.text)

    run(story())


def test_the_keys_of_vi_edit_the_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with typing(tmp_path, settings=Settings(editing="vi")) as person:
            person.type("kv1 Lookup xyz")
            await until(lambda: person.session.buffer.text.endswith("xyz"))
            person.type("\x1b")
            await until(lambda: person.session.app.vi_state.input_mode.name == "NAVIGATION")
            person.type("dbakey\r")
            await until(lambda: "Lookup zkey" in person.output, lambda: person.output)

    run(story())


def test_a_line_is_edited_in_the_editor(tmp_path: Path) -> None:
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nprintf "kv1 Store x 8\\nkv1 Lookup x\\n" > "$1"\n')
    script.chmod(0o755)

    async def story() -> None:
        async with typing(tmp_path, VISUAL=str(script)) as person:
            person.type("kv1\x18\x05")
            await until(lambda: "\n" in person.session.buffer.text)
            assert person.session.buffer.document == Document("kv1 Store x 8\nkv1 Lookup x")
            person.type("\r")
            await until(lambda: "Result 8" in person.output, lambda: person.output)

    run(story())


# --- progress -----------------------------------------------------------------------------------


def started(number: int) -> Report:
    return Report(number, 0.0, "started", f"w{number}", f"root/w{number}", "worker")


def test_progress_says_how_many_and_how_long_and_leaves_no_trace() -> None:
    stream, clock = io.StringIO(), [100.0]
    progress = Progress(stream, lambda: clock[0], "starting", ("started",), 1000)
    for number in range(100):
        progress.on_report(started(number))
    assert stream.getvalue() == ""
    clock[0] += SILENT_S
    progress.on_report(started(100))
    progress.on_report(started(101))
    assert stream.getvalue() == (
        "\rstarting 101 of 1,000 workers, about 4 s left; Ctrl-C interrupts"
    )
    clock[0] += EVERY_S
    progress.on_report(started(102))
    progress.end()
    assert stream.getvalue().endswith("\r")
    assert stream.getvalue().split("\r")[-2].strip() == ""


def test_progress_at_a_terminal_that_went_away_says_nothing_more() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            del text
            raise OSError("gone")

    clock = [0.0]
    progress = Progress(Gone(), lambda: clock[0], "stopping", ("terminated",), 10)
    clock[0] = 10.0
    progress.on_report(Report(1, 0.0, "terminated", "w", "root/w", "worker"))
    progress.end()

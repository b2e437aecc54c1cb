"""A panel below the scrollback: what is erased at a resize, in terminals that wrap rows anew."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from ssm_cli.repl.faces.reflow import wraps_anew
from tests.repl.conftest import Terminal, typing, until


class Noting(Terminal):
    """A terminal that notes what is written to it."""

    noted = ""

    def write(self, data: str) -> None:
        self.noted += data
        super().write(data)


def rows_up(written: str) -> int:
    """How far the cursor goes up before anything is erased."""
    before = written.partition("\x1b[J")[0]
    return sum(int(found or 1) for found in re.findall(r"\x1b\[(\d*)A", before))


@pytest.mark.parametrize(("columns", "more"), [(60, 6), (30, 12), (100, 0)])
def test_all_rows_that_the_old_panel_takes_now_are_erased(
    tmp_path: Path, columns: int, more: int
) -> None:
    async def story() -> None:
        terminal = Noting(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("ui inline\r")
            await until(lambda: "── output" not in terminal.text, lambda: terminal.text)
            parts = ("▾ root", "ssm\u276f", "F1 help")
            await until(lambda: all(p in terminal.text for p in parts), lambda: terminal.text)
            await until(lambda: person.session.commands.waiting is None)
            lines = terminal.lines
            panel = next(i for i, line in enumerate(lines) if line.startswith(" ssm"))
            prompt = next(i for i, line in enumerate(lines) if line.startswith("ssm\u276f"))
            terminal.resize(24, columns)
            terminal.noted = ""
            person.session.app._on_resize()
            assert rows_up(terminal.noted) == prompt - panel + more

    asyncio.run(story())


@pytest.mark.parametrize(
    ("environ", "answer"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "screen-256color", "TMUX": "x", "STY": "x"}, True),
        ({"TERM": "screen-256color", "STY": "x"}, False),
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}, False),
    ],
)
def test_terminals_that_cut_rows_instead_are_told_by_the_environment(
    environ: dict[str, str], answer: bool
) -> None:
    assert wraps_anew(environ) is answer

"""What workers store, say and raise is theirs: it is shown, and does nothing else."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.results import Reply
from ssm_cli.commands.voice import report_line
from ssm_cli.render.ascii import to_ascii
from ssm_cli.render.columns import Row
from ssm_cli.render.rows import row_text
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import NodeView, Report
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Terminal, Typist, typing, until
from tests.repl.hostile import TEXTS

DRAWN = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9]|[78=>])")
"""The escape sequences that prompt_toolkit draws with."""


class Rude(GenServer):
    """Says the text that an input numbers, or raises it."""

    def handle_call(self, message: object, caller: object, state: object) -> Reply:
        del caller
        verb, number = str(message).split()
        text = TEXTS[int(number)]
        if verb == "raise":
            raise ValueError(text)
        return Reply(text, state)


class Recording(Terminal):
    """A terminal that keeps what it was sent, too."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__(rows, columns)
        self.raw: list[str] = []

    def write(self, data: str) -> None:
        self.raw.append(data)
        super().write(data)


async def answered(person: Typist, line: str) -> None:
    """Wait until a line was carried out."""
    await until(lambda: line in person.output, lambda: person.output)
    await until(lambda: person.session.commands.waiting is None)


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert len(TEXTS) > 100


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_hostile_name_keeps_its_row_exactly_as_wide_as_the_others(width: int) -> None:
    for text in TEXTS:
        node = NodeView(text, f"root/{text}", "worker", "running", label=text)
        line = row_text(Row("├─ ", node), width).plain
        assert cell_len(line) == width, ascii(text)
        assert line.isprintable(), ascii(text)


def test_a_hostile_reason_is_one_line_of_the_log() -> None:
    for text in TEXTS:
        detail = {"reason": "crash", "error": {"type": text, "message": text}}
        line = report_line(Report(1, 0.0, "crashed", text, text, "worker", detail))
        assert line.isprintable(), ascii(text)
        line.encode()


def test_ascii_has_a_likeness_of_everything_in_as_many_cells() -> None:
    for text in TEXTS:
        node = NodeView(text, text, "worker", "running")
        line = to_ascii(row_text(Row("└─ ", node), 60).plain)
        assert line.isascii()
        assert len(line) == 60, ascii(text)


@pytest.mark.parametrize("verb", ["say", "raise"])
@pytest.mark.parametrize("size", [(24, 80), (12, 40)])
def test_hostile_outputs_and_errors_leave_the_screen_whole(
    tmp_path: Path, size: tuple[int, int], verb: str
) -> None:
    async def story() -> None:
        terminal = Recording(*size)
        node = Node(Supervisor("root", children=[Worker("rude", Rude)], intensity=10_000))
        async with typing(tmp_path, node=node, output=terminal.output()) as person:
            for number in range(len(TEXTS)):
                person.type(f"rude {verb} {number}\r")
                await answered(person, f"rude {verb} {number}")
            drawn = person.session.app.render_counter
            person.session._frames.draw()
            await until(lambda: person.session.app.render_counter > drawn)
            assert terminal.lines[0].startswith(" ssm  kv.yaml")
            assert "● rude" in terminal.text
            assert any(line.startswith("ssm\u276f") for line in terminal.lines[-3:])
        left = DRAWN.sub("", "".join(terminal.raw))
        assert {c for c in left if not c.isprintable()} <= {"\r", "\n", "\b"}

    asyncio.run(story())


def test_what_is_pasted_is_hostile_too_and_does_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Terminal(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            for text in TEXTS:
                person.session.actions.line.paste(text)
                await until(lambda: terminal.lines[0].startswith(" ssm"), lambda: terminal.text)
                person.session.buffer.reset()

    asyncio.run(story())
